"""Spikes by layer and step, whatever runs: training forward passes and the deployed network alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from harness_spiking.network import Network
from harness_spiking.passes import watched
from harness_torch.marks import listened, listening
from harness_torch.marks import spikes as declare


class Spikes:
    """By layer, in order of time."""

    def __init__(self, network: Network) -> None:
        self._maps = [layer.map for layer in network.architecture.layers]
        self._in_a_pass = network.steps
        self._steps: dict[int, list[Tensor]] = {index: [] for index in range(len(self._maps))}
        self._population = 0

    def enter(self, index: int) -> None:
        """Note that this population fires from now on."""
        self._population = index

    def note(self, fired: Tensor) -> None:
        """Spikes of one step (B, ...), or of several (K, B, ...)."""
        one = fired.dim() == 1 + len(self._maps[self._population])
        self._steps[self._population] += [fired.detach().bool()] if one else fired.detach().bool().unbind()

    def by_layer(self) -> Mapping[str, Tensor]:
        """`layers.0` and so on: (T, B, ...), the rows of one pass after those of another. Without layers that told
        nothing.
        """
        return {f"layers.{index}": self._joined(steps) for index, steps in self._steps.items() if steps}

    def _joined(self, steps: list[Tensor]) -> Tensor:
        passes = (steps[start : start + self._in_a_pass] for start in range(0, len(steps), self._in_a_pass))
        return torch.cat([torch.stack(each) for each in passes], dim=1)


@contextmanager
def recorded(network: Network) -> Iterator[Spikes]:
    """While inside, the spikes of this network's passes are noted."""
    spikes = Spikes(network)
    token = watched.set(spikes.enter)
    try:
        with listening(spikes.note):
            yield spikes
    finally:
        watched.reset(token)


def tell(index: int, fired: Tensor) -> None:
    """Say what a population fired at one step, (B, ...), for what does not go through `passes.propagate`."""
    watcher = watched.get()
    if watcher is not None:
        watcher(index)
    declare(fired)


@contextmanager
def unheard() -> Iterator[None]:
    """While inside, nobody notes spikes: those of what is computed a second time have been noted."""
    if not listened():
        yield
        return
    with listening(lambda _: None):
        yield
