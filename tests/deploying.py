"""Readings of a gauge on a trained network, as the core drives it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from harness import Batch, Data, Problem, Trained

NONE = Batch(torch.zeros(0, 1), torch.zeros(0))
DATA = Data(Problem("regression", (1,), 1, 0), NONE, NONE, NONE)


def deployed(gauge: Any, run: Callable[[], Any], examples: int = 1) -> dict[str, Any]:
    """Readings of a network whose prediction of so many examples is `run()`."""
    trained = Trained(lambda _: run(), lambda _: torch.zeros(examples, 1), None, None, DATA)
    with torch.no_grad():
        gauge.deployed(trained)
    return dict(gauge.readings())
