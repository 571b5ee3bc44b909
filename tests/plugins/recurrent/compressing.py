"""Small recurrent networks, trained a little or moved by chance, and what compressions make of them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from plain_cells import loop
from tiny_problems import fit, normal, rows, terms
from torch import Tensor

from harness import Problem
from harness.options import build as configured
from harness_dense_rnn import learner as dense
from harness_recurrent import network
from harness_recurrent.config import RecurrentOptions

ROWS, STEPS, WIDTH = 40, 5, 3
CLASSES = Problem("classification", (STEPS, WIDTH), 4, ROWS, time_axis=True)
TOKENS = Problem("language", (), 7, 240, order="contiguous", window=6)
UPDATES = 6
DTYPES = {"fp64": torch.float64, "fp32": torch.float32}


def network_of(problem: Problem = CLASSES, **options: Any) -> network.Network:
    config = configured(RecurrentOptions, {"hidden": 8, **options}, "dense-rnn")
    return network.build(problem, terms(UPDATES), config)


# --- bases ------------------------------------------------------------------------------------------------------------


@cache
def trained(problem: Problem = CLASSES, precision: str = "fp64", **options: Any) -> dict[str, Tensor]:
    """Tensors of a network of 8 nodes after a few updates."""
    built = dense.build(configured(RecurrentOptions, {"hidden": 8, "learning_rate": 0.02, **options}, "dense-rnn"))
    state = built.init(problem, terms(UPDATES, precision), None)
    for update in range(UPDATES):
        state, _ = built.update(state, rows(problem, seed=update, dtype=DTYPES[precision]))
    return dict(built.save(state))


HIDDEN = 10  # of bases that are not trained


def moved(options: Any, problem: Problem = CLASSES) -> dict[str, Tensor]:
    """Initial tensors of a network, moved by chance as training would have moved them."""
    start = network.draw_initial(network.build(problem, terms(), options), options, 11)
    return {name: each + 0.3 * normal(*each.shape, seed=11 + at) for at, (name, each) in enumerate(start.items())}


# --- compressed -------------------------------------------------------------------------------------------------------


def compressed(
    module: Any,
    options: Any,
    problem: Problem = CLASSES,
    updates: int | None = 4,
    seed: int = 0,
    base: dict[str, Tensor] | None = None,
) -> tuple[dict[str, Tensor], Any, Any]:
    """The base, if not given moved by chance, a method's learner, and its state before the first update."""
    base = moved(options, problem) if base is None else base
    built = module.build(options)
    precision = "fp32" if base["readout.bias"].dtype == torch.float32 else "fp64"
    state = built.init(problem, terms(updates, precision, seed=seed), base)
    return base, built, built.prepare(state, fit(problem, DTYPES[precision]))


def prepared(
    module: Any, config: type, problem: Problem = CLASSES, updates: int = UPDATES, precision: str = "fp64", **given: Any
) -> tuple[Any, Any]:
    """A method's learner, and its state before the first update of fine-tuning, from a trained base."""
    options = configured(config, {"hidden": 8, **given}, config.__name__)
    shared = {name: each for name, each in given.items() if name in ("cell", "hidden", "layers", "tied", "embedding")}
    return compressed(module, options, problem, updates, base=trained(problem, precision, **shared))[1:]


def tuned(built: Any, state: Any, problem: Problem = CLASSES, updates: int = UPDATES) -> list[dict[str, Tensor]]:
    """Fine-tunes, and returns what would be deployed after each update."""
    found = []
    for update in range(updates):
        state, _ = built.update(state, rows(problem, seed=50 + update))
        found.append({name: tensor.clone() for name, tensor in built.save(state).items()})
    return found


def to_numpy(tensors: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: each.detach().numpy() for name, each in tensors.items()}


# --- states on all training rows --------------------------------------------------------------------------------------


def states_of(problem: Problem = CLASSES, **options: Any) -> tuple[Tensor, list[Tensor]]:
    """Of the trained network: x (T, N, d), and the states (T, N, m) of each layer."""
    net, tensors = network_of(problem, **options), trained(problem, **options)
    x = network.split_steps(net, tensors, fit(problem).train.inputs)
    return x, network.hidden_states(net, tensors, x, network.build_start(net, tensors, x.shape[1]))[0]


def plain_states(base: dict[str, Tensor], cell: str) -> Tensor:
    """Of the lowest layer of 10 nodes, (T, N, m), by a plain loop."""
    start = tuple(torch.zeros(ROWS, HIDDEN, dtype=torch.float64) for _ in range(2 if cell == "lstm" else 1))
    return loop(cell, rows(CLASSES).inputs.transpose(0, 1), network.select_cell(base, 0), start)[0]


def before_steps(states: Tensor) -> np.ndarray:
    """Rows that recurrent weights read, (T N, m): zeros, then the states of all steps but the last."""
    return torch.cat([torch.zeros_like(states[:1]), states[:-1]]).flatten(0, 1).numpy()
