"""The equations that references of spiking methods share. Plain tensors in float64, without any lever for speed.

A reference is its method as the paper writes it, beside which the fast learner is held (`harness agree --reference`).
Of the fast code it takes the architecture as it was parsed (shapes, strides, pooling windows, what joins a residual
block and by which factor), the parameters, the options and the dropout masks; every equation is written anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor

from harness import Batch, Unsupported
from harness_spiking.config import SpikingOptions
from harness_spiking.learner import State
from harness_spiking.passes import draw_masks
from harness_spiking.spikes import tell
from harness_torch.training import step
from harness_torch.training.architectures import Layer

OUTPUT_SCALE = 2.74  # restores unit variance of what a population sends on
EPSILON = 1e-4
ROUNDING = 1e-12

# phi(z) with steepness k, z = u - V_th.
DERIVATIVES: Mapping[str, Callable[[Tensor, float], Tensor]] = {
    "sigmoid": lambda z, k: k * torch.sigmoid(k * z) * torch.sigmoid(-k * z),
    "rectangle": lambda z, k: k * ((k * z).abs() <= 1).to(z),
    "triangle": lambda z, k: k * (1 - (k * z).abs()).clamp(min=0),
    "arctan": lambda z, k: k / (2 * (1 + (pi * k * z / 2) ** 2)),
}


class Below:
    """The populations of one step that have fired: the current that each got, and what it sent on."""

    def __init__(self) -> None:
        self.currents: list[Tensor] = []
        self.sent: list[tuple[Tensor, ...]] = []

    def add(self, current: Tensor, *sent: Tensor) -> None:
        """The next one. sent: a value, and after it what its gradient sees in its place, if that differs."""
        self.currents.append(current)
        self.sent.append(sent)


@dataclass
class PlainNetwork:
    """A network and one mini-batch of it.

    inputs: x[1] to x[T], (B, ...) each. masks: by population (B, ...), on what it sends; empty where none is dropped.
    """

    layers: Sequence[Layer]
    parameters: Mapping[str, Tensor]
    options: SpikingOptions
    inputs: Sequence[Tensor]
    targets: Tensor
    masks: Sequence[Tensor] = ()
    output_scale: float = OUTPUT_SCALE

    @property
    def depth(self) -> int:
        """Spiking populations."""
        return len(self.layers)

    def parameter(self, name: str) -> Tensor:
        """In float64, as it is now."""
        return self.parameters[name].double()

    def weight(self, name: str) -> Tensor:
        """A standardised one, (outputs, inputs, ...)."""
        return standardised(self.parameter(f"{name}.weight"), self.parameter(f"{name}.gain"))

    def linear(self, index: int, x: Tensor, count: float = 1.0) -> Tensor:
        """W x + count b of a spiking layer, (B, ...) to (B, outputs, ...); in a residual block a share of that."""
        layer, bias = self.layers[index], self.parameter(f"layers.{index}.bias")
        return layer.factor * affine(x, self.weight(f"layers.{index}"), count * bias, layer.stride)

    def readout(self, x: Tensor, count: float = 1.0) -> Tensor:
        """W x + count b of the readout, (B, ...) to (B, classes)."""
        return affine(x, self.parameter("readout.weight"), count * self.parameter("readout.bias"))

    def returned(self, fired: Tensor, count: float = 1.0) -> Tensor:
        """W up(h) + count b: what feedback adds to the first layer's current, h being what the last one fired."""
        up = F.interpolate(self.sent(self.depth - 1, fired, pooled=False), self.layers[0].map[1:], mode="nearest")
        return affine(up, self.parameter("feedback.weight"), count * self.parameter("feedback.bias"))

    def joined(self, index: int, own: Tensor, below: Below) -> Tensor:
        """The current into a population (B, ...): its layer's own, and what a residual block adds to that,

        own + g I_source,    or, where channels or maps change,    own + g W_1x1 h_source
        """
        skip = self.layers[index].skip
        if skip is None:
            return own
        if skip.projection is None:
            return own + skip.factor * below.currents[skip.source]
        weight = self.weight(f"layers.{index}.projection")
        branches = [affine(averaged(h, skip.window), weight) for h in below.sent[skip.source]]
        return own + skip.factor * seen_as(branches[0], branches[-1])

    def sent(self, index: int, fired: Tensor, pooled: bool = True) -> Tensor:
        """P fired, (B, ...): what the next layer sees, behind dropout mask, average pooling and output scale."""
        kept = fired * self.masks[index] if self.masks else fired
        return self.output_scale * (averaged(kept, self.layers[index].pool) if pooled else kept)

    def fire(self, index: int, z: Tensor, slope: Tensor | None = None) -> Tensor:
        """Spikes s = H(z), z = u - V_th, with the surrogate's derivative phi(z), or with `slope` in its place."""
        slope = derivative(self.options.spike_derivative, z, self.options.scale) if slope is None else slope
        fired = seen_as((z >= 0).to(z), slope.detach() * z)
        tell(index, fired)
        return fired

    def loss(self, logits: Tensor) -> Tensor:
        """(1 - beta) cross-entropy + beta mean squared error to one-hot targets, of logits (B, classes)."""
        beta, one_hot = self.options.shared_loss, F.one_hot(self.targets, logits.shape[1]).to(logits)
        cross_entropy = -(one_hot * logits.log_softmax(1)).sum(1).mean()
        return (1 - beta) * cross_entropy + beta * ((logits - one_hot) ** 2).mean()


