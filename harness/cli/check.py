"""`harness check`: whether methods, data sets and metrics keep the contract."""

from __future__ import annotations

import json
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

    A NAME may carry parameters, as in 'saf[variant=final]'. Methods are tried on tiny generated data of every kind that
    they declare. What is tested: harness list checks. Ends with exit code 1 if a promise is broken.
    """
    from harness import testing

    cases = [
        case for name in names for case in testing.cases(session.catalog, name, _resolved(session, device), data_dir)
    ]
    results = []
    for index, case in enumerate(cases):
        if style == "text" and (index == 0 or _head(case) != _head(cases[index - 1])):
            click.echo(("\n" if index else "") + _head(case))
        results.append(case.run())
        if style == "text":
            click.echo(_line(case, results[-1], max(len(each.check.name) for each in cases)))
            if session.debug and results[-1].traceback:
                click.echo(clean_ends(results[-1].traceback, LONGEST_TRACEBACK), err=True)
    if style == "json":
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


def _line(case: Case, result: Result, width: int) -> str:
    reason = f": {clean_line(result.reason, LONGEST_REASON)}" if result.reason else ""
    return f"  {case.check.name.ljust(width)}  {result.status}{reason}"


def _row(case: Case, result: Result) -> dict[str, Any]:
    return {"of": case.of, "name": case.label, "check": case.check.name, **result._asdict()}
