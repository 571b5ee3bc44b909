"""`harness posterior DATASET`: methods held against the posterior that they approximate, as long HMC finds it.

What is heavy is imported when it is called.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import re
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from harness import Budget, HarnessError, RegressionMixture, Trial, Unsupported, UsageError

if TYPE_CHECKING:
    from harness_bayes.posteriors import Diagnosis, Distance, Reference, Splits

REFERENCE = "hmc"
FOLDER = "posteriors"
FORMATS = ("text", "json")
READINGS = ("total_variation", "wasserstein", "spread")

EXAMPLES = """\b
Examples:
  harness posterior toy-gap --noise 0.1 --methods gm-vi,mc-dropout
  harness posterior toy-gap --methods "gm-vi[components=[1,5]]" --seeds 5
  harness posterior toy-gap --predictions mine.npz
"""


class Model(NamedTuple):
    """What all methods have in common; None for what each decides by itself."""

    noise: float | None
    architecture: str | None
    prior_scale: float | None


@dataclasses.dataclass(frozen=True)
class Asked:
    """The options of the command, as click hands them over."""

    dataset: str
    methods: str | None
    reference: str
    noise: float | None
    architecture: str | None
    prior_scale: float | None
    trajectories: int
    epochs: float | None
    seeds: str
    device: str | None
    threads: int | None
    data_dir: Path | None
    results: Path
    predictions: Path | None
    format_: str

    @property
    def model(self) -> Model:
        return Model(self.noise, self.architecture, self.prior_scale)


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
    sampler = shared(catalog, asked.reference, asked.model), Budget("updates", asked.trajectories)
    others = shared(catalog, asked.methods, asked.model), _epochs(asked)
    planned = [_planned(catalog, asked, *each) for each in (sampler, others)]  # both, before minutes of sampling
    for trial in planned[0]:
        _chains(trial)
    references, trials = (
        _ended(context, asked, *each, trials) for each, trials in zip((sampler, others), planned, strict=True)
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
    path = _path(asked, asked.dataset)
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

    found: dict[int, Reference] = {seed: _reference(asked, trial) for seed, trial in references.items()}
    try:
        diagnoses = {seed: posteriors.diagnose(each) for seed, each in found.items()}
    except Unsupported as error:
        raise UsageError(f"{asked.reference}: {error}: give --trajectories more") from error
    rows: dict[str, list[dict[str, Distance]]] = {}
    for seed, trial in references.items():
        below = posteriors.floor(found[seed])
        rows.setdefault("one half of the chains", []).append(below)
        _keep(asked, trial, found[seed], diagnoses[seed])
        add_readings(asked.results, trial.key, {**_of(diagnoses[seed]), **_readings(below)})
    for trial in trials:
        measured = posteriors.measure(_splits(asked, trial), found[trial.seed])
        rows.setdefault(trial.method.label, []).append(measured)
        against = {"posterior_reference": references[trial.seed].key}
        if not diagnoses[trial.seed].faults:
            add_readings(asked.results, trial.key, {**_readings(measured), **against})
    first = next(iter(references.values()))
    _print(asked, first.method.label, list(diagnoses.values()), rows)
    return 1 if any(each.faults for each in diagnoses.values()) else 0


def shared(catalog: Any, methods: str, model: Model) -> str:
    """The selection with network, prior and noise of all, where a method has them and nothing else is given."""
    known = set(catalog.methods.names())
    return ",".join(_with(catalog, item, model) if item.partition("[")[0] in known else item for item in items(methods))


def items(text: str) -> list[str]:
    """A list's items: `a,b[c=[1,2]]` has two."""
    return re.findall(r"(?:[^,\[\](){}]|\[(?:[^\[\]]|\[[^\[\]]*\])*\]|\([^()]*\))+", text)


def _with(catalog: Any, item: str, model: Model) -> str:
    name, _, given = item.partition("[")
    config = catalog.methods.get(name).config
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    wanted: dict[str, object] = {"architecture": model.architecture, "prior_scale": model.prior_scale}
    if model.noise is not None:
        wanted |= {"noise": model.noise} if "noise" in defaults else {"tau": float(f"{model.noise**-2:.12g}")}
        if defaults.get("likelihood") == "heteroscedastic":
            wanted["likelihood"] = "gaussian"
    said = {match[1] for match in re.finditer(r"(\w+)\s*=", given)}
    options = [
        f"{key}={value}" for key, value in wanted.items() if value is not None and key in defaults and key not in said
    ]
    inside = [*([given.removesuffix("]")] if given else []), *options]
    return f"{name}[{','.join(inside)}]" if inside else name


def _planned(catalog: Any, asked: Asked, methods: str, budget: Budget | None) -> list[Trial]:
    """The trials of these methods. Raises UsageError for those of which nothing can be measured."""
    from harness import Request, named

    request = Request(
        methods=methods,
        datasets=asked.dataset,
        seeds=asked.seeds,
        budget=budget,
        device=asked.device,
        threads=asked.threads,
        data=asked.data_dir,
    )
    trials = list(named(catalog, request))
    _refuse_kinds(catalog, trials)
    return trials


