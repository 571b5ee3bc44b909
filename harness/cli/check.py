"""`harness check`: whether methods, data sets and metrics keep the contract."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.session import Session
from harness.words import clean_ends, clean_label, clean_line, visible

if TYPE_CHECKING:
    from harness.testing import Case, Result

SCHEMA = 1
BROKEN = 1
LONGEST_REASON = 1_000
LONGEST_TRACEBACK = 20_000


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--device", default="cpu", metavar="cpu|cuda|cuda:N", help="Where methods are tried.", show_default=True)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder with data sets.  [env: HARNESS_DATA_DIR]")
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", help="How to print it.")
@click.pass_obj
def check(session: Session, names: Sequence[str], device: str, data_dir: Path | None, style: str) -> int:
    """Test methods, data sets and metrics for what each of its kind has to keep.

    A NAME may carry parameters, as in 'saf[variant=final]', or be a .py file: all that it offers is tested then.
    Methods are tried on tiny generated data of every kind that they declare. What is tested: harness list checks. Ends
    with exit code 1 if a promise is broken.
    """
    from harness import testing

    cases = [
        case for name in names for case in testing.cases(session.catalog, name, _resolved(session, device), data_dir)
    ]
    if style == "text":
        results = _told(cases, session.debug)
    else:
        results = [case.run() for case in cases]
        rows = [_row(case, result) for case, result in zip(cases, results, strict=True)]
        click.echo(visible(json.dumps({"schema": SCHEMA, "results": rows}, indent=1, ensure_ascii=False)))
    return BROKEN if any(result.status == "broken" for result in results) else 0


def _resolved(session: Session, device: str) -> str:
    """Raises UsageError for a device that is not there."""
    from harness.catalog import resolve

    for offer in session.catalog.backends.values():
        device = resolve(offer.check)(device, "fp32", 1)
    return device


def _head(case: Case) -> str:
    return f"{NOUNS[case.of]} {clean_label(case.label)}"


NOUNS = {"method": "method", "dataset": "data set", "metric": "metric"}


def _told(cases: Sequence[Case], debug: bool) -> list[Result]:
    """Run them, with a line for each as it ends, under the name of what is checked."""
    width = max((len(case.check.name) for case in cases), default=0)
    results: list[Result] = []
    for number, (head, group) in enumerate(itertools.groupby(cases, _head)):
        click.echo(("\n" if number else "") + head)
        results += _told_of_one(list(group), width, debug)
    return results


def _told_of_one(cases: Sequence[Case], width: int, debug: bool) -> list[Result]:
    """An error is told once, with its place; the other checks that fail by it say so, and how many they are."""
    first: dict[str, str] = {}
    results = []
    for case in cases:
        result = case.run()
        results.append(result)
        cause = _cause(result)
        above = first.setdefault(cause, case.check.name) if cause else case.check.name
        said = result.reason if above == case.check.name else f"as above ({above})"
        click.echo(_line(case, result.status, said, width))
        if debug and result.traceback:
            click.echo(clean_ends(result.traceback, LONGEST_TRACEBACK), err=True)
    if summary := _summary(results):
        click.echo(f"  {summary}")
    return results


def _cause(result: Result) -> str:
    """What broken checks have in common: the place where an error arose, or the reason where nothing was raised."""
    if result.status != "broken":
        return ""
    place = re.search(r"\([^()]+ line \d+, in [^()]+\)$", result.reason) if result.traceback else None
    return place[0] if place else result.reason


def _summary(results: Sequence[Result]) -> str:
    causes = Counter(_cause(result) for result in results if result.status == "broken")
    if causes.total() < 2:
        return ""
    alike = max(causes.values())
    by = f", {'all' if alike == causes.total() else alike} by one error" if alike > 1 else ""
    return f"{causes.total()} of {len(results)} checks are broken{by}"


def _line(case: Case, status: str, reason: str, width: int) -> str:
    said = f": {clean_line(reason, LONGEST_REASON)}" if reason else ""
    return f"  {case.check.name.ljust(width)}  {status}{said}"


def _row(case: Case, result: Result) -> dict[str, Any]:
    return {"of": case.of, "name": case.label, "check": case.check.name, **result._asdict()}
