"""The state of recurrent networks in training, one update, and their facts for a record.

Streams are cut into windows: each begins in the state that the one before has left, detached from its past
(truncated back-propagation through time), and at rest where `Batch.first` is set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from harness import Batch, Training
from harness_recurrent import forms, network
from harness_recurrent.network import Carried, Network
from harness_torch.training import facts, step
from harness_torch.training.layout import leaves

Scalars = Mapping[str, Tensor]


@dataclass(kw_only=True)
class State(step.State):
    """A network in training. terms: of that training. constants: tensors beside its parameters, masks and indices.

    carried: states that the next window of a stream begins with. teacher: tensors of a network whose predictions are
    followed, too. said: facts for the record on how the network came to be; later: makes further ones when they are
    asked for. made: the deployed tensors, and a stamp of the weights that they were made of.
    """

    network: Network
    terms: Training
    constants: dict[str, Tensor] = field(default_factory=dict)
    carried: Carried = ()
    teacher: dict[str, Tensor] = field(default_factory=dict)
    said: dict[str, Any] = field(default_factory=dict)
    later: Callable[[], Mapping[str, Any]] = dict
    made: tuple[tuple[int, ...], Mapping[str, Tensor]] | None = None

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Parameters and constants."""
        return {**self.parameters, **self.constants}


def begin(network_: Network, tensors: Mapping[str, Tensor], training: Training, options: Any, **fields: Any) -> State:
    """The state before the first update. Floating tensors are parameters, the others constants."""
    learned = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}
    constants = {name: tensor.to(training.device) for name, tensor in tensors.items() if name not in learned}
    owned = leaves(learned, training.device, network_.types.parameters)
    make = partial(State, network=network_, terms=training, constants=constants, **fields)
    return step.begin(make, owned, training, options)


def update(state: State, batch: Batch) -> Scalars:
    """One mini-batch: of rows the loss of their classes, of a stream that of every token."""
    if not state.network.tokens:
        return step.update(state, partial(_learn, state), [batch.inputs, batch.targets])
    if batch.first or not state.carried:
        state.carried = _build_start(state, len(batch.inputs))
    learn = partial(_learn_window, state)
    scalars, carried = step.update_carrying(state, learn, [batch.inputs, batch.targets], state.carried)
    state.carried = tuple(carried)
    return scalars


def _build_start(state: State, batch: int) -> Carried:
    own = network.build_start(state.network, network.cast_tensors(state.network, state.tensors), batch)
    teacher = network.cast_tensors(state.network, state.teacher)
    return (*own, *(network.build_start(state.network, teacher, batch) if teacher else ()))


def _learn(state: State, inputs: Tensor, targets: Tensor) -> Scalars:
    return _learn_window(state, inputs, targets)[0]


def _learn_window(state: State, inputs: Tensor, targets: Tensor, *carried: Tensor) -> tuple[Scalars, Carried]:
    """Forward, backward and the optimiser's step; the states returned beside the scalars are detached."""
    state.optimiser.zero_grad()
    own = len(carried) // 2 if state.teacher else len(carried)
    logits, left = _compute_logits(state, state.tensors, inputs, carried[:own], partial(_drop_numbers, state))
    loss = F.cross_entropy(logits.flatten(0, -2), targets.flatten())
    total = loss
    if state.teacher:
        with torch.no_grad():
            taught, seen = _compute_logits(state, state.teacher, inputs, carried[own:])
        left = (*left, *seen)
        total = (loss + divergence(logits, taught)) / 2
    total.backward()
    step.descend(state)
    zero_masked(state)
    return {"loss": loss.detach()}, tuple(each.detach() for each in left)


def divergence(logits: Tensor, taught: Tensor) -> Tensor:
    """KL divergence of the teacher's prediction from the network's, the mean over rows or tokens."""
    log_probs, target = (each.flatten(0, -2).log_softmax(-1) for each in (logits, taught))
    return F.kl_div(log_probs, target, reduction="batchmean", log_target=True)


def _compute_logits(
    state: State, tensors: Mapping[str, Tensor], inputs: Tensor, carried: Carried, drop: Any = lambda h: h
) -> tuple[Tensor, Carried]:
    """Logits of classes (B, c) or of the tokens that follow (B, L, V), and the states after the last step."""
    net = state.network
    tensors = network.cast_tensors(net, tensors)
    x = network.split_steps(net, tensors, inputs)
    carried = carried or network.build_start(net, tensors, len(inputs))
    found, left = network.hidden_states(net, tensors, drop(x) if net.tokens else x, carried, drop)
    h = drop(found[-1] if net.tokens else found[-1][-1])
    logits = network.read_out(tensors, h.transpose(0, 1) if net.tokens else h)
    return logits.to(net.types.parameters), left


def _drop_numbers(state: State, h: Tensor) -> Tensor:
    """Leave out some numbers, and scale the others up for it."""
    if not state.network.dropout:
        return h
    kept = torch.rand(h.shape, device=h.device, generator=state.generator) >= state.network.dropout
    return h * kept / (1 - state.network.dropout)


@torch.no_grad()
def zero_masked(state: State) -> None:
    """Set weights that a mask has removed back to zero."""
    for name, mask in state.constants.items():
        if name.endswith(".mask"):
            state.parameters[name.removesuffix("mask") + "weight"].mul_(mask)


def describe(state: State, deployed: Mapping[str, Tensor] | None = None) -> dict[str, object]:
    """Describe the network and its training, and the deployed form of the recurrent weights, if not dense."""
    tensors, net = state.tensors if deployed is None else deployed, state.network
    said: dict[str, object] = {**facts.describe(state), "parameters": forms.count_numbers(tensors), "cell": net.cell}
    widths = [network.width(net, tensors, layer) for layer in range(net.layers)]
    said["hidden"] = network.unwrap_single(widths)
    kinds = {
        forms.find_form(forms.select_under(tensors, f"cells.{layer}.recurrent"))
        for layer in _list_recurrent_layers(net)
    }
    if kinds - {"dense"}:
        said["form"] = "+".join(sorted(kinds))
    return {**said, **state.said, **state.later()}


def _list_recurrent_layers(net: Network) -> range:
    """Layers with recurrent weights."""
    return range(0 if net.cell == "mingru" else net.layers)


def save(state: State) -> Mapping[str, Tensor]:
    """All tensors by name."""
    return facts.detach(state.tensors)
