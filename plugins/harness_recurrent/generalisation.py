"""Bounds of the risk of a compressed recurrent network: its bias and the variance of its class, or its length in bits.

They hold with probability 1 - delta over n iid sequences, and not for windows of a stream. The variance term is by
covering the class of networks whose norms are bounded, the Occam bound by how many networks can be written down.
Networks and symbols are those of `theory`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from harness import UsageError
from harness_recurrent.theory import log, log_geometric_sum, log_sum

SLOPE = math.sqrt(2)  # of the cross-entropy of a softmax in its outputs, by their Euclidean norm
GRID = 64  # radii are powers of two from 2^-32 on
LOG_GRIDS = 5 * math.log(GRID)
SCALE_BITS, HEADER_BITS = 32, 64  # of a tensor's scale; for the cell, the widths and the bits of a parameter


@dataclass(frozen=True)
class Bound:
    """A bound by its logarithm, and the value that holds without any theory: unless it is less, it is vacuous."""

    name: str
    log_value: float
    trivial: float

    @property
    def value(self) -> float:
        """Infinite where it exceeds every float."""
        return math.exp(self.log_value) if self.log_value < math.log(torch.finfo(torch.float64).max) else math.inf

    @property
    def vacuous(self) -> bool:
        """Whether it says no more than what is known without it."""
        return self.value >= self.trivial

    def __str__(self) -> str:
        digits = f"{self.value:.3g}"
        if math.isinf(self.value) and self.log_value < math.inf:
            digits = f"1e{self.log_value / math.log(10):.0f}"
        return f"{self.name} {digits}" + (f" (vacuous: {self.trivial:.3g} holds anyway)" if self.vacuous else "")


@dataclass(frozen=True)
class Blocks:
    """A number for each of Wh, Wx, b, Wo and bo: how many parameters, the largest norm, a slope."""

    recurrent: float
    input: float
    bias: float
    readout: float
    readout_bias: float

    def on_grid(self) -> Blocks:
        """The next larger powers of two, of which each has 64, in place of a network's own norms."""
        return Blocks(*(_round_to_power(field.name, getattr(self, field.name)) for field in fields(self)))


def log_largest_state(radii: Blocks, inputs: float, steps: int, rho: float = 1.0) -> float:
    """Log H, |h_t| <= H = rho (|Wx| RX + |b|) S_T(rho |Wh|); inputs: RX >= |x_t|."""
    return log(rho * (radii.input * inputs + radii.bias)) + log_geometric_sum(rho * radii.recurrent, steps)


def log_slopes(radii: Blocks, inputs: float, steps: int, rho: float = 1.0) -> Blocks:
    """Logs of how much |f_t| may change with the norm of each block's change.

    |df| <= H |dWo| + |dbo| + |Wo| rho S_T(rho |Wh|) (H |dWh| + RX |dWx| + |db|), H as `log_largest_state` has it.
    """
    state = log_largest_state(radii, inputs, steps, rho)
    through = log(radii.readout * rho) + log_geometric_sum(rho * radii.recurrent, steps)
    return Blocks(through + state, through + log(inputs), through, state, 0.0)


def log_covering_number(
    sizes: Blocks, radii: Blocks, inputs: float, steps: int, accuracy: float, slope: float = SLOPE, rho: float = 1.0
) -> float:
    """Log N(eps) = sum over blocks of p log(1 + 10 slope R Lip / eps): networks whose losses are eps-close to any.

    sizes: p, how many parameters each block has; slope: of the loss in the outputs; Lip: `log_slopes`.
    """
    blocks = zip(*(vars(each).values() for each in (sizes, radii, log_slopes(radii, inputs, steps, rho))), strict=True)
    return sum(p * log_sum(0.0, log(10 * slope * R / accuracy) + lip) for p, R, lip in blocks)


def variance_term(n: int, log_number: float, delta: float = 0.05, limit: float = 1.0, iid: bool = True) -> float:
    """2 eps + B sqrt((log N(eps) + 5 log 64 + log(1 / delta)) / 2 n), eps = 1 / n.

    It holds for losses in [0, B] of every network of the class. log_number: `log_covering_number` at accuracy 1 / n and
    radii `on_grid`, whose choice the second term pays for.
    Raises UsageError where the n sequences are not iid.
    """
    _refuse_streams("variance term", iid)
    return 2 / n + limit * math.sqrt((log_number + LOG_GRIDS - math.log(delta)) / (2 * n))


def risk_bound(risk: float, log_bias: float, variance: float, slope: float = SLOPE, limit: float = 1.0) -> Bound:
    """E psi(f#) <= mean psi(f) + slope |f - f#|_nT + variance; risk: of the original network on its training rows.

    log_bias: by `log_bias_bound`, or of the distance that was measured. The loss psi is in [0, limit].
    """
    return Bound("risk", log_sum(log(risk), log(slope) + log_bias, log(variance)), limit)


def quantise_weight(weight: Tensor, bits: int) -> Tensor:
    """The weights with so many bits each, 2 at least, and a scale of 32 bits, as the Occam bound counts them."""
    if bits < 2:
        raise ValueError(f"a weight is quantised to 2 bits at least, sign included, and {bits} were asked for")
    levels = 2 ** (bits - 1) - 1
    scale = (weight.abs().amax() / levels).float().clamp(min=torch.finfo(torch.float32).tiny).to(weight.dtype)
    return (weight / scale).round().clamp(-levels, levels) * scale


def occam_bound(
    error: float, n: int, parameters: int, bits: int, tensors: int = 5, delta: float = 0.05, iid: bool = True
) -> Bound:
    """Error <= error_n + sqrt(((q p + 32 s + 64) ln 2 + ln(1 / delta)) / 2 n): of the quantised compressed network.

    error: that of the network whose p parameters have q bits and whose s tensors have a scale each, on the n rows that
    it was trained on. Cell, widths and bits take the other 64. Raises UsageError where the rows are not iid.
    """
    _refuse_streams("Occam bound", iid)
    length = bits * parameters + SCALE_BITS * tensors + HEADER_BITS
    return Bound("occam", log(error + math.sqrt((length * math.log(2) - math.log(delta)) / (2 * n))), 1.0)


def _refuse_streams(name: str, iid: bool) -> None:
    if not iid:
        raise UsageError(
            f"the {name} holds for iid sequences, and windows of a stream are not iid: take a data set of separate"
            " sequences, or report what was measured on held-out rows"
        )


def _round_to_power(name: str, value: float) -> float:
    half, exponent = math.frexp(value)
    exponent = max(-GRID // 2, exponent - (half == 0.5)) if value else -GRID // 2
    if exponent >= GRID // 2:
        raise ValueError(f"the norm of {name} has to be 2^{GRID // 2 - 1} at most and is {value:.3g}: weights diverged")
    return 2.0**exponent
