"""The headline of a trial where it is not that of its kind: asked for, or in the data set's recipe."""

from __future__ import annotations

from harness.catalog import Catalog, Offer
from harness.errors import UsageError
from harness.metrics.headline import headline
from harness.types import Dataset, Metric


def term(catalog: Catalog, asked: str | None, dataset: Offer[Dataset]) -> str | None:
    """The name of the score that decides on a data set; None where it is the headline of the kind anyway.

    asked: by the run. Raises UsageError for what cannot decide: a name that nobody offers, a cost, a score of another
    kind, one that is not taken at every point of the curve.
    """
    name = asked or dataset.value.recipe.headline
    if name is None:
        return None
    whose = f"--headline {name}" if asked else f"the recipe of data set {dataset.value.name} ({dataset.plugin})"
    metric = _metric(catalog, name, whose)
    if reason := _unfit(metric, dataset.value):
        raise UsageError(f"{whose}: {reason}; {_known(catalog, dataset.value)}")
    return None if metric == headline(catalog.metrics.values(), dataset.value.kind) else name


def _metric(catalog: Catalog, name: str, whose: str) -> Metric:
    try:
        return catalog.metrics.get(name)
    except UsageError as error:
        raise UsageError(f"{whose}: {error}") from error


def _unfit(metric: Metric, dataset: Dataset) -> str:
    if metric.measures != "score" or metric.compute is None:
        return f"{metric.name} is a {metric.measures}, and a score decides which point is the best"
    if dataset.kind not in metric.kinds:
        return f"{metric.name} is a metric for {' and '.join(metric.kinds)}, and {dataset.name} is {dataset.kind}"
    return "" if metric.curve else f"{metric.name} is not scored at every validation point"


def _known(catalog: Catalog, dataset: Dataset) -> str:
    """The scores that can decide on a data set."""
    fit = [metric.name for metric in catalog.metrics.values() if not _unfit(metric, dataset)]
    return f"scores that can: {', '.join(fit)}" if fit else "no installed metric can"
