"""Readings of NVML: a module of the same functions stands in for it where there is none."""

from __future__ import annotations

import os
import threading
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness import Unsupported
from harness_torch.backend import gpu
from harness_torch.backend.gpu import Gpu, find_gpu
from harness_torch.instruments.gpu_readings import Energy, GpuProcess, GpuTrouble


class FakeNvml:
    """A GPU in time that passes only when told to: `watts` while working or idle, processes and throttle bits."""

    def __init__(self) -> None:
        self.seconds, self.watts, self.millijoules = 100.0, 50.0, 7_000_000.0
        self.pids: list[int] = [1]
        self.reasons = 0x1  # idle

    def let(self, seconds: float) -> None:
        self.seconds += seconds
        self.millijoules += 1000 * self.watts * seconds

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any) -> int:  # noqa: N802
        assert handle == "handle"
        return round(self.millijoules)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: Any) -> list[SimpleNamespace]:  # noqa: N802
        return [SimpleNamespace(pid=pid, usedGpuMemory=1) for pid in self.pids]

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: Any) -> int:  # noqa: N802
        return self.reasons


def energy(nvml: FakeNvml) -> Energy:
    return Energy(lambda: Gpu(nvml, "handle"), now=lambda: nvml.seconds, sleep=nvml.let, synchronize=lambda: None)


def test_energy_is_the_difference_less_what_is_drawn_idle() -> None:
    nvml = FakeNvml()
    gauge = energy(nvml)
    with gauge.session():
        nvml.watts = 350.0
        nvml.let(10.0)
        nvml.watts = 50.0
        nvml.let(2.0)  # evaluation on the host
    assert gauge.readings() == {"energy_joules": pytest.approx(300 * 10), "gpu_idle_watts": pytest.approx(50)}


def test_energy_of_a_pass_that_draws_less_than_before_is_none() -> None:
    nvml = FakeNvml()
    gauge = energy(nvml)
    with gauge.session():
        nvml.watts = 40.0
        nvml.let(10.0)
    assert gauge.readings()["energy_joules"] == 0


def test_without_a_gpu_energy_is_a_hole_and_trouble_reads_nothing() -> None:
    with pytest.raises(Unsupported, match=r"^no NVIDIA GPU$"), Energy(lambda: None).session():
        pass
    trouble = GpuTrouble(lambda: None)
    with trouble.session():
        pass
    assert trouble.readings() == {}


def trouble(nvml: FakeNvml, pids: list[int], reasons: int) -> dict[str, Any]:
    """Readings, where processes and reasons are these at the end; nobody looks in between."""
    gauge = GpuTrouble(lambda: Gpu(nvml, "handle"), wait=lambda over: True)
    with gauge.session():
        nvml.pids, nvml.reasons = pids, reasons
    return dict(gauge.readings())


def process_bytes(*processes: tuple[int, int | None]) -> int:
    """Read this process's bytes, where the driver lists these processes by number and bytes."""

    class Lists(FakeNvml):
        def nvmlDeviceGetComputeRunningProcesses(self, handle: Any) -> list[SimpleNamespace]:  # noqa: N802
            return [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in processes]

    gauge = GpuProcess(lambda: Gpu(Lists(), "handle"))
    with gauge.session():
        pass
    return int(gauge.readings()["gpu_process_bytes"])


def test_memory_of_a_process_is_its_own_even_where_its_number_is_hidden() -> None:
    own = os.getpid()
    assert process_bytes((own, 700), (own + 1, 9000)) == 700
    assert process_bytes((own, 700), (own, 300), (own + 1, 9000)) == 1000  # two contexts of one process
    assert process_bytes((own + 1, 9000)) == 9000  # a container that shows the number outside of it
    for processes in ([], [(own, None)], [(own + 1, 9000), (own + 2, 1)]):
        with pytest.raises(Unsupported, match="does not tell"):
            process_bytes(*processes)
    with pytest.raises(Unsupported, match="no NVIDIA GPU"), GpuProcess(lambda: None).session():
        pass


