"""`harness posterior DATASET`: methods held against the posterior that they approximate, as long HMC finds it.

What is heavy is imported when it is called.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness import Budget, Trial, Unsupported, UsageError
from harness_bayes import posterior_kept, posterior_trials
from harness_bayes.posterior_asked import FORMATS, Asked

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
    asked = Asked(**options)
    _require_arviz()
    if asked.format_ not in FORMATS:
        raise UsageError(f"--format {asked.format_}: unknown; known: {', '.join(FORMATS)}")
    if asked.predictions is not None:
        return _measure_file(asked)
    if asked.methods is None:
        raise UsageError("Missing option '--methods': name what is held against the posterior, or give --predictions")
    catalog = context.obj.catalog
    sampler = posterior_trials.shared(catalog, asked.reference, asked.model), Budget("updates", asked.trajectories)
    others = posterior_trials.shared(catalog, asked.methods, asked.model), _epochs(asked)
    both = (sampler, others)  # planned before minutes of sampling
    planned = [posterior_trials.planned(catalog, asked, *each) for each in both]
    for trial in planned[0]:
        posterior_kept.chains(trial)
    references, trials = (
        posterior_trials.ended(context, asked, *each, trials) for each, trials in zip(both, planned, strict=True)
    )
    return _report(asked, {trial.seed: trial for trial in references}, trials)


def _epochs(asked: Asked) -> Budget | None:
    return None if asked.epochs is None else Budget("epochs", asked.epochs)


def _require_arviz() -> None:
    """Raises UsageError before hours of sampling of which nothing could be said."""
    if find_spec("arviz_stats") is None:
        raise UsageError(
            "whether chains have converged is told by arviz-stats, which is missing: pip install 'harness-bench[bayes]'"
        )


def _measure_file(asked: Asked) -> int:
    """Another library's predictions against the reference that is there."""
    from harness_bayes import posteriors

    assert asked.predictions is not None
    path = posterior_kept.path(asked, asked.dataset)
    if not path.exists():
        raise UsageError(f"{path}: no reference there; harness posterior {asked.dataset} --methods ... leaves one")
    reference, about = posteriors.read(path)
    diagnosis = posteriors.diagnose(reference)
    rows = {
        "one half of the chains": [posteriors.floor(reference)],
        asked.predictions.name: [posteriors.measure(posteriors.read_predictions(asked.predictions), reference)],
    }
    _print(asked, str(about.get("method", REFERENCE)), [diagnosis], rows)
    return 1 if diagnosis.faults else 0


def _report(asked: Asked, references: dict[int, Trial], trials: Sequence[Trial]) -> int:
    """Measure, note it in the records, print it."""
    from harness import add_readings
    from harness_bayes import posteriors

    found: dict[int, Reference] = {seed: posterior_kept.reference(asked, trial) for seed, trial in references.items()}
    try:
        diagnoses = {seed: posteriors.diagnose(each) for seed, each in found.items()}
    except Unsupported as error:
        raise UsageError(f"{asked.reference}: {error}: give --trajectories more") from error
    rows: dict[str, list[dict[str, Distance]]] = {}
    for seed, trial in references.items():
        below = posteriors.floor(found[seed])
        rows.setdefault("one half of the chains", []).append(below)
        posterior_kept.keep(asked, trial, found[seed], diagnoses[seed])
        add_readings(
            asked.results, trial.key, {**posterior_kept.of_diagnosis(diagnoses[seed]), **posterior_kept.readings(below)}
        )
    for trial in trials:
        measured = posteriors.measure(posterior_kept.splits(asked, trial), found[trial.seed])
        rows.setdefault(trial.method.label, []).append(measured)
        against = {"posterior_reference": references[trial.seed].key}
        if not diagnoses[trial.seed].faults:
            add_readings(asked.results, trial.key, {**posterior_kept.readings(measured), **against})
    first = next(iter(references.values()))
    _print(asked, first.method.label, list(diagnoses.values()), rows)
    return 1 if any(each.faults for each in diagnoses.values()) else 0


def _print(
    asked: Asked, method: str, diagnoses: Sequence[Diagnosis], rows: dict[str, list[dict[str, Distance]]]
) -> None:
    from harness_bayes.posterior_report import as_text, plain

    if asked.format_ == "json":
        click.echo(json.dumps(plain(asked.dataset, method, diagnoses, rows), indent=1))
    else:
        click.echo(as_text(asked.dataset, method, diagnoses, rows))
