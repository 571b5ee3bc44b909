"""Latency of the deployed network, as it was trained, fused and captured, one prediction at a time."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor

from harness import Clock, Trained, Unsupported
from harness_torch.backend.clocks import EventClock, HostClock

WARM_UP = 3  # predictions that compile, tune and allocate
PREDICTIONS = 20
MOST_SECONDS = 10.0  # that these may take


def choose_clock(inputs: Tensor) -> Clock:
    """Choose the host's clock on a CPU, events on a GPU."""
    return EventClock(inputs.device) if inputs.device.type == "cuda" else HostClock()


class Latency:
    """latency_N_seconds of a prediction of N rows (of a stream windows): the median of 20, after a warm-up.

    Besides: latency_N_quartiles of these (the first and the third), latency_N_warmup_seconds of all predictions before.
    Each begins when the device has done the one before. clock: made from the rows.
    """

    def __init__(self, rows: int, clock: Callable[[Tensor], Clock] = choose_clock) -> None:
        self._rows, self._clock = rows, clock
        self._readings: dict[str, Any] = {}

    def deployed(self, trained: Trained) -> None:
        """Predict the same rows again and again. Raises Unsupported where that would take too long."""
        inputs = trained.rows(self._rows)
        warm_up = self._time_predictions(trained, inputs, 1)
        if warm_up[0] <= MOST_SECONDS:
            warm_up += self._time_predictions(trained, inputs, WARM_UP - 1)
        if (expected := PREDICTIONS * min(warm_up)) > MOST_SECONDS:
            rows = f"{self._rows} row{'s' if self._rows > 1 else ''}"
            took = f"{PREDICTIONS} predictions of {rows} would take {expected:.3g} s"
            raise Unsupported(f"{took}, more than the {MOST_SECONDS:g} s that are spent on it")
        first, median, third = statistics.quantiles(
            self._time_predictions(trained, inputs, PREDICTIONS), method="inclusive"
        )
        self._readings = {
            f"latency_{self._rows}_seconds": median,
            f"latency_{self._rows}_quartiles": [first, third],
            f"latency_{self._rows}_warmup_seconds": sum(warm_up),
        }

    def readings(self) -> Mapping[str, Any]:
        """Return seconds."""
        return dict(self._readings)

    def _time_predictions(self, trained: Trained, inputs: Tensor, count: int) -> list[float]:
        clock = self._clock(inputs)
        for _ in range(count):
            clock.start()
            trained.predict(inputs)
            clock.stop()
            clock.seconds()  # waits for the device
        return list(clock.seconds())


of_1, of_32, of_256 = (partial(Latency, rows) for rows in (1, 32, 256))
