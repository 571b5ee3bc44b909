"""Services of Linux alone: death signals, adoption of orphans, memory in use. Elsewhere: none of it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")


def die_with_parent() -> bool:
    """Have the system kill this process when the one that forked it ends. False where that cannot be had."""
    return _call_prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def wake_with_parents_death() -> bool:
    """Have the system continue this process, should it be stopped, when the one that forked it ends."""
    return _call_prctl(PR_SET_PDEATHSIG, signal.SIGCONT)


def adopt_orphans(adopt: bool = True) -> bool:
    """Become the parent of every descendant whose own parent ends, or no longer. False where that cannot be had."""
    return _call_prctl(PR_SET_CHILD_SUBREAPER, int(adopt))


def _call_prctl(option: int, value: int) -> bool:
    if sys.platform != "linux":
        return False
    import ctypes

    arguments = [ctypes.c_ulong(number) for number in (value, 0, 0, 0)]
    return bool(ctypes.CDLL(None).prctl(ctypes.c_int(option), *arguments) == 0)


def list_children(pid: int) -> list[int]:
    """The child processes of a process, zombies included."""
    found: list[int] = []
    for task in _list_entries(PROC / str(pid) / "task"):
        found += map(int, read_file(task / "children").split())
    return found or _children_by_parent(pid)


def _children_by_parent(pid: int) -> list[int]:
    """The same, where the kernel keeps no lists of children: every process names its parent."""
    if (PROC / "self" / "task" / str(os.getpid()) / "children").exists():
        return []
    return [int(path.name) for path in _list_entries(PROC) if path.name.isdecimal() and _read_parent(path) == pid]


def _read_parent(process: Path) -> int:
    found = read_file(process / "stat").rpartition(")")[2].split()
    return int(found[1]) if len(found) > 1 else 0


def list_family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for member in found:
        found += list_children(member)
    return found


def started_with(pid: int, variable: str) -> bool | None:
    """Whether `NAME=value` was in the environment of a process, or of the one that it was forked from. None where that
    cannot be told: one that ends gives up its memory before its children, and one that starts a program has none yet.
    """
    environment = _read_bytes(PROC / str(pid) / "environ")
    return variable.encode() in environment.split(b"\0") if environment else None


def can_weigh() -> bool:
    """Whether the memory of processes can be read here."""
    return bool(resident_bytes(os.getpid()))


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and its descendants: quick, but pages that they share count once for each."""
    page = os.sysconf("SC_PAGE_SIZE")
    sizes = (read_file(PROC / str(member) / "statm").split() for member in list_family(pid))
    return sum(int(size[1]) * page for size in sizes if size)


def held_bytes(pid: int) -> int:
    """Bytes that they keep from others: shared pages divided among those who share them, and no page of a file, which
    the system can drop. Exact, but it walks their page tables.
    """
    return sum(map(_read_held, list_family(pid)))


def _read_held(pid: int) -> int:
    sizes = read_fields(PROC / str(pid) / "smaps_rollup")
    return 1024 * (sizes.get("Pss_Anon:", sizes.get("Pss:", 0)) + sizes.get("Pss_Shmem:", 0))


def available_bytes() -> int | None:
    """Memory that can be had without swapping: of the machine, and within the limits set on this process's group."""
    free = read_fields(PROC / "meminfo").get("MemAvailable:")
    return None if free is None else max(0, min([1024 * free, *_list_free_bytes()]))


def count_oom_kills() -> int:
    """How often the system's out-of-memory killer has struck since the machine started."""
    return read_fields(PROC / "vmstat").get("oom_kill", 0)


def _list_free_bytes() -> Iterator[int]:
    """Free bytes under every memory limit of a control group that holds this process, version 2 or 1."""
    for line in read_file(PROC / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            yield from _read_free_bytes(CGROUPS, path, "memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            yield from _read_free_bytes(CGROUPS / "memory", path, "memory.limit_in_bytes", "memory.usage_in_bytes")


def _read_free_bytes(root: Path, path: str, limit: str, usage: str) -> Iterator[int]:
    group = root / path.lstrip("/")
    for folder in (group, *group.parents):
        most, used = read_file(folder / limit).strip(), read_file(folder / usage).strip()
        if most.isdecimal() and used.isdecimal():
            yield int(most) - int(used) + _read_droppable(folder / "memory.stat")
        if folder == root:
            return


def _read_droppable(path: Path) -> int:
    """Files in memory count as used by a group, but the system drops them when memory is wanted."""
    sizes = read_fields(path)
    return sum(sizes.get(f"total_{name}", sizes.get(name, 0)) for name in ("inactive_file", "active_file"))


def read_fields(path: Path) -> dict[str, int]:
    """The first number after each name in a file of lines such as `Pss: 12 kB`."""
    lines = (line.split() for line in read_file(path).splitlines())
    return {line[0]: int(line[1]) for line in lines if len(line) > 1 and line[1].isdecimal()}


def read_file(path: Path) -> str:
    """The text of a file of the system; nothing where there is none."""
    return _read_bytes(path).decode(errors="replace")


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # no such system, or the process has ended meanwhile
        return b""


def _list_entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
