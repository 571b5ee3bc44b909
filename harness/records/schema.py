"""The JSON Schema of records, written from the dataclasses of `harness.types`.

    python -m harness.records.schema > docs/record.schema.json

A test compares the two, and committed records with the schema.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from harness.conversion import SEQUENCES, UNIONS
from harness.records.format import SCHEMA
from harness.types import Record

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TITLE = {"title": "The record of a trial", "description": "docs/plugins.md says what its fields hold."}
# JSON has no nan and no infinity: records have null instead.
SIMPLE: Mapping[Any, Mapping[str, Any]] = {
    Any: {},
    types.NoneType: {"type": "null"},
    bool: {"type": "boolean"},
    float: {"type": ["number", "null"]},
    int: {"type": "integer"},
    str: {"type": "string"},
}


def record_schema() -> dict[str, Any]:
    """The JSON Schema of records as `to_json` writes them."""
    definitions: dict[str, Any] = {}
    root = _schema_of(Record, definitions)
    head = {"schema": {"const": SCHEMA}, "key": {"type": "string"}}
    described = definitions["Record"]
    described["properties"] = head | described["properties"]
    described["required"] = [*head, *described["required"]]
    return {"$schema": DIALECT, **TITLE, **root, "$defs": dict(sorted(definitions.items()))}


def _schema_of(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a type; those of classes with fields join the definitions."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in UNIONS:
        return {"anyOf": [_schema_of(each, definitions) for each in arguments]}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _schema_of(arguments[1], definitions)}
    if origin in SEQUENCES:
        return {"type": "array", **_schema_of_items(origin, arguments, definitions)}
    return dict(SIMPLE[kind]) if kind in SIMPLE else _refer_to(kind, definitions)


def _schema_of_items(origin: Any, arguments: tuple[Any, ...], definitions: dict[str, Any]) -> dict[str, Any]:
    if origin is not tuple or arguments[1:] == (...,):
        return {"items": _schema_of(arguments[0], definitions)}
    items = [_schema_of(each, definitions) for each in arguments]
    return {"prefixItems": items, "minItems": len(items), "maxItems": len(items)}


def _refer_to(kind: type, definitions: dict[str, Any]) -> dict[str, Any]:
    """A reference to the definition of a dataclass or named tuple, all of whose fields are written."""
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}  # a trial refers to itself
        hints = get_type_hints(kind)
        properties = {name: _schema_of(hints[name], definitions) for name in _field_names(kind)}
        definitions[kind.__name__] = {"type": "object", "properties": properties, "required": list(properties)}
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _field_names(kind: Any) -> list[str]:
    return [each.name for each in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else list(kind._fields)


if __name__ == "__main__":
    print(json.dumps(record_schema(), indent=1))
