"""The torch backend inside a trial's process."""

from __future__ import annotations

import dataclasses
import os
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from harness import Batch, Clock, Data, LaneMeter, Prediction, Trial
from harness_torch.backend import heap
from harness_torch.backend.batches import batches, lane_batches
from harness_torch.backend.clocks import EventClock, HostClock, KeepMeter

# How allocators other than torch's own for CUDA put it: for the host, of CUDA itself, of cuBLAS.
OUT_OF_MEMORY = (
    "DefaultCPUAllocator: can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
PIECE_BYTES = 2**25


class TorchBackend:
    """See `harness.types.Backend`: device, precision, batches, clocks."""

    def setup(self, trial: Trial) -> None:
        """Set the process up for one trial: threads, precision, determinism."""
        if trial.terms.device == "cpu":
            heap.keep_freed_blocks()
            torch.set_flush_denormal(
                True
            )  # products of weights that decay towards zero take tens of times as long below 1e-38
        elif (index := torch.device(trial.terms.device).index) is not None:
            torch.cuda.set_device(
                index
            )  # for tensors that a learner makes on "cuda", and for kernels that are not torch's
        if torch.get_num_threads() != trial.terms.threads:
            torch.set_num_threads(trial.terms.threads)
        torch.set_float32_matmul_precision("high" if trial.terms.precision == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = trial.terms.precision == "tf32"
        # Shapes are fixed, so autotuning pays; it is not deterministic.
        torch.backends.cudnn.benchmark = not trial.terms.deterministic
        if trial.terms.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(trial.terms.deterministic)

    def place(self, data: Data, device: str) -> Data:
        """Copy every array of a data set to the device once, as a tensor, and transform it there."""

        def placed(split: Batch) -> Batch:
            inputs = _transform_pieces(split.inputs, device, data.transform) if data.transform else split.inputs
            return Batch(torch.as_tensor(inputs).to(device), torch.as_tensor(split.targets).to(device), split.first)

        return dataclasses.replace(
            data,
            train=placed(data.train),
            valid=placed(data.valid),
            test=placed(data.test),
            shifted={name: placed(split) for name, split in data.shifted.items()},
            transform=None,
        )

    def arrays(self, named: Mapping[str, Any], device: str) -> dict[str, Tensor]:
        return {name: torch.as_tensor(array).to(device, copy=True) for name, array in named.items()}

    def batches(self, data: Data, batch_size: int, seed: int) -> Iterator[Batch]:
        return batches(data, batch_size, seed)

    def lane_batches(self, data: Sequence[Data], batch_size: int, seeds: Sequence[int]) -> Iterator[Batch]:
        return lane_batches(data, batch_size, seeds)

    def clock(self, device: str) -> Clock:
        return HostClock() if device == "cpu" else EventClock(torch.device(device))

    def lane_meter(self) -> LaneMeter:
        return KeepMeter()

    def numpy(self, prediction: Prediction) -> Prediction:
        """Convert a prediction to float64 numpy arrays."""
        return type(prediction)(*(field.detach().cpu().double().numpy() for field in prediction))

    @contextmanager
    def isolated(self, seed: int) -> Iterator[None]:
        """Seed every global generator, and give back their state afterwards."""
        python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - plugins may use it
        # Asking for the state of a GPU would wake it, in a trial on the CPU too.
        gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
        with torch.random.fork_rng(gpus):
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            torch.manual_seed(seed)
            try:
                yield
            finally:
                random.setstate(python)
                np.random.set_state(legacy)  # noqa: NPY002

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Turn autotuning off: numbers of rows differ, and to try every algorithm for each takes seconds."""
        tuned = torch.backends.cudnn.benchmark
        torch.backends.cudnn.benchmark = False
        try:
            yield
        finally:
            torch.backends.cudnn.benchmark = tuned

    @contextmanager
    def inference(self) -> Iterator[None]:
        """Turn gradients off."""
        with torch.no_grad():
            yield

    def save(self, named: Mapping[str, Tensor], path: Path) -> None:
        """Write named arrays as safetensors, whole or not at all, as readable as their folder."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        arrays = {name: torch.as_tensor(array).detach().cpu().contiguous().clone() for name, array in named.items()}
        try:
            safetensors.torch.save_file(arrays, temporary)
            temporary.chmod(path.parent.stat().st_mode & 0o666)  # it is its owner's alone as safetensors leaves it
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def load(self, path: Path) -> dict[str, Tensor]:
        return safetensors.torch.load_file(path)

    def environment(self, device: str) -> dict[str, Any]:
        """Describe the versions and settings that a time depends on."""
        known: dict[str, Any] = {
            "torch": torch.__version__,
            "numpy": np.__version__,
            "instruction_set": _name_instruction_set(),
            "torch_blas": _name_blas(),
            "threads": torch.get_num_threads(),
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "flushes_denormals": _flushes_denormals(),
        }
        return known if device == "cpu" else known | _describe_gpu(torch.device(device))

    def out_of_memory(self, error: BaseException) -> bool:
        """Whether an error says that the device's or the host's memory is exhausted."""
        return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
            isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)
        )


def _flushes_denormals() -> bool:
    """Whether this thread takes numbers below the smallest normal one for zero; processors that cannot do not."""
    return not bool(torch.full((), torch.finfo(torch.float32).tiny).div(2))


def _name_instruction_set() -> str:
    """Name the instruction set of the kernels: the processor's, unless ATEN_CPU_CAPABILITY asks for another."""
    found = torch.backends.cpu.get_cpu_capability()
    said = {"AVX512": "AVX-512", "DEFAULT": "the compiler's default"}.get(found, found)
    asked = os.environ.get("ATEN_CPU_CAPABILITY")
    return f"{said} (ATEN_CPU_CAPABILITY={asked})" if asked else said


def _name_blas() -> str:
    """Name the library that torch was built to compute matrix products with."""
    found = re.search(r"Math Kernel Library Version ([\d.]+)|BLAS_INFO=(\w+)", torch.__config__.show())
    if found is None:
        return "unknown"
    return f"mkl {found[1]}" if found[1] else found[2]


def _transform_pieces(inputs: Any, device: str, transform: Callable[[Tensor], Tensor]) -> Tensor:
    """Transform all rows in pieces: only one of the copied pieces is on the device at a time."""
    rows = max(1, PIECE_BYTES // max(1, inputs[:1].nbytes))
    pieces = torch.as_tensor(inputs).split(rows)
    first = transform(pieces[0].to(device))
    whole = torch.empty(len(inputs), *first.shape[1:], dtype=first.dtype, device=device)
    whole[: len(first)] = first
    for number, piece in enumerate(pieces[1:], 1):
        whole[number * rows : number * rows + len(piece)] = transform(piece.to(device))
    return whole


def _describe_gpu(device: torch.device) -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(device)
    return {
        "gpu": properties.name,
        "gpu_memory_bytes": properties.total_memory,
        "gpu_capability": f"{properties.major}.{properties.minor}",
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
    }
