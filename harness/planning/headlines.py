"""The headline of a trial where it is not that of its kind: asked for, or in the data set's recipe."""

from __future__ import annotations

from collections.abc import Sequence

from harness.catalog import Catalog, Offer
from harness.errors import UsageError
from harness.metrics.headline import find_headline
from harness.types import Dataset, Metric
from harness.words import suggest


def headline_term(catalog: Catalog, asked: str | None, dataset: Offer[Dataset]) -> str | None:
    """The name of the score that decides on a data set; None where it is the headline of the kind anyway.

    asked: by the run. Raises UsageError for what cannot decide: a name that nobody offers, a cost, a score of another
    kind, one that is not taken at every point of the curve.
    """
    name = asked or dataset.value.recipe.headline
    if name is None:
        return None
    whose = f"--headline {name}" if asked else f"the recipe of data set {dataset.value.name} ({dataset.plugin})"
    metric = next((each for each in catalog.metrics.values() if each.name == name), None)
    if reason := f"no metric is called {name!r}" if metric is None else _find_unfitness(metric, dataset.value):
        fit = _fitting_scores(catalog, dataset.value)
        close = "" if metric else suggest(name, fit)
        raise UsageError(f"{whose}: {reason}{close}{' ' if close else '; '}{_list_scores(fit)}")
    return None if metric == find_headline(catalog.metrics.values(), dataset.value.kind) else name


def _find_unfitness(metric: Metric, dataset: Dataset) -> str:
    if metric.measures != "score" or metric.compute is None:
        return f"{metric.name} is a {metric.measures}, and a score decides which point is the best"
    if metric.better == "neither":
        return f"{metric.name} has no best value"
    if dataset.kind not in metric.kinds:
        return f"{metric.name} is a metric for {' and '.join(metric.kinds)}, and {dataset.name} is {dataset.kind}"
    return "" if metric.curve and not metric.shifted else f"{metric.name} is not scored at every validation point"


def _fitting_scores(catalog: Catalog, dataset: Dataset) -> list[str]:
    """The scores that can decide on a data set."""
    return [metric.name for metric in catalog.metrics.values() if not _find_unfitness(metric, dataset)]


def _list_scores(names: Sequence[str]) -> str:
    return f"scores that can: {', '.join(names)}" if names else "no installed metric can"
