"""Cells as their equations say, one step after the other in dense float64: what the fast ones are compared with."""

from __future__ import annotations

import torch
from torch import Tensor

CELLS = ("irnn", "elman", "gru", "lstm", "mingru")
GATES = {"irnn": 1, "elman": 1, "gru": 3, "lstm": 4, "mingru": 2}


def tensors_of(cell: str, inputs: int, hidden: int, seed: int = 0, **like) -> dict[str, Tensor]:
    generator, gates = torch.Generator().manual_seed(seed), GATES[cell]

    def draw(*shape: int) -> Tensor:
        return (torch.randn(shape, generator=generator, dtype=torch.float64) / 2).to(**{"dtype": torch.float64, **like})

    made = {"input.weight": draw(gates * hidden, inputs), "input.bias": draw(gates * hidden)}
    if cell != "mingru":
        made["recurrent.weight"] = draw(gates * hidden, hidden)
    if cell == "gru":
        made["recurrent.bias"] = draw(hidden)
    return made


def step(cell: str, x: Tensor, tensors: dict[str, Tensor], state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    w, b, u = tensors["input.weight"], tensors["input.bias"], tensors.get("recurrent.weight")
    h = state[0]
    given = (x @ w.T + b).chunk(GATES[cell], dim=1)
    fed = (h @ u.T).chunk(GATES[cell], dim=1) if u is not None else ()
    sigmoid = torch.sigmoid
    if cell == "irnn":
        return (torch.relu(given[0] + fed[0]),)
    if cell == "elman":
        return (torch.tanh(given[0] + fed[0]),)
    if cell == "mingru":
        z = sigmoid(given[0])
        return ((1 - z) * h + z * given[1],)
    if cell == "gru":
        r, z = sigmoid(given[0] + fed[0]), sigmoid(given[1] + fed[1])
        n = torch.tanh(given[2] + r * (fed[2] + tensors["recurrent.bias"]))
        return ((1 - z) * n + z * h,)
    i, f, g, o = (a + c for a, c in zip(given, fed, strict=True))
    c = sigmoid(f) * state[1] + sigmoid(i) * torch.tanh(g)
    return sigmoid(o) * torch.tanh(c), c


def loop(
    cell: str, x: Tensor, tensors: dict[str, Tensor], state: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    outputs = []
    for each in x:
        state = step(cell, each, tensors, state)
        outputs.append(state[0])
    return torch.stack(outputs), state
