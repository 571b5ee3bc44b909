"""The records that were asked for, and their summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.catalog import Catalog
from harness.results.choosing import parse_choosing
from harness.results.gathering import gather_plans, gather_records
from harness.results.picking import keep_plans, refuse_unknown_views, resolve_suite, select_of_suite, select_records
from harness.types import Record

if TYPE_CHECKING:
    from harness.records.plans import Planned
    from harness.report import Summary
    from harness.report.rows.selecting import Choosing
    from harness.suites.suite import Comparison


@dataclass(frozen=True)
class Wanted:
    """Records that are wanted, as options name them. metrics: columns, as a list in one text."""

    folders: Sequence[Path]
    suite_name: str | None = None
    methods: str | None = None
    datasets: str | None = None
    target: float | None = None
    select: str | None = None
    select_jointly: bool | None = None
    refit: bool | None = None
    metrics: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Shown:
    """Settings of a printed report. columns: None for the usual ones. choosing: how one configuration of each sweep is
    chosen, if at all. suite: whose published values and claims stand beside what was measured. sources: notes on where
    the records are from. refit: only what was trained anew on training and validation rows.
    """

    columns: Sequence[str] | None
    target: float | None = None
    choosing: Choosing | None = None
    suite: Comparison | None = None
    sources: tuple[str, ...] = ()
    refit: bool = False


@dataclass(frozen=True)
class Gathered:
    """Records as they were asked for, how a report shows them, the plans of their runs, and the folders with both."""

    records: Sequence[Record]
    shown: Shown
    planned: Sequence[Planned] = ()
    folders: Sequence[Path] = ()


def summarise_wanted(catalog: Catalog, wanted: Wanted, every: bool = False) -> Summary:
    """Summarise the records that were asked for. every: all metrics, whatever a suite names.

    Raises UsageError where there are none, or for a name that nobody knows.
    """
    found = gather_wanted(catalog, wanted, every)
    return summarise_records(catalog, found.records, found.shown, found.planned)


def gather_wanted(catalog: Catalog, wanted: Wanted, every: bool = False) -> Gathered:
    """Read the records that were asked for. Raises UsageError as `summarise_wanted` does."""
    suite = resolve_suite(catalog, wanted.suite_name)
    if suite is not None:
        wanted = _add_from_suite(wanted, suite)
    names = None if every else parse_columns(catalog, wanted.metrics)
    records, sources = gather_records(wanted.folders)
    planned = gather_plans(wanted.folders)
    records = _keep_wanted(catalog, wanted, suite, records)
    refuse_unknown_views(names, records, "--metrics")
    shown = Shown(
        names, wanted.target, _choose(catalog, wanted, suite, records), suite, tuple(sources), bool(wanted.refit)
    )
    if wanted.methods or wanted.datasets or suite is not None:
        planned = keep_plans(planned, records)
    return Gathered(records, shown, planned, wanted.folders)


def summarise_records(
    catalog: Catalog, records: Sequence[Record], shown: Shown, planned: Sequence[Planned] = ()
) -> Summary:
    """Summarise records in the order of their methods, with what a suite says beside them. planned: by runs."""
    from harness.report import summarise, with_suite

    metrics = catalog.metrics.values()
    summary = summarise(
        records,
        metrics,
        columns=shown.columns,
        target=shown.target,
        select=shown.choosing,
        planned=planned,
        refit=shown.refit,
    )
    if shown.suite is not None:
        summary = with_suite(summary, records, metrics, shown.suite, shown.target, planned)
    return replace(summary, notes=(*shown.sources, *summary.notes))


def parse_columns(catalog: Catalog, text: str | None, option: str = "--metrics") -> list[str] | None:
    """The names of a --metrics list, such as accuracy,accuracy@best. Raises UsageError for one that nobody offers."""
    if text is None:
        return None
    from harness.selections import selection

    names = selection.parse_names(text, option)
    for name in names:
        catalog.metrics.get(name.partition("@")[0])
    return names


def _add_from_suite(wanted: Wanted, suite: Comparison) -> Wanted:
    """Add what a suite says where the command does not."""
    request = suite.request
    return replace(
        wanted,
        metrics=wanted.metrics or request.metrics,
        target=request.target if wanted.target is None else wanted.target,
        select=wanted.select or request.select,
        select_jointly=request.select_jointly if wanted.select_jointly is None else wanted.select_jointly,
        refit=request.refit if wanted.refit is None else wanted.refit,
    )


def _keep_wanted(catalog: Catalog, wanted: Wanted, suite: Comparison | None, records: Sequence[Record]) -> list[Record]:
    if suite is not None:
        records = select_of_suite(catalog, suite, records, wanted.methods, wanted.datasets)
    records = select_records(records, wanted.methods, "--methods")
    return select_records(records, wanted.datasets, "--datasets")


def _choose(catalog: Catalog, wanted: Wanted, suite: Comparison | None, records: Sequence[Record]) -> Choosing:
    methods = wanted.methods or (suite.request.methods if suite else None)
    items, datasets = (methods,) if methods else (), [record.trial.dataset for record in records]
    how = parse_choosing(catalog, wanted.select, wanted.select_jointly, wanted.refit, items, datasets)
    ended = [record for record in records if record.status == "ok"]
    refuse_unknown_views([wanted.select] if wanted.select else [], ended, "--select")
    return how
