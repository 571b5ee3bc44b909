"""The posterior as referee: a reference that chains have left, whether it may be one, and how far predictions are.

A reference is kept as a file, so that the predictions of any other library can be held against it:

    test/means (S, N), test/variances (S, N), test/log_weights (S,), likewise shifted/NAME/means ..., and `about`, JSON

In files of predictions, those that `harness run --keep-predictions` leaves or others, `test/` is left out, variances
may broadcast, and log_weights are equal where they are left out.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness import RegressionMixture, UsageError
from harness_bayes import agreement
from harness_bayes.convergence import LARGEST_RHAT, compare_halves, distance_between_halves, measure_convergence

Splits: TypeAlias = Mapping[str, RegressionMixture]
"""Of the test rows, under `test`, and of shifted splits by name."""

TEST = "test"
LEAST_ESS, APART = 400.0, 0.15
ASKED_RHAT = 1.01  # by the field (Vehtari et al. 2021)


class Reference(NamedTuple):
    """Draws of so many chains, those of a chain together."""

    splits: Splits
    chains: int


class Diagnosis(NamedTuple):
    """The worst over all rows, and why the reference is none, if so.

    rhat, ess: of functions. error: Monte Carlo error of the mean. apart: Wasserstein distance of one half of the chains
    from the other; both in deviations of the functions.
    """

    rhat: float
    ess: float
    error: float
    apart: float
    faults: tuple[str, ...]


class Distance(NamedTuple):
    """Means over rows of the fields of `agreement.Distances`."""

    total_variation: float
    wasserstein: float
    spread: float


def diagnose(reference: Reference) -> Diagnosis:
    """Diagnose whether chains have converged, by the values of their functions at all rows. Raises Unsupported."""
    rhat, ess, error, far = 0.0, np.inf, 0.0, 0.0
    for split in reference.splits.values():
        values = _arrange_by_chain(split, reference.chains)
        found = measure_convergence(values)
        rhat, ess = max(rhat, found.rhat.max()), min(ess, found.ess.min())
        error = max(error, (found.error / values.std((0, 1))).max())
        far = max(far, distance_between_halves(values).max())
    faults = {
        f"R-hat of functions is {rhat:.3f}, at most {LARGEST_RHAT} is wanted": not rhat <= LARGEST_RHAT,
        f"effective sample size is {ess:.0f}, at least {LEAST_ESS:.0f} is wanted": not ess >= LEAST_ESS,
        f"halves of the chains are {far:.2f} deviations apart, at most {APART} is wanted": not far <= APART,
    }
    return Diagnosis(
        float(rhat), float(ess), float(error), float(far), tuple(why for why, holds in faults.items() if holds)
    )


def measure_floor(reference: Reference) -> dict[str, Distance]:
    """Measure one half of the chains against the other, by split: chance alone puts two samples that far apart."""
    found = {}
    for name, split in reference.splits.items():
        found[name] = _average_rows(compare_halves(_arrange_by_chain(split, reference.chains), split.variances.mean(0)))
    return found


def measure_splits(splits: Splits, reference: Reference) -> dict[str, Distance]:
    """Measure predictions against the reference, by the splits that both have. Raises UsageError for other rows."""
    found = {}
    for name, split in splits.items():
        if name not in reference.splits:
            continue
        theirs = reference.splits[name]
        if split.means.shape[1] != theirs.means.shape[1]:
            raise UsageError(
                f"predictions of {name}: of {split.means.shape[1]} rows; the reference is of {theirs.means.shape[1]}, "
                "those of the data set in their order"
            )
        found[name] = _average_rows(agreement.distances(split, theirs))
    return found


def write_reference(path: Path, reference: Reference, about: Mapping[str, Any]) -> None:
    """Write a reference, its means to a thousandth of the least noise. about: facts for its reader, to which chains and
    a digest are added.
    """
    arrays = {}
    for name, split in reference.splits.items():
        for field, array in split._replace(means=_round_means(split))._asdict().items():
            arrays[f"{_split_prefix(name)}{field}"] = np.ascontiguousarray(array, dtype=np.float32)
    said = {**about, "chains": reference.chains, "digest": _hash_arrays(arrays)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez_compressed(file, about=np.array(json.dumps(said)), **arrays)  # type: ignore[arg-type]


def read_reference(path: Path) -> tuple[Reference, dict[str, Any]]:
    """Read a reference and the facts about it. Raises UsageError for a file that is none, or has changed."""
    arrays, about = _load_arrays(path)
    if not about:
        raise UsageError(f"{path}: no reference; harness posterior DATASET leaves one")
    if _hash_arrays(arrays) != about.get("digest"):
        raise UsageError(f"{path}: its numbers are not those that were written; run harness posterior DATASET again")
    return Reference(_read_splits(path, arrays), int(about["chains"])), about


def read_predictions(path: Path) -> dict[str, RegressionMixture]:
    """Read predictions in a file, of whatever library. Raises UsageError that names a missing array."""
    return _read_splits(path, _load_arrays(path)[0])


def _arrange_by_chain(split: RegressionMixture, chains: int) -> agreement.Floats:
    """(chains, draws, rows)."""
    return np.asarray(split.means, dtype=np.float64).reshape(chains, -1, split.means.shape[1])


def _average_rows(distances: agreement.Distances) -> Distance:
    return Distance(*(float(np.mean(each)) for each in distances))


def _split_prefix(name: str) -> str:
    return f"{TEST}/" if name == TEST else f"shifted/{name}/"


def _round_means(split: RegressionMixture) -> agreement.Floats:
    """Round means to steps of a power of two, which files hold in half of the bytes."""
    step = 2.0 ** np.floor(np.log2(np.sqrt(split.variances.min()) / 1000))
    means: agreement.Floats = np.round(split.means / step) * step
    return means


def _hash_arrays(arrays: Mapping[str, NDArray[Any]]) -> str:
    found = hashlib.sha256()
    for name in sorted(arrays):
        found.update(name.encode() + arrays[name].tobytes())
    return found.hexdigest()


def _load_arrays(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"])) if "about" in file.files else {}
            return {name: file[name] for name in file.files if name.split("/")[-1] in RegressionMixture._fields}, about
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path}: cannot be read ({error}); expected an .npz file") from error


def _read_splits(path: Path, arrays: Mapping[str, NDArray[Any]]) -> dict[str, RegressionMixture]:
    prefixes = {name.rpartition("/")[0] for name in arrays}
    ordered = sorted(prefixes, key=lambda prefix: (_split_name(prefix) != TEST, prefix))
    return {_split_name(prefix): _read_mixture(path, arrays, prefix) for prefix in ordered}


def _split_name(prefix: str) -> str:
    return prefix.removeprefix("shifted/") or TEST


def _read_mixture(path: Path, arrays: Mapping[str, NDArray[Any]], prefix: str) -> RegressionMixture:
    start = f"{prefix}/" if prefix else ""
    for field in ("means", "variances"):
        if f"{start}{field}" not in arrays:
            raise UsageError(
                f"{path}: has no {start}{field}; expected means (S, N) and variances that broadcast to them"
            )
    means = np.asarray(arrays[f"{start}means"], dtype=np.float64)
    if means.ndim != 2:
        raise UsageError(f"{path}: {start}means has shape {means.shape}; expected (S, N)")
    try:
        variances = np.broadcast_to(np.asarray(arrays[f"{start}variances"], dtype=np.float64), means.shape)
    except ValueError as error:
        raise UsageError(f"{path}: {start}variances do not broadcast to means {means.shape}: {error}") from error
    equal = np.full(len(means), -np.log(len(means)))
    return RegressionMixture(means, variances, np.asarray(arrays.get(f"{start}log_weights", equal), dtype=np.float64))
