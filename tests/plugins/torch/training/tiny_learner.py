"""A learner of no family that stands on the kit: a network of two layers, in float64, in as few lines as it takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from harness import Batch, ClassLogProbs, Problem, Training, option
from harness_torch.training import facts, inference, layout, precision, step
from harness_torch.training.architectures import resolve
from harness_torch.training.options import OptimiserOptions

FEATURES, CLASSES = 5, 3
PROBLEM = Problem("classification", (FEATURES,), CLASSES, 100)


@dataclass(frozen=True)
class Options(OptimiserOptions):
    micro_batch: int | None = option(None, "rows at a time", low=1)
    drop: float = option(0.0, "share of hidden units", low=0, below=1)


@dataclass(kw_only=True)
class State(step.State):
    options: Options


class Mlp:
    """Softmax of W2 tanh(W1 x)."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def init(self, problem: Problem, training: Training, base: Mapping[str, Tensor] | None) -> State:
        types = precision.types(training.precision)
        network = resolve("7-FC", problem.input_shape, problem.output_size)
        generator = torch.Generator().manual_seed(training.seed)
        shapes = {"hidden": network.layers[0].weight, "readout": network.readout}
        named = base or {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
        return step.begin(State, layout.leaves(named, training.device, types.parameters), training, self.options)

    def update(self, state: State, batch: Batch) -> tuple[State, Mapping[str, Tensor]]:
        return state, step.update(state, partial(self._learn, state), [batch.inputs, batch.targets])

    def _learn(self, state: State, inputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        state.optimiser.zero_grad()

        def learn(share: float, x: Tensor, y: Tensor) -> Tensor:
            loss = F.cross_entropy(self._logits(state, x, self.options.drop), y) * share
            loss.backward()
            return loss.detach()

        loss = step.accumulate(state, learn, [inputs, targets], self.options.micro_batch)
        step.descend(state)
        return {"loss": loss, "rows": loss.new_full((), len(inputs))}

    def _logits(self, state: State, x: Tensor, drop: float = 0.0) -> Tensor:
        hidden = (x @ state.parameters["hidden"].T).tanh()
        if drop:
            hidden = hidden * torch.empty_like(hidden).bernoulli_(1 - drop, generator=state.generator) / (1 - drop)
        return hidden @ state.parameters["readout"].T

    def predict(self, state: State, inputs: Tensor) -> ClassLogProbs:
        return inference.in_parts(lambda rows: inference.classes(self._logits(state, rows)), inputs, 7)

    def describe(self, state: State) -> Mapping[str, object]:
        return facts.describe(state)

    def save(self, state: State) -> Mapping[str, Tensor]:
        return facts.save(state)


def started(updates: int | None = None, device: str = "cpu", eager: bool = False, **options):
    learner = Mlp(Options(**options))
    return learner, learner.init(PROBLEM, Training(0, device, "fp64", 12, updates, eager), None)


def batch(rows: int = 12, seed: int = 0, device: str = "cpu") -> Batch:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(rows, FEATURES, generator=generator, dtype=torch.float64)
    return Batch(inputs.to(device), torch.randint(0, CLASSES, (rows,), generator=generator).to(device))
