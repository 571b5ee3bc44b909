"""`harness data`: the files of data sets, ours and everyone's."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import click

from harness.cli.session import Session
from harness.cli.tables import output_width, tabulate
from harness.data import files
from harness.data.differences import Entry
from harness.errors import HarnessError
from harness.selections import expansion, selection
from harness.types import Dataset, Folder
from harness.words import clean_line, clean_text, format_count, format_size

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from harness.data.transfers import Report

DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    callback=lambda *values: files.resolve_folder(values[-1]),
    help="Folder with data sets.  [env: HARNESS_DATA_DIR; default: a folder in your cache]",
)
Needed: TypeAlias = tuple[str, Sequence[Entry]]

LONGEST_LINE = 2_000
NONE = "needs no files"
COLUMNS = ("name", "kind", "files", "size", "licence", "summary")
WORDS = {
    "missing": "missing",
    "incomplete": "incomplete",
    "surplus": "with too many files",
    "size": "of wrong size",
    "unreadable": "unreadable",
}


@click.group("data")
def data_group() -> None:
    """List, fetch and verify the files of data sets. A run never fetches any."""


@data_group.command("list")
@DATA_DIR
@click.pass_obj
def list_datasets(session: Session, data_dir: Path) -> None:
    """List the data sets, and which of their files are in the data folder."""
    rows = [_describe_dataset(offer.value, data_dir) for offer in session.catalog.datasets.offers()]
    # Programs read this: only a terminal gets folded rows.
    click.echo(tabulate(COLUMNS, rows, output_width() if sys.stdout.isatty() else None))
    click.echo(f"data folder: {data_dir}")


def _describe_dataset(dataset: Dataset, folder: Path) -> list[str]:
    needed, problem = _read_declared(dataset)
    state = problem or _describe_presence(needed, folder)
    return [dataset.name, dataset.kind, state, _sum_sizes(needed), dataset.licence, dataset.summary]


def _read_declared(dataset: Dataset) -> tuple[Sequence[Entry], str]:
    """The files of a data set, or why its plugin cannot say which: one bad plugin must not hide the others."""
    try:
        return files.list_declared(dataset), ""
    except HarnessError as error:
        return (), clean_line(str(error))


def _describe_presence(needed: Sequence[Entry], folder: Path) -> str:
    """Describe the presence of files, by name and size; their checksums are for `verify`."""
    count = len(needed)
    if not count:
        return "none needed"
    kinds = [problem.kind for problem in files.check_sizes(needed, folder)]
    wrong = [f"{kinds.count(kind)} of {count} {word}" for kind, word in WORDS.items() if kind in kinds]
    return ", ".join(wrong) or f"{count} present"


def _sum_sizes(needed: Sequence[Entry]) -> str:
    """Sum the declared sizes of all files.

    >>> _sum_sizes([files.File("d", (), bytes=11_594_722)])
    '11.6 MB'
    """
    size = sum(file.bytes or 0 for file in needed)
    return format_size(size) if size else ""


@data_group.command("fetch")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@DATA_DIR
@click.pass_obj
def fetch(session: Session, names: Sequence[str], data_dir: Path) -> None:
    """Fetch the official files of data sets: those that are missing or damaged. Nothing else is touched.

    A name may have options, as in "cifar10[batches=[1,2]]", where these decide which files are needed.
    """
    from harness.data import downloads

    for name, needed in _select_files(session, names):
        with _show_progress() as report:
            placed = downloads.fetch_files(needed, data_dir, report)
        done = f"{_count_entries(needed)} in {data_dir}, {len(placed)} fetched now"
        click.echo(f"{name}: {done if needed else NONE}")


@data_group.command("verify")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@DATA_DIR
@click.pass_obj
def verify(session: Session, names: Sequence[str], data_dir: Path) -> None:
    """Compare files with their official checksums: those of the named data sets, or of all that are there in part.

    A name may have options, as in "cifar10[batches=[1,2]]", where these decide which files are needed.
    Ends with exit code 1 if a file is missing or differs.
    """
    everything = [(dataset.name, _read_declared(dataset)[0]) for dataset in session.catalog.datasets.values()]
    chosen = _select_files(session, names) or [each for each in everything if _is_begun(each[1], data_dir)]
    if not chosen:
        click.echo(f"no data set has files in {data_dir}")
    sound = [_verify_files(name, needed, data_dir) for name, needed in chosen]
    if not all(sound):
        click.get_current_context().exit(1)


def _select_files(session: Session, names: Sequence[str]) -> list[Needed]:
    """The files of each selected data set, with the options that it was selected with."""
    needed: list[Needed] = []
    for selected in (each for name in names for each in selection.parse(name, "NAME")):
        dataset = session.catalog.datasets.offer(selected.full_name).value
        choices = expansion.expand(selected, dataset.config, dataset.name)
        needed += [(choice.label, files.list_declared(dataset, choice.options)) for choice in choices]
    return needed


def _is_begun(needed: Sequence[Entry], folder: Path) -> bool:
    missing = [problem for problem in files.check_sizes(needed, folder) if problem.kind == "missing"]
    return len(missing) < len(needed)


def _verify_files(name: str, needed: Sequence[Entry], folder: Path) -> bool:
    """Print the problems of the files of a data set; return whether there are none."""
    problems = files.verify_files(needed, folder)
    for problem in problems:
        click.echo(clean_text(f"{name}: {problem}", LONGEST_LINE))
    if problems:
        click.echo(f"{name}: {files.describe_remedy(shlex.quote(name), folder)}")
    else:
        state = f"{_count_entries(needed)} in {folder}, {_describe_soundness(needed)}" if needed else NONE
        click.echo(f"{name}: {state}")
    return not problems


def _describe_soundness(needed: Sequence[Entry]) -> str:
    """Vouch for files: those unpacked long ago can be counted, the checksum was that of their archive."""
    folders = [each for each in needed if isinstance(each, Folder)]
    if not folders:
        return "as published"
    return "as far as they are there" if any(each.partial for each in folders) else "complete"


def _count_entries(needed: Sequence[Entry]) -> str:
    """`4 files`, `2 folders`."""
    noun = "folder" if any(isinstance(each, Folder) for each in needed) else "file"
    return format_count(len(needed), noun)


@contextmanager
def _show_progress() -> Iterator[Report]:
    """Bars on a terminal, elsewhere one line for every address that answers."""
    if not sys.stderr.isatty():
        yield _report_lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        yield _report_bars(bars)


def _report_lines() -> Report:
    seen: set[str] = set()

    def show_address(url: str, done: int, total: int) -> None:
        del done, total
        if url not in seen:
            seen.add(url)
            click.echo(clean_line(f"fetching {url}"), err=True)

    return show_address


def _report_bars(bars: Progress) -> Report:
    tasks: dict[str, TaskID] = {}

    def show_bytes(url: str, done: int, total: int) -> None:
        if url not in tasks:
            tasks[url] = bars.add_task(clean_line(url.rpartition("/")[2]))
        bars.update(tasks[url], completed=done, total=total or None)

    return show_bytes
