"""Tables: rows of numbers with a target each, cut into splits and standardised with the training rows alone.

`diabetes`, `breast-cancer` and `wine-cultivars` come with scikit-learn and have no official split: a fifth of the rows
is for testing and as many for validation, by seed, of classes in their proportions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness import Batch, Data, DataOptions, HarnessError, Problem, derive
from harness_data.splits import Rows, stratified_split

Floats = NDArray[np.float64]


class Table(NamedTuple):
    """Inputs (N, D) and targets (N,): float64, or of classes int64."""

    inputs: Floats
    targets: NDArray[np.generic]


class Split(NamedTuple):
    """Numbers of the rows for training, validation and testing, in the order in which they are used."""

    train: Rows
    valid: Rows
    test: Rows

    def joined(self) -> Split:
        """Validation rows after the training rows, and none left for validation: what `--refit` trains on."""
        return Split(np.concatenate([self.train, self.valid]), self.valid[:0], self.test)


# --- splits -------------------------------------------------------------------------------------------------------


def random_split(targets: NDArray[np.generic], seed: int) -> Split:
    """A fifth of the rows for testing, as many for validation, the others for training; each in ascending order."""
    order = np.random.default_rng(derive(seed, "rows")).permutation(len(targets))
    fifth = len(targets) // 5
    test, valid, train = (np.sort(rows) for rows in np.split(order, [fifth, 2 * fifth]))
    return Split(train, valid, test)


def class_split(targets: NDArray[np.generic], seed: int) -> Split:
    """The same with every class's share. targets: class of each row (N,)."""
    fifth = len(targets) // 5
    train, held_out = stratified_split(targets.astype(np.int64), {"test": fifth, "valid": fifth}, seed)
    return Split(train, held_out["valid"], held_out["test"])


# --- standardisation ----------------------------------------------------------------------------------------------


def regression(table: Table, split: Split) -> Data:
    """Splits with inputs (N, D) and targets (N,) float32, both standardised with the training rows alone."""
    targets = table.targets.astype(np.float64)
    mean, scale = location_and_scale(targets[split.train])
    standard = Table(table.inputs, (targets - mean) / scale)
    return _build_data(standard, split, "regression", 1, np.float32, target_mean=float(mean), target_scale=float(scale))


def classification(table: Table, split: Split) -> Data:
    """Splits with inputs (N, D) float32, standardised with the training rows alone, and targets (N,) int64."""
    return _build_data(table, split, "classification", int(table.targets.max()) + 1, np.int64)


def location_and_scale(rows: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column of the rows (N, ...); of a constant one its value, and scale 1.

    Raises HarnessError for no rows at all.
    """
    if not len(rows):
        raise HarnessError("the table has no training rows; expected at least 2")
    low, high = rows.min(axis=0), rows.max(axis=0)
    constant = low == high  # a standard deviation of what is constant may be 1e-17, and its rounding errors the inputs
    return np.where(constant, low, rows.mean(axis=0)), np.where(constant, 1.0, rows.std(axis=0))


def _build_data(
    table: Table,
    split: Split,
    kind: str,
    outputs: int,
    dtype: type,
    target_mean: float = 0.0,
    target_scale: float = 1.0,
) -> Data:
    mean, scale = location_and_scale(table.inputs[split.train])
    inputs = ((table.inputs - mean) / scale).astype(np.float32)
    targets: NDArray[np.generic] = table.targets.astype(dtype)
    train, valid, test = (Batch(inputs[rows], targets[rows]) for rows in split)
    problem = Problem(
        kind,
        inputs.shape[1:],
        outputs,
        train_size=len(split.train),
        target_mean=target_mean,
        target_scale=target_scale,
    )
    return Data(problem, train, valid, test)


# --- scikit-learn -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bundled:
    """Loads a table of scikit-learn: how it is read, how its rows are cut by seed, and as what."""

    read: Callable[[], Table]
    cut: Callable[[NDArray[np.generic], int], Split]
    posed: Callable[[Table, Split], Data]

    def load(self, config: DataOptions, seed: int, folder: Path) -> Data:
        """Inputs (N, D) float32, targets (N,) float32 or int64."""
        del config, folder
        table = self.read()
        return self.posed(table, self.cut(table.targets, seed))

    def refit(self, config: DataOptions, seed: int, folder: Path) -> Data:
        """The same with training and validation rows together."""
        del config, folder
        table = self.read()
        return self.posed(table, self.cut(table.targets, seed).joined())


def read_diabetes() -> Table:
    """442 patients, 10 numbers of each, and how far the disease had gone a year later, 25 to 346."""
    from sklearn.datasets import load_diabetes

    return Table(*load_diabetes(return_X_y=True, scaled=False))


def read_breast_cancer() -> Table:
    """569 tumours, 30 numbers of each: 0 malignant, 1 benign."""
    from sklearn.datasets import load_breast_cancer

    return Table(*load_breast_cancer(return_X_y=True))


def read_wine() -> Table:
    """178 wines, 13 numbers of each, from one of three cultivars."""
    from sklearn.datasets import load_wine

    return Table(*load_wine(return_X_y=True))


diabetes = Bundled(read_diabetes, random_split, regression)
breast_cancer = Bundled(read_breast_cancer, class_split, classification)
wine = Bundled(read_wine, class_split, classification)
