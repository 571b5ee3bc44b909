"""Plans of runs, one file per run: `plans/<UTC time>-<pid>.json`, so that reports know what is missing.

Written whole or not at all, before the first trial. Several plans add up. Nothing depends on a plan: one that cannot be
read is named and passed over.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.records.format import to_plain
from harness.records.grouping import trial_place, trial_protocol
from harness.records.store import write_atomically
from harness.types import Trial
from harness.words import clean_label

SCHEMA = 1
FOLDER = "plans"
LARGEST = 2**28  # bytes: a plan of the most trials that a run may have is far smaller


@dataclass(frozen=True)
class Planned:
    """One method on one data set under one protocol. keys: of its trials, by seed."""

    method: str
    dataset: str
    protocol: Mapping[str, Any]
    keys: Mapping[int, str]


def group_planned(trials: Iterable[Trial]) -> list[Planned]:
    """The planned trials by method, data set and protocol; those that are skipped never could run."""
    rows: dict[tuple[Any, ...], tuple[Trial, dict[int, str]]] = {}
    for trial in trials:
        if not trial.skip:
            rows.setdefault((trial.method.label, trial_place(trial)), (trial, {}))[1][trial.seed] = trial.key
    return [Planned(one.method.label, one.dataset.label, trial_protocol(one), keys) for one, keys in rows.values()]


def write_plan(results: Path, trials: Iterable[Trial], command: Sequence[str]) -> None:
    """Write the plan of a run, unless the newest one says the same. Raises HarnessError where that cannot be done."""
    plan = {"command": list(command), "rows": [_to_row(each) for each in group_planned(trials)]}
    folder = results / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if _read_newest(folder) != plan:
            now = datetime.datetime.now(datetime.UTC)
            path = folder / f"{now:%Y%m%dT%H%M%S.%f}Z-{os.getpid()}.json"
            values = {"schema": SCHEMA, "started": now.isoformat(timespec="milliseconds"), **plan}
            write_atomically(path, json.dumps(values, indent=1, ensure_ascii=True) + "\n")
    except OSError as error:
        raise HarnessError(
            f"plan in {folder}: could not be written ({error.strerror}); choose --results DIR"
        ) from error


def read_plans(*results: Path) -> tuple[list[Planned], list[str]]:
    """All plans of results folders added up, and a line for each file that cannot be read.

    Of the same method, data set, protocol and seed the newest plan says which trial it is.
    """
    found: dict[tuple[Any, ...], Planned] = {}
    problems = []
    paths = (path for folder in results for path in _list_paths(folder / FOLDER))
    for path in sorted(paths, key=lambda path: path.name):
        try:
            rows = [_from_row(row) for row in _read_planned_values(path)["rows"]]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            problems.append(f"plan {path}: cannot be read ({type(error).__name__}: {str(error)[:200]}); passed over")
            continue
        for row in rows:
            where = (row.method, row.dataset, *sorted(row.protocol.items()))
            earlier = found[where].keys if where in found else {}
            found[where] = Planned(row.method, row.dataset, row.protocol, {**earlier, **row.keys})
    return list(found.values()), problems


def _list_paths(folder: Path) -> list[Path]:
    """Oldest first: their names begin with the time."""
    return sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))


def _read_planned_values(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError("not a file")
    if path.stat().st_size > LARGEST:
        raise ValueError("too large to be a plan")
    values = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        raise ValueError(f"no plan of schema {SCHEMA}")
    return values


def _read_newest(folder: Path) -> dict[str, Any] | None:
    paths = _list_paths(folder)
    try:
        values = _read_planned_values(paths[-1]) if paths else {}
    except (OSError, ValueError, RecursionError):
        return None
    return {name: value for name, value in values.items() if name not in ("schema", "started")}


def _to_row(row: Planned) -> dict[str, Any]:
    keys = {str(seed): key for seed, key in row.keys.items()}
    values: dict[str, Any] = to_plain(
        {"method": row.method, "dataset": row.dataset, "protocol": row.protocol, "trials": keys}
    )
    return values


def _from_row(row: Mapping[str, Any]) -> Planned:
    method, dataset, terms, trials = (row[name] for name in ("method", "dataset", "protocol", "trials"))
    texts = (method, dataset, *terms, *trials.values())
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("method, dataset, protocol and keys must be texts")
    if not all(isinstance(term, (str, int)) for term in terms.values()):
        raise TypeError("the terms of the protocol must be texts or numbers")
    return Planned(_clean_label(method), _clean_label(dataset), terms, {int(seed): key for seed, key in trials.items()})


def _clean_label(label: str) -> str:
    """A label as records have it. Raises ValueError for a lone surrogate, which has no encoding."""
    label.encode()
    return clean_label(label)
