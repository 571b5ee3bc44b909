"""The exact greedy search for nodes, on one thread: seconds, and beside the naive search where that ends soon enough.

    python -m tests.speed.greedy

Covariances are those of rectified states, with spectra that decay as trained networks' do. Naive is a Cholesky
factorisation for each candidate of each step. Bars of seconds are for a core that does nothing else.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable

import torch
from torch import Tensor

from harness_recurrent import selection
from harness_recurrent.reconstruction import residual

from .paired import Row, interleaved, processor_time, ratio, show

SIZES = {(1024, 341): 1.0, (512, 170): None, (128, 42): 0.01}  # (m, k): the most seconds
NAIVE = (48, 16)


def problem(m: int, k: int) -> tuple[Tensor, Tensor, int, Tensor]:
    generator = torch.Generator().manual_seed(m)
    scales = torch.logspace(0, -3, m, dtype=torch.float64)
    drawn = [torch.randn(rows, m, generator=generator, dtype=torch.float64) for rows in (4 * m, m, m + 10)]
    h = (drawn[0] * scales @ drawn[1]).relu()
    S = h.T @ h / len(h)
    return S, selection.weight_matrix(S, drawn[2], 0.5), k, selection.regularisation(S, 1e-4, k)


def naive(S: Tensor, M: Tensor, k: int, tau: Tensor) -> list[int]:
    nodes: list[int] = []
    for _ in range(k):
        losses = {j: float((M * residual(S, [*nodes, j], tau)).sum()) for j in range(len(S)) if j not in nodes}
        nodes.append(min(losses, key=losses.__getitem__))
    return nodes


def seconds(search: Callable[..., object], m: int, k: int, rounds: int) -> list[float]:
    given = problem(m, k)
    return interleaved({"search": processor_time(lambda: search(*given))}, rounds)["search"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    missed = False
    for (m, k), bar in SIZES.items():
        for search in (selection.greedy, selection.backward):
            median = statistics.median(seconds(search, m, k, rounds))
            promised = bar if search is selection.greedy else None
            missed |= promised is not None and median > promised
            print(f"{search.__name__:8} {m:5} -> {k:4} {median:8.4f} s" + (f"  <= {promised} s" if promised else ""))
    given = problem(*NAIVE)
    ways = {"greedy": lambda: selection.greedy(*given), "naive": lambda: naive(*given)}
    taken = interleaved({name: processor_time(way) for name, way in ways.items()}, rounds)
    return show([Row("greedy / naive, 48 -> 16", ratio(taken["greedy"], taken["naive"]), 0.1)]) or int(missed)


if __name__ == "__main__":
    sys.exit(main())
