"""`harness report` and `harness show`: what the records of a results folder say, from the files alone."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.catalog import Catalog
from harness.errors import UsageError
from harness.options import suggest
from harness.types import Choice, Metric, Record

if TYPE_CHECKING:
    from harness.cli.session import Session
    from harness.selection import Selected
    from harness.suite import Comparison

EXAMPLES = """\b
Examples:
  harness report
  harness report --methods saf,ottt --metrics accuracy,accuracy@best,train_seconds
  harness report --target 0.95
  harness report --select nll@valid
  harness report --suite comparison.toml --format markdown
  harness report --format latex --output table.tex
"""

SHOW_EXAMPLES = """\b
Examples:
  harness show 3f9a
  harness show saf/digits/0
  harness show "saf[steps=4]/digits/0" --format json
"""

PLAIN_WIDTH = 100

RESULTS = click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Where the records are.",
)


@dataclass(frozen=True)
class Shown:
    """What to print of records. columns: None for the usual ones. select: whose validation score chooses one
    configuration of each sweep. items: further sweeps, as `report.selecting.choose` takes them. suite: whose published
    values and claims stand beside what was measured.
    """

    columns: Sequence[str] | None
    target: float | None = None
    select: Metric | None = None
    items: tuple[str, ...] = ()
    suite: Comparison | None = None


@click.command(epilog=EXAMPLES)
@RESULTS
@click.option("--suite", "suite_name", metavar="NAME|FILE", help="Only its trials, with its claims; flags override.")
@click.option("--methods", metavar="LIST", help="Only these, written as for `harness run`.")
@click.option("--datasets", metavar="LIST", help="Only these, likewise.")
@click.option("--metrics", metavar="LIST", help="Columns; a suffix names a view: accuracy@best, accuracy@valid.")
@click.option("--target", type=float, help="Report the training time until validation reaches this score.")
@click.option("--select", metavar="METRIC@valid", help="Of each sweep, only the choice that validation finds best.")
@click.option("--format", "format_", metavar="text|markdown|latex|csv|json", default="text", help="[default: text]")
@click.option("--output", metavar="FILE|-", default="-", help="Where to write it.  [default: standard output]")
@click.pass_obj
def report(
    session: Session,
    results: Path,
    suite_name: str | None,
    methods: str | None,
    datasets: str | None,
    metrics: str | None,
    target: float | None,
    select: str | None,
    format_: str,
    output: str,
) -> None:
    """Print the comparison from the records of a results folder: mean and deviation over seeds, costs, failures."""
    check_format(format_)
    names = columns(session.catalog, metrics)
    suite = _suite(session.catalog, suite_name)
    records = _read(results)
    if suite is not None:
        records = _of_suite(session.catalog, suite, records, methods, datasets)
    records = _only(records, methods, "--methods")
    records = _only(records, datasets, "--datasets")
    if suite is not None:
        target = suite.request.target if target is None else target
        select = select or suite.request.select
    _check_views(names, records, "--metrics")
    chooser = criterion(session.catalog, select)
    _check_views([select] if select else [], [record for record in records if record.status == "ok"], "--select")
    methods = methods or (suite.request.methods if suite else None)
    asked = Shown(names, target, chooser, (methods,) if methods else (), suite)
    print_summary(session.catalog, records, asked, format_, output)


@click.command(epilog=SHOW_EXAMPLES)
@click.argument("trial")
@RESULTS
@click.option("--format", "format_", metavar="text|json", default="text", help="[default: text]")
@click.pass_obj
def show(session: Session, trial: str, results: Path, format_: str) -> None:
    """Show everything that is known of one trial: TRIAL is the beginning of its key, or METHOD/DATASET/SEED."""
    check_format(format_, ("text", "json"))
    record = _find(_read(results), trial)
    if format_ == "json":
        import json

        from harness.store import to_json

        click.echo(json.dumps(to_json(record), indent=1, allow_nan=False, ensure_ascii=False))
        return
    from harness.report import render_record

    click.echo(render_record(record, session.catalog.metrics.values(), _width(), _colour()), nl=False)


def print_summary(
    catalog: Catalog,
    records: Sequence[Record],
    shown: Shown,
    format_: str = "text",
    output: str = "-",
) -> None:
    """Summarise records in the order of their methods and print them, or write them to a file.

    Raises UsageError for a file that cannot be written.
    """
    from harness.report import render, summarise, with_suite

    metrics = catalog.metrics.values()
    summary = summarise(
        records,
        metrics,
        columns=shown.columns,
        target=shown.target,
        select=shown.select,
        items=shown.items,
    )
    if shown.suite is not None:
        summary = with_suite(summary, records, metrics, shown.suite, shown.target)
    if output == "-":
        click.echo(render(summary, format_, _width(), _colour()), nl=False, color=True)
        return
    try:
        Path(output).write_text(render(summary, format_), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"--output {output}: not written ({error.strerror}); name a file in a folder that exists"
        ) from error


def criterion(catalog: Catalog, text: str | None) -> Metric | None:
    """The metric of --select nll@valid. Raises UsageError for one that has no validation score."""
    if text is None:
        return None
    from harness.report.selecting import criterion

    return criterion(text, catalog.metrics.values())


def columns(catalog: Catalog, text: str | None) -> list[str] | None:
    """The names of a --metrics list, such as accuracy,accuracy@best. Raises UsageError for one that nobody offers."""
    if text is None:
        return None
    from harness import selection

    names = selection.words(text, "--metrics")
    for name in names:
        catalog.metrics.get(name.partition("@")[0])
    return names


def check_format(name: str, known: Sequence[str] | None = None) -> None:
    """Raises UsageError for a format that is not offered."""
    from harness.report import FORMATS

    known = known or FORMATS
    if name not in known:
        raise UsageError(f"--format {name}: unknown{suggest(name, known)}; known: {', '.join(known)}")


# --- records ------------------------------------------------------------------------------------------------------


def _read(results: Path) -> list[Record]:
    """The records of a folder; what cannot be read is named on stderr."""
    from harness.store import Store

    store = Store(results)
    if not store.trials.is_dir():
        raise UsageError(
            f"results folder {results}: no records there; `harness run` makes some, --results names another"
        )
    records, problems = store.records()
    for problem in problems:
        click.echo(f"harness: {problem}", err=True)
    if not records:
        raise UsageError(f"results folder {results}: no records that can be read; `harness run` makes some")
    return records


def _only(records: Sequence[Record], text: str | None, option: str) -> list[Record]:
    """The records of the selected methods (or data sets), in the order in which those are selected."""
    if text is None:
        return list(records)
    from harness import selection

    kept: dict[str, Record] = {}
    for selected in selection.parse(text, option):
        found = [record for record in records if _selects(selected, _choice(record, option))]
        if not found:
            labels = list(dict.fromkeys(_choice(record, option).label for record in records))
            names = [_choice(record, option).name for record in records]
            close = suggest(selected.name, [*names, *labels])
            raise UsageError(f"{option} {text}: no record of {selected.name!r}{close} (records: {', '.join(labels)})")
        kept |= {record.trial.key: record for record in found if record.trial.key not in kept}
    return list(kept.values())


def _suite(catalog: Catalog, name: str | None) -> Comparison | None:
    if name is None:
        return None
    from harness import references

    return references.find(catalog, name)


def _of_suite(
    catalog: Catalog, suite: Comparison, records: Sequence[Record], methods: str | None, datasets: str | None
) -> list[Record]:
    """The records of the suite's methods and data sets, unless the command names its own."""
    from harness import references

    said = replace(suite.request, methods=None if methods else suite.request.methods)
    kept = references.selected(catalog, replace(said, datasets=None if datasets else said.datasets), records)
    if not kept:
        raise UsageError(f"suite {suite.path}: none of the records is of its methods; `harness run --suite` makes some")
    return kept


