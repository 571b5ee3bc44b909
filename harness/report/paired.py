"""Differences of a score between rows, paired by seed, as words: what a seed does to both methods cancels."""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness.report.rows import Against, Table

MOST_DECIMALS = 6


def heading(table: Table) -> str:
    """`accuracy less that of saf, paired by seed (95 % interval)`; empty where nothing can be paired."""
    found = next((row.against for row in table.rows if row.against), None)
    return f"{found.metric} less that of {found.method}, paired by seed (95 % interval)" if found else ""


def entries(table: Table) -> Iterator[tuple[str, str]]:
    """Method and difference: `ottt`, `-0.0019 (-0.0059 to +0.0021), n=3`."""
    yield from ((row.method, words(row.against)) for row in table.rows if row.against)


def words(found: Against) -> str:
    """Two figures of half the interval, and no interval where all seeds agree."""
    mean, _, n, low, high = found.difference
    assert mean is not None
    assert low is not None
    assert high is not None
    half = (high - low) / 2
    if half <= 1e-9 * abs(mean):
        return f"{mean:+.4g} in all {n} seeds" if mean else f"none in all {n} seeds"
    decimals = min(MOST_DECIMALS, max(0, 1 - math.floor(math.log10(half))))
    shown = (f"{value:+.{decimals}f}" for value in (mean, low, high))
    return "{} ({} to {}), n={}".format(*shown, n)
