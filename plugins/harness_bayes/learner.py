"""One way to train lanes, for a trial alone and for several as one.

A method says how its state begins, its objective and its prediction; the rest is here:

    class MyLearner(Learner[MyState]):
        def begin(self, trials, base): ...                  # the state of L trials
        def objective(self, state, inputs, targets): ...    # {"loss": (L,), ...} of rows (L, B, ...)
        def draw(self, state, inputs, draws): ...           # the prediction of the only trial

    def build(options): return MyLearner(options)
    def together(configs): return Cohort(MyLearner, configs)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from torch import Tensor

from harness import Batch, ClassLogProbs, Problem, RegressionMixture, Training, Unsupported
from harness_bayes import training
from harness_bayes.config import DRAWS, DRAWS_OF_IMAGES
from harness_bayes.training import State, Trials
from harness_torch.training import facts, step

GLANCE = 10  # draws at points on the way

S = TypeVar("S", bound=State)
Scalars = Mapping[str, Tensor]
Mixture = ClassLogProbs | RegressionMixture


class Learner(Generic[S]):
    """A trial of a method. `options.predict_samples`, where there is one, is how many functions are drawn."""

    def __init__(self, options: Any) -> None:
        self.options = options

    def init(self, problem: Problem, training: Training, base: Mapping[str, Tensor] | None) -> S:
        """The state before the first update. Raises Unsupported."""
        return self.begin(Trials([problem], [training], [self.options]), base)

    def begin(self, trials: Trials[Any], base: Mapping[str, Tensor] | None = None) -> S:
        """The state of L trials before the first update. Raises Unsupported."""
        raise NotImplementedError

    def update(self, state: S, batch: Batch) -> tuple[S, Scalars]:
        """One mini-batch: schedule, then a step on `objective`; on a GPU as one CUDA graph."""
        scalars = update(state, self.objective, batch.inputs[None], batch.targets[None])
        return state, {name: value[0] for name, value in scalars.items()}

    def objective(self, state: S, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The loss of each trial and further scalars, (L,), for rows (L, B, ...) and targets (L, B)."""
        raise NotImplementedError

    def predict(self, state: S, inputs: Tensor) -> Mixture:
        """The prediction of rows (N, ...), from as many draws as the options say."""
        return self.draw(state, inputs, self._count_draws(inputs))

    def glance(self, state: S, inputs: Tensor) -> Mixture:
        """The same from fewer draws, for points on the way."""
        return self.draw(state, inputs, min(GLANCE, self._count_draws(inputs)))

    def draw(self, state: S, inputs: Tensor, draws: int) -> Mixture:
        """The prediction of rows (N, ...), from so many draws of each component."""
        raise NotImplementedError

    def _count_draws(self, inputs: Tensor) -> int:
        standard = DRAWS if inputs.dim() == 2 else DRAWS_OF_IMAGES
        return getattr(self.options, "predict_samples", 1) or standard

    def describe(self, state: S) -> Mapping[str, object]:
        """The network, its training, and a Gaussian likelihood's noise in the units of the targets."""
        return training.describe(state)

    def save(self, state: S) -> Mapping[str, Tensor]:
        """The parameters by name."""
        return facts.save(state)


class Cohort(Generic[S]):
    """Trials that differ in numbers alone, trained side by side (`harness.Cohort`)."""

    def __init__(self, learner: Callable[[Any], Learner[S]], configs: Sequence[Any]) -> None:
        self.learner, self.configs = learner(configs[0]), configs

    def init(self, problems: Sequence[Problem], trainings: Sequence[Training]) -> S:
        """The state of all trials. Raises Unsupported where they cannot be one."""
        if len(self.configs) > 1 and self.configs[0].descent.clip is not None:
            raise Unsupported("clip: the norm is of one network's gradients; trials run one by one")
        return self.learner.begin(Trials(problems, trainings, self.configs))

    def update(self, state: S, batch: Batch) -> tuple[S, Scalars]:
        """One update of each trial, with rows of its own: inputs (L, B, ...), targets (L, B); scalars (L,)."""
        return state, update(state, self.learner.objective, batch.inputs, batch.targets)

    def lane(self, state: S, index: int) -> S:
        """The state of one trial."""
        return training.select_lane(state, index)


def update(state: S, objective: Callable[..., dict[str, Tensor]], inputs: Tensor, targets: Tensor) -> Scalars:
    """One step on the loss of each trial, for rows (L, B, ...) and targets (L, B); scalars (L,)."""
    return step.update(state, partial(_learn, state, objective), [inputs, targets])


def descend_on(state: State, loss: Callable[[], Tensor]) -> Scalars:
    """Update the only trial on its loss as a reference computes it."""
    step.advance(state)
    state.optimiser.zero_grad()
    value = loss()
    value.backward()
    step.descend(state)
    return {"loss": value.detach()}


def _learn(state: S, objective: Callable[..., dict[str, Tensor]], inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    state.optimiser.zero_grad()
    totals: dict[str, Any] = {}
    for rows, share in step.parts([inputs, targets], state.options.micro_batch, axis=1):
        scalars = objective(state, *rows)
        (scalars["loss"] * share).sum().backward()
        for name, value in scalars.items():
            totals[name] = totals.get(name, 0.0) + value.detach() * share
    step.descend(state)
    return totals
