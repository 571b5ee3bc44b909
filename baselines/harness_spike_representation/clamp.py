"""The clamp form: LIF neurons, whose weighted firing rate tends to a clamped linear map (Xiao et al. 2022, section 3).

With a[t] = leak a[t-1] + s[t] the trace of spikes, L_t that of ones and U[t] that of currents, the LIF equations give

    u[T] = U[T] - leak V_th a[T-1],    so that    a[T] / L_T = z - (u[T] - V_th s[T]) / (L_T V_th)

with z = U[T] / (L_T V_th). Every operation between two layers being linear, U[T] / L_T = W P r_below + b, where
r = a[T] / L_T. What remains of the potential is forgotten by the gradient, which is that of r = clamp(z, 0, 1):

    e = 1[0 <= z <= 1] dL/dr / V_th,    dL/dW = e (P r_below)',    dL/db = e,    dL/dr_below = P' W' e

A residual block's current is part of the z of two populations, so its error is the sum of theirs.
z comes without another forward pass: the potential that a neuron carries, w = u - V_th s - V_th, is U - V_th (1 + a).
Where z is 0 or 1 up to rounding, for instance where a still input is zero and biases still are, the last digit decides.
"""

from __future__ import annotations

from torch import Tensor

from harness_spike_representation.rates import Rate
from harness_spiking.connections import Outlet
from harness_spiking.network import Network
from harness_spiking.passes import Current
from harness_spiking.surrogates import inside_range_


def shares(network: Network) -> list[float]:
    """Weights over time of a weighted rate: proportional to leak^(T - t)."""
    powers = [network.neuron.leak ** (network.steps - 1 - t) for t in range(network.steps)]
    return [power / sum(powers) for power in powers]


class Population:
    """One layer's neurons: their potential u - V_th s - V_th and the trace of their spikes (B, ...)."""

    def __init__(self, network: Network, index: int, rows: int, outlet: Outlet) -> None:
        self.network, self.outlet = network, outlet
        layer = network.architecture.layers[index]
        self.carried = network.population(layer, rows).sub_(network.neuron.threshold)
        self.trace = network.population(layer, rows)

    def fire(self, flow: Current, steps: int) -> Tensor:
        """See `rates.Population`; currents are shifted by `Neuron.shift`."""
        neuron, currents = self.network.neuron, flow.value.unflatten(0, (-1, len(self.trace)))
        shift = None if flow.shift is None else flow.shift.expand(steps, -1)
        seen, _, _ = self.network.kernels.integrate_traced(
            currents, shift, self.carried, self.trace, neuron, steps, self.outlet, False, own=True
        )
        return seen.flatten(0, 1)

    def rate(self) -> Rate:
        """r, and where z lies in [0, 1]."""
        neuron, of_one = self.network.neuron, sum(self.network.neuron.leak**k for k in range(self.network.steps))
        threshold = neuron.threshold
        less_threshold = self.carried.add_(self.trace, alpha=threshold)  # U[T] - V_th
        inside = inside_range_(less_threshold, threshold, of_one)
        value = self.outlet.out(self.trace.div_(of_one)).to(self.network.compute)
        return Rate(value, inside, 1 / threshold)
