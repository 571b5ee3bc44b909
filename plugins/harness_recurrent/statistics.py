"""Second moments of a trained network's states on the training rows, by which nodes reconstruct each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor

from harness import Batch, Unsupported
from harness_recurrent import network
from harness_recurrent.covariance import Covariance
from harness_recurrent.network import Network, Tensors

ROWS = 10_000  # sequences that are enough, of those that training has
NUMBERS = 2**22  # of states that are held at a time


class Statistics:
    """Uncentred second moments (m, m) of each layer from the lowest, in float64, computed when first asked for.

    Streams are laid out and carried as in training, without dropout. Sequences are the first 10,000.
    """

    def __init__(self, net: Network, tensors: Tensors, train: Batch, batch_size: int) -> None:
        self._net, self._tensors = net, network.cast_tensors(net, tensors)
        self._train, self._batch_size = train, batch_size

    @property
    def steps(self) -> int:
        """Steps of a sequence; 0 of a stream."""
        inputs = self._train.inputs
        return 0 if self._net.tokens else int(inputs.shape[2] if inputs.dim() == 4 else inputs.shape[1])

    @cached_property
    def time_mean(self) -> list[Tensor]:
        """Moments of the states of all steps."""
        return self._measure_moments(lambda h: h)

    @cached_property
    def last_step(self) -> list[Tensor]:
        """Moments of the states after the last step of each sequence; of a stream, of all steps: it has no last one."""
        return self.time_mean if self._net.tokens else self._measure_moments(lambda h: h[-1])

    @cached_property
    def lagged(self) -> list[Tensor]:
        """Moments of the states that recurrent weights read: of all steps but the last, and the zeros before them."""
        if self._net.tokens:
            return self.time_mean
        return self._measure_moments(lambda h: torch.cat([torch.zeros_like(h[:1]), h[:-1]]))

    @cached_property
    def inputs(self) -> list[Tensor]:
        """Moments of each layer's inputs at each step: features, embedded tokens, or the states of the layer below."""
        sums: list[Covariance] = []
        for x, states in self.states():
            for layer, read in enumerate([x, *states[:-1]]):
                if len(sums) <= layer:
                    sums.append(Covariance(read.shape[-1], read.device))
                sums[layer].add(read)
        return _take_means(sums)

    def states(self) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """Some sequences, or some steps of a stream, at a time: x (T, B, d) and the states (T, B, m) of each layer."""
        widest = max(network.width(self._net, self._tensors, layer) for layer in range(self._net.layers))
        with torch.no_grad():
            yield from self._run_stream(widest) if self._net.tokens else self._run_rows(widest)

    def _run_rows(self, widest: int) -> Iterator[tuple[Tensor, list[Tensor]]]:
        for rows in self._train.inputs[:ROWS].split(max(1, NUMBERS // (self.steps * widest))):
            x = network.split_steps(self._net, self._tensors, rows)
            at_rest = network.build_start(self._net, self._tensors, len(rows))
            yield x, network.hidden_states(self._net, self._tensors, x, at_rest)[0]

    def _run_stream(self, widest: int) -> Iterator[tuple[Tensor, list[Tensor]]]:
        length = self._train.targets.shape[1] // self._batch_size
        streams = self._train.inputs[0, : length * self._batch_size].view(-1, length)  # (B, L)
        carried = network.build_start(self._net, self._tensors, len(streams))
        for part in streams.split(max(1, NUMBERS // (len(streams) * widest)), dim=1):
            x = network.split_steps(self._net, self._tensors, part)
            found, carried = network.hidden_states(self._net, self._tensors, x, carried)
            yield x, found

    def _measure_moments(self, taken: Callable[[Tensor], Tensor]) -> list[Tensor]:
        sums = [
            Covariance(network.width(self._net, self._tensors, layer), self._train.inputs.device)
            for layer in range(self._net.layers)
        ]
        for _, states in self.states():
            for each, h in zip(sums, states, strict=True):
                each.add(taken(h))
        return _take_means(sums)


def _take_means(sums: Sequence[Covariance]) -> list[Tensor]:
    """Take the means. Raises Unsupported where states were not finite."""
    try:
        return [each.mean() for each in sums]
    except ValueError as error:
        raise Unsupported(f"the base has run away on the training rows: {error}") from error
