"""How large a trained network is, by the arrays that it saves."""

from __future__ import annotations

import math
from collections.abc import Mapping

from harness.types import Array

NUMBERS = ("float", "complex")  # by the name of an array's type; the others hold indices, masks, counts


def sizes(saved: Mapping[str, Array]) -> dict[str, int]:
    """parameters: floating numbers. nonzeros: those of them that are not zero. stored_bytes: of all arrays."""
    floating = [array for array in saved.values() if any(kind in str(array.dtype) for kind in NUMBERS)]
    return {
        "parameters": sum(math.prod(array.shape) for array in floating),
        "nonzeros": sum(int((array != 0).sum()) for array in floating),
        "stored_bytes": sum(int(array.nbytes) for array in saved.values()),
    }