def _ended(
    context: click.Context, asked: Asked, methods: str, budget: Budget | None, trials: Sequence[Trial]
) -> Sequence[Trial]:
    """The trials, run, with their predictions kept. Raises HarnessError where one did not end ok."""
    from harness import read_records

    ran = [trial for trial in trials if (asked.results / "trials" / f"{trial.key}.json").exists()]
    unkept = [trial.method.label for trial in ran if not _file(asked, trial).exists()]
    _run(context, asked, methods, budget, unkept)
    records = {record.trial.key: record for record in read_records(asked.results)}
    for trial in trials:
        record = records.get(trial.key)
        if record is None or record.status != "ok":
            why = "has no record" if record is None else f"is {record.status}: {record.reason}"
            raise HarnessError(f"{trial.method.label} on {trial.dataset.label}, seed {trial.seed}, {why}")
    return trials


def _refuse_kinds(catalog: Any, trials: Iterable[Trial]) -> None:
    for trial in trials:
        kind = catalog.datasets.get(trial.dataset.name, trial.dataset.provider).kind
        if kind != "regression":
            raise UsageError(
                f"{trial.dataset.label} is {kind}: of class probabilities only the mixture is kept, so that functions "
                "cannot be compared; choose a data set of regression"
            )


def _run(context: click.Context, asked: Asked, methods: str, budget: Budget | None, unkept: Sequence[str]) -> None:
    """`harness run`, whose table nobody asked for. unkept: what runs again, to keep its predictions."""
    command = context.find_root().command
    run = command.get_command(context, "run") if isinstance(command, click.Group) else None
    if run is None:
        raise HarnessError("harness posterior plans trials with `harness run`, which is not among the commands")
    amount = {} if budget is None else {budget.unit: budget.amount}
    with contextlib.redirect_stdout(io.StringIO()):
        context.invoke(
            run,
            methods=methods,
            datasets=asked.dataset,
            seeds=asked.seeds,
            device=asked.device,
            threads=asked.threads,
            data_dir=asked.data_dir,
            results=asked.results,
            keep_predictions=True,
            rerun=",".join(dict.fromkeys(unkept)) or None,
            **amount,
        )


def _file(asked: Asked, trial: Trial) -> Path:
    return asked.results / "trials" / f"{trial.key}.predictions.npz"


def _splits(asked: Asked, trial: Trial) -> Splits:
    from harness import read_predictions

    test, shifted = read_predictions(asked.results, trial.key)
    splits = {"test": test, **shifted}
    return {name: split for name, split in splits.items() if isinstance(split, RegressionMixture)}


def _reference(asked: Asked, trial: Trial) -> Reference:
    from harness_bayes.posteriors import Reference

    return Reference(_splits(asked, trial), _chains(trial))


def _chains(trial: Trial) -> int:
    """How many chains the method has. Raises UsageError for one without."""
    chains = trial.method.options.get("chains")
    if not isinstance(chains, int):
        raise UsageError(f"--reference {trial.method.label}: has no option chains, whose draws could be told apart")
    return chains


def _path(asked: Asked, dataset: str, seed: int = 0) -> Path:
    """Where a reference is kept: of the first seed under the data set's name alone."""
    name = re.sub(r"[^\w.+=-]+", "_", dataset).strip("_")
    return asked.results / FOLDER / f"{name}{f'-{seed}' if seed else ''}.npz"


def _keep(asked: Asked, trial: Trial, reference: Reference, diagnosis: Diagnosis) -> None:
    from harness_bayes import posteriors

    about = {
        "dataset": trial.dataset.label,
        "seed": trial.seed,
        "method": trial.method.label,
        "options": dict(trial.method.options),
        "trial": trial.key,
        **diagnosis._asdict(),
    }
    posteriors.write(_path(asked, asked.dataset, trial.seed), reference, about)


def _of(diagnosis: Diagnosis) -> dict[str, float]:
    return {
        "posterior_rhat": diagnosis.rhat,
        "posterior_ess": diagnosis.ess,
        "posterior_error": diagnosis.error,
        "posterior_halves": diagnosis.apart,
    }


def _readings(measured: dict[str, Distance]) -> dict[str, float]:
    """posterior_total_variation and so on of the test rows, and with _shifted as mean over the shifted splits."""
    shifted = [each for name, each in measured.items() if name != "test"]
    found = {}
    for field in READINGS:
        found[f"posterior_{field}"] = getattr(measured["test"], field)
        if shifted:
            found[f"posterior_{field}_shifted"] = sum(getattr(each, field) for each in shifted) / len(shifted)
    return found


def _print(
    asked: Asked, method: str, diagnoses: Sequence[Diagnosis], rows: dict[str, list[dict[str, Distance]]]
) -> None:
    from harness_bayes.posterior_report import as_text, plain

    if asked.format_ == "json":
        click.echo(json.dumps(plain(asked.dataset, method, diagnoses, rows), indent=1))
    else:
        click.echo(as_text(asked.dataset, method, diagnoses, rows))
