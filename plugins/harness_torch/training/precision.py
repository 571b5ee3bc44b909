"""Types of parameters and of linear operations, by the harness's name of a precision."""

from __future__ import annotations

from typing import NamedTuple

import torch

from harness import Unsupported


class Types(NamedTuple):
    """parameters: of weights, their gradients and whatever must not be rounded; compute: of linear operations."""

    parameters: torch.dtype
    compute: torch.dtype


TYPES = {
    "fp32": Types(torch.float32, torch.float32),
    "tf32": Types(torch.float32, torch.float32),  # a setting of the process, of float32's products alone
    "bf16": Types(torch.float32, torch.bfloat16),
    "fp64": Types(torch.float64, torch.float64),
}


def types(precision: str, networks: str = "networks") -> Types:
    """Raises Unsupported for a precision that these networks, as their family calls them, do not compute in."""
    if precision not in TYPES:
        raise Unsupported(f"{networks} compute in {', '.join(TYPES)}, not {precision}")
    return TYPES[precision]
