"""Records and trials as plain JSON values, and back; whatever else comes from a file is refused."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_args, get_type_hints

from harness.conversion import type_text
from harness.errors import UsageError
from harness.selections import expansion, selection
from harness.types import STATUSES, UNITS, Budget, Choice, Point, Record, Sweep, TrainingTerms, Trial
from harness.words import clean_ends, clean_label, clean_line, clean_text

SCHEMA = 2
SCHEMA_1_TERMS = ("budget", "batch_size", "device", "precision", "threads", "deterministic", "patience")
DEEPEST = 50

T = TypeVar("T")


def to_json(record: Record) -> dict[str, Any]:
    """A record as JSON values that are fit to be written and shown: the one way out.

    Numbers that JSON lacks (nan, inf) become null. Texts are cleaned and cut, but for those that decide the trial.
    Raises ValueError for what is nested too deep.
    """
    values = {each.name: clean_entry(getattr(record, each.name)) for each in dataclasses.fields(Record)}
    values["trial"] = to_plain(dataclasses.asdict(record.trial))
    values["curve"] = [to_plain(point._asdict()) for point in record.curve]
    values["traceback"] = clean_ends(record.traceback)
    return {"schema": SCHEMA, "key": record.trial.key, **values}


def from_json(value: Mapping[str, Any]) -> Record:
    """The inverse of `to_json`, of older versions too: the one way in, for what another process or a file says.

    Raises KeyError, TypeError or ValueError for anything else.
    """
    value = _upgrade_schema(value)
    if value["status"] not in STATUSES:
        raise ValueError(f"status {value['status']!r} is none of {', '.join(STATUSES)}")
    return Record(
        trial=trial_from_json(value["trial"]),
        status=value["status"],
        reason=clean_text(str(value["reason"])),
        scores=_read_floats(value["scores"]),
        measured=_read_entries(value.get("measured", {})),  # older records have all of it among the readings
        readings=_read_entries(value["readings"]),
        warnings=_read_texts(value.get("warnings", {})),  # older records have both among the readings
        at_least=_read_texts(value.get("at_least", {})),
        facts=_read_entries(value["facts"]),
        curve=tuple(point_from_json(point) for point in value["curve"]),
        seconds=_read_floats(value["seconds"]),
        holes={clean_line(str(name)): clean_text(str(reason)) for name, reason in value["holes"].items()},
        provenance=_read_entries(value["provenance"]),
        environment=_read_entries(value["environment"]),
        traceback=clean_ends(str(value["traceback"])),
        finished=clean_line(str(value["finished"])),
    )


def _upgrade_schema(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """A record of any schema as one of this one; this is the one place where the older are known."""
    return {**value, "trial": _gather_terms(value["trial"])} if value.get("schema") == 1 else value


def _gather_terms(trial: Mapping[str, Any]) -> dict[str, Any]:
    """A trial of schema 1, in which the terms stood beside the rest, and nothing was trained on validation rows."""
    terms = {name: trial[name] for name in SCHEMA_1_TERMS if name in trial}
    rest = {name: item for name, item in trial.items() if name not in SCHEMA_1_TERMS}
    choices = {name: _parse_group(trial[name]) for name in ("method", "dataset")}
    base = trial["base"]
    parts = {name: _name_part(trial, name, part) for name, part in trial["parts"].items()}
    added = {"terms": terms, "parts": parts, "refit": False, "own_epochs": False}
    return {**rest, **choices, **added, "base": _gather_terms(base) if base else None}


def _name_part(trial: Mapping[str, Any], name: str, part: Any) -> Any:
    """A part of the key of schema 1, in which labels stood for names, so that no change is told where there is none."""
    if name not in ("method", "dataset") or "label" not in part:
        return part
    rest = {each: value for each, value in part.items() if each != "label"}
    return {"name": trial[name]["name"], "provider": trial[name]["provider"], **rest}


def _parse_group(choice: Mapping[str, Any]) -> dict[str, Any]:
    """A choice of schema 1, which has the item that it was selected by as a text, or not at all."""
    try:
        items = selection.parse(str(choice["group"]), "group")
    except (KeyError, UsageError):
        items = []
    several = len(items) == 1 and any(len(rows) > 1 for _, rows in items[0].sweeps)
    return {**choice, "sweep": items[0].sweeps if several else ()}


def trial_from_json(value: Mapping[str, Any]) -> Trial:
    """A trial from plain JSON values, its base within."""
    base = value["base"]
    return Trial(
        method=_read_choice(value["method"]),
        dataset=_read_choice(value["dataset"]),
        seed=_read_field(int, value, "seed"),
        terms=_read_terms(value["terms"]),
        base=trial_from_json(base) if base else None,
        key=clean_line(_read_field(str, value, "key")),
        parts=_read_field(dict, value, "parts"),
        skip=_read_field(str, value, "skip") if value["skip"] is not None else None,
        keep=_read_field(bool, value, "keep"),
        refit=_read_field(bool, value, "refit"),
        own_epochs=_read_field(bool, value, "own_epochs"),
    )


def _read_terms(value: Mapping[str, Any]) -> TrainingTerms:
    """A term without a value has its default. Raises KeyError for one that has none, TypeError for another type."""
    known = dataclasses.fields(TrainingTerms)
    given = [each.name for each in known if each.name in value or each.default is dataclasses.MISSING]
    kinds = _term_types()
    read = {name: _read_field(kinds[name], value, name) for name in given if kinds[name] is not Budget}
    return TrainingTerms(**read | {name: _read_budget(value[name]) for name in given if kinds[name] is Budget})


@functools.cache
def _term_types() -> dict[str, Any]:
    return get_type_hints(TrainingTerms)


def _read_choice(value: Mapping[str, Any]) -> Choice:
    provider = _read_field(str, value, "provider") if value["provider"] is not None else None
    given, options = _read_field(dict, value, "given"), _read_field(dict, value, "options")
    name, label = clean_line(_read_field(str, value, "name")), clean_label(_read_field(str, value, "label"))
    return Choice(name, given, options, label, provider, _read_sweep(value["sweep"]))


def _read_sweep(value: Iterable[Any]) -> Sweep:
    """Raises TypeError or ValueError for what is none."""
    sweep = [
        ([clean_line(str(name)) for name in names], [expansion.freeze_lists(row) for row in rows])
        for names, rows in value
    ]
    if any(len(row) != len(names) for names, rows in sweep for row in rows):
        raise ValueError("a row of the sweep has another number of values than of names")
    return tuple((tuple(names), tuple(rows)) for names, rows in sweep)


def _read_field(kind: type[T], value: Mapping[str, Any], name: str) -> T:
    """A field that must be of a type, or of one of a union. Raises TypeError that names it."""
    found = value[name]
    if type(found) not in (get_args(kind) or (kind,)):
        raise TypeError(f"{name} must be {type_text(kind)}, not {found!r}")
    if isinstance(found, str):
        found.encode()  # a lone surrogate could not be printed
    return found  # type: ignore[no-any-return]


def _read_budget(value: Mapping[str, Any]) -> Budget:
    if value["unit"] not in UNITS:
        raise ValueError(f"the budget's unit {value['unit']!r} is none of {', '.join(UNITS)}")
    amount = value["amount"]
    if type(amount) not in (int, float) or not math.isfinite(amount):
        raise TypeError(f"the budget's amount must be a number, not {amount!r}")
    return Budget(value["unit"], amount)


def point_from_json(value: Mapping[str, Any]) -> Point:
    """A point of a curve from plain JSON values. Raises KeyError, TypeError or ValueError for anything else."""
    return Point(
        int(value["update"]),
        float(value["epoch"]),
        float(value["seconds"]),
        _read_floats(value["scalars"]),
        _read_floats(value["valid"]),
    )


def _read_floats(values: Mapping[str, Any]) -> dict[str, float]:
    return {clean_line(str(name)): math.nan if number is None else float(number) for name, number in values.items()}


def _read_texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {clean_line(str(name)): clean_line(str(text)) for name, text in values.items()}


def _read_entries(values: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = clean_entry(dict(values))
    return found


def clean_entry(value: Any, depth: int = 0) -> Any:
    """Make plain JSON values of an entry of a record, texts cleaned and cut. Raises ValueError where it is too deep."""
    if depth > DEEPEST:
        raise ValueError(f"nested more than {DEEPEST} deep")
    if isinstance(value, Mapping):
        return {clean_line(str(key)): clean_entry(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [clean_entry(item, depth + 1) for item in value]
    if hasattr(value, "tolist"):
        return clean_entry(value.tolist(), depth + 1)
    return clean_text(value) if isinstance(value, str) else to_plain(value)


def to_plain(value: Any) -> Any:
    """Tuples to lists, scalars of numerical libraries to Python's, nan and inf to null, texts to encodable ones."""
    if isinstance(value, Mapping):
        return {_spell_surrogates(str(key)): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return to_plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (int, bool, type(None))) else _spell_surrogates(str(value))


def _spell_surrogates(value: str) -> str:
    """A lone surrogate, as in the name of a file that is not UTF-8, has no encoding: it is spelt out."""
    return value.encode(errors="backslashreplace").decode()
