"""The comparison of spikes in `harness agree`, beside that of gradients: which neurons fired when.

With an optimiser step per time step, frozen weights are not what is trained. A trace counts past spikes by the weights
of now, a potential by those of their time, so that methods whose gradients are equal here part in training.
Neurons are those of the eager kernels, which tell what they fire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from harness_spiking.network import Network
from harness_spiking.spikes import recorded


class FiredAlike:
    """The column `spikes`; see `harness_torch.agreement.sides.Column`."""

    head = "spikes"
    key = "spike_mismatch"
    legend = "spikes: share of neurons and steps that differ."
    remarks = (
        "In float32 a potential within rounding of the threshold, as on constant parts of an image, may fire in one "
        "method alone, and what follows differs too: float64 tells whether the methods agree.",
    )
    moving = (
        "update=online: above the weights stay, in training they change at every time step, and a trace counts past "
        "spikes by the weights of now, a potential by those of their time."
    )

    def facts(self, learner: Any, state: Any) -> Mapping[str, Any]:
        """Network and neuron."""
        network: Network = state.network
        described = learner.describe(state) if hasattr(learner, "describe") else {}
        return {
            "architecture": network.architecture.text,
            "steps": network.steps,
            "neuron": described.get("neuron", "lif"),  # with its output scale, where a method has its own
            "leak": network.neuron.leak,
            "threshold": round(network.neuron.threshold / network.neuron.surrogate.scale, 12),  # potentials are scaled
            "reset": "hard" if network.hard_reset else "soft",
            "feedback": network.feedback,
            "dropout": network.dropout,
        }

    @contextmanager
    def noting(self, state: Any) -> Iterator[Callable[[], Mapping[str, Tensor]]]:
        """Spikes by layer, (T, B, ...)."""
        with recorded(state.network) as spikes:
            yield spikes.by_layer

    def difference(
        self, found: Mapping[str, Tensor], expected: Mapping[str, Tensor], layer: str | None
    ) -> float | None:
        """Share of neurons and steps; None where one of the methods told nothing of them."""
        known = [name for name in expected if layer in (None, name)]
        if not known or any(name not in found or found[name].shape != expected[name].shape for name in known):
            return None
        differing = sum(int((found[name] != expected[name]).sum()) for name in known)
        return differing / sum(expected[name].numel() for name in known)


SPIKES = FiredAlike()
