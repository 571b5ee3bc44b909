"""The one neuron that every method of the family trains and deploys."""

from __future__ import annotations

from typing import NamedTuple

from harness_spiking.surrogates import Surrogate


class Neuron(NamedTuple):
    """Leaky integrate-and-fire neuron with soft reset, V_th subtracted at a spike.

        u[t] = leak (u[t-1] - V_th s[t-1]) + I[t],    s[t] = H(u[t] - V_th),    u[0] = s[0] = 0

    threshold: V_th times the surrogate's scale, the unit of all potentials in training and in inference.
    """

    leak: float
    threshold: float
    surrogate: Surrogate

    @property
    def shift(self) -> float:
        """The shift of I that makes w = u - V_th s - V_th what is carried: w[0] = -V_th, u - V_th = leak w + I."""
        return -self.threshold * (1 - self.leak)
