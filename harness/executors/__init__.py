"""Ways to run trials: each in a fresh process of this machine, or all in the process of the command."""

from __future__ import annotations

from collections.abc import Iterator

from harness.hookspecs import hookimpl
from harness.types import ExecutorOffer


@hookimpl
def harness_executors() -> Iterator[ExecutorOffer]:
    """The two executors that come with the harness."""
    yield ExecutorOffer(
        "local",
        "a fresh process per trial on this machine; a crash, a hang or lack of memory costs one trial",
        factory="harness.executors.local:LocalExecutor",
        cohorts=True,
    )
    yield ExecutorOffer(
        "here",
        "one trial after the other in this process, for debuggers: no isolation, no limits",
        factory="harness.executors.here:HereExecutor",
    )
