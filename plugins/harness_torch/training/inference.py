"""Predictions: rows in parts that fit into memory; points or mixtures from networks' outputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from harness import ClassLogProbs, RegressionMixture, TokenLogProbs

# Of the largest tensor, 16 MiB in single precision; a GPU that got so little would wait for its launches.
ELEMENTS, ELEMENTS_ON_GPU = 2**22, 2**26

P = TypeVar("P", ClassLogProbs, RegressionMixture, TokenLogProbs)


def split(inputs: Tensor, per_row: int) -> tuple[Tensor, ...]:
    """The rows in parts alike, so that a tensor with so many numbers per row stays as small as memory wants it."""
    most = count_rows(inputs, per_row)
    return inputs.tensor_split(-(-len(inputs) // most)) if len(inputs) else (inputs,)


def count_rows(inputs: Tensor, per_row: int) -> int:
    """Count the rows, or steps, of so many numbers each that a tensor beside these inputs may have at a time."""
    limit = ELEMENTS_ON_GPU if inputs.is_cuda else ELEMENTS
    return max(1, limit // max(1, per_row))


@torch.no_grad()
def in_parts(predict: Callable[[Tensor], P], inputs: Tensor, per_row: int) -> P:
    """predict(inputs), put together from that of `split` rows."""
    found: list[Any] = [predict(rows) for rows in split(inputs, per_row)]
    *fields, log_weights = zip(*found, strict=True)
    sizes = [part[0].shape[1] for part in found]
    return type(found[0])(*(_join_parts(field, sizes) for field in fields), log_weights[0])


def _join_parts(parts: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    """Join parts along the rows; a part may be one number for all of its rows, such as a variance that they share."""
    return torch.cat([part.expand(-1, size, *part.shape[2:]) for part, size in zip(parts, sizes, strict=True)], dim=1)


def classes(logits: Tensor, log_weights: Tensor | None = None) -> ClassLogProbs:
    """Predict classes by logits (N, C), or by those of S components (S, N, C), whose log_weights (S,) are equal by
    default.
    """
    logits = logits if logits.dim() == 3 else logits[None]
    return ClassLogProbs(F.log_softmax(logits, dim=-1), _read_log_weights(logits, log_weights))


def gaussians(means: Tensor, variances: Tensor, log_weights: Tensor | None = None) -> RegressionMixture:
    """Predict standardised targets by means and variances (N,), or by those of S components (S, N), of standardised
    targets.
    """
    means, variances = (each if each.dim() == 2 else each[None] for each in (means, variances))
    return RegressionMixture(means, variances, _read_log_weights(means, log_weights))


def tokens(logits: Tensor, following: Tensor, log_weights: Tensor | None = None) -> TokenLogProbs:
    """Predict the tokens `following` (N, L) by logits (N, L, V), or (S, N, L, V): the probability of each of them."""
    logits = logits if logits.dim() == 4 else logits[None]
    said = logits.gather(-1, following.expand(logits.shape[:-1])[..., None])[..., 0]
    return TokenLogProbs(said - logits.logsumexp(-1), _read_log_weights(logits, log_weights))


def _read_log_weights(components: Tensor, log_weights: Tensor | None) -> Tensor:
    """Read the logarithms of the weights of components (S, ...)."""
    if log_weights is not None:
        return log_weights
    return components.new_full((len(components),), math.log(1 / len(components)))
