"""How many Python functions of this repository one update calls, and in how many modules: what a reader steps through.

    python -m tests.speed.calls_per_update
    python -m tests.speed.calls_per_update --methods "saf,saf[chunk=6]" --dataset digits --update 10 --modules

Counted, not timed, so that it is the same on every run: the calls that Python reports to `sys.setprofile` during the
given update of a trial on a CPU, whose code lies in a file of this repository, those of backward passes among them.
A generator counts each time it goes on, a comprehension where this version of Python makes a function of it. Options
are the methods' defaults, without CUDA graphs.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

from harness.catalog import Catalog, Settings, load_catalog
from harness.selections import catalog_items
from harness.trials.rehearsal import rehearse

REPOSITORY = str(Path(__file__).parents[2])


def calls_per_update(catalog: Catalog, method: str, dataset: str, update: int) -> Counter[str]:
    """Calls during the `update`-th mini-batch of a trial, by the file that they are of."""
    trial = rehearse(catalog, method, dataset, device="cpu", threads=1)
    state = trial.state
    for _ in range(update - 1):
        state, _ = trial.learner.update(state, next(trial.batches))
    batch, calls = next(trial.batches), Counter[str]()

    def count(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(REPOSITORY):
            calls[frame.f_code.co_filename.removeprefix(f"{REPOSITORY}/")] += 1

    sys.setprofile(count)
    try:
        trial.learner.update(state, batch)
    finally:
        sys.setprofile(None)
    return calls


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", default="saf,ottt,bptt,spike-representation")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--update", type=int, default=10, help="which one, counted from 1")
    parser.add_argument("--modules", action="store_true", help="the calls of each module as well")
    asked = parser.parse_args()
    catalog = load_catalog(Settings())
    print(f"{'method':30} {'calls':>6} {'modules':>8}")
    methods = catalog_items.look_up_methods(catalog, asked.methods, "--methods")
    for method in (text for item in methods for text in item.list_written()):
        calls = calls_per_update(catalog, method, asked.dataset, asked.update)
        print(f"{method:30} {calls.total():6} {len(calls):8}")
        for module, count in calls.most_common() if asked.modules else ():
            print(f"{'':4}{module:60} {count:6}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
