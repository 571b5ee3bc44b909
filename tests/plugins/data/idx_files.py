"""IDX files as the format's description has them, written without the reader under test."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np


def idx(values: np.ndarray, type_code: int = 8) -> bytes:
    """The bytes of an IDX file of unsigned bytes: magic, big-endian sizes, values row by row."""
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, type_code, values.ndim, *values.shape)
    return header + values.astype(np.uint8).tobytes()


def write_mnist(folder: Path, train: int, test: int, seed: int = 0, name: str = "mnist") -> dict[str, np.ndarray]:
    """The four files of MNIST below the data folder, with random rows; returns what is in them by name."""
    random = np.random.default_rng(seed)
    content: dict[str, np.ndarray] = {}
    for split, rows in (("train", train), ("t10k", test)):
        content[f"{split}-images-idx3-ubyte"] = random.integers(256, size=(rows, 28, 28), dtype=np.uint8)
        content[f"{split}-labels-idx1-ubyte"] = random.integers(10, size=rows, dtype=np.uint8)
    (folder / name).mkdir(parents=True)
    for file, values in content.items():
        (folder / name / f"{file}.gz").write_bytes(gzip.compress(idx(values), compresslevel=1))
    return content
