"""The device that a run gets, found out while planning: torch is imported only where there might be a GPU."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from harness import UsageError

PRECISIONS = ("fp32", "tf32", "bf16")


def check(device: str, precision: str, workers: int) -> str:
    """Resolve "auto", "cpu", "cuda" or "cuda:N" to a device of this machine.

    Raises UsageError for a device that is not there, for a precision that it lacks, and for more workers than GPUs.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise UsageError(f"--device {device}: expected cpu, cuda, cuda:N or auto")
    if precision not in PRECISIONS:
        raise UsageError(f"--precision {precision}: expected one of {', '.join(PRECISIONS)}")
    resolved = _choose_device() if device == "auto" else device
    if resolved == "cpu":
        if precision == "tf32":
            raise UsageError("--precision tf32: only NVIDIA GPUs have it, and this run is on the cpu; use fp32")
        return resolved
    return _check_gpu(resolved, workers)


def _choose_device() -> str:
    # Without a driver's device file no import is needed to know that there is no GPU.
    if sys.platform != "linux" or not any(Path("/dev").glob("nvidia[0-9]*")):
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _check_gpu(device: str, workers: int) -> str:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        built = f"torch {torch.__version__}" + ("" if torch.version.cuda else ", built without CUDA,")
        raise UsageError(f"--device {device}: {built} finds no CUDA device here; use --device cpu")
    number = int(device.partition(":")[2] or 0)
    if number >= count:
        raise UsageError(f"--device {device}: there are {count} CUDA devices, cuda:0 to cuda:{count - 1}")
    if workers > 1 and ":" in device:
        raise UsageError(f"--device {device} --workers {workers}: one worker per GPU; use --device cuda")
    if workers > count:
        raise UsageError(f"--workers {workers}: one worker per GPU, and there are {count}")
    return device