def standardised(weight: Tensor, gain: Tensor) -> Tensor:
    """W' = gain (W - mean) / sqrt(var n + 1e-4) over the n entries of each output channel, var being unbiased."""
    rows = weight.flatten(1)  # (outputs, n)
    spread = (rows.var(1, unbiased=True) * rows.shape[1] + EPSILON).sqrt()
    return ((gain / spread)[:, None] * (rows - rows.mean(1, keepdim=True))).reshape(weight.shape)


def affine(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1) -> Tensor:
    """W x + b: a convolution that keeps the size of maps but for the stride, or a dense layer."""
    if weight.dim() == 4:
        return F.conv2d(x, weight, bias, stride, padding=weight.shape[-1] // 2)
    return F.linear(x.flatten(1), weight, bias)


def averaged(x: Tensor, window: tuple[int, int] | None) -> Tensor:
    """Average pooling, where there is a window."""
    return x if window is None else F.avg_pool2d(x, window)


def seen_as(value: Tensor, graph: Tensor) -> Tensor:
    """A value whose gradient is that of another tensor."""
    return value.detach() + (graph - graph.detach())


def derivative(surrogate: str, z: Tensor, steepness: float) -> Tensor:
    """phi(z). Raises Unsupported for a surrogate that has no plain form here."""
    if surrogate not in DERIVATIVES:
        known = ", ".join(DERIVATIVES)
        raise Unsupported(f"surrogate={surrogate}: the reference knows {known}; use one of these")
    return DERIVATIVES[surrogate](z, steepness)


def clamped_slope(z: Tensor) -> Tensor:
    """1[0 <= z <= 1], the derivative of a rate clamp(z, 0, 1). Both ends belong to the range, up to rounding: where an
    image is constant, standardised weights make z zero but for that.
    """
    return ((z >= -ROUNDING) & (z <= 1 + ROUNDING)).to(z).detach()


Losses = Callable[[PlainNetwork], Iterator[Tensor]]


def update(
    state: State, batch: Batch, losses: Losses, online: bool = False, output_scale: float = OUTPUT_SCALE
) -> tuple[State, Mapping[str, Tensor]]:
    """One mini-batch, with the state's own optimiser: a step on each of the losses if `online`, else one on their sum.

    losses: yields them one after the other, each on a graph of its own; between two the parameters may change.
    """
    step.advance(state)
    state.optimiser.zero_grad()
    total = torch.zeros((), dtype=torch.float64, device=batch.targets.device)
    for loss in losses(plain(state, batch, output_scale)):
        loss.backward()
        total += loss.detach()
        if online:
            step.descend(state)
            state.optimiser.zero_grad()
    if not online:
        step.descend(state)
    return state, {"loss": total}


def plain(state: State, batch: Batch, output_scale: float = OUTPUT_SCALE) -> PlainNetwork:
    """The network of a state in the reference's terms, with the next masks that it would draw."""
    network, inputs = state.network, batch.inputs.double()
    steps = list(inputs.unbind(1)) if network.time_axis else [inputs] * network.steps
    dropped = [mask.double() for mask in draw_masks(network, len(inputs), state.generator)]
    layers, parameters = network.architecture.layers, network.parameters
    return PlainNetwork(layers, parameters, state.options, steps, batch.targets, dropped, output_scale)
