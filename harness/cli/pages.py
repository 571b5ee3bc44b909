"""The report as a page: where it is written, opened, and what it cites."""

from __future__ import annotations

import tempfile
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.catalog import Catalog
from harness.errors import UsageError
from harness.types import Trial

if TYPE_CHECKING:
    from harness.report import Summary

LAST = 4000  # bytes of a log


def choose_page(format_: str, output: str) -> tuple[str, str]:
    """The format and the file of a page that is to be opened: without a file of its own a temporary one.

    Raises UsageError for another format.
    """
    if format_ not in ("text", "html"):
        raise UsageError(f"--open shows a page, not --format {format_}; give --format html or leave it out")
    if output == "-":
        output = str(Path(tempfile.mkdtemp(prefix="harness-")) / "report.html")
    return "html", output


def open_page(path: Path) -> None:
    """Open a page in the browser, and say where it is."""
    opened = webbrowser.open(path.absolute().as_uri())
    click.echo(f"harness: {path}{'' if opened else ' (no browser was found to open it)'}", err=True)


def gather_citations(catalog: Catalog, summary: Summary) -> dict[str, str]:
    """How to cite the methods of a summary, what they start from and their data sets, as far as is known here."""
    records = (record for table in summary.tables for row in table.rows for record in row.records)
    trials = [each for record in records for each in _list_lineage(record.trial)]
    methods = {each.name: each.citation or each.paper for each in catalog.methods.values()}
    datasets = {each.name: each.citation for each in catalog.datasets.values()}
    found = {trial.method.name: methods.get(trial.method.name, "") for trial in trials}
    found |= {trial.dataset.name: datasets.get(trial.dataset.name, "") for trial in trials}
    return {name: text for name, text in found.items() if text}


def gather_logs(folders: Sequence[Path], summary: Summary) -> dict[str, str]:
    """The last lines that each trial printed which did not end ok, as far as its log is in one of the folders."""
    records = (record for table in summary.tables for row in table.rows for record in row.records)
    keys = [record.trial.key for record in records if record.status != "ok"]
    paths = [(key, folder / "logs" / f"{key}.log") for key in keys for folder in folders]
    return {key: text for key, path in paths if (text := _read_end(path))}


def _read_end(path: Path) -> str:
    """The last characters of a file; nothing of one that cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LAST))
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""


def _list_lineage(trial: Trial | None) -> list[Trial]:
    return [] if trial is None else [trial, *_list_lineage(trial.base)]
