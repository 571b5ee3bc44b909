"""Predictions that draw functions: one set of weights or masks a draw, the same for all rows, and the same each time.

A row's prediction then depends on no other row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from harness import ClassLogProbs, RegressionMixture
from harness_bayes import likelihoods
from harness_bayes.likelihoods import Likelihood
from harness_bayes.networks import Network, apply
from harness_torch.training import inference

WEIGHTS = 2**24  # numbers of all functions that are held at a time: 64 MiB in single precision

Weights = Mapping[str, Tensor]
Functions = Callable[[int], Weights]  # the next so many draws of each component: weights (M * draws, ...), draws last


def split_draws(components: int, draws: int, size: int) -> Iterator[int]:
    """Split draws into groups that memory holds: so many of each component, whose networks have `size` numbers."""
    most = max(1, WEIGHTS // (components * size))
    while draws > 0:
        yield min(most, draws)
        draws -= most


@torch.no_grad()
def outputs(network: Network, weights: Weights, inputs: Tensor) -> Tensor:
    """Outputs (J, N, outputs) of the functions for rows (N, ...), some rows at a time."""
    lanes = len(next(iter(weights.values())))
    parts = inference.split(inputs, lanes * widest_layer(network))
    return torch.cat([apply(network, weights, rows[None]) for rows in parts], 1)


def widest_layer(network: Network) -> int:
    """Numbers of one row in the largest layer of one lane."""
    return max(shape[0] if len(shape) == 1 else int(torch.Size(shape).numel()) for shape in _layer_shapes(network))


def _layer_shapes(network: Network) -> list[tuple[int, ...]]:
    return [layer.map for layer in network.architecture.layers] + [(network.architecture.readout[0],)]


@torch.no_grad()
def predict(
    network: Network,
    likelihood: Likelihood,
    functions: Functions,
    inputs: Tensor,
    log_weights: Tensor,
    draws: int,
    log_noise: Tensor | None,
) -> ClassLogProbs | RegressionMixture:
    """The mixture over so many draws of each of M components, which weigh exp(log_weights) (M,) together.

    functions(count): weights of the next draws, (M * count, ...), those of a component together. log_noise: (1,) for
    all, or (M,) for each component.
    """
    found: list[Any] = []
    shares: list[Tensor] = []
    for count in split_draws(len(log_weights), draws, network.size):
        each = log_weights.repeat_interleave(count) - torch.tensor(float(draws)).log()
        found.append(likelihoods.mixture(likelihood, outputs(network, functions(count), inputs), log_noise, each))
        shares.append(each)
    if len(found) == 1:
        return found[0]
    *fields, _ = zip(*found, strict=True)
    return type(found[0])(*(torch.cat(field) for field in fields), torch.cat(shares))
