"""Fixtures that every test may use."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
import torch

from harness import hookimpl
from harness.catalog import Catalog

# A shell lets what it starts in the background ignore Ctrl-C, and nohup a hang-up: so would every run that a test ends.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

os.environ.pop("COLUMNS", None)  # of processes that share the tests, which are told that a line has 80

if not torch.cuda.is_available():
    # Read when Triton is imported, by whatever test comes first: without a GPU its kernels are interpreted.
    os.environ.setdefault("TRITON_INTERPRET", "1")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes go by their parameter: archives hold the time, and processes that share the tests must call them alike."""
    return argname if isinstance(val, bytes) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no CUDA device on this machine"))


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
