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
from harness.records import example_files
from harness.trials import answers, prediction_files, scoring
from harness.trials.bench import Bench
from harness.trials.learner_start import Started
from harness.trials.predicting import Predict
from harness.trials.record_notes import Notes
from harness.trials.scoring import Scores
from harness.trials.unknown_base import withhold_base
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
        self._one = bench.planned_updates() == 0 and "finish" not in started.parts.offered

    def add_start(self, state: Any) -> None:
        """The point before the first update, by its prediction. Where that is nan it is the worst of all, and may yet
        be mended.
        """
        with self._bench.evaluation_phase():
            self._append_point(state, Point(0, 0.0, 0.0, {}, {}), whole=True)
            if self._bench.weights is not None and not self._one:
                self.score_view(self._predict, state, "start")

    def add_point(self, state: Any, point: Point) -> None:
        """A point on the way. Raises Diverged where it is nan."""
        with self._bench.evaluation_phase():
            self._refuse_nan(self._append_point(state, point, whole=False))

    def add_finished(self, state: Any) -> None:
        """A further point after the last update, for what `finish` has changed. Raises Diverged where it is nan."""
        with self._bench.evaluation_phase():
            self._append_point(state, self._bench.notes.curve[-1], whole=True)
        self.end_curve(state)

    def end_curve(self, state: Any) -> None:
        """The last point is there: it is by its prediction. Raises Diverged where that is nan."""
        if self._whole is None:
            with self._bench.evaluation_phase():
                self._whole = self._score_validation(self._predict, state)
        self._refuse_nan(self._whole.nan)
        self._show_scores(self._whole)
        self._bench.notes.scores |= _name_by_view(self._whole.found, "valid")

    def out_of_patience(self) -> bool:
        """Whether validation has not improved for as many points as the trial has patience; a tie is no improvement."""
        patience, scores = self._bench.trial.terms.patience, self._headlines
        if patience is None or scores[-1] == -math.inf:
            return False
        return len(scores) - 1 - scores.index(max(scores)) >= patience

    def score_view(self, predict: answers.View, state: Any, view: str) -> None:
        """Scores of the test split under the name of a view."""
        wanted = scoring.on_the_curve if view in ("best", "start") else scoring.of_any_split
        outcome, holes = self._predict_test(predict, state)
        scores = scoring.judge_outcome(outcome, self._applying_metrics(wanted), self._bench.at_hand)
        self._note_scores(scores, view)
        self._note_scores(scoring.Scores({}, holes), view)

    def score_test(self, state: Any) -> None:
        """The plain scores of the test split, and the validation scores that no point of the curve has. The harness's
        own are told before a plugin's metric is asked, which may end the process.
        """
        bench, metrics = self._bench, self._applying_metrics()
        others = [offer for offer in metrics if not scoring.is_of_harness(offer)]
        late = self._applying_metrics(scoring.at_the_end) if len(bench.data.valid.inputs) else []
        names = [*(offer.value.name for offer in others), *(f"{offer.value.name}@valid" for offer in late)]
        bench.pending[:0] = names
        tested, holes = self._predict_test(self._predict, state)
        self._note_scores(scoring.Scores({}, holes), "")
        own = [offer for offer in metrics if scoring.is_of_harness(offer)]
        self._note_scores(scoring.judge_outcome(tested, own, bench.at_hand), "")
        if bench.prediction is not None:
            with bench.hole_on_error("test prediction"):
                shifted = {name: prediction for name, (prediction, _) in tested.shifted.items()}
                prediction_files.write_prediction(bench.prediction, tested.prediction, bench.test_rows, shifted)
        if bench.examples is not None and bench.data.problem.kind in example_files.KINDS:
            with bench.hole_on_error("test examples"):
                found = example_files.score_examples(tested, bench.notes.test_rows)
                example_files.write_examples(bench.examples, found, bench.test_rows)
        for offer in others:
            with bench.measured_part(offer.value.name):
                self._note_scores(scoring.judge_outcome(tested, [offer], bench.at_hand), "")
        del tested  # two predictions of many samples may be more than there is room for
        self._score_late(state, late)

    def _score_late(self, state: Any, metrics: Sequence[Offer[Metric]]) -> None:
        """Validation scores that no point of the curve has."""
        bench, valid = self._bench, None
        for offer in metrics:
            with bench.measured_part(f"{offer.value.name}@valid"):
                valid = valid or self._predict_validation(state)
                self._note_scores(scoring.judge_outcome(valid, [offer], bench.at_hand), "valid")

    def _predict_validation(self, state: Any) -> Outcome:
        bench = self._bench
        asking = _predict_in_numpy(bench, self._predict, state)
        folded = scoring.are_foldable(self._applying_metrics(scoring.at_the_end))
        return scoring.make_outcome(bench.data, bench.data.valid, asking, folded=folded)[0]

    def _predict_test(self, predict: answers.View, state: Any) -> tuple[Outcome, dict[str, str]]:
        bench, data = self._bench, self._bench.data
        asking, folded = _predict_in_numpy(bench, predict, state), scoring.are_foldable(self._applying_metrics())
        base, why = bench.base_prediction_or_reason
        outcome, holes = scoring.make_outcome(data, data.test, asking, data.shifted, base, folded=folded)
        return withhold_base(outcome, why) if why else outcome, holes

    def _applying_metrics(self, wanted: scoring.Wanted | None = None) -> list[Offer[Metric]]:
        return scoring.applying_metrics(self._bench.catalog, self._bench.data.problem.kind, wanted)

    def _note_scores(self, scores: Scores, view: str) -> None:
        for each in self._equal_views(view):
            self._bench.notes.scores |= _name_by_view(self._scores_of_view(scores.found, each), each)
            for name, reason in _name_by_view(self._scores_of_view(scores.holes, each), each).items():
                self._bench.notes.add_hole(name, reason)

    def _equal_views(self, view: str) -> list[str]:
        """The views that a prediction of the test split is scored under: the last one, where all points are one."""
        if view or not self._one:
            return [view]
        started = ["start"] if self._bench.weights is not None else []
        return [view, *started, *(["best"] if "best_update" in self._bench.notes.measured else [])]

    def _scores_of_view(self, values: Mapping[str, T], view: str) -> dict[str, T]:
        """Without those of metrics that a point has no score by."""
        curve = {each.name for each in self._bench.catalog.metrics.values() if scoring.on_the_curve(each)}
        points = view in ("best", "start")
        return {name: value for name, value in values.items() if not points or name in curve}

    # --- one point ----------------------------------------------------------------------------------------------------

    def _append_point(self, state: Any, point: Point, whole: bool) -> str:
        """Add a point, and return the first score of it that is nan. whole: it is shown by its prediction."""
        seen = self._score_validation(self._glance, state)
        self._bench.notes.curve.append(point)
        self._show_scores(seen)
        self._headlines.append(self._headline_score(seen))
        best = self._headlines[-1] > max(self._headlines[:-1], default=-math.inf)
        if not self._glances:
            self._whole = seen
        else:
            self._whole = self._score_validation(self._predict, state) if (whole or best) and not seen.nan else None
        if whole and self._whole is not None:
            self._show_scores(self._whole)
        if best and self._whole is not None and not self._whole.nan:
            self._keep_best(self._whole, state)
        return seen.nan or (self._whole.nan if self._whole else "")

    def _show_scores(self, scores: Scores) -> None:
        """On the curve; of a point that is nan no score is one."""
        notes = self._bench.notes
        point = notes.curve[-1]
        notes.curve[-1] = point._replace(valid={} if scores.nan else scores.found)
        for name, reason in scores.holes.items():
            notes.add_hole(f"{name}@valid", f"at update {point.update}: {reason}")

    def _keep_best(self, scores: Scores, state: Any) -> None:
        """The last point is the best so far."""
        notes = self._bench.notes
        _forget_views(notes, "valid-best", "best")
        notes.scores |= _name_by_view(scores.found, "valid-best")
        if not self._one:
            self.score_view(self._predict, state, "best")
        notes.measured["best_update"] = notes.curve[-1].update

    def _refuse_nan(self, nan: str) -> None:
        if nan:
            raise Diverged(f"validation {nan} is nan at update {self._bench.notes.curve[-1].update}")

    def _score_validation(self, predict: answers.View, state: Any) -> Scores:
        bench, split = self._bench, self._bench.data.valid
        if not len(split.inputs):
            return Scores({}, {})
        asking, wanted = _predict_in_numpy(bench, predict, state), scoring.on_the_curve
        return scoring.score_split(bench.catalog, bench.data, split, asking, wanted=wanted, at_hand=bench.at_hand)

    def _headline_score(self, scores: Scores) -> float:
        bench = self._bench
        deciding = find_headline(bench.catalog.metrics.values(), bench.data.problem.kind, bench.trial.terms.headline)
        if deciding is None or scores.nan or deciding.name not in scores.found:
            return -math.inf
        return scores.found[deciding.name] * (1 if deciding.better == "higher" else -1)


def _forget_views(notes: Notes, *views: str) -> None:
    """Scores, and their holes, of a point that is no longer the best."""
    for known in (notes.scores, notes.holes):
        for name in [name for name in known if name.partition("@")[2] in views]:
            del known[name]


def _predict_in_numpy(bench: Bench, predict: answers.View, state: Any) -> Predict:
    return lambda inputs: bench.backend.numpy(answers.check_prediction(answers.ask_learner(predict, state, inputs)))


def _name_by_view(values: Mapping[str, T], view: str) -> dict[str, T]:
    return {f"{name}@{view}" if view else name: value for name, value in values.items()}
