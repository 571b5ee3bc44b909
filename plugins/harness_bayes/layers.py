"""Linear maps whose weights are Gaussian, estimated by draws of the weights or of the map's outputs.

weights: w = mu + sigma e, one draw for all rows.
local: a dense map's output is Gaussian, with mean x mu + b and variance x^2 sigma^2 + sigma_b^2, and is drawn for each
row by itself (Kingma, Salimans and Welling 2015): the least variance. A convolution's outputs share weights, so there
it is flipout (Wen et al. 2018): one draw of the weights, whose deviations each row sees with signs of its own.
auto: the cheaper one. Noise for the weights of a dense map is inputs x outputs numbers, for its outputs rows x outputs;
a convolution by flipout is two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from harness_bayes.networks import Linear, affine, expand_lanes
from harness_bayes.noise import Noise

Estimator = Literal["auto", "weights", "local"]

TINY = 1e-16  # below any variance that matters: the root of 0 has no derivative


class Gaussians(NamedTuple):
    """Means and standard deviations of weights by name, (J, ...) each; a deviation may have ones where it is shared."""

    means: Mapping[str, Tensor]
    deviations: Mapping[str, Tensor]


class _Layer(NamedTuple):
    weight: Tensor
    bias: Tensor | None


def draw_parameter(gaussians: Gaussians, name: str, samples: int, noise: Noise) -> Tensor:
    """Draw one parameter, (J * samples, ...), the draws of a lane together."""
    mean, deviation = gaussians.means[name], gaussians.deviations[name]
    shape = (len(mean), samples, *mean.shape[1:])
    drawn = mean[:, None] + deviation[:, None] * noise.normal(shape, mean)
    return drawn.flatten(0, 1)


def draw_parameters(gaussians: Gaussians, samples: int, noise: Noise) -> dict[str, Tensor]:
    """Draw all parameters by name."""
    return {name: draw_parameter(gaussians, name, samples, noise) for name in gaussians.means}


def build_linear(
    gaussians: Gaussians, samples: int, noise: Noise, estimator: Estimator, compute: torch.dtype
) -> Linear:
    """Build the linear maps of J lanes, each drawn so many times: their outputs have J * samples lanes."""

    def linear(name: str, x: Tensor, stride: int) -> Tensor:
        if _draws_weights(gaussians.means[f"{name}.weight"], x, estimator):
            weight, bias = (
                draw_parameter(gaussians, each, samples, noise) if each in gaussians.means else None
                for each in (f"{name}.weight", f"{name}.bias")
            )
            assert weight is not None
            return affine(x, weight, bias, stride, compute)
        means, deviations = _pick_layer(gaussians.means, name), _pick_layer(gaussians.deviations, name)
        if means.weight.dim() == 5:
            return _draw_by_flipout(x, means, deviations, samples, noise, stride, compute)
        return _draw_outputs(x, means, deviations, samples, noise, compute)

    return linear


def _pick_layer(tensors: Mapping[str, Tensor], name: str) -> _Layer:
    return _Layer(tensors[f"{name}.weight"], tensors.get(f"{name}.bias"))


def _draws_weights(weight: Tensor, x: Tensor, estimator: Estimator) -> bool:
    if estimator != "auto":
        return estimator == "weights"
    return weight.dim() == 5 or weight.shape[1] < x.shape[1]


def _draw_outputs(
    x: Tensor, means: _Layer, deviations: _Layer, samples: int, noise: Noise, compute: torch.dtype
) -> Tensor:
    """Outputs (J * samples, N, outputs). x: (L, N, inputs), the same for all draws, or (J * samples, N, inputs)."""
    lanes, rows = len(means.weight), x.shape[1]
    shared = len(x) < lanes * samples
    if not shared:
        x = x.unflatten(0, (lanes, samples)).flatten(1, 2)  # the draws of a lane as rows
    variances = [None if each is None else each.square() for each in deviations]
    assert variances[0] is not None
    weight = variances[0].expand(means.weight.shape)
    bias = None if variances[1] is None or means.bias is None else variances[1].expand(means.bias.shape)
    mean = affine(x, means.weight, means.bias, 1, compute)  # (J, N or samples * N, outputs)
    deviation = affine(x.square(), weight, bias, 1, compute).clamp_min(TINY).sqrt()
    if shared:
        mean, deviation = mean[:, None], deviation[:, None]
    else:
        mean, deviation = (each.unflatten(1, (samples, rows)) for each in (mean, deviation))
    shape = (lanes, samples, rows, mean.shape[-1])
    return (mean + deviation * noise.normal(shape, mean)).flatten(0, 1)


def _draw_by_flipout(
    x: Tensor, means: _Layer, deviations: _Layer, samples: int, noise: Noise, stride: int, compute: torch.dtype
) -> Tensor:
    """Maps (N, J * samples * outputs, ...). Row n sees mu + (r_n s_n^T) * sigma e, with signs r, s of its own."""
    lanes, outputs, inputs = means.weight.shape[:3]
    count = lanes * samples
    rows = len(x)
    groups = x.shape[1] // inputs
    into = noise.signs((count, rows, inputs, 1, 1), x)
    out = noise.signs((count, rows, outputs, 1, 1), x)
    repeated = expand_lanes(x.unflatten(1, (groups, inputs)).transpose(0, 1), count)  # (J * samples, N, inputs, ...)
    drawn = deviations.weight[:, None] * noise.normal((lanes, samples, *means.weight.shape[1:]), x)
    changed = affine(_join_maps(repeated * into), drawn.flatten(0, 1), None, stride, compute)
    plain = affine(x, means.weight.repeat_interleave(samples, 0), None, stride, compute)
    y = plain + _join_maps(out * changed.unflatten(1, (count, outputs)).transpose(0, 1))
    if means.bias is None or deviations.bias is None:
        return y
    bias = means.bias[:, None] + deviations.bias[:, None] * noise.normal((lanes, samples, outputs), x)
    return y + bias.flatten()[None, :, None, None]


def _join_maps(x: Tensor) -> Tensor:
    """(J, N, channels, ...) as (N, J * channels, ...)."""
    return x.transpose(0, 1).flatten(1, 2)
