"""What methods that train and compress recurrent networks share; this package registers none."""

from __future__ import annotations

from collections.abc import Iterator

from harness import Method, hookimpl

harness_interface = 2


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield from ()
