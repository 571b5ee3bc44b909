"""Where a result was taken: the machine, its load, the code."""

from __future__ import annotations

import datetime
import functools
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.catalog import Catalog
from harness.planning import cores
from harness.types import Trial
from harness.version import __version__
from harness.words import format_count

CPUINFO = Path("/proc/cpuinfo")
# By the flag that tells of each, the widest first.
INSTRUCTIONS = {
    "avx512f": "AVX-512",
    "avx2": "AVX2",
    "avx": "AVX",
    "sse4_2": "SSE4.2",
    "sve": "SVE",
    "asimd": "NEON",
    "neon": "NEON",
    "vsx": "VSX",
    "rvv": "RVV",
}
LIBRARIES = ("scipy", "scikit-learn")


def describe_machine() -> dict[str, Any]:
    """Facts of the machine and the core that a time depends on; no name of a person or a host."""
    facts: dict[str, Any] = {
        "harness": __version__,
        "commit": read_commit(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": name_processor(),
        "instruction_set": instruction_set(),
        "cores": os.cpu_count(),
        "usable_cores": cores.usable_cores(),
        "memory_bytes": _total_memory(),
    }
    if average := read_load():
        facts["load"] = average
    if policy := os.environ.get("OMP_WAIT_POLICY"):
        facts["omp_wait_policy"] = policy
    return facts | _list_libraries()


def read_load() -> list[float]:
    """How many processes ran or waited to, on average over 1, 5 and 15 minutes; empty where that is not told."""
    return [round(average, 2) for average in os.getloadavg()] if hasattr(os, "getloadavg") else []


def recent_load() -> float:
    """The load on average over the last minute; 0 where the system does not tell."""
    return next(iter(read_load()), 0.0)


def instruction_set(cpuinfo: Path = CPUINFO) -> str:
    """The widest arithmetic that the processor offers: results differ in their last digits between these."""
    found = {word for line in _read_lines(cpuinfo) if line.startswith(("flags", "Features")) for word in line.split()}
    known = next((name for flag, name in INSTRUCTIONS.items() if flag in found), None)
    return known or {"arm64": "NEON", "aarch64": "NEON"}.get(platform.machine(), "unknown")


def _list_libraries() -> dict[str, Any]:
    """Versions of the numerical libraries, and what computes their matrix products, with its threads."""
    import numpy as np  # so that the library that it computes with is loaded
    import threadpoolctl

    versions = {"numpy": np.__version__} | {name: version for name in LIBRARIES if (version := find_version(name))}
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool.get("user_api") == "blas"]
    names = sorted(set(map(_describe_blas, pools)))  # whichever was loaded first
    return versions | ({"blas": "; ".join(names)} if pools else {})


def _describe_blas(pool: Mapping[str, Any]) -> str:
    """`openblas 0.3.30 (SkylakeX), 2 threads`."""
    name = f"{pool['internal_api']} {pool.get('version') or ''}".strip()
    kernels = f" ({pool['architecture']})" if pool.get("architecture") else ""
    return f"{name}{kernels}, {format_count(pool['num_threads'], 'thread')}"


def find_version(distribution: str) -> str | None:
    """The version of a distribution that is installed; None for none."""
    try:
        return importlib.metadata.version(distribution)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None


def name_processor() -> str:
    """The processor's model name."""
    names = [line.partition(":")[2].strip() for line in _read_lines(CPUINFO) if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # no such system
        return []


@functools.cache
def read_commit() -> str | None:
    """The commit of the harness's own checkout, with a + where files differ from it; None for an installed wheel.

    As it is when this process asks first: later edits are not of the code that it runs.
    """
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():
        return None
    commit = _run_git(checkout, "rev-parse", "--short=12", "HEAD")
    followed = ("harness", "plugins", "baselines")
    changed = _run_git(checkout, "status", "--porcelain", "--untracked-files=no", "--", *followed)
    return commit and commit + ("+" if changed else "")


def name_providers(catalog: Catalog, trial: Trial) -> dict[str, Any]:
    """Name the providers of the method and the data set: plugin, distribution, version."""
    method = catalog.methods.offer(trial.method.name, trial.method.provider).plugin
    dataset = catalog.datasets.offer(trial.dataset.name, trial.dataset.provider).plugin
    return {
        role: {"plugin": plugin.name, "distribution": plugin.distribution, "version": plugin.version}
        for role, plugin in (("method", method), ("dataset", dataset))
    }


def current_time() -> str:
    """This moment, as records state it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def _run_git(checkout: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(checkout), *arguments], capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _total_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None
