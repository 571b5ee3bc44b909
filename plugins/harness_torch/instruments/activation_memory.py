"""Live tensors that an update holds, makes and carries, seen operator by operator.

Not counted are parameters, their gradients, the optimiser's state and the data; counted is everything else that the
method carries (traces, membrane potentials, buffers) or makes on the way. All of it is exact and repeatable, on a CPU
as on a GPU, because storages are counted and not an allocator's blocks. Memory that an operator allocates and frees
inside itself is not seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from harness import Trained
from harness_torch.instruments.operation_counts import ROWS
from harness_torch.marks import watching
from harness_torch.phases import optimizer_hooks
from harness_torch.tracking.carried_state import CarriedState
from harness_torch.tracking.operator_counter import use_plain_layers
from harness_torch.tracking.storages import Ledger, find_live_tensors, hold_garbage, is_parameter


class ActivationMemory:
    """activation_bytes, held_before_bytes, held_after_bytes and state_bytes of one steady update.

    state_bytes is the most that lives at the end of a time step, as marked by `harness_torch.time_steps`, or of the
    update; without marks, of the update alone. An unrolled graph that lives then is carried, and counts.

    Parameters are found without the method's help: leaves that require grad and live from one update to the next, and
    tensors that torch.optim optimisers step. Their gradients are those that autograd adds to them. The state
    of a hand-written optimiser cannot be told from other state, and counts. Tensors older than the session are data.
    """

    def __init__(self) -> None:
        self._readings: dict[str, int] = {}

    @contextmanager
    def session(self) -> Iterator[None]:
        """Follow every storage from the birth of the state on."""
        self._ledger = Ledger(foreign=find_live_tensors())
        self._excluded: set[int] = set()
        try:
            with optimizer_hooks(self._exclude_optimizer, self._exclude_optimizer), _TensorWatcher(self._ledger):
                yield
        finally:
            del self._ledger, self._excluded

    @contextmanager
    def measure(self, stage: Literal["update"], examples: int) -> Iterator[None]:
        """Span one update."""
        del stage, examples
        with hold_garbage(), ExitStack() as hooks:
            self._exclude_parameters(hooks)
            self._ledger.start()
            carried = CarriedState(self._ledger)
            with watching(carried), carried:
                yield
            self._exclude_parameters(hooks)
            before, peak, after = self._ledger.window(without=self._excluded)
        self._readings = {
            "activation_bytes": peak,
            "held_before_bytes": before,
            "held_after_bytes": after,
            "state_bytes": max(after, carried.most(without=self._excluded)),
        }

    def readings(self) -> Mapping[str, Any]:
        """Return bytes."""
        return dict(self._readings)

    def _exclude_parameters(self, hooks: ExitStack) -> None:
        """Enter live tensors that were made unseen (from numpy, say), and take parameters and gradients out."""
        for tensor in find_live_tensors():
            self._ledger.see(tensor)
            if is_parameter(tensor):
                self._exclude(tensor)
                self._exclude_gradient(tensor)
                if tensor.requires_grad:
                    self._exclude_gradients_to_come(tensor, hooks)

    def _exclude_gradients_to_come(self, parameter: Tensor, hooks: ExitStack) -> None:
        # The first hook sees the addition to a gradient, the second a gradient that had to be copied.
        hooks.callback(parameter.register_hook(self._exclude).remove)
        hooks.callback(parameter.register_post_accumulate_grad_hook(self._exclude_gradient).remove)

    def _exclude(self, tensor: Tensor) -> None:
        self._excluded.update(self._ledger.see(tensor))

    def _exclude_gradient(self, parameter: Tensor) -> None:
        if parameter.grad is not None:
            self._exclude(parameter.grad)

    def _exclude_optimizer(self, optimizer: Optimizer) -> None:
        for parameter in (parameter for group in optimizer.param_groups for parameter in group["params"]):
            self._exclude(parameter)
            self._exclude_gradient(parameter)
        for value in tree_iter([dict(optimizer.state), *optimizer.param_groups]):  # a rate may be a tensor, too
            if isinstance(value, Tensor):
                self._exclude(value)


class InferenceMemory:
    """inference_activation_bytes: the most that a prediction of 32 rows by the trained network makes and holds at once.

    Tensors that live before it, the network and the rows, do not count.
    """

    def __init__(self) -> None:
        self._readings: dict[str, int] = {}

    def deployed(self, trained: Trained) -> None:
        """Follow every storage that a prediction makes."""
        inputs, predict = trained.rows(ROWS), trained.eager()
        with hold_garbage(), use_plain_layers():
            ledger = Ledger(foreign=find_live_tensors())
            ledger.start()
            with _TensorWatcher(ledger):
                predict(inputs)
        _, peak, _ = ledger.window(without=set())
        self._readings = {"inference_activation_bytes": peak}

    def readings(self) -> Mapping[str, Any]:
        """Return bytes."""
        return dict(self._readings)


class _TensorWatcher(TorchDispatchMode):
    """Enters the tensors of every operator into a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        # Inputs first: a tensor that was made unseen is older than the result.
        self._enter_tensors(args, kwargs)
        result = func(*args, **kwargs)
        self._enter_tensors(result)
        # In-place and out= variants may have resized what they were given.
        if torch.Tag.inplace_view in func.tags or func._schema.is_mutable:
            self._enter_tensors(args, kwargs)
        return result

    def _enter_tensors(self, *things: Any) -> None:
        for value in tree_iter(things):
            if isinstance(value, Tensor):
                self._ledger.see(value)
