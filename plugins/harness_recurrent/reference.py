"""Plain code for references of compressions: the base by its equations, whole nodes taken from it, or weights.

A method's `reference.py` has `compress(plain: Plain, options) -> Smaller`, and its learner

    def reference_prepare(self, state: State, fit: Fit) -> State:
        return plainly.prepare(self, state, fit, reference.compress)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness import Batch, Fit
from harness_recurrent import compression, equations
from harness_recurrent.compression import Compression, Smaller
from harness_recurrent.network import Network
from harness_recurrent.statistics import ROWS
from harness_recurrent.training import State

Floats = NDArray[np.float64]
FLOOR = 1e-10  # of a penalty, in Tr S / m


@dataclass(frozen=True)
class Plain:
    """A trained network, float64. nodes: how many of each layer are to be left. generator: that of `compression.Base`.

    x (T, N, d): training rows as the lowest layer reads them; states: the hidden states (T, N, m) of each layer.
    """

    network: Network
    tensors: dict[str, Tensor]
    nodes: int
    generator: torch.Generator
    x: Tensor
    states: list[Tensor]

    def readers(self, layer: int) -> Tensor:
        """Stack all weights that read the states of a layer: Z (rows, m)."""
        return torch.cat([self.tensors[name] for name in _list_readers(self, layer)])


def prepare(learner: Compression, state: State, fit: Fit, compress: Callable[[Plain, Any], Smaller]) -> State:
    """Prepare as `learner.prepare` does, with the smaller network that this function makes."""
    return learner.begin_smaller(state, make_smaller(learner, state, fit, compress))


def make_smaller(learner: Compression, state: State, fit: Fit, compress: Callable[[Plain, Any], Smaller]) -> Smaller:
    """Make the smaller network of a state's network, as it is now, by this function."""
    base = compression.build_base(state, fit)
    x, states = _run_base(state.network, base.tensors, fit.train, state.terms.batch_size)
    return compress(Plain(state.network, base.tensors, learner.size(base), base.generator, x, states), learner.options)


@torch.no_grad()
def _run_base(net: Network, tensors: dict[str, Tensor], train: Batch, batch_size: int) -> tuple[Tensor, list[Tensor]]:
    """Run the base on the first 10,000 sequences, or on a whole stream, cut into as many parts as training cuts it."""
    inputs = train.inputs[:ROWS]
    if net.tokens:
        length = train.targets.shape[1] // batch_size
        inputs = torch.stack([inputs[0, part * length : (part + 1) * length] for part in range(batch_size)])
    x = equations.read_inputs(net, tensors, inputs)
    return x, equations.run_layers(net, tensors, x, equations.build_start(net, tensors, x.shape[1]))[0]


def keep_nodes(plain: Plain, chosen: Sequence[Sequence[int]], maps: Sequence[Tensor]) -> dict[str, Tensor]:
    """The network with these nodes of each layer, written out gate by gate; what reads its states becomes W A."""
    tensors = dict(plain.tensors)
    if "readout.weight" not in tensors:
        tensors["readout.weight"] = tensors["embedding.weight"]
    for layer, (nodes, A) in enumerate(zip(chosen, maps, strict=True)):
        for name in _list_readers(plain, layer):
            name = "readout.weight" if name == "embedding.weight" else name
            tensors[name] = tensors[name] @ A
        m = len(A)
        for name in [name for name in tensors if name.startswith(f"cells.{layer}.")]:
            gates = len(tensors[name]) // m
            tensors[name] = torch.stack([tensors[name][gate * m + node] for gate in range(gates) for node in nodes])
    return tensors


# --- whole nodes, by least squares ------------------------------------------------------------------------------------


def compress_nodes(plain: Plain, options: Any, choose: Callable[[int, Floats], list[int]]) -> Smaller:
    """The network with the nodes that choose(layer, states (n, m)) names, ascending, the others made up for."""
    chosen: list[list[int]] = []
    maps: list[Tensor] = []
    lost: list[float] = []
    for layer, states in enumerate(plain.states):
        last = options.covariance == "last-step" and not plain.network.tokens
        h = (states[-1] if last else states.flatten(0, 1)).cpu().numpy()
        J = choose(layer, h)
        tau = build_penalties(h, options.lam, len(J))
        A = least_squares(h, h, J, tau) if options.reconstruct else np.eye(h.shape[1])[:, J]
        chosen, maps = [*chosen, J], [*maps, torch.from_numpy(A).to(plain.x)]
        lost.append(float(((h - h[:, J] @ A.T) ** 2).sum() / (h**2).sum()))
    return Smaller(
        keep_nodes(plain, chosen, maps), {"nodes": unwrap_single(chosen), "information_loss": unwrap_single(lost)}
    )


def find_highest(scores: Floats, k: int) -> list[int]:
    """Indices of the k highest scores (m,), ascending; of equal ones the first."""
    return sorted(sorted(range(len(scores)), key=lambda node: (-scores[node], node))[:k])


