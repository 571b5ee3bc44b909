"""Bytes that an operator has to move between memory and processor: its operands, read once, and its results.

A lower bound for eager execution, where every operator reads its operands and writes its result; caches and
memory inside a kernel are not looked into.
"""

from __future__ import annotations

from torch import Tensor

from harness_torch.costs.formulas import costs_nothing
from harness_torch.costs.operator_calls import Call, count_stored, find_tensors, find_written, is_sparse

# They read no more of a table than they return.
LOOKUPS = frozenset({"index_select", "index", "_unsafe_index", "gather", "take", "embedding", "select_backward"})

# Their in-place variants write without reading the old values.
OVERWRITES = frozenset(
    {"zero", "fill", "copy", "random", "uniform", "normal", "bernoulli", "exponential", "geometric", "log_normal"}
)


def count_moved_bytes(call: Call) -> int:
    """Count the bytes read and written; none for views, allocation and metadata."""
    if costs_nothing(call):
        return 0
    results = _list_written(call)
    read = [
        tensor
        for name, value in call.arguments.items()
        if name != "out" and not (call.key in OVERWRITES and name == "self")
        for tensor in find_tensors(value)
    ]
    wrote = sum(map(count_shown_bytes, results))
    if call.key in LOOKUPS:
        return 2 * wrote + sum(count_shown_bytes(tensor) for tensor in read if not tensor.is_floating_point())
    return wrote + sum(map(count_shown_bytes, read))


def _list_written(call: Call) -> list[Tensor]:
    """List results, and arguments that the schema says are written; each once."""
    found = [*find_tensors(call.result), *find_written(call.func, (), call.arguments)]
    return list({id(tensor): tensor for tensor in found}.values())


def count_shown_bytes(tensor: Tensor) -> int:
    """Count the bytes of the elements that a tensor shows, each counted once where it is expanded."""
    if is_sparse(tensor):
        return count_stored(tensor) * tensor.element_size()
    shown = 1
    for length, stride in zip(tensor.shape, tensor.stride(), strict=True):
        shown *= length if stride or not length else 1
    return shown * tensor.element_size()
