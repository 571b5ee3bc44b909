"""Suites: a comparison in a TOML file, whose values a run's flags override."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.types import UNITS, Budget


@dataclass(frozen=True)
class Request:
    """What a run was asked for, before it is planned. None: not said, so a suite, a data set or a default decides."""

    methods: str | None = None
    datasets: str | None = None
    seeds: str | None = None
    budget: Budget | None = None
    batch_size: int | None = None
    device: str | None = None
    precision: str | None = None
    threads: int | None = None
    deterministic: bool | None = None
    target: float | None = None
    data: Path | None = None
    workers: int = 1

    def over(self, suite: Request) -> Request:
        """This request, with the suite's values where it says nothing."""
        said = {name: value for name, value in vars(self).items() if value is not None}
        return dataclasses.replace(suite, **said)


def read(path: Path) -> Request:
    """A suite's file as a request. Raises UsageError naming the file and the word that was wrong."""
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise UsageError(f"suite {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"suite {path}: not TOML: {error}") from error
    values.pop("summary", None)
    return _request(path, values)


def summary(path: Path) -> str:
    """The one-line summary in a suite's file; empty where there is none."""
    with path.open("rb") as file:
        return str(tomllib.load(file).get("summary", ""))


_TYPES: dict[str, type | tuple[type, ...]] = {
    "methods": (str, list),
    "datasets": (str, list),
    "seeds": (int, list),
    "epochs": (int, float),
    "updates": int,
    "seconds": (int, float),
    "batch_size": int,
    "device": str,
    "precision": str,
    "threads": int,
    "deterministic": bool,
    "target": (int, float),
}


def _request(path: Path, values: Mapping[str, Any]) -> Request:
    for name, value in values.items():
        if name not in _TYPES:
            raise UsageError(f"suite {path}: unknown key {name!r}; known are summary, {', '.join(_TYPES)}")
        if not isinstance(value, _TYPES[name]) or (isinstance(value, bool) and _TYPES[name] is not bool):
            raise UsageError(f"suite {path}: {name} = {value!r} is of the wrong type")
    budgets = [Budget(unit, values[unit]) for unit in UNITS if unit in values]
    if len(budgets) > 1:
        raise UsageError(f"suite {path}: give one budget, not {' and '.join(budget.unit for budget in budgets)}")
    plain = {name: value for name, value in values.items() if name not in UNITS}
    for name in ("methods", "datasets"):
        if isinstance(plain.get(name), list):
            plain[name] = ",".join(map(str, plain[name]))
    if "seeds" in plain:
        plain["seeds"] = str(plain["seeds"])
    return Request(**plain, budget=budgets[0] if budgets else None)
