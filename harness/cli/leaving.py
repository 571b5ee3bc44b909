"""The end of the program, which a thread that a plugin has left behind cannot put off."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence

from harness.words import clean_line

PATIENCE_SECONDS = 10.0


def leave_threads(code: int) -> None:
    """Wait some seconds for threads, not forever: as Python ends it waits for every one that is no daemon."""
    left = [each for each in threading.enumerate() if each is not threading.current_thread() and not each.daemon]
    if left:
        threading.Thread(target=_join_threads, args=(code, left), daemon=True).start()


def _join_threads(code: int, threads: Sequence[threading.Thread]) -> None:
    limit = time.monotonic() + PATIENCE_SECONDS
    for thread in threads:
        thread.join(max(0.0, limit - time.monotonic()))
    names = ", ".join(thread.name for thread in threads if thread.is_alive())
    if names:
        with contextlib.suppress(OSError):
            os.write(2, f"harness: a plugin's thread still runs and is left behind: {clean_line(names)}\n".encode())
        os._exit(code)
