"""MC-dropout as the paper writes it (Gal and Ghahramani, ICML 2016), for `harness agree mc-dropout --reference`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from harness import Batch
from harness_bayes.training import State
from harness_mc_dropout import DropoutOptions


def loss(options: DropoutOptions, state: State, batch: Batch, masks: Sequence[Tensor]) -> Tensor:
    """The loss of a mini-batch with these masks (B, *units) of the input and of each hidden layer.

        mean_i E(y_i, f(x_i; z_i)) + l^2 (1 - p) / (2 N tau) sum ||W||^2

    E: squared error of standardised targets, though tau is in their own units, or cross entropy, with tau = 1.
    """
    f = outputs(options, state, batch.inputs.double(), masks)
    regression = state.likelihood.kind == "gaussian"
    fit = F.mse_loss(f[:, 0], batch.targets) if regression else F.cross_entropy(f, batch.targets)
    kernels = [tensor for name, tensor in state.parameters.items() if name.endswith("weight")]
    tau = options.tau or 1.0
    decay = options.lengthscale**2 * (1 - options.rate) / (2 * state.rows * tau)
    return fit + decay * torch.stack([(kernel**2).sum() for kernel in kernels]).sum()


def outputs(options: DropoutOptions, state: State, x: Tensor, masks: Sequence[Tensor]) -> Tensor:
    """f(x; z), (B, outputs): h[0] = x, h[l] = a(W[l] (z[l] h[l-1]) / (1 - p) + b[l]); maps are pooled after z."""
    activate = {"relu": torch.relu, "tanh": torch.tanh}[options.activation]
    layers, p = state.network.architecture.layers, options.rate
    pools = [None, *(layer.pool for layer in layers)]
    h = x
    for index, (name, shape) in enumerate(state.network.layers):
        if index == 0 and len(shape) == 2:
            h = h.flatten(1)
        if masks:
            h = masks[index] * h / (1 - p)
        if (pool := pools[index]) is not None:
            h = F.avg_pool2d(h, pool)
        weight = state.parameters[f"{name}.weight"][0]
        b = state.parameters[f"{name}.bias"][0] if state.network.bias else weight.new_zeros(shape[0])
        if len(shape) == 4:
            h = F.conv2d(h, weight, b, layers[index].stride, padding=shape[-1] // 2)
        else:
            h = h.flatten(1) @ weight + b
        h = activate(h) if index < len(layers) else h
    return h
