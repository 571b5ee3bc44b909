"""The bench: all that one running trial works with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from harness import names
from harness.catalog import Catalog
from harness.errors import Unsupported, is_interrupt
from harness.seeds import derive
from harness.trials import predicting, prediction_files
from harness.trials.carrying import Carried
from harness.trials.code_places import trial_code
from harness.trials.learner_start import Phase, Started, start_learner
from harness.trials.record_notes import DATA, Notes
from harness.types import Array, Backend, Batch, Data, Fit, Learner, Prediction, Progress, Training, Trial
from harness.words import Code, describe_error


@dataclass(frozen=True)
class Bench:
    """All that one trial works with.

    pauses: what lets the instruments that look on know that no training goes on; settles: that it is steady now.
    base_prediction: the file with the test prediction of what the trial starts from; prediction: where to keep its own;
    examples: where to keep the scores of single test examples.
    pending: names of what is still to be measured once the trial is trained and scored; `tell` is called with them.
    carried: what instruments need not measure, since it was read in other seeds. columns: metrics that were asked for.
    off_curve: metrics that have ended this trial on the curve, and how: they are computed at the end alone.
    memory: the most bytes that this process may hold, if that is known.
    """

    catalog: Catalog
    trial: Trial
    backend: Backend
    data: Data
    build: Callable[[], Learner[Any]]
    weights: Mapping[str, Array] | None
    notes: Notes
    report: Callable[[Progress], None]
    tell: Callable[[tuple[str, ...]], None] = lambda _: None
    base_prediction: Path | None = None
    prediction: Path | None = None
    examples: Path | None = None
    pending: list[str] = field(default_factory=list)
    pauses: list[Callable[[], AbstractContextManager[None]]] = field(default_factory=list)
    settles: list[Callable[[], None]] = field(default_factory=list)
    carried: dict[str, Carried] = field(default_factory=dict)
    columns: Collection[str] = ()
    off_curve: Mapping[str, str] = field(default_factory=dict)
    memory: int | None = None

    def start_fresh(self, fit: Fit | None, *, eager: bool = False, phase: Phase = lambda _: nullcontext()) -> Started:
        """A learner with a fresh state, ready for its first update; without anything to fit it is not prepared."""
        return start_learner(self.build, self.data.problem, self.training_setup(eager), self.base_arrays, fit, phase)

    @contextmanager
    def timed_phase(self, phase: str) -> Iterator[None]:
        """A phase in which a learner works; its time ends when the device has done it."""
        clock = self.backend.clock(self.trial.terms.device)
        with self.notes.timing(phase):
            clock.start()
            yield
            clock.stop()
            clock.seconds()

    @contextmanager
    def evaluation_phase(self) -> Iterator[None]:
        """Time what is no training on its own; instruments may look away meanwhile."""
        with self.notes.timing("evaluate"), ExitStack() as paused:
            for pause in self.pauses:
                paused.enter_context(pause())
            paused.enter_context(self.backend.evaluating())
            yield

    @contextmanager
    def at_hand(self, part: str) -> Iterator[None]:
        """Code of others than the method runs inside: what ends the process there is named by it."""
        self.report(Progress("", 0.0, part=part))
        try:
            yield
        finally:
            self.report(Progress("", 0.0, part=""))

    @contextmanager
    def hole_on_error(self, name: str, code: Code = ()) -> Iterator[None]:
        """Take an error that is raised inside for the reason why something is not measured; only an interrupt passes.

        code: where the code of others than the method is that may raise.
        """
        try:
            yield
        except BaseException as error:
            if is_interrupt(error):
                raise
            self.notes.add_hole(name, describe_error(error, (*code, *trial_code(self.catalog, self.trial))))

    @contextmanager
    def measured_part(self, name: str, code: Code = ()) -> Iterator[None]:
        """One part of what is measured after the scores: if it fails it is a hole; if the process dies over it, what
        was told before stands, and this is what it died of.
        """
        self.tell((name, *(each for each in self.pending if each != name)))
        with self.hole_on_error(name, code):
            yield
        self.pending[:] = [each for each in self.pending if each != name]

    def note_readings(self, owner: str, said: object) -> None:
        """Note the readings of an instrument, or what a data set says of itself: never under the harness's own names,
        and a data set under no metric's.
        """
        metrics = self.catalog.metrics.values()
        taken = dict.fromkeys(names.MEASURED, "what the harness itself measures")
        taken |= {each.name: "a score" for each in metrics if each.compute is not None}
        if owner.startswith(DATA):
            taken |= {each.name: "what an instrument reads" for each in metrics if each.name not in taken}
        self.notes.take_readings(owner, said, taken)

    @property
    def base_arrays(self) -> Mapping[str, Array] | None:
        """The arrays that the trial starts from, new ones each time: a learner may train them in place."""
        return None if self.weights is None else self.backend.arrays(self.weights, self.trial.terms.device)

    @cached_property
    def base_prediction_or_reason(self) -> tuple[Prediction | None, str]:
        """The test prediction of the trial that this one starts from, and why it is not known."""
        if self.trial.base is None:
            return None, ""
        try:
            if self.base_prediction is None:
                raise Unsupported("its test prediction was not handed over")
            found = prediction_files.read_prediction(self.base_prediction, self.test_rows)
            if flaw := predicting.find_flaw(found, self.data.test.inputs, self.data.problem):
                raise Unsupported(f"its test prediction does not fit: {flaw}")
        except Unsupported as error:
            return None, f"starts from {self.trial.base.method.label}: {error}"
        return found, ""

    @property
    def test_rows(self) -> dict[str, str]:
        """Digests of what the test split holds."""
        return {name: each for name, each in self.notes.provenance["data"].items() if name.startswith("test.")}

    def training_setup(self, eager: bool = False) -> Training:
        """How the learner is to train: the same for every method."""
        terms, updates, seed = self.trial.terms, self.planned_updates(), self.derive_seed("init")
        return Training(seed, terms.device, terms.precision, terms.batch_size, updates, eager, self.memory)

    def derive_seed(self, purpose: str) -> int:
        """The seed of one purpose: the same for every method."""
        return derive(self.trial.seed, self.trial.dataset.name, purpose)

    def ordered_batches(self) -> Iterator[Batch]:
        """The batches of the trial in their order, without end."""
        return self.backend.batches(self.data, self.trial.terms.batch_size, self.derive_seed("order"))

    @property
    def fit_rows(self) -> Fit:
        """The rows that `prepare` and `finish` see."""
        return Fit(self.data.train, self.data.valid)

    def updates_per_epoch(self) -> float:
        """How many mini-batches go into one pass over the training split; contiguous data count windows."""
        data, batch_size = self.data, self.trial.terms.batch_size
        if data.problem.order == "contiguous":
            tokens: int = data.train.targets.shape[1]
            return max(1, tokens // batch_size // data.problem.window)
        rows = len(data.train.inputs)
        return rows / min(batch_size, rows)

    def planned_updates(self) -> int | None:
        """How many updates the budget plans; None under a budget of seconds."""
        budget = self.trial.terms.budget
        if budget.unit == "seconds":
            return None
        planned = budget.amount * self.updates_per_epoch() if budget.unit == "epochs" else budget.amount
        return max(1, round(planned)) if budget.amount else 0
