"""The marginal likelihood of Laplace's approximation, as a function of the prior's scale and the noise.

With w = s v, s the prior's deviations as trained, and the Gauss-Newton matrix of v at a noise of 1, whose eigenvalues
(or diagonal) are lambda_i; a the logarithm of 1 / (factor on s)^2, b that of 1 / noise^2 (of classes 0):

    log p(D) = log p(D | w) - e^a |v|^2 / 2 + m a / 2 - 1/2 sum_i log(lambda_i e^b + e^a)
    log p(D | w) = N (b - log 2 pi) / 2 - e^b SSE / 2 in regression

With p_i = lambda_i e^b / (lambda_i e^b + e^a) and q = sum_i p_i (1 - p_i) (MacKay 1992, equations 17 to 20)

    d/da = (sum_i p_i - e^a |v|^2) / 2,    d/db = (N - e^b SSE - sum_i p_i) / 2
    d2/da2 = -(q + e^a |v|^2) / 2,    d2/db2 = -(q + e^b SSE) / 2,    d2/dadb = q / 2

It is concave, so Newton's steps, halved where they lead down, find the only maximum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LARGEST = 2 * math.log(1e6)  # |a| and |b| stay below: a network without errors would have no noise
STEPS = 100
CLOSE = 1e-12


@dataclass(frozen=True)
class Evidence:
    """eigenvalues: lambda, (m,), float64. squares: |v|^2. rows, errors: N and SSE of regression, of classes 0.

    constant: of classes log p(D | w), of regression -N / 2 log 2 pi.
    """

    eigenvalues: Tensor
    squares: float
    rows: int
    errors: float
    constant: float

    def value(self, a: float, b: float) -> float:
        """The log evidence log p(D)."""
        determinant = torch.logaddexp(self.eigenvalues.log() + b, torch.full_like(self.eigenvalues, a)).sum().item()
        likely = self.constant + (self.rows * b - math.exp(b) * self.errors) / 2
        return likely + (len(self.eigenvalues) * a - math.exp(a) * self.squares - determinant) / 2

    def derivatives(self, a: float, b: float) -> tuple[Tensor, Tensor]:
        """Gradient (2,) and matrix of second derivatives (2, 2) of `value`."""
        p = torch.sigmoid(self.eigenvalues.log() + b - a)
        determined, q = p.sum().item(), (p * (1 - p)).sum().item()
        squares, errors = math.exp(a) * self.squares, math.exp(b) * self.errors
        gradient = [determined - squares, self.rows - errors - determined]
        second = [[-q - squares, q], [q, -q - errors]]
        return torch.tensor(gradient, dtype=torch.float64) / 2, torch.tensor(second, dtype=torch.float64) / 2

    def maximise(self, a: float, b: float, with_noise: bool) -> tuple[float, float]:
        """Maximise `value` from a start, over both or over a alone, and return where it is highest."""
        for _ in range(STEPS):
            there = self._halve_step(a, b, self._newton_step(a, b, with_noise))
            if max(abs(there[0] - a), abs(there[1] - b)) < CLOSE:
                break
            a, b = there
        return a, b

    def _newton_step(self, a: float, b: float, with_noise: bool) -> tuple[float, float]:
        gradient, second = self.derivatives(a, b)
        if not with_noise:
            return _bound_step(float(gradient[0] / -second[0, 0].clamp_max(-CLOSE))), 0.0
        step = torch.linalg.solve(CLOSE * torch.eye(2, dtype=torch.float64) - second, gradient)
        return _bound_step(step[0].item()), _bound_step(step[1].item())

    def _halve_step(self, a: float, b: float, step: tuple[float, float]) -> tuple[float, float]:
        """Halve the step until the value does not fall, and return where it leads; (a, b) where none does."""
        here, share = self.value(a, b), 1.0
        while share > CLOSE:
            there = tuple(max(-LARGEST, min(LARGEST, x + share * dx)) for x, dx in zip((a, b), step, strict=True))
            if self.value(*there) >= here:
                return there[0], there[1]
            share /= 2
        return a, b


def _bound_step(step: float) -> float:
    return max(-2.0, min(2.0, step))
