"""Test predictions that are kept beside records, for the metrics of a trial that starts from this one."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import numpy as np

from harness.errors import Unsupported
from harness.metrics.mixtures import mixture
from harness.types import Prediction

LARGEST = 2**28  # bytes of one file
KINDS: Mapping[str, type[Prediction]] = {kind.__name__: kind for kind in get_args(Prediction)}


def keep(path: Path, prediction: Prediction, rows: Mapping[str, str]) -> None:
    """Write a prediction, of classes and tokens its mixture as one sample. rows: digests of the rows that it is of.

    Raises Unsupported where it would take more than LARGEST bytes.
    """
    folded = mixture(prediction)
    arrays = {name: np.asarray(array) for name, array in folded._asdict().items()}
    size = sum(array.nbytes for array in arrays.values())
    if size > LARGEST:
        raise Unsupported(f"the test prediction has {size / 2**20:.0f} MB; at most {LARGEST // 2**20} are kept")
    with path.open("wb") as file:
        words = {"kind": np.array(type(folded).__name__), "rows": np.array(json.dumps(dict(rows)))}
        np.savez(file, **words, **arrays)  # type: ignore[arg-type]  # which names an array may have is said nowhere


def read(path: Path, rows: Mapping[str, str]) -> Prediction:
    """The prediction in a file. Raises Unsupported, with the reason, where there is none of these rows."""
    try:
        with np.load(path, allow_pickle=False) as file:
            kind, of = KINDS[str(file["kind"])], json.loads(str(file["rows"]))
            prediction: Prediction = kind(**{name: file[name] for name in kind._fields})
    except FileNotFoundError:
        raise Unsupported(f"its test prediction is not kept: no {path}; --rerun it to keep one") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise Unsupported(f"its test prediction cannot be read: {path} ({error}); --rerun it") from error
    if of != dict(rows):
        raise Unsupported(f"its test prediction is of other rows: {path}")
    return prediction
