"""What methods that train and compress recurrent networks share; this package registers none.

`compress` makes a module of torch smaller, without a run: `from harness_recurrent import compress`. It alone imports
torch, when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from harness import Method, hookimpl

if TYPE_CHECKING:
    from harness_recurrent.modules import Compressed, compress

__all__ = ["Compressed", "compress", "harness_interface", "harness_methods"]

harness_interface = 2


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield from ()


def __getattr__(name: str) -> Any:
    if name in ("Compressed", "compress"):
        from harness_recurrent import modules

        return getattr(modules, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
