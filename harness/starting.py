"""Ctrl-C while the program is still being imported: nothing has begun that would have to be put in order.

Until the command line takes over it ends the program, in a word. For whoever else imports us nothing changes.
"""

import os
import signal
import sys

INTERRUPTED = 130


def end_interrupted(*_: object) -> None:
    """Say it past all streams, which may not stand yet, and end."""
    os.write(2, b"harness: interrupted\n")
    os._exit(INTERRUPTED)


def _watch_interrupts() -> None:
    """Watch for interrupts while the program starts.

    Of `python -m harness`, "-m" is all that the interpreter has put in place when it imports the package.
    """
    name = sys.argv[0] if getattr(sys, "argv", None) else ""
    if name != "-m" and os.path.basename(name) != "harness":  # noqa: PTH119 - pathlib would take longer
        return
    try:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, end_interrupted)
    except ValueError:  # not in the main thread: this is no start of a program
        return


_watch_interrupts()
