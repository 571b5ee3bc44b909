"""Reading the official IDX format, and what is said of files that are not in it."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from idx_files import idx

from harness import HarnessError
from harness_data.idx import read

VALUES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


def write(folder: Path, content: bytes) -> Path:
    path = folder / "values-idx3-ubyte.gz"
    path.write_bytes(content)
    return path


def test_the_example_of_the_format(tmp_path):
    """Two labels, byte by byte."""
    path = write(tmp_path, bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 255]))
    values = read(path, 1)
    assert values.dtype == np.uint8
    assert values.tolist() == [7, 255]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("values", [VALUES, VALUES[:0], VALUES.ravel(), np.zeros((300, 1), np.uint8)])
def test_values_come_back_compressed_or_not(tmp_path, pack, values):
    found = read(write(tmp_path, pack(idx(values))), values.ndim)
    assert found.shape == values.shape
    assert np.array_equal(found, values)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("length", [15, 16, 17, 39])
def test_a_truncated_file(tmp_path, pack, length):
    path = write(tmp_path, pack(idx(VALUES)[:length]))
    with pytest.raises(HarnessError, match=rf"{path}: truncated: {length} bytes.*expected {40 if length > 15 else 16}"):
        read(path, 3)


def test_a_compressed_stream_that_breaks_off(tmp_path):
    values = np.random.default_rng(0).integers(256, size=(50, 60, 70), dtype=np.uint8)
    content = gzip.compress(idx(values))
    path = write(tmp_path, content[: len(content) // 2])
    with pytest.raises(HarnessError, match=rf"{path}: truncated: \d+ bytes.*expected {16 + values.size}"):
        read(path, 3)


def test_a_file_with_bytes_too_many(tmp_path):
    path = write(tmp_path, idx(VALUES) + b"!")
    with pytest.raises(HarnessError, match=rf"{path}: too long: 41 bytes.*expected 40"):
        read(path, 3)


@pytest.mark.parametrize(
    "content, found",
    [
        (idx(VALUES.ravel()), "00 00 08 01"),
        (idx(VALUES, type_code=0x0D), "00 00 0d 03"),
        (b"<html>moved</html>", "3c 68 74 6d"),
        (b"\x01", "01"),
    ],
)
def test_another_magic_number(tmp_path, content, found):
    path = write(tmp_path, content)
    with pytest.raises(HarnessError, match=rf"{path}: .*begins with {found}, expected 00 00 08 03"):
        read(path, 3)


def test_an_empty_file(tmp_path):
    with pytest.raises(HarnessError, match="truncated: 0 bytes"):
        read(write(tmp_path, b""), 3)


@pytest.mark.parametrize("place", [5, 60, -6])
def test_damaged_compression(tmp_path, place):
    """In the header, in the stream, in the checksum at its end."""
    values = np.random.default_rng(0).integers(0, 40, size=(5, 6, 70), dtype=np.uint8)
    content = bytearray(gzip.compress(idx(values), mtime=0))
    content[place] ^= 0xFF
    path = write(tmp_path, bytes(content))
    if place == 5:  # the time of modification, which says nothing about the values
        assert np.array_equal(read(path, 3), values)
        return
    with pytest.raises(HarnessError, match=str(path)):
        read(path, 3)


def test_a_file_that_is_gone(tmp_path):
    with pytest.raises(HarnessError, match=f"{tmp_path}/none: cannot be read: No such file"):
        read(tmp_path / "none", 3)
