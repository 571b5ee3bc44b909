"""Guards of the process as a whole: no plugin's code changes it for the others; it is put back afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD)
STREAMS = (0, 1, 2)


@contextlib.contextmanager
def guard_process() -> Iterator[None]:
    """Within, the working directory, the umask, signal handlers and standard streams may change; not beyond."""
    keep = [_keep_names(), _keep_folder(), _keep_umask(), _keep_signals(), _keep_descriptors()]
    try:
        yield
    finally:
        for put_back in keep:
            with contextlib.suppress(OSError, ValueError):
                put_back()


def is_raised_by_plugin(interrupt: KeyboardInterrupt) -> bool:
    """Whether a plugin has raised it, not Ctrl-C: the command line's own handler raises another kind."""
    return type(interrupt) is KeyboardInterrupt and signal.getsignal(signal.SIGINT) is not signal.default_int_handler


def _keep_names() -> Callable[[], None]:
    """The objects that everybody finds under these names."""
    kept = [(owner, name, getattr(owner, name)) for owner, name in _NAMES]

    def put_back() -> None:
        for owner, name, value in kept:
            if getattr(owner, name, None) is not value:
                setattr(owner, name, value)

    return put_back


_NAMES = (*((sys, name) for name in ("stdin", "stdout", "stderr", "exit", "excepthook")), (os, "environ"))


def _keep_folder() -> Callable[[], None]:
    before = _read_working_folder()
    return lambda: os.chdir(before) if before and _read_working_folder() != before else None


def _read_working_folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - of no use as a path
    except OSError:
        return None


def _keep_umask() -> Callable[[], None]:
    before = os.umask(0o077)
    os.umask(before)

    def put_back() -> None:
        os.umask(before)

    return put_back


def _keep_signals() -> Callable[[], None]:
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    kept = {number: signal.getsignal(number) for number in SIGNALS}

    def put_back() -> None:
        for number, handler in kept.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)

    return put_back


def _keep_descriptors() -> Callable[[], None]:
    kept: dict[int, int] = {}
    for number in STREAMS:
        with contextlib.suppress(OSError):
            kept[number] = os.dup(number)

    def put_back() -> None:
        for number, copy in kept.items():
            if _identify_file(number) != _identify_file(copy):
                os.dup2(copy, number)
            os.close(copy)

    return put_back


def _identify_file(number: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(number)
    except OSError:
        return None
    return found.st_dev, found.st_ino
