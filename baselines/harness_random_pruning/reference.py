"""A network with some of its nodes, as equations say it, gate by gate and node by node in plain float64.

    W_x# = W_x[J],   W_h# = W_h[J] A,   b# = b[J],   W_o# = W_o A,   A = argmin mean |h - A h_J|^2 + sum_j tau_j |A_j|^2

It shares no line of algorithm with the fast code: A comes from the states themselves, by least squares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def reconstruction(states: Floats, kept: Sequence[int], tau: Floats) -> Floats:
    """A (m, k) of states (n, m), by least squares with k rows more, one for the penalty of each column."""
    known = np.concatenate([states[:, kept] / np.sqrt(len(states)), np.diag(np.sqrt(tau[kept]))])
    wanted = np.concatenate([states / np.sqrt(len(states)), np.zeros((len(kept), states.shape[1]))])
    return np.linalg.lstsq(known, wanted, rcond=None)[0].T


def smaller(weights: Mapping[str, Floats], gates: int, kept: Sequence[int], A: Floats) -> dict[str, Floats]:
    """The network of one layer with these nodes, by the names of the library."""
    m = len(A)
    rows = [gate * m + node for gate in range(gates) for node in kept]
    return {
        "cells.0.input.weight": np.stack([weights["cells.0.input.weight"][row] for row in rows]),
        "cells.0.input.bias": np.array([weights["cells.0.input.bias"][row] for row in rows]),
        "cells.0.recurrent.weight": np.stack([weights["cells.0.recurrent.weight"][row] @ A for row in rows]),
        "readout.weight": weights["readout.weight"] @ A,
        "readout.bias": weights["readout.bias"],
    }
