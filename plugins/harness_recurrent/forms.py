"""Forms of a linear map's weights: how they are stored and multiplied, and their size.

| form | tensors of a map from m to n |
| --- | --- |
| dense | weight (n, m) |
| masked | weight (n, m), mask (n, m) bool |
| csr | values (z,), positions (z,) and rows (n + 1,) int32: compressed sparse rows, with the columns of the values |
| columns | weight (n, k), columns (k,) int64: the inputs that are read |
| low-rank | left (n, r), right (r, m); with identity (), of any value, the input is added |
| int8 | weight (n, m) int8, scale (n, 1): one for each row |

A bias may stand beside them; a map does not add it, and `count_nonzeros` and `count_bytes` count it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Tensors = Mapping[str, Tensor]
LEVELS = 127  # of each sign: -128 is left out, so that a row and its negative are stored alike

# The name that no other form has, and the names that make the form whole.
NAMES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "masked": ("mask", ("weight", "mask")),
    "csr": ("positions", ("values", "positions", "rows")),
    "columns": ("columns", ("weight", "columns")),
    "low-rank": ("left", ("left", "right")),
    "int8": ("scale", ("weight", "scale")),
    "dense": ("weight", ("weight",)),
}


@dataclass(frozen=True)
class Map:
    """A linear map of rows: (B, m) to (B, n). dense: its weights (n, m), where it computes with one dense matrix."""

    product: Callable[[Tensor], Tensor]
    dense: Tensor | None = None

    def __call__(self, rows: Tensor) -> Tensor:
        return self.product(rows)


def select_under(tensors: Tensors, prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with the prefix and a dot, by the rest of their names."""
    start = f"{prefix}."
    return {name.removeprefix(start): each for name, each in tensors.items() if name.startswith(start)}


def find_form(tensors: Tensors) -> str:
    """The form, told by which names there are. Raises ValueError where they make no form."""
    for form, (mark, needed) in NAMES.items():
        if mark in tensors and all(name in tensors for name in needed):
            return form
    forms = "; ".join(f"{form}: {', '.join(needed)}" for form, (_, needed) in NAMES.items())
    raise ValueError(
        f"weights named {', '.join(tensors) or 'nothing'} are of no form; expected those of one of {forms}"
    )


def bind(tensors: Tensors) -> Map:
    """Bind these tensors to their map. Work that is needed once, such as a product with a mask, is done here."""
    form = find_form(tensors)
    if form == "csr":
        return _bind_sparse(tensors)
    if form == "columns":
        weight, columns = tensors["weight"], tensors["columns"]
        return Map(lambda rows: F.linear(rows.index_select(1, columns), weight))
    if form == "low-rank":
        return _bind_low_rank(tensors)
    weight = to_dense(tensors)
    return Map(lambda rows: F.linear(rows, weight), weight)


def _bind_low_rank(tensors: Tensors) -> Map:
    left, right = tensors["left"].t(), tensors["right"].t()
    if "identity" in tensors:
        return Map(lambda rows: torch.addmm(rows, rows @ right, left))
    return Map(lambda rows: rows @ right @ left)


def _bind_sparse(tensors: Tensors) -> Map:
    """A map that multiplies (n, m) with (m, B), as sparse products want it. m is known with the rows that come."""
    matrices: dict[int, Tensor] = {}

    def product(rows: Tensor) -> Tensor:
        size = rows.shape[1]
        if size not in matrices:
            matrices[size] = _build_csr(tensors, size)
        matrix = matrices[size]
        return (matrix @ rows.t().to(matrix.dtype)).t().to(rows.dtype)

    return Map(product)


def _build_csr(tensors: Tensors, size: int) -> Tensor:
    """Compressed sparse rows as torch has them; wider on a CPU, which multiplies none of 16 bits.

    Indices come from files: a wrong one would read foreign memory, and is looked for once for all products.
    """
    values, rows = tensors["values"], tensors["rows"]
    if values.device.type == "cpu" and values.element_size() < 4:
        values = values.float()
    with warnings.catch_warnings():  # that sparse rows are a beta feature of torch
        warnings.simplefilter("ignore", UserWarning)
        return torch.sparse_csr_tensor(rows, tensors["positions"], values, (len(rows) - 1, size), check_invariants=True)


def to_csr(weight: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """The weights (n, m) where the mask is, as values, positions and rows."""
    _, positions = mask.nonzero(as_tuple=True)
    rows = F.pad(mask.sum(1).cumsum(0), (1, 0))
    return {"values": weight[mask], "positions": positions.int(), "rows": rows.int()}


def quantise(weight: Tensor) -> dict[str, Tensor]:
    """The weights (n, m) as multiples of a scale for each row, rounded to the nearest; its largest is 127 of them."""
    scale = weight.abs().amax(1, keepdim=True) / LEVELS
    scale = torch.where(scale > 0, scale, 1)  # of a row of zeros
    return {"weight": (weight / scale).round().clamp(-LEVELS, LEVELS).to(torch.int8), "scale": scale}


def to_dense(tensors: Tensors, size: int | None = None) -> Tensor:
    """The dense matrix (n, m) that any form is equal to. size: m, which csr and columns do not say themselves."""
    form = find_form(tensors)
    if form == "csr":
        rows, positions = tensors["rows"], tensors["positions"].long()
        counts = rows.diff().long()
        owners = torch.arange(len(counts), device=rows.device).repeat_interleave(counts)
        zeros = _build_zeros(tensors["values"], len(counts), size, form)
        return zeros.index_put((owners, positions), tensors["values"])
    if form == "columns":
        weight, columns = tensors["weight"], tensors["columns"]
        return _build_zeros(weight, len(weight), size, form).index_copy(1, columns, weight)
    if form == "low-rank":
        product = tensors["left"] @ tensors["right"]
        return product + torch.eye(*product.shape).to(product) if "identity" in tensors else product
    factor = {"masked": "mask", "int8": "scale"}.get(form)
    return tensors["weight"] * tensors[factor] if factor else tensors["weight"]


def _build_zeros(like: Tensor, count: int, size: int | None, form: str) -> Tensor:
    if size is None:
        raise ValueError(f"weights of form {form} do not say how many inputs they have: pass size")
    return like.new_zeros(count, size)


def count_nonzeros(tensors: Tensors) -> int:
    """Weights that are not zero, of those that are stored; masked ones where the mask is, biases with them."""
    counted = {**tensors, "weight": to_dense(tensors)} if "mask" in tensors else tensors
    weights = [each for name, each in counted.items() if name in ("weight", "values", "left", "right", "bias")]
    return sum(int(each.count_nonzero()) for each in weights)


def count_numbers(tensors: Tensors) -> int:
    """Numbers that are stored, zeros and those of 8 bits included; masks and indices are none."""
    return sum(each.numel() for each in tensors.values() if each.is_floating_point() or each.dtype == torch.int8)


def count_bytes(tensors: Tensors) -> int:
    """Bytes of all stored tensors, with masks, indices and scales."""
    return sum(each.nbytes for each in tensors.values())


def count_macs(tensors: Tensors) -> int:
    """Multiply-accumulates of one row: one for each weight that is multiplied, be it zero or not."""
    return sum(tensors[name].numel() for name in ("weight", "values", "left", "right") if name in tensors)
