"""Scores of the single test examples of a trial, in a file beside its record, by which two trials are held against each
other example by example.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.errors import Unsupported
from harness.metrics import scores
from harness.records.store import Store, write_atomically
from harness.types import Outcome, Record, RegressionMixture

LARGEST = 2**26  # bytes of the arrays of one file
KINDS = ("classification", "regression")
NAMES = ("right", "squared_error", "log_score")
NONE_KEPT = "no scores of single test examples are kept"


class Examples(NamedTuple):
    """The test examples of the final prediction. ids: a digest of 64 bits of each one's inputs and target, (N,).

    scores (N,): of classes `right`, bool, and `log_score`, float32; of regression `squared_error` and `log_score`.
    """

    ids: NDArray[np.uint64]
    scores: Mapping[str, NDArray[Any]]

    def sort(self) -> Examples:
        """The same in the order of the digests; repeated rows stay as they are among themselves."""
        order = np.argsort(self.ids, kind="stable")
        return Examples(self.ids[order], {name: each[order] for name, each in self.scores.items()})


def score_examples(outcome: Outcome, ids: NDArray[Any] | None) -> Examples:
    """Score each example of a classification or a regression. Raises Unsupported where the rows have no digests."""
    if ids is None:
        raise Unsupported("the test rows have no digests: they cannot be read on the host")
    found: dict[str, NDArray[Any]]
    if isinstance(outcome.prediction, RegressionMixture):
        found = {"squared_error": scores.square_errors(outcome), "log_score": scores.score_densities(outcome)}
    else:
        found = {"right": scores.find_right(outcome), "log_score": scores.score_classes(outcome)}
    with np.errstate(over="ignore"):  # an infinite error is one
        return Examples(ids, {name: each if each.dtype == bool else each.astype("f4") for name, each in found.items()})


def write_examples(path: Path, examples: Examples, rows: Mapping[str, str]) -> None:
    """Write them, whole or not at all. rows: digests of the splits that they are of.

    Raises Unsupported where they would take more than LARGEST bytes.
    """
    size = sum(array.nbytes for array in (examples.ids, *examples.scores.values()))
    if size > LARGEST:
        raise Unsupported(f"scores of single examples have {size / 2**20:.0f} MB; at most {LARGEST // 2**20} are kept")
    content = io.BytesIO()
    arrays: dict[str, Any] = {"rows": np.array(json.dumps(dict(rows))), "ids": examples.ids, **examples.scores}
    np.savez_compressed(content, **arrays)
    write_atomically(path, content.getvalue())


def read_examples(path: Path, rows: Mapping[str, str]) -> Examples:
    """Read them. Raises Unsupported, with the reason, where there are none of these rows."""
    try:
        with np.load(path, allow_pickle=False) as file:
            of, ids = json.loads(str(file["rows"])), file["ids"]
            found = {name: file[name] for name in NAMES if name in file.files}
    except FileNotFoundError:
        raise Unsupported(NONE_KEPT) from None
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise Unsupported(f"its scores of single test examples cannot be read: {path} ({error})") from error
    if of != dict(rows):
        raise Unsupported(f"its scores of single test examples are of other rows: {path}")
    if ids.dtype != np.uint64 or any(each.shape != (len(ids),) for each in found.values()):
        raise Unsupported(f"its scores of single test examples are not one for each: {path}")
    return Examples(ids, found)


def find_examples(folders: Sequence[Path], record: Record) -> Examples | str:
    """Find them beside a record, in the one of these folders that it is of; or say why there are none."""
    stores = [Store(folder) for folder in folders]
    if len(stores) > 1:
        stores = [each for each in stores if _holds(each, record)]
    data = record.provenance.get("data")
    known = data if isinstance(data, Mapping) else {}
    rows = {name: digest for name, digest in known.items() if name.startswith("test.")}
    try:
        return read_examples(stores[0].locate_examples(record.trial.key), rows)
    except (Unsupported, IndexError) as error:
        return str(error) if isinstance(error, Unsupported) else "its record is gone"


def _holds(store: Store, record: Record) -> bool:
    found = store.find_any(record.trial.key)
    return found is not None and found.finished == record.finished
