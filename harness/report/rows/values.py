"""The value of one metric in one record: a number, or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.types import Metric, Record
from harness.words import clean_line

TO_TARGET = "seconds_to_target"
BESIDE_BASE = ("base_agreement", "base_kl")  # scores that need the prediction of what a trial starts from
MOST_UNCOVERED = 0.01


@dataclass(frozen=True)
class Target:
    """A validation score to reach: `metric` by name and direction."""

    value: float
    metric: Metric

    def reached(self, score: float) -> bool:
        return score >= self.value if self.metric.better == "higher" else score <= self.value


@dataclass(frozen=True)
class Value:
    """A finite number, or None with the reason."""

    number: float | None
    reason: str = ""


def base_name(name: str) -> str:
    """`accuracy` of `accuracy@best`."""
    return name.partition("@")[0]


def read_value(record: Record, name: str, metric: Metric, target: Target | None) -> Value:
    """Read one record's number for the metric called `name`, which may have a suffix such as @best."""
    if name == TO_TARGET and target is not None:
        return _find_time_to(record, target)
    number = read_measured(record, name)
    if number is None:
        number = read_claimed(record, name)
    if number is None:
        hole = record.holes.get(name) or record.holes.get(base_name(name))
        return Value(None, hole or _explain_absence(record, name, metric))
    return Value(number) if math.isfinite(number) else Value(None, "not a finite number")


def is_known(record: Record, name: str) -> bool:
    """Whether the record holds a number of that name, or says why not."""
    return read_measured(record, name) is not None or read_claimed(record, name) is not None or name in record.holes


def read_measured(record: Record, name: str) -> float | None:
    """Read a score, a measurement, an instrument's reading, or a phase's seconds: prepare_seconds of prepare.

    In this order, so that no reading takes the place of what the harness measured.
    """
    sources: tuple[Mapping[str, object], ...] = (record.scores, record.measured, record.readings)
    for source in sources:
        if name in source and (number := as_number(source[name])) is not None:
            return number
    return as_number(record.seconds.get(name.removesuffix("_seconds"))) if name.endswith("_seconds") else None


def list_sources(record: Record, name: str) -> tuple[int, ...]:
    """The seeds in which a reading was measured that this record took over; empty where it took none over."""
    over = record.provenance.get("carried_over")
    for source in over.values() if isinstance(over, Mapping) else ():
        if isinstance(source, Mapping) and name in source.get("readings", ()):
            return tuple(seed for seed in source.get("seeds", ()) if isinstance(seed, int))
    return ()


def read_claimed(record: Record, name: str) -> float | None:
    """Read the claim of the method itself, where nothing was measured and no attempt to measure failed."""
    return (
        None if read_measured(record, name) is not None or name in record.holes else as_number(record.facts.get(name))
    )


def find_lower_bound(record: Record, name: str, described: Mapping[str, Metric]) -> str:
    """Find the reason why a number is a lower bound: its instrument says so, or it says so of what bounds the number
    (`Metric.bounded_by`), or that lists operators which were not counted.

    Empty where at most 1 % of the bytes moved were theirs.
    """
    if read_measured(record, name) is None:
        return ""
    bounds = _list_bounds(base_name(name), described)
    stated = (_read_stated(record, each) for each in dict.fromkeys((name, *bounds)))
    return next(filter(None, (*stated, *(_describe_uncounted(record, each) for each in bounds))), "")


def _list_bounds(name: str, described: Mapping[str, Metric]) -> list[str]:
    """List the readings that bound a metric, directly or through each other."""
    found: list[str] = []
    while name in described and (name := described[name].bounded_by) and name not in found:
        found.append(name)
    return found


def _read_stated(record: Record, name: str) -> str:
    """Read the doubt of an instrument about its own reading; in older records that is a reading too."""
    said = record.at_least.get(name) or record.readings.get(f"{name}_at_least")
    return clean_line(said) if isinstance(said, str) else ""


def _describe_uncounted(record: Record, name: str) -> str:
    """Describe a list of operators without a formula by their share; empty for any other reading."""
    shares = _read_shares(record.readings.get(name))
    total = as_number(record.readings.get(f"{name}_share"))
    share = sum(shares.values()) if total is None else total
    if not share > MOST_UNCOVERED:
        return ""
    names = ", ".join(sorted(shares, key=lambda each: (-shares[each], each))) or "unnamed"
    return f"operators without a formula move {100 * share:.3g} % of the bytes: {names}"


def _read_shares(operators: object) -> dict[str, float]:
    """Read the share of the bytes moved, by operator, that the instrument lists."""
    rows = operators if isinstance(operators, Mapping) else {}
    return {
        str(name): as_number(row.get("share")) or 0.0 if isinstance(row, Mapping) else 0.0 for name, row in rows.items()
    }


def mark_headline(metric: Metric, records: Sequence[Record]) -> Metric:
    """The metric, marked as the headline or not as the terms of these records, of one table, say; else as it is."""
    named = records[0].trial.terms.headline
    return metric if named is None else replace(metric, headline=metric.name == named)


def find_target_metric(records: Sequence[Record], metrics: Sequence[Metric]) -> Metric | None:
    """The score that a target is compared with: the headline among those on the validation curves of a table."""
    seen = {name for record in records for point in record.curve for name in point.valid}
    scores = [mark_headline(metric, records) for metric in metrics if metric.name in seen]
    return next((metric for metric in scores if metric.headline), scores[0] if scores else None)


def as_number(found: object) -> float | None:
    """A value of a record as float; None where it is no number."""
    if not isinstance(found, (int, float)) or isinstance(found, bool):
        return None
    try:
        return float(found)
    except OverflowError:  # an integer beyond the range of floats
        return math.inf


def _explain_absence(record: Record, name: str, metric: Metric) -> str:
    if metric.name == TO_TARGET:
        return "no target, or no validation score on the curve"
    if record.trial.base is None and (name.endswith("@start") or metric.name in BESIDE_BASE):
        return "it starts from no trained network"
    if metric.shifted:
        return f"no such shifted split to score here, a metric for {' and '.join(metric.kinds)}"
    if not metric.curve and name.endswith("best"):
        return "computed at the end of training only"
    if metric.compute is None:
        return "not measured"
    return f"nothing to score here, a metric for {' and '.join(metric.kinds)}" if metric.kinds else "not scored"


def _find_time_to(record: Record, target: Target) -> Value:
    if record.trial.base is not None:
        return Value(None, "it starts from a trained network, whose time would be no part of this")
    name = target.metric.name
    scored = [
        (point.seconds, point.valid[name]) for point in record.curve if math.isfinite(point.valid.get(name, math.nan))
    ]
    reached = [seconds for seconds, score in scored if target.reached(score)]
    if reached:
        return Value(reached[0])
    if not scored:
        return Value(None, f"no validation {name} on the curve")
    best = (max if target.metric.better == "higher" else min)(score for _, score in scored)
    return Value(None, f"validation {name} {target.value:g} not reached, {best:.4g} at best")
