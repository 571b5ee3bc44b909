"""Cost of an update with full covariances of many weights, and the refusal of one that is too large to begin with.

Factors of J components have J m^2 numbers. An update holds each four times, as parameter, gradient and two moments, and
works on copies, of which objective=certified and objective=true have many in float64. Its time is of passes over these
numbers and, with objective=certified, of K^2 triangular systems of m^3 operations. The constants below are measured,
with m from 1,000 to 3,000 on one core.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from harness import Unsupported
from harness_bayes.config import Objective
from harness_torch.backend.device_memory import total_bytes

KEPT, WORK = 4, 8  # copies of the factors in single precision: what is kept, and what an update works on besides
WORK_OF_ERROR = {"approximate": (0, 0), "true": (16, 0), "certified": (50, 18)}  # further ones, and for each component
PASSES = 5e-8  # seconds for each number of the factors
DRAWS = 2.5e-8  # seconds for each number and component, of objective=true
PAIRS = 4e-10  # seconds for each pair of components and m^3, of objective=certified
CORES_OF_A_GPU = 50
LARGEST_SHARE, LONGEST = 0.75, 10.0  # of the memory; seconds of an update, of which a training takes thousands


class Cost(NamedTuple):
    """Bytes of all trials, and seconds of an update of one, on one core."""

    memory: int
    seconds: float


def estimate_cost(size: int, trials: int, components: int, objective: Objective) -> Cost:
    """Estimate the cost of so many trials with K components of so many weights."""
    once, each = WORK_OF_ERROR[objective if components > 1 else "approximate"]
    numbers = components * size**2
    copies = KEPT + WORK + once + each * components
    seconds = PASSES * numbers
    if components > 1 and objective == "true":
        seconds += DRAWS * numbers * components
    if components > 1 and objective == "certified":
        seconds += PAIRS * numbers * components * size
    return Cost(4 * copies * trials * numbers, seconds)


def refuse_large(size: int, trials: int, components: int, objective: Objective, device: str) -> None:
    """Raise Unsupported for covariances that the device's memory does not hold, or whose updates take too long."""
    found, there = estimate_cost(size, trials, components, objective), total_bytes(device)
    what = f"covariance=full: {trials * components} matrices of {size:,} x {size:,}"
    instead = "use covariance=diag, or a smaller network"
    if found.memory > LARGEST_SHARE * there:
        raise Unsupported(
            f"{what} take {found.memory / 2**30:,.1f} GiB with gradients, moments and the work of an update, and this "
            f"machine has {there / 2**30:,.1f}; {instead}"
        )
    seconds = found.seconds / (CORES_OF_A_GPU if torch.device(device).type == "cuda" else 1)
    if seconds > LONGEST:
        pairs = objective == "certified" and components > 1
        cubic = f", with objective=certified in proportion to {size:,}^3" if pairs else ""
        raise Unsupported(
            f"{what}: an update takes about {seconds:,.0f} s{cubic}, at most {LONGEST:g} are taken; {instead}"
            + (", or objective=approximate" if pairs else "")
        )
