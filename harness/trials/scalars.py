"""Scalars of a trial, or of several that are trained as one: their means, and where each ceased to be finite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import names
from harness.types import Array, LaneMeter

MOST_KEPT = 4096  # updates whose scalars are on the device before they are fetched

Values = NDArray[np.float64]


class Scalars:
    """Scalars that updates return, by lane: kept on the device, and looked at where somebody asks."""

    def __init__(self, meter: LaneMeter, lanes: int) -> None:
        self._meter = meter
        self._lanes = lanes
        self._sums: dict[Any, tuple[Values, int]] = {}  # (L,), and over how many updates
        self._last: dict[Any, Values] = {}  # (L,), of the last update that was fetched
        self._flaws: dict[int, str] = {}
        self._fetched = self._kept = 0

    def add_update(self, scalars: Mapping[str, Array]) -> None:
        """Add the scalars of one update."""
        self._meter.add(scalars)
        self._kept += 1
        if self._kept == MOST_KEPT:
            self._fetch_values()

    def take_means(self) -> list[dict[str, float]]:
        """Take the means of each lane over the updates since this was last asked."""
        self._fetch_values()
        found = {name: total / count for name, (total, count) in self._sums.items()}
        self._sums.clear()
        return [{name: float(mean[lane]) for name, mean in found.items()} for lane in range(self._lanes)]

    def lane_flaw(self, lane: int) -> str:
        """The scalar of a lane that was not finite first, when, and its value before; empty while all are."""
        return self._flaws.get(lane, "")

    def _fetch_values(self) -> None:
        read = {name: np.asarray(each, np.float64) for name, each in self._meter.read().items()}
        values = {name: each.reshape(len(each), self._lanes) for name, each in read.items()}  # (U, L), of one (U,)
        self._note_flaws(values)
        for name, each in values.items():
            total, count = self._sums.get(name, (np.zeros(self._lanes), 0))
            self._sums[name] = total + each.sum(axis=0), count + len(each)
            self._last[name] = each[-1]
        self._fetched += self._kept
        self._kept = 0

    def _note_flaws(self, values: Mapping[Any, Values]) -> None:
        firsts = {name: _find_first_flaw(each) for name, each in values.items()}
        for lane in range(self._lanes):
            found = [(int(first[lane]), name) for name, first in firsts.items() if first[lane] >= 0]
            if found and lane not in self._flaws:
                row, name = min(found, key=lambda each: each[0])
                self._flaws[lane] = self._describe_flaw(name, row, values[name][:, lane], lane)

    def _describe_flaw(self, name: object, row: int, values: Values, lane: int) -> str:
        update = self._fetched + row + 1
        before = values[row - 1] if row else self._last[name][lane] if name in self._last else None
        last = f"; last finite {before:.4g}, at update {update - 1}" if before is not None else ""
        return f"{names.show_name(name)} is {values[row]} at update {update}{last}"


def _find_first_flaw(values: Values) -> NDArray[np.intp]:
    """Find of each lane the first update that is not finite, counted from 0; -1 where all are."""
    flawed = ~np.isfinite(values)  # (U, L)
    return np.where(flawed.any(axis=0), flawed.argmax(axis=0), -1)
