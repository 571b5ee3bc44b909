"""Clocks and meters that do not make the host wait for the device until they are read."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


class HostClock:
    """Laps by the monotonic clock: on a CPU an update is over when it returns."""

    def __init__(self) -> None:
        self._laps: list[float] = []
        self._started = 0.0

    def start(self) -> None:
        self._started = time.perf_counter()

    def stop(self) -> None:
        self._laps.append(time.perf_counter() - self._started)

    def seconds(self) -> list[float]:
        return self._laps


class EventClock:
    """Laps by pairs of CUDA events on the current stream, converted only when they are read."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._laps: list[float] = []
        self._pending: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def start(self) -> None:
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        self._pending.append((begin, end))
        begin.record(torch.cuda.current_stream(self._device))

    def stop(self) -> None:
        self._pending[-1][1].record(torch.cuda.current_stream(self._device))

    def seconds(self) -> list[float]:
        torch.cuda.synchronize(self._device)
        self._laps += [begin.elapsed_time(end) / 1e3 for begin, end in self._pending]
        self._pending.clear()
        return self._laps


class KeepMeter:
    """Named scalars (L,) of lanes, kept where they live until they are read."""

    def __init__(self) -> None:
        self._kept: dict[str, list[Tensor]] = {}

    def add(self, scalars: Mapping[str, Tensor]) -> None:
        for name, value in scalars.items():
            # Copied: outputs of a captured step are written over by the next.
            self._kept.setdefault(name, []).append(torch.as_tensor(value, dtype=torch.float32).detach().clone())

    def read(self) -> dict[str, NDArray[Any]]:
        """Read the scalars by name, (updates, L)."""
        values = {name: torch.stack(kept).cpu().numpy() for name, kept in self._kept.items()}
        self._kept.clear()
        return values
