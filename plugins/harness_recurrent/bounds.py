"""The theory applied to a layer of which nodes were kept, and to a network at so many bits; facts of records.

The network of the theory is that of `theory`: one layer, sigma(Wx x + Wh h + b), at rest before its first step, sigma
1-Lipschitz. A bound that is derived for such a network alone is missing for others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from harness import Batch, ClassLogProbs
from harness_recurrent import generalisation, network, prediction, reconstruction, selection, theory
from harness_recurrent.generalisation import Bound
from harness_recurrent.network import Network

EMPTY = torch.empty(0)
PLAIN_CELLS = ("irnn", "elman")  # one elementwise, 1-Lipschitz function, as the bounds of bias and variance suppose

# --- one layer --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layer:
    """A layer of which the nodes J are kept, float64. S (m, m): mean over rows and steps of h h^T; A (m, k).

    recurrent, readout: weights that read the state, (rows, m): its own gates, and the layer above or the readout.
    lam_rel: the regularisation, relative to Tr S / m. regularised: whether A is the minimiser that tau (m,) belongs to.
    """

    S: Tensor
    nodes: Sequence[int]
    tau: Tensor
    A: Tensor
    recurrent: Tensor
    readout: Tensor
    lam_rel: float
    regularised: bool = True

    @property
    def lam(self) -> float:
        """Lambda itself."""
        return selection.ridge(self.S, self.lam_rel)

    @property
    def lost(self) -> Tensor:
        """R = mean of (h - A h_J)(h - A h_J)^T."""
        return reconstruction.error(self.S, self.nodes, self.A)

    def losses(self) -> tuple[float, float, float]:
        """Compute L_A, L_Bo and L_Bh: of E_J, or of R where A minimises nothing."""
        if self.regularised:
            return theory.information_losses(self.S, self.nodes, self.tau, self.readout, self.recurrent)[:3]
        return self.read(self.lost)

    def read(self, R: Tensor) -> tuple[float, float, float]:
        """Traces of R itself, and as readout and recurrent weights read it."""
        return (
            float(R.trace()),
            reconstruction.measure_reading(R, self.readout),
            reconstruction.measure_reading(R, self.recurrent),
        )

    def shares(self, lost: Sequence[float]) -> list[float]:
        """Divide losses by those of keeping no node."""
        return [part / whole if whole else 0.0 for part, whole in zip(lost, self.read(self.S), strict=True)]

    def kappa(self) -> float:
        """|Wh[J] A|."""
        return norm(self.recurrent[list(self.nodes)] @ self.A)

    def log_bias_bound(self, steps: int) -> float:
        """Log of the bound of the bias, mean over steps, by `theory`."""
        return theory.log_bias_bound(self.lost, self.A, self.nodes, self.readout, self.recurrent, steps)


def build_layer(
    tensors: Mapping[str, Tensor], index: int, S: Tensor, kept: Sequence[int], tau: Tensor, A: Tensor, lam_rel: float
) -> Layer:
    """The layer of a network with these tensors, float64."""
    *own, above = network.list_readers(tensors, index)
    recurrent = tensors[own[0]] if own else S.new_zeros(0, len(S))
    return Layer(S, kept, tau, A.to(S), recurrent.to(S), tensors[above].to(S), lam_rel)


def describe_layers(net: Network, layers: Sequence[Layer], steps: int) -> dict[str, Any]:
    """Facts of a compression for its record, a number for each layer: no pass over rows is needed for them.

    Losses are shares of those of keeping no node. steps: of a sequence, 0 of a stream.
    """
    each = [_describe_layer(layer) for layer in layers]
    said: dict[str, Any] = {name: [own[name] for own in each] if len(each) > 1 else each[0][name] for name in each[0]}
    if steps and not explain_underived(net):
        said["kappa"] = layers[0].kappa()
        said["log10_bias_bound"] = layers[0].log_bias_bound(steps) / math.log(10)
    return said


def postpone_facts(net: Network, layers: Sequence[Layer], steps: int) -> Callable[[], dict[str, Any]]:
    """Postpone `describe_layers` until nothing is timed; in numpy, since tensors of a state count as its memory."""
    names = [each.name for each in fields(Layer) if isinstance(getattr(layers[0], each.name), Tensor)]
    held = [{name: getattr(layer, name).numpy(force=True).copy() for name in names} for layer in layers]
    empty: dict[str, Any] = dict.fromkeys(names, EMPTY)
    return partial(_describe_held_layers, net, [replace(layer, **empty) for layer in layers], held, steps)


def _describe_held_layers(
    net: Network, layers: Sequence[Layer], held: Sequence[Mapping[str, Any]], steps: int
) -> dict[str, Any]:
    tensors: list[dict[str, Any]] = [{name: torch.from_numpy(each) for name, each in own.items()} for own in held]
    return describe_layers(net, [replace(layer, **own) for layer, own in zip(layers, tensors, strict=True)], steps)


def _describe_layer(layer: Layer) -> dict[str, float]:
    _, readout, recurrent = layer.shares(layer.read(layer.lost))
    return {
        "readout_information_loss": readout,
        "recurrent_information_loss": recurrent,
        "lam": layer.lam,
        "degrees_of_freedom": selection.degrees_of_freedom(layer.S, layer.lam),
        "feasible_lam": theory.feasible_regularisation(layer.S, len(layer.nodes)),
        "reconstruction_norm": norm(layer.A),
    }


def explain_underived(net: Network) -> str:
    """Explain why bias and variance have no bound for this network; empty where they have."""
    if net.tokens:
        return "not derived for a stream, which does not begin at rest"
    if net.cell not in PLAIN_CELLS:
        return f"not derived for {net.cell}, whose gates multiply states"
    return f"not derived for {net.layers} layers" if net.layers > 1 else ""


def norm(W: Tensor) -> float:
    """The largest singular value; 0 of a matrix without numbers."""
    return float(torch.linalg.matrix_norm(W, 2)) if W.numel() else 0.0


# --- a network at so many bits ----------------------------------------------------------------------------------------


def quantise_tensors(tensors: Mapping[str, Tensor], bits: int) -> dict[str, Tensor]:
    """All tensors at so many bits, as the Occam bound counts them."""
    return {name: generalisation.quantise_weight(each, bits) for name, each in tensors.items()}


def measure_error(net: Network, tensors: Mapping[str, Tensor], rows: Batch) -> float:
    """The share of rows whose class is not the one predicted."""
    found = prediction.predict(net, tensors, rows.inputs)
    assert isinstance(found, ClassLogProbs)
    return float((found.log_probs[0].argmax(-1) != rows.targets).double().mean())


def bound_error(train_error: float, n: int, tensors: Mapping[str, Tensor], bits: int, delta: float) -> Bound:
    """The Occam bound of a network with these tensors at so many bits, which errs on this share of n training rows."""
    count = sum(each.numel() for each in tensors.values())
    return generalisation.occam_bound(train_error, n, count, bits, len(tensors), delta)


# --- as a row ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A number by its name, what it is, and its equation. value: None where there is none, and `note` says why.

    part: of the table. log_value: of a bound, which may exceed every float. trivial: what holds without any theory.
    """

    name: str
    title: str
    equation: str = ""
    value: float | None = None
    log_value: float | None = None
    trivial: float | None = None
    note: str = ""
    part: str = ""

    @property
    def vacuous(self) -> bool:
        """Whether the bound is no less than the value that holds without it."""
        return self.value is not None and self.trivial is not None and self.value >= self.trivial


def build_row(name: str, title: str, equation: str, bound: Bound, held: str) -> Row:
    """The row of a bound; held: why it is vacuous where it is."""
    note = f"vacuous: {held}" if bound.vacuous else ""
    return Row(name, title, equation, bound.value, bound.log_value, bound.trivial, note)
