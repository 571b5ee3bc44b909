"""`harness posterior DATASET`: methods held against the posterior that they approximate, as long HMC finds it.

Heavy modules are imported when it is called.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness import Budget, Trial, Unsupported, UsageError
from harness_bayes import posterior_files, posterior_trials
from harness_bayes.posterior_request import FORMATS, PosteriorRequest

if TYPE_CHECKING:
    from harness_bayes.posteriors import Diagnosis, Distance, Reference

REFERENCE = "hmc"

EXAMPLES = """\b
Examples:
  harness posterior toy-gap --noise 0.1 --methods gm-vi,mc-dropout
  harness posterior toy-gap --methods "gm-vi[components=[1,5]]" --seeds 5
  harness posterior toy-gap --predictions mine.npz
"""


@click.command(epilog=EXAMPLES)
@click.argument("dataset")
@click.option("--methods", metavar="LIST", help="Methods with parameters, as in `harness run`.")
@click.option("--reference", metavar="METHOD", default=REFERENCE, show_default=True, help="Who samples the posterior.")
@click.option("--noise", type=click.FloatRange(min=0, min_open=True), help="Of targets, for all.  [default: learned]")
@click.option("--architecture", metavar="50-FC", help="The network, for all.  [default: by the data set]")
@click.option("--prior-scale", type=click.FloatRange(min=0, min_open=True), help="Of the prior, for all.")
@click.option(
    "--trajectories", type=click.IntRange(min=2), default=400, show_default=True, help="The reference's budget."
)
@click.option("--epochs", type=click.FloatRange(min=0), help="The methods' budget.  [default: the data set's]")
@click.option("--seeds", metavar="N|[A,B]", default="1", show_default=True, help="A reference for each.")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", help="Where to train.  [default: auto]")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of a trial.  [default: cores]")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder with data sets.  [env: HARNESS_DATA_DIR]")
@click.option(
    "--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True, help="Where records go."
)
@click.option(
    "--predictions", type=click.Path(path_type=Path), metavar="FILE", help="Measure these instead, of any library."
)
@click.option("--format", "format_", metavar="text|json", default="text", help="How to print it.  [default: text]")
@click.pass_context
def posterior(context: click.Context, /, **options: Any) -> int:  # click hands options over by name
    """Hold methods against the posterior of the same network, prior and noise, sampled by long HMC.

    Trials are those of `harness run`, the reference's first, and are not run again. For each method, as means over
    rows: the total variation between predictive densities, the Wasserstein distance of functions in deviations of the
    reference's, and how wide they spread beside these; as floor one half of the chains against the other. They become
    readings of the records (posterior_total_variation and so on). A reference that has not converged is none: exit 1.

    The reference stays in RESULTS/posteriors. --predictions FILE.npz holds the predictions of another library against
    it: means (S, N) and variances, in the data set's units and order of rows.
    """
    request = PosteriorRequest(**options)
    _require_arviz()
    if request.format_ not in FORMATS:
        raise UsageError(f"--format {request.format_}: unknown; known: {', '.join(FORMATS)}")
    if request.predictions is not None:
        return _measure_file(request)
    if request.methods is None:
        raise UsageError("Missing option '--methods': name what is held against the posterior, or give --predictions")
    catalog = context.obj.catalog
    sampler = (
        posterior_trials.share_model(catalog, request.reference, request.model),
        Budget("updates", request.trajectories),
    )
    others = posterior_trials.share_model(catalog, request.methods, request.model), _read_budget(request)
    both = (sampler, others)  # planned before minutes of sampling
    planned = [posterior_trials.plan_trials(catalog, request, *each) for each in both]
    for trial in planned[0]:
        posterior_files.count_chains(trial)
    references, trials = (
        posterior_trials.run_trials(context, request, *each, trials) for each, trials in zip(both, planned, strict=True)
    )
    return _measure_trials(request, {trial.seed: trial for trial in references}, trials)


def _read_budget(request: PosteriorRequest) -> Budget | None:
    return None if request.epochs is None else Budget("epochs", request.epochs)


def _require_arviz() -> None:
    """Raise UsageError before hours of sampling whose convergence could not be told."""
    if find_spec("arviz_stats") is None:
        raise UsageError(
            "whether chains have converged is told by arviz-stats, which is missing: pip install 'harness-bench[bayes]'"
        )


def _measure_file(request: PosteriorRequest) -> int:
    """Measure another library's predictions against the reference that is there."""
    from harness_bayes import posteriors

    assert request.predictions is not None
    path = posterior_files.reference_path(request, request.dataset)
    if not path.exists():
        raise UsageError(f"{path}: no reference there; harness posterior {request.dataset} --methods ... leaves one")
    reference, about = posteriors.read_reference(path)
    diagnosis = posteriors.diagnose(reference)
    rows = {
        "one half of the chains": [posteriors.measure_floor(reference)],
        request.predictions.name: [
            posteriors.measure_splits(posteriors.read_predictions(request.predictions), reference)
        ],
    }
    _print_rows(request, str(about.get("method", REFERENCE)), [diagnosis], rows)
    return 1 if diagnosis.faults else 0


def _measure_trials(request: PosteriorRequest, references: dict[int, Trial], trials: Sequence[Trial]) -> int:
    """Measure all trials against the references, add the readings to the records, and print the table."""
    from harness import add_readings
    from harness_bayes import posteriors

    found: dict[int, Reference] = {
        seed: posterior_files.read_reference(request, trial) for seed, trial in references.items()
    }
    try:
        diagnoses = {seed: posteriors.diagnose(each) for seed, each in found.items()}
    except Unsupported as error:
        raise UsageError(f"{request.reference}: {error}: give --trajectories more") from error
    rows: dict[str, list[dict[str, Distance]]] = {}
    for seed, trial in references.items():
        below = posteriors.measure_floor(found[seed])
        rows.setdefault("one half of the chains", []).append(below)
        posterior_files.keep_reference(request, trial, found[seed], diagnoses[seed])
        add_readings(
            request.results,
            trial.key,
            {**posterior_files.diagnosis_readings(diagnoses[seed]), **posterior_files.distance_readings(below)},
        )
    for trial in trials:
        measured = posteriors.measure_splits(posterior_files.read_splits(request, trial), found[trial.seed])
        rows.setdefault(trial.method.label, []).append(measured)
        against = {"posterior_reference": references[trial.seed].key}
        if not diagnoses[trial.seed].faults:
            add_readings(request.results, trial.key, {**posterior_files.distance_readings(measured), **against})
    first = next(iter(references.values()))
    _print_rows(request, first.method.label, list(diagnoses.values()), rows)
    return 1 if any(each.faults for each in diagnoses.values()) else 0


def _print_rows(
    request: PosteriorRequest, method: str, diagnoses: Sequence[Diagnosis], rows: dict[str, list[dict[str, Distance]]]
) -> None:
    from harness_bayes.posterior_report import as_text, as_values

    if request.format_ == "json":
        click.echo(json.dumps(as_values(request.dataset, method, diagnoses, rows), indent=1))
    else:
        click.echo(as_text(request.dataset, method, diagnoses, rows))
