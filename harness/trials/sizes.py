"""How large a trained network is, by the arrays that it saves."""

from __future__ import annotations

import math
from collections.abc import Mapping

from harness.types import Array

# By the name of an array's type: 8 bits are quantised weights; other integers are indices or counts, booleans masks.
NUMBERS = ("float", "complex", "int8")


def count_sizes(saved: Mapping[str, Array]) -> dict[str, int]:
    """parameters: numbers, also of 8 bits. nonzeros: those that are not zero. stored_bytes: of all arrays."""
    numbers = [array for array in saved.values() if any(kind in str(array.dtype) for kind in NUMBERS)]
    return {
        "parameters": sum(math.prod(array.shape) for array in numbers),
        "nonzeros": sum(int((array != 0).sum()) for array in numbers),
        "stored_bytes": sum(int(array.nbytes) for array in saved.values()),
    }
