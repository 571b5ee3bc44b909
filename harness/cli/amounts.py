"""Numbers and sizes as options take them, with answers that a person understands."""

from __future__ import annotations

import math
import re
from typing import Any

import click

_UNITS = {"": 1, **{unit: 10**n for unit, n in zip("kmgt", (3, 6, 9, 12), strict=True)}}
_UNITS |= {f"{unit}i": 2**n for unit, n in zip("kmgt", (10, 20, 30, 40), strict=True)}
SMALLEST, LARGEST = 2.0**20, 2.0**63


class Count(click.IntRange):
    """A whole number."""

    name = "whole number"


class Amount(click.FloatRange):
    """A number; neither nan nor infinite, which no range refuses."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        amount = float(super().convert(value, param, ctx))
        if not math.isfinite(amount):
            self.fail(f"{value!r}: expected a finite number", param, ctx)
        return amount


class Size(click.ParamType[int]):
    """Bytes, such as 8GiB, 500MB or 1000000."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]i?|)b?", str(value).strip().lower())
        size = float(match[1]) * _UNITS[match[2]] if match else 0.0
        if not SMALLEST <= size < LARGEST:
            found = f" is {size:g} bytes" if match and size < SMALLEST else ""
            self.fail(f"{value!r}{found}: expected a size such as 8GiB or 500MB", param, ctx)
        return int(size)
