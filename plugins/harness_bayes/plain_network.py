"""The network in plain equations, for the methods' own `reference.py`: torch's functions, one network, no lanes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from harness_bayes.training import State


def outputs(state: State, w: Mapping[str, Tensor], h: Tensor) -> Tensor:
    """f(x; w), (B, outputs), of one network with these weights for rows (B, ...), in float64."""
    h, layers = h.double(), state.network.architecture.layers
    for index, (name, shape) in enumerate(state.network.layers):
        W, b = w[f"{name}.weight"], w.get(f"{name}.bias")
        if len(shape) == 2:
            h = h.flatten(1) @ W
            h = h if b is None else h + b
        else:
            h = F.conv2d(h, W, b, layers[index].stride, padding=shape[-1] // 2)
        if index < len(layers):
            h = F.relu(h) if state.options.activation == "relu" else torch.tanh(h)
            if (window := layers[index].pool) is not None:
                h = F.avg_pool2d(h, window)
    return h
