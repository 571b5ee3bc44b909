"""The format of numbers: one prefix and one number of decimals per column, so that digits line up.

Where those decimals would leave little or nothing of a value, it gets as many as it needs: what is not zero never reads
as zero. Cells that read alike are marked alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.report.rows.table import Cell, is_cost
from harness.types import Metric

PREFIXES = {-9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P"}
SYMBOLS = {"seconds": "s", "bytes": "B", "joules": "J"}
SMALLEST = {"s": -9, "J": -9}
LARGEST = {"s": 0}
FIGURES = 4
MOST_FIGURES = 5
MOST_DECIMALS = 6
LEAST_FIGURES = 3  # of a mean, LEAST_WITH_SD where a deviation says how much of it to believe
LEAST_WITH_SD = 2
LONGEST = 12  # decimals, beyond which a number is written with an exponent
TOO_LONG = 1e12  # likewise


@dataclass(frozen=True)
class Scale:
    """A column's values are shown divided by `divisor`, with `unit`; decimals None: significant figures."""

    divisor: float
    unit: str
    decimals: int | None

    def format(self, value: float, figures: int = LEAST_FIGURES) -> str:
        """Format a value with at least so many significant figures, or exactly.

        >>> Scale(1e-3, "ms", 2).format(0.00251), Scale(1e6, "M", 0).format(0.25e6), Scale(1e6, "M", 0).format(3e6)
        ('2.51', '0.250', '3')
        """
        scaled = value / self.divisor
        return f"{scaled:.{FIGURES}g}" if self.decimals is None else format_fixed(scaled, self.decimals, figures)

    def mean(self, cell: Cell) -> str:
        """The mean of a cell that has one."""
        assert cell.mean is not None
        return self.format(cell.mean, LEAST_WITH_SD if cell.sd else LEAST_FIGURES)

    def deviation(self, cell: Cell) -> str:
        """` ± 0.02`, ` ± 0` where all seeds agree, nothing of one alone or of shares; ` (1.2 to 3.4)`, a range, over
        unlike configurations.
        """
        if cell.range is not None:
            return f" ({' to '.join(self.format(end, LEAST_WITH_SD) for end in cell.range)})"
        if cell.sd is None:
            return ""
        return f" ± {self.format(cell.sd, 1)}" if cell.sd else " ± 0"

    def best(self, cells: Sequence[Cell]) -> list[bool]:
        """Mark the best cells, and every rival that reads the same; none if all do."""
        shown = [f"{self.mean(cell)}{' at least' * bool(cell.lower_bound)}" if cell.rival else "" for cell in cells]
        alike = {text for cell, text in zip(cells, shown, strict=True) if cell.best}
        return [text in alike and alike != {*shown} - {""} for text in shown]


def format_fixed(value: float, decimals: int, figures: int = 1, sign: str = "") -> str:
    """A number with so many decimals, or more where fewer than `figures` significant ones would be left of it.

    >>> format_fixed(0.25, 0), format_fixed(-0.0004, 3, sign="+"), format_fixed(3.0, 0, figures=3)
    ('0.2', '-0.0004', '3')
    >>> format_fixed(1e-15, 2), format_fixed(-0.0, 2)
    ('1e-15', '0.00')
    """
    if not value or not math.isfinite(value):
        return f"{abs(value):.{decimals}f}" if not value else f"{value:{sign}}"
    if abs(value) >= TOO_LONG:
        return f"{value:{sign}.4g}"
    shown = f"{value:{sign}.{decimals}f}"
    needed = figures - 1 - _find_magnitude(abs(value))
    if needed <= decimals or float(shown) == value:
        return shown
    return f"{value:{sign}.{needed}f}" if needed <= LONGEST else f"{value:{sign}.{max(figures, 2)}g}"


def scale(cells: Iterable[Cell], metric: Metric) -> Scale:
    """The prefix by the middle of the column's values, decimals by their deviations."""
    present = [cell for cell in cells if cell.mean is not None]
    means = [abs(cell.mean) for cell in present if cell.mean]
    unit = SYMBOLS.get(metric.unit, metric.unit)
    exponent = _find_exponent(means, unit) if is_cost(metric) or unit in SYMBOLS.values() else 0
    divisor = 10.0**exponent
    deviations = [cell.sd / divisor for cell in present if cell.sd]
    decimals = _count_decimals([mean / divisor for mean in means], deviations)
    return Scale(divisor, _prefix_unit(PREFIXES[exponent], unit), decimals)


def format_ratio(value: float) -> str:
    """
    >>> [format_ratio(value) for value in (1, 0.6149, 0.0123, 12.34, 1234.5, 0, 1e9)]
    ['1.00x', '0.61x', '0.012x', '12.3x', '1234x', '0x', '1e+09x']
    """
    if value < 0.1 or value >= 1e6:
        return f"{value:.2g}x"
    return f"{value:.{max(0, 2 - int(math.log10(max(value, 1))))}f}x"


def _find_exponent(magnitudes: Sequence[float], unit: str) -> int:
    """The power of a thousand at the geometric mean. Counts below ten thousand stay as they are."""
    if not magnitudes:
        return 0
    middle = math.fsum(math.log10(magnitude) for magnitude in magnitudes) / len(magnitudes)
    if unit not in SYMBOLS.values() and 0 <= middle < 4:
        return 0
    exponent = 3 * math.floor((middle + 1e-9) / 3)
    return max(SMALLEST.get(unit, 0), min(exponent, LARGEST.get(unit, max(PREFIXES))))


def _count_decimals(means: Sequence[float], deviations: Sequence[float]) -> int | None:
    """Count decimals: two figures of the largest deviation, one of the smallest; without any, four of the mean."""
    if not means or not (1e-4 <= max(means) < 1e6):
        return None if means else 0
    whole = _find_magnitude(max(means)) + 1
    if deviations:
        wanted = max(1 - _find_magnitude(max(deviations)), -_find_magnitude(min(deviations)))
        return max(0, min(wanted, MOST_FIGURES - max(whole, 0)))
    if all(float(mean).is_integer() for mean in means):
        return 0
    return max(0, min(FIGURES - whole, MOST_DECIMALS))


def _find_magnitude(value: float) -> int:
    return math.floor(math.log10(value))


def _prefix_unit(prefix: str, unit: str) -> str:
    return f"{prefix}{unit}" if unit in SYMBOLS.values() else f"{prefix} {unit}".strip()
