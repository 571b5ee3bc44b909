"""Hidden nodes kept at random."""

from __future__ import annotations

from collections.abc import Iterator

from harness import Method, hookimpl

harness_interface = 2


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield from ()
