"""The part of an axis that shows what changes: outliers at the beginning of a curve do not flatten the rest."""

from __future__ import annotations

import math
from collections.abc import Sequence

BEGINNING = 0.25  # of a curve, whose values may be left beyond the ends
FLAT = 3.0  # so many times what the rest covers may the whole cover before it is


def find_range(values: Sequence[float]) -> tuple[float, float, bool]:
    """Find the ends of the axis, and whether values of the beginning lie beyond them.

    These are the least and the most of all finite values, unless those of the last three quarters cover less than a
    third of that: then of these alone.

    >>> find_range([0.1, 0.9, 0.92, 0.94, 0.95])
    (0.9, 0.95, True)
    >>> find_range([0.0, 0.5, 1.0]), find_range([])
    ((0.0, 1.0, False), (0.0, 0.0, False))
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return 0.0, 0.0, False
    later = [value for value in values[int(BEGINNING * len(values)) :] if math.isfinite(value)]
    low, high = min(finite), max(finite)
    inner = (min(later), max(later)) if len(later) > 1 else (low, high)
    if inner[1] > inner[0] and high - low > FLAT * (inner[1] - inner[0]):
        return *inner, True
    return low, high, False
