"""Peaks as the allocator and the system see them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from harness import Unsupported
from harness_torch.instruments.activation_memory import ActivationMemory
from harness_torch.instruments.allocator_peaks import TensorPeak, TrainPeak, process_peak_bytes

MIB = 2**20


def measure(gauge, build) -> dict:
    with gauge.session():
        update = build()
        update()
        with gauge.measure("update", 1):
            update()
        torch.ones(100 * MIB // 4)
    return dict(gauge.readings())


def test_weights_and_temporaries_count_and_data_do_not() -> None:
    data = torch.ones(MIB)

    def build():
        weights = torch.ones(3 * MIB // 4)

        def update() -> None:
            first = data[: 2 * MIB // 4] * 2
            second = weights[: MIB // 4] + 1
            del first
            _ = second * 2

        return update

    # Weights 3, first 2, second 1; numbers such as 2 and 1 become tensors of a few bytes.
    assert measure(TensorPeak(), build)["tensor_peak_bytes"] == pytest.approx(6 * MIB, abs=64)


def test_release_of_what_is_older_than_the_session_is_no_gain() -> None:
    old = [torch.ones(10 * MIB // 4)]

    def build():
        def update() -> None:
            old.clear()
            torch.ones(2 * MIB // 4)

        return update

    assert measure(TensorPeak(), build)["tensor_peak_bytes"] == pytest.approx(2 * MIB, abs=64)


def test_an_operators_own_temporaries_are_seen_here_only() -> None:
    x = torch.randn(200, 200)

    def build():
        return lambda: x.logsumexp(1)

    # One number per row is the result; inside, all exponentials are written down.
    assert measure(ActivationMemory(), build)["activation_bytes"] == 200 * 4
    assert measure(TensorPeak(), build)["tensor_peak_bytes"] >= 200 * 200 * 4


def test_the_tensor_peak_is_the_activations_and_what_belongs_to_the_weights() -> None:
    x = torch.randn(64, 256)

    def build():
        net = nn.Sequential(nn.Linear(256, 256), nn.Tanh(), nn.Linear(256, 256))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

        def update() -> None:
            optimizer.zero_grad(set_to_none=False)
            net(x).square().mean().backward()
            optimizer.step()

        return update

    weights = 4 * 2 * (256 * 256 + 256)
    peak = measure(TensorPeak(), build)["tensor_peak_bytes"]
    activations = measure(ActivationMemory(), build)["activation_bytes"]
    # Weights, gradients, momentum; the new gradient of one layer exists beside the old one for a moment.
    assert 3 * weights < peak <= 3 * weights + activations + weights // 2 + 4096


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_the_process_peak_is_that_of_the_process_itself() -> None:
    script = (
        "from harness_torch.instruments.allocator_peaks import process_peak_bytes as peak\n"
        "before = peak(); block = bytearray(200 * 2**20); del block; print(peak() - before)"
    )
    grown = int(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)
    assert 190 * MIB < grown < 220 * MIB


def test_a_system_that_does_not_tell_gives_no_process_peak(tmp_path: Path) -> None:
    assert process_peak_bytes(tmp_path / "absent") is None
    (tmp_path / "status").write_text("Name:\tpython\nVmHWM:\t  1234 kB\nVmRSS:\t  99 kB\n")
    assert process_peak_bytes(tmp_path / "status") == 1234 * 1024


# --- the step as it is trained --------------------------------------------------------------------------------------


class FakeAllocator:
    """Allocated bytes, and their peaks since the last reset; half of the freed ones stay reserved."""

    def __init__(self) -> None:
        self.now = self.peak = self.reserved = 0

    def use(self, size: int) -> None:
        """Allocated and freed again."""
        self.peak = max(self.peak, self.now + size)
        self.reserved = max(self.reserved, self.now + size // 2)

    def memory_allocated(self, device: str) -> int:
        assert device == "cuda:1"
        return self.now

    def max_memory_allocated(self, device: str) -> int:
        return self.peak

    def max_memory_reserved(self, device: str) -> int:
        return self.reserved

    def reset_peak_memory_stats(self, device: str) -> None:
        assert device == "cuda:1"
        self.peak = self.reserved = self.now


def train_peak(*uses: int | None, kept: int = 0) -> dict:
    """Readings of a pass that uses so much, one after the other; what is negative is used by an evaluation, and where
    there is None, the first updates are over.
    """
    allocator = FakeAllocator()
    allocator.now = 1000
    allocator.use(10**9)  # while the data were placed
    gauge = TrainPeak(lambda: "cuda:1", allocator)
    with gauge.session():
        allocator.now += kept
        for size in uses:
            if size is None:
                gauge.settle()
            elif size < 0:
                with gauge.pause():
                    allocator.use(-size)
            else:
                allocator.use(size)
    return dict(gauge.readings())


def test_the_peak_of_training_is_the_highest_outside_of_evaluation() -> None:
    assert train_peak(70, -900, 40)["train_peak_bytes"] == 70  # a graph is captured once, and then replayed
    assert train_peak(40, -900, 70)["train_peak_bytes"] == 70
    assert train_peak(40, 70, 10, kept=5) == {"train_peak_bytes": 75, "train_reserved_bytes": 1000 + 5 + 35}


def test_what_the_first_updates_try_out_is_not_in_the_peak_of_training() -> None:
    found = train_peak(900, -40, 800, None, 30, 70, -950, 40, kept=5)
    assert found == {"train_peak_bytes": 75, "train_reserved_bytes": 1000 + 5 + 450}
    assert train_peak(-40, 900, 800)["train_peak_bytes"] == 900


def test_without_a_gpu_the_peak_of_training_is_a_hole() -> None:
    with pytest.raises(Unsupported, match="no NVIDIA GPU"), TrainPeak(lambda: None).session():
        pass


@pytest.mark.gpu
def test_the_working_space_of_matrix_products_is_not_in_the_peak_of_an_update() -> None:
    def build():
        weight = torch.ones(256, 256, device="cuda", requires_grad=True)
        return lambda: (weight @ weight).sum().backward()

    torch.ones(1, device="cuda")  # an instrument finds its device by it
    assert measure(TensorPeak(), build)["tensor_peak_bytes"] < 4 * MIB


@pytest.mark.gpu
def test_the_peak_of_training_on_a_gpu_is_what_was_alive_outside_of_evaluation() -> None:
    data = torch.ones(MIB, device="cuda")
    gauge = TrainPeak()
    with gauge.session():
        for _ in range(2):
            step = data[: 3 * MIB // 4] * 2  # 3 MiB
            del step
            with gauge.pause():
                scored = torch.ones(50 * MIB, device="cuda")
                del scored
    assert gauge.readings()["train_peak_bytes"] == 3 * MIB
    assert gauge.readings()["train_reserved_bytes"] >= 4 * MIB
