"""Departures of a learner from torch, and from all that is counted: arrays for another library, pointers for a kernel
of its own, a graph that was captured before, another thread.

Nobody sees the work of a compiled extension on a tensor that it is given directly, without an operator.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from harness_torch.costs.operator_calls import find_tensors
from harness_torch.marks import set_while_inside
from harness_torch.tracking.host_tensors import HostTensors
from harness_torch.tracking.shared_arrays import SharedArrays, is_observer, replace_attribute

LITTLE = 64  # numbers that a learner may look at, such as a loss or counts of classes, without doing its work elsewhere
MOST_NAMED = 3
ALL = sys.maxsize

# Methods that give a tensor's elements, or their address, to others.
_METHODS = (
    *("numpy", "tolist", "__array__", "__dlpack__", "data_ptr", "storage", "share_memory_", "apply_", "map_", "map2_"),
    *("item", "__float__", "__int__", "__bool__", "__index__", "__complex__"),
)
LEAVING: Mapping[Any, str] = {
    Tensor.__cuda_array_interface__.__get__: "Tensor.__cuda_array_interface__",
    **{getattr(Tensor, name): f"Tensor.{name}" for name in _METHODS},
}

# Functions that make a tensor of an array that another library has computed.
ENTERING: Mapping[Any, str] = {
    torch.tensor: "torch.tensor of an array",
    torch.as_tensor: "torch.as_tensor of an array",
    torch.asarray: "torch.asarray of an array",
    Tensor.new_tensor: "Tensor.new_tensor of an array",
}

_OF_STORAGES = ("data_ptr", "__getitem__", "__setitem__", "__iter__", "tolist", "from_buffer", "from_file")

# Functions that no mode hears of, by owner and name.
UNHEARD: tuple[tuple[Any, str, str], ...] = (
    (torch, "from_numpy", "torch.from_numpy"),
    (torch, "frombuffer", "torch.frombuffer"),
    (torch, "from_dlpack", "torch.from_dlpack"),
    (torch.utils.dlpack, "from_dlpack", "torch.from_dlpack"),
    (torch.utils.dlpack, "to_dlpack", "torch.to_dlpack"),
    *((torch.UntypedStorage, name, f"UntypedStorage.{name}") for name in _OF_STORAGES),
    (torch, "from_file", "torch.from_file"),
    (torch.cuda.CUDAGraph, "replay", "CUDAGraph.replay"),
    (threading.Thread, "start", "Thread.start"),
)

_NOT_METHODS = (*(str(Path(str(module.__file__)).parent) + os.sep for module in (torch, np)), threading.__file__)

_ignored: ContextVar[bool] = ContextVar("harness_torch.departures", default=False)


def ignore() -> AbstractContextManager[None]:
    """Ignore, while inside, tensors that leave torch."""
    return set_while_inside(_ignored, True)


class Departures(TorchFunctionMode):
    """Notes tensors that leave torch while it is entered, and the place.

    host: tensors that never were where the network is, and may be looked at. known: threads that do not count.
    exported: memory that others have shared since before. waits: how often the host looked at what may lie on a GPU, by
    function.
    """

    def __init__(
        self,
        host: HostTensors | None = None,
        known: Collection[threading.Thread] = (),
        exported: SharedArrays | None = None,
    ) -> None:
        super().__init__()
        self.waits: dict[str, int] = {}
        self._host = host
        self._known = set(known or threading.enumerate())
        self._exported = exported
        self._hearing = 0
        self._noted: dict[str, int] = {}
        self._patches = ExitStack()

    def reason(self) -> str:
        """Explain why more may have been done than was counted; empty where no more than a few numbers left."""
        if sum(self._noted.values()) <= LITTLE:
            return ""
        names = list(self._noted)
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        return f"work outside torch is not counted: {', '.join(names[:MOST_NAMED])}{more}"

    def __enter__(self) -> Departures:
        for owner, name, words in UNHEARD:
            self._patches.enter_context(replace_attribute(owner, name, self._wrap_unheard(getattr(owner, name), words)))
        super().__enter__()
        _entered.append(self)
        return self

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        self._patches.close()
        _entered.remove(self)
        for thread in set(threading.enumerate()) - self._known:
            self._note(f"the thread {thread.name}", ALL)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        if func in LEAVING:
            self._note_leaving(func, args[0])
        elif func in ENTERING:
            size = max((each.size for each in (*args, *kwargs.values()) if isinstance(each, np.ndarray)), default=0)
            self._note(_add_place(ENTERING[func]), size)
        elif func is Tensor.cpu:
            self._count_wait("Tensor.cpu", args[0])
        if func is Tensor.backward:
            return self._backward(*args, **kwargs)
        self._hearing += 1
        try:
            return func(*args, **kwargs)
        finally:
            self._hearing -= 1

    def note_operator(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Note an operator on memory that others share, or one that is the last step of making a tensor of numbers."""
        if self._exported is not None and (size := self._exported.count_shared(func, args, kwargs)):
            self._note(_add_place("a tensor whose memory was handed out before"), size)
        if func is torch.ops.aten.lift_fresh.default and not self._hearing:  # of torch.tensor the mode hears
            self._note(_add_place("a constructor such as torch.FloatTensor"), args[0].numel())

    def note_fork(self) -> None:
        """Note that the process is about to fork."""
        self._note(_add_place("os.fork"), ALL)

    def _note_leaving(self, func: Any, tensor: Tensor) -> None:
        if self._host is None or not self._host.was_made_on_host(tensor):
            self._note(_add_place(LEAVING[func]), tensor.numel())
        if func in (Tensor.numpy, Tensor.tolist, Tensor.__array__):
            self._count_wait(LEAVING[func], tensor)

    def _count_wait(self, name: str, tensor: Tensor) -> None:
        if self._host is None or not self._host.holds(tensor):
            self.waits[name] = self.waits.get(name, 0) + 1

    def _backward(
        self,
        tensor: Tensor,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        """Do the same as Tensor.backward, which would hide the functions in its graph from this mode."""
        with self._resume_listening():
            torch.autograd.backward(tensor, gradient, retain_graph, create_graph, inputs=inputs)

    @contextmanager
    def _resume_listening(self) -> Iterator[None]:
        super().__enter__()
        try:
            yield
        finally:
            super().__exit__(None, None, None)

    def _note(self, what: str, size: int) -> None:
        if size and not _ignored.get():
            self._noted[what] = self._noted.get(what, 0) + size

    def _wrap_unheard(self, function: Callable[..., Any], words: str) -> Callable[..., Any]:
        def noted(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            given = [each.numel() for each in find_tensors((args, result))]
            self._note(_add_place(words), max(given) if given else ALL)
            return result

        return noted


_entered: list[Departures] = []  # a hook on forks can never be taken back


def _note_forks() -> None:
    for departures in _entered:
        departures.note_fork()


os.register_at_fork(before=_note_forks)


def _add_place(words: str) -> str:
    """Add the file and line of the nearest caller that is not torch, numpy or one of the instruments."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith((*_NOT_METHODS, "<")) and not is_observer(file):
            return f"{words} ({Path(file).name}:{frame.f_lineno})"
        frame = frame.f_back
    return words
