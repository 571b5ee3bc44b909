"""How far a compressed network is from the one that it came from: bounds, and distances measured on rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from harness_recurrent import network, reconstruction, theory
from harness_recurrent.bounds import Layer, Row, build_row, explain_underived
from harness_recurrent.covariance import PerStep
from harness_recurrent.generalisation import Bound
from harness_recurrent.network import Network, Tensors
from harness_recurrent.statistics import Statistics

MOST_NUMBERS = 2**27  # of covariances at each step


class Distances:
    """One pass over the rows of the covariance: distances of networks from the base, and covariances for its bounds."""

    def __init__(self, net: Network, base: Tensors, others: Sequence[Tensors], statistics: Statistics) -> None:
        self.steps, self._rows = statistics.steps, 0
        m = network.width(net, base, 0)
        affordable = self.steps * m * m <= MOST_NUMBERS
        self.each = PerStep(self.steps, m) if affordable and not explain_underived(net) else None
        self._squares = torch.zeros(len(others), 2, dtype=torch.float64)
        for x, states in statistics.states():
            self._rows += x.shape[1]
            if self.each is not None:
                self.each.add(states[0])
            outputs = network.read_out(base, states[-1])  # (T, B, c)
            for place, other in enumerate(others):
                self._squares[place] += _sum_squares(net, other, x, outputs)

    def distance(self, place: int) -> tuple[float, float]:
        """Root mean square of f - f# over rows and steps, and over rows at the last step."""
        mean = (self._squares[place] / self._rows).sqrt()
        return float(mean[0]) / math.sqrt(self.steps), float(mean[1])

    @property
    def tuned(self) -> bool:
        """Whether a fine-tuned network was seen, too."""
        return len(self._squares) > 1


def _sum_squares(net: Network, other: Tensors, x: Tensor, outputs: Tensor) -> Tensor:
    """Sums of |f - f#|^2: of all steps, and of the last."""
    states, _ = network.hidden_states(net, other, x, network.build_start(net, other, x.shape[1]))
    each = (outputs - network.read_out(other, states[-1])).square().sum(dim=(1, 2))  # (T,)
    return torch.stack([each.sum(), each[-1]]).cpu()


def list_rows(net: Network, layer: Layer, seen: Distances) -> Iterator[Row]:
    """Yield bounds where they are derived, and distances that were measured."""
    why = explain_underived(net)
    yield from [Row("bias_bound", "bias bound", note=why)] if why else _list_bounds(layer, seen)
    mean, last = seen.distance(0)
    yield Row("bias", "bias, measured", "rms |f - f#|, all steps", mean)
    yield Row("bias_last", "bias at the last step, measured", "rms |f_T - f#_T|", last)
    if seen.tuned:
        mean, last = seen.distance(1)
        note = "the bounds are of the network before fine-tuning"
        yield Row("bias_tuned", "after fine-tuning, measured", "rms |f - f#|, all steps", mean, note=note)
        yield Row("bias_tuned_last", "after fine-tuning at the last step", "rms |f_T - f#_T|", last)


def _list_bounds(layer: Layer, seen: Distances) -> Iterator[Row]:
    """Yield bounds of the bias; each is vacuous where the network without any node, f# = bo, is no further away."""
    Wo, Wh = layer.readout, layer.recurrent
    yield Row("kappa", "kappa", "|Wh[J] A|", layer.kappa(), note=_describe_growth(layer.kappa(), seen.steps))
    none = math.sqrt(reconstruction.measure_reading(layer.S, Wo))
    equation = "sqrt Tr Wo R Wo^T + |Wo A| S_{T-1}(kappa) sqrt Tr Wh[J] R Wh[J]^T"
    yield _build_row("bias_bound", "bias bound", equation, layer.log_bias_bound(seen.steps), none)
    equation = "sqrt Tr Wo R_T Wo^T + |Wo A| sum_{s<T} kappa^(T-1-s) sqrt Tr Wh[J] R_s Wh[J]^T"
    title = "bias bound at the last step"
    if seen.each is None:
        note = f"a covariance at each step would be {seen.steps} x {len(layer.S)}^2 numbers"
        yield Row("bias_bound_last", title, equation, note=note)
    else:
        S = seen.each.mean()  # (T, m, m)
        each = reconstruction.error(S, layer.nodes, layer.A)
        found = theory.log_last_step_bias_bound(each, layer.A, layer.nodes, Wo, Wh)
        yield _build_row(
            "bias_bound_last", title, equation, found, math.sqrt(reconstruction.measure_reading(S[-1], Wo))
        )
    equation = "2 sqrt lam(k) (|Wo|_F + |Wo| a S_{T-1}(|Wh| a) |Wh|_F), a = sqrt(20 m / 3)"
    lam = theory.feasible_regularisation(layer.S, len(layer.nodes))
    found = theory.log_a_priori_bias_bound(lam, Wo, Wh, seen.steps)
    yield _build_row("bias_bound_a_priori", "bias bound before J is known", equation, found, none)


def _build_row(name: str, title: str, equation: str, log_value: float, none: float) -> Row:
    return build_row(name, title, equation, Bound(name, log_value, none), f"without any node it is {none:.3g}")


def _describe_growth(kappa: float, steps: int) -> str:
    log10 = theory.log_geometric_sum(kappa, steps - 1) / math.log(10)
    return f"S_{{T-1}}(kappa) is {10**log10:.3g}" if log10 < 300 else f"S_{{T-1}}(kappa) is 1e{log10:.0f}"
