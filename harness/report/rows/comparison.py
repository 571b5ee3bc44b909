"""A suite beside the measurements: published values, and claims with their verdicts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.records.grouping import by_seed
from harness.report.rows import caveats, sameness
from harness.report.rows.planned import Plan
from harness.report.rows.timing import are_unlike_shares
from harness.report.rows.values import Target, Value, base_name, find_lower_bound, read_claimed, read_value
from harness.statistics import Difference, Estimate, estimate_mean, paired_difference
from harness.suites.claims import COUNT, Judgement, Side, judge
from harness.suites.entries import Claim, Published, Quantity
from harness.types import Metric, Record
from harness.words import list_seeds


@dataclass(frozen=True)
class Place:
    """Records that may be compared: one data set under one protocol. target: what `seconds_to_target` is to reach.

    plan: which seeds a method should have.
    """

    dataset: str
    protocol: Mapping[str, Any]
    records: Sequence[Record]
    target: Target | None = None
    plan: Plan = field(default_factory=Plan)

    def find_records(self, method: str) -> list[Record]:
        """Find the last record of each seed of a method, by seed."""
        return [*by_seed(record for record in self.records if record.trial.method.label == method).values()]

    def planned_seeds(self, records: Sequence[Record]) -> frozenset[int]:
        """The seeds that a method with these records should have."""
        return self.plan.expect_seeds(records, self.records)


@dataclass(frozen=True)
class Beside:
    """A published value, and what was measured of the same method and metric on the same data set, if anything.

    planned: over how many seeds it should have been measured. difference: what was measured less what was published of
    the same seeds, where that is known of two or more.
    """

    published: Published
    measured: Estimate | None = None
    protocol: Mapping[str, Any] | None = None
    planned: int = 0
    difference: Difference | None = None


@dataclass(frozen=True)
class Judged:
    """A claim's verdict in one place; in none where there is no record to judge it by."""

    judgement: Judgement
    dataset: str | None = None
    protocol: Mapping[str, Any] | None = None

    @property
    def finding(self) -> str:
        """`a.nll / b.nll = 1.94 (95 % interval 1.93 to 1.95, n=3); claimed 1.9 to 2`."""
        found, claim = self.judgement, self.judgement.claim
        if found.measured is None:
            return "; ".join([claim.expression, *filter(None, [found.reason]), f"claimed {claim.bounds}", *found.notes])
        shown = f"{claim.expression} = {_format_figures(found)[0]} ({_describe_interval(found)})"
        return "; ".join([shown, f"claimed {claim.bounds}", *filter(None, [found.reason]), *found.notes])


def _describe_interval(found: Judgement) -> str:
    if found.low is None:
        return f"n={found.n}" if found.n == 1 and found.no_interval != COUNT else _describe_no_interval(found)
    _, low, high = _format_figures(found)
    return f"95 % interval {low} to {high}, n={found.n}"


def _describe_no_interval(found: Judgement) -> str:
    return f"{COUNT}, n={found.n}" if found.no_interval == COUNT else found.no_interval


def _format_figures(found: Judgement) -> list[str]:
    """Mean and ends of the interval, with two figures of half of it, four at least."""
    values = [each for each in (found.measured, found.low, found.high) if each is not None]
    largest, half = max(map(abs, values)), (max(values) - min(values)) / 2
    figures = 4 if not half else min(12, max(4, 2 + math.ceil(math.log10(largest / half))))
    return [f"{value:.{figures}g}" for value in values]


def compare_published(
    published: Iterable[Published], places: Sequence[Place], described: Mapping[str, Metric]
) -> tuple[Beside, ...]:
    """Compare each published value with measured ones: once for each place that has records, alone where none has."""
    found = []
    for entry in published:
        own = [place for place in places if place.dataset == entry.dataset and place.find_records(entry.method)]
        for place in own:
            side = _make_side(place, Quantity(entry.method, entry.metric), described)
            measured = estimate_mean(side.values.values())
            found.append(Beside(entry, measured, place.protocol, len(side.planned), _subtract_published(side, entry)))
        if not own:
            found.append(Beside(entry))
    return tuple(found)


