"""Updates of recurrent cells (forward and backward) beside torch's own layers, on one thread.

    python -m tests.speed.recurrent_update

A layer of 128 units and 32 rows: sequences as rows of digits, as rows of MNIST, as pixels of digits. What comes back is
a gradient for every output; each side gives those of its weights. Torch's second bias is frozen where it is redundant.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor, nn

from harness_recurrent import cells

from .paired import Row, interleaved, processor_time, ratio, show

ROWS, HIDDEN = 32, 128
SEQUENCES = [(8, 8), (28, 28), (64, 1)]  # steps, inputs
LAYERS: dict[str, Callable[[int], nn.RNNBase]] = {
    "irnn": lambda inputs: nn.RNN(inputs, HIDDEN, nonlinearity="relu"),
    "elman": lambda inputs: nn.RNN(inputs, HIDDEN),
    "gru": lambda inputs: nn.GRU(inputs, HIDDEN),
    "lstm": lambda inputs: nn.LSTM(inputs, HIDDEN),
}
OWN, SHORT, KERNEL = 0.8, 1.05, 1.05  # of torch's time at most: own recursions, short ones, torch's kernels


def bar(cell: str, steps: int) -> float:
    if cell in ("gru", "lstm"):
        return KERNEL
    return OWN if steps >= 28 else SHORT


def tensors_of(cell: str, layer: nn.RNNBase) -> dict[str, Tensor]:
    """The layer's weights as those of a cell, leaves of their own."""
    biases = layer.bias_hh_l0.detach().clone()
    made = {"input.weight": layer.weight_ih_l0, "input.bias": layer.bias_ih_l0, "recurrent.weight": layer.weight_hh_l0}
    made |= {"recurrent.bias": biases[-HIDDEN:]} if cell == "gru" else {}
    return {name: each.detach().clone().requires_grad_() for name, each in made.items()}


def updates(cell: str, steps: int, inputs: int) -> dict[str, Callable[[], object]]:
    layer, x, errors = LAYERS[cell](inputs), torch.randn(steps, ROWS, inputs), torch.randn(steps, ROWS, HIDDEN)
    layer.bias_hh_l0.requires_grad_(cell == "gru")
    trained = [each for each in layer.parameters() if each.requires_grad]
    tensors = tensors_of(cell, layer)

    def own() -> object:
        outputs, _ = cells.run_cell(cell, x, tensors, cells.build_start(cell, ROWS, HIDDEN, x))
        return torch.autograd.grad(outputs, list(tensors.values()), errors)

    def torchs() -> object:
        outputs, _ = layer(x)
        return torch.autograd.grad(outputs, trained, errors)

    return {"own": own, "torch": torchs}


def repeated(way: Callable[[], object], times: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(times):
            way()

    return run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    rows = []
    for cell, (steps, inputs) in product(LAYERS, SEQUENCES):
        ways = updates(cell, steps, inputs)
        seconds = interleaved(
            {name: processor_time(repeated(way, 1 + 128 // steps)) for name, way in ways.items()}, rounds
        )
        quantity = f"{cell}, {steps} steps of {inputs}: own / torch"
        rows.append(Row(quantity, ratio(seconds["own"], seconds["torch"]), bar(cell, steps)))
    return show(rows)


if __name__ == "__main__":
    sys.exit(main())
