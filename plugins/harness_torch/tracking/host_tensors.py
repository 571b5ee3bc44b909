"""Tensors that lie on the host wherever the network does, such as the step counters of torch.optim: to read them makes
nobody wait.

On a GPU a tensor's device says it. On a CPU, where all lie on the host, it is told by how a tensor came to be: from
numbers, without a word of a device, or from such tensors alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch.utils._device
from torch import Tensor
from torch.overrides import TorchFunctionMode

from harness_torch import phases
from harness_torch.backend.gpu import current_device
from harness_torch.costs.operator_calls import find_tensors
from harness_torch.tracking.storages import TensorSet


class HostTensors(TorchFunctionMode):
    """Follows the tensors that are made while it is entered. on_gpu: the network lies on a GPU.

    writes_number: x[...] = a number is running.
    """

    def __init__(self, on_gpu: bool) -> None:
        super().__init__()
        self._on_gpu = on_gpu
        self._found = TensorSet()
        self.writes_number = False

    def holds(self, tensor: Tensor) -> bool:
        """Whether this tensor lies on the host whatever the trial's device."""
        return tensor.device.type == "cpu" and (self._on_gpu or self.was_made_on_host(tensor))

    def was_made_on_host(self, tensor: Tensor) -> bool:
        """Whether this tensor was made on the host, and holds nothing that was ever on a device."""
        # A trained tensor belongs to the network, even if it was never placed on a device.
        return not tensor.requires_grad and tensor in self._found

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        self.writes_number = func is Tensor.__setitem__ and isinstance(args[2], (int, float, complex))
        try:
            result = func(*args, **kwargs)
        finally:
            self.writes_number = False
        made = list(find_tensors(result)) or _find_written(func, args)
        if made:
            self._record_made(made, list(find_tensors((args, kwargs))), _find_device(func, args, kwargs))
        return result

    def _record_made(self, made: list[Tensor], given: list[Tensor], device: Any) -> None:
        on_host = all(map(self.was_made_on_host, given)) and _asks_for_host(device)
        for tensor in made:
            (self._found.add if on_host else self._found.discard)(tensor)


def _find_written(func: Any, args: tuple[Any, ...]) -> list[Tensor]:
    """Find the tensors changed by an in-place function that returns nothing, such as one for lists of tensors."""
    return list(find_tensors(args[:1])) if getattr(func, "__name__", "").endswith("_") else []


def _find_device(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Find the device that a call names, if any; Tensor.to takes it in the place of a type."""
    named = [each for each in args if isinstance(each, torch.device) or (func is Tensor.to and isinstance(each, str))]
    return named[0] if named else kwargs.get("device")


def _asks_for_host(device: Any) -> bool:
    """Whether a tensor that is made lies on the host of a GPU, too: nothing asks for a device, or an optimiser does by
    name (a parameter's device is no text).
    """
    if device is None:
        return torch.utils._device.CURRENT_DEVICE is None
    return device == "cpu" and isinstance(device, str) and phases.current() == "optimizer"


@contextmanager
def follow_host_tensors() -> Iterator[HostTensors]:
    """Tell tensors on the host apart while inside, those that optimisers make in their steps included."""
    with phases.optimizer_steps(), HostTensors(on_gpu=current_device() is not None) as found:
        yield found
