"""`harness merge`, `harness why`, `harness replay`: records of other machines and of other days, once more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.amounts import Count
from harness.cli.places import Folder
from harness.cli.wanted import METHODS, RESULTS
from harness.data import files
from harness.errors import UsageError
from harness.records.lookup import find_record
from harness.results.gathering import gather_records
from harness.results.picking import select_records
from harness.words import clean_line, format_count

if TYPE_CHECKING:
    from harness.cli.session import Session
    from harness.types import Record

LONGEST_LINE = 2_000

MERGE_EXAMPLES = """\b
Examples:
  harness merge results other-machine/results --into all
  harness report --results all
"""
WHY_EXAMPLES = """\b
Examples:
  harness why 3f9a
  harness why saf/digits/0
"""
REPLAY_EXAMPLES = """\b
Examples:
  harness replay saf/digits/0
  harness replay results/saf-digits --seed 0
"""

DATA = click.option(
    "--data-dir", "data", type=click.Path(path_type=Path), help="Folder with data sets.  [env: HARNESS_DATA_DIR]"
)


@click.command(epilog=MERGE_EXAMPLES)
@click.argument("folders", nargs=-1, type=Folder(), metavar="FOLDER FOLDER...")
@click.option("--into", type=Folder(), required=True, help="A folder without records.")
def merge(folders: Sequence[Path], into: Path) -> None:
    """Copy the records of several results folders into one; of a trial that two have, the newest that ended ok.

    Trials whose records differ in their scores are named.
    """
    from harness.results.merging import merge_folders

    lines, clashes, problems = merge_folders(folders, into)
    for problem in problems:
        click.echo(f"harness: {clean_line(problem)}", err=True)
    for line in lines:
        click.echo(clean_line(line))
    if clashes:
        click.echo(f"{format_count(len(clashes), 'trial')} with other scores:")
    for clash in clashes:
        click.echo(f"  {clean_line(clash.describe(), LONGEST_LINE)}")


@click.command(epilog=WHY_EXAMPLES)
@click.argument("trial")
@RESULTS
@DATA
@click.pass_obj
def why(session: Session, trial: str, folders: Sequence[Path], data: Path | None) -> None:
    """Say which part of a trial's key has changed since its record was taken, from what to what, by which commit."""
    from harness.results.changes import explain_changes

    record = find_record(_read_records(folders), trial)
    shown = f"{record.trial.key}  {record.trial.method.label} on {record.trial.dataset.label}, seed {record.trial.seed}"
    click.echo(clean_line(f"{shown}, of {record.finished[:10]}"))
    for line in explain_changes(session.catalog, record, data):
        click.echo(f"  {clean_line(line, LONGEST_LINE)}")


@click.command(epilog=REPLAY_EXAMPLES)
@click.argument("what", metavar="TRIAL|FOLDER")
@RESULTS
@click.option("--methods", metavar="LIST", help=METHODS)
@click.option("--seed", "seeds", type=Count(min=0), multiple=True, metavar="N", help="Only this seed; may be repeated.")
@DATA
@click.option("--noise", is_flag=True, help="Exit with 0 also where differences are within the noise over seeds.")
@click.option("--here", is_flag=True, help="Run in this process, for a debugger.")
@click.pass_obj
def replay(
    session: Session,
    what: str,
    folders: Sequence[Path],
    methods: str | None,
    seeds: Sequence[int],
    data: Path | None,
    noise: bool,
    here: bool,
) -> int:
    """Run records again under their own terms: to the digit, within noise, or different and where.

    TRIAL is the beginning of a key, or METHOD/DATASET/SEED. Exit code 1 unless all are the same to the digit.
    """
    from harness.results.replaying import replay_records

    is_folder = (Path(what) / "trials").is_dir()
    known = _read_records([Path(what)] if is_folder else folders)
    asked = select_records(known if is_folder else [find_record(known, what)], methods, "--methods")
    chosen = [each for each in asked if each.status == "ok" and (not seeds or each.trial.seed in seeds)]
    if not chosen:
        raise UsageError(f"replay {what}: no record that ended ok and is of what was asked for")
    found = replay_records(session.catalog, chosen, known, files.resolve_folder(data).absolute(), here)
    for each in found:
        for line in each.describe():
            click.echo(f"{'  ' if line.startswith(' ') else ''}{clean_line(line.strip(), LONGEST_LINE)}")
    good = ("to the digit", "within noise") if noise else ("to the digit",)
    verdicts = [each.verdict for each in found]
    counted = ", ".join(f"{verdicts.count(word)} {word}" for word in dict.fromkeys(verdicts))
    click.echo(f"{format_count(len(found), 'trial')}: {counted}")
    return 0 if set(verdicts) <= set(good) else 1


def _read_records(folders: Sequence[Path]) -> list[Record]:
    records, sources = gather_records(folders)
    for line in sources:
        click.echo(f"harness: {clean_line(line)}", err=True)
    return records
