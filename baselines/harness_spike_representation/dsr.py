"""DSR: differentiation on spike representation (Meng et al., CVPR 2022, arXiv 2205.00459), on weights standardised
instead of batch norm. Accuracies that are published for it are with batch norm, hence not comparable.

With weights over time w[t] proportional to decay^(T - t) that sum to one, the mean current x = sum_t w[t] I[t] and the
error g = T sum_t w[t] dL/dout[t], the published rule of a population is, for lif with constant tau, step dt,

    dL/dI[t] = g 1[0 < x < V tau / dt] / (tau T),    dL/dV = dt sum g 1[x > V tau / dt]

and for if, whose w[t] are 1 / T, dL/dI[t] = g 1[0 <= x <= V] / T and dL/dV = sum g 1[x > V]. (The rate of a saturated
lif is V / dt, whose derivative by V is 1 / dt; the published factor is dt.)

dL/dI[t] is the same at every t, so with D = T dL/dI[t], and W P the map from the population's outputs into the next:

    dL/dout[t] = P' W' D_above / T at every t, hence g = P' W' D_above    (one backward pass with respect to the input)
    dL/dW_above = sum_t dL/dI_above[t] (P out[t])' = D_above (P mean_t out[t])',    dL/db_above = D_above

The readout o = W P r + b sees the weighted mean r = sum_t w[t] out[t] of the last population, to which it hands
dL/dout[t] = w[t] P' W' dL/do, hence g = T sum_t w[t]^2 P' W' dL/do. There are no neurons behind the readout.
A batch norm between would make dL/dI[t] differ from step to step; with standardised weights nothing is lost.

Between layers, outputs count output_scale-fold, which restores unit variance: for a mean current N(0, 1) the rate tends
to clamp(x, 0, c) / tau with c = V tau / dt thresholds, so that, phi and Phi being the normal density and distribution,

    E = phi(0) - phi(c) + c (1 - Phi(c)),    E2 = Phi(c) - 1/2 - c phi(c) + c^2 (1 - Phi(c)),    tau / sqrt(E2 - E^2)

For the published constants c = 6, and the factor is that of a rectifier, sqrt(2 / (1 - 1/pi)) = 1.71.
"""

from __future__ import annotations

from math import erf, exp, pi, sqrt

import torch
from torch import Tensor

from harness_spike_representation import Neuron
from harness_spike_representation.rates import Rate
from harness_spiking.connections import Outlet
from harness_spiking.network import Network
from harness_spiking.passes import Current
from harness_spiking.weights import Weights
from harness_torch import spikes as declare
from harness_torch.training.layout import empty


def output_scale(neuron: Neuron) -> float:
    """Compute the factor that restores unit variance between layers, at the threshold that training starts from."""
    c = neuron.threshold * neuron.ceiling
    density, beyond = exp(-(c**2) / 2) / sqrt(2 * pi), (1 - erf(c / sqrt(2))) / 2
    first = 1 / sqrt(2 * pi) - density + c * beyond
    second = 0.5 - beyond - c * density + c**2 * beyond
    return neuron.constant / sqrt(second - first**2)


def shares(neuron: Neuron, steps: int) -> list[float]:
    """w[t], the weights over time (T,) of currents and of the readout."""
    powers = [neuron.decay ** (steps - 1 - t) for t in range(steps)]
    return [power / sum(powers) for power in powers]


class Thresholded(Weights):
    """One version of the effective weights, and of each population's threshold."""

    def __init__(self, network: Network, scale: float) -> None:
        super().__init__(network, scale)
        self.thresholds = [self._scaled(f"layers.{index}.threshold", 1.0) for index in range(len(self.layers))]


@torch.no_grad()
def bound_(network: Network, bound: float) -> None:
    """Lift thresholds that an optimiser step has led below the bound."""
    for index in range(len(network.architecture.layers)):
        network.parameters[f"layers.{index}.threshold"].clamp_(min=bound)


class Population:
    """One layer's neurons: their potential, and the sums over time of their currents and of what they send on."""

    def __init__(
        self, network: Network, index: int, rows: int, outlet: Outlet, neuron: Neuron, threshold: Tensor
    ) -> None:
        self.neuron, self.outlet, self.threshold = neuron, outlet, threshold
        self.steps, self.compute = network.steps, network.compute
        layer = network.architecture.layers[index]
        self.is_last = index == len(network.architecture.layers) - 1
        self.potential = network.population(layer, rows)
        self.current = network.population(layer, rows)
        self.sent = empty((rows, *layer.output), self.current).zero_()

    def fire(self, flow: Current, steps: int) -> Tensor:
        """See `rates.Population`. The outputs V fired / step overwrite the currents."""
        currents, rows = flow.whole().to(self.potential.dtype), len(self.potential)
        if len(currents) < steps * rows:
            currents = torch.cat([currents] * steps)
        for each in currents.unflatten(0, (steps, -1)):
            self._step(each)
        seen = self.outlet.out(currents)
        for each in seen.unflatten(0, (steps, -1)):
            torch.add(each, self.sent, alpha=self._decay_of_sent, out=self.sent)
        return seen

    def _step(self, current: Tensor) -> None:
        """One step of currents (B, ...), which turn into outputs."""
        neuron = self.neuron
        torch.add(current, self.current, alpha=neuron.decay, out=self.current)
        self.potential.mul_(neuron.decay).add_(current, alpha=neuron.gain)
        torch.ge(self.potential, neuron.fire_at * self.threshold, out=current)
        current.mul_(self.threshold)
        self.potential.sub_(current)
        declare(current.div_(neuron.step))

    @property
    def _decay_of_sent(self) -> float:
        """The readout sees a weighted mean; a layer's gradient the plain one."""
        return self.neuron.decay if self.is_last else 1.0

    def rate(self) -> Rate:
        """The mean output, and where the mean current lies."""
        neuron, weights = self.neuron, shares(self.neuron, self.steps)
        mean_current, ceiling = self.current.mul_(weights[-1]), neuron.ceiling * self.threshold  # w[T] decay^(T - t)
        inside = (mean_current > 0) & (mean_current < ceiling)
        if not neuron.leaky:
            inside = (mean_current >= 0) & (mean_current <= ceiling)
        above = mean_current > ceiling
        weight = weights[-1] if self.is_last else 1 / self.steps
        factor = self.steps * sum(each**2 for each in weights) if self.is_last else 1.0
        value = self.sent.mul_(weight).to(self.compute)
        slope, rise = factor / neuron.constant, factor * neuron.step
        return Rate(value, inside.byte(), slope, self.threshold, above.byte(), rise)
