"""Downloads that end: no more bytes than were declared or there is room for, and no slower than a lowest rate."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from harness.errors import HarnessError
from harness.words import clean_line

BLOCK = 1 << 16
STALL = 30  # seconds without a byte
LARGEST = 1 << 36  # bytes of a file whose size nobody declares
LONGEST_REASON = 200
SCHEMES = ("https://", "http://", "ftp://", "sftp://", "doi:")

# What is said of an answer that is shorter than announced.
_ENDED = re.compile(r"IncompleteRead\((\d+) bytes read")

# Called with a URL, the bytes that have come from it, and their total: 0 where the server does not tell.
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Pace:
    """How slow a server may be: `rate` bytes a second on average, after `grace` seconds. So every download ends."""

    grace: float = 30.0
    rate: float = 20_000.0

    def allow_seconds(self, size: int) -> float:
        """How long so many bytes may take."""
        return self.grace + size / self.rate


def download_file(url: str, path: Path, declared: int | None, report: Report, pace: Pace) -> None:
    """Write what is at the URL to the path. `declared`: its size in bytes, where that is known.

    Raises HarnessError as soon as more comes or is announced than is declared or there is room for, where the server is
    slower than the pace allows, and where it ends too early.
    """
    with path.open("wb") as file:
        sink = _Sink(url, file, declared, shutil.disk_usage(path.parent).free, report)
        threading.Thread(target=sink.run_download, daemon=True).start()
        try:
            sink.wait_for_end(pace)
        finally:
            sink.stopped = True
    if sink.error is not None:
        raise HarnessError(sink.explain_error()) from sink.error


def require_room(folder: Path, size: int) -> None:
    """Raise HarnessError where so many bytes do not fit on the disk of the folder."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise HarnessError(f"{size:,} bytes do not fit: {free:,} are free on the disk of {folder}")


class _Sink:
    """A file, and a progress bar, as pooch takes them. It is filled in a thread of its own.

    A server may keep any call waiting, in its answer's head too: only another thread can watch the time.
    """

    def __init__(self, url: str, file: IO[bytes], declared: int | None, room: int, report: Report) -> None:
        self.stopped = False
        self.error: BaseException | None = None
        self._url, self._file, self._declared, self._room, self._report = url, file, declared, room, report
        self._done = self._total = 0
        self._ended = threading.Event()

    def run_download(self) -> None:
        """Download; what goes wrong is kept for the thread that waits."""
        try:
            _choose_downloader(self._url, self)(self._url, self, None)
        except BaseException as error:
            self.error = error
        finally:
            self._ended.set()

    def wait_for_end(self, pace: Pace) -> None:
        """Until all has come. Raises HarnessError for a server that is too slow."""
        began = time.monotonic()
        while not self._ended.wait(max(0.0, began + pace.allow_seconds(self._done) - time.monotonic())):
            if (spent := time.monotonic() - began) > pace.allow_seconds(self._done):
                raise HarnessError(
                    f"only {self._done:,} bytes came in {spent:.0f} seconds: given up, as "
                    f"{pace.grace:g} seconds and then {pace.rate:,.0f} bytes a second are expected; try again later"
                )

    def explain_error(self) -> str:
        """The fault in a line."""
        error = self.error
        if isinstance(error, HarnessError):
            return str(error)
        text = _describe_error(error) if error is not None else ""
        if self._done < self._total and (ended := _ENDED.search(text)):
            return f"the answer ended after {int(ended[1]):,} of {self._total:,} bytes"
        return text

    def write(self, block: bytes) -> None:
        """As a file does."""
        if self.stopped:
            raise HarnessError("given up")
        self._require_size(self._done + len(block), "sent")
        self._file.write(block)
        self._done += len(block)
        self._report(self._url, self._done, max(self._total, self._done) if self._total else 0)

    def flush(self) -> None:
        """As a file does; nobody reads before the end."""

    @property
    def total(self) -> int:
        """The size that the server announces; 0 where it does not."""
        return self._total

    @total.setter
    def total(self, size: int) -> None:
        self._total = size
        self._require_size(size, "announced")

    def _require_size(self, size: int, verb: str) -> None:
        most = LARGEST if self._declared is None else self._declared
        if size > most:
            kind = "are declared" if self._declared is not None else "are taken at most where no size is declared"
            raise HarnessError(f"{size:,} bytes or more were {verb}, {most:,} {kind}: not the declared file")
        if size > self._room:
            raise HarnessError(f"{size:,} bytes were {verb}, {self._room:,} are free in the data folder: no room")

    def update(self, count: int) -> None:
        """As a progress bar does; `write` counts."""

    def reset(self) -> None:
        """As a progress bar does."""

    def close(self) -> None:
        """As a progress bar does."""


def _choose_downloader(url: str, bar: _Sink) -> Any:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    if not url.startswith(SCHEMES):
        raise HarnessError(f"this is no address: one begins with {', '.join(SCHEMES[:-1])} or {SCHEMES[-1]}")
    if not url.startswith(("http://", "https://")):
        return pooch.downloaders.choose_downloader(url)
    # A server that compresses on the way would deliver other bytes than those that were hashed.
    plain = {"Accept-Encoding": "identity"}
    return pooch.HTTPDownloader(progressbar=bar, chunk_size=BLOCK, headers=plain, timeout=STALL)


def _describe_error(error: BaseException) -> str:
    """Word the answer of a server, or its absence."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return clean_line(f"the server answered {error.response.status_code} {error.response.reason}", LONGEST_REASON)
    if isinstance(error, requests.Timeout):
        return f"nothing came for {STALL} seconds"
    cause = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(error, requests.ConnectionError) and cause is not None:
        said = str(cause)
        return clean_line(f"no connection: {said.partition(': ')[2] or said}", LONGEST_REASON)
    return shorten_error(error)


def shorten_error(error: BaseException) -> str:
    """An error's message, in a line that is not too long."""
    return clean_line(str(error), LONGEST_REASON) or type(error).__name__
