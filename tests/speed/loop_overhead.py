"""The harness's training loop beside the same loop written by hand, for an update that takes 2.5 ms.

    python -m tests.speed.loop_overhead

Both loops gather the same batches by permuted index, run the same update and sum its loss. The update is real work, a
number of matrix products that is fixed once at the start, and never waits for anything: so CPU time, in one thread, is
what it takes on an idle machine. The harness's time is that of `harness.trials.loop.train_learner` less what its notes
put down to `init` and `evaluate`: order of the batches, clock, meter, curve and reports are in it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

import harness.metrics
import harness_torch
from harness import Batch, Budget, ClassLogProbs, Data, Dataset, Method, Problem, Training, hookimpl
from harness.catalog import Catalog, resolve
from harness.planning.plan import plan_trials
from harness.suites.suite import Request
from harness.trials.bench import Bench
from harness.trials.loop import train_learner
from harness.trials.record_notes import Notes
from harness.types import BackendOffer

from .paired import Ratio, Row, interleaved, ratio, show

SECONDS_PER_UPDATE = 2.5e-3
UPDATES, ROWS, BATCH_SIZE, CLASSES = 100, 1079, 32, 10  # as many rows as digits has for training
SIDE = 160  # of the matrices: one product is far shorter than an update, far longer than a call
BAR = 1.03


class Work(NamedTuple):
    """The state of the learner: `count` products of the matrix with itself make one update."""

    matrix: Tensor  # (SIDE, SIDE)
    result: Tensor  # (SIDE, SIDE)
    count: int


class Worker:
    """A learner that works for a while and learns nothing."""

    def __init__(self, count: int) -> None:
        self._count = count

    def init(self, problem: Problem, training: Training, base: Any) -> Work:
        del problem, training, base
        return Work(torch.full((SIDE, SIDE), 1 / SIDE), torch.empty(SIDE, SIDE), self._count)

    def update(self, state: Work, batch: Batch) -> tuple[Work, dict[str, Tensor]]:
        for _ in range(state.count):
            torch.mm(state.matrix, state.matrix, out=state.result)
        return state, {"loss": batch.inputs.mean()}

    def predict(self, state: Work, inputs: Tensor) -> ClassLogProbs:
        del state
        return ClassLogProbs(torch.zeros(1, len(inputs), CLASSES).log_softmax(-1), torch.zeros(1))


class ProcessNotes(Notes):
    """Notes whose phases are in CPU time."""

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        started = time.process_time()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - started


class Plugin:
    """The torch backend without its instruments, the learner, and random rows for it."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    @hookimpl
    def harness_backends(self) -> Iterator[BackendOffer]:
        yield from harness_torch.harness_backends()

    @hookimpl
    def harness_methods(self) -> Iterator[Method]:
        yield Method("work", "works for a while", lambda config: self._worker, kinds=("classification",))

    @hookimpl
    def harness_datasets(self) -> Iterator[Dataset]:
        yield Dataset("rows", "random rows", "classification", load=lambda config, seed, folder: _rows(), default=True)


def _rows() -> Data:
    """Rows as large as those of digits; a few are enough for what is not training."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(ROWS, 1, 8, 8, generator=generator)
    split = Batch(inputs, torch.arange(ROWS) % CLASSES)
    few = Batch(split.inputs[:CLASSES], split.targets[:CLASSES])
    return Data(Problem("classification", (1, 8, 8), CLASSES, ROWS), split, few, few)


def through_the_harness(worker: Worker) -> Callable[[], float]:
    """Seconds of the loop in `harness.trials.loop.train_learner`."""
    catalog = Catalog.of(harness.metrics, Plugin(worker))
    request = Request(
        methods="work", seeds="1", budget=Budget("updates", UPDATES), batch_size=BATCH_SIZE, device="cpu", threads=1
    )
    (trial,) = plan_trials(catalog, request)
    backend = resolve(catalog.backends.values()[0].factory)()
    data = _rows()

    def run() -> float:
        notes = ProcessNotes()
        bench = Bench(catalog, trial, backend, data, lambda: worker, None, notes, lambda progress: None)
        start = time.process_time()
        train_learner(bench)
        return time.process_time() - start - notes.seconds["init"] - notes.seconds["evaluate"]

    return run


def by_hand(worker: Worker) -> Callable[[], float]:
    """Seconds of the loop that one would write."""
    data = _rows()
    inputs, targets = data.train.inputs, data.train.targets

    def batches() -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(0)
        while True:
            for rows in torch.randperm(ROWS, generator=generator)[: ROWS // BATCH_SIZE * BATCH_SIZE].split(BATCH_SIZE):
                yield Batch(inputs.index_select(0, rows), targets.index_select(0, rows))

    def run() -> float:
        state = worker.init(data.problem, Training(0, "cpu", "fp32", BATCH_SIZE, UPDATES), None)
        start = time.process_time()
        loss, stream = torch.zeros(()), batches()
        for _ in range(UPDATES):
            state, scalars = worker.update(state, next(stream))
            loss += scalars["loss"]
        loss.item()
        return time.process_time() - start

    return run


def calibrated() -> Worker:
    """A learner whose update takes SECONDS_PER_UPDATE where nothing disturbs it."""
    products = 100
    worker = Worker(products)
    state = worker.init(_rows().problem, Training(0, "cpu", "fp32", BATCH_SIZE, None), None)
    batch = _rows().train

    def seconds() -> float:
        start = time.process_time()
        worker.update(state, batch)
        return time.process_time() - start

    return Worker(max(1, round(products * SECONDS_PER_UPDATE / min(seconds() for _ in range(30)))))


def harness_over_hand(rounds: int) -> Ratio:
    """CPU time of the loop through the harness over that of the loop by hand, in one thread."""
    torch.set_num_threads(1)
    worker = calibrated()
    seconds = interleaved({"harness": through_the_harness(worker), "hand": by_hand(worker)}, rounds)
    return ratio(seconds["harness"], seconds["hand"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    return show([Row("harness loop / by hand", harness_over_hand(parser.parse_args().rounds), BAR)])


if __name__ == "__main__":
    sys.exit(main())
