"""The profiled pass of a trial: after the timed one, isolated from its random state, eager."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.bench import Bench, one_line
from harness.catalog import resolve
from harness.seeds import derive
from harness.types import Fit, Gauge, Instrument


def profile(bench: Bench) -> None:
    """One fresh state per intrusive instrument; what fails here is a hole, never a failed trial."""
    for instrument in bench.catalog.instruments.values():
        if not instrument.intrusive:
            continue
        try:
            with bench.backend.isolated(derive(bench.trial.seed, "profile")):
                bench.notes.readings |= _measured(bench, instrument)
        except Exception as error:
            bench.notes.holes[instrument.name] = one_line(error)


def _measured(bench: Bench, instrument: Instrument) -> Mapping[str, Any]:
    """Two updates to reach a steady state, one measured; then one prediction of the rows of a batch."""
    gauge: Gauge = resolve(instrument.factory)()
    batches = bench.backend.batches(bench.data, bench.trial.batch_size, derive(bench.trial.seed, "profile"))
    first, second, third = (next(batches) for _ in range(3))
    examples = len(third.inputs)
    with gauge.session():
        learner = bench.build()
        state = learner.init(bench.data.problem, bench.training(eager=True), bench.base)
        if hasattr(learner, "prepare"):
            state = learner.prepare(state, Fit(bench.data.train, bench.data.valid))
        for batch in (first, second):
            state, _ = learner.update(state, batch)
        with gauge.measure("update", examples):
            state, scalars = learner.update(state, third)
        inputs = bench.data.valid.inputs[:examples]
        with gauge.measure("predict", len(inputs)):
            prediction = learner.predict(state, inputs)
        del learner, state, scalars, prediction
    return gauge.readings()
