"""Recurrent networks as modules of torch alone: the modules, their weights, and their order.

Weights of every form become the dense ones that they are equal to. Layers of one width are one module, `rnn`; of
several they are `rnn0`, `rnn1` and so on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness import Unsupported
from harness_recurrent import forms, network
from harness_recurrent.network import Network


class MinGRU(nn.Module):
    """minGRU, called as torch's layers are: x (B, T, d), h (1, B, m); torch has none."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.gates = nn.Linear(inputs, 2 * hidden)

    def forward(self, x: Tensor, start: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """States of all steps by doubling: after i rounds h holds what the last 2^i steps have added."""
        update, new = self.gates(x).chunk(2, -1)
        stays, h = torch.sigmoid(-update), torch.sigmoid(update) * new  # (B, T, m)
        if start is not None:
            h = torch.cat([h[:, :1] + stays[:, :1] * start[0][:, None], h[:, 1:]], 1)
        back = 1
        while back < x.shape[1]:
            h = h + stays * _shift_back(h, back)
            stays = stays * _shift_back(stays, back)
            back *= 2
        return h, h[:, -1][None]


def _shift_back(each: Tensor, steps: int) -> Tensor:
    """Shift states back by so many steps, with zeros before the first: (B, T, m)."""
    return F.pad(each, (0, 0, steps, 0))[:, :-steps]


KINDS: Mapping[str, type[nn.Module]] = {
    "Embedding": nn.Embedding,
    "RNN": nn.RNN,
    "GRU": nn.GRU,
    "LSTM": nn.LSTM,
    "MinGRU": MinGRU,
    "Linear": nn.Linear,
}
LAYERS = {"irnn": "RNN", "elman": "RNN", "gru": "GRU", "lstm": "LSTM", "mingru": "MinGRU"}


class Part(NamedTuple):
    """A module by its class and arguments, as JSON and as Python say it."""

    kind: str
    sizes: Sequence[int]
    settings: Mapping[str, Any] = {}

    def build(self) -> nn.Module:
        return KINDS[self.kind](*self.sizes, **self.settings)

    def __str__(self) -> str:
        given = [*map(str, self.sizes), *(f"{name}={value!r}" for name, value in self.settings.items())]
        return f"nn.{self.kind}({', '.join(given)})"


# --- from arrays ----------------------------------------------------------------------------------------------------


def to_dense(net: Network, arrays: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """All weights in single precision, and the forms that they had, if not dense.

    Raises Unsupported for arrays that are none of such a network.
    """
    found, kinds, strange = {}, set(), set(arrays)
    try:
        for name, size in _list_maps(net, arrays):
            stored = {each: tensor for each, tensor in forms.select_under(arrays, name).items() if each != "bias"}
            kinds.add(forms.find_form(stored))
            found[f"{name}.weight"] = forms.to_dense(stored, size).float()
            strange -= {f"{name}.{each}" for each in stored}
        found |= {name: arrays[name].float() for name in _list_plain(net)}
    except (KeyError, ValueError, IndexError) as error:
        raise Unsupported(f"its arrays are those of no {net.cell} network: {error}; was it another version?") from error
    if strange := strange - found.keys():
        raise Unsupported(
            f"its arrays have {min(strange)}, which such a network does not have: was it another version?"
        )
    return found, sorted(kinds - {"dense"})


def _list_plain(net: Network) -> list[str]:
    """List the names of tensors that are stored in one form alone."""
    own = ["input.bias", *(["recurrent.bias"] if net.cell == "gru" else [])]
    names = [f"cells.{layer}.{each}" for layer in range(net.layers) for each in own]
    return [*(["embedding.weight"] if net.tokens else []), *names, "readout.bias"]


def _list_maps(net: Network, arrays: Mapping[str, Tensor]) -> Iterator[tuple[str, int]]:
    """Names of all linear maps, with how many numbers each reads."""
    for layer in range(net.layers):
        m = network.width(net, arrays, layer)
        yield f"cells.{layer}.input", network.width(net, arrays, layer - 1) if layer else net.inputs
        if net.cell != "mingru":
            yield f"cells.{layer}.recurrent", m
    if not net.tokens or len(forms.select_under(arrays, "readout")) > 1:  # a tied one has its bias alone
        yield "readout", network.width(net, arrays, net.layers - 1)


def list_parts(net: Network, tensors: Mapping[str, Tensor]) -> dict[str, Part]:
    """The modules of a network with these dense tensors, in their order."""
    found = {"embedding": Part("Embedding", tuple(tensors["embedding.weight"].shape))} if net.tokens else {}
    settings = {"nonlinearity": "relu"} if net.cell == "irnn" else {}
    for name, layers in _list_blocks(net, tensors):
        sizes = [_count_inputs(tensors, layers[0]), network.width(net, tensors, layers[0])]
        if net.cell == "mingru":
            found[name] = Part("MinGRU", sizes)
        else:
            sizes += [len(layers)] if len(layers) > 1 else []
            found[name] = Part(LAYERS[net.cell], sizes, {**settings, "batch_first": True})
    found["readout"] = Part("Linear", [network.width(net, tensors, net.layers - 1), net.outputs])
    return found


def build_state_dict(net: Network, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of these modules, every tensor in a memory of its own."""
    found = {"embedding.weight": tensors["embedding.weight"]} if net.tokens else {}
    for name, layers in _list_blocks(net, tensors):
        for at, layer in enumerate(layers):
            found |= {
                f"{name}.{own}": each
                for own, each in _list_layer_weights(net.cell, at, network.select_cell(tensors, layer))
            }
    found["readout.weight"] = tensors["readout.weight" if "readout.weight" in tensors else "embedding.weight"]
    found["readout.bias"] = tensors["readout.bias"]
    return {name: each.clone().contiguous() for name, each in found.items()}


def _list_layer_weights(cell: str, at: int, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Weights of a layer by torch's names: the second bias is zero but for the part that a GRU has of its own."""
    bias = tensors["input.bias"]
    if cell == "mingru":
        yield from {"gates.weight": tensors["input.weight"], "gates.bias": bias}.items()
        return
    yield f"weight_ih_l{at}", tensors["input.weight"]
    yield f"weight_hh_l{at}", tensors["recurrent.weight"]
    yield f"bias_ih_l{at}", bias
    own = tensors.get("recurrent.bias")
    yield f"bias_hh_l{at}", torch.zeros_like(bias) if own is None else F.pad(own, (len(bias) - len(own), 0))


def _list_blocks(net: Network, tensors: Mapping[str, Tensor]) -> list[tuple[str, range]]:
    """Modules that hold the layers, by name: one for all of a width, where torch has such a module."""
    widths = {network.width(net, tensors, layer) for layer in range(net.layers)}
    if net.layers == 1 or (len(widths) == 1 and net.cell != "mingru"):
        return [("rnn", range(net.layers))]
    return [(f"rnn{layer}", range(layer, layer + 1)) for layer in range(net.layers)]


def _count_inputs(tensors: Mapping[str, Tensor], layer: int) -> int:
    return tensors[f"cells.{layer}.input.weight"].shape[1]


# --- the way through ------------------------------------------------------------------------------------------------


class Classifier(nn.Module):
    """Rows as the data set has them, (B, T, ...) or images (B, C, H, W), to logits (B, c)."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(modules)

    def forward(self, rows: Tensor) -> Tensor:
        x = (rows.transpose(1, 2) if rows.dim() == 4 else rows).flatten(2)  # (B, T, d)
        for name, part in self.parts.items():
            x = part(x[:, -1]) if name == "readout" else part(x)[0]
        return x


class Step(nn.Module):
    """A token (B,) and the states before it to the logits (B, V) of the next, and the states after it."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(modules)

    def forward(self, tokens: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        before, x = list(states), tokens[:, None]
        after: list[Tensor] = []
        for name, part in self.parts.items():
            if not name.startswith("rnn"):
                x = part(x)
                continue
            own = tuple(before.pop(0) for _ in range(2 if isinstance(part, nn.LSTM) else 1))
            x, left = part(x, own if len(own) == 2 else own[0])
            after += left if isinstance(left, tuple) else [left]
        return (x[:, 0], *after)


def build_start(parts_: Mapping[str, Part], batch: int) -> tuple[Tensor, ...]:
    """States before the first token: (layers, B, m) of each module, of an lstm two."""
    found = []
    for part in parts_.values():
        if part.kind in set(LAYERS.values()):
            layers = part.sizes[2] if len(part.sizes) > 2 else 1
            found += [torch.zeros(layers, batch, part.sizes[1]) for _ in range(2 if part.kind == "LSTM" else 1)]
    return tuple(found)
