"""What a record says of a network and of its training, and what of it is saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from harness_torch.training.step import State


def numbers(tensors: Iterable[Tensor]) -> int:
    """How many these tensors hold: of parameters, the network's size."""
    return sum(tensor.numel() for tensor in tensors)


def size_in_bytes(tensors: Iterable[Tensor]) -> int:
    """What their numbers take."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def describe(state: State) -> Mapping[str, object]:
    """The network's size, whether updates are replayed, and what options left to a default come to."""
    return {
        "parameters": numbers(state.parameters.values()),
        "captured": state.replay.captured,
        "optimiser": type(state.optimiser).__name__.lower(),  # adamw, where adam has a weight decay
        "learning_rate": state.options.resolved_rate,
    }


def save(state: State) -> Mapping[str, Tensor]:
    """The parameters by name."""
    return {name: tensor.detach().contiguous() for name, tensor in state.parameters.items()}
