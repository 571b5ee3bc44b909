"""The points of a training curve: scored on the validation split, the best known so far, and the test scores beside it.

The best is the first point with the best headline score. Where a learner has a glance, points on the way are scored by
it, and all points compared by it, like with like; what is recorded of the best one is by its prediction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from harness.catalog import Offer
from harness.errors import Diverged
from harness.metrics.headline import find_headline
from harness.trials import answers, predictions, scoring
from harness.trials.based import unbased
from harness.trials.bench import Bench
from harness.trials.notes import Notes
from harness.trials.predicting import Predict
from harness.trials.scoring import Scores
from harness.trials.starting import Started
from harness.types import Metric, Outcome, Point

T = TypeVar("T")


class Points:
    """Adds the points of one trial to its notes, in order."""

    def __init__(self, bench: Bench, started: Started) -> None:
        self._bench = bench
        self._glance, self._predict = started.parts.glance, started.learner.predict
        self._glances = "glance" in started.parts.offered
        self._headlines: list[float] = []  # of what compares points; greater being better, -inf where there is none
        self._whole: Scores | None = None  # of the last point by its prediction, if that was made
        # Without updates, and nothing after them, the start, the best and the last point are one.
        self._one = bench.updates() == 0 and "finish" not in started.parts.offered

    def begin(self, state: Any) -> None:
        """The point before the first update, by its prediction. Where that is nan it is the worst of all, and may yet
        be mended.
        """
        with self._bench.evaluating():
            self._append(state, Point(0, 0.0, 0.0, {}, {}), whole=True)
            if self._bench.weights is not None and not self._one:
                self.score_view(self._predict, state, "start")

    def add(self, state: Any, point: Point) -> None:
        """A point on the way. Raises Diverged where it is nan."""
        with self._bench.evaluating():
            self._refuse(self._append(state, point, whole=False))

    def finished(self, state: Any) -> None:
        """A further point after the last update, for what `finish` has changed. Raises Diverged where it is nan."""
        with self._bench.evaluating():
            self._append(state, self._bench.notes.curve[-1], whole=True)
        self.end(state)

    def end(self, state: Any) -> None:
        """The last point is there: it is by its prediction. Raises Diverged where that is nan."""
        if self._whole is None:
            with self._bench.evaluating():
                self._whole = self._valid(self._predict, state)
        self._refuse(self._whole.nan)
        self._show(self._whole)
        self._bench.notes.scores |= _named(self._whole.found, "valid")

    def out_of_patience(self) -> bool:
        """Whether validation has not improved for as many points as the trial has patience; a tie is no improvement."""
        patience, scores = self._bench.trial.terms.patience, self._headlines
        if patience is None or scores[-1] == -math.inf:
            return False
        return len(scores) - 1 - scores.index(max(scores)) >= patience

    def score_view(self, predict: answers.View, state: Any, view: str) -> None:
        """Scores of the test split under the name of a view."""
        wanted = scoring.on_the_curve if view in ("best", "start") else scoring.of_any_split
        outcome, holes = self._tested(predict, state)
        scores = scoring.judged(outcome, self._metrics(wanted), self._bench.at_hand)
        self._note(scores, view)
        self._note(scoring.Scores({}, holes), view)

    def score_trained(self, state: Any) -> None:
        """The plain scores of the test split, and the validation scores that no point of the curve has. The harness's
        own are told before a plugin's metric is asked, which may end the process.
        """
        bench, metrics = self._bench, self._metrics()
        others = [offer for offer in metrics if not scoring.is_own(offer)]
        late = self._metrics(scoring.at_the_end) if len(bench.data.valid.inputs) else []
        names = [*(offer.value.name for offer in others), *(f"{offer.value.name}@valid" for offer in late)]
        bench.pending[:0] = names
        tested, holes = self._tested(self._predict, state)
        self._note(scoring.Scores({}, holes), "")
        own = [offer for offer in metrics if scoring.is_own(offer)]
        self._note(scoring.judged(tested, own, bench.at_hand), "")
        if bench.prediction is not None:
            with bench.hole("test prediction"):
                shifted = {name: prediction for name, (prediction, _) in tested.shifted.items()}
                predictions.keep(bench.prediction, tested.prediction, bench.test_rows, shifted)
        for offer in others:
            with bench.part(offer.value.name):
                self._note(scoring.judged(tested, [offer], bench.at_hand), "")
        del tested  # two predictions of many samples may be more than there is room for
        self._score_late(state, late)

    def _score_late(self, state: Any, metrics: Sequence[Offer[Metric]]) -> None:
        """Validation scores that no point of the curve has."""
        bench, valid = self._bench, None
        for offer in metrics:
            with bench.part(f"{offer.value.name}@valid"):
                valid = valid or self._validated(state)
                self._note(scoring.judged(valid, [offer], bench.at_hand), "valid")

    def _validated(self, state: Any) -> Outcome:
        bench = self._bench
        asking, folded = _asking(bench, self._predict, state), scoring.foldable(self._metrics(scoring.at_the_end))
        return scoring.outcome_of(bench.data, bench.data.valid, asking, folded=folded)[0]

    def _tested(self, predict: answers.View, state: Any) -> tuple[Outcome, dict[str, str]]:
        bench, data = self._bench, self._bench.data
        asking, folded = _asking(bench, predict, state), scoring.foldable(self._metrics())
        base, why = bench.base_predicted
        outcome, holes = scoring.outcome_of(data, data.test, asking, data.shifted, base, folded=folded)
        return unbased(outcome, why) if why else outcome, holes

    def _metrics(self, wanted: scoring.Wanted | None = None) -> list[Offer[Metric]]:
        return scoring.applying(self._bench.catalog, self._bench.data.problem.kind, wanted)

    def _note(self, scores: Scores, view: str) -> None:
        for each in self._alike(view):
            self._bench.notes.scores |= _named(self._fitting(scores.found, each), each)
            for name, reason in _named(self._fitting(scores.holes, each), each).items():
                self._bench.notes.hole(name, reason)

    def _alike(self, view: str) -> list[str]:
        """The views that a prediction of the test split is scored under: the last one, where all points are one."""
        if view or not self._one:
            return [view]
        started = ["start"] if self._bench.weights is not None else []
        return [view, *started, *(["best"] if "best_update" in self._bench.notes.measured else [])]

    def _fitting(self, values: Mapping[str, T], view: str) -> dict[str, T]:
        """Without those of metrics that a point has no score by."""
        curve = {each.name for each in self._bench.catalog.metrics.values() if scoring.on_the_curve(each)}
        points = view in ("best", "start")
        return {name: value for name, value in values.items() if not points or name in curve}

    # --- one point ----------------------------------------------------------------------------------------------------

    def _append(self, state: Any, point: Point, whole: bool) -> str:
        """Add a point, and return the first score of it that is nan. whole: it is shown by its prediction."""
        seen = self._valid(self._glance, state)
        self._bench.notes.curve.append(point)
        self._show(seen)
        self._headlines.append(self._headline(seen))
        best = self._headlines[-1] > max(self._headlines[:-1], default=-math.inf)
        if not self._glances:
            self._whole = seen
        else:
            self._whole = self._valid(self._predict, state) if (whole or best) and not seen.nan else None
        if whole and self._whole is not None:
            self._show(self._whole)
        if best and self._whole is not None and not self._whole.nan:
            self._keep(self._whole, state)
        return seen.nan or (self._whole.nan if self._whole else "")

    def _show(self, scores: Scores) -> None:
        """On the curve; of a point that is nan no score is one."""
        notes = self._bench.notes
        point = notes.curve[-1]
        notes.curve[-1] = point._replace(valid={} if scores.nan else scores.found)
        for name, reason in scores.holes.items():
            notes.hole(f"{name}@valid", f"at update {point.update}: {reason}")

    def _keep(self, scores: Scores, state: Any) -> None:
        """The last point is the best so far."""
        notes = self._bench.notes
        _forget(notes, "valid-best", "best")
        notes.scores |= _named(scores.found, "valid-best")
        if not self._one:
            self.score_view(self._predict, state, "best")
        notes.measured["best_update"] = notes.curve[-1].update

    def _refuse(self, nan: str) -> None:
        if nan:
            raise Diverged(f"validation {nan} is nan at update {self._bench.notes.curve[-1].update}")

    def _valid(self, predict: answers.View, state: Any, wanted: scoring.Wanted = scoring.on_the_curve) -> Scores:
        bench, split = self._bench, self._bench.data.valid
        if not len(split.inputs):
            return Scores({}, {})
        asking = _asking(bench, predict, state)
        return scoring.score(bench.catalog, bench.data, split, asking, wanted=wanted, at_hand=bench.at_hand)

    def _headline(self, scores: Scores) -> float:
        bench = self._bench
        deciding = find_headline(bench.catalog.metrics.values(), bench.data.problem.kind, bench.trial.terms.headline)
        if deciding is None or scores.nan or deciding.name not in scores.found:
            return -math.inf
        return scores.found[deciding.name] * (1 if deciding.better == "higher" else -1)


def _forget(notes: Notes, *views: str) -> None:
    """Scores, and their holes, of a point that is no longer the best."""
    for known in (notes.scores, notes.holes):
        for name in [name for name in known if name.partition("@")[2] in views]:
            del known[name]


def _asking(bench: Bench, predict: answers.View, state: Any) -> Predict:
    return lambda inputs: bench.backend.numpy(answers.a_prediction(answers.asked(predict, state, inputs)))


def _named(values: Mapping[str, T], view: str) -> dict[str, T]:
    return {f"{name}@{view}" if view else name: value for name, value in values.items()}
