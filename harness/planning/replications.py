"""The seeds of a run on each data set: as many as were asked for, or as it has official splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import UsageError
from harness.selections import selection
from harness.types import Dataset

ALL = "all"


@dataclass(frozen=True)
class Seeds:
    """Seeds of --seeds: so many (`3`), these (`[0,7]`), or `all`, every official split of each data set."""

    text: str

    def seeds_of(self, dataset: Dataset) -> tuple[int, ...]:
        """The seeds of a data set: of one with splits, seed i is split i, and there are no more seeds than splits.

        Raises UsageError for `all` of a data set without splits, and for a listed seed beyond them.
        """
        if self.text.strip().isalpha() and not self._asks_for_all:
            raise UsageError(f"--seeds {self.text}: expected a number such as 3, a list such as [0,7], or {ALL}")
        if self._asks_for_all:
            if not dataset.folds:
                raise UsageError(f"--seeds all: {dataset.name} has no official splits; say how many seeds, as in 3")
            return tuple(range(dataset.folds))
        seeds = selection.parse_seeds(self.text)
        if not dataset.folds:
            return seeds
        if self._is_list and max(seeds) >= dataset.folds:
            raise UsageError(f"--seeds {self.text}: {dataset.name} has {_describe_splits(dataset.folds)}")
        return tuple(seed for seed in seeds if seed < dataset.folds)

    def describe_shortened(self, datasets: Sequence[Dataset]) -> str:
        """The line that says which data sets have fewer splits than seeds were asked for; empty where none has."""
        few = {each.name: each.folds for each in datasets if each.folds and self._asks_beyond(each.folds)}
        listed = ", ".join(f"{name} has {_describe_splits(folds)}" for name, folds in few.items())
        return f"--seeds {self.text}: {listed}, and gets no more" if few else ""

    def _asks_beyond(self, folds: int) -> bool:
        return not self._asks_for_all and not self._is_list and len(selection.parse_seeds(self.text)) > folds

    @property
    def _asks_for_all(self) -> bool:
        return self.text.strip().lower() == ALL

    @property
    def _is_list(self) -> bool:
        return self.text.lstrip().startswith("[")


def _describe_splits(folds: int) -> str:
    return "1 split, seed 0" if folds == 1 else f"{folds} splits, 0 to {folds - 1}"
