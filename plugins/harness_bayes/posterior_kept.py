"""What `harness posterior` finds in a results folder and leaves there: predictions, references, readings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from harness import RegressionMixture, Trial, UsageError
from harness_bayes.posterior_asked import Asked

if TYPE_CHECKING:
    from harness_bayes.posteriors import Diagnosis, Distance, Reference, Splits

FOLDER = "posteriors"
READINGS = ("total_variation", "wasserstein", "spread")


def predictions_file(asked: Asked, trial: Trial) -> Path:
    """Where `harness run --keep-predictions` leaves them."""
    return asked.results / "trials" / f"{trial.key}.predictions.npz"


def splits(asked: Asked, trial: Trial) -> Splits:
    """The predictions of a trial that are mixtures of regression."""
    from harness import read_predictions

    test, shifted = read_predictions(asked.results, trial.key)
    every = {"test": test, **shifted}
    return {name: split for name, split in every.items() if isinstance(split, RegressionMixture)}


def reference(asked: Asked, trial: Trial) -> Reference:
    """What the chains of a trial have drawn."""
    from harness_bayes.posteriors import Reference

    return Reference(splits(asked, trial), chains(trial))


def chains(trial: Trial) -> int:
    """How many chains the method has. Raises UsageError for one without."""
    count = trial.method.options.get("chains")
    if not isinstance(count, int):
        raise UsageError(f"--reference {trial.method.label}: has no option chains, whose draws could be told apart")
    return count


def path(asked: Asked, dataset: str, seed: int = 0) -> Path:
    """Where a reference is kept: of the first seed under the data set's name alone."""
    name = re.sub(r"[^\w.+=-]+", "_", dataset).strip("_")
    return asked.results / FOLDER / f"{name}{f'-{seed}' if seed else ''}.npz"


def keep(asked: Asked, trial: Trial, found: Reference, diagnosis: Diagnosis) -> None:
    """Leave the reference in RESULTS/posteriors, with what is to be known of it."""
    from harness_bayes import posteriors

    about = {
        "dataset": trial.dataset.label,
        "seed": trial.seed,
        "method": trial.method.label,
        "options": dict(trial.method.options),
        "trial": trial.key,
        **diagnosis._asdict(),
    }
    posteriors.write(path(asked, asked.dataset, trial.seed), found, about)


def of_diagnosis(diagnosis: Diagnosis) -> dict[str, float]:
    """Readings of how far the reference has converged."""
    return {
        "posterior_rhat": diagnosis.rhat,
        "posterior_ess": diagnosis.ess,
        "posterior_error": diagnosis.error,
        "posterior_halves": diagnosis.apart,
    }


def readings(measured: dict[str, Distance]) -> dict[str, float]:
    """posterior_total_variation and so on of the test rows, and with _shifted as mean over the shifted splits."""
    shifted = [each for name, each in measured.items() if name != "test"]
    found = {}
    for field in READINGS:
        found[f"posterior_{field}"] = getattr(measured["test"], field)
        if shifted:
            found[f"posterior_{field}_shifted"] = sum(getattr(each, field) for each in shifted) / len(shifted)
    return found
