"""Fixtures that every test may use."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

# Before torch and numpy are imported, and for every process that a test starts: with more threads, tests that share the
# cores wait for each other. A test that wants more asks for them.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch
from sampling import mark_left_out

from harness import hookimpl
from harness.catalog import Catalog

torch.set_num_threads(1)  # should something have imported it before

# A shell lets what it starts in the background ignore Ctrl-C, and nohup a hang-up: so would every run that a test ends.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

FEW = 5
FROZEN = [0]  # how many modules there were when objects were last set aside
os.environ.pop("COLUMNS", None)  # of processes that share the tests, which are told that a line has 80

if not torch.cuda.is_available():
    # Read when Triton is imported, by whatever test comes first: without a GPU its kernels are interpreted.
    os.environ.setdefault("TRITON_INTERPRET", "1")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes go by their parameter: archives hold the time, and processes that share the tests must call them alike."""
    return argname if isinstance(val, bytes) else None


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """One process for a few files, all cores for folders."""
    files = [Path(each.partition("::")[0]) for each in config.args]
    return 0 if len(files) <= FEW and all(file.suffix == ".py" for file in files) else None


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_left_out(items)
    if torch.cuda.is_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no CUDA device on this machine"))


# By itself Python would collect, at every import of torch's exporters say, what never becomes garbage.
gc.set_threshold(50_000, 20, 20)


@pytest.fixture(scope="module", autouse=True)
def _few_objects_to_look_through():
    """As the server before a trial: what is there before the tests of a file no collection of theirs looks through."""
    _freeze()


@pytest.fixture(autouse=True)
def _no_modules_to_look_through():
    """Nor what the tests before have imported: a run collects several times, and a library is 100,000 objects."""
    if len(sys.modules) != FROZEN[-1]:
        _freeze()


def _freeze() -> None:
    gc.collect()
    gc.freeze()
    FROZEN[:] = [len(sys.modules)]


class Torch:
    """The backend without its instruments: a tiny trial is over before they have looked around."""

    @hookimpl
    def harness_backends(self):
        import harness_torch

        yield from harness_torch.harness_backends()


@pytest.fixture
def catalog_of() -> Callable[..., Catalog]:
    """A catalogue of the core's own plugins, the torch backend, and the tiny plugins that a test declares."""
    import harness.executors
    import harness.metrics

    def build(*plugins: object) -> Catalog:
        return Catalog.of(harness.metrics, harness.executors, Torch(), *plugins)

    return build
