"""Test predictions that are kept beside records, for the metrics of a trial that starts from this one, and for plugins.

Those of shifted test splits are in the same file, by the split's name.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias, get_args

import numpy as np

from harness.errors import Unsupported
from harness.metrics.mixtures import mixture
from harness.records.store import Store
from harness.types import Prediction

LARGEST = 2**28  # bytes of one file
KINDS: Mapping[str, type[Prediction]] = {kind.__name__: kind for kind in get_args(Prediction)}

SHIFTED = "shifted/"
Splits: TypeAlias = Mapping[str, Prediction]  # further test splits, by name
NONE: Splits = MappingProxyType({})


def write_prediction(path: Path, prediction: Prediction, rows: Mapping[str, str], shifted: Splits = NONE) -> None:
    """Write a prediction, of classes and tokens its mixture as one sample. rows: digests of the rows that it is of.
    shifted: likewise of further test splits, by name.

    Raises Unsupported where it would take more than LARGEST bytes.
    """
    folded = {"": mixture(prediction), **{f"{SHIFTED}{name}/": mixture(each) for name, each in shifted.items()}}
    arrays = {f"{of}{name}": np.asarray(array) for of, each in folded.items() for name, array in each._asdict().items()}
    size = sum(array.nbytes for array in arrays.values())
    if size > LARGEST:
        raise Unsupported(f"the test prediction has {size / 2**20:.0f} MB; at most {LARGEST // 2**20} are kept")
    with path.open("wb") as file:
        words = {"kind": np.array(type(folded[""]).__name__), "rows": np.array(json.dumps(dict(rows)))}
        np.savez(file, **words, **arrays)  # type: ignore[arg-type]  # which names an array may have is said nowhere


def read_predictions(folder: str | Path, key: str) -> tuple[Prediction, dict[str, Prediction]]:
    """Read a trial's predictions from a results folder: of its test rows, and of shifted test splits by name, on the
    original scale of the targets; class and token probabilities as one sample.

    Raises Unsupported, with the reason, where it has kept none (`harness run --keep-predictions`).
    """
    path = Store(Path(folder)).locate_prediction(key)
    with _open_arrays(path) as file:
        names = dict.fromkeys(name.split("/")[1] for name in file.files if name.startswith(SHIFTED))
        return _make_prediction(file, ""), {name: _make_prediction(file, f"{SHIFTED}{name}/") for name in names}


def read_prediction(path: Path, rows: Mapping[str, str]) -> Prediction:
    """The prediction in a file. Raises Unsupported, with the reason, where there is none of these rows."""
    with _open_arrays(path) as file:
        of, prediction = json.loads(str(file["rows"])), _make_prediction(file, "")
    if of != dict(rows):
        raise Unsupported(f"its test prediction is of other rows: {path}")
    return prediction


def _make_prediction(file: Any, of: str) -> Prediction:
    kind = KINDS[str(file["kind"])]
    return kind(**{name: file[f"{of}{name}"] for name in kind._fields})


@contextmanager
def _open_arrays(path: Path) -> Iterator[Any]:
    """The arrays of a file. Raises Unsupported for what cannot be read, there or inside."""
    try:
        with np.load(path, allow_pickle=False) as file:
            yield file
    except FileNotFoundError:
        raise Unsupported(f"its test prediction is not kept: no {path}; --rerun it to keep one") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise Unsupported(f"its test prediction cannot be read: {path} ({error}); --rerun it") from error
