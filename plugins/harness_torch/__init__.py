"""The torch backend: devices, batches, clocks; and the instruments that see what torch does.

Importing this package imports no torch: the descriptors name their factories as text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from harness import BackendOffer, Instrument, Metric, hookimpl
from harness_torch import offers

if TYPE_CHECKING:
    from harness_torch.phases import phase

__all__ = ["phase"]


def __getattr__(name: str) -> Any:
    """`harness_torch.phase` marks a backward pass or a step that is written by hand; torch is imported with it."""
    if name == "phase":
        from harness_torch.phases import phase

        return phase
    raise AttributeError(name)


@hookimpl
def harness_backends() -> Iterable[BackendOffer]:
    yield BackendOffer(
        name="torch",
        factory="harness_torch.backend:TorchBackend",
        check="harness_torch.devices:check",
        # The first torch.optim optimiser imports torch._dynamo, which takes longer than many a trial.
        preload=("torch", "torch._dynamo", "safetensors.torch", "harness_torch.backend"),
        requires=("torch",),
    )


@hookimpl
def harness_instruments() -> Iterable[Instrument]:
    yield from offers.instruments()


@hookimpl
def harness_metrics() -> Iterable[Metric]:
    yield from offers.metrics()