def _subtract_published(side: Side, entry: Published) -> Difference | None:
    """Subtract published values from measured ones, paired by seed; None where these are only lower bounds."""
    difference = paired_difference(side.values, dict(enumerate(entry.by_seed)))
    return difference if difference.n > 1 and not side.lower_bound else None


def judge_claims(
    claims: Iterable[Claim], places: Sequence[Place], described: Mapping[str, Metric]
) -> tuple[Judged, ...]:
    """Each claim with its verdict wherever it can be measured; once, as not measured, where it cannot."""
    return tuple(each for claim in claims for each in _judge_everywhere(claim, places, described))


def _judge_everywhere(claim: Claim, places: Sequence[Place], described: Mapping[str, Metric]) -> list[Judged]:
    own = [place for place in places if claim.dataset in (None, place.dataset)]
    every = [Judged(_judge_in_place(claim, place, described), place.dataset, place.protocol) for place in own]
    measured = [each for each in every if each.judgement.measured is not None]
    if measured or not every:
        return measured or [Judged(judge(claim, *_make_empty_sides(claim)), claim.dataset)]
    some = (each for each, place in zip(every, own, strict=True) if place.find_records(claim.left.method))
    return [next(some, every[0])]


def _judge_in_place(claim: Claim, place: Place, described: Mapping[str, Metric]) -> Judgement:
    left = _make_side(place, claim.left, described)
    if claim.right is None:
        return judge(claim, left, None)
    return judge(claim, left, _make_side(place, claim.right, described), _why_apart(place, claim.left, claim.right))


def _why_apart(place: Place, left: Quantity, right: Quantity) -> str:
    """Explain why two quantities may not be compared; empty where they may."""
    ours, theirs = place.find_records(left.method), place.find_records(right.method)
    if apart := sameness.explain_apart(ours, theirs):
        return f"over different data: {apart}"
    shares = any(are_unlike_shares(name, [*ours, *theirs]) for name in (left.metric, right.metric))
    return "of times alone and shares of what several trials took as one; --one-by-one measures each" if shares else ""


def _make_empty_sides(claim: Claim) -> tuple[Side, Side | None]:
    side = Side(missing=f"no record on {claim.dataset}" if claim.dataset else "no record")
    return side, side if claim.right else None


def _make_side(place: Place, quantity: Quantity, described: Mapping[str, Metric]) -> Side:
    """A quantity by seed. What a method says of itself is no measurement and cannot support a claim."""
    records = place.find_records(quantity.method)
    if not records:
        return Side(missing=f"no record of {quantity.method}")
    good = [record for record in records if record.status == "ok"]
    metric = described[base_name(quantity.metric)]
    found = {record.trial.seed: _read_measurement(record, quantity.metric, metric, place.target) for record in good}
    values = {seed: each.number for seed, each in found.items() if each.number is not None}
    missing: dict[str, list[int]] = {}
    for seed, each in found.items():
        if each.number is None:
            missing.setdefault(each.reason, []).append(seed)
    lines = [f"{quantity} {list_seeds(seeds)}: {reason}" for reason, seeds in missing.items()]
    bounds = (find_lower_bound(record, quantity.metric, described) for record in good)
    reasons = [*caveats.describe_failures(quantity.method, records), *lines]
    planned = place.planned_seeds(records)
    return Side(values, "; ".join(reasons), next(filter(None, bounds), ""), planned, metric.exact)


def _read_measurement(record: Record, name: str, metric: Metric, target: Target | None) -> Value:
    if read_claimed(record, name) is not None:
        return Value(None, "stated by the method, not measured")
    return read_value(record, name, metric, target)
