"""Threads are bounded by what the system, the scheduler and the container leave to a run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.planning import cores

MANY = 64


@pytest.fixture(autouse=True)
def many_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(MANY)), raising=False)


@pytest.fixture
def root(tmp_path):
    def make(files: dict[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return make


V2 = "sys/fs/cgroup"
V1 = "sys/fs/cgroup/cpu,cpuacct"

GROUPS = {
    "nothing is known": ({}, MANY),
    "no limit": ({"proc/self/cgroup": "0::/\n", f"{V2}/cpu.max": "max 100000\n"}, MANY),
    "a limit": ({"proc/self/cgroup": "0::/\n", f"{V2}/cpu.max": "200000 100000\n"}, 2),
    "a limit of a group": ({"proc/self/cgroup": "0::/a/b\n", f"{V2}/a/b/cpu.max": "300000 100000\n"}, 3),
    "of a group above": ({"proc/self/cgroup": "0::/a/b\n", f"{V2}/a/cpu.max": "300000 100000\n"}, 3),
    "the smallest counts": (
        {
            "proc/self/cgroup": "0::/a/b\n",
            f"{V2}/a/b/cpu.max": "900000 100000\n",
            f"{V2}/a/cpu.max": "400000 100000\n",
            f"{V2}/cpu.max": "max 100000\n",
        },
        4,
    ),
    "the path of the machine outside": (
        {"proc/self/cgroup": "0::/docker/123\n", f"{V2}/cpu.max": "200000 100000\n"},
        2,
    ),
    "less than a core": ({"proc/self/cgroup": "0::/\n", f"{V2}/cpu.max": "50000 100000\n"}, 1),
    "a core and a half": ({"proc/self/cgroup": "0::/\n", f"{V2}/cpu.max": "150000 100000\n"}, 1),
    "version 1": (
        {
            "proc/self/cgroup": "5:memory:/x\n4:cpu,cpuacct:/x\n",
            f"{V1}/x/cpu.cfs_quota_us": "250000\n",
            f"{V1}/x/cpu.cfs_period_us": "50000\n",
        },
        5,
    ),
    "version 1 above": (
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/x/y\n",
            "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "200000\n",
            "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
        },
        2,
    ),
    "version 1 without a limit": (
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/\n",
            f"{V1}/cpu.cfs_quota_us": "-1\n",
            f"{V1}/cpu.cfs_period_us": "100000\n",
        },
        MANY,
    ),
    "nonsense": ({"proc/self/cgroup": "what?\n\n0::\n", f"{V2}/cpu.max": "many few\n"}, MANY),
}


@pytest.mark.parametrize("what", GROUPS)
def test_a_containers_quota_bounds_the_usable_cores(root, what):
    files, expected = GROUPS[what]
    assert cores.usable_cores({}, root(files)) == expected


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, MANY),
        ({"SLURM_CPUS_PER_TASK": "8"}, 8),
        ({"SLURM_CPUS_ON_NODE": "16"}, 16),
        ({"SLURM_CPUS_ON_NODE": "16", "SLURM_CPUS_PER_TASK": "4"}, 4),
        ({"SLURM_CPUS_ON_NODE": "128"}, MANY),
        ({"SLURM_CPUS_PER_TASK": "", "SLURM_CPUS_ON_NODE": "2(x3)"}, MANY),
    ],
)
def test_what_the_scheduler_gives_bounds_them_too(tmp_path, environment, expected):
    assert cores.usable_cores(environment, tmp_path) == expected


@pytest.mark.parametrize(
    ("environment", "workers", "expected"),
    [
        ({}, 1, MANY),
        ({}, 4, 16),
        ({"OMP_NUM_THREADS": "3"}, 1, 3),
        ({"OMP_NUM_THREADS": "3,2"}, 1, 3),
        ({"OMP_NUM_THREADS": "32"}, 4, 16),
        ({"OMP_NUM_THREADS": "many"}, 1, MANY),
        ({"OMP_NUM_THREADS": "0"}, 1, MANY),
        ({"OMP_THREAD_LIMIT": "5"}, 1, 5),
        ({"OMP_THREAD_LIMIT": "5", "OMP_NUM_THREADS": "7"}, 1, 5),
        ({"MKL_NUM_THREADS": "2", "OMP_THREAD_LIMIT": "5", "OMP_NUM_THREADS": "7"}, 1, 2),
        ({"MKL_NUM_THREADS": ""}, 4, 16),
        ({"SLURM_CPUS_PER_TASK": "2"}, 4, 1),
        ({"SLURM_CPUS_PER_TASK": "8", "OMP_NUM_THREADS": "4"}, 1, 4),
    ],
)
def test_trials_share_them_and_openmp_is_heeded(tmp_path, environment, workers, expected):
    assert cores.default_threads(workers, environment, tmp_path) == expected


def test_a_number_of_threads_beyond_all_measure_is_none(tmp_path):
    assert cores.default_threads(1, {"OMP_NUM_THREADS": "9" * 5000}, tmp_path) == cores.default_threads(1, {}, tmp_path)
