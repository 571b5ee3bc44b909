"""A summary with the published values and claims of its suite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.records import grouping
from harness.records.plans import Planned
from harness.report.rows.comparison import Place, compare_published, judge_claims
from harness.report.rows.planned import Plan
from harness.report.rows.table import Summary
from harness.report.rows.values import Target, base_name, find_target_metric
from harness.suites.suite import Comparison
from harness.types import Metric, Record


def with_suite(
    summary: Summary,
    records: Sequence[Record],
    metrics: Sequence[Metric],
    suite: Comparison,
    target: float | None = None,
    planned: Sequence[Planned] = (),
) -> Summary:
    """The summary of these records with the suite's published values and the verdicts on its claims, which may be of
    a whole sweep, as rows are that validation chose. What no table shows, such as the first stage of what is trained
    anew, has no verdict.

    Raises KeyError for a metric of the suite that no descriptor describes.
    """
    described = {metric.name: metric for metric in metrics}
    plan = Plan(planned).merge_members(summary.members)
    shown = {(table.dataset, tuple(sorted(table.protocol.items()))) for table in summary.tables}
    own = [record for record in [*records, *summary.standing] if grouping.trial_place(record.trial) in shown]
    places = [replace(place, plan=plan) for place in _make_places(own, metrics, target)]
    named = [each.metric for each in suite.published]
    return replace(
        summary,
        metrics={**summary.metrics, **{name: described[base_name(name)] for name in named}},
        published=compare_published(suite.published, places, described),
        claims=judge_claims(suite.claims, places, described),
    )


def _make_places(records: Sequence[Record], metrics: Sequence[Metric], target: float | None) -> list[Place]:
    return [_make_place(group, metrics, target) for group in grouping.group_tables(records)]


def _make_place(records: Sequence[Record], metrics: Sequence[Metric], target: float | None) -> Place:
    compared = find_target_metric(records, metrics)
    wanted = Target(target, compared) if target is not None and compared else None
    return Place(records[0].trial.dataset.label, grouping.trial_protocol(records[0].trial), records, wanted)
