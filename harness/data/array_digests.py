"""Digests of arrays, by which a record says what data its trial was given."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from harness.types import Array, Batch, Data

# numpy takes longer to import than a listing may; see `subset`.
if TYPE_CHECKING:
    from numpy.typing import NDArray

BYTES_AT_ONCE = 2**24
LENGTH = 16


def digest_splits(data: Data) -> dict[str, str]:
    """A digest of the inputs and targets of every split: `train.inputs`, `shifted.NAME.targets`; shape and type count.

    An array of a kind that cannot be read on the host has none.
    """
    splits = {"train": data.train, "valid": data.valid, "test": data.test}
    splits |= {f"shifted.{name}": split for name, split in data.shifted.items()}
    arrays = {
        f"{name}.{part}": getattr(split, part) for name, split in splits.items() for part in ("inputs", "targets")
    }
    found = {name: _digest_if_readable(array) for name, array in arrays.items()}
    return {name: digest for name, digest in found.items() if digest is not None}


def digest_rows(split: Batch) -> NDArray[Any] | None:
    """A digest of 64 bits of the inputs and the target of each row, (N,) uint64, the same wherever the row stands; None
    for arrays that cannot be read on the host.
    """
    import numpy as np

    with contextlib.suppress(Exception):
        inputs, targets = map(_read_on_host, split[:2])
        found = [
            hashlib.blake2b(row.tobytes() + target.tobytes(), digest_size=8).digest()
            for row, target in zip(inputs, targets, strict=True)
        ]
        return np.frombuffer(b"".join(found), np.uint64)
    return None


def digest_array(array: Array) -> str:
    """Digest type, shape and bytes: equal for equal arrays, whichever way they lie in memory."""
    values = _read_on_host(array)
    whole = hashlib.sha256(f"{values.dtype.str}{values.shape}".encode())
    if values.dtype.hasobject:  # bytes would be addresses
        whole.update(repr(values.tolist()).encode())
    else:
        for piece in _iterate_pieces(values):
            whole.update(piece)
    return whole.hexdigest()[:LENGTH]


def _read_on_host(array: Any) -> NDArray[Any]:
    """A numpy array of what numpy can read, or of what gives itself as one or as lists."""
    import numpy as np

    if isinstance(array, np.ndarray):
        return array
    ways = [way for name in ("numpy", "tolist") if (way := getattr(array, name, None))]
    for way in ways:
        with contextlib.suppress(Exception):  # on another device, or of a type that numpy lacks
            return np.asarray(way())
    if ways:
        raise TypeError(f"{type(array).__name__} cannot be read on the host")
    return np.asarray(array)


def _iterate_pieces(values: NDArray[Any]) -> Iterator[memoryview]:
    """The bytes of some rows at a time: what does not lie in one piece is copied piece by piece."""
    import numpy as np

    values = np.atleast_1d(values)
    rows = max(1, BYTES_AT_ONCE // max(1, values[:1].nbytes))
    for start in range(0, len(values), rows):
        piece = np.ascontiguousarray(values[start : start + rows])
        if piece.nbytes:
            yield piece.reshape(-1).view(np.uint8).data


def _digest_if_readable(array: Array) -> str | None:
    try:
        return digest_array(array)
    except Exception:
        return None
