"""Suites: a comparison in a TOML file, whose values a run's flags override.

    summary = "The new method against the old one"
    methods = ["old", "new[width=[8,16]]"]
    datasets = "toy"
    seeds = 3
    epochs = 10

    [[published]]
    method = "old"
    dataset = "toy"
    metric = "accuracy"
    value = 0.97
    source = "Someone et al. 2020, Table 1"

    [[claims]]
    text = "the new one needs half the multiply-accumulates"
    left = "new[width=8].forward_macs"
    over = "old.forward_macs"
    at_most = 0.5

`harness.suites.entries` has the tables, `harness.suites.references` checks what they refer to.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.suites import entries
from harness.suites.entries import NUMBER, Claim, Published
from harness.types import UNITS, Budget


@dataclass(frozen=True)
class Request:
    """A request for a run, before it is planned. None: not said, so a suite, a data set or a default decides.

    home: the distribution whose methods, data sets and metrics are meant by a name that several offer. folder: where
    files of methods are that have no absolute path; the working directory by default. metrics: columns of the table.
    """

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
    patience: int | None = None
    headline: str | None = None
    select: str | None = None
    select_jointly: bool | None = None
    refit: bool | None = None
    data: Path | None = None
    workers: int = 1
    home: str | None = None
    folder: Path | None = None
    metrics: str | None = None

    def over(self, suite: Request) -> Request:
        """This request, with the suite's values where it says nothing."""
        said = {name: value for name, value in vars(self).items() if value is not None}
        if self.methods is not None:  # named where the user is, not where the suite lies
            said["folder"] = self.folder
        return dataclasses.replace(suite, **said)


@dataclass(frozen=True)
class Comparison:
    """The contents of a suite's file: the request, published values, claims."""

    path: Path
    request: Request
    summary: str = ""
    published: tuple[Published, ...] = ()
    claims: tuple[Claim, ...] = ()


def read_suite(path: Path) -> Comparison:
    """A suite's file. Raises UsageError naming the file, the entry and the word that was wrong."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # editors may begin a file with a mark
    except OSError as error:
        raise UsageError(f"suite {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"suite {path}: not TOML: {error}") from error
    where = f"suite {path}"
    entries.check_keys(where, values, KINDS)
    summary = values.pop("summary", "")
    published = entries.read_published(where, values.pop("published", []))
    claims = entries.read_claims(where, values.pop("claims", []))
    request = dataclasses.replace(parse_request(where, values), folder=path.absolute().parent)
    return Comparison(path, request, summary, published, claims)


# --- reading ------------------------------------------------------------------------------------------------------

KINDS: entries.Kinds = {
    "summary": str,
    "methods": (str, list),
    "datasets": (str, list),
    "seeds": (int, list, str),
    "epochs": NUMBER,
    "updates": int,
    "seconds": NUMBER,
    "batch_size": int,
    "device": str,
    "precision": str,
    "threads": int,
    "deterministic": bool,
    "target": NUMBER,
    "patience": int,
    "headline": str,
    "select": str,
    "metrics": (str, list),
    "select_jointly": bool,
    "refit": bool,
    "published": list,
    "claims": list,
}
LOWEST: Mapping[str, int] = {"epochs": 0, "updates": 0, "seconds": 0, "batch_size": 1, "threads": 1, "patience": 1}


def parse_request(where: str, values: Mapping[str, Any]) -> Request:
    """Parse the request that values of KINDS make. where: what errors begin with."""
    for name, lowest in LOWEST.items():
        if name in values and values[name] < lowest:
            raise UsageError(f"{where}: {name} = {values[name]!r}; expected at least {lowest}")
    budgets = [Budget(unit, values[unit]) for unit in UNITS if unit in values]
    if len(budgets) > 1:
        raise UsageError(f"{where}: give one budget, not {' and '.join(budget.unit for budget in budgets)}")
    plain = {name: value for name, value in values.items() if name not in UNITS}
    for name in ("methods", "datasets", "metrics"):
        if isinstance(plain.get(name), list):
            plain[name] = _join_selection(where, name, plain[name])
    if "seeds" in plain:
        plain["seeds"] = _parse_seeds(where, plain["seeds"])
    return Request(**plain, budget=budgets[0] if budgets else None)


def _parse_seeds(where: str, seeds: object) -> str:
    if isinstance(seeds, str) and seeds != "all":
        raise UsageError(f'{where}: seeds = {seeds!r}; expected a number, a list of seeds, or "all" official splits')
    return str(seeds)


def _join_selection(where: str, name: str, words: list[Any]) -> str:
    """A list as the selection that would be written on a command line."""
    for word in words:
        if not isinstance(word, str):
            raise UsageError(f"{where}: {name} has {word!r}, of the wrong type; expected texts")
    return ",".join(words)
