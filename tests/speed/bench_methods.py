"""Each spiking method on the digits network (T=4, B=32), in one thread: what an update costs, and how long it takes.

What is tracked is counted and not timed, so it is the same on every run: a difference of 1 % is a change of the code.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import Batch, Budget, Training, Trial
from harness.catalog import Catalog, Settings, load_catalog, resolve
from harness.options import build
from harness.planning.plan import plan_trials
from harness.suites.suite import Request
from harness.trials.trial import run_trial

DATASET = "digits[valid=32,test=32]"  # what is scored is not measured here
METHODS = [
    "saf",
    "saf[variant=final]",
    "ottt",
    "ottt[forward=fused]",
    "bptt",
    "bptt[saved=packed]",
    "spike-representation",
]
READINGS = {"activation_bytes", "saved_bytes", "forward_macs", "total_macs"}


def _trial(catalog: Catalog, method: str) -> Trial:
    """In the data set's protocol, but over after one update."""
    budget = Budget("updates", 1)
    (trial,) = plan_trials(catalog, Request(method, DATASET, seeds="1", budget=budget, device="cpu", threads=1))
    return trial


class Costs:
    """Read by the harness's own instruments, in one short trial of each method."""

    params = METHODS
    param_names = ("method",)

    def setup_cache(self) -> dict[str, dict[str, Any]]:
        catalog = load_catalog(Settings())
        records = {method: run_trial(catalog, _trial(catalog, method)) for method in METHODS}
        for method, record in records.items():
            if record.status != "ok" or not record.readings.keys() >= READINGS:
                raise RuntimeError(f"{method}: {record.status} {record.reason} {dict(record.holes)}")
        return {method: dict(record.readings) for method, record in records.items()}

    def track_activation_bytes(self, readings: dict[str, dict[str, Any]], method: str) -> int:
        return readings[method]["activation_bytes"]

    def track_saved_bytes(self, readings: dict[str, dict[str, Any]], method: str) -> int:
        return readings[method]["saved_bytes"]

    def track_forward_macs(self, readings: dict[str, dict[str, Any]], method: str) -> int:
        return readings[method]["forward_macs"]

    def track_total_macs(self, readings: dict[str, dict[str, Any]], method: str) -> int:
        return readings[method]["total_macs"]


Costs.track_activation_bytes.unit = Costs.track_saved_bytes.unit = "bytes"
Costs.track_forward_macs.unit = Costs.track_total_macs.unit = "MACs"


class Update:
    """One steady update on one batch."""

    params = METHODS
    param_names = ("method",)
    rounds = 1
    number = 1
    repeat = (10, 40, 3.0)
    warmup_time = 0.5

    def setup(self, method: str) -> None:
        self.update = _update(method)

    def time_update(self, method: str) -> None:
        self.update()


def _update(name: str) -> Callable[[], object]:
    """One update of a fresh learner, bound to the first rows of digits."""
    catalog = load_catalog(Settings())
    trial = _trial(catalog, name)
    backend = resolve(catalog.backends.values()[0].factory)()
    backend.setup(trial)
    digits = catalog.datasets.get("digits")
    data = resolve(digits.load)(digits.config(), 0, Path())
    data = backend.place(data, "cpu")
    method = catalog.methods.get(trial.method.name)
    learner = resolve(method.factory)(build(method.config, trial.method.options, method.name))
    state = learner.init(data.problem, Training(0, "cpu", "fp32", trial.terms.batch_size, None), None)
    batch = Batch(data.train.inputs[: trial.terms.batch_size], data.train.targets[: trial.terms.batch_size])
    return lambda: learner.update(state, batch)
