"""Memory of tensors that others can read and write as well: an array that lies on it is kept, or its address is known.

What is written to such a tensor has left torch without another word, and what is read from it may come from elsewhere.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from harness_torch.costs.operator_calls import tensors
from harness_torch.tracking.storages import storages

Shared = Callable[[], bool]

_ARRAYS = (Tensor.numpy, Tensor.__array__)
_FOR_GOOD = (Tensor.__dlpack__, Tensor.share_memory_, Tensor.__cuda_array_interface__.__get__)
_OF_ARRAYS = (torch.as_tensor, torch.asarray)
_PLUGIN = Path(__file__).parents[1]
_TORCH = str(Path(str(torch.__file__)).parent)


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """An attribute of a module or class for a while, whether it is its own or inherited."""
    own = name in vars(owner)
    before = vars(owner).get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


class Exported(TorchFunctionMode):
    """Remembers, while it is entered, the storages whose memory is handed out or was made of an array."""

    def __init__(self) -> None:
        super().__init__()
        self._out: dict[int, list[Shared]] = {}
        self._in: dict[int, list[Shared]] = {}
        self._address = torch.UntypedStorage.data_ptr
        self._patches = ExitStack()

    def touched(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
        """Elements of the tensors that an operator takes and that were handed out, or that it writes to and that were
        made of an array.
        """
        taken = [each for each in tensors((args, kwargs)) if self._is_in(self._out, each)]
        changed = tensors(_written(func, args, kwargs)) if self._in else ()
        return sum(each.numel() for each in (*taken, *(each for each in changed if self._is_in(self._in, each))))

    def __enter__(self) -> Exported:
        patch, from_numpy, frombuffer = self._patches.enter_context, torch.from_numpy, torch.frombuffer
        address, to_dlpack = self._address, torch._C._to_dlpack

        def made(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
            def noted(*args: Any, **kwargs: Any) -> Tensor:
                result = function(*args, **kwargs)
                self._enters(result, args[0] if args else kwargs.get("buffer"))
                return result

            return noted

        def asked(storage: torch.UntypedStorage) -> int:
            if not _by_a_launcher():
                self._leaves(storage, _alive(storage))
            return address(storage)

        def packed(tensor: Tensor) -> Any:
            for storage in storages(tensor):
                self._leaves(storage, _alive(storage))
            return to_dlpack(tensor)

        patch(replaced(torch, "from_numpy", made(from_numpy)))
        patch(replaced(torch, "frombuffer", made(frombuffer)))
        patch(replaced(torch.utils.dlpack, "to_dlpack", packed))
        patch(replaced(torch.UntypedStorage, "data_ptr", asked))
        super().__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        self._patches.close()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        result = func(*args, **(kwargs or {}))
        if func in _ARRAYS:
            self._leaves_as(args[0], result)
        elif func in _FOR_GOOD or (func is Tensor.data_ptr and not _by_a_launcher()):
            for storage in storages(args[0]):
                self._leaves(storage, _alive(storage))
        elif func in _OF_ARRAYS and args and isinstance(args[0], np.ndarray):
            self._enters(result, args[0])
        return result

    def _leaves_as(self, tensor: Tensor, array: Any) -> None:
        """An array that shares the memory of a tensor does so while somebody keeps it, or a view of it."""
        for storage in storages(tensor):
            if isinstance(array, np.ndarray) and self._address(storage) in _memory(array, storage.nbytes()):
                self._leaves(storage, _alive(array))

    def _leaves(self, storage: torch.UntypedStorage, shared: Shared) -> None:
        if storage.nbytes():  # all that are empty have the same address
            self._out.setdefault(self._address(storage), []).append(shared)

    def _enters(self, tensor: Tensor, source: Any) -> None:
        for storage in storages(tensor):
            if not isinstance(source, np.ndarray) or self._address(storage) == source.ctypes.data:
                self._in.setdefault(self._address(storage), []).extend(map(_kept, _owners(source)))

    def _is_in(self, known: dict[int, list[Shared]], tensor: Tensor) -> bool:
        """An address may be used again: what is no longer shared is forgotten."""
        for storage in storages(tensor) if known else ():
            address = self._address(storage)
            ways = [shared for shared in known.pop(address, ()) if shared()]
            if ways:
                known[address] = ways
                return True
        return False


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """The arguments that an operator changes."""
    schema = getattr(func, "_schema", None)
    if schema is None or not schema.is_mutable:
        return []
    changed = [each.alias_info is not None and each.alias_info.is_write for each in schema.arguments]
    named = [kwargs[each.name] for each in schema.arguments if each.name in kwargs and each.alias_info is not None]
    return [*(arg for arg, is_changed in zip(args, changed, strict=False) if is_changed), *named]


def _memory(array: np.ndarray[Any, Any], most: int) -> range:
    """Where the storage of a tensor begins that an array may lie on."""
    first = array.ctypes.data
    return range(first - most, first + 1)


def _alive(thing: Any) -> Shared:
    reference = weakref.ref(thing)
    return lambda: reference() is not None


def _owners(source: Any) -> Iterator[Any]:
    """An array and those that it is a view of."""
    while source is not None:
        yield source
        source = getattr(source, "base", None)


def _kept(thing: Any) -> Shared:
    """Whether others keep it than the tensor, or the view, that was made of it."""
    try:
        reference: Callable[[], Any] = weakref.ref(thing)
        ours = 0
    except TypeError:  # bytes and their like cannot be referred to weakly
        reference, ours = lambda: thing, 1
    return lambda: _holders(reference) > _ALONE + ours + 1


def _holders(reference: Callable[[], Any]) -> int:
    thing = reference()
    return 0 if thing is None else sys.getrefcount(thing)


class _Lone:
    """Nobody keeps it but who looks at it."""


_ALONE = _holders(_Lone)


def is_observer(file: str) -> bool:
    """Whether a source file is one of this plugin's that look at an update, not of the training kit that runs it."""
    parents = Path(file).parents
    return _PLUGIN in parents and _PLUGIN / "training" not in parents


def _by_a_launcher() -> bool:
    """Whether torch or Triton ask for an address on their own behalf, as those that launch kernels do."""
    frame = sys._getframe(1)
    while frame.f_back is not None and (
        is_observer(frame.f_code.co_filename) or frame.f_code.co_filename.startswith("<")
    ):
        frame = frame.f_back
    file = Path(frame.f_code.co_filename)
    return str(file).startswith(_TORCH) or "triton" in file.parts
