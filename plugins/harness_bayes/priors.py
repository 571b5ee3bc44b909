"""Priors of weights: their log density, and the divergence of Gaussians from them in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from harness_bayes.config import PriorOptions
from harness_bayes.networks import Network

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Prior(NamedTuple):
    """Independent Gaussians with mean 0, or scale mixtures of two.

    deviations: by parameter, tensors that broadcast over it, (J, 1, ...). narrow: those of a mixture's narrower part,
    with `share` of the wider; None where there is one part.
    """

    deviations: Mapping[str, Tensor]
    narrow: float | None = None
    share: float = 1.0


def build(
    network: Network,
    options: PriorOptions,
    like: Tensor,
    scales: Sequence[float],
    networks: int = 1,
) -> Prior:
    """The prior that the options name, with the scale of each trial for all its networks.

    like: a tensor of its type, on its device.
    """
    given = torch.tensor(scales, dtype=like.dtype, device=like.device)
    if len(scales) > 1:
        given = given.repeat_interleave(networks)
    deviations = {}
    for name, shape in network.shapes.items():
        fan_in = network.fan_in[name] if options.resolved_prior == "fan-in" and name.endswith("weight") else 1
        deviations[name] = (given / fan_in**0.5).view(-1, *[1] * len(shape))
    return Prior(deviations, *options.narrower_part or ())


def select_lanes(prior: Prior, chosen: Callable[[Tensor], Tensor]) -> Prior:
    """Select the prior of some lanes, which `chosen` takes from a tensor (J, ...); one that all lanes share stays."""
    each = {name: chosen(tensor) if len(tensor) > 1 else tensor for name, tensor in prior.deviations.items()}
    return prior._replace(deviations=each)


def log_density(prior: Prior, weights: Mapping[str, Tensor]) -> Tensor:
    """Log p(w) of each lane, (J,), of weights (J, ...)."""
    total: Tensor | float = 0.0
    for name, weight in weights.items():
        density = _log_normal(weight, prior.deviations[name])
        if prior.narrow is not None:
            narrow = _log_normal(weight, torch.as_tensor(prior.narrow, dtype=weight.dtype, device=weight.device))
            density = torch.logaddexp(density + math.log(prior.share), narrow + math.log1p(-prior.share))
        total = total + density.flatten(1).sum(1)
    assert isinstance(total, Tensor)
    return total


def _log_normal(x: Tensor, deviation: Tensor) -> Tensor:
    return -0.5 * (x / deviation).square() - deviation.log() - HALF_LOG_2PI


def cross_entropy(prior: Prior, means: Mapping[str, Tensor], variances: Mapping[str, Tensor]) -> Tensor:
    """-E log p(w) of each lane, (J,), under Gaussians with these means and variances (J, ...), which broadcast.

    Closed for a Gaussian prior; raises ValueError for a mixture, of which E log p(w) is to be drawn.
    """
    if prior.narrow is not None:
        raise ValueError("the cross entropy of a Gaussian and a scale mixture has no closed form")
    total: Tensor | float = 0.0
    for name, mean in means.items():
        deviation = prior.deviations[name]
        spread = (mean.square() + variances[name]) / (2 * deviation.square()) + deviation.log() + HALF_LOG_2PI
        total = total + spread.expand(mean.shape).flatten(1).sum(1)
    assert isinstance(total, Tensor)
    return total
