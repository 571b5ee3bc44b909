"""The answer of a table in words: who leads on what, how surely, and what did not end ok."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from harness.report.rows import tradeoff
from harness.report.rows.leaders import Lead, find_lead
from harness.report.rows.table import Row, Summary, Table, is_cost
from harness.report.wording import numbers, paired
from harness.types import Metric
from harness.words import format_count

ASKED = 5  # quantities of a table that are answered
NAMED = 3  # methods that a sentence names


class Answer(NamedTuple):
    """A sentence about one quantity: words before what is stressed, the leader's name as a rule, that, and words after.
    verdict: in a word or two; sure: whether the leader is told apart from all others.
    """

    quantity: str
    verdict: str
    sure: bool
    before: str
    leader: str
    after: str


def list_answers(table: Table, metrics: Mapping[str, Metric]) -> Iterator[Answer]:
    """List answers on the headline, then on the costs that people ask for first."""
    costs = tradeoff.list_costs(table, metrics)
    names = [*tradeoff.list_scores(table, metrics)[:1], *(name for name in tradeoff.USUAL_COSTS if name in costs)]
    for name in names[:ASKED]:
        lead = find_lead(table, name, metrics)
        if lead is not None:
            yield _answer(table, lead, metrics[name])


def describe_table(table: Table) -> str:
    """`7 methods, 3 seeds: 21 of 21 trials ended ok`, of what was planned."""
    planned = sum(sum(row.statuses.values()) + len(row.unrecorded) for row in table.rows)
    seeds = len({seed for row in table.rows for seed in row.planned})
    many = f"{format_count(len(table.rows), 'method')}, {format_count(seeds, 'seed')}"
    return f"{many}: {sum(row.n for row in table.rows)} of {format_count(planned, 'trial')} ended ok"


def describe_statuses(row: Row) -> str:
    """`2 ok, 1 timeout, 1 not recorded`."""
    every = {**row.statuses, **({"not recorded": len(row.unrecorded)} if row.unrecorded else {})}
    return ", ".join(f"{count} {status}" for status, count in every.items()) or "none"


def title_page(summary: Summary) -> str:
    """`7 methods on digits`."""
    rows = {row.method for table in summary.tables for row in table.rows}
    datasets = list(dict.fromkeys(table.dataset for table in summary.tables))
    where = " and ".join(datasets) if len(datasets) < 3 else format_count(len(datasets), "data set")
    return f"{format_count(len(rows), 'method')} on {where}" if rows else "No records"


def _answer(table: Table, lead: Lead, metric: Metric) -> Answer:
    scale = numbers.scale([row.cells[lead.metric] for row in table.rows], metric)
    cell = lead.row.cells[lead.metric]
    value = f"{scale.mean(cell)} {scale.unit}".rstrip()
    if lead.exact and not lead.apart:
        before = f"All {len(lead.alike) + 1} methods that may be compared have the same:"
        return Answer(lead.metric, "equal", True, before, value, ".")
    most = "highest" if metric.better == "higher" else "least" if is_cost(metric) else "lowest"
    what = most if lead.exact else f"{most} mean"
    after = f" has the {what}: {value}, {_describe_distance(lead, metric)}. {_say_sureness(lead)}"
    if lead.apart and not lead.alike:
        return Answer(lead.metric, "exact count" if lead.exact else "clear", True, "", lead.row.method, after)
    if lead.apart:
        return Answer(lead.metric, "shared" if lead.exact else "partly", lead.exact, "", lead.row.method, after)
    return Answer(lead.metric, "not told apart", False, "", lead.row.method, after)


def _describe_distance(lead: Lead, metric: Metric) -> str:
    """How far the next one is: a ratio of costs, a paired difference of scores."""
    ours, theirs = (row.cells[lead.metric].mean or 0.0 for row in (lead.row, lead.next))
    if is_cost(metric):
        ratio = f"{numbers.format_ratio(ours / theirs)} that of" if theirs > 0 and ours != theirs else "the same as"
        return f"{ratio} {lead.next.method}"
    if lead.difference is None:
        return f"before {lead.next.method}"
    found = paired.format_difference(lead.difference)
    interval = " (95 % interval of the difference, paired by seed)" if lead.difference.low is not None else ""
    return f"before {lead.next.method} by {found}{interval}"


def _say_sureness(lead: Lead) -> str:
    many = len(lead.alike) + len(lead.apart)
    others = _name_rows(lead.alike)
    if lead.exact:
        more = _name_rows([row for row in lead.alike if row is not lead.next])
        return f"The same for {more}." if more else "A count, which no chance decides."
    if all(len(row.cells[lead.metric].values) < 2 for row in (lead.row, *lead.alike, *lead.apart)):
        return "One seed says nothing of chance."
    if not lead.alike:
        return f"It is told apart from {'the other' if many == 1 else f'all {many} others'}."
    if not lead.apart:
        return f"It is not told apart from {'the other' if many == 1 else f'any of the {many} others'}."
    return f"It is not told apart from {others}; it is from {format_count(len(lead.apart), 'other')}."


def _name_rows(rows: Sequence[Row]) -> str:
    named = [row.method for row in rows[:NAMED]]
    more = len(rows) - len(named)
    return ", ".join(named) + (f" and {format_count(more, 'other')}" if more else "")
