"""The GPU of a trial, as NVIDIA's management library (NVML) sees it: energy, processes, memory, throttling."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import torch

from harness import Unsupported

# Reasons for which a GPU runs slower than it could (nvml.h, nvmlClocksEventReasons); idling and what its owner has set
# are not among them.
THROTTLES: Mapping[int, str] = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "thermal slowdown by the driver",
    0x40: "thermal slowdown by the hardware",
    0x80: "power brake",
}


class Gpu:
    """One GPU, through the functions of the module `pynvml`. Raises what they raise."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml, self._handle = nvml, handle

    def joules(self) -> float:
        """Energy drawn since the driver was loaded. Volta and later."""
        return self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1000

    def foreign_processes(self) -> int:
        """Processes that compute on this GPU besides this one.

        In a container NVML gives the numbers that processes have outside of it, if any: then one of them is this
        process, which has its data on the GPU.
        """
        running = {process.pid for process in self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)}
        return max(0, len(running) - 1)

    def process_bytes(self, pid: int) -> int | None:
        """Memory of the GPU that a process has, its context included; of the only one there is, where a container hides
        its number. None where the driver does not tell.
        """
        running = self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
        own = [process for process in running if process.pid == pid] or (running if len(running) == 1 else [])
        sizes = [process.usedGpuMemory for process in own if process.usedGpuMemory is not None]
        return sum(sizes) if sizes else None

    def throttles(self) -> list[str]:
        """Reasons for which the GPU runs slower than it could at this moment; empty if it does not."""
        reasons = self._nvml.nvmlDeviceGetCurrentClocksThrottleReasons(self._handle)
        return [name for bit, name in THROTTLES.items() if reasons & bit]


def current_device() -> torch.device | None:
    """The GPU that this process has tensors on, the one with most; None without any."""
    if not (torch.cuda.is_available() and torch.cuda.is_initialized()):
        return None
    used = {index: torch.cuda.memory_allocated(index) for index in range(torch.cuda.device_count())}
    return torch.device("cuda", max(used, key=used.__getitem__))


def synchronize() -> None:
    """Wait for the GPU that this process has tensors on."""
    device = current_device()
    if device is not None:
        torch.cuda.synchronize(device)


def find_gpu() -> Gpu | None:
    """The GPU that this process has its data on; None without one. Raises Unsupported where pynvml is missing."""
    device = current_device()
    if device is None:
        return None
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        raise Unsupported("needs nvidia-ml-py: pip install 'harness-bench[gpu]'") from None
    nvml.nvmlInit()
    # By its unique number: NVML does not know of CUDA_VISIBLE_DEVICES.
    unique = str(torch.cuda.get_device_properties(device).uuid)
    return Gpu(nvml, nvml.nvmlDeviceGetHandleByUUID(f"GPU-{unique.removeprefix('GPU-')}"))
