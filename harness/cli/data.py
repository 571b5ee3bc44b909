"""`harness data`: the files of data sets, ours and everyone's."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness import files
from harness.cli import views
from harness.cli.session import Session
from harness.types import Dataset

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from harness.downloads import Report

DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    callback=lambda *values: files.folder(values[-1]),
    help="Folder with data sets.  [env: HARNESS_DATA_DIR; default: a folder in your cache]",
)
COLUMNS = ("name", "kind", "files", "size", "licence", "summary")
WORDS = {"missing": "missing", "size": "of wrong size", "unreadable": "unreadable"}


@click.group("data")
def data() -> None:
    """List, fetch and verify the files of data sets. A run never fetches any."""


@data.command("list")
@DATA_DIR
@click.pass_obj
def list_(session: Session, data_dir: Path) -> None:
    """List the data sets, and which of their files are in the data folder."""
    rows = [_row(offer.value, data_dir) for offer in session.catalog.datasets.offers()]
    click.echo(views.table(COLUMNS, rows, views.terminal_width()))
    click.echo(f"data folder: {data_dir}")


def _row(dataset: Dataset, folder: Path) -> list[str]:
    return [dataset.name, dataset.kind, _state(dataset, folder), _size(dataset), dataset.licence, dataset.summary]


def _state(dataset: Dataset, folder: Path) -> str:
    """Which files are there, by name and size; their checksums are for `verify`."""
    count = len(dataset.files)
    if not count:
        return "none needed"
    kinds = [problem.kind for problem in files.glance(dataset.files, folder)]
    wrong = [f"{kinds.count(kind)} of {count} {word}" for kind, word in WORDS.items() if kind in kinds]
    return ", ".join(wrong) or f"{count} present"


def _size(dataset: Dataset) -> str:
    """Of all files together, as declared.

    >>> _size(Dataset("a", "b", "c", print, files=(files.File("d", (), bytes=11_594_722),)))
    '11.6 MB'
    """
    size = float(sum(file.bytes or 0 for file in dataset.files))
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}" if size else ""
        size /= 1000
    return f"{size:.3g} GB"


@data.command("fetch")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@DATA_DIR
@click.pass_obj
def fetch(session: Session, names: Sequence[str], data_dir: Path) -> None:
    """Fetch the official files of data sets: those that are missing or damaged. Nothing else is touched."""
    from harness import downloads

    for dataset in [session.catalog.datasets.get(name) for name in names]:
        with _progress() as report:
            placed = downloads.fetch(dataset.files, data_dir, report)
        count = len(dataset.files)
        click.echo(
            f"{dataset.name}: {_files(count)} in {data_dir}, {len(placed)} fetched now" if count else _none(dataset)
        )


@data.command("verify")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@DATA_DIR
@click.pass_obj
def verify(session: Session, names: Sequence[str], data_dir: Path) -> None:
    """Compare files with their official checksums: those of the named data sets, or of all that are there in part.

    Ends with exit code 1 if a file is missing or differs.
    """
    shelf = session.catalog.datasets
    datasets = [shelf.get(name) for name in names] or [each for each in shelf.values() if _begun(each, data_dir)]
    if not datasets:
        click.echo(f"no data set has files in {data_dir}")
    sound = [_verified(dataset, data_dir) for dataset in datasets]
    if not all(sound):
        click.get_current_context().exit(1)


def _begun(dataset: Dataset, folder: Path) -> bool:
    missing = [problem for problem in files.glance(dataset.files, folder) if problem.kind == "missing"]
    return len(missing) < len(dataset.files)


def _verified(dataset: Dataset, folder: Path) -> bool:
    """Print what is wrong with the files of a data set; whether nothing is."""
    problems = files.check(dataset.files, folder)
    for problem in problems:
        click.echo(f"{dataset.name}: {problem}")
    if problems:
        click.echo(f"{dataset.name}: {files.remedy(dataset.name, folder)}")
    else:
        count = len(dataset.files)
        click.echo(f"{dataset.name}: {_files(count)} in {folder}, as published" if count else _none(dataset))
    return not problems


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _none(dataset: Dataset) -> str:
    return f"{dataset.name}: needs no files"


@contextmanager
def _progress() -> Iterator[Report]:
    """Bars on a terminal, elsewhere one line for every address that answers."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        yield _bars(bars)


def _lines() -> Report:
    seen: set[str] = set()

    def report(url: str, done: int, total: int) -> None:
        del done, total
        if url not in seen:
            seen.add(url)
            click.echo(f"fetching {url}", err=True)

    return report


def _bars(bars: Progress) -> Report:
    tasks: dict[str, TaskID] = {}

    def report(url: str, done: int, total: int) -> None:
        if url not in tasks:
            tasks[url] = bars.add_task(url.rpartition("/")[2])
        bars.update(tasks[url], completed=done, total=total or None)

    return report
