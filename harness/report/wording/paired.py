"""Differences of a score between rows, paired by seed, as words: the influence of a seed on both methods cancels."""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness.report.rows.table import Against, Table
from harness.report.wording import numbers
from harness.statistics import Difference
from harness.words import list_seeds


def write_heading(table: Table) -> str:
    """`accuracy less that of saf, paired by seed (95 % interval)`; empty where nothing can be paired."""
    found = next((row.against for row in table.rows if row.against), None)
    return f"{found.metric} less that of {found.method}, paired by seed (95 % interval)" if found else ""


def list_entries(table: Table) -> Iterator[tuple[str, str]]:
    """Method and difference: `ottt`, `-0.0019 (-0.0059 to +0.0021), n=3`."""
    yield from ((row.method, describe_difference(row.against)) for row in table.rows if row.against)


def describe_difference(found: Against) -> str:
    """Describe a difference with its interval, or that all seeds agree; the common seeds where some are lacking."""
    return format_difference(found.difference) + (f", over {list_seeds(found.seeds)} alone" if found.lacking else "")


def format_difference(difference: Difference) -> str:
    """`-0.0019 (-0.0059 to +0.0021), n=3`, or `0, equal in all 3 seeds`."""
    mean, _, n, low, high = difference
    assert mean is not None
    if low is None or high is None:
        return f"{f'{mean:+.4g}' if mean else '0'}, {difference.no_interval}"
    if not math.isfinite(high - low):
        return f"{mean:+.4g}, no finite interval, n={n}"
    return f"{format_interval(mean, low, high, sign='+')}, n={n}"


def format_interval(mean: float, low: float, high: float, sign: str = "") -> str:
    """`-0.0019 (-0.0059 to +0.0021)`, with two figures of half the interval's width."""
    decimals = min(numbers.LONGEST, max(0, 1 - math.floor(math.log10((high - low) / 2))))
    return "{} ({} to {})".format(*(numbers.format_fixed(value, decimals, sign=sign) for value in (mean, low, high)))
