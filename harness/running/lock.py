"""One run at a time in a results folder. The system releases the lock when its holder dies, however it dies."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from harness.errors import UsageError

NAME = ".lock"


@contextlib.contextmanager
def hold_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, made if it is missing; processes started meanwhile do not hold it.

    Raises UsageError, before anything is run: another run holds it, or the folder cannot be written.
    """
    descriptor = _open_lock(folder)
    try:
        _acquire_lock(descriptor, folder)
        _sign_lock(descriptor)
        yield
    finally:
        os.close(descriptor)  # which releases the lock: nobody else has the descriptor, see O_CLOEXEC


def _open_lock(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise UsageError(
            f"results folder {folder}: cannot be written ({error.strerror}); choose another with --results DIR"
        ) from error


def _acquire_lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(
            f"results folder {folder}: another run{_describe_holder(descriptor)} is writing there; "
            "wait for it or choose another with --results DIR"
        ) from None
    except OSError as error:
        raise UsageError(
            f"results folder {folder}: its file system has no locks ({error.strerror}), so two runs could spoil each "
            "other's records; choose a folder on another with --results DIR"
        ) from error


def _sign_lock(descriptor: int) -> None:
    """Say who holds it. The lock holds on a full disk as well."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    holder = {"process": os.getpid(), "host": platform.node(), "started": now}
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _describe_holder(descriptor: int) -> str:
    """Describe the holder, as far as it has said so yet."""
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return f" (process {holder['process']} on {holder['host']}, started {holder['started']})"
    except (ValueError, KeyError, TypeError):
        return ""
