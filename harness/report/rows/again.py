"""The command that runs trials again which have a record."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from harness.records.grouping import list_lineage
from harness.report.rows.table import Row, Table
from harness.types import Trial
from harness.words import clean_line

LONGEST = 20_000  # a command may name many methods


def write_row_command(row: Row) -> str:
    """Write the command that runs the trials of a row again; empty for a row without records."""
    if not row.records:
        return ""
    seeds = sorted({*row.planned, *(record.trial.seed for record in row.records)})
    return _write_term([row.method], seeds, row.records[0].trial, row.selected_by)


def write_table_command(table: Table) -> str:
    """Write the command that runs all trials of a table again; empty for a table without records."""
    rows = [row for row in table.rows if row.records]
    if not rows:
        return ""
    seeds = {seed for row in rows for seed in (*row.planned, *(record.trial.seed for record in row.records))}
    chosen = next((row.selected_by for row in rows if row.selected_by), None)
    return _write_term([row.method for row in rows], sorted(seeds), rows[0].records[0].trial, chosen)


def _write_term(methods: Iterable[str], seeds: Sequence[int], trial: Trial, chosen: str | None) -> str:
    """A command with every term of a trial that is not at its default; those of what its own epochs go on from."""
    terms = list_lineage(trial)[0].terms.stated()
    budget = terms.pop("budget")
    words = ["harness", "run", "--methods", ",".join(methods), "--datasets", trial.dataset.label]
    words += ["--seeds", write_seeds(seeds), f"--{budget.unit}", f"{budget.amount!r}"]
    for name, value in terms.items():
        option = f"--{name.replace('_', '-')}"
        words += [option] if value is True else [option, str(value)]
    words += ["--select", chosen] if chosen else []
    words += ["--refit"] if trial.refit else []
    return clean_line(shlex.join(words), LONGEST)


def write_seeds(seeds: Sequence[int]) -> str:
    """Write seeds as `--seeds` takes them.

    >>> write_seeds([0, 1, 2]), write_seeds([2, 5])
    ('3', '[2,5]')
    """
    return str(len(seeds)) if list(seeds) == list(range(len(seeds))) else f"[{','.join(map(str, seeds))}]"