def _choice(record: Record, option: str) -> Choice:
    return record.trial.method if option == "--methods" else record.trial.dataset


def _selects(selected: Selected, choice: Choice) -> bool:
    """By name, and by the options that were resolved: `saf[steps=4]` selects `saf` if its default is 4."""
    provided = selected.provider is None or choice.provider in (None, selected.provider)
    return (
        provided
        and selected.name == choice.name
        and all(
            any(all(_same(choice.options.get(n), v) for n, v in zip(names, row, strict=True)) for row in rows)
            for names, rows in selected.sweeps
        )
    )


def _same(recorded: Any, wanted: Any) -> bool:
    """Whether a value from a file, where a tuple is a list, is the one that was written on the command line."""
    if isinstance(recorded, (list, tuple)):
        return isinstance(wanted, (list, tuple)) and [*map(str, recorded)] == [*map(str, wanted)]
    if isinstance(recorded, bool) and isinstance(wanted, str):
        return wanted.lower() in (("true", "yes") if recorded else ("false", "no"))
    return bool(recorded == wanted)


def _check_views(names: Iterable[str] | None, records: Sequence[Record], option: str) -> None:
    """A suffix that no record has is a slip of the pen, not a hole."""
    known = {name for record in records for name in record.scores if "@" in name}
    for name in names or ():
        if "@" in name and name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise UsageError(f"{option} {name}: no record has such a score{suggest(name, known)}; views here: {listed}")


def _find(records: Sequence[Record], text: str) -> Record:
    """The one record that a key's beginning or METHOD/DATASET/SEED names. Raises UsageError for none or several."""
    exact = [record for record in records if text in (record.trial.key, _title(record))]
    found = exact or [record for record in records if text and record.trial.key.startswith(text)]
    if len(found) == 1:
        return found[0]
    if not found:
        titles = [_title(record) for record in records]
        known = f"the {len(records)} records are {', '.join(titles[:6])}{', ...' if len(titles) > 6 else ''}"
        raise UsageError(f"trial {text!r}: no such record{suggest(text, titles)}; {known}")
    listed = "".join(f"\n  {record.trial.key}  {_title(record)}, {_setting(record)}" for record in found)
    raise UsageError(f"trial {text!r} is one of {len(found)}; name it by its key:{listed}")


def _title(record: Record) -> str:
    return f"{record.trial.method.label}/{record.trial.dataset.label}/{record.trial.seed}"


def _setting(record: Record) -> str:
    trial = record.trial
    return f"{trial.budget.amount:g} {trial.budget.unit}, {trial.device}, {trial.precision}, {record.status}"


# --- terminal -----------------------------------------------------------------------------------------------------


def _width() -> int:
    return shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns


def _colour() -> bool:
    """Colours on a terminal that wants them (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
