"""Mini-batches gathered on the device by index: no copy from the host, no change of shape.

Shuffled data: permutations laid end to end and cut into full batches. Contiguous data: one long row folded into
batch_size parallel streams, cut into windows.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from harness import Batch, Data


def batches(data: Data, batch_size: int, seed: int) -> Iterator[Batch]:
    """Training batches without end, the same for the same seed, augmented on the device."""
    stream = _windows(data, batch_size) if data.problem.order == "contiguous" else _shuffled(data, batch_size, seed)
    if data.augment is None:
        return stream
    generator = torch.Generator(data.train.inputs.device).manual_seed(seed)
    augment = data.augment
    return (batch._replace(inputs=augment(batch.inputs, generator)) for batch in stream)


def _shuffled(data: Data, batch_size: int, seed: int) -> Iterator[Batch]:
    inputs, targets = data.train.inputs, data.train.targets
    for rows in _indices(len(inputs), min(batch_size, len(inputs)), seed, inputs.device):
        yield Batch(inputs.index_select(0, rows), targets.index_select(0, rows))


def _indices(count: int, size: int, seed: int, device: torch.device) -> Iterator[Tensor]:
    # The permutation is drawn on the CPU, so that every device sees the same order.
    generator = torch.Generator().manual_seed(seed)
    left = torch.empty(0, dtype=torch.int64, device=device)
    while True:
        order = torch.cat([left, torch.randperm(count, generator=generator).to(device, non_blocking=True)])
        cut = len(order) // size * size
        yield from order[:cut].split(size)
        left = order[cut:]


def _windows(data: Data, batch_size: int) -> Iterator[Batch]:
    length = data.train.targets.shape[1] // batch_size
    inputs = data.train.inputs[0, : length * batch_size].view(batch_size, length)  # (B, length)
    targets = data.train.targets[0, : length * batch_size].view(batch_size, length)
    window = data.problem.window
    if window > length:
        raise ValueError(
            f"{data.train.targets.shape[1]} steps in {batch_size} streams are shorter than a window of {window}"
        )
    while True:
        for start in range(0, length - window + 1, window):
            cut = slice(start, start + window)
            yield Batch(inputs[:, cut], targets[:, cut], first=start == 0)
