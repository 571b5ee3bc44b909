"""Passive waiting of OpenMP's threads: its cost on an idle machine, its gain beside processes that want the cores.

    python -m tests.speed.passive_waiting
    python -m tests.speed.passive_waiting --busy 0,1,4 --method "saf[variant=final]" --rounds 20

Threads of OpenMP spin for a while when they wait for each other: that is quick where each has a core, and where they
share cores a thread that spins takes the core from the one that it waits for. Each run is a fresh process with as many
threads as there are usable cores; it brings a trial to its first update and times
updates by the wall clock for some seconds. One waits
as it does by default, the other with OMP_WAIT_POLICY=PASSIVE, which GNU's OpenMP and Intel's heed; the two take turns,
beside so many processes that only count. Below 1 passive waiting is the quicker one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from harness.planning import cores

from .paired import Ratio, Row, interleaved, ratio, show

PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
WARMUP_UPDATES = 2
UPDATES = """
import sys, time
from harness.catalog import Settings, load_catalog
from harness.trials.rehearsal import rehearse

method, dataset, threads, warmup, seconds = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
trial = rehearse(load_catalog(Settings()), method, dataset, device="cpu", threads=threads)
state, done, began = trial.state, 0, 0.0
while done <= warmup or time.perf_counter() < began + seconds:
    if done == warmup:
        began = time.perf_counter()
    state, _ = trial.learner.update(state, next(trial.batches))
    done += 1
print((time.perf_counter() - began) / (done - warmup))
"""
BUSY = "while True: pass"


def passive_over_default(method: str, dataset: str, busy: int, rounds: int, seconds: int) -> Ratio:
    """Wall time of an update whose threads wait passively over that of one whose threads wait as they do by default."""
    arguments = (method, dataset, str(cores.usable_cores()), str(WARMUP_UPDATES), str(seconds))
    with _beside(busy):
        took = interleaved({"passive": _process(arguments, PASSIVE), "default": _process(arguments, {})}, rounds)
    return ratio(took["passive"], took["default"])


def _process(arguments: tuple[str, ...], more: dict[str, str]) -> Callable[[], float]:
    known = {name: value for name, value in os.environ.items() if name not in PASSIVE and name != "OMP_NUM_THREADS"}

    def run() -> float:
        command = [sys.executable, "-c", UPDATES, *arguments]
        done = subprocess.run(command, env=known | more, check=True, capture_output=True, text=True)
        return float(done.stdout)

    return run


@contextmanager
def _beside(count: int) -> Iterator[None]:
    """Processes that want a core each."""
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", default="saf")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--busy", default="0,2,6", help="how many processes beside each")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=5, help="of updates in each run")
    asked = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {cores.usable_cores()} cores before the first run")
    rows = []
    for busy in map(int, asked.busy.split(",")):
        found = passive_over_default(asked.method, asked.dataset, busy, asked.rounds, asked.seconds)
        rows.append(Row(f"{asked.method} on {asked.dataset}, passive / default, {busy} beside", found, None))
    return show(rows)


if __name__ == "__main__":
    sys.exit(main())
