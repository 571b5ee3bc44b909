"""Methods held against each other: by table, example by example, over data sets, and what sweeps were worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.catalog import Catalog
from harness.errors import UsageError
from harness.results.summaries import Gathered, summarise_records

if TYPE_CHECKING:
    from harness.report.formats.versus_table import Found


def compare_gathered(
    catalog: Catalog,
    gathered: Gathered,
    all_pairs: bool = False,
    detect: float | None = None,
    tuning: bool = False,
) -> Found:
    """Compare the methods of every table. detect: a difference to find the number of seeds for. tuning: sweeps as well.

    Raises UsageError where no table has two methods with trials that ended ok, or nothing says what chooses in sweeps.
    """
    from harness.records.example_files import find_examples
    from harness.report.formats.versus_table import Found
    from harness.report.rows.over_datasets import compare_over_datasets
    from harness.report.rows.tuning import weigh_sweeps
    from harness.report.rows.versus import compare_table
    from harness.report.wording.cleaning import clean_summary

    choosing = gathered.shown.choosing
    weighed = weigh_sweeps(gathered.records, choosing) if tuning and choosing else []
    if tuning and not weighed:
        raise UsageError("--tuning: say which validation score chooses, as in --select nll@valid")
    summary = clean_summary(summarise_records(catalog, gathered.records, gathered.shown, gathered.planned))
    tables = [table for table in summary.tables if sum(bool(row.n) for row in table.rows) > 1]
    if not tables and not weighed:
        raise UsageError(
            "nothing to compare: no table has two methods with trials that ended ok; harness report shows them"
        )
    ended = [record for table in tables for row in table.rows for record in row.records if record.status == "ok"]
    known = {record.trial.key: find_examples(gathered.folders, record) for record in ended}
    return Found(
        [compare_table(table, summary.metrics, all_pairs, detect, known) for table in tables],
        compare_over_datasets(tables, summary.metrics, all_pairs),
        weighed,
    )
