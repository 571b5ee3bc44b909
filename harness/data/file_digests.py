"""Digests of files: of their bytes, and of what they hold where they are compressed."""

from __future__ import annotations

import functools
import gzip
import hashlib
import zlib
from pathlib import Path

GZIP = b"\x1f\x8b"
BLOCK = 1 << 20
RATIO = 1100  # gzip compresses at most so many times


def stamp_file(path: Path) -> str:
    """A text that changes whenever a file may have changed: its size, and when it and its entry were last modified."""
    now = path.stat()
    return f"{now.st_size}-{now.st_mtime_ns}-{now.st_ctime_ns}"


def digest_file(path: Path, algorithm: str) -> str:
    """Digest the bytes of a file; computed once per process as long as its stamp stays the same."""
    return _digest_stamped(path, stamp_file(path), algorithm)


def digest_unpacked(path: Path) -> str:
    """Digest the content of a gzip file, as far as it can be read; of another file's bytes. Computed once, likewise."""
    return _digest_unpacked_stamped(path, stamp_file(path))


# The key holds everything that tells one version of a file from another, so an entry never goes stale.
@functools.lru_cache(maxsize=4096)
def _digest_stamped(path: Path, stamp: str, algorithm: str) -> str:
    del stamp
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


@functools.lru_cache(maxsize=4096)
def _digest_unpacked_stamped(path: Path, stamp: str) -> str:
    with path.open("rb") as stream:
        packed = stream.read(len(GZIP)) == GZIP
    if not packed:
        return _digest_stamped(path, stamp, "md5")
    found = hashlib.md5(usedforsecurity=False)
    with gzip.GzipFile(path) as unpacked:
        _feed_digest(found, unpacked, RATIO * path.stat().st_size)
    return found.hexdigest()


def _feed_digest(found: hashlib._Hash, stream: gzip.GzipFile, most: int) -> None:
    """Up to where a damaged file ends: its digest is another one then."""
    try:
        while most > 0 and (block := stream.read(BLOCK)):
            most -= len(block)
            found.update(block)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        found.update(b"damaged")
