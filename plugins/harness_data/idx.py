"""The IDX format of MNIST: two zero bytes, type, number of dimensions, their sizes, the values; all big-endian."""

from __future__ import annotations

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness import HarnessError

UNSIGNED_BYTE = 0x08
GZIP = b"\x1f\x8b"
BLOCK = 1 << 16


def read(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read the unsigned bytes of an IDX file with so many dimensions; the file may be compressed with gzip.

    Raises HarnessError that names the file, the expected bytes and those found.
    """
    content = _read_content(path)
    magic = bytes([0, 0, UNSIGNED_BYTE, dimensions])
    if content[:4] != magic[: len(content)]:
        found = content[:4].hex(" ")
        raise HarnessError(
            f"{path}: not an IDX file of {dimensions}-dimensional bytes: begins with {found}, expected {magic.hex(' ')}"
        )
    start = len(magic) + 4 * dimensions
    _require_bytes(path, content, start, exactly=False)
    shape = np.frombuffer(content, ">u4", dimensions, len(magic)).tolist()
    _require_bytes(path, content, start + prod(shape), exactly=True)
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _require_bytes(path: Path, content: bytes, expected: int, exactly: bool) -> None:
    found = len(content)
    if found < expected or (exactly and found > expected):
        what = "truncated" if found < expected else "too long"
        raise HarnessError(
            f"{path}: {what}: {found} bytes (uncompressed), expected {expected}; harness data verify checks it"
        )


def _read_content(path: Path) -> bytes:
    """Read the uncompressed bytes, as far as a broken file gives them."""
    try:
        with path.open("rb") as stream:
            compressed = stream.read(len(GZIP)) == GZIP
        return _decompress(path) if compressed else path.read_bytes()
    except OSError as error:
        raise HarnessError(f"{path}: cannot be read: {error.strerror or error}") from error


def _decompress(path: Path) -> bytes:
    blocks: list[bytes] = []
    with gzip.open(path) as stream:
        try:
            while block := stream.read1(BLOCK):
                blocks.append(block)
        except EOFError:
            pass  # what is missing shows in the number of bytes
        except (gzip.BadGzipFile, zlib.error) as error:
            raise HarnessError(
                f"{path}: damaged after {sum(map(len, blocks))} bytes (uncompressed): {error}"
            ) from error
    return b"".join(blocks)
