"""The state of Laplace: a MAP network, and the Gaussian around it once training has ended."""

from __future__ import annotations

from dataclasses import dataclass

from harness_bayes import training
from harness_laplace import LaplaceOptions
from harness_laplace.curvature import Gaussian


@dataclass(frozen=True)
class Approximation:
    """The Gaussian that `finish` leaves, of `size` weights. prior_scale: of its prior. evidence: log p(D)."""

    gaussian: Gaussian
    size: int
    structure: str
    prior_scale: float
    evidence: float


@dataclass(kw_only=True)
class State(training.State):
    """parameters: the MAP network. approximation: the Gaussian around it, once there is one."""

    options: LaplaceOptions
    approximation: Approximation | None = None
