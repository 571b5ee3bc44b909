"""`harness check`: whether methods, data sets and metrics keep the contract."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.session import Session
from harness.words import clean_ends, clean_label, clean_line, escape_controls

if TYPE_CHECKING:
    from harness.testing import Case, Result
    from harness.testing.isolation import CaseGroup

SCHEMA = 1
BROKEN = 1
LONGEST_REASON = 1_000
LONGEST_TEXT = 20_000


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--device", default="cpu", metavar="cpu|cuda|cuda:N", help="Where methods are tried.", show_default=True)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder with data sets.  [env: HARNESS_DATA_DIR]")
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", help="How to print it.")
@click.pass_obj
def check(session: Session, names: Sequence[str], device: str, data_dir: Path | None, style: str) -> int:
    """Test methods, data sets and metrics for what each of its kind has to keep.

    A NAME may carry parameters, as in 'saf[variant=final]', or be a .py file: all that it offers is tested then.
    Methods are tried on tiny generated data of every kind that they declare. What is tested: harness list checks. Each
    is tested in a process of its own; what it prints there is shown under --debug. Ends with exit code 1 if a promise
    is broken.
    """
    from harness.testing import isolation

    catalog, device = session.catalog, _resolve_device(session, device)
    subjects = [
        subject
        for name in dict.fromkeys(names)
        for subject in isolation.group_cases(catalog, session.settings, name, device, data_dir)
    ]
    preload = [module for offer in catalog.backends.values() for module in offer.preload]
    with isolation.Isolation(preload) as isolated:
        found = itertools.chain.from_iterable(isolated.results(subject.errand) for subject in subjects)
        results = _print_text(subjects, found, session.debug) if style == "text" else _print_json(subjects, found)
    return BROKEN if any(result.status == "broken" for result in results) else 0


def _resolve_device(session: Session, device: str) -> str:
    """Raises UsageError for a device that is not there."""
    from harness.catalog import resolve

    for offer in session.catalog.backends.values():
        device = resolve(offer.check)(device, "fp32", 1)
    return device


def _name_subject(case: Case) -> str:
    return f"{NOUNS[case.of]} {clean_label(case.label)}"


NOUNS = {"method": "method", "dataset": "data set", "metric": "metric"}


def _print_text(subjects: Sequence[CaseGroup], found: Iterator[Result], debug: bool) -> list[Result]:
    """Print a line for each check as it ends, under the name of its subject."""
    width = max((len(case.check.name) for subject in subjects for case in subject.cases), default=0)
    results: list[Result] = []
    for number, subject in enumerate(subjects):
        click.echo(("\n" if number else "") + _name_subject(subject.cases[0]))
        results += _print_subject(subject.cases, found, width, debug)
    return results


def _print_subject(cases: Sequence[Case], found: Iterator[Result], width: int, debug: bool) -> list[Result]:
    """An error is told once, with its place; the other checks that fail by it say so, and how many they are."""
    first: dict[str, str] = {}
    results = []
    for case in cases:
        with _name_if_interrupted(case, width):
            result = next(found)
        results.append(result)
        cause = _find_cause(result)
        above = first.setdefault(cause, case.check.name) if cause else case.check.name
        said = result.reason if above == case.check.name else f"as above ({above})"
        click.echo(_format_result(case, result.status, said, width))
        for text in filter(None, (result.traceback, result.printed) if debug else ()):
            click.echo(clean_ends(text, LONGEST_TEXT), err=True)
    if summary := _summarise_broken(results):
        click.echo(f"  {summary}")
    return results


@contextlib.contextmanager
def _name_if_interrupted(case: Case, width: int) -> Iterator[None]:
    """A check that hangs is ended by Ctrl-C alone, and who presses it asks which it is."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(_format_result(case, "interrupted", "", width))
        raise


def _print_json(subjects: Sequence[CaseGroup], found: Iterator[Result]) -> list[Result]:
    """Print one document; where an interrupt ends it, of the results known by then."""
    cases = [case for subject in subjects for case in subject.cases]
    results: list[Result] = []
    said: dict[str, Any] = {"schema": SCHEMA}
    try:
        for result in found:
            results.append(result)  # noqa: PERF402 - what has come before an interrupt is there then
    except KeyboardInterrupt:
        said["interrupted"] = _describe_case(cases[len(results)])
        raise
    finally:
        said["results"] = [_describe_result(case, result) for case, result in zip(cases, results, strict=False)]
        click.echo(escape_controls(json.dumps(said, indent=1, ensure_ascii=False)))
    return results


def _find_cause(result: Result) -> str:
    """Find the cause that broken checks share: the place of an error, or the reason where nothing was raised."""
    if result.status != "broken":
        return ""
    place = re.search(r"\([^()]+ line \d+, in [^()]+\)$", result.reason) if result.traceback else None
    return place[0] if place else result.reason


def _summarise_broken(results: Sequence[Result]) -> str:
    causes = Counter(_find_cause(result) for result in results if result.status == "broken")
    if causes.total() < 2:
        return ""
    alike = max(causes.values())
    by = f", {'all' if alike == causes.total() else alike} by one error" if alike > 1 else ""
    return f"{causes.total()} of {len(results)} checks are broken{by}"


def _format_result(case: Case, status: str, reason: str, width: int) -> str:
    said = f": {clean_line(reason, LONGEST_REASON)}" if reason else ""
    return f"  {case.check.name.ljust(width)}  {status}{said}"


def _describe_result(case: Case, result: Result) -> dict[str, Any]:
    return _describe_case(case) | result._asdict()


def _describe_case(case: Case) -> dict[str, Any]:
    return {"of": case.of, "name": case.label, "check": case.check.name}
