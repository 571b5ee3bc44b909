"""Records and trials as plain JSON values, and back; whatever else comes from a file is refused."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from harness.types import STATUSES, UNITS, Budget, Choice, Point, Record, Trial
from harness.words import clean, clean_ends, clean_label, clean_line

SCHEMA = 1
LONGEST_TRACEBACK = 20_000
DEEPEST = 50

T = TypeVar("T")


def to_json(record: Record) -> dict[str, Any]:
    """A record as plain JSON values; numbers that JSON lacks (nan, inf) become null."""
    value = dataclasses.asdict(record)
    value["curve"] = [point._asdict() for point in record.curve]
    values: dict[str, Any] = {"schema": SCHEMA, "key": record.trial.key, **plain(value)}
    return values


def from_json(value: Mapping[str, Any]) -> Record:
    """The inverse of `to_json`. Raises KeyError, TypeError or ValueError for anything else."""
    if value["status"] not in STATUSES:
        raise ValueError(f"status {value['status']!r} is none of {', '.join(STATUSES)}")
    record = Record(
        trial=trial_from_json(value["trial"]),
        status=value["status"],
        reason=str(value["reason"]),
        scores=_numbers(value["scores"]),
        measured=dict(value.get("measured", {})),  # older records have all of it among the readings
        readings=dict(value["readings"]),
        facts=dict(value["facts"]),
        curve=tuple(point_from_json(point) for point in value["curve"]),
        seconds=_numbers(value["seconds"]),
        holes={str(name): str(reason) for name, reason in value["holes"].items()},
        provenance=dict(value["provenance"]),
        environment=dict(value["environment"]),
        traceback=str(value["traceback"]),
        finished=str(value["finished"]),
    )
    return tidied(record)


def tidied(record: Record) -> Record:
    """The record with every text in it bounded and clean. Raises ValueError for what is nested too deep."""
    kept = ("readings", "measured", "facts", "provenance", "environment")
    return dataclasses.replace(
        record,
        reason=clean(record.reason),
        holes={clean_line(name): clean(reason) for name, reason in record.holes.items()},
        traceback=clean_ends(record.traceback, LONGEST_TRACEBACK),
        finished=clean_line(record.finished),
        **{name: bounded(getattr(record, name)) for name in kept},
    )


def trial_from_json(value: Mapping[str, Any]) -> Trial:
    """A trial from plain JSON values, its base within."""
    base = value["base"]
    return Trial(
        method=_choice(value["method"]),
        dataset=_choice(value["dataset"]),
        seed=_as(int, value, "seed"),
        budget=_budget(value["budget"]),
        batch_size=_as(int, value, "batch_size"),
        device=_as(str, value, "device"),
        precision=_as(str, value, "precision"),
        threads=_as(int, value, "threads"),
        deterministic=_as(bool, value, "deterministic"),
        base=trial_from_json(base) if base else None,
        key=clean_line(_as(str, value, "key")),
        parts=_as(dict, value, "parts"),
        skip=_as(str, value, "skip") if value["skip"] is not None else None,
        keep=_as(bool, value, "keep"),
        patience=_as(int, value, "patience") if value.get("patience") is not None else None,
    )


def _choice(value: Mapping[str, Any]) -> Choice:
    provider = _as(str, value, "provider") if value["provider"] is not None else None
    given, options = _as(dict, value, "given"), _as(dict, value, "options")
    group = _as(str, value, "group") if "group" in value else ""  # records of older versions have none
    name, label = clean_line(_as(str, value, "name")), clean_label(_as(str, value, "label"))
    return Choice(name, given, options, label, provider, group)


def _as(kind: type[T], value: Mapping[str, Any], name: str) -> T:
    """A field that must be of a type. Raises TypeError that names it."""
    found = value[name]
    if type(found) is not kind:
        raise TypeError(f"{name} must be {kind.__name__}, not {found!r}")
    if isinstance(found, str):
        found.encode()  # a lone surrogate could not be printed
    return found


def _budget(value: Mapping[str, Any]) -> Budget:
    if value["unit"] not in UNITS:
        raise ValueError(f"the budget's unit {value['unit']!r} is none of {', '.join(UNITS)}")
    return Budget(value["unit"], _amount(value["amount"]))


def _amount(value: object) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):  # type: ignore[arg-type]
        raise TypeError(f"the budget's amount must be a number, not {value!r}")
    return value  # type: ignore[return-value]


def point_from_json(value: Mapping[str, Any]) -> Point:
    """A point of a curve from plain JSON values. Raises KeyError, TypeError or ValueError for anything else."""
    return Point(
        int(value["update"]),
        float(value["epoch"]),
        float(value["seconds"]),
        _numbers(value["scalars"]),
        _numbers(value["valid"]),
    )


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {clean_line(str(name)): math.nan if number is None else float(number) for name, number in values.items()}


def bounded(value: Any, depth: int = 0) -> Any:
    """JSON values with their texts cleaned and cut. Raises ValueError for what is nested too deep to be written."""
    if depth > DEEPEST:
        raise ValueError(f"nested more than {DEEPEST} deep")
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean_line(str(key)): bounded(item, depth + 1) for key, item in value.items()}
    return [bounded(item, depth + 1) for item in value] if isinstance(value, (list, tuple)) else value


def plain(value: Any) -> Any:
    """Tuples to lists, scalars of numerical libraries to Python's, nan and inf to null, texts to encodable ones."""
    if isinstance(value, Mapping):
        return {_text(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (int, bool, type(None))) else _text(str(value))


def _text(value: str) -> str:
    """A lone surrogate, as in the name of a file that is not UTF-8, has no encoding: it is spelt out."""
    return value.encode(errors="backslashreplace").decode()
