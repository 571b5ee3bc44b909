"""Small recurrent networks, trained a little, and what compressions make of them."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from harness import Batch, Fit, Problem, Training
from harness.options import build as configured
from harness_dense_rnn import learner as dense
from harness_recurrent import network
from harness_recurrent.config import RecurrentOptions

ROWS, STEPS, WIDTH, VOCABULARY = 40, 5, 3, 7
CLASSES = Problem("classification", (STEPS, WIDTH), 4, ROWS, time_axis=True)
TOKENS = Problem("language", (), VOCABULARY, 240, order="contiguous", window=6)
UPDATES = 6


def rows(problem: Problem = CLASSES, seed: int = 1, precision: str = "fp64") -> Batch:
    """A mini-batch: rows with their classes, or windows of a text."""
    draw = torch.Generator().manual_seed(seed)
    if problem.kind == "language":
        tokens = torch.randint(VOCABULARY, (4, problem.window + 1), generator=draw)
        return Batch(tokens[:, :-1], tokens[:, 1:], first=True)
    dtype = torch.float64 if precision == "fp64" else torch.float32
    inputs = torch.randn(ROWS, *problem.input_shape, generator=draw, dtype=dtype)
    return Batch(inputs, torch.arange(ROWS) % problem.output_size)


def fit(problem: Problem = CLASSES, precision: str = "fp64") -> Fit:
    """All rows, or all tokens as one stream."""
    if problem.kind == "language":
        tokens = torch.randint(VOCABULARY, (1, problem.train_size), generator=torch.Generator().manual_seed(2))
        return Fit(Batch(tokens, tokens), Batch(tokens, tokens))
    return Fit(rows(problem, precision=precision), rows(problem, 2, precision))


def terms(updates: int | None = UPDATES, precision: str = "fp64") -> Training:
    return Training(0, "cpu", precision, 4, updates)


@cache
def trained(problem: Problem = CLASSES, precision: str = "fp64", **options: Any) -> dict[str, Tensor]:
    """Tensors of a network after a few updates."""
    built = dense.build(configured(RecurrentOptions, {"hidden": 8, "learning_rate": 0.02, **options}, "dense-rnn"))
    state = built.init(problem, terms(precision=precision), None)
    for update in range(UPDATES):
        state, _ = built.update(state, rows(problem, update, precision))
    return dict(built.save(state))


def of_network(given: dict[str, Any]) -> dict[str, Any]:
    """The options that the base has, too."""
    return {name: value for name, value in given.items() if name in ("cell", "hidden", "layers", "tied", "embedding")}


def prepared(
    module: Any, config: type, problem: Problem = CLASSES, updates: int = UPDATES, precision: str = "fp64", **given: Any
) -> tuple[Any, Any]:
    """A method's learner, and its state before the first update of fine-tuning, from a base of 8 nodes."""
    built = module.build(configured(config, {"hidden": 8, **given}, config.__name__))
    base = trained(problem, precision, **of_network(given))
    state = built.init(problem, terms(updates, precision), base)
    return built, built.prepare(state, fit(problem, precision))


def tuned(built: Any, state: Any, problem: Problem = CLASSES, updates: int = UPDATES) -> list[dict[str, Tensor]]:
    """Fine-tunes, and returns what would be deployed after each update."""
    found = []
    for update in range(updates):
        state, _ = built.update(state, rows(problem, 50 + update))
        found.append({name: tensor.clone() for name, tensor in built.save(state).items()})
    return found


def states_of(problem: Problem = CLASSES, **options: Any) -> tuple[Tensor, list[Tensor]]:
    """Run the trained network on all training rows: x (T, N, d), and the states (T, N, m) of each layer."""
    net, tensors = network_of(problem, **options), trained(problem, **options)
    inputs = fit(problem).train.inputs
    x = network.split_steps(net, tensors, inputs)
    return x, network.hidden_states(net, tensors, x, network.build_start(net, tensors, x.shape[1]))[0]


def network_of(problem: Problem = CLASSES, **options: Any) -> network.Network:
    config = configured(RecurrentOptions, {"hidden": 8, **options}, "dense-rnn")
    return network.build(problem, terms(), config)
