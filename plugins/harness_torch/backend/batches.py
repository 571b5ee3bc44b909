"""Mini-batches gathered on the device by index: no copy from the host, no change of shape.

Shuffled data: permutations laid end to end and cut into full batches. Contiguous data: one long row folded into
batch_size parallel streams, cut into windows. Of several trials as one: a lane each, with a leading axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from harness import Batch, Data


def batches(data: Data, batch_size: int, seed: int) -> Iterator[Batch]:
    """Training batches without end, the same for the same seed, augmented on the device."""
    stream = (
        _cut_windows(data, batch_size)
        if data.problem.order == "contiguous"
        else _shuffle_batches(data, batch_size, seed)
    )
    if data.augment is None:
        return stream
    generator = torch.Generator(data.train.inputs.device).manual_seed(seed)
    augment = data.augment
    return (batch._replace(inputs=augment(batch.inputs, generator)) for batch in stream)


def _shuffle_batches(data: Data, batch_size: int, seed: int) -> Iterator[Batch]:
    inputs, targets = data.train.inputs, data.train.targets
    for rows in _draw_indices(len(inputs), min(batch_size, len(inputs)), [seed], inputs.device):
        yield Batch(inputs.index_select(0, rows[0]), targets.index_select(0, rows[0]))


def _draw_indices(count: int, size: int, seeds: Sequence[int], device: torch.device) -> Iterator[Tensor]:
    """Draw the rows of each lane's next batch, (L, B)."""
    # The permutations are drawn on the CPU, so that every device sees the same order.
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    left = torch.empty(len(seeds), 0, dtype=torch.int64, device=device)
    while True:
        drawn = torch.stack([torch.randperm(count, generator=generator) for generator in generators])  # (L, N)
        order = torch.cat([left, drawn.to(device, non_blocking=True)], dim=1)
        cut = order.shape[1] // size * size
        yield from order[:, :cut].split(size, dim=1)
        left = order[:, cut:]


def lane_batches(data: Sequence[Data], batch_size: int, seeds: Sequence[int]) -> Iterator[Batch]:
    """Batches of several trials as one: that of lane l is the one of batches(data[l], batch_size, seeds[l])."""
    if data[0].augment is None and data[0].problem.order != "contiguous":
        return _shuffle_lanes(data, batch_size, seeds)
    lanes = [batches(each, batch_size, seed) for each, seed in zip(data, seeds, strict=True)]
    return (_stack_lanes(each) for each in zip(*lanes, strict=True))


def _stack_lanes(lanes: Sequence[Batch]) -> Batch:
    inputs, targets = zip(*(lane[:2] for lane in lanes), strict=True)
    return Batch(torch.stack(inputs), torch.stack(targets), lanes[0].first)


def _shuffle_lanes(data: Sequence[Data], batch_size: int, seeds: Sequence[int]) -> Iterator[Batch]:
    """Gather batches for all lanes by one index from the rows of all data sets, each of which is there once."""
    different = list({id(each.train.inputs): each for each in data}.values())
    inputs = _concatenate_splits([each.train.inputs for each in different])  # (D N, ...)
    targets = _concatenate_splits([each.train.targets for each in different])
    count = len(data[0].train.inputs)
    places = [[id(each.train.inputs) for each in different].index(id(lane.train.inputs)) for lane in data]
    offsets = count * torch.tensor(places, device=inputs.device)[:, None]  # (L, 1)
    for rows in _draw_indices(count, min(batch_size, count), seeds, inputs.device):
        flat = (rows + offsets).flatten()  # (L B,)
        chosen = (split.index_select(0, flat).unflatten(0, rows.shape) for split in (inputs, targets))
        yield Batch(*chosen)


def _concatenate_splits(splits: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(splits)) if len(splits) > 1 else splits[0]


def _cut_windows(data: Data, batch_size: int) -> Iterator[Batch]:
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
