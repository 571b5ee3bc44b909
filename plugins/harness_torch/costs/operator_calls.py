"""One dispatched operator: its name without the spelling of its variants, its arguments by name, its result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_iter


class Work(NamedTuple):
    """Arithmetic of an operator: multiply-accumulates, and operations on single elements."""

    macs: float = 0
    elementwise: float = 0


@dataclass(frozen=True)
class Call:
    """An operator's call. name: as in the schema; key: the name that its in-place, out= and foreach variants share."""

    name: str
    key: str
    arguments: Mapping[str, Any]
    result: Any
    func: Any

    def __getitem__(self, argument: str) -> Any:
        return self.arguments[argument]

    def get(self, argument: str) -> Any:
        """Get an argument that not every variant has."""
        return self.arguments.get(argument)


def bind_call(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> Call:
    """Name the arguments of a call as in the schema, and fill in defaults."""
    schema = getattr(func, "_schema", None)
    if schema is None:  # a higher-order operator
        positional = {str(index): value for index, value in enumerate(args)}
        return Call(str(func), str(func), {**positional, **kwargs}, result, func)
    arguments = {each.name: each.default_value for each in schema.arguments}
    arguments |= {each.name: value for each, value in zip(schema.arguments, args, strict=False)}
    return Call(schema.name, name_without_variant(schema.name), {**arguments, **kwargs}, result, func)


def name_without_variant(name: str) -> str:
    """Name `aten::_foreach_add_` and `aten::add_` `add`; operators of other libraries keep their library's name."""
    library, _, bare = name.partition("::")
    if library != "aten":
        return name
    bare = bare.removeprefix("_foreach_")
    if bare.startswith("__"):
        return bare.strip("_").removeprefix("i")
    return bare.removesuffix("_")


def is_view(func: Any) -> bool:
    """Whether the schema says that the result shares memory with an argument that is not written."""
    returns = func._schema.returns if hasattr(func, "_schema") else ()
    return any(each.alias_info is not None and not each.alias_info.is_write for each in returns)


def find_written(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[Tensor]:
    """Find the arguments into which the schema says that the operator writes."""
    schema = getattr(func, "_schema", None)
    arguments = () if schema is None else schema.arguments
    named = {each.name: value for each, value in zip(arguments, args, strict=False)} | dict(kwargs)
    for each in arguments:
        if each.alias_info is not None and each.alias_info.is_write:
            yield from find_tensors(named.get(each.name))


def find_tensors(value: Any) -> Iterator[Tensor]:
    """Find the tensors in nested lists and tuples."""
    return (leaf for leaf in tree_iter(value) if isinstance(leaf, Tensor))


def count_stored(tensor: Tensor) -> int:
    """Count the elements that are stored: all of a dense tensor, the given ones of a sparse one."""
    if tensor.layout == torch.strided:
        return tensor.numel()
    if tensor.layout == torch.sparse_coo:
        return tensor._values().numel()
    return tensor.values().numel() if is_sparse(tensor) else tensor.numel()


def is_sparse(tensor: Tensor) -> bool:
    return tensor.layout in (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)


def count_elements(value: Any) -> int:
    """Count the stored elements of a tensor, or of all tensors in a list."""
    return sum(count_stored(tensor) for tensor in find_tensors(value))


def count_largest(call: Call) -> int:
    """Count the elements of the largest argument or result; a list of tensors, as of a foreach operator, is one."""
    arguments = (count_elements(value) for value in call.arguments.values())
    return max([*arguments, *(count_stored(tensor) for tensor in find_tensors(call.result))], default=0)


def count_produced(call: Call) -> int:
    """Count the elements of the result; an in-place foreach operator returns none, and changes its first argument."""
    return count_elements(call.result) or count_elements(next(iter(call.arguments.values()), None))
