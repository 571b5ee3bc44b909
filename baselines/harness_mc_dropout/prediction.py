"""Predictions of mc-dropout: functions, each a network with one mask for all rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from math import prod

import torch
from torch import Tensor

from harness import ClassLogProbs, RegressionMixture
from harness_bayes import likelihoods, networks, prediction
from harness_bayes.networks import affine
from harness_mc_dropout.masks import State, build_linear, has_maps
from harness_torch.training import inference

CACHED = 2**18  # numbers of an activation that a core's cache holds while the next layer reads them


@torch.no_grad()
def draw(state: State, inputs: Tensor, draws: int) -> ClassLogProbs | RegressionMixture:
    """Draw the mixture of so many functions of the only trial; of one, where nothing is dropped."""
    draws = draws if state.drops_any else 1
    outputs = state.scale.new_empty(draws, len(inputs), state.likelihood.outputs)
    low = 0
    for masks in draw_function_masks(state, draws):
        high = low + (len(masks[0]) if masks else 1)
        for rows, part in _split_rows(state, inputs):
            outputs[low:high, rows] = apply_masks(state, masks, part)
        low = high
    log_weights = outputs.new_full((draws,), -math.log(draws))
    return likelihoods.mixture(state.likelihood, outputs, state.log_noise, log_weights)


def draw_function_masks(state: State, draws: int) -> Iterator[list[Tensor]]:
    """Draw masks that all rows share, some draws at a time: by layer (T, units), the same for any number of rows."""
    if not state.drops_any:
        yield []
        return
    sizes, noise = list(map(prod, state.units)), state.draws()
    for count in prediction.split_draws(1, draws, sum(sizes)):
        drawn = noise.masks(count * sum(sizes), state.drops, state.scale)
        yield list(drawn.view(count, sum(sizes)).split(sizes, 1))


def _split_rows(state: State, inputs: Tensor) -> Iterator[tuple[slice, Tensor]]:
    low = 0
    for part in inference.split(inputs, prediction.widest_layer(state.network)):
        yield slice(low, low + len(part)), part
        low += len(part)


def apply_masks(state: State, masks: Sequence[Tensor], inputs: Tensor) -> Tensor:
    """Outputs (T, N, outputs) of the networks with these masks (T, units) for rows (N, ...)."""
    if masks and not has_maps(state.network):
        return _apply_dense(state, masks, inputs)
    if not masks:
        return networks.forward(state.network, inputs[None], build_linear(state, []))
    shaped = [mask.unflatten(1, shape) for mask, shape in zip(masks, state.units, strict=True)]
    each = [[mask[draw : draw + 1, None] for mask in shaped] for draw in range(len(masks[0]))]
    return torch.cat([networks.forward(state.network, inputs[None], build_linear(state, one)) for one in each])


def _apply_dense(state: State, masks: Sequence[Tensor], inputs: Tensor) -> Tensor:
    """Apply masks to networks of dense layers, some draws at a time, each a network whose weights are masked."""
    first, *others = [name for name, _ in state.network.layers]
    activate = networks.ACTIVATIONS[state.network.activation]
    x = inputs.flatten(1).to(state.scale.dtype)[None]
    numbers = inference.ELEMENTS if inputs.is_cuda else CACHED
    limit = max(1, numbers // (len(inputs) * prediction.widest_layer(state.network)))
    parts = []
    for of_inputs, *of_layers in zip(*(mask.split(limit) for mask in masks), strict=True):
        y = _apply_masked(state, first, x, of_inputs)
        for name, of_layer in zip(others, of_layers, strict=True):
            y = _apply_masked(state, name, activate(y), of_layer)
        parts.append(y)
    return torch.cat(parts)


def _apply_masked(state: State, name: str, x: Tensor, masks: Tensor) -> Tensor:
    """W (z x / (1 - p)) + b with masks z (T, inputs) of x, (1, N, inputs) or (T, N, inputs): (T, N, outputs)."""
    compute = state.network.types.compute
    weight, bias = state.parameters[f"{name}.weight"], state.parameters.get(f"{name}.bias")
    weights = weight * state.scale * masks[:, :, None]  # (T, inputs, outputs)
    if len(x) == len(masks):
        return affine(x, weights, None if bias is None else bias.expand(len(masks), -1), 1, compute)
    together = weights.transpose(0, 1).flatten(1)[None]  # rows that all draws share meet one matrix
    y = affine(x, together, None if bias is None else bias.repeat(1, len(masks)), 1, compute)
    return y[0].unflatten(1, (len(masks), -1)).transpose(0, 1)