def test_a_gpu_of_ones_own_is_no_trouble() -> None:
    assert trouble(FakeNvml(), [1], 0x2) == {
        "gpu_foreign_processes": 0,
        "gpu_throttled": [],
        "gpu_looks": 2,
    }
    assert trouble(FakeNvml(), [], 0)["gpu_foreign_processes"] == 0  # a container that hides even its own
    assert trouble(FakeNvml(), [1, 1], 0)["gpu_foreign_processes"] == 0  # two contexts of one process


def test_other_processes_and_throttling_are_noted_before_and_after() -> None:
    nvml = FakeNvml()
    nvml.pids, nvml.reasons = [1, 2, 3], 0x04
    readings = trouble(nvml, [1, 2], 0x40 | 0x1)
    assert readings["gpu_foreign_processes"].value == 2
    assert readings["gpu_throttled"] == ["power cap", "thermal slowdown by the hardware"]
    assert readings["gpu_foreign_processes"].warning == (
        "times and energy are unreliable: the GPU was shared with 2 other processes and throttled "
        "(power cap, thermal slowdown by the hardware)"
    )


def test_throttling_that_comes_and_goes_within_the_pass_is_noted() -> None:
    nvml, seen = FakeNvml(), threading.Event()

    def wait(over: threading.Event) -> bool:
        """Throttled at the first look within the pass; all is well again when the second one is due."""
        if nvml.reasons == 0x04:
            nvml.reasons = 0x1
            seen.set()
            return True
        nvml.reasons = 0x04
        return False

    gauge = GpuTrouble(lambda: Gpu(nvml, "handle"), wait)
    with gauge.session():
        assert seen.wait(10)
    assert gauge.readings()["gpu_throttled"] == ["power cap"]
    assert gauge.readings()["gpu_looks"] == 3
    assert "throttled (power cap)" in gauge.readings()["gpu_foreign_processes"].warning


def test_a_driver_that_fails_in_between_is_asked_again_at_the_end() -> None:
    class Fails(FakeNvml):
        asked, failed = 0, threading.Event()

        def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: Any) -> int:  # noqa: N802
            self.asked += 1
            if self.asked == 2:
                self.failed.set()
                raise OSError("no answer")
            return 0x04

    nvml = Fails()
    gauge = GpuTrouble(lambda: Gpu(nvml, "handle"), wait=lambda over: False)
    with gauge.session():
        assert nvml.failed.wait(10)
    assert gauge.readings()["gpu_throttled"] == ["power cap"]
    assert (nvml.asked, gauge.readings()["gpu_looks"]) == (3, 2)


def test_a_pass_that_raises_leaves_no_watch_behind() -> None:
    gauge = GpuTrouble(lambda: Gpu(FakeNvml(), "handle"))
    with pytest.raises(ZeroDivisionError), gauge.session():
        raise ZeroDivisionError
    assert gauge.readings() == {}
    assert not [thread for thread in threading.enumerate() if thread.name == "gpu-trouble"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_found_here_and_nothing_is_imported() -> None:
    assert find_gpu() is None


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(gpu, "current_device", lambda: torch.device("cuda:0"))
    monkeypatch.setattr(gpu.importlib, "import_module", missing)
    with pytest.raises(Unsupported, match=r"pip install 'harness-bench\[gpu\]'"):
        find_gpu()


@pytest.mark.gpu
def test_a_real_gpu_draws_energy_for_products() -> None:
    pytest.importorskip("pynvml")
    matrix = torch.rand(4096, 4096, device="cuda")
    gauge, trouble, process = Energy(), GpuTrouble(), GpuProcess()
    with process.session(), trouble.session(), gauge.session():
        for _ in range(200):
            matrix = torch.tanh(matrix @ matrix)
    assert gauge.readings()["energy_joules"] > 0
    assert gauge.readings()["gpu_idle_watts"] > 1
    assert trouble.readings()["gpu_foreign_processes"] >= 0
    assert process.readings()["gpu_process_bytes"] > 4 * 4096**2


@pytest.mark.gpu
def test_the_peak_is_that_of_the_device_which_holds_the_data() -> None:
    device = torch.device("cuda", torch.cuda.device_count() - 1)
    kept = torch.zeros(2**26, device=device)
    assert gpu.current_device() == device
    del kept
