"""Shared code of the methods that train and compress recurrent networks.

It registers no method; it offers the formats in which those of the family are exported, the instruments `occam_bound`
and `train_error_gap`, and the command `harness bound`. `compress` makes a module of torch smaller, without a run:
`from harness_recurrent import compress`. It alone imports torch, when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from harness import Export, Instrument, Metric, hookimpl
from harness_recurrent.config import FAMILY

if TYPE_CHECKING:
    import click

    from harness_recurrent.modules import Compressed, compress

__all__ = [
    "Compressed",
    "compress",
    "harness_commands",
    "harness_exports",
    "harness_instruments",
    "harness_interface",
    "harness_metrics",
]

harness_interface = 2

GAP = "test error less training error"
OCCAM = "bound of the test error by the length of the network at 8 bits, with 95 %; less than 1 or it says nothing"


@hookimpl
def harness_metrics() -> Iterator[Metric]:
    """Metrics of the Occam bound, and of the gap that it is compared with."""
    quantity = partial(Metric, unit="", better="lower", kinds=("classification",), measures="quantity")
    yield quantity("occam_bound", OCCAM)
    yield quantity("train_error_gap", GAP, better="neither")


@hookimpl
def harness_instruments() -> Iterator[Instrument]:
    """Instruments of the same, on request alone, since they predict all training rows."""
    instrument, of = partial(Instrument, on_request=True), "harness_recurrent.bound_instrument"
    yield instrument("occam_bound", OCCAM, factory=f"{of}:OccamBound")
    yield instrument("train_error_gap", GAP, factory=f"{of}:TrainErrorGap")


@hookimpl
def harness_commands(cli: click.Group) -> None:
    from harness_recurrent.bound_command import bound

    cli.add_command(bound)


@hookimpl
def harness_exports() -> Iterator[Export]:
    yield Export(
        "torch",
        "torch's own modules, with a state dict in safetensors and the lines of Python that build and load them",
        write="harness_recurrent.exporting:write_torch",
        families=(FAMILY,),
    )
    yield Export(
        "pt2",
        "a program of torch.export, for any number of rows",
        write="harness_recurrent.exporting:write_pt2",
        families=(FAMILY,),
    )
    yield Export(
        "onnx",
        "ONNX, for any number of rows, checked by onnxruntime",
        write="harness_recurrent.exporting:write_onnx",
        families=(FAMILY,),
        requires=("onnx", "onnxscript", "onnxruntime"),
    )


def __getattr__(name: str) -> Any:
    if name in ("Compressed", "compress"):
        from harness_recurrent import modules

        return getattr(modules, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
