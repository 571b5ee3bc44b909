"""Memory of a device, from a machine that tells what is free, and from one that does not."""

from __future__ import annotations

import pytest

from harness_torch.backend import device_memory


def test_of_a_machines_memory_some_is_free():
    assert 0 < device_memory.free_bytes("cpu") <= device_memory.total_bytes("cpu")


@pytest.mark.parametrize(
    ("told", "expected"), [("MemTotal: 9 kB\nMemAvailable:  3 kB\n", 3072), ("MemTotal: 9 kB\n", 0)]
)
def test_free_memory_is_what_the_machine_tells_or_all(tmp_path, monkeypatch, told, expected):
    monkeypatch.setattr(device_memory, "MEMINFO", tmp_path / "meminfo")
    (tmp_path / "meminfo").write_text(told)
    assert device_memory.free_bytes("cpu") == (expected or device_memory.total_bytes("cpu"))
