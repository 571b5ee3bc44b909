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
from harness.trials import answers, carrying, excerpts
from harness.trials.bench import Bench
from harness.trials.code_places import plugin_code
from harness.trials.deployed import make_trained
from harness.trials.gauges import Fitted, make_gauge
from harness.trials.learner_start import Started
from harness.types import Instrument, Trained

STEADY = 2  # updates before the one that is measured

Span: TypeAlias = AbstractContextManager[None]
Gauges: TypeAlias = list[tuple[Offer[Instrument], Fitted]]


@contextmanager
def watched_training(bench: Bench) -> Iterator[Gauges]:
    """The instruments that disturb nothing, from the birth of the trained state to its death."""
    gauges: Gauges = []
    with ExitStack() as sessions:
        for instrument in _select_instruments(bench, intrusive=False):
            with _instrument_hole(bench, instrument):
                fitted = make_gauge(bench.catalog, instrument.value)
                _enter_span(bench, instrument, fitted.gauge.session(), sessions)
                gauges.append((instrument, fitted))
                if "pause" in fitted.offered:
                    bench.pauses.append(_guard_pause(bench, instrument, fitted.pause))
                if "settle" in fitted.offered:
                    bench.settles.append(_guard_settle(bench, instrument, fitted.settle))
        yield gauges


def note_unaccompanied(bench: Bench, why: str) -> None:
    """A hole for each instrument that looks on as a state is trained, where none can: it says why."""
    for instrument in _select_instruments(bench, intrusive=False):
        bench.notes.add_hole(instrument.value.name, why)


def waiting_instruments(bench: Bench) -> list[str]:
    """The instruments that are still to be read and have not failed yet, in the order in which they are read."""
    groups = (_select_instruments(bench, intrusive=False), _select_instruments(bench, intrusive=True))
    return [each.value.name for group in groups for each in group if each.value.name not in bench.notes.holes]


def look_at_trained(bench: Bench, trained: Started, watching: Gauges) -> Gauges:
    """Read the instruments that looked on, and let every gauge that wants to look at the trained network.

    Returns the gauges that still need an update of a fresh state.
    """
    network = make_trained(bench, trained)
    waiting: Gauges = []
    for instrument, fitted in watching:
        if instrument.value.name not in bench.notes.holes:
            with _instrument_part(bench, instrument):
                _show_network(bench, fitted, network)
                _take_readings(bench, instrument, fitted)
    for instrument in _select_instruments(bench, intrusive=True):
        with _instrument_part(bench, instrument):
            fitted = make_gauge(bench.catalog, instrument.value)
            _show_network(bench, fitted, network)
            if "measure" in fitted.offered:
                waiting.append((instrument, fitted))
            else:
                _take_readings(bench, instrument, fitted)
        if waiting and waiting[-1][0] is instrument:
            bench.pending.append(instrument.value.name)  # its update is still to come
    return waiting


def profile_update(bench: Bench, gauges: Gauges) -> None:
    """An update of a fresh state for each of these."""
    for instrument, fitted in gauges:
        with _instrument_part(bench, instrument):
            _measure_update(bench, fitted)
            _take_readings(bench, instrument, fitted)


@contextmanager
def _instrument_part(bench: Bench, instrument: Offer[Instrument]) -> Iterator[None]:
    seed = derive(bench.trial.seed, "profile")
    with bench.measured_part(instrument.value.name, plugin_code(instrument)), bench.backend.isolated(seed):
        yield


def _show_network(bench: Bench, fitted: Fitted, network: Trained) -> None:
    with bench.backend.evaluating(), bench.backend.inference():
        fitted.deployed(network)


def _measure_update(bench: Bench, fitted: Fitted) -> None:
    """Two updates to reach a steady state, and one that is measured. What prepares sees no more than these batches."""
    batches = bench.backend.batches(bench.data, bench.trial.terms.batch_size, derive(bench.trial.seed, "profile"))
    *steady, last = (next(batches) for _ in range(STEADY + 1))
    fit = excerpts.cut_fit(bench.data, bench.trial.terms.batch_size, STEADY + 1)
    with fitted.gauge.session():
        started = bench.start_fresh(fit, eager=True)
        learner, state = started.learner, started.state
        for batch in steady:
            state, _ = answers.check_step(learner.update(state, batch))
        with fitted.gauge.measure("update", excerpts.count_examples(bench.data, last)):
            state, scalars = learner.update(state, last)
        del started, learner, state, scalars


def _take_readings(bench: Bench, instrument: Offer[Instrument], fitted: Fitted) -> None:
    bench.note_readings(instrument.value.name, fitted.gauge.readings())
    carrying.note_read_by(bench.notes, instrument.value)


def _select_instruments(bench: Bench, intrusive: bool) -> list[Offer[Instrument]]:
    """Select the instruments that measure in this trial."""
    offers = [each for each in bench.catalog.instruments.offers() if each.value.intrusive == intrusive]
    asked = [each for each in offers if not each.value.on_request or each.value.name in bench.columns]
    return [each for each in asked if each.value.name not in bench.carried]


def _enter_span(bench: Bench, instrument: Offer[Instrument], span: Span, stack: ExitStack) -> None:
    """Enter a span now and leave it with the stack: an instrument that fails there leaves a hole and spoils nothing."""

    def leave_span(*raised: Any) -> None:
        with _instrument_hole(bench, instrument):
            span.__exit__(*raised)

    span.__enter__()
    stack.push(leave_span)


def _guard_pause(bench: Bench, instrument: Offer[Instrument], pause: Callable[[], Span]) -> Callable[[], Span]:
    @contextmanager
    def paused() -> Iterator[None]:
        with ExitStack() as stack:
            with _instrument_hole(bench, instrument):
                _enter_span(bench, instrument, pause(), stack)
            yield

    return paused


def _guard_settle(bench: Bench, instrument: Offer[Instrument], settle: Callable[[], None]) -> Callable[[], None]:
    def settled() -> None:
        with _instrument_hole(bench, instrument):
            settle()

    return settled


@contextmanager
def _instrument_hole(bench: Bench, instrument: Offer[Instrument]) -> Iterator[None]:
    """Take an error that is raised inside for the reason why something is not measured."""
    name = instrument.value.name
    with bench.at_hand(f"instrument {name}"), bench.hole_on_error(name, plugin_code(instrument)):
        yield
