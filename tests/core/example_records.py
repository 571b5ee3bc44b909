"""Records built by hand, for the tests of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness import Budget, Metric, Point, Record, TrainingTerms, Trial
from harness.metrics import harness_metrics
from harness.types import Choice, Status

METRICS = [
    *harness_metrics(),
    Metric("activation_bytes", "bytes held in an update", "bytes", "lower", per="update", exact=True),
    Metric(
        "forward_macs", "multiplications forward", "MACs", "lower", per="update", exact=True, bounded_by="uncovered"
    ),
    Metric("total_macs", "multiplications", "MACs", "lower", per="update", exact=True, bounded_by="uncovered"),
]


def choice(label: str, options: Mapping[str, Any] | None = None) -> Choice:
    return Choice(label.partition("[")[0], {}, options or {}, label)


def record(
    method: str = "saf",
    seed: int = 0,
    dataset: str = "digits",
    *,
    status: Status = "ok",
    reason: str = "",
    scores: Mapping[str, float] | None = None,
    readings: Mapping[str, Any] | None = None,
    budget: Budget | None = None,
    device: str = "cpu",
    threads: int = 1,
    options: Mapping[str, Any] | None = None,
    valid: Sequence[float] = (),
    key: str = "",
    **others: Any,
) -> Record:
    """One record. valid: validation accuracies, one a second."""
    trial = Trial(
        method=choice(method, options),
        dataset=choice(dataset),
        seed=seed,
        terms=TrainingTerms(budget or Budget("epochs", 10), 128, device, "fp32", threads),
        key=key or f"{method}-{dataset}-{seed}",
    )
    curve = [Point(10 * i, float(i), float(i), {"loss": 1.0}, {"accuracy": score}) for i, score in enumerate(valid)]
    return Record(trial, status, reason, scores or {}, readings or {}, curve=tuple(curve), **others)


def comparison() -> list[Record]:
    """Three methods, three seeds, eight metrics; the last trial of the third ran out of time."""
    records = []
    for seed in range(3):
        for method, cost in (("saf", 1.0), ("ottt", 1.6), ("bptt", 2.1)):
            if (method, seed) == ("bptt", 2):
                records.append(record(method, seed, status="timeout", reason="after 60 s"))
                continue
            scores = {
                "accuracy": 0.98 + cost / 1000 + seed / 1000,
                "nll": 0.07 + seed / 500,
                "brier": 0.02 * cost,
                "ece": 0.008,
                "accuracy@best": 0.99,
            }
            readings = {
                "update_seconds": 0.0025 * cost + seed * 1e-5,
                "forward_macs": 11_600_000 * cost,
                "total_macs": 34_800_000 * cost,
                "activation_bytes": 1_150_000 * cost,
            }
            holes = {}
            if method == "bptt":
                del readings["activation_bytes"]
                holes = {"activation_bytes": "RuntimeError: no storage"}
            records.append(record(method, seed, scores=scores, readings=readings, holes=holes))
    return records
