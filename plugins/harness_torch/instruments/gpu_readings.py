"""Instruments that accompany the timed pass on a GPU: energy, the process's memory, other processes, throttling.

Energy and other processes are asked for before the pass and after it; throttling, which comes with the heat of the work
and goes with it, also in between: from a thread that nobody waits for, so seldom that the host does not notice.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from harness import Reading, Unsupported
from harness_torch.backend.gpu import Gpu, find_gpu, synchronize

IDLE_SECONDS = 1.0  # NVML's energy counter moves every 20 to 100 ms
SECONDS_BETWEEN_LOOKS = 1.0  # a look is one call of the driver
PATIENCE_SECONDS = 5.0


class Energy:
    """energy_joules of the timed pass: energy that the GPU drew from the birth of the trained state to its death,
    evaluation included, less the energy that it draws idle in that time.

    The idle power is that of a second before the pass, the data already on the GPU (gpu_idle_watts), so that clocks
    which stay up because of a process are not charged to its method. The host's energy is not measured.
    """

    def __init__(
        self, find: Callable[[], Gpu | None] = find_gpu, now: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep, synchronize: Callable[[], None] = synchronize,
    ) -> None:  # fmt: skip
        self._find, self._now, self._sleep, self._synchronize = find, now, sleep, synchronize
        self._readings: dict[str, float] = {}

    @contextmanager
    def session(self) -> Iterator[None]:
        """Spans the timed pass. Raises Unsupported without an NVIDIA GPU."""
        gpu = self._find()
        if gpu is None:
            raise Unsupported("no NVIDIA GPU")
        self._synchronize()
        idle_joules, idle_seconds = self._measure_call(gpu, lambda: self._sleep(IDLE_SECONDS))
        before, began = gpu.joules(), self._now()
        yield
        self._synchronize()
        joules, seconds = gpu.joules() - before, self._now() - began
        watts = idle_joules / idle_seconds
        self._readings = {"energy_joules": max(0.0, joules - watts * seconds), "gpu_idle_watts": watts}

    def _measure_call(self, gpu: Gpu, run: Callable[[], None]) -> tuple[float, float]:
        """Measure joules and seconds of a call."""
        joules, began = gpu.joules(), self._now()
        run()
        return gpu.joules() - joules, self._now() - began

    def readings(self) -> Mapping[str, Any]:
        """Return joules, and watts."""
        return dict(self._readings)


class GpuProcess:
    """gpu_process_bytes: memory of the GPU that the trial's process has at the end of the timed pass, while torch's
    allocator still holds all that it ever needed, for evaluation too. Context, kernels and libraries are part of it.
    """

    def __init__(self, find: Callable[[], Gpu | None] = find_gpu) -> None:
        self._find = find
        self._bytes: int | None = None

    @contextmanager
    def session(self) -> Iterator[None]:
        """Spans the timed pass. Raises Unsupported without an NVIDIA GPU."""
        gpu = self._find()
        if gpu is None:
            raise Unsupported("no NVIDIA GPU")
        yield
        self._bytes = gpu.process_bytes(os.getpid())

    def readings(self) -> Mapping[str, Any]:
        """Return bytes. Raises Unsupported where the driver does not tell."""
        if self._bytes is None:
            raise Unsupported("the driver does not tell what this process has")
        return {"gpu_process_bytes": self._bytes}


class GpuTrouble:
    """gpu_foreign_processes before or after the timed pass, gpu_throttled at any look before, during or after it, and a
    warning that names them.

    gpu_looks: how often it was looked for throttling. Without a GPU there is nothing to read.
    """

    def __init__(
        self, find: Callable[[], Gpu | None] = find_gpu, wait: Callable[[threading.Event], bool] | None = None
    ) -> None:
        self._find = find
        self._wait = wait or (lambda over: over.wait(SECONDS_BETWEEN_LOOKS))
        self._readings: dict[str, Any] = {}

    @contextmanager
    def session(self) -> Iterator[None]:
        """Spans the timed pass."""
        gpu = self._find()
        if gpu is None:
            yield
            return
        foreign = gpu.foreign_processes()
        with _ThrottleWatch(gpu, self._wait) as watch:
            yield
        foreign = max(foreign, gpu.foreign_processes())
        throttles = list(watch.seen)
        warning = _describe_trouble(foreign, throttles) if foreign or throttles else ""
        self._readings = {
            "gpu_foreign_processes": Reading(foreign, warning=warning) if warning else foreign,
            "gpu_throttled": throttles,
            "gpu_looks": watch.looks,
        }

    def readings(self) -> Mapping[str, Any]:
        """Return numbers, reasons, and a warning if there is one."""
        return dict(self._readings)


class _ThrottleWatch:
    """Looks for throttling when it begins, whenever `wait(over)` returns False, and when it ends.

    seen: the reasons in the order in which they showed up. wait: returns whether the pass is over.
    """

    def __init__(self, gpu: Gpu, wait: Callable[[threading.Event], bool]) -> None:
        self.seen: dict[str, None] = {}
        self.looks = 0
        self._gpu, self._wait = gpu, wait
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_repeatedly, name="gpu-trouble", daemon=True)

    def __enter__(self) -> _ThrottleWatch:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        self._thread.join(PATIENCE_SECONDS)  # a driver that hangs does not hang the trial
        if raised[0] is None:
            self._look()

    def _look_repeatedly(self) -> None:
        with contextlib.suppress(Exception):  # a driver that stops answering here is asked once more at the end
            while not self._wait(self._over):
                self._look()

    def _look(self) -> None:
        self.seen |= dict.fromkeys(self._gpu.throttles())
        self.looks += 1


def _describe_trouble(foreign: int, throttles: list[str]) -> str:
    shared = [f"shared with {foreign} other process{'es' if foreign > 1 else ''}"] if foreign else []
    slowed = [f"throttled ({', '.join(throttles)})"] if throttles else []
    return f"times and energy are unreliable: the GPU was {' and '.join(shared + slowed)}"
