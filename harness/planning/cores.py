"""How many cores a run may use: those that the system, the scheduler and the container leave to this process."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

SLURM = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
LIMITS = ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "MKL_NUM_THREADS")  # what libraries of numbers are told
ROOT = Path("/")
LONGEST_NUMBER = 9  # digits; no machine has as many cores


def usable_cores(environment: Mapping[str, str] = os.environ, root: Path = ROOT) -> int:
    """Whole cores, at least one. root: of the file system that tells of control groups."""
    slurm = (count for name in SLURM if (count := _parse_count(environment.get(name))))
    return max(1, min([_scheduled_cores(), *slurm, *map(int, read_quotas(root))]))


def default_threads(workers: int, environment: Mapping[str, str] = os.environ, root: Path = ROOT) -> int:
    """Threads of each of so many trials at once: a fair share of the cores, and no more than the user's LIMITS."""
    share = max(1, usable_cores(environment, root) // workers)
    # A list is for nested levels; the first number is that of the outermost.
    limits = (_parse_count(environment.get(name, "").partition(",")[0]) for name in LIMITS)
    return min([share, *filter(None, limits)])


def _scheduled_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _parse_count(text: str | None) -> int:
    """A number above 0, or 0 for anything else."""
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER else 0


def read_quotas(root: Path) -> Iterator[float]:
    """The cores' worth of time that each control group above this process may take, version 2 or 1."""
    groups = root / "sys/fs/cgroup"
    for line in _read_system_file(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            yield from _drop_unlimited(
                _divide_quota(*_read_pair(folder / "cpu.max")) for folder in _enclosing_groups(groups, path)
            )
        elif "cpu" in controllers.split(","):
            folders = [folder for name in ("cpu", controllers) for folder in _enclosing_groups(groups / name, path)]
            files = ((folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us") for folder in folders)
            yield from _drop_unlimited(_divide_quota(*map(_read_system_file, pair)) for pair in files)


def _enclosing_groups(root: Path, path: str) -> Iterator[Path]:
    """A control group and those that it is in. In a container the path may be that of the machine outside."""
    group = root / path.strip("/")
    yield from (folder for folder in (group, *group.parents) if folder == root or folder.is_relative_to(root))


def _read_pair(path: Path) -> tuple[str, str]:
    quota, _, period = _read_system_file(path).strip().partition(" ")
    return quota, period


def _divide_quota(quota: str, period: str) -> float | None:
    """None where there is no limit: `max`, -1, or no such file."""
    microseconds, each = _parse_count(quota), _parse_count(period)
    return microseconds / each if microseconds and each else None


def _drop_unlimited(found: Iterable[float | None]) -> Iterator[float]:
    return (quota for quota in found if quota is not None)


def _read_system_file(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # no such system
        return ""
