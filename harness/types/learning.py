"""Data as a learner sees them, and its answers: rows, problems, predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

Array: TypeAlias = Any
Scalar: TypeAlias = Any
Facts: TypeAlias = Mapping[str, Any]
State = TypeVar("State")

Order = Literal["shuffled", "contiguous"]

NO_CLASS = -1  # target of a row of a shifted split that belongs to no class of the problem


class Batch(NamedTuple):
    """Rows of one split, on the trial's device.

    Classification: inputs (B, *input_shape) float32, targets (B,) int64. Regression: likewise, targets (B,)
    float32, standardised, not all alike. Language: inputs (B, L) int64 tokens, targets (B, L), the token that follows
    each.
    `first`: a contiguous stream starts anew, so a learner drops the state it carries.
    """

    inputs: Array
    targets: Array
    first: bool = True


class Fit(NamedTuple):
    """All that a learner may ever see as a whole. Never test rows."""

    train: Batch
    valid: Batch


@dataclass(frozen=True)
class Problem:
    """A problem to be learnt, in the terms that decide a learner's network.

    kind: "classification", "regression" or "language" (a metric or method may name others).
    input_shape: shape of one row. time_axis: its first axis is time.
    output_size: classes, target dimensions, or vocabulary. train_size: rows (language: tokens).
    order: "contiguous" data are cut into windows of `window` steps, laid out as batch_size parallel streams.
    token: what one token of a language is; only of characters are there bits per character.
    target_mean, target_scale: original target = mean + scale * standardised target.
    """

    kind: str
    input_shape: tuple[int, ...]
    output_size: int
    train_size: int
    time_axis: bool = False
    order: Order = "shuffled"
    window: int = 0
    target_mean: float = 0.0
    target_scale: float = 1.0
    token: Literal["character", "word", ""] = ""


@dataclass(frozen=True)
class Reading:
    """A reading of an instrument or a data set, or a fact of a learner, with what else is to be known of it.

    value: a number, or any other plain value. warning: stands below every table with this trial. at_least: why the
    truth may be more than the number, which then is shown as "at least" and never best. Both are one line of text.
    """

    value: Any
    warning: str = ""
    at_least: str = ""


@dataclass(frozen=True)
class Data:
    """One data set as loaded for one seed: numpy arrays from `Dataset.load`, tensors once placed on a device.

    shifted: further test splits by name (out of distribution, corrupted). There a row of classification that belongs
    to none of the classes has the target NO_CLASS, against which nothing is to be scored.
    transform(inputs) -> inputs runs on the device when the data are placed there, on some rows of a split at a time:
    bytes travel, and become the float32 that a learner sees. augment(inputs, generator) -> inputs runs on the device
    for training batches only, after it; it gives inputs of the same shape and never waits for the host.
    readings: what the record shall say of these data, under names that no metric has: plain values, or a `Reading` with
    a warning that stands below every table.
    Language: train.inputs (1, L), or valid and test (rows, L), with targets (rows, L - 1) = inputs[:, 1:].
    """

    problem: Problem
    train: Batch
    valid: Batch
    test: Batch
    shifted: Mapping[str, Batch] = field(default_factory=dict)
    augment: Callable[[Array, Any], Array] | None = None
    transform: Callable[[Array], Array] | None = None
    readings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Training:
    """How a learner is trained. updates: total planned, for schedules; None under a budget of seconds.

    eager: no compilation, no graph capture, because the update is being profiled. memory: bytes of the host's that its
    process may hold in all, and is ended beyond; None where no such limit is known.
    """

    seed: int
    device: str
    precision: str
    batch_size: int
    updates: int | None
    eager: bool = False
    memory: int | None = None


class ClassLogProbs(NamedTuple):
    """log_probs (S, N, C), each normalised over C; log_weights (S,), normalised."""

    log_probs: Array
    log_weights: Array

    def rescaled(self, mean: float, scale: float) -> ClassLogProbs:
        """Class probabilities have no scale of their own."""
        del mean, scale
        return self


class RegressionMixture(NamedTuple):
    """A Gaussian mixture per row: means and variances (S, N) of standardised targets; log_weights (S,).

    A learner may hand out variances that broadcast, (S, 1), (1, N) or (1, 1); in an `Outcome` they are (S, N).
    """

    means: Array
    variances: Array
    log_weights: Array

    def rescaled(self, mean: float, scale: float) -> RegressionMixture:
        """The same mixture for targets on their original scale, mean + scale * target."""
        return RegressionMixture(mean + scale * self.means, scale**2 * self.variances, self.log_weights)


class TokenLogProbs(NamedTuple):
    """log_probs (S, N, L - 1) of inputs[:, 1:], each given the tokens before it in its row; log_weights (S,)."""

    log_probs: Array
    log_weights: Array

    def rescaled(self, mean: float, scale: float) -> TokenLogProbs:
        """Tokens have no scale."""
        del mean, scale
        return self


Prediction: TypeAlias = ClassLogProbs | RegressionMixture | TokenLogProbs


class Learner(Protocol[State]):
    """One way to train. The harness owns loop, order, budget and clock; the learner owns network and optimiser.

    Optional, looked up once: `prepare(state, fit)` before the first update and `finish(state, fit)` after the last,
    each returning the state and timed apart (`prepare` is taken off a budget of seconds); `views`, a mapping from a
    name to a further predict-like function; `describe(state) -> Facts`; `save(state) -> {name: array}`, flat and named,
    what another method may start from; `glance(state, inputs)`. One of views, describe and save that fails is a hole in
    the record, which keeps the rest. Of a fact that is a `Reading` the warning stands below every table.

    init, prepare, update and finish may raise Unsupported, which skips the trial, and Diverged, which ends it as that.

    `glance` is a cheaper `predict` (fewer draws, say) for the points of the curve on the way: it scores those between
    the first and the last, and chooses the best of all and when patience is out, glance against glance. Every other
    score is by `predict`: the first and the last point, `@start`, `@valid`, both scores of the best point
    (`@valid-best`, `@best`) and all of the test split. A point that glances find better than all before is thus
    predicted in full, too.

    Names of views, facts and scalars are texts without an @, and no view is called as the harness calls scores of its
    own: valid, valid-best, best, start.
    """

    def init(self, problem: Problem, training: Training, base: Mapping[str, Array] | None) -> State:
        """A fresh state; the same seed gives the same state. `base`: named arrays saved by the method it starts from.

        Raises Unsupported, with the reason, for a problem that the method cannot take.
        """
        ...

    def update(self, state: State, batch: Batch) -> tuple[State, Mapping[str, Scalar]]:
        """Learn from one mini-batch. The scalars stay on the device: no host synchronisation."""
        ...

    def predict(self, state: State, inputs: Array) -> Prediction:
        """Predict as the deployed network would. Leaves the training state alone."""
        ...


class Cohort(Protocol[State]):
    """Several trials trained as one, a lane each (`Method.cohort`).

    The trials differ in their seed and in `Method.batched_options` alone. Lane l draws from generators seeded with its
    own `trainings[l].seed`, and learns from the batches that it would get alone, so that its record is, up to rounding,
    the one that it would have alone, whatever the other lanes are. A lane that is nan spoils no other.

    Optional: `prepare(state, fits) -> State`, before the first update; a method whose learner has `prepare` needs it.
    All else is asked of the ordinary learner of each lane, with `lane(state, index)` as its state: predict, glance,
    finish, views, describe and save.
    """

    def init(self, problems: Sequence[Problem], trainings: Sequence[Training]) -> State:
        """A fresh state of L lanes. Problems differ in the scale of their targets alone, trainings in their seed.

        Raises Unsupported, with the reason, for what cannot be trained as one: the trials then run one by one.
        """
        ...

    def update(self, state: State, batch: Batch) -> tuple[State, Mapping[str, Array]]:
        """Learn from one mini-batch a lane, inputs (L, B, ...), targets likewise. Scalars (L,) stay on the device."""
        ...

    def lane(self, state: State, index: int) -> Any:
        """A state that a fresh learner of that lane's config understands, whose own `init` has not been called.

        It may share memory with the cohort's, which is left alone: it is used before the next update. What is done to
        one lane's state reaches no other lane.
        """
        ...


@dataclass(frozen=True)
class Trained:
    """A network as it would be deployed, trained and finished, for `Gauge.deployed`.

    predict(inputs) -> Prediction: the learner's own, captured and fused as it was trained. rows(n): inputs of n test
    rows, in their order and repeated as needed; of a stream windows of `Problem.window` predictions each. learner,
    state: as training left them. data: those of the trial, on its device.
    """

    predict: Callable[[Array], Prediction]
    rows: Callable[[int], Array]
    learner: Learner[Any]
    state: Any
    data: Data
    _eager: Callable[[], Callable[[Array], Prediction]] | None = field(default=None, repr=False)

    def eager(self) -> Callable[[Array], Prediction]:
        """`predict` by a learner that hides no operator (`Training.eager`), for what counts them; it is made here.

        Raises Unsupported where that learner predicts something else from the trained state.
        """
        return self.predict if self._eager is None else self._eager()

    def examples(self, inputs: Array) -> int:
        """How many predictions inputs ask for: one for each row, of a stream one for each token that is predicted."""
        if self.data.problem.order != "contiguous":
            return len(inputs)
        return len(inputs) * int(inputs.shape[1] - count_lag(self.data.test))


def count_lag(split: Batch) -> int:
    """How many steps of each row of a stream come before its first target: 1 where a token is predicted by those before
    it, 0 where each step has a target of its own.
    """
    return int(split.inputs.shape[1] - split.targets.shape[1])
