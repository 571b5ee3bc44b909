"""Small recurrent networks to be made smaller, with rows to do it on, and their states by plain loops."""

from __future__ import annotations

import numpy as np
import torch
from plain_cells import GATES, loop

from harness import Batch, Fit, Problem, Training
from harness_recurrent import network

HIDDEN, STEPS, INPUTS, CLASSES, ROWS = 10, 6, 3, 4, 40
PROBLEM = Problem("classification", (STEPS, INPUTS), CLASSES, ROWS, time_axis=True)
LANGUAGE = Problem("language", (8,), 12, 300, order="contiguous", window=8, token="character")


def rows(seed=5):
    draw = torch.Generator().manual_seed(seed)
    inputs = torch.randn(ROWS, STEPS, INPUTS, generator=draw, dtype=torch.float64)
    return Batch(inputs, torch.arange(ROWS) % CLASSES)


def text(seed=5):
    tokens = torch.randint(0, 12, (1, 300), generator=torch.Generator().manual_seed(seed))
    return Batch(tokens, tokens[:, 1:])


def fit(problem=PROBLEM):
    split = rows() if problem is PROBLEM else text()
    return Fit(split, split)


def terms(updates=4, seed=0):
    return Training(seed, "cpu", "fp64", 8, updates)


def arrays(options, problem=PROBLEM, seed=11):
    """Random weights of a trained network, float64: what it starts from, moved."""
    net, draw = network.build(problem, terms(), options), torch.Generator().manual_seed(seed)
    start = network.draw_initial(net, options, seed)
    return {
        name: each + 0.3 * torch.randn(each.shape, generator=draw, dtype=torch.float64) for name, each in start.items()
    }


def compressed(learner, options, problem=PROBLEM, updates=4, seed=0, base=None):
    """The base's arrays, the learner, and the state before its first update."""
    base = arrays(options, problem) if base is None else base
    built = learner.build(options)
    state = built.init(problem, terms(updates, seed), base)
    return base, built, built.prepare(state, fit(problem))


def states(base, cell):
    """Of the lowest layer at all steps of all rows, (T, N, m), by a plain loop."""
    tensors = network.select_cell(base, 0)
    start = tuple(torch.zeros(ROWS, HIDDEN, dtype=torch.float64) for _ in range(2 if cell == "lstm" else 1))
    return loop(cell, rows().inputs.transpose(0, 1), tensors, start)[0]


def read(base, cell):
    """The states that recurrent weights read, (T N, m): zeros, then those of all steps but the last."""
    h = states(base, cell)
    return torch.cat([torch.zeros_like(h[:1]), h[:-1]]).flatten(0, 1).numpy()


def seen(base, cell):
    """All states, (T N, m)."""
    return states(base, cell).flatten(0, 1).numpy()


def plain(tensors):
    return {name: each.detach().numpy() for name, each in tensors.items()}


def tau_of(S, lam, k):
    """lam k tau'_j by an inverse, with lam relative to the mean of the diagonal."""
    m = len(S)
    ridge = lam * np.trace(S) / m
    scores = np.diag(S @ np.linalg.inv(S + ridge * np.eye(m)))
    return np.maximum(ridge * k * scores / scores.sum(), 1e-10 * np.trace(S) / m)


def moments(h):
    return h.T @ h / len(h)


def gates(cell):
    return GATES[cell]
