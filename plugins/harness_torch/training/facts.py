"""Facts of a network and of its training for records, and the arrays that are saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from harness_torch.training.step import State


def numbers(tensors: Iterable[Tensor]) -> int:
    """Count the numbers in these tensors: of parameters, the network's size."""
    return sum(tensor.numel() for tensor in tensors)


def size_in_bytes(tensors: Iterable[Tensor]) -> int:
    """Add up the bytes of these tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def describe(state: State) -> Mapping[str, object]:
    """Describe the network's size, whether updates are replayed, and the values of options left to a default."""
    return {
        "parameters": numbers(state.parameters.values()),
        "captured": state.replay.captured,
        "optimiser": type(state.optimiser).__name__.lower(),  # adamw, where adam has a weight decay
        "learning_rate": state.options.resolved_rate,
    }


def save(state: State) -> Mapping[str, Tensor]:
    """Save the parameters by name."""
    return detach(state.parameters)


def detach(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Detach tensors from autograd, contiguous as files want them."""
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
