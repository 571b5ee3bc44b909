"""Files of `harness posterior` in a results folder: predictions, references; and the readings that records get."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from harness import RegressionMixture, Trial, UsageError
from harness_bayes.posterior_request import PosteriorRequest

if TYPE_CHECKING:
    from harness_bayes.posteriors import Diagnosis, Distance, Reference, Splits

FOLDER = "posteriors"
READINGS = ("total_variation", "wasserstein", "spread")


def predictions_file(request: PosteriorRequest, trial: Trial) -> Path:
    """File in which `harness run --keep-predictions` leaves a trial's predictions."""
    return request.results / "trials" / f"{trial.key}.predictions.npz"


def read_splits(request: PosteriorRequest, trial: Trial) -> Splits:
    """Read those predictions of a trial that are mixtures of regression."""
    from harness import read_predictions

    test, shifted = read_predictions(request.results, trial.key)
    every = {"test": test, **shifted}
    return {name: split for name, split in every.items() if isinstance(split, RegressionMixture)}


def read_reference(request: PosteriorRequest, trial: Trial) -> Reference:
    """Read the draws of a trial's chains."""
    from harness_bayes.posteriors import Reference

    return Reference(read_splits(request, trial), count_chains(trial))


def count_chains(trial: Trial) -> int:
    """Count the method's chains. Raises UsageError for a method without."""
    count = trial.method.options.get("chains")
    if not isinstance(count, int):
        raise UsageError(f"--reference {trial.method.label}: has no option chains, whose draws could be told apart")
    return count


def reference_path(request: PosteriorRequest, dataset: str, seed: int = 0) -> Path:
    """File of a reference: that of the first seed has the data set's name alone."""
    name = re.sub(r"[^\w.+=-]+", "_", dataset).strip("_")
    return request.results / FOLDER / f"{name}{f'-{seed}' if seed else ''}.npz"


def keep_reference(request: PosteriorRequest, trial: Trial, found: Reference, diagnosis: Diagnosis) -> None:
    """Keep the reference in RESULTS/posteriors, with its diagnosis and the trial that it is from."""
    from harness_bayes import posteriors

    about = {
        "dataset": trial.dataset.label,
        "seed": trial.seed,
        "method": trial.method.label,
        "options": dict(trial.method.options),
        "trial": trial.key,
        **diagnosis._asdict(),
    }
    posteriors.write_reference(reference_path(request, request.dataset, trial.seed), found, about)


def diagnosis_readings(diagnosis: Diagnosis) -> dict[str, float]:
    """Readings of how far the reference has converged."""
    return {
        "posterior_rhat": diagnosis.rhat,
        "posterior_ess": diagnosis.ess,
        "posterior_error": diagnosis.error,
        "posterior_halves": diagnosis.apart,
    }


def distance_readings(measured: dict[str, Distance]) -> dict[str, float]:
    """posterior_total_variation and so on of the test rows, and with _shifted as mean over the shifted splits."""
    shifted = [each for name, each in measured.items() if name != "test"]
    found = {}
    for field in READINGS:
        found[f"posterior_{field}"] = getattr(measured["test"], field)
        if shifted:
            found[f"posterior_{field}_shifted"] = sum(getattr(each, field) for each in shifted) / len(shifted)
    return found
