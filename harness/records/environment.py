"""Where a result was taken: the machine, its load, the code."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from harness.catalog import Catalog
from harness.types import Trial
from harness.version import __version__


def machine() -> dict[str, Any]:
    """Facts of the machine and the core that a time depends on; no name of a person or a host."""
    facts: dict[str, Any] = {
        "harness": __version__,
        "commit": commit(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": processor(),
        "cores": os.cpu_count(),
        "memory_bytes": _memory(),
    }
    if hasattr(os, "getloadavg"):
        facts["load"] = [round(load, 2) for load in os.getloadavg()]
    return facts


def processor() -> str:
    """The processor's model name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def commit() -> str | None:
    """The commit of the harness's own checkout, with a + where files differ from it; None for an installed wheel."""
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():
        return None
    commit = _git(checkout, "rev-parse", "--short=12", "HEAD")
    changed = _git(checkout, "status", "--porcelain", "--untracked-files=no", "--", "harness", "plugins", "baselines")
    return commit and commit + ("+" if changed else "")


def provenance(catalog: Catalog, trial: Trial) -> dict[str, Any]:
    """Who provided the method and the data set: plugin, distribution, version."""
    method = catalog.methods.offer(trial.method.name, trial.method.provider).plugin
    dataset = catalog.datasets.offer(trial.dataset.name, trial.dataset.provider).plugin
    return {
        role: {"plugin": plugin.name, "distribution": plugin.distribution, "version": plugin.version}
        for role, plugin in (("method", method), ("dataset", dataset))
    }


def now() -> str:
    """This moment, as records state it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def _git(checkout: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(checkout), *arguments], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None
