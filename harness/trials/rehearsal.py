"""One trial without its loop and its record, for a command that looks at single updates."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from harness.catalog import Catalog, resolve
from harness.data import files
from harness.errors import Unsupported, UsageError
from harness.planning.plan import plan_trials
from harness.selections import selection
from harness.suites.suite import Request
from harness.trials.record_notes import Notes
from harness.trials.trial import set_up
from harness.types import Array, Backend, Batch, Data, Learner, Trial

BASE_UPDATES = 3  # of what another method starts from, which may refuse a network that nothing was ever done to


@dataclass(frozen=True)
class Rehearsal:
    """A learner that stands ready for its first update, with the batches that the trial would give it, without end.

    base: the arrays that it starts from, if any.
    """

    trial: Trial
    data: Data
    learner: Learner[Any]
    state: Any
    batches: Iterator[Batch]
    base: Mapping[str, Array] | None = None


def rehearse(
    catalog: Catalog,
    method: str,
    dataset: str | None = None,
    *,
    seed: int = 0,
    batch_size: int | None = None,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    data: Path | None = None,
) -> Rehearsal:
    """Plan one trial as `harness run` would, and bring its learner to where training begins, in this process.

    method, dataset: selections of one each; what is None is decided as in a run. data: the folder with data sets. A
    method that starts from another is given that one's arrays after a few updates: shapes and costs are those of
    trained ones.
    Raises UsageError for anything that cannot be run, and for a selection of several.
    """
    request = Request(
        methods=method,
        datasets=dataset,
        seeds=f"[{seed}]",
        batch_size=batch_size,
        device=device,
        precision=precision,
        threads=threads,
        data=data,
    )
    trial = _select_one(plan_trials(catalog, request), method)
    try:
        return _make_ready(catalog, trial, files.resolve_folder(data))
    except Unsupported as error:
        raise UsageError(f"{trial.method.label} on {trial.dataset.label}: {error}") from error


def _select_one(trials: list[Trial], method: str) -> Trial:
    bases = {trial.base.key for trial in trials if trial.base}
    wanted = [trial for trial in trials if trial.key not in bases]
    if len(wanted) != 1 or len(selection.parse(method, "--methods")) != 1:
        named = ", ".join(f"{trial.method.label} on {trial.dataset.label}" for trial in trials)
        raise UsageError(f"one method and one data set are expected, without sweeps; selected: {named}")
    return wanted[0]


def _make_ready(catalog: Catalog, trial: Trial, folder: Path | None) -> Rehearsal:
    backend: Backend = resolve(catalog.backends.values()[0].factory)()
    with tempfile.TemporaryDirectory() as temporary:
        base = _train_base(catalog, trial.base, backend, folder, Path(temporary)) if trial.base else None
        bench = set_up(catalog, trial, backend, folder, base, lambda _: None, Notes())
    started = bench.start_fresh(bench.fit_rows)
    return Rehearsal(trial, bench.data, started.learner, started.state, bench.ordered_batches(), bench.base_arrays)


def _train_base(catalog: Catalog, trial: Trial, backend: Backend, folder: Path | None, temporary: Path) -> Path:
    """The file with the arrays of what another method starts from, after a few updates."""
    bench = set_up(catalog, trial, backend, folder, None, lambda _: None, Notes())
    started = bench.start_fresh(bench.fit_rows)
    if "save" not in started.parts.offered:
        raise UsageError(f"{trial.method.name} has no save(state), and another method starts from it")
    state = started.state
    for batch in islice(bench.ordered_batches(), BASE_UPDATES):
        state, _ = started.learner.update(state, batch)
    path = temporary / "base.safetensors"
    backend.save(started.parts.save(state), path)
    return path
