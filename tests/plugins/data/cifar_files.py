"""CIFAR's pickles as Python 2 wrote them, written without the reader under test."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

NAMES = [b"airplane", b"automobile", b"bird", b"cat", b"deer", b"dog", b"frog", b"horse", b"ship", b"truck"]


def write(path: Path, content: Any) -> None:
    """A pickle with numpy under the names that it had when the official files were made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))


def images(rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=(rows, 3072), dtype=np.uint8)


def write_cifar10(folder: Path, rows: int = 20, batches: tuple[int, ...] = (1, 2, 3, 4, 5)) -> dict[str, Any]:
    """The files of CIFAR-10 below the data folder, as many rows in each; returns what is in them by name."""
    content: dict[str, Any] = {f"data_batch_{n}": _batch(rows, n, b"labels", 10) for n in batches}
    content["test_batch"] = _batch(rows, 0, b"labels", 10)
    content["batches.meta"] = {b"num_cases_per_batch": rows, b"label_names": NAMES, b"num_vis": 3072}
    for name, values in content.items():
        write(folder / "cifar-10-batches-py" / name, values)
    return content


def write_cifar100(folder: Path, rows: int = 200) -> dict[str, Any]:
    """The files of CIFAR-100 below the data folder; returns what is in them by name."""
    content: dict[str, Any] = {
        "train": _batch(rows, 1, b"fine_labels", 100),
        "test": _batch(50, 2, b"fine_labels", 100),
    }
    for name in ("train", "test"):
        content[name][b"coarse_labels"] = [label // 5 for label in content[name][b"fine_labels"]]
    content["meta"] = {b"fine_label_names": [b"%d" % n for n in range(100)], b"coarse_label_names": [b"x"] * 20}
    for name, values in content.items():
        write(folder / "cifar-100-python" / name, values)
    return content


def _batch(rows: int, seed: int, key: bytes, classes: int) -> dict[bytes, Any]:
    return {
        b"data": images(rows, seed),
        key: [(7 * row + seed) % classes for row in range(rows)],
        b"batch_label": b"a batch",
        b"filenames": [b"%d.png" % row for row in range(rows)],
    }
