"""Recurrent networks as plain named tensors, the same for training, files, compressions and exports.

    embedding.weight            (V, E)       of language alone
    cells.{l}.input.weight      (G m, d)     gates one below the other, in torch's order; d of the layer below
    cells.{l}.input.bias        (G m,)       one bias, where frameworks have two that only ever add up
    cells.{l}.recurrent.weight  (G m, m)     or another form of this map, see `forms`
    cells.{l}.recurrent.bias    (m,)         of gru alone, within r * (W h + b)
    readout.weight, readout.bias             (c, m), (c,); a tied readout has the embedding's weights

Classes come from the state after the last step, tokens from each. Widths are those of the tensors, so that a layer that
was made smaller needs no other description.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from harness import Problem, Training, Unsupported
from harness_recurrent import cells, forms
from harness_recurrent.config import GATES, UNBOUNDED, NetworkOptions
from harness_torch.training import precision
from harness_torch.training.precision import Types

Tensors = Mapping[str, Tensor]
Carried = tuple[Tensor, ...]  # states of all layers, from the lowest: (B, m) each, of an lstm h and c


@dataclass(frozen=True)
class Network:
    """A network but for its tensors. tokens: a language, whose inputs are embedded and which predicts at each step."""

    cell: str
    layers: int
    tokens: bool
    inputs: int
    outputs: int
    types: Types
    dropout: float = 0.0


def build(problem: Problem, training: Training, options: NetworkOptions) -> Network:
    """Build the network. Raises Unsupported for a problem without steps, and for options that do not fit it."""
    tokens = problem.kind == "language"
    cell = options.resolve_cell(problem.kind)
    if tokens and cell == "irnn":
        raise Unsupported(f"cell=irnn: {UNBOUNDED}; use lstm, gru, elman or mingru")
    for name in ("embedding", "tied"):
        if not tokens and getattr(options, name):
            raise Unsupported(f"{name} is of language, and this is {problem.kind}; leave it out")
    inputs = (options.embedding or options.hidden) if tokens else count_features(problem)
    types = precision.types(training.precision, "recurrent networks")
    return Network(cell, options.layers, tokens, inputs, problem.output_size, types, options.dropout)


def count_features(problem: Problem) -> int:
    """Numbers that a step of a row has: rows of time as they are, an image (C, H, W) as H steps of its lines.

    Raises Unsupported for a row without steps.
    """
    if problem.time_axis and len(problem.input_shape) == 3:
        raise Unsupported(
            f"rows of shape {problem.input_shape} look like images; flatten the steps to one axis, (T, d)"
        )
    if problem.time_axis:
        return prod(problem.input_shape[1:])
    if len(problem.input_shape) == 3:
        channels, _, width = problem.input_shape
        return channels * width
    raise Unsupported(
        f"recurrent networks take rows with a time axis, images or texts, not rows of shape {problem.input_shape}"
    )


def draw_initial(network: Network, options: NetworkOptions, seed: int) -> dict[str, Tensor]:
    """Parameters before training, float64: uniform within 1 / sqrt(m), as torch's; irnn as Le et al. (2015) have it.

    The forget gate of an lstm starts open, at a bias of 1.
    """
    generator, m = torch.Generator().manual_seed(seed), options.hidden
    bound = 1 / math.sqrt(m)

    def uniform(*shape: int, within: float = bound) -> Tensor:
        return (2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1) * within

    tensors: dict[str, Tensor] = {}
    if network.tokens:
        tensors["embedding.weight"] = uniform(network.outputs, network.inputs, within=0.1)
    for layer in range(network.layers):
        inputs, rows = (m if layer else network.inputs), GATES[network.cell] * m
        name = f"cells.{layer}"
        tensors[f"{name}.input.weight"] = uniform(rows, inputs)
        tensors[f"{name}.input.bias"] = uniform(rows)
        if network.cell != "mingru":
            tensors[f"{name}.recurrent.weight"] = uniform(rows, m)
        if network.cell == "gru":
            tensors[f"{name}.recurrent.bias"] = uniform(m)
        _specialise_cell(tensors, name, network.cell, options, generator)
    if not options.tied:
        tensors["readout.weight"] = uniform(network.outputs, m)
    tensors["readout.bias"] = torch.zeros(network.outputs, dtype=torch.float64)
    return tensors


def _specialise_cell(
    tensors: dict[str, Tensor], name: str, cell: str, options: NetworkOptions, draw: torch.Generator
) -> None:
    m = options.hidden
    if cell == "lstm":
        tensors[f"{name}.input.bias"][m : 2 * m] = 1.0
    if cell == "irnn":
        weight = tensors[f"{name}.input.weight"]
        tensors[f"{name}.input.weight"] = options.input_scale * torch.randn(
            weight.shape, generator=draw, dtype=torch.float64
        )
        tensors[f"{name}.input.bias"] = torch.zeros(m, dtype=torch.float64)
        tensors[f"{name}.recurrent.weight"] = options.gain * torch.eye(m, dtype=torch.float64)


# --- the way through ------------------------------------------------------------------------------------------------


def select_cell(tensors: Tensors, layer: int) -> dict[str, Tensor]:
    """The tensors of a layer, by their name after `cells.{layer}.`."""
    return forms.select_under(tensors, f"cells.{layer}")


def width(network: Network, tensors: Tensors, layer: int) -> int:
    """Nodes of a layer: by its biases, which are there in whatever form its weights are."""
    return len(tensors[f"cells.{layer}.input.bias"]) // GATES[network.cell]


def list_readers(tensors: Tensors, layer: int) -> list[str]:
    """Names of the weights that read a layer's state: its own recurrent ones, then those above, or the readout's."""
    above = f"cells.{layer + 1}.input.weight"
    recurrent = f"cells.{layer}.recurrent.weight"
    last = above if above in tensors else "readout.weight" if "readout.weight" in tensors else "embedding.weight"
    return [*([recurrent] if recurrent in tensors else []), last]


def split_steps(network: Network, tensors: Tensors, inputs: Tensor) -> Tensor:
    """Inputs as the lowest layer reads them, (T, B, d): tokens (B, T), rows (B, T, ...) or images (B, C, H, W)."""
    if network.tokens:
        return F.embedding(inputs.T, tensors["embedding.weight"])
    if inputs.dim() == 4:  # an image's lines, channels side by side
        inputs = inputs.transpose(1, 2)
    return inputs.flatten(2).transpose(0, 1).contiguous().to(network.types.compute)


def build_start(network: Network, tensors: Tensors, batch: int) -> Carried:
    """States before the first step."""
    like = tensors["readout.bias"]
    each = [
        cells.build_start(network.cell, batch, width(network, tensors, layer), like) for layer in range(network.layers)
    ]
    return tuple(tensor for state in each for tensor in state)


def hidden_states(
    network: Network, tensors: Tensors, x: Tensor, carried: Carried, drop: Callable[[Tensor], Tensor] = lambda h: h
) -> tuple[list[Tensor], Carried]:
    """States of each layer at every step, (T, B, m), for x (T, B, d), and the last ones. drop: between layers."""
    found: list[Tensor] = []
    left: list[Tensor] = []
    size = len(carried) // network.layers
    for layer in range(network.layers):
        start = carried[layer * size : (layer + 1) * size]
        read = drop(found[-1]) if layer else x
        h, end = cells.run_cell(network.cell, read, select_cell(tensors, layer), tuple(start))
        found.append(h)
        left.extend(end)
    return found, tuple(left)


def read_out(tensors: Tensors, h: Tensor) -> Tensor:
    """Logits (..., c) of states (..., m)."""
    readout = forms.select_under(tensors, "readout")
    if len(readout) > 1:
        read = forms.bind(readout)(h.flatten(0, -2)).unflatten(0, h.shape[:-1])
    else:  # tied
        read = h @ tensors["embedding.weight"].T
    return read + readout["bias"]


def cast_tensors(network: Network, tensors: Tensors) -> dict[str, Tensor]:
    """Tensors in the type that linear operations compute in; indices, masks and integers as they are."""
    compute = network.types.compute
    return {name: each.to(compute) if each.is_floating_point() else each for name, each in tensors.items()}


def unwrap_single(each: Sequence[Any]) -> Any:
    """The value of the only layer, or the list of all layers' values, as records have it."""
    return each[0] if len(each) == 1 else list(each)


def list_shapes(network: Network, options: NetworkOptions) -> dict[str, tuple[int, ...]]:
    """Shapes of the parameters of a network that nothing was taken from."""
    return {name: tuple(tensor.shape) for name, tensor in draw_initial(network, options, 0).items()}


def check_arrays(tensors: Mapping[str, Any], network: Network, options: NetworkOptions) -> None:
    """Check the arrays of a base. Raises Unsupported where they are not those of that network, trained and finite."""
    expected = list_shapes(network, options)
    missing, strange = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or strange:
        what = f"no {missing[0]}" if missing else f"{strange[0]}, which such a network does not have"
        raise Unsupported(f"the base's arrays have {what}: expected those of dense-rnn with cell={network.cell}")
    for name, shape in expected.items():
        if tuple(tensors[name].shape) != shape:
            raise Unsupported(
                f"the base's {name} has shape {tuple(tensors[name].shape)}, expected {shape}: it is another network"
            )
        if not bool(torch.isfinite(tensors[name]).all()):
            raise Unsupported(f"the base's {name} holds numbers that are not finite: its training has diverged")