def leverage(states: Floats, lam: float) -> Floats:
    """(S (S + l I)^-1)_jj of states (n, m), by an inverse, (m,); l = lam Tr S / m."""
    S, m = states.T @ states / len(states), states.shape[1]
    scores: Floats = np.diag(S @ np.linalg.inv(S + lam * np.trace(S) / m * np.eye(m)))
    return scores


def build_penalties(states: Floats, lam: float, k: int) -> Floats:
    """tau_j = l k tau'_j, l = lam Tr S / m, tau' the shares of leverage scores; not below 1e-10 Tr S / m."""
    if not lam:
        return np.zeros(states.shape[1])
    level, scores = float((states**2).mean()), leverage(states, lam)  # Tr S / m
    return np.maximum(lam * level * k * scores / scores.sum(), FLOOR * level)


def least_squares(states: Floats, targets: Floats, columns: Sequence[int], tau: Floats) -> Floats:
    """Argmin over V (rows, k) of mean |y - V h_J|^2 + sum_j tau_j |V_:j|^2, of states (n, m) and targets (n, rows).

    The penalty is k equations more.
    """
    n = len(states)
    known = np.concatenate([states[:, columns] / np.sqrt(n), np.diag(np.sqrt(tau[columns]))])
    wanted = np.concatenate([targets / np.sqrt(n), np.zeros((len(columns), targets.shape[1]))])
    return np.linalg.lstsq(known, wanted, rcond=None)[0].T


def unwrap_single(each: Sequence[Any]) -> Any:
    """The value of the only layer, or the list of all layers' values, as a record has it."""
    return each[0] if len(each) == 1 else list(each)


# --- single weights ---------------------------------------------------------------------------------------------------


def list_removable(plain: Plain, weights: str) -> list[str]:
    """Recurrent weights of each layer, then, of all, those of the inputs and a readout that is not the embedding."""
    every = range(plain.network.layers)
    found = [f"cells.{layer}.recurrent.weight" for layer in every]
    if weights == "all":
        found += [*(f"cells.{layer}.input.weight" for layer in every), "readout.weight"]
    return [name for name in found if name in plain.tensors]


def collect_rows_read(plain: Plain, name: str) -> Tensor:
    """All rows (rows, m) that these weights have multiplied; of a stream without the zeros that it begins with."""
    text = plain.network.tokens
    if name == "readout.weight":
        return plain.states[-1].flatten(0, 1) if text else plain.states[-1][-1]
    layer, part = int(name.split(".")[1]), name.split(".")[2]
    if part == "input":
        return (plain.states[layer - 1] if layer else plain.x).flatten(0, 1)
    h = plain.states[layer]
    return (h if text else torch.cat([torch.zeros_like(h[:1]), h[:-1]])).flatten(0, 1)


def count_kept(plain: Plain, names: Sequence[str], options: Any) -> list[int]:
    """Count the weights that are left of each map: the same share of each, of as many in all as the options say."""
    sizes = [plain.tensors[name].numel() for name in names]
    if options.parameters is not None:
        total = options.parameters - (sum(each.numel() for each in plain.tensors.values()) - sum(sizes))
        total = min(total, sum(sizes))
    else:
        total = sum(_count_with_nodes(plain, name) for name in names)
    return divide_total(total, sizes)


def divide_total(total: int, sizes: Sequence[int]) -> list[int]:
    """Take the same share of each, in whole numbers: those rounded down by most are rounded up, until all are out."""
    found = [total * size // sum(sizes) for size in sizes]
    for place in sorted(range(len(sizes)), key=lambda place: -(total * sizes[place] % sum(sizes))):
        found[place] += sum(found) < total
    return found


def _count_with_nodes(plain: Plain, name: str) -> int:
    """Weights of this map in the network with k nodes: G k^2 recurrent ones, G k d of an input, c k of the readout."""
    k, (rows, columns) = plain.nodes, plain.tensors[name].shape
    if name == "readout.weight":
        return rows * k
    layer, part = int(name.split(".")[1]), name.split(".")[2]
    gates = equations.GATES[plain.network.cell]
    return gates * k * (k if part == "recurrent" or layer else columns)


def mask_weights(plain: Plain, kept: Mapping[str, Tensor], masks: Mapping[str, Tensor], options: Any) -> Smaller:
    """The network with these weights where the masks are."""
    tensors = dict(plain.tensors)
    for name, mask in masks.items():
        tensors[name] = torch.where(mask, kept[name], 0)
        tensors[f"{name[: -len('.weight')]}.mask"] = mask
    total, whole = sum(count_kept(plain, list(masks), options)), sum(mask.numel() for mask in masks.values())
    return Smaller(tensors, {"kept_weights": total, "density": total / whole, "form": options.form})


def _list_readers(plain: Plain, layer: int) -> list[str]:
    """List the weights that read a layer's states: its own recurrent ones, then those above it, or the readout's."""
    above = f"cells.{layer + 1}.input.weight" if layer + 1 < plain.network.layers else "readout.weight"
    last = above if above in plain.tensors else "embedding.weight"
    return [name for name in (f"cells.{layer}.recurrent.weight", last) if name in plain.tensors]
