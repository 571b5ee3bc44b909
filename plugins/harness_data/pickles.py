"""Pickles that hold data and nothing else: a pickle from elsewhere could otherwise run any program when it is read."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness import HarnessError

# All that an array needs. numpy has renamed the module of the first since these files were written.
_reconstruct = np.zeros(0).__reduce__()[0]
ALLOWED: Mapping[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


def read(path: Path) -> dict[bytes, Any]:
    """Read the dictionary in a pickle of Python 2 that holds lists, numbers, byte strings and numpy arrays.

    Raises HarnessError that names the file and, where it asks for anything else, the name that it asks for.
    """
    try:
        with path.open("rb") as stream:
            content = _DataOnly(stream, encoding="bytes").load()
    except HarnessError as error:
        raise HarnessError(f"{path}: {error}") from None
    except OSError as error:
        raise HarnessError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # a damaged pickle may fail in any way
        what = "truncated" if isinstance(error, EOFError) or "truncated" in str(error) else "damaged"
        raise HarnessError(f"{path}: not a pickle, or {what}: {error}; harness data verify checks it") from error
    if not isinstance(content, dict):
        raise HarnessError(f"{path}: holds a {type(content).__name__}, expected a dictionary")
    return content


class _DataOnly(pickle.Unpickler):
    """Finds nothing but the parts of an array."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise HarnessError(
                f"a pickle that asks for {module}.{name}, which no official file does; it was not run"
            ) from None
