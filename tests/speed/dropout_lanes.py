"""MC-dropout's grid on all splits as lanes, beside the same networks one after the other and beside plain autograd.

    python -m tests.speed.dropout_lanes

An update of 240 networks, 20 splits x 12 grid points, of the size that the field's benchmark has on boston: 13 inputs,
50 hidden units, 128 rows of its own for each. Alone are 240 states of one lane, updated by the same code; plain are 240
modules of torch with an Adam each. Seconds are the processor's, on one thread.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import nn

from harness import Batch, Problem, Training
from harness_bayes.config import PRECISIONS
from harness_mc_dropout import DropoutOptions, learner
from harness_torch.backend import heap

from .paired import Row, interleaved, ratio, show

SPLITS, ROWS, INPUTS, HIDDEN, TRAIN_ROWS = 20, 128, 13, 50, 364
PROBLEM = Problem("regression", (INPUTS,), 1, TRAIN_ROWS, target_scale=9.2)
GRID = list(itertools.product((0.005, 0.01, 0.05, 0.1), PRECISIONS["uci-boston"]))
ALONE, PLAIN = 1 / 4.5, 1 / 6


def lanes(options: list[DropoutOptions], batch: Batch) -> Callable[[], None]:
    cohort = learner.together(options)
    state = cohort.init([PROBLEM] * len(options), [training(seed) for seed in range(len(options))])

    def update() -> None:
        cohort.update(state, batch)

    return update


def alone(options: list[DropoutOptions], batch: Batch) -> Callable[[], None]:
    learners = [learner.build(each) for each in options]
    states = [each.init(PROBLEM, training(seed), None) for seed, each in enumerate(learners)]

    def update() -> None:
        for index, (one, state) in enumerate(zip(learners, states, strict=True)):
            one.update(state, Batch(batch.inputs[index], batch.targets[index]))

    return update


def plain(options: list[DropoutOptions], batch: Batch) -> Callable[[], None]:
    networks = [network(each.rate) for each in options]
    optimisers = [torch.optim.Adam(each.parameters(), lr=1e-3, eps=1e-7) for each in networks]
    decays = [each.lengthscale**2 * (1 - each.rate) / (2 * TRAIN_ROWS * (each.tau or 1)) for each in options]

    def update() -> None:
        for index, (net, optimiser, decay) in enumerate(zip(networks, optimisers, decays, strict=True)):
            optimiser.zero_grad()
            error = nn.functional.mse_loss(net(batch.inputs[index])[:, 0], batch.targets[index])
            (error + decay * (net[1].weight.square().sum() + net[4].weight.square().sum())).backward()
            optimiser.step()

    return update


def network(rate: float) -> nn.Sequential:
    return nn.Sequential(nn.Dropout(rate), nn.Linear(INPUTS, HIDDEN), nn.ReLU(), nn.Dropout(rate), nn.Linear(HIDDEN, 1))


def training(seed: int) -> Training:
    return Training(seed, "cpu", "fp32", ROWS, 1000)


def timed(update: Callable[[], None], repeats: int = 1) -> Callable[[], float]:
    """Seconds of one update, the mean of so many."""

    def run() -> float:
        start = time.process_time()
        for _ in range(repeats):
            update()
        return (time.process_time() - start) / repeats

    return run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    heap.keep_freed_blocks()
    torch.manual_seed(0)
    options = [DropoutOptions(rate=rate, tau=tau) for _ in range(SPLITS) for rate, tau in GRID]
    batch = Batch(torch.randn(len(options), ROWS, INPUTS), torch.randn(len(options), ROWS))
    seconds = interleaved(
        {
            "lanes": timed(lanes(options, batch), repeats=10),
            "alone": timed(alone(options, batch)),
            "plain": timed(plain(options, batch)),
        },
        rounds,
    )
    for name, column in seconds.items():
        print(f"{name}: {1e3 * statistics.median(column):.1f} ms an update of {len(options)} networks")
    found = {name: ratio(seconds["lanes"], seconds[name]) for name in ("alone", "plain")}
    return show([Row("lanes / alone", found["alone"], ALONE), Row("lanes / plain", found["plain"], PLAIN)])


if __name__ == "__main__":
    sys.exit(main())
