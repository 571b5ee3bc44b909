"""Processor time and wall time of training: where the two differ, the machine was busy with other things."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from harness.records import environment


class Effort:
    """Runs from when it is made; what happens in `paused` does not count. Processor time is that of all threads."""

    def __init__(self) -> None:
        self._began = _read_clocks()

    @contextmanager
    def paused_effort(self) -> Iterator[None]:
        """Time inside does not count."""
        at = _read_clocks()
        try:
            yield
        finally:
            (wall, cpu), (wall_at, cpu_at), now = self._began, at, _read_clocks()
            self._began = (wall + now[0] - wall_at, cpu + now[1] - cpu_at)

    def spent_effort(self) -> dict[str, object]:
        """Entries of a record's environment; the load as training ends."""
        wall, cpu = _read_clocks()
        spent = {"train_wall_seconds": wall - self._began[0], "train_cpu_seconds": cpu - self._began[1]}
        return spent | ({"load_at_end": load} if (load := environment.read_load()) else {})


def _read_clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()
