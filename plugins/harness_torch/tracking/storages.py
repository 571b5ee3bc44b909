"""Storages behind tensors: those that exist, their owners, their births and deaths.

A storage is the memory that a device really allocates; views, aliases and in-place results share one. Storages are told
apart by the address of their implementation, which is unique while they live; a weak reference says when they die, be
it that only the autograd engine held them.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

COMPRESSED_ROWS = (torch.sparse_csr, torch.sparse_bsr)
COMPRESSED_COLUMNS = (torch.sparse_csc, torch.sparse_bsc)


def find_storages(tensor: Tensor) -> Iterator[torch.UntypedStorage]:
    """Find the storages that a tensor keeps alive: one if it is dense, indices and values if it is sparse.

    None for tensors without memory of their own to look at (meta tensors, opaque layouts).
    """
    for part in _list_dense_parts(tensor):
        try:
            storage = part.untyped_storage()
        except (NotImplementedError, RuntimeError):
            continue
        if storage.device.type != "meta":
            yield storage


def _list_dense_parts(tensor: Tensor) -> tuple[Tensor, ...]:
    if tensor.layout == torch.sparse_coo:
        return tensor._indices(), tensor._values()
    if tensor.layout in COMPRESSED_ROWS:
        return tensor.crow_indices(), tensor.col_indices(), tensor.values()
    if tensor.layout in COMPRESSED_COLUMNS:
        return tensor.ccol_indices(), tensor.row_indices(), tensor.values()
    if hasattr(tensor, "__tensor_flatten__"):
        return tuple(getattr(tensor, name) for name in tensor.__tensor_flatten__()[0])
    return (tensor,)


def find_live_tensors() -> list[Tensor]:
    """Find every tensor that Python can reach. Tensors that only the autograd engine holds are not among them."""
    # The type is looked up, not asked: isinstance would wake lazy proxies, and takes three times as long.
    kinds = set(_walk_subclasses(Tensor))
    return [thing for thing in gc.get_objects() if type(thing) in kinds]


def _walk_subclasses(kind: type) -> Iterator[type]:
    yield kind
    narrower: type
    for narrower in type.__subclasses__(kind):
        yield from _walk_subclasses(narrower)


def is_parameter(tensor: Tensor) -> bool:
    """A leaf that requires grad, or an nn.Parameter that is frozen."""
    try:
        return tensor.is_leaf and (tensor.requires_grad or isinstance(tensor, nn.Parameter))
    except RuntimeError:  # a view within a custom function, whose base was changed: autograd refuses to say
        return False


class TensorSet:
    """A set of tensors by their storages: views and aliases of one are in it as well, until it dies."""

    def __init__(self) -> None:
        self._references: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def add(self, tensor: Tensor) -> None:
        for storage in find_storages(tensor):
            self._references[storage._cdata] = weakref.ref(storage)

    def discard(self, tensor: Tensor) -> None:
        for storage in find_storages(tensor):
            self._references.pop(storage._cdata, None)

    def __contains__(self, tensor: Tensor) -> bool:
        # An address is used again; the reference says whether it is still the same storage.
        known = (self._references.get(storage._cdata) for storage in find_storages(tensor))
        return any(reference is not None and reference() is not None for reference in known)


@contextmanager
def hold_garbage() -> Iterator[None]:
    """Collect garbage now and not while inside, so that tensors in reference cycles are the same in every repeat."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@dataclass
class Entry:
    """A storage that is alive. serial: in order of sight, never used again. foreign: older than the ledger."""

    serial: int
    bytes: int
    foreign: bool
    reference: weakref.ref[torch.UntypedStorage]


class Ledger:
    """Storages by first sight and death, with a log of every change in bytes.

    Tensors that live when the ledger is opened are foreign: the data, another trial's arrays. They do not count.
    """

    def __init__(self, foreign: Iterable[Tensor] = ()) -> None:
        self._live: dict[int, Entry] = {}
        self._seen = 0
        self._log: list[tuple[int, int]] = []
        self._at_start = 0
        for tensor in foreign:
            self.see(tensor, foreign=True)

    def see(self, tensor: Tensor, foreign: bool = False) -> list[int]:
        """Enter the storages of a tensor, notice those that were resized, and return their serial numbers."""
        return [self._enter_storage(storage, foreign).serial for storage in find_storages(tensor)]

    def is_foreign(self, storage: torch.UntypedStorage) -> bool:
        """Whether this storage is older than the ledger."""
        entry = self._live.get(storage._cdata)
        return entry is not None and entry.foreign

    @property
    def seen(self) -> int:
        """Number of storages that were ever entered: the serial number of the next one."""
        return self._seen

    def alive(self) -> dict[int, int]:
        """List the bytes of storages that are alive now and not foreign, by serial number."""
        return {entry.serial: entry.bytes for entry in self._live.values() if not entry.foreign}

    def start(self) -> None:
        """Begin a window with the storages that are alive now."""
        self._log = [(entry.serial, entry.bytes) for entry in self._live.values() if not entry.foreign]
        self._at_start = len(self._log)

    def window(self, without: set[int]) -> tuple[int, int, int]:
        """Add up the bytes at the start of the window, at its peak and now, leaving out the serial numbers given."""
        total = before = peak = sum(change for serial, change in self._log[: self._at_start] if serial not in without)
        for serial, change in self._log[self._at_start :]:
            total += change if serial not in without else 0
            peak = max(peak, total)
        return before, peak, total

    def _enter_storage(self, storage: torch.UntypedStorage, foreign: bool) -> Entry:
        entry = self._live.get(storage._cdata)
        if entry is None:
            return self._add_entry(storage, foreign)
        if entry.bytes != storage.nbytes():
            self._log_change(entry, storage.nbytes() - entry.bytes)
        return entry

    def _add_entry(self, storage: torch.UntypedStorage, foreign: bool) -> Entry:
        key = storage._cdata
        entry = Entry(self._seen, 0, foreign, weakref.ref(storage, self._make_burial(key)))
        self._seen += 1
        self._live[key] = entry
        self._log_change(entry, storage.nbytes())
        return entry

    def _make_burial(self, key: int) -> Callable[[object], None]:
        # The ledger is held weakly, so that it dies with its session and takes its references along.
        ledger = weakref.ref(self)

        def bury(_: object) -> None:
            owner = ledger()
            if owner is not None:
                entry = owner._live.pop(key)
                owner._log_change(entry, -entry.bytes)

        return bury

    def _log_change(self, entry: Entry, change: int) -> None:
        entry.bytes += change
        if not entry.foreign:
            self._log.append((entry.serial, change))
