"""Figures that are read of the system's processes."""

from __future__ import annotations

import os

from harness.executors import linux


def test_children_are_found_where_the_kernel_keeps_no_lists_of_them(tmp_path, monkeypatch):
    for pid, name, parent in ((7, "run", 1), (8, "a server) (x", 7), (9, "trial", 8), (10, "other", 1)):
        (tmp_path / str(pid) / "task" / str(pid)).mkdir(parents=True)
        (tmp_path / str(pid) / "stat").write_text(f"{pid} ({name}) S {parent} 7 7 0 -1")
        (tmp_path / str(pid) / "statm").write_text(f"100 {pid} 3 1 0 5 0")
    monkeypatch.setattr(linux, "PROC", tmp_path)
    assert linux.list_children(7) == [8]
    assert linux.list_family(7) == [7, 8, 9]
    assert linux.list_family(10) == [10]
    assert linux.resident_bytes(7) == (7 + 8 + 9) * os.sysconf("SC_PAGE_SIZE")
