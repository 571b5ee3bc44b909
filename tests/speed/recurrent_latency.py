"""How long a compressed layer of 1,024 units takes beside the whole one, on one thread: 32 rows, 32 steps.

    python -m tests.speed.recurrent_latency

For a network of 341 units the bar is 1.3 times the ratio of operations, which depends on the inputs of a step: with one
input the recurrent weights are all, with 1,024 it is (d k + k k) / (d m + m m). Masks, compressed rows, columns and low
rank, with as many recurrent weights as that layer has or with as many columns, have no bar: they are shown as they are.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from harness_recurrent import cells, forms

from .paired import Row, interleaved, processor_time, ratio, show

ROWS, STEPS, WHOLE, LEFT = 32, 32, 1024, 341
SHARE = 1.3  # of the ratio of operations
CASES = [("irnn", 1), ("irnn", 1024), ("gru", 1024), ("lstm", 1), ("lstm", 1024)]  # cell, inputs of a step


def cell_of(cell: str, inputs: int, hidden: int) -> dict[str, Tensor]:
    """Weights of a cell whose state stays bounded."""
    gates, scale = cells.GATES[cell], 0.5 / hidden**0.5
    tensors = {
        "input.weight": scale * torch.randn(gates * hidden, inputs),
        "input.bias": torch.zeros(gates * hidden),
        "recurrent.weight": scale * torch.randn(gates * hidden, hidden),
    }
    return tensors | ({"recurrent.bias": torch.zeros(hidden)} if cell == "gru" else {})


def other_forms(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The whole layer with other recurrent weights: names after `recurrent.`."""
    weight = tensors["recurrent.weight"]
    mask = torch.rand_like(weight) < (LEFT / WHOLE) ** 2
    rank = LEFT // 2
    rest = {name: each for name, each in tensors.items() if name != "recurrent.weight"}
    made = {
        "masked": {"weight": weight * mask, "mask": mask},
        "csr": forms.to_csr(weight, mask),
        "columns": {"weight": weight[:, :LEFT].contiguous(), "columns": torch.arange(LEFT)},
        "low rank": {"left": torch.randn(len(weight), rank) / 64, "right": torch.randn(rank, WHOLE) / 64},
    }
    return {form: {**rest, **{f"recurrent.{name}": each for name, each in own.items()}} for form, own in made.items()}


def prediction(cell: str, x: Tensor, tensors: Mapping[str, Tensor]) -> Callable[[], None]:
    hidden = tensors["input.bias"].numel() // cells.GATES[cell]

    @torch.no_grad()
    def run() -> None:
        cells.run_cell(cell, x, tensors, cells.build_start(cell, ROWS, hidden, x))

    return run


def operations(inputs: int, hidden: int) -> int:
    return hidden * (inputs + hidden)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    rows = []
    for cell, inputs in CASES:
        x, whole = torch.randn(STEPS, ROWS, inputs), cell_of(cell, inputs, WHOLE)
        ways = {"whole": whole, "nodes": cell_of(cell, inputs, LEFT), **(other_forms(whole) if inputs == 1 else {})}
        timed = {name: processor_time(prediction(cell, x, tensors)) for name, tensors in ways.items()}
        seconds = interleaved(timed, rounds)
        few = operations(inputs, LEFT) / operations(inputs, WHOLE)
        for name in list(ways)[1:]:
            said = f"{cell}, {inputs} inputs: {name} / whole" + (f" (operations {few:.3f})" if name == "nodes" else "")
            rows.append(Row(said, ratio(seconds[name], seconds["whole"]), SHARE * few if name == "nodes" else None))
    return show(rows)


if __name__ == "__main__":
    sys.exit(main())
