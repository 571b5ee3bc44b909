"""What methods that train and compress recurrent networks share; this package registers none, but the formats in which
those of the family are exported.

`compress` makes a module of torch smaller, without a run: `from harness_recurrent import compress`. It alone imports
torch, when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from harness import Export, Method, hookimpl
from harness_recurrent.config import FAMILY

if TYPE_CHECKING:
    from harness_recurrent.modules import Compressed, compress

__all__ = ["Compressed", "compress", "harness_exports", "harness_interface", "harness_methods"]

harness_interface = 2


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield from ()


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
