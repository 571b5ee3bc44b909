"""The nine UCI regression sets with the splits of Gal and Ghahramani (ICML 2016), `uci/NAME/data/*.txt`.

Seed i is split i: its training and test rows are those of `index_train_i.txt` and `index_test_i.txt`, in their order.
Of the N training rows, which are permuted already, the first int(0.8 N) are trained on and the others are for
validation, as in experiment.py of that code. Inputs and targets are standardised with the rows that are trained on
alone; with `--refit` those are all N.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness import Data, DataOptions, HarnessError
from harness_data import uci_files
from harness_data.splits import Rows
from harness_data.tabular import Split, Table, regression


@dataclass(frozen=True)
class Loader:
    """Loads a set, here by its name."""

    name: str

    def load(self, config: DataOptions, seed: int, folder: Path) -> Data:
        """Inputs (N, D) float32, targets (N,) float32. Raises HarnessError naming a bad file or split."""
        del config
        return self._build_data(folder, self._read_split(seed, folder))

    def refit(self, config: DataOptions, seed: int, folder: Path) -> Data:
        """The same with all training rows of the split, and none for validation."""
        del config
        return self._build_data(folder, self._read_split(seed, folder).joined())

    def _build_data(self, folder: Path, split: Split) -> Data:
        rows = self._read_numbers("data.txt", folder)
        inputs, target = (self._read_indices(f"index_{name}.txt", folder) for name in ("features", "target"))
        if (widest := max(*inputs, *target)) >= rows.shape[1]:
            raise HarnessError(f"{self.name}: its index files name column {widest}; data.txt has {rows.shape[1]}")
        if (last := np.concatenate(split).max()) >= len(rows):
            raise HarnessError(f"{self.name}: its split names row {last}; data.txt has {len(rows)}, from 0")
        return regression(Table(rows[:, inputs], rows[:, target[0]]), split)

    def _read_split(self, number: int, folder: Path) -> Split:
        folds = uci_files.SETS[self.name].folds
        if not 0 <= number < folds:
            raise HarnessError(f"{self.name}: there is no split {number}; it has {folds}, 0 to {folds - 1}")
        known = self._read_indices(f"index_train_{number}.txt", folder)
        kept = uci_files.first_rows(len(known))
        return Split(known[:kept], known[kept:], self._read_indices(f"index_test_{number}.txt", folder))

    def _read_indices(self, name: str, folder: Path) -> Rows:
        """Read row or column numbers (N,), from 0."""
        values = self._read_numbers(name, folder).ravel()
        if not len(values) or (values != np.rint(values)).any() or values.min() < 0:
            raise HarnessError(f"{self._locate(name, folder)}: expected whole numbers from 0, at least one")
        return values.astype(np.int64)

    def _read_numbers(self, name: str, folder: Path) -> NDArray[np.float64]:
        """Read the numbers of a file (rows, columns)."""
        path = self._locate(name, folder)
        try:
            values = np.loadtxt(path, ndmin=2)
        except (OSError, ValueError) as error:
            raise HarnessError(f"{path}: cannot be read: {error}") from error
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            row, column = bad[0]
            raise HarnessError(f"{path}: row {row}, column {column} is {values[row, column]}; expected finite numbers")
        return values

    def _locate(self, name: str, folder: Path) -> Path:
        return folder / uci_files.path(uci_files.SETS[self.name].folder, name)


boston = Loader("uci-boston")
concrete = Loader("uci-concrete")
energy = Loader("uci-energy")
kin8nm = Loader("uci-kin8nm")
naval = Loader("uci-naval")
power = Loader("uci-power")
protein = Loader("uci-protein")
wine = Loader("uci-wine")
yacht = Loader("uci-yacht")
