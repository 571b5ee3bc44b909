"""Peaks as the allocator sees them: memory that a device must have, operators' own temporaries and weights included.

On CUDA the allocator keeps count itself, so that the step as it is trained (fused, captured) can be read as well as the
eager one. On a CPU it does not: there the profiler's memory events are summed up, which has the same meaning. The data,
placed before the session, are in none of them.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch._C._profiler import _EventType
from torch.profiler import ProfilerActivity, profile, record_function

from harness import Unsupported
from harness_torch.backend.gpu import current_device

WINDOW = "harness: measured update"


class TensorPeak:
    """tensor_peak_bytes of one steady update; on CUDA also tensor_reserved_bytes, fragmentation included."""

    def __init__(self) -> None:
        self._readings: dict[str, int] = {}

    @contextmanager
    def session(self) -> Iterator[None]:
        """Follow allocations from the birth of the state on, so that its weights are in the sum."""
        # A CUDA trial has put its data on its device by now, which need not be the first.
        self._device = current_device()
        with self._cpu_session() if self._device is None else self._cuda_session(self._device):
            yield

    @contextmanager
    def measure(self, stage: Literal["update"], examples: int) -> Iterator[None]:
        """Span one update."""
        del stage, examples
        if self._device is not None:
            torch.cuda.reset_peak_memory_stats(self._device)
            yield
            self._readings = {
                "tensor_peak_bytes": torch.cuda.max_memory_allocated(self._device) - self._before,
                "tensor_reserved_bytes": torch.cuda.max_memory_reserved(self._device),
            }
        else:
            with record_function(WINDOW):
                yield

    def readings(self) -> Mapping[str, Any]:
        """Return bytes."""
        return dict(self._readings)

    @contextmanager
    def _cuda_session(self, device: torch.device) -> Iterator[None]:
        gc.collect()
        torch._C._cuda_clearCublasWorkspaces()
        torch.cuda.empty_cache()
        _allocate_workspace(device)
        self._before = torch.cuda.memory_allocated(device)
        yield

    @contextmanager
    def _cpu_session(self) -> Iterator[None]:
        profiler = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
        with _silence_stderr():
            profiler.start()
        try:
            yield
        finally:
            with _silence_stderr():
                profiler.stop()
        assert profiler.profiler is not None
        assert profiler.profiler.kineto_results is not None
        peak = _find_peak(profiler.profiler.kineto_results.experimental_event_tree())
        self._readings = {} if peak is None else {"tensor_peak_bytes": peak}


class TrainPeak:
    """train_peak_bytes: the most that was allocated on the GPU at any time of the timed pass less the data, without
    evaluation and without the first updates, in which cuDNN tries algorithms that it may not take (unless they are the
    only ones). Memory of a captured graph is allocated while it is captured, which comes later. The working space of
    cuBLAS is part of it.

    train_reserved_bytes: the most that the allocator held outside of evaluation. It gives nothing back by itself, so
    memory that evaluation and the first updates needed for a moment is in there, with fragmentation and the pools of
    graphs.

    memory: the module with the allocator's numbers.
    """

    def __init__(self, device: Callable[[], Any] = current_device, memory: Any = torch.cuda) -> None:
        self._find, self._memory = device, memory
        self._peak = self._reserved = self._before = 0

    @contextmanager
    def session(self) -> Iterator[None]:
        """Spans the timed pass. Raises Unsupported without a GPU."""
        self._device = self._find()
        if self._device is None:
            raise Unsupported("no NVIDIA GPU, whose allocator keeps count")
        self._before = self._memory.memory_allocated(self._device)
        self._memory.reset_peak_memory_stats(self._device)
        yield
        self._read_allocator()

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Leave the memory that an evaluation allocates out."""
        self._read_allocator()
        yield
        self._memory.reset_peak_memory_stats(self._device)

    def settle(self) -> None:
        """Leave the memory that the first updates allocated out."""
        self._peak = 0
        self._memory.reset_peak_memory_stats(self._device)

    def _read_allocator(self) -> None:
        """Read the peaks, without synchronisation: the allocator lives on the host."""
        self._peak = max(self._peak, self._memory.max_memory_allocated(self._device))
        self._reserved = max(self._reserved, self._memory.max_memory_reserved(self._device))

    def readings(self) -> Mapping[str, Any]:
        """Return bytes."""
        return {"train_peak_bytes": self._peak - self._before, "train_reserved_bytes": self._reserved}


def _allocate_workspace(device: torch.device) -> None:
    """Compute a matrix product and its gradient: for each of their threads cuBLAS gets working space, which stays.

    It is the same for all methods, many times what a small one needs, and belongs to the stream that is current.
    """
    x = torch.ones(16, 16, device=device, requires_grad=True)
    (x @ x).sum().backward()
    torch.cuda.synchronize(device)


def _find_peak(roots: list[Any]) -> int | None:
    """Find the most that was allocated at once between begin and end of the window; memory older than the trace is
    left out, its release too. None if there was no window.
    """
    events = sorted(_walk_events(roots), key=lambda event: event.start_time_ns)
    window = next((event for event in events if event.name == WINDOW), None)
    if window is None:
        return None
    sizes: dict[int, int] = {}
    total = peak = 0
    for event in events:
        if event.tag == _EventType.Allocation and event.start_time_ns <= window.end_time_ns:
            fields = event.extra_fields
            total += _update_size(sizes, fields.ptr, fields.alloc_size)
            peak = max(peak, total) if event.start_time_ns >= window.start_time_ns else total
    return peak


def _update_size(sizes: dict[int, int], address: int, size: int) -> int:
    """Return the change in bytes by one allocation (size > 0) or release, kept in `sizes` by address."""
    if size > 0:
        sizes[address] = size
        return size
    return -sizes.pop(address, 0)


def _walk_events(roots: list[Any]) -> Iterator[Any]:
    waiting = list(roots)
    while waiting:
        event = waiting.pop()
        yield event
        waiting += event.children


@contextmanager
def _silence_stderr() -> Iterator[None]:
    """Silence the profiler's library, which announces start and stop on standard error, whatever its log level."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class ProcessPeak:
    """The most memory that the trial's process had resident, from its start to the end of training.

    The interpreter and the libraries are part of it. On CUDA it counts the host's side alone; the device's is
    gpu_process_bytes.
    """

    def __init__(self) -> None:
        self._peak: int | None = None

    @contextmanager
    def session(self) -> Iterator[None]:
        yield
        self._peak = process_peak_bytes()

    def readings(self) -> Mapping[str, Any]:
        if self._peak is None:
            raise RuntimeError("this system does not tell a process's peak")
        return {"process_peak_bytes": self._peak}


def process_peak_bytes(status: Path = Path("/proc/self/status")) -> int | None:
    """Read the most memory that this process had resident at any time: VmHWM. None where the system does not tell.

    Not getrusage's ru_maxrss, which a process inherits from the one that it was started by.
    """
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return None
    sizes = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return next((int(size) * 1024 for size in sizes), None)
