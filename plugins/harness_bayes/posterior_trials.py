"""The trials that `harness posterior` compares: of one network, prior and noise, run as by `harness run`."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

import click

from harness import Budget, HarnessError, Trial, UsageError
from harness_bayes import posterior_files
from harness_bayes.posterior_request import PosteriorRequest, SharedModel


def share_model(catalog: Any, methods: str, model: SharedModel) -> str:
    """Add the shared network, prior and noise to each method that has these options and is not given others."""
    known = set(catalog.methods.names())
    return ",".join(
        _add_model(catalog, item, model) if item.partition("[")[0] in known else item for item in split_list(methods)
    )


def split_list(text: str) -> list[str]:
    """Split a list into its items: `a,b[c=[1,2]]` has two."""
    return re.findall(r"(?:[^,\[\](){}]|\[(?:[^\[\]]|\[[^\[\]]*\])*\]|\([^()]*\))+", text)


def _add_model(catalog: Any, item: str, model: SharedModel) -> str:
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


def plan_trials(catalog: Any, request: PosteriorRequest, methods: str, budget: Budget | None) -> list[Trial]:
    """Plan the trials of these methods. Raises UsageError for those of which nothing can be measured."""
    from harness import Request, named

    run = Request(
        methods=methods,
        datasets=request.dataset,
        seeds=request.seeds,
        budget=budget,
        device=request.device,
        threads=request.threads,
        data=request.data_dir,
    )
    trials = list(named(catalog, run))
    _refuse_kinds(catalog, trials)
    return trials


def run_trials(
    context: click.Context, request: PosteriorRequest, methods: str, budget: Budget | None, trials: Sequence[Trial]
) -> Sequence[Trial]:
    """Run the trials that have no record yet, with their predictions kept. Raises HarnessError where one is not ok."""
    from harness import read_records

    ran = [trial for trial in trials if (request.results / "trials" / f"{trial.key}.json").exists()]
    unkept = [trial.method.label for trial in ran if not posterior_files.predictions_file(request, trial).exists()]
    _invoke_run(context, request, methods, budget, unkept)
    records = {record.trial.key: record for record in read_records(request.results)}
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


def _invoke_run(
    context: click.Context, request: PosteriorRequest, methods: str, budget: Budget | None, unkept: Sequence[str]
) -> None:
    """Invoke `harness run` without its table. unkept: labels of methods that run again, to keep their predictions."""
    command = context.find_root().command
    run = command.get_command(context, "run") if isinstance(command, click.Group) else None
    if run is None:
        raise HarnessError("harness posterior plans trials with `harness run`, which is not among the commands")
    amount = {} if budget is None else {budget.unit: budget.amount}
    with contextlib.redirect_stdout(io.StringIO()):
        context.invoke(
            run,
            methods=methods,
            datasets=request.dataset,
            seeds=request.seeds,
            device=request.device,
            threads=request.threads,
            data=request.data_dir,
            results=request.results,
            keep_predictions=True,
            rerun=",".join(dict.fromkeys(unkept)) or None,
            **amount,
        )
