"""One update of a learner: the schedule's learning rate, gradients in parts of the mini-batch, one optimiser step, as
one CUDA graph where there is a GPU.

    state = begin(partial(State, network=network), network.parameters, training, options)
    scalars = update(state, learn, [batch.inputs, batch.targets])

    def learn(inputs, targets):
        state.optimiser.zero_grad()
        loss = accumulate(state, lambda share, x, y: ..., [inputs, targets], options.micro_batch)
        descend(state)
        return {"loss": loss}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from harness import Training
from harness_torch.training import optimiser as optimisers
from harness_torch.training.graphs import Carried, Outputs, Replay
from harness_torch.training.optimiser import Group
from harness_torch.training.options import ScheduleOptions


@dataclass(kw_only=True)
class State:
    """The trained parameters and the progress of training; a family's state adds fields of its own.

    parameters: by name. planned: mini-batches in all, None where that is not known. generators: on the device, which
    updates draw from, one for each of several trials side by side. updates: mini-batches so far.
    """

    parameters: dict[str, Tensor]
    optimiser: torch.optim.Optimizer
    options: ScheduleOptions
    planned: int | None
    generators: tuple[torch.Generator, ...]
    replay: Replay
    updates: int = 0

    @property
    def generator(self) -> torch.Generator:
        """Generator of the only trial, or of the first."""
        return self.generators[0]


S = TypeVar("S", bound=State)


def begin(
    make: Callable[..., S],
    parameters: dict[str, Tensor],
    training: Training,
    options: ScheduleOptions,
    graph: bool = True,
    groups: Sequence[Group] | None = None,
    seeds: Sequence[int] = (),
) -> S:
    """Begin the state before the first update, made with `make(**fields of State)`, such as partial(OwnState,
    network=...).

    graph: whether a GPU may replay updates as a graph, which it does unless operators are looked at one by one.
    groups: with learning rates of their own; all parameters alike by default. seeds: of trials that train side by side,
    instead of the training's one.
    """
    captures = graph and not training.eager and torch.device(training.device).type == "cuda"
    optimiser = optimisers.make(groups or [Group(list(parameters.values()))], options, captures)
    generators = tuple(torch.Generator(training.device).manual_seed(seed) for seed in seeds or [training.seed])
    return make(
        parameters=parameters,
        optimiser=optimiser,
        options=options,
        planned=training.updates,
        generators=generators,
        replay=Replay(optimiser, captures, generators),
    )


def update(state: State, learn: Callable[..., Outputs], tensors: Sequence[Tensor]) -> Mapping[str, Tensor]:
    """Learn from one mini-batch: the next learning rate, then learn(*tensors), which returns scalars by name."""
    return update_carrying(state, lambda *given: (learn(*given), ()), tensors, ())[0]


def update_carrying(
    state: State, learn: Callable[..., tuple[Outputs, Carried]], tensors: Sequence[Tensor], carried: Carried
) -> tuple[Mapping[str, Tensor], Carried]:
    """Learn where updates follow each other, as windows of a text do: learn(*tensors, *carried) returns scalars by
    name and the `carried` tensors of the next update, without a graph (see `Replay`).
    """
    advance(state)
    return state.replay(learn, tensors, carried)


def advance(state: State) -> None:
    """Take the learning rate of the next mini-batch, and count it."""
    optimisers.set_rate(state.optimiser, state.options, state.updates, state.planned)
    state.updates += 1


def parts(tensors: Sequence[Tensor], size: int | None, axis: int = 0) -> Iterator[tuple[tuple[Tensor, ...], float]]:
    """Split the rows, on this axis of each tensor, into parts of at most `size`, each with its share of the rows."""
    count = tensors[0].shape[axis]
    cuts = zip(*(tensor.split(size or max(count, 1), axis) for tensor in tensors), strict=True)
    for part in cuts:
        yield part, part[0].shape[axis] / max(count, 1)


def accumulate(
    state: State, learn: Callable[..., Tensor], tensors: Sequence[Tensor], size: int | None, axis: int = 0
) -> Tensor:
    """Sum learn(share, *part) over all `parts`: each goes backward from its mean loss times its share, and
    returns that, detached; the gradients are those of the whole mini-batch's mean loss.
    """
    like = next(iter(state.parameters.values()))
    total = torch.zeros((), dtype=like.dtype, device=like.device)
    for part, share in parts(tensors, size, axis):
        total += learn(share, *part)
    return total


def descend(state: State) -> None:
    """One optimiser step on the gradients that there are, clipped if the options say so."""
    norm = state.options.descent.clip
    if norm is not None:
        optimisers.clip(state.optimiser, norm)
    state.optimiser.step()
