"""Recurrent networks as their equations say, one step after the other in float64, for references.

It shares the names of tensors, the options and the random numbers with the fast code, and no line of algorithm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from harness import Batch
from harness_recurrent.network import Network
from harness_recurrent.training import State
from harness_torch.training import step

Tensors = Mapping[str, Tensor]
Drop = Callable[[Tensor], Tensor]
PARTS = ("weight", "mask", "scale", "columns", "left", "right", "identity", "values", "positions", "rows")
GATES = {"irnn": 1, "elman": 1, "gru": 3, "lstm": 4, "mingru": 2}


def step_cell(
    kind: str, x: Tensor, state: Sequence[Tensor], W: Tensor, b: Tensor, U: Tensor | None, c: Tensor | None
) -> list[Tensor]:
    """The state after one step x (B, d): weights W (G m, d), U (G m, m), biases b (G m,) and, of a gru, c (m,)."""
    h, m = state[0], state[0].shape[1]
    given = (x @ W.T + b).split(m, 1)
    if U is None:  # mingru
        z = given[0].sigmoid()
        return [(1 - z) * h + z * given[1]]
    fed = (h @ U.T).split(m, 1)
    if c is not None:  # gru
        r, z = (given[0] + fed[0]).sigmoid(), (given[1] + fed[1]).sigmoid()
        return [(1 - z) * (given[2] + r * (fed[2] + c)).tanh() + z * h]
    if kind == "lstm":
        i, f, g, o = (one + other for one, other in zip(given, fed, strict=True))
        memory = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return [o.sigmoid() * memory.tanh(), memory]
    total = given[0] + fed[0]
    return [total.clamp(min=0) if kind == "irnn" else total.tanh()]


def write_out_map(tensors: Tensors, name: str, columns: int) -> Tensor:
    """A map's weights (n, columns) written out, whatever form they are stored in."""
    parts = {part: tensors[f"{name}.{part}"] for part in PARTS if f"{name}.{part}" in tensors}
    if "left" in parts:
        product = parts["left"] @ parts["right"]
        return product + torch.eye(columns).to(product) if "identity" in parts else product
    if "values" in parts:
        ends = parts["rows"].tolist()
        rows = [row for row in range(len(ends) - 1) for _ in range(ends[row], ends[row + 1])]
        zeros = torch.zeros(len(ends) - 1, columns).to(parts["values"])
        return zeros.index_put((torch.tensor(rows, device=zeros.device), parts["positions"].long()), parts["values"])
    weight = parts["weight"]
    if "columns" in parts:
        return weight @ torch.eye(columns).to(weight)[parts["columns"]]
    return weight * parts.get("mask", 1) * parts.get("scale", 1)


def build_start(net: Network, tensors: Tensors, rows: int) -> list[Tensor]:
    """The states before the first step, of each layer h and of an lstm c, (rows, m) each."""
    widths = [len(tensors[f"cells.{layer}.input.bias"]) // GATES[net.cell] for layer in range(net.layers)]
    device, each = tensors["readout.bias"].device, 2 if net.cell == "lstm" else 1
    return [torch.zeros(rows, m, dtype=torch.float64, device=device) for m in widths for _ in range(each)]


def read_inputs(net: Network, tensors: Tensors, inputs: Tensor) -> Tensor:
    """Inputs of the lowest layer (T, B, d): embedded tokens (B, T), rows (B, T, ...), lines of images (B, C, H, W)."""
    if net.tokens:
        return torch.stack([tensors["embedding.weight"].double()[step] for step in inputs.unbind(1)])
    axis = 2 if inputs.dim() == 4 else 1
    return torch.stack([step.double().flatten(1) for step in inputs.unbind(axis)])


def run_layers(
    net: Network, given: Tensors, x: Tensor, start: Sequence[Tensor], drop: Drop = lambda h: h
) -> tuple[list[Tensor], list[Tensor]]:
    """Hidden states (T, B, m) of each layer for x (T, B, d), and the last ones. drop: between layers."""
    tensors = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in given.items()}
    found: list[Tensor] = []
    left: list[Tensor] = []
    each = len(start) // net.layers
    for layer in range(net.layers):
        name, now, outputs = f"cells.{layer}", list(start[layer * each : (layer + 1) * each]), []
        x = drop(found[-1]) if layer else x
        W = write_out_map(tensors, f"{name}.input", x.shape[-1])
        U = None if net.cell == "mingru" else write_out_map(tensors, f"{name}.recurrent", now[0].shape[1])
        for step_ in x:
            b, c = tensors[f"{name}.input.bias"], tensors.get(f"{name}.recurrent.bias")
            now = step_cell(net.cell, step_, now, W, b, U, c)
            outputs.append(now[0])
        found.append(torch.stack(outputs))
        left += now
    return found, left


def compute_logits(
    net: Network, given: Tensors, inputs: Tensor, carried: Sequence[Tensor], drop: Drop = lambda h: h
) -> tuple[Tensor, list[Tensor]]:
    """Logits of classes (B, c), or of the tokens that follow (B L, V); and the states after the last step."""
    tensors = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in given.items()}
    x = read_inputs(net, tensors, inputs)
    found, left = run_layers(net, tensors, drop(x) if net.tokens else x, carried, drop)
    h = drop(found[-1] if net.tokens else found[-1][-1])
    tied = not any(f"readout.{part}" in tensors for part in PARTS)
    V = tensors["embedding.weight"] if tied else write_out_map(tensors, "readout", h.shape[-1])
    said = h @ V.T + tensors["readout.bias"]
    return (said.transpose(0, 1).flatten(0, 1) if net.tokens else said), left


# --- one update -------------------------------------------------------------------------------------------------------


def update(state: State, batch: Batch) -> tuple[State, Mapping[str, Tensor]]:
    """One mini-batch, with the state's own optimiser: the mean cross-entropy of classes, or of all tokens.

    With a teacher, the mean of that and of KL(teacher | network). A window begins where the one before has ended.
    """
    step.advance(state)
    state.optimiser.zero_grad()
    net, B, both = state.network, len(batch.inputs), [each for each in (state.tensors, state.teacher) if each]
    carried = [each.double() for each in state.carried]
    if not net.tokens or batch.first or not carried:
        carried = [each for tensors in both for each in build_start(net, tensors, B)]
    own = len(carried) // len(both)
    found, left = compute_logits(net, state.tensors, batch.inputs, carried[:own], partial(_drop_numbers, state))
    loss = total = F.cross_entropy(found, batch.targets.flatten())
    if state.teacher:
        taught, seen = compute_logits(net, state.teacher, batch.inputs, carried[own:])
        p, log_q = taught.softmax(1), found.log_softmax(1)
        total = (loss + (p * (p.log() - log_q)).sum(1).mean()) / 2
        left += seen
    total.backward()
    step.descend(state)
    _zero_masked(state)
    state.carried = tuple(each.detach() for each in left)
    return state, {"loss": loss.detach()}


def _drop_numbers(state: State, h: Tensor) -> Tensor:
    """Leave out each number with probability p, or divide it by 1 - p."""
    p = state.network.dropout
    if not p:
        return h
    stays = torch.rand(h.shape, device=h.device, generator=state.generator) >= p
    return torch.where(stays, h / (1 - p), 0)


@torch.no_grad()
def _zero_masked(state: State) -> None:
    """Set weights to zero where a mask is False."""
    for name, mask in state.constants.items():
        if name.endswith(".mask"):
            state.parameters[f"{name[: -len('.mask')]}.weight"][~mask] = 0
