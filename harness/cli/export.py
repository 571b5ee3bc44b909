"""`harness export`: a trained network in a format that others read, checked before it is reported as written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from harness.cli.amounts import Amount
from harness.cli.data import DATA_DIR
from harness.cli.places import Folder
from harness.cli.session import Session
from harness.cli.wanted import RESULTS
from harness.records.lookup import find_record
from harness.records.store import Store
from harness.results.gathering import gather_records
from harness.trials.export_formats import find_format
from harness.trials.exporting import Exported, export_network, require_place
from harness.types import Record
from harness.words import clean_line, format_count, format_size

EXAMPLES = """\b
Examples:
  harness run --methods saf --keep-weights
  harness export saf/digits/0 --to nir digits.nir
"""
TOLERANCE = "How far the file's predictions may be from the trial's.  [default: the format's own, mostly 1e-4]"


class Target(Folder):
    """A file that is to be written; a leading ~ is somebody's home."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        if not str(value):
            self.fail("an empty text; expected a file, such as network.nir", param, ctx)
        return super().convert(value, param, ctx)


@click.command("export", epilog=EXAMPLES)
@click.argument("trial")
@click.argument("path", type=Target())
@click.option("--to", "format_", metavar="FORMAT", required=True, help="What to write; `harness list exports`.")
@RESULTS
@DATA_DIR
@click.option("--tolerance", type=Amount(min=0), help=TOLERANCE)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.pass_obj
def export_(
    session: Session,
    trial: str,
    path: Path,
    format_: str,
    folders: Sequence[Path],
    data_dir: Path | None,
    tolerance: float | None,
    force: bool,
) -> None:
    """Write the trained network of a trial to a file of another format.

    TRIAL is the beginning of its key, or METHOD/DATASET/SEED; it has to have kept its arrays (harness run
    --keep-weights). The file is run on all test rows and compared with what the trial predicted of them: it is at PATH
    only where the two agree.
    """
    require_place(path, force)
    records, sources = gather_records(folders)
    for line in sources:
        click.echo(f"harness: {clean_line(line)}", err=True)
    record = find_record(records, trial)
    chosen_method = record.trial.method
    method = session.catalog.methods.get(chosen_method.name, chosen_method.provider)
    offer = find_format(session.catalog, format_, method)
    store = _find_store(record, folders)
    exported = export_network(session.catalog, record, store, offer, path, data=data_dir, tolerance=tolerance)
    click.echo(describe_export(exported))


def _find_store(record: Record, folders: Sequence[Path]) -> Store:
    """The results folder that the record was read from."""
    known = ((store := Store(folder), store.find_any(record.trial.key)) for folder in folders)
    return next(store for store, last in known if last is not None and last.finished == record.finished)


def describe_export(exported: Exported) -> str:
    """Describe the file that was written, how it was checked, and how it is loaded."""
    found = exported.distance
    strays = f"; {found.beyond} of them further than {exported.tolerance:g}" if found.beyond else ""
    largest = f"largest difference {found.largest:.2g}{strays}"
    by = f" by {exported.reader}" if exported.reader else ""
    return "\n".join(
        [
            f"{exported.path}: {format_size(exported.size)}",
            f"checked: {format_count(found.rows, 'test row')} predicted from the file{by}, {largest}",
            "to load it:",
            *(f"  {line}" for line in exported.load.strip().splitlines()),
        ]
    )
