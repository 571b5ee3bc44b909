"""Regression toys whose truth is known, on their own scale: a method's uncertainty can be checked against it.

`toy-gap`: y = sin 3.5x + 0.3 sin 9x + noise at x in [-1, -0.4] and [0.4, 1]; the shifted split `gap` asks about
|x| < 0.3, where nothing was seen. `toy-2d`: y = w1 tanh(w2 x) + N(0, 0.3^2), two weights and twelve rows, so that the
log evidence under the prior w ~ N(0, 1.5^2 I) is an integral over the plane: -5.42786 nats.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness import Batch, Data, DataOptions, Problem, derive
from harness_data.options import GapOptions

Floats = NDArray[np.float64]

NEAREST, FARTHEST, GAP = 0.4, 1.0, 0.3  # |x| of what is seen, and of what is asked about
GAP_VALID, GAP_TEST = 50, 200

WEIGHTS = 1.2, 1.0
PRIOR_SD, NOISE_SD = 1.5, 0.3
LOG_EVIDENCE = -5.42786
WIDTH = 2.0  # |x| at most
# Standard normal draws of the twelve rows: torch.randn(12) from seed 0. The data are these, whatever the trial's seed.
DRAWS = (
    *(1.5409961, -0.2934289, -2.1787894, 0.5684313, -1.0845224, -1.3985955),
    *(0.4033468, 0.8380263, -0.7192576, -0.4033435, -0.5966353, 0.1820365),
)
PLANE_VALID, PLANE_TEST = 50, 200


def load_gap(config: GapOptions, seed: int, folder: Path) -> Data:
    """Inputs (N, 1) float32, evenly spaced, targets (N,) float32; the seed decides the noise alone."""
    del folder

    def split(name: str, x: Floats) -> Batch:
        return _draw_split(x, wave(x), config.noise, seed, name)

    train, valid = split("train", space_points_outside(config.rows)), split("valid", space_points_outside(GAP_VALID))
    test, gap = split("test", space_points_outside(GAP_TEST)), split("gap", space_points(GAP_TEST, GAP))
    return Data(_make_problem(config.rows), train, valid, test, shifted={"gap": gap})


def load_plane(config: DataOptions, seed: int, folder: Path) -> Data:
    """Inputs (N, 1) float32, evenly spaced, targets (N,) float32; the seed decides the noise of valid and test alone.

    The reading `exact_log_evidence` is that of the twelve training rows, in nats.
    """
    del config, folder
    x = np.linspace(-WIDTH, WIDTH, len(DRAWS))
    train = _make_batch(x, saturating(x) + NOISE_SD * np.array(DRAWS))
    valid, test = (
        _draw_split(place, saturating(place), NOISE_SD, seed, name)
        for name, place in (("valid", space_points(PLANE_VALID, WIDTH)), ("test", space_points(PLANE_TEST, WIDTH)))
    )
    return Data(_make_problem(len(x)), train, valid, test, readings={"exact_log_evidence": LOG_EVIDENCE})


def wave(x: Floats) -> Floats:
    """The true function of `toy-gap`."""
    return np.sin(3.5 * x) + 0.3 * np.sin(9 * x)


def saturating(x: Floats) -> Floats:
    """The true function of `toy-2d`."""
    return WEIGHTS[0] * np.tanh(WEIGHTS[1] * x)


def space_points(count: int, width: float) -> Floats:
    """Space so many points (count,) in (-width, width): the middles of as many equal parts."""
    return width * (2 * np.arange(count) + 1 - count) / count


def space_points_outside(count: int) -> Floats:
    """Space so many points (count,) with 0.4 < |x| < 1: the middles of equal parts of both sides together."""
    x = space_points(count, FARTHEST - NEAREST)
    return x + np.where(x < 0, -NEAREST, NEAREST)


def _draw_split(x: Floats, truth: Floats, noise: float, seed: int, name: str) -> Batch:
    return _make_batch(x, truth + noise * np.random.default_rng(derive(seed, name)).standard_normal(len(x)))


def _make_batch(x: Floats, targets: Floats) -> Batch:
    return Batch(x[:, None].astype(np.float32), targets.astype(np.float32))


def _make_problem(rows: int) -> Problem:
    return Problem("regression", (1,), 1, train_size=rows)
