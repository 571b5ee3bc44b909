"""Trials in MLflow: an experiment for each data set, a run for each trial, beside the records of the harness.

Runs go where MLFLOW_TRACKING_URI says, by default into mlflow.db in the working directory.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Iterator

from harness import Record, Trial, hookimpl

harness_interface = 2
STORE = "sqlite:///mlflow.db"
MOST = 1000  # metrics of a batch, as MLflow takes them
ENDS = {"ok": "FINISHED", "killed": "KILLED"}


@hookimpl
def harness_trial_finished(trial: Trial, record: Record) -> None:
    """Log a trial, once its record is written. Whatever fails here is reported, and changes no result."""
    from mlflow.entities import Metric, Param, RunTag  # slow to import: only a run of trials waits for it
    from mlflow.tracking import MlflowClient

    client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI", STORE))
    known = client.get_experiment_by_name(trial.dataset.label)
    experiment = known.experiment_id if known else client.create_experiment(trial.dataset.label)
    ended = int(1000 * time.time())
    started = ended - int(1000 * sum(record.seconds.values()))
    name = f"{trial.method.label}, seed {trial.seed}"
    run = client.create_run(experiment, start_time=started, run_name=name).info.run_id
    tags = {"key": trial.key, "status": record.status, "reason": record.reason or "-", "method": trial.method.label}
    params = [Param(clean(each), str(value)[:500]) for each, value in list_params(trial)]
    client.log_batch(run, params=params, tags=[RunTag(each, value) for each, value in tags.items()])
    values = [Metric(clean(each), value, ended, step) for each, value, step in list_values(record)]
    for start in range(0, len(values), MOST):
        client.log_batch(run, metrics=values[start : start + MOST])
    client.set_terminated(run, ENDS.get(record.status, "FAILED"), ended)


def list_params(trial: Trial) -> Iterator[tuple[str, object]]:
    """Everything that decides the result: seed, protocol, options of the method and of the data set."""
    yield "seed", trial.seed
    yield from trial.terms.protocol().items()
    yield from ((f"option.{name}", value) for name, value in trial.method.options.items())
    yield from ((f"dataset.{name}", value) for name, value in trial.dataset.options.items())


def list_values(record: Record) -> Iterator[tuple[str, float, int]]:
    """Name, value and step of each finite number: what was measured at the end, then the learning curve."""
    last = record.curve[-1].update if record.curve else 0
    for source in (record.readings, record.measured, record.scores):
        yield from ((name, value, last) for name, value in source.items() if is_number(value))
    for point in record.curve:
        named = {**point.scalars, **{f"{name}@curve": value for name, value in point.valid.items()}}
        yield from ((name, value, point.update) for name, value in named.items() if is_number(value))


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def clean(name: str) -> str:
    """A name as MLflow takes it: accuracy/best of accuracy@best."""
    return re.sub(r"[^\w. /-]", "_", name.replace("@", "/"))
