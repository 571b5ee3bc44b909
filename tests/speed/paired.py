"""Two or more ways to do one thing, timed in turns, so that whatever else the machine does hits all of them alike.

What is quoted is the median over rounds of a ratio within a round, with its quartiles; a single time says little.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import truediv
from typing import NamedTuple

WARMUP_ROUNDS = 2  # caches, the allocator, lazy imports


class Ratio(NamedTuple):
    """Median and quartiles of a ratio, and how many rounds they come from."""

    median: float
    low: float
    high: float
    rounds: int


class Row(NamedTuple):
    """A quantity, its ratio, and the most that it may be; None where nothing is promised."""

    quantity: str
    ratio: Ratio
    bar: float | None

    @property
    def verdict(self) -> str:
        if self.bar is None:
            return ""
        return "holds" if self.ratio.median <= self.bar else "FAILS"


def interleaved(runs: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every run in each round. A run returns its own seconds; every second round goes backwards."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for index in range(WARMUP_ROUNDS + rounds):
        for name in list(runs) if index % 2 else reversed(list(runs)):
            took = runs[name]()
            if index >= WARMUP_ROUNDS:
                seconds[name].append(took)
    return seconds


def processor_time(way: Callable[[], object]) -> Callable[[], float]:
    """A run of `interleaved`: the processor's seconds of one call."""

    def run() -> float:
        start = time.process_time()
        way()
        return time.process_time() - start

    return run


def ratio(mine: Sequence[float], reference: Sequence[float]) -> Ratio:
    """Of two columns from the same rounds, two at least."""
    each = list(map(truediv, mine, reference))
    low, median, high = statistics.quantiles(each, n=4, method="inclusive")
    return Ratio(median, low, high, len(each))


def show(rows: Iterable[Row]) -> int:
    """Print the table; the exit code is 1 if a bar is missed."""
    rows = list(rows)
    width = max(len(row.quantity) for row in rows)
    print(f"{'quantity':{width}}  {'bar':>7}  {'median':>6}  {'quartiles':>13}  {'rounds':>6}")
    for row in rows:
        bar = "" if row.bar is None else f"<= {row.bar:.4g}"
        median, low, high, count = row.ratio
        spread = f"{low:.3f}..{high:.3f}"
        print(f"{row.quantity:{width}}  {bar:>7}  {median:6.3f}  {spread:>13}  {count:6}  {row.verdict}".rstrip())
    return int(any(row.verdict == "FAILS" for row in rows))
