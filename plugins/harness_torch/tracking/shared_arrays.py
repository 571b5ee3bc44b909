"""Memory of tensors that others can read and write as well: an array that lies on it is kept, or its address is known.

Numbers written to such a tensor have left torch without another word, and numbers read from it may come from elsewhere.
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

from harness_torch.costs.operator_calls import find_tensors
from harness_torch.tracking.storages import find_storages

Shared = Callable[[], bool]

_ARRAYS = (Tensor.numpy, Tensor.__array__)
_FOR_GOOD = (Tensor.__dlpack__, Tensor.share_memory_, Tensor.__cuda_array_interface__.__get__)
_OF_ARRAYS = (torch.as_tensor, torch.asarray)
_PLUGIN = Path(__file__).parents[1]
_TORCH = str(Path(str(torch.__file__)).parent)


@contextmanager
def replace_attribute(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Replace an attribute of a module or class for a while, whether it is its own or inherited."""
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


class SharedArrays(TorchFunctionMode):
    """Remembers, while it is entered, the storages whose memory is handed out or was made of an array."""

    def __init__(self) -> None:
        super().__init__()
        self._out: dict[int, list[Shared]] = {}
        self._in: dict[int, list[Shared]] = {}
        self._address = torch.UntypedStorage.data_ptr
        self._patches = ExitStack()

    def count_shared(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
        """Count the elements of tensors that an operator takes and that were handed out, or that it writes to and that
        were made of an array.
        """
        taken = [each for each in find_tensors((args, kwargs)) if self._is_shared(self._out, each)]
        changed = find_tensors(_find_written(func, args, kwargs)) if self._in else ()
        return sum(each.numel() for each in (*taken, *(each for each in changed if self._is_shared(self._in, each))))

    def __enter__(self) -> SharedArrays:
        patch, from_numpy, frombuffer = self._patches.enter_context, torch.from_numpy, torch.frombuffer
        address, to_dlpack = self._address, torch._C._to_dlpack

        def made(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
            def noted(*args: Any, **kwargs: Any) -> Tensor:
                result = function(*args, **kwargs)
                self._note_entering(result, args[0] if args else kwargs.get("buffer"))
                return result

            return noted

        def asked(storage: torch.UntypedStorage) -> int:
            if not _is_asked_by_launcher():
                self._note_leaving(storage, _make_alive_check(storage))
            return address(storage)

        def packed(tensor: Tensor) -> Any:
            for storage in find_storages(tensor):
                self._note_leaving(storage, _make_alive_check(storage))
            return to_dlpack(tensor)

        patch(replace_attribute(torch, "from_numpy", made(from_numpy)))
        patch(replace_attribute(torch, "frombuffer", made(frombuffer)))
        patch(replace_attribute(torch.utils.dlpack, "to_dlpack", packed))
        patch(replace_attribute(torch.UntypedStorage, "data_ptr", asked))
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
            self._note_array(args[0], result)
        elif func in _FOR_GOOD or (func is Tensor.data_ptr and not _is_asked_by_launcher()):
            for storage in find_storages(args[0]):
                self._note_leaving(storage, _make_alive_check(storage))
        elif func in _OF_ARRAYS and args and isinstance(args[0], np.ndarray):
            self._note_entering(result, args[0])
        return result

    def _note_array(self, tensor: Tensor, array: Any) -> None:
        """Note an array that shares the memory of a tensor, for as long as somebody keeps it, or a view of it."""
        for storage in find_storages(tensor):
            if isinstance(array, np.ndarray) and self._address(storage) in _span_starts(array, storage.nbytes()):
                self._note_leaving(storage, _make_alive_check(array))

    def _note_leaving(self, storage: torch.UntypedStorage, shared: Shared) -> None:
        if storage.nbytes():  # all that are empty have the same address
            self._out.setdefault(self._address(storage), []).append(shared)

    def _note_entering(self, tensor: Tensor, source: Any) -> None:
        for storage in find_storages(tensor):
            if not isinstance(source, np.ndarray) or self._address(storage) == source.ctypes.data:
                self._in.setdefault(self._address(storage), []).extend(map(_make_kept_check, _walk_owners(source)))

    def _is_shared(self, known: dict[int, list[Shared]], tensor: Tensor) -> bool:
        """Whether a tensor's memory is shared still; its address, which may be used again, is forgotten if not."""
        for storage in find_storages(tensor) if known else ():
            address = self._address(storage)
            ways = [shared for shared in known.pop(address, ()) if shared()]
            if ways:
                known[address] = ways
                return True
        return False


def _find_written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """Find the arguments that an operator changes."""
    schema = getattr(func, "_schema", None)
    if schema is None or not schema.is_mutable:
        return []
    changed = [each.alias_info is not None and each.alias_info.is_write for each in schema.arguments]
    named = [kwargs[each.name] for each in schema.arguments if each.name in kwargs and each.alias_info is not None]
    return [*(arg for arg, is_changed in zip(args, changed, strict=False) if is_changed), *named]


def _span_starts(array: np.ndarray[Any, Any], most: int) -> range:
    """Span the addresses at which a storage begins on which an array may lie."""
    first = array.ctypes.data
    return range(first - most, first + 1)


def _make_alive_check(thing: Any) -> Shared:
    reference = weakref.ref(thing)
    return lambda: reference() is not None


def _walk_owners(source: Any) -> Iterator[Any]:
    """Walk from an array to those that it is a view of."""
    while source is not None:
        yield source
        source = getattr(source, "base", None)


def _make_kept_check(thing: Any) -> Shared:
    """Make a check that others keep a thing than the tensor, or the view, that was made of it."""
    try:
        reference: Callable[[], Any] = weakref.ref(thing)
        ours = 0
    except TypeError:  # bytes and their like cannot be referred to weakly
        reference, ours = lambda: thing, 1
    return lambda: _count_holders(reference) > _UNSHARED_HOLDERS + ours + 1


def _count_holders(reference: Callable[[], Any]) -> int:
    thing = reference()
    return 0 if thing is None else sys.getrefcount(thing)


class _Unshared:
    """A thing that only its observer keeps."""


_UNSHARED_HOLDERS = _count_holders(_Unshared)


def is_observer(file: str) -> bool:
    """Whether a source file is one of this plugin's that look at an update, not of the training kit that runs it."""
    parents = Path(file).parents
    return _PLUGIN in parents and _PLUGIN / "training" not in parents


def _is_asked_by_launcher() -> bool:
    """Whether torch or Triton ask for an address on their own behalf, as those that launch kernels do."""
    frame = sys._getframe(1)
    while frame.f_back is not None and (
        is_observer(frame.f_code.co_filename) or frame.f_code.co_filename.startswith("<")
    ):
        frame = frame.f_back
    file = Path(frame.f_code.co_filename)
    return str(file).startswith(_TORCH) or "triton" in file.parts
