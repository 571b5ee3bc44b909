"""Signals that ask the program to end: all of them end it as Ctrl-C does, with what it holds put in order."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from harness import starting

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SECONDS_TO_CLEAN_UP = 2.0


class Stopped(KeyboardInterrupt):
    """A signal came."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextlib.contextmanager
def as_interrupts(restore: bool) -> Iterator[Handler]:
    """Within, each of them is raised as Stopped; those that were ignored, as under nohup, still are.

    restore: whether others come after us. As the program ends, a late Ctrl-C must not stop what Python has to do. It
    gives handlers back last of all, and a signal that came then would end the process with another code, but what is
    ignored stays so.
    """
    handler = Handler()
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, known in before.items():
        if known in (signal.SIG_DFL, signal.default_int_handler, starting.end_interrupted):
            signal.signal(number, handler)
    try:
        yield handler
    finally:
        handler.leaving = True
        for number, known in before.items():
            if restore:
                signal.signal(number, known)
            elif signal.getsignal(number) is handler:
                signal.signal(number, signal.SIG_IGN)


class Handler:
    """Raises, but not twice within the seconds that cleaning up takes, and no more once all that is left is to leave.

    An impatient user presses Ctrl-C again: that must neither spoil the cleaning up nor end in a traceback. Where
    something hangs, pressing it again later helps.
    """

    def __init__(self) -> None:
        self.leaving = False
        self._quiet_until = float("-inf")

    def __call__(self, number: int, frame: FrameType | None) -> None:
        del frame
        now = time.monotonic()
        if not self.leaving and now >= self._quiet_until:
            self._quiet_until = now + SECONDS_TO_CLEAN_UP
            raise Stopped(number)


def describe_stop(stop: BaseException) -> tuple[str, int]:
    """Describe an interrupt, with its exit code: 128 and the signal's number, as a shell has it."""
    number = stop.number if isinstance(stop, Stopped) else signal.SIGINT
    said = "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
    return said + (f": {stop}" if str(stop) else ""), 128 + number
