"""Weight gradients of convolutions from patches beside torch's own, layer by layer, on one thread.

    python -m tests.speed.weight_gradients

The layers are those of the digits network (B=32) and of a VGG of half width (B=8) that patches are for, with one step
and with six steps of the batch in one operation. Beside it: torch's weight gradient over its convolution, which is as
many operations.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from itertools import product

import torch
import torch.nn.functional as F

from harness_torch.training.convolution import convolve_backward, suited
from harness_torch.training.layout import channels_last

from .paired import Row, interleaved, processor_time, ratio, show

# inputs, outputs, side, rows
LAYERS = [(32, 64, 8, 32), (64, 128, 4, 32), (128, 128, 4, 32)]
LAYERS += [(32, 64, 32, 8), (64, 128, 16, 8), (128, 128, 16, 8), (128, 256, 8, 8), (256, 256, 8, 8)]
STEPS = (1, 6)
BAR = 1.0


def measured(inputs: int, outputs: int, side: int, rows: int, rounds: int) -> dict[str, list[float]]:
    x, errors = (channels_last(torch.rand(rows, channels, side, side)) for channels in (inputs, outputs))
    weight = channels_last(torch.randn(outputs, inputs, 3, 3))
    settings = [outputs], [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [False, True, False]
    ways: dict[str, Callable[[], object]] = {
        "patches": lambda: convolve_backward(errors, x, weight, (False, True, False), 1),
        "torch": lambda: torch.ops.aten.convolution_backward(errors, x, weight, *settings),
        "forward": lambda: F.conv2d(x, weight, padding=1),
    }
    return interleaved({name: processor_time(way) for name, way in ways.items()}, rounds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    if not suited(torch.device("cpu"), torch.float32):
        print("patches are for CPUs with AVX2 and without AVX-512; here all weight gradients are torch's")
        return 0
    rows = []
    for (inputs, outputs, side, batch), steps in product(LAYERS, STEPS):
        seconds = measured(inputs, outputs, side, steps * batch, rounds)
        layer = f"{inputs} to {outputs} channels, {side}x{side}, {steps * batch} rows: "
        rows.append(Row(layer + "patches / torch", ratio(seconds["patches"], seconds["torch"]), BAR))
        rows.append(Row(layer + "torch / convolution", ratio(seconds["torch"], seconds["forward"]), None))
    return show(rows)


if __name__ == "__main__":
    sys.exit(main())
