"""Records on disk: one JSON file per trial, `trials/<key>.json`, written whole or not at all.

Nothing else in a results folder is read as a record. A file that cannot be read is named and set aside, never a
reason to lose the others. Trained arrays lie beside it as `<key>.safetensors` where another trial starts from them.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import HarnessError
from harness.types import STATUSES, UNITS, Budget, Choice, Point, Record, Trial

SCHEMA = 1
LONGEST_REASON = 200

T = TypeVar("T")


class Unreadable(HarnessError):
    """A file in `trials/` that is not a record this version can read."""


class Store:
    """The records of one results folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trials = folder / "trials"

    def path(self, key: str) -> Path:
        return self.trials / f"{key}.json"

    def weights(self, key: str) -> Path:
        """Where the trained arrays of a trial lie, if it keeps them."""
        return self.trials / f"{key}.safetensors"

    def prepare(self) -> None:
        """Make the folder and see that it can be written. Raises HarnessError."""
        try:
            self.trials.mkdir(parents=True, exist_ok=True)
            probe = self.trials / f".probe-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise HarnessError(
                f"results folder {self.folder}: not writable ({error.strerror}); choose another with --results DIR"
            ) from error

    def find(self, key: str) -> Record | None:
        """The record of a trial that ended ok; a file that cannot be read is no record."""
        record = self.last(key)
        return record if record is not None and record.status == "ok" else None

    def last(self, key: str) -> Record | None:
        """The record of a trial, however it ended; a file that cannot be read is no record."""
        try:
            return read(self.path(key))
        except (Unreadable, FileNotFoundError):
            return None

    def write(self, record: Record) -> None:
        """Write a record atomically. What stood at its place and could not be read is kept as `<key>.unreadable`.

        Raises HarnessError when the disk is full or the folder has gone; nothing written before is touched.
        """
        path = self.path(record.trial.key)
        try:
            _set_aside(path)
            _write_atomically(path, json.dumps(to_json(record), indent=1, allow_nan=False, ensure_ascii=False) + "\n")
        except OSError as error:
            raise HarnessError(
                f"record {path}: could not be written ({error.strerror}); the records before it are kept: "
                "mend this and run the same command again"
            ) from error

    def records(self) -> tuple[list[Record], list[str]]:
        """The newest record of every trial, in the order in which they ended, and a line for each unreadable file.

        Trials that differ in nothing but versions or source code are one trial here: only the newest counts.
        """
        if not self.trials.is_dir():
            raise HarnessError(f"results folder {self.folder}: no records there (no folder {self.trials})")
        records, problems = [], []
        for path in sorted(self.trials.glob("*.json")):
            try:
                records.append(read(path))
            except Unreadable as problem:
                problems.append(str(problem))
        return newest(records), problems


def newest(records: Iterable[Record]) -> list[Record]:
    """The last record of each identity, in the order in which they ended."""
    last = {identity(record.trial): record for record in sorted(records, key=lambda r: r.finished)}
    return sorted(last.values(), key=lambda record: record.finished)


def identity(trial: Trial) -> tuple[Any, ...]:
    """What a user sees as one trial: everything but versions and source code."""
    base = identity(trial.base) if trial.base else None
    setting = (trial.device, trial.precision, trial.threads, trial.deterministic, trial.patience)
    return (trial.method.label, trial.dataset.label, trial.seed, trial.budget, trial.batch_size, *setting, base)


def read(path: Path) -> Record:
    """One record. Raises Unreadable, naming the file and what to do; FileNotFoundError where there is none."""
    try:
        text = path.read_text(encoding="utf-8")
        # An escape may stand for a lone surrogate, which could not be printed.
        value = _plain(json.loads(text)) if "\\ud" in text.lower() else json.loads(text)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unreadable(f"record {path}: cannot be read ({error.strerror}); set aside") from error
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"record {path}: not JSON or cut short ({error}); set aside, run its trial again") from error
    if not isinstance(value, dict) or not isinstance(value.get("schema"), int):
        raise Unreadable(f"record {path}: no record of this program (no schema number); set aside")
    if value["schema"] > SCHEMA:
        raise Unreadable(f"record {path}: schema {value['schema']}, this version reads {SCHEMA}: upgrade harness-bench")
    try:
        return from_json(value)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        what = f"{type(error).__name__}: {error}"[:LONGEST_REASON]
        raise Unreadable(f"record {path}: damaged ({what}); set aside, run its trial again") from error


def to_json(record: Record) -> dict[str, Any]:
    """A record as plain JSON values; numbers that JSON lacks (nan, inf) become null."""
    value = dataclasses.asdict(record)
    value["curve"] = [point._asdict() for point in record.curve]
    plain: dict[str, Any] = {"schema": SCHEMA, "key": record.trial.key, **_plain(value)}
    return plain


def from_json(value: Mapping[str, Any]) -> Record:
    """The inverse of `to_json`. Raises KeyError, TypeError or ValueError for anything else."""
    if value["status"] not in STATUSES:
        raise ValueError(f"status {value['status']!r} is none of {', '.join(STATUSES)}")
    return Record(
        trial=trial_from_json(value["trial"]),
        status=value["status"],
        reason=str(value["reason"]),
        scores=_numbers(value["scores"]),
        readings=dict(value["readings"]),
        facts=dict(value["facts"]),
        curve=tuple(_point(point) for point in value["curve"]),
        seconds=_numbers(value["seconds"]),
        holes={str(name): str(reason) for name, reason in value["holes"].items()},
        provenance=dict(value["provenance"]),
        environment=dict(value["environment"]),
        traceback=str(value["traceback"]),
        finished=str(value["finished"]),
    )


def trial_to_json(trial: Trial) -> dict[str, Any]:
    """A trial as plain JSON values, its base within."""
    plain: dict[str, Any] = _plain(dataclasses.asdict(trial))
    return plain


def trial_from_json(value: Mapping[str, Any]) -> Trial:
    """The inverse of `trial_to_json`."""
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
        key=_as(str, value, "key"),
        parts=_as(dict, value, "parts"),
        skip=_as(str, value, "skip") if value["skip"] is not None else None,
        keep=_as(bool, value, "keep"),
        patience=_as(int, value, "patience") if value.get("patience") is not None else None,
    )


def _choice(value: Mapping[str, Any]) -> Choice:
    provider = _as(str, value, "provider") if value["provider"] is not None else None
    given, options = _as(dict, value, "given"), _as(dict, value, "options")
    group = _as(str, value, "group") if "group" in value else ""  # records of older versions have none
    return Choice(_as(str, value, "name"), given, options, _as(str, value, "label"), provider, group)


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


def _point(value: Mapping[str, Any]) -> Point:
    return Point(
        int(value["update"]),
        float(value["epoch"]),
        float(value["seconds"]),
        _numbers(value["scalars"]),
        _numbers(value["valid"]),
    )


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {str(name): math.nan if number is None else float(number) for name, number in values.items()}


def _plain(value: Any) -> Any:
    """Tuples to lists, scalars of numerical libraries to Python's, nan and inf to null, texts to encodable ones."""
    if isinstance(value, Mapping):
        return {_text(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (int, bool, type(None))) else _text(str(value))


def _text(value: str) -> str:
    """A lone surrogate, as in the name of a file that is not UTF-8, has no encoding: it is spelt out."""
    return value.encode(errors="backslashreplace").decode()


def _set_aside(path: Path) -> None:
    try:
        read(path)
    except FileNotFoundError:
        return
    except Unreadable:
        path.replace(path.with_suffix(".unreadable"))


def _write_atomically(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
