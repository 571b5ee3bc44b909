"""Instruments: those that only look on accompany the timed pass; the others come after it, isolated from its random
state. A gauge may look at the trained network, once, and at an update of a fresh state, made eager. What fails here is
a hole, never a failed trial.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, TypeAlias

from harness.catalog import Offer
from harness.seeds import derive
from harness.trials import answers, carrying, rows
from harness.trials.bench import Bench
from harness.trials.deployed import trained_network
from harness.trials.gauges import Fitted, gauge_of
from harness.trials.places import code_of
from harness.trials.starting import Started
from harness.types import Instrument, Trained

STEADY = 2  # updates before the one that is measured

Gauges: TypeAlias = list[tuple[Offer[Instrument], Fitted]]


@contextmanager
def watched(bench: Bench) -> Iterator[Gauges]:
    """The instruments that disturb nothing, from the birth of the trained state to its death."""
    gauges: Gauges = []
    with ExitStack() as sessions:
        for instrument in _instruments(bench, intrusive=False):
            with _hole(bench, instrument):
                fitted = gauge_of(bench.catalog, instrument.value)
                _enter(bench, instrument, fitted.gauge.session(), sessions)
                gauges.append((instrument, fitted))
                if "pause" in fitted.offered:
                    bench.pauses.append(_pausing(bench, instrument, fitted.pause))
                if "settle" in fitted.offered:
                    bench.settles.append(_settling(bench, instrument, fitted.settle))
        yield gauges


def unaccompanied(bench: Bench, why: str) -> None:
    """A hole for each instrument that looks on as a state is trained, where none can: it says why."""
    for instrument in _instruments(bench, intrusive=False):
        bench.notes.hole(instrument.value.name, why)


def waiting(bench: Bench) -> list[str]:
    """The instruments that are still to be read and have not failed yet, in the order in which they are read."""
    groups = (_instruments(bench, intrusive=False), _instruments(bench, intrusive=True))
    return [each.value.name for group in groups for each in group if each.value.name not in bench.notes.holes]


def look_at_trained(bench: Bench, trained: Started, watching: Gauges) -> Gauges:
    """Read the instruments that looked on, and let every gauge that wants to look at the trained network.

    Returns the gauges that still need an update of a fresh state.
    """
    network = trained_network(bench, trained)
    waiting: Gauges = []
    for instrument, fitted in watching:
        if instrument.value.name not in bench.notes.holes:
            with _part(bench, instrument):
                _look(bench, fitted, network)
                _read(bench, instrument, fitted)
    for instrument in _instruments(bench, intrusive=True):
        with _part(bench, instrument):
            fitted = gauge_of(bench.catalog, instrument.value)
            _look(bench, fitted, network)
            if "measure" in fitted.offered:
                waiting.append((instrument, fitted))
            else:
                _read(bench, instrument, fitted)
        if waiting and waiting[-1][0] is instrument:
            bench.pending.append(instrument.value.name)  # its update is still to come
    return waiting


def profile(bench: Bench, gauges: Gauges) -> None:
    """An update of a fresh state for each of these."""
    for instrument, fitted in gauges:
        with _part(bench, instrument):
            _measure(bench, fitted)
            _read(bench, instrument, fitted)


@contextmanager
def _part(bench: Bench, instrument: Offer[Instrument]) -> Iterator[None]:
    seed = derive(bench.trial.seed, "profile")
    with bench.part(instrument.value.name, code_of(instrument)), bench.backend.isolated(seed):
        yield


def _look(bench: Bench, fitted: Fitted, network: Trained) -> None:
    with bench.backend.evaluating(), bench.backend.inference():
        fitted.deployed(network)


def _measure(bench: Bench, fitted: Fitted) -> None:
    """Two updates to reach a steady state, and one that is measured. What prepares sees no more than these batches."""
    batches = bench.backend.batches(bench.data, bench.trial.terms.batch_size, derive(bench.trial.seed, "profile"))
    *steady, last = (next(batches) for _ in range(STEADY + 1))
    fit = rows.few(bench.data, bench.trial.terms.batch_size, STEADY + 1)
    with fitted.gauge.session():
        started = bench.start(fit, eager=True)
        learner, state = started.learner, started.state
        for batch in steady:
            state, _ = answers.a_step(learner.update(state, batch))
        with fitted.gauge.measure("update", rows.examples(bench.data, last)):
            state, scalars = learner.update(state, last)
        del started, learner, state, scalars


def _read(bench: Bench, instrument: Offer[Instrument], fitted: Fitted) -> None:
    bench.read(instrument.value.name, fitted.gauge.readings())
    carrying.note(bench.notes, instrument.value)


def _instruments(bench: Bench, intrusive: bool) -> list[Offer[Instrument]]:
    """Those that measure in this trial."""
    offers = [each for each in bench.catalog.instruments.offers() if each.value.intrusive == intrusive]
    asked = [each for each in offers if not each.value.on_request or each.value.name in bench.columns]
    return [each for each in asked if each.value.name not in bench.carried]


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


@contextmanager
def _hole(bench: Bench, instrument: Offer[Instrument]) -> Iterator[None]:
    """Whatever is raised inside is the reason for which something is not measured."""
    name = instrument.value.name
    with bench.at_hand(f"instrument {name}"), bench.hole(name, code_of(instrument)):
        yield
