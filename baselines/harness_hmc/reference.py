"""HMC as it is defined, in plain float64: one chain, one row, one unit at a time, for the tests (Neal 2011, section 3).

It shares no line of algorithm with the fast code. `harness agree` has nothing to compare here: an update takes no
gradient of its parameters.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]


class Layer(NamedTuple):
    """A dense layer: weight (inputs, outputs) and bias (outputs,), or of these their gradients or prior deviations."""

    weight: Floats
    bias: Floats


def output(layers: list[Layer], x: Floats, activation: str) -> float:
    """f(x) of one row x (inputs,)."""
    return float(_layer_outputs(layers, x, activation)[-1][0])


def log_posterior(
    layers: list[Layer], deviations: list[Layer], inputs: Floats, targets: Floats, noise: float, activation: str
) -> float:
    """Log p(targets | w) + log p(w), with all constants."""
    total = 0.0
    for x, y in zip(inputs, targets, strict=True):
        total += _log_normal(y - output(layers, x, activation), noise)
    for layer, deviation in zip(layers, deviations, strict=True):
        for values, scales in zip(layer, deviation, strict=True):
            total += sum(_log_normal(w, s) for w, s in zip(values.ravel(), scales.ravel(), strict=True))
    return total


def gradient(
    layers: list[Layer], deviations: list[Layer], inputs: Floats, targets: Floats, noise: float, activation: str
) -> list[Layer]:
    """Gradient of `log_posterior`, by the chain rule from row to row."""
    slopes = [Layer(-w / s.weight**2, -b / s.bias**2) for (w, b), s in zip(layers, deviations, strict=True)]
    for x, y in zip(inputs, targets, strict=True):
        seen = [x, *_layer_outputs(layers, x, activation)]
        g = (y - seen[-1]) / noise**2
        for index in reversed(range(len(layers))):
            slopes[index].weight[...] += np.outer(seen[index], g)
            slopes[index].bias[...] += g
            below = layers[index].weight @ g
            g = below * (1 - seen[index] ** 2 if activation == "tanh" else seen[index] > 0)
    return slopes


def trajectory(
    layers: list[Layer],
    momenta: list[Layer],
    deviations: list[Layer],
    inputs: Floats,
    targets: Floats,
    noise: float,
    activation: str,
    step: float,
    leapfrogs: int,
) -> tuple[list[Layer], float]:
    """End of a trajectory, and the energy that it has gained. Momenta are those of w / deviation."""

    def energy(at: list[Layer], p: list[Layer]) -> float:
        kinetic = sum(float(np.square(each).sum()) for layer in p for each in layer) / 2
        return kinetic - log_posterior(at, deviations, inputs, targets, noise, activation)

    before = energy(layers, momenta)
    for _ in range(leapfrogs):
        momenta = _push_momenta(momenta, layers, deviations, inputs, targets, noise, activation, step / 2)
        moved = zip(layers, momenta, deviations, strict=True)
        layers = [Layer(*(w + step * s * p for w, p, s in zip(*each, strict=True))) for each in moved]
        momenta = _push_momenta(momenta, layers, deviations, inputs, targets, noise, activation, step / 2)
    return layers, energy(layers, momenta) - before


def _push_momenta(
    momenta: list[Layer],
    layers: list[Layer],
    deviations: list[Layer],
    inputs: Floats,
    targets: Floats,
    noise: float,
    activation: str,
    time: float,
) -> list[Layer]:
    slopes = gradient(layers, deviations, inputs, targets, noise, activation)
    pushed = zip(momenta, slopes, deviations, strict=True)
    return [Layer(*(p + time * s * g for p, g, s in zip(*each, strict=True))) for each in pushed]


def _layer_outputs(layers: list[Layer], x: Floats, activation: str) -> list[Floats]:
    """Outputs of each layer, the readout's last."""
    found = []
    for index, layer in enumerate(layers):
        x = x @ layer.weight + layer.bias
        if index < len(layers) - 1:
            x = np.tanh(x) if activation == "tanh" else np.maximum(x, 0.0)
        found.append(x)
    return found


def _log_normal(x: float, deviation: float) -> float:
    return -0.5 * (x / deviation) ** 2 - math.log(deviation) - 0.5 * math.log(2 * math.pi)
