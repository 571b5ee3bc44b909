"""Records that a page may have to show: usual ones, many, long, hostile, broken.

`python tests/page_examples.py FOLDER` writes the page of each to a folder, to look at.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable
from pathlib import Path

from harness import Budget, Metric, Point, Record, TrainingTerms, Trial
from harness.metrics import harness_metrics
from harness.report import render, summarise
from harness.report.rows.table import Summary
from harness.types import Choice

COSTS = {
    "activation_bytes": 1.2e6,
    "state_bytes": 0.3e6,
    "tensor_peak_bytes": 3.0e6,
    "forward_macs": 11.6e6,
    "backward_macs": 23.2e6,
    "optimizer_macs": 0,
    "total_macs": 34.8e6,
    "forward_elementwise_ops": 3.0e6,
    "backward_elementwise_ops": 4.0e6,
    "optimizer_elementwise_ops": 0.5e6,
    "inference_macs": 9.0e5,
    "inference_elementwise_ops": 5.0e4,
    "inference_bytes_moved": 2.0e5,
    "inference_activation_bytes": 4.0e5,
    "synaptic_macs": 1.0e5,
    "synaptic_acs": 3.0e5,
}
UNITS = {name: "B" for name in COSTS if "bytes" in name}
METRICS = [
    *harness_metrics(),
    *(Metric(name, name.replace("_", " "), UNITS.get(name, ""), "lower", per="update", exact=True) for name in COSTS),
]
SCORES = ("accuracy", "nll", "brier", "ece")
HOSTILE = "<img src=x onerror=document.title='ran'><script>document.title='ran'</script>"
HOSTILE += '</script><b>"quoted\' &amp; =HYPERLINK("http://a")\u202egnp.exe\x1b[31m {{7*7}} \u05e9\u05dc\u05d5\u05dd'


def make_record(method: str = "saf", seed: int = 0, dataset: str = "digits", size: float = 1.0, **others) -> Record:
    """One record with all that a page shows; size: what its costs are multiplied by."""
    rng = random.Random(f"{method} {dataset} {seed}")
    name, _, given = method.partition("[")
    options = dict(each.split("=", 1) for each in given.rstrip("]").split(",")) if "=" in given else {}
    options = {key: float(value) if value.replace(".", "").isdigit() else value for key, value in options.items()}
    choice = Choice(name, options, {"steps": 4, "momentum": 0.9, "schedule": "cosine", **options}, method)
    terms = TrainingTerms(Budget("epochs", 8), 32, "cpu", "fp32", 2)
    trial = Trial(choice, Choice(dataset, {}, {}, dataset), seed, terms, key=f"{rng.getrandbits(64):016x}")
    final = 0.9 + 0.08 * rng.random()
    values = {score: final if score == "accuracy" else 0.05 + 0.1 * rng.random() for score in SCORES}
    scores = values | {f"{score}@best": value + 0.001 for score, value in values.items()}
    curve = tuple(
        Point(34 * n, float(n), 0.7 * n * size, {"loss": 2 / (n + 1)}, {s: _learn(v, n) for s, v in values.items()})
        for n in range(9)
    )
    told = {
        "scores": scores,
        "readings": {name: value * size for name, value in COSTS.items()},
        "measured": {
            "update_seconds": 0.02 * size * (1 + 0.1 * rng.random()),
            "stored_bytes": 98e4,
            "parameters": 245738,
        },
        "facts": {"neurons": 10240, "architecture": "32C3-64C3-AP2-128C3-FC", "learning_rate": 0.1},
        "curve": curve,
        "holes": {"energy_joules": "no NVIDIA GPU"},
        "seconds": {"init": 0.1, "train": 5.0 * size},
        "environment": {"cpu": "A processor", "cores": 8, "torch": "2.13.0", "load": [0.5, 0.5, 0.4]},
        "finished": f"2026-11-{1 + seed % 28:02d}T10:00:00+00:00",
    }
    return Record(trial, **{"status": "ok", **told, **others})


def make_failure(method: str, seed: int = 0, dataset: str = "digits", reason: str = "out of memory") -> Record:
    """One record of a trial that did not end ok."""
    trace = f"Traceback (most recent call last):\n  File a.py, line {seed}\nRuntimeError: {reason}"
    nothing = {"scores": {}, "readings": {}, "measured": {}, "facts": {}, "curve": (), "holes": {}, "seconds": {}}
    return make_record(method, seed, dataset, status="failed", reason=reason, traceback=trace, **nothing)


def make_usual() -> list[Record]:
    """Four methods of three families over three seeds, a sweep among them, and one trial that failed."""
    methods = {"saf": 1.0, "ottt": 1.6, "bptt[steps=4]": 2.1, "bptt[steps=8]": 4.2, "gm-vi": 3.0}
    several = [make_record(method, seed, size=size) for seed in range(3) for method, size in methods.items()]
    return [*several, make_record("low-rank", 0), make_failure("low-rank", 1), make_record("low-rank", 2)]


def make_many(count: int, seeds: int = 1) -> list[Record]:
    """So many records, of one method each or of several seeds."""
    names = [f"method-{place % 40}[rank={place}]" for place in range(count // seeds)]
    return [make_record(name, seed, size=1 + n % 17) for n, name in enumerate(names) for seed in range(seeds)]


def make_long_names() -> list[Record]:
    """Names of 80 letters."""
    names = [f"{'spectral' * 8}-{place}[{'rank' * 2}={place}]" for place in range(6)]
    return [make_record(name, seed, size=1 + n) for n, name in enumerate(names) for seed in range(3)]


def make_hostile() -> list[Record]:
    """Texts of plugins that hold markup, scripts, formulas, escape sequences and marks of direction."""
    label = f"m[path={HOSTILE}]"
    facts = {"kernels": HOSTILE, HOSTILE: HOSTILE}
    told = {"facts": facts, "environment": {"cpu": HOSTILE, HOSTILE: HOSTILE}, "holes": {"energy_joules": HOSTILE}}
    bad = make_failure(label, 1, HOSTILE, HOSTILE)
    return [make_record(label, 0, HOSTILE, **told), bad, make_record("other", 0, HOSTILE)]


def make_not_finite() -> list[Record]:
    """Scores, costs and curves that are no finite numbers."""
    curve = (Point(0, 0.0, 0.0, {}, {"accuracy": math.nan}), Point(1, 1.0, math.inf, {}, {"accuracy": math.inf}))
    scores = {"accuracy": math.nan, "nll": math.inf}
    readings = {"activation_bytes": math.inf, "forward_macs": -math.inf, "total_macs": 1e308}
    bad = make_record("bad", scores=scores, readings=readings, measured={"update_seconds": math.nan}, curve=curve)
    return [bad, make_record("huge", scores={"accuracy": 1e308}), make_record("huge", 1, scores={"accuracy": 1e307})]


def make_machines() -> list[Record]:
    """Records of two machines."""
    other = {"cpu": "Another", "cores": 64, "torch": "2.12.0", "gpu": "A GPU"}
    return [make_record("saf"), make_record("ottt", environment=other), make_record("saf", 1, environment=other)]


EXAMPLES: dict[str, Callable[[], list[Record]]] = {
    "usual": make_usual,
    "sixty": lambda: make_many(180, 3),
    "long": make_long_names,
    "one-seed": lambda: [make_record(name, size=1 + n) for n, name in enumerate(("saf", "ottt", "bptt"))],
    "failures": lambda: [make_failure(name, seed) for name in ("saf", "ottt") for seed in range(3)],
    "none": list,
    "not-finite": make_not_finite,
    "machines": make_machines,
    "hostile": make_hostile,
    "datasets": lambda: [
        make_record(m, s, d) for d in ("digits", "mnist", "wine") for m in ("saf", "b") for s in (0, 1)
    ],
    "undescribed": lambda: [make_record(scores={"accuracy": 0.5, "nobody": 1.0}, readings={"unknown": 3})],
    "thousand": lambda: make_many(1000),
}


def make_summary(name: str) -> Summary:
    """The summary of an example."""
    return summarise(EXAMPLES[name](), METRICS)


def _learn(value: float, n: int) -> float:
    return value * (1 - 0.8 / (1 + n) ** 2)


if __name__ == "__main__":
    for example in EXAMPLES:
        Path(sys.argv[1], f"{example}.html").write_text(render(make_summary(example), "html"), encoding="utf-8")
