"""What NVML says of a GPU: a module of the same functions stands in for it where there is none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness import Unsupported
from harness_torch import gpu
from harness_torch.gpu import Energy, Gpu, GpuTrouble, find_gpu


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
    """Readings, where processes and reasons are these at the end."""
    gauge = GpuTrouble(lambda: Gpu(nvml, "handle"))
    with gauge.session():
        nvml.pids, nvml.reasons = pids, reasons
    return dict(gauge.readings())


def test_a_gpu_of_ones_own_is_no_trouble() -> None:
    assert trouble(FakeNvml(), [1], 0x2) == {"gpu_foreign_processes": 0, "gpu_throttled": []}
    assert trouble(FakeNvml(), [], 0)["gpu_foreign_processes"] == 0  # a container that hides even its own
    assert trouble(FakeNvml(), [1, 1], 0)["gpu_foreign_processes"] == 0  # two contexts of one process


def test_other_processes_and_throttling_are_noted_before_and_after() -> None:
    nvml = FakeNvml()
    nvml.pids, nvml.reasons = [1, 2, 3], 0x04
    readings = trouble(nvml, [1, 2], 0x40 | 0x1)
    assert readings["gpu_foreign_processes"] == 2
    assert readings["gpu_throttled"] == ["power cap", "thermal slowdown by the hardware"]
    assert readings["gpu_warning"] == (
        "times and energy are unreliable: the GPU was shared with 2 other processes and throttled "
        "(power cap, thermal slowdown by the hardware)"
    )


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
    gauge, trouble = Energy(), GpuTrouble()
    with trouble.session(), gauge.session():
        for _ in range(200):
            matrix = torch.tanh(matrix @ matrix)
    assert gauge.readings()["energy_joules"] > 0
    assert gauge.readings()["gpu_idle_watts"] > 1
    assert trouble.readings()["gpu_foreign_processes"] >= 0


@pytest.mark.gpu
def test_the_peak_is_that_of_the_device_which_holds_the_data() -> None:
    device = torch.device("cuda", torch.cuda.device_count() - 1)
    kept = torch.zeros(2**26, device=device)
    assert gpu.current_device() == device
    del kept
