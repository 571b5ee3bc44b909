"""What a suite says beside what was measured: published values, and claims with their verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.report import notes
from harness.report.values import Target, Value, base_name, claimed, lower_bound, value
from harness.statistics import Estimate, estimate
from harness.suites.claims import Judgement, Side, judge
from harness.suites.entries import Claim, Published, Quantity
from harness.types import Metric, Record


@dataclass(frozen=True)
class Place:
    """Records that may be compared: one data set under one protocol. target: what `seconds_to_target` is to reach."""

    dataset: str
    protocol: Mapping[str, Any]
    records: Sequence[Record]
    target: Target | None = None

    def of(self, method: str) -> list[Record]:
        """One record a seed, the last one, by seed."""
        by_seed = {record.trial.seed: record for record in self.records if record.trial.method.label == method}
        return [by_seed[seed] for seed in sorted(by_seed)]


@dataclass(frozen=True)
class Beside:
    """A published value, and what was measured of the same method and metric on the same data set, if anything."""

    published: Published
    measured: Estimate | None = None
    protocol: Mapping[str, Any] | None = None


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
        shown = f"{claim.expression} = {found.measured:.4g} ({_interval(found)})"
        return "; ".join([shown, f"claimed {claim.bounds}", *filter(None, [found.reason]), *found.notes])


def _interval(found: Judgement) -> str:
    if found.low is None:
        return f"n={found.n}"
    if found.low == found.high:
        return f"in all {found.n} seeds"
    return f"95 % interval {found.low:.4g} to {found.high:.4g}, n={found.n}"


def beside(
    published: Iterable[Published], places: Sequence[Place], described: Mapping[str, Metric]
) -> tuple[Beside, ...]:
    """Each published value with what was measured: once for each place that has records, alone where none has."""
    found = []
    for entry in published:
        own = [place for place in places if place.dataset == entry.dataset and place.of(entry.method)]
        for place in own:
            side = _side(place, Quantity(entry.method, entry.metric), described)
            found.append(Beside(entry, estimate(side.values.values()), place.protocol))
        if not own:
            found.append(Beside(entry))
    return tuple(found)


def judged(claims: Iterable[Claim], places: Sequence[Place], described: Mapping[str, Metric]) -> tuple[Judged, ...]:
    """Each claim with its verdict wherever it can be measured; once, as not measured, where it cannot."""
    return tuple(each for claim in claims for each in _judged(claim, places, described))


def _judged(claim: Claim, places: Sequence[Place], described: Mapping[str, Metric]) -> list[Judged]:
    own = [place for place in places if claim.dataset in (None, place.dataset)]
    every = [Judged(_judgement(claim, place, described), place.dataset, place.protocol) for place in own]
    measured = [each for each in every if each.judgement.measured is not None]
    if measured or not every:
        return measured or [Judged(judge(claim, *_nowhere(claim)), claim.dataset)]
    some = (each for each, place in zip(every, own, strict=True) if place.of(claim.left.method))
    return [next(some, every[0])]


def _judgement(claim: Claim, place: Place, described: Mapping[str, Metric]) -> Judgement:
    right = None if claim.right is None else _side(place, claim.right, described)
    return judge(claim, _side(place, claim.left, described), right)


def _nowhere(claim: Claim) -> tuple[Side, Side | None]:
    side = Side(missing=f"no record on {claim.dataset}" if claim.dataset else "no record")
    return side, side if claim.right else None


def _side(place: Place, quantity: Quantity, described: Mapping[str, Metric]) -> Side:
    """A quantity by seed. What a method says of itself is no measurement and cannot support a claim."""
    records = place.of(quantity.method)
    if not records:
        return Side(missing=f"no record of {quantity.method}")
    good = [record for record in records if record.status == "ok"]
    metric = described[base_name(quantity.metric)]
    found = {record.trial.seed: _value(record, quantity.metric, metric, place.target) for record in good}
    values = {seed: each.number for seed, each in found.items() if each.number is not None}
    missing: dict[str, list[int]] = {}
    for seed, each in found.items():
        if each.number is None:
            missing.setdefault(each.reason, []).append(seed)
    lines = [f"{quantity} {notes.seeds(seeds)}: {reason}" for reason, seeds in missing.items()]
    bounds = (lower_bound(record, quantity.metric) for record in good)
    reasons = [*notes.failures(quantity.method, records), *lines]
    return Side(values, "; ".join(reasons), next(filter(None, bounds), ""))


def _value(record: Record, name: str, metric: Metric, target: Target | None) -> Value:
    if claimed(record, name) is not None:
        return Value(None, "stated by the method, not measured")
    return value(record, name, metric, target)
