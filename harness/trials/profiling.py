"""Instruments: those that only look on accompany the timed pass; the others get the profiled pass, after the timed one,
isolated from its random state, eager. What depends on what was learnt is read of the trained network, the rest of fresh
states. What fails here is a hole, never a failed trial.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from harness.catalog import Offer
from harness.errors import Unsupported
from harness.seeds import derive
from harness.trials import answers
from harness.trials.bench import Bench
from harness.trials.gauges import gauge_of
from harness.trials.places import code_of
from harness.types import Fit, Gauge, Instrument, Learner, Prediction

ALIKE = 1e-3  # what two predictions of one network may differ by
MOST_UNLIKE = 0.1  # share of their numbers: rounding at a threshold changes some of them by more


Watching: TypeAlias = list[tuple[Offer[Instrument], Gauge]]


@contextmanager
def watched(bench: Bench) -> Iterator[Watching]:
    """The instruments that disturb nothing, from the birth of the trained state to its death."""
    gauges: Watching = []
    with ExitStack() as sessions:
        for instrument in _instruments(bench, intrusive=False):
            with _hole(bench, instrument):
                gauge = gauge_of(bench.catalog, instrument.value)
                _enter(bench, instrument, gauge.session(), sessions)
                gauges.append((instrument, gauge))
                if hasattr(gauge, "pause"):
                    bench.pauses.append(_pausing(bench, instrument, gauge.pause))
                if hasattr(gauge, "settle"):
                    bench.settles.append(_settling(bench, instrument, gauge.settle))
        yield gauges


def waiting(bench: Bench) -> list[str]:
    """The instruments that are still to be read and have not failed yet, in the order in which they are read."""
    groups = (_instruments(bench, intrusive=False), _trained(bench), _instruments(bench, intrusive=True))
    return [each.value.name for group in groups for each in group if each.value.name not in bench.notes.holes]


def read_watching(bench: Bench, watching: Watching) -> None:
    """Read the instruments that looked on."""
    for instrument, gauge in watching:
        if instrument.value.name not in bench.notes.holes:
            _read(bench, instrument, gauge.readings)


def profile_trained(bench: Bench, learner: Learner[Any], state: Any) -> None:
    """One prediction of the trained network for each of the instruments whose readings depend on what was learnt."""
    for instrument in _trained(bench):
        _read(bench, instrument, partial(_measured_trained, bench, instrument.value, learner, state))


def profile(bench: Bench) -> None:
    """One fresh state for each of the instruments that disturb what they measure."""
    for instrument in _instruments(bench, intrusive=True):
        _read(bench, instrument, partial(_measured, bench, instrument.value))


def _read(bench: Bench, instrument: Offer[Instrument], measure: Callable[[], Mapping[str, Any]]) -> None:
    name, seed = instrument.value.name, derive(bench.trial.seed, "profile")
    with bench.part(name, code_of(instrument)), bench.backend.isolated(seed):
        bench.read(name, measure())


def _instruments(bench: Bench, intrusive: bool) -> list[Offer[Instrument]]:
    offers = bench.catalog.instruments.offers()
    return [each for each in offers if each.value.intrusive == intrusive and not each.value.trained]


def _trained(bench: Bench) -> list[Offer[Instrument]]:
    return [each for each in bench.catalog.instruments.offers() if each.value.trained]


def _enter(bench: Bench, instrument: Offer[Instrument], span: AbstractContextManager[None], stack: ExitStack) -> None:
    """Enter a span now and leave it with the stack: an instrument that fails there leaves a hole and spoils nothing."""

    def leave(*raised: Any) -> None:
        with _hole(bench, instrument):
            span.__exit__(*raised)

    span.__enter__()
    stack.push(leave)


def _pausing(
    bench: Bench, instrument: Offer[Instrument], pause: Callable[[], AbstractContextManager[None]]
) -> Callable[[], AbstractContextManager[None]]:
    @contextmanager
    def paused() -> Iterator[None]:
        with ExitStack() as stack:
            with _hole(bench, instrument):
                _enter(bench, instrument, pause(), stack)
            yield

    return paused


def _settling(bench: Bench, instrument: Offer[Instrument], settle: Callable[[], None]) -> Callable[[], None]:
    def settled() -> None:
        with _hole(bench, instrument):
            settle()

    return settled


def _hole(bench: Bench, instrument: Offer[Instrument]) -> AbstractContextManager[None]:
    """Whatever is raised inside is the reason for which something is not measured."""
    return bench.hole(instrument.value.name, code_of(instrument))


def _measured(bench: Bench, instrument: Instrument) -> Mapping[str, Any]:
    """Two updates to reach a steady state, one measured; then one prediction of the rows of a batch."""
    gauge = gauge_of(bench.catalog, instrument)
    batches = bench.backend.batches(bench.data, bench.trial.terms.batch_size, derive(bench.trial.seed, "profile"))
    first, second, third = (next(batches) for _ in range(3))
    examples = len(third.inputs)
    with gauge.session():
        learner = bench.build()
        state = learner.init(bench.data.problem, bench.training(eager=True), bench.base)
        if hasattr(learner, "prepare"):
            state = learner.prepare(state, Fit(bench.data.train, bench.data.valid))
        for batch in (first, second):
            state, _ = answers.a_step(learner.update(state, batch))
        with gauge.measure("update", examples):
            state, scalars = learner.update(state, third)
        inputs = bench.data.valid.inputs[:examples]
        with gauge.measure("predict", len(inputs)):
            prediction = learner.predict(state, inputs)
        del learner, state, scalars, prediction
    return gauge.readings()


def _measured_trained(bench: Bench, instrument: Instrument, learner: Learner[Any], state: Any) -> Mapping[str, Any]:
    """The rows of a batch, predicted from the trained state by an eager learner, which hides no operator."""
    gauge = gauge_of(bench.catalog, instrument)
    inputs = bench.data.valid.inputs[: bench.trial.terms.batch_size]
    eager = bench.build()
    eager.init(bench.data.problem, bench.training(eager=True), bench.base)
    with bench.backend.evaluating():
        _require_alike(bench, learner.predict(state, inputs), eager.predict(state, inputs))
        with gauge.session(), gauge.measure("predict", len(inputs)):
            eager.predict(state, inputs)
    return gauge.readings()


def _require_alike(bench: Bench, trained: Prediction, eager: Prediction) -> None:
    """Raises Unsupported where an eager learner predicts something else from the trained state."""
    one, other = (np.asarray(bench.backend.numpy(each)[0]) for each in (trained, eager))
    if one.shape != other.shape or not np.mean(np.isclose(one, other, ALIKE, ALIKE, equal_nan=True)) > 1 - MOST_UNLIKE:
        raise Unsupported(
            "an eager learner predicts something else from the trained state: is a part of it kept in the learner?"
        )
