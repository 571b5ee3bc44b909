"""Tensors that autograd saves for the backward pass: the peak of the live ones in one update.

A sum over all saved tensors would be wrong for methods that go backward several times in an update: tensors that one
step saved are gone before the next saves again. Here a storage counts from the first tensor saved on it to the release
of the last one.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor

from harness_torch.tracking.storages import Ledger, find_live_tensors, find_storages, hold_garbage, is_parameter


class SavedMemory:
    """saved_bytes of one steady update.

    Storages count once and whole, however many tensors are saved on them; those of parameters (leaves that require
    grad when the update begins) and of tensors older than the session (the data) do not count. Methods that put hooks
    of their own on saved tensors (checkpointing, offloading) hide the tensors that those hooks keep.
    """

    def __init__(self) -> None:
        self._readings: dict[str, int] = {}

    @contextmanager
    def session(self) -> Iterator[None]:
        """Remember which storages are older than the state."""
        self._excluded = Ledger(foreign=find_live_tensors())
        try:
            yield
        finally:
            del self._excluded

    @contextmanager
    def measure(self, stage: Literal["update"], examples: int) -> Iterator[None]:
        """Span one update."""
        del stage, examples
        for tensor in filter(is_parameter, find_live_tensors()):
            self._excluded.see(tensor, foreign=True)
        shelf = _SavedStorages(self._excluded)
        with hold_garbage(), torch.autograd.graph.saved_tensors_hooks(shelf.pack, shelf.unpack):
            yield
        self._readings = {"saved_bytes": shelf.peak}

    def readings(self) -> Mapping[str, Any]:
        """Return bytes."""
        return dict(self._readings)


class _SavedTensor:
    """A stand-in for a saved tensor inside the graph, which drops both together."""

    __slots__ = ("__weakref__", "tensor", "version")

    def __init__(self, tensor: Tensor) -> None:
        # An alias, because a box that held an operator's own output would keep the graph alive through it.
        self.tensor = tensor.detach()
        self.version = tensor._version


class _SavedStorages:
    """The saved tensors of an update: bytes of their storages, each counted once, now and at the peak."""

    def __init__(self, excluded: Ledger) -> None:
        self.peak = 0
        self._now = 0
        self._excluded = excluded
        self._boxes: Counter[int] = Counter()
        self._references: dict[int, weakref.ref[_SavedTensor]] = {}

    def pack(self, tensor: Tensor) -> _SavedTensor:
        box = _SavedTensor(tensor)
        counted = [
            (storage._cdata, storage.nbytes())
            for storage in find_storages(box.tensor)
            if not self._excluded.is_foreign(storage)
        ]
        for key, size in counted:
            self._now += size if self._boxes[key] == 0 else 0
            self._boxes[key] += 1
        self.peak = max(self.peak, self._now)
        self._references[id(box)] = weakref.ref(box, self._make_release(id(box), counted))
        return box

    def unpack(self, box: _SavedTensor) -> Tensor:
        """Raises RuntimeError for a tensor that was changed in place, as autograd does where there are no hooks."""
        # With hooks, autograd leaves this check out and would go on with the changed values.
        if box.tensor._version != box.version:
            raise RuntimeError(
                f"a tensor of shape {tuple(box.tensor.shape)} needed for the gradient has been modified by an in-place "
                f"operation: it is at version {box.tensor._version}, expected version {box.version}"
            )
        return box.tensor

    def _make_release(self, name: int, counted: list[tuple[int, int]]) -> Callable[[object], None]:
        def released(_: object) -> None:
            del self._references[name]
            for key, size in counted:
                self._boxes[key] -= 1
                self._now -= size if self._boxes[key] == 0 else 0

        return released
