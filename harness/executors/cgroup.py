"""A control group (version 2) for each trial, where the user may make any: there the system itself keeps the bound.

A group that holds processes hands no controller on to groups below it. So this works where the run has a group of its
own, as under `systemd-run --user --scope -p Delegate=yes harness run`, or alone in a container that may write there.
Everywhere else nothing is changed, and the run watches.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from harness.executors import linux

RUN = "harness-run"


class Group:
    """The group of one trial."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has_killed(self) -> bool:
        """Whether the system has killed for want of memory in it."""
        return linux.read_fields(self._folder / "memory.events").get("oom_kill", 0) > 0

    def read_peak(self) -> int:
        """The most bytes that it held, 0 where the system does not tell."""
        text = linux.read_file(self._folder / "memory.peak").strip()
        return int(text) if text.isdecimal() else 0

    def close(self) -> None:
        """End all that is in it, and remove it."""
        with contextlib.suppress(OSError):
            (self._folder / "cgroup.kill").write_text("1")
        with contextlib.suppress(OSError):
            self._folder.rmdir()


def find_delegated() -> Path | None:
    """The group below which trials can have theirs; this process moves into one beside them. None where none can."""
    own = _find_own()
    if own is None or own.name == RUN:
        return own and own.parent
    ours = {str(pid) for pid in linux.list_family(os.getpid())}
    members = linux.read_file(own / "cgroup.procs").split()
    controllers = linux.read_file(own / "cgroup.controllers").split()
    if "memory" not in controllers or not members or not ours.issuperset(members):
        return None
    try:
        (own / RUN).mkdir(exist_ok=True)
        _move_processes(members, own / RUN)
        (own / "cgroup.subtree_control").write_text("+memory")
    except OSError:
        _undo_move(members, own)
        return None
    return own


def enclose_process(base: Path | None, pid: int, name: str, most: int | None) -> Group | None:
    """A group of at most so many bytes with this process in it, and all that it will fork. None where none can be."""
    if base is None or most is None:
        return None
    folder = base / f"harness-{os.getpid()}-{name}"
    try:
        folder.mkdir()
        (folder / "memory.max").write_text(str(most))
        for file, value in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
            with contextlib.suppress(OSError):  # of a kernel without swap, or an old one
                (folder / file).write_text(value)
        _move_processes([str(pid)], folder)
    except OSError:
        Group(folder).close()
        return None
    return Group(folder)


def _find_own() -> Path | None:
    lines = linux.read_file(linux.PROC / "self" / "cgroup").splitlines()
    return next((linux.CGROUPS / line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)


def _move_processes(pids: Iterable[str], folder: Path) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it has ended
            (folder / "cgroup.procs").write_text(pid)


def _undo_move(pids: Iterable[str], own: Path) -> None:
    with contextlib.suppress(OSError):
        _move_processes(pids, own)
        (own / RUN).rmdir()
