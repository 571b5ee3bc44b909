"""Tensors that are carried from one time step to the next, seen at the end of each step of a loop over `time_steps`."""

from __future__ import annotations

import weakref
from collections.abc import Collection
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from harness_torch.costs.operator_calls import find_tensors, find_written
from harness_torch.tracking.storages import Ledger, is_parameter


class CarriedState(TorchDispatchMode):
    """The bytes that live at the end of every time step of one update, which it spans.

    Tensors that the update itself made before its first time step and did not write since (weights in another form,
    targets, the current of an input that stays the same) are constants of the update and not carried; nor are
    gradients, those of weights in another form included.
    """

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger
        self._older = ledger.seen
        self._constants: set[int] | None = None
        self._leaves: dict[int, weakref.ref[Tensor]] = {}
        self._looks: list[dict[int, int]] = []

    def begin(self) -> None:
        """Fix the constants, by the first of several loops."""
        if self._constants is None:
            self._constants = {serial for serial in self._ledger.alive() if serial >= self._older}

    def end_of_step(self) -> None:
        left_out = (self._constants or set()) | self._gradients()
        self._looks.append({serial: size for serial, size in self._ledger.alive().items() if serial not in left_out})

    def most(self, without: Collection[int]) -> int:
        """Find the most bytes at the end of a step, leaving out the serial numbers given; 0 if there was no step."""
        totals = (sum(size for serial, size in look.items() if serial not in without) for look in self._looks)
        return max(totals, default=0)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        for tensor in find_tensors((args, kwargs)):
            if is_parameter(tensor):
                self._leaves[id(tensor)] = weakref.ref(tensor)
        if self._constants:
            for tensor in find_written(func, args, kwargs):
                self._constants.difference_update(self._ledger.see(tensor))
        return result

    def _gradients(self) -> set[int]:
        """Find the serial numbers of the gradients that leaves hold."""
        leaves = (reference() for reference in self._leaves.values())
        gradients = [leaf.grad for leaf in leaves if leaf is not None]
        return {serial for gradient in gradients if gradient is not None for serial in self._ledger.see(gradient)}
