"""Offers of tables and toys. Plain Python: it is imported to list them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from harness import Budget, Dataset, Recipe
from harness_data import citations
from harness_data.options import GapOptions
from harness_data.uci_files import SETS, files

DENSITY = "log_likelihood"  # decides which point is the best in regression: most methods differ in how sure they are
# A batch is always full: what is left of an epoch begins the next. Published networks were trained ten times as long.
UCI_BATCH = 128
UCI_LICENCE = "CC BY-NC 4.0 (splits), CC BY 4.0 (rows; unchecked)"
NAMES = {
    "uci-boston": "prices of houses in Boston, historical: one of its inputs is ethically criticised",
    "uci-concrete": "compressive strength of concrete",
    "uci-energy": "heating load of buildings",
    "uci-kin8nm": "reach of a simulated robot arm",
    "uci-naval": "decay of a ship's gas turbine, simulated; two inputs are constant",
    "uci-power": "output of a power plant",
    "uci-protein": "deviation of a protein's structure from its native one",
    "uci-wine": "quality of red wines",
    "uci-yacht": "resistance of sailing yachts",
}


def offer_tables() -> Iterator[Dataset]:
    yield from _offer_bundled()
    yield from (_offer_uci(name) for name in SETS)
    yield from _offer_toys()


def _offer_bundled() -> Iterator[Dataset]:
    """Offer the tables that come with scikit-learn."""
    bundled = partial(Dataset, requires=("sklearn",))
    yield bundled(
        "diabetes",
        "442 patients with 10 measurements, progression of diabetes; part of scikit-learn: nothing to download",
        kind="regression",
        load="harness_data.tabular:diabetes.load",
        refit="harness_data.tabular:diabetes.refit",
        recipe=Recipe(Budget("epochs", 100), batch_size=32, headline=DENSITY),
        licence="none stated (unchecked)",
        citation=citations.EFRON,
        default=True,
        rows={"train": 266, "valid": 88, "test": 88},
    )
    yield bundled(
        "breast-cancer",
        "569 tumours with 30 measurements, malignant or benign; part of scikit-learn",
        kind="classification",
        load="harness_data.tabular:breast_cancer.load",
        refit="harness_data.tabular:breast_cancer.refit",
        recipe=Recipe(Budget("epochs", 100), batch_size=32, headline="nll"),
        licence="CC BY 4.0 (unchecked)",
        citation=citations.WOLBERG,
        rows={"train": 343, "valid": 113, "test": 113},
    )
    yield bundled(
        "wine-cultivars",
        "178 wines with 13 measurements, from 3 cultivars; part of scikit-learn",
        kind="classification",
        load="harness_data.tabular:wine.load",
        refit="harness_data.tabular:wine.refit",
        recipe=Recipe(Budget("epochs", 100), batch_size=32, headline="nll"),
        licence="CC BY 4.0 (unchecked)",
        citation=citations.AEBERHARD,
        rows={"train": 108, "valid": 35, "test": 35},
    )


def _offer_uci(name: str) -> Dataset:
    """Offer one of the nine sets, of which seed i is Gal's split i."""
    splits = SETS[name]
    loader = f"harness_data.uci:{name.removeprefix('uci-')}"
    return Dataset(
        name,
        f"{splits.train + splits.test:,} rows of {splits.inputs} numbers with {splits.folds} splits: {NAMES[name]}",
        kind="regression",
        load=f"{loader}.load",
        refit=f"{loader}.refit",
        recipe=Recipe(Budget("epochs", splits.epochs), batch_size=UCI_BATCH, headline=DENSITY),
        licence=UCI_LICENCE,
        citation=citations.UCI,
        files=lambda _: files(name),
        rows=splits.rows,
        folds=splits.folds,
    )


def _offer_toys() -> Iterator[Dataset]:
    """Offer generated data, whose truth is known."""
    yield Dataset(
        "toy-gap",
        "a generated curve that is seen at 0.4 < |x| < 1, and asked about at |x| < 0.3 too (shifted split gap)",
        kind="regression",
        load="harness_data.toys:load_gap",
        config=GapOptions,
        recipe=Recipe(Budget("epochs", 1500), batch_size=80, headline=DENSITY),
        licence="CC0 1.0",
    )
    yield Dataset(
        "toy-2d",
        "12 generated rows of a model with two weights, whose log evidence is known (reading exact_log_evidence)",
        kind="regression",
        load="harness_data.toys:load_plane",
        recipe=Recipe(Budget("epochs", 1500), batch_size=12, headline=DENSITY),
        licence="CC0 1.0",
        rows={"train": 12, "valid": 50, "test": 200},
    )
