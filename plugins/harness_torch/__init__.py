"""The torch backend: devices, batches, clocks; and the instruments that look at torch.

Importing this package imports no torch: the descriptors name their factories as text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from harness import BackendOffer, Check, Instrument, Metric, hookimpl
from harness_torch import checks, offers

harness_interface = 2

if TYPE_CHECKING:
    import click

    from harness_torch.marks import counted, spikes, time_steps
    from harness_torch.phases import phase

__all__ = ["counted", "phase", "spikes", "time_steps"]


def __getattr__(name: str) -> Any:
    """Import the marks of a method: a hand-written backward or step, its time steps, its spikes.

    torch is imported with the first of them.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from harness_torch import marks, phases  # named, so that keys follow them

    return getattr(phases if name == "phase" else marks, name)


@hookimpl
def harness_backends() -> Iterable[BackendOffer]:
    yield BackendOffer(
        name="torch",
        factory="harness_torch.backend.torch_backend:TorchBackend",
        check="harness_torch.backend.devices:check",
        # The first torch.optim optimiser imports torch._dynamo, which takes longer than many a trial.
        preload=("torch", "torch._dynamo", "safetensors.torch", "harness_torch.backend.torch_backend"),
        requires=("torch",),
        operators=("aten", "prim", "prims", "profiler"),
    )


@hookimpl
def harness_instruments() -> Iterable[Instrument]:
    yield from offers.instruments()


@hookimpl
def harness_metrics() -> Iterable[Metric]:
    yield from offers.metrics()


@hookimpl
def harness_checks() -> Iterable[Check]:
    yield from checks.checks()


@hookimpl
def harness_commands(cli: click.Group) -> None:
    from harness_torch.agreement.agree_command import agree
    from harness_torch.profiling.profile_command import profile

    cli.add_command(agree)
    cli.add_command(profile)
