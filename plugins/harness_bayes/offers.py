"""Fields that all methods of the family offer alike, and the metrics and instruments of this library; plain Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Literal

from harness import Instrument, Method, Metric
from harness_bayes.config import BATCHED, FAMILY, recipes

Better = Literal["higher", "lower", "neither"]

# Of weights and, the last, of functions: summary, unit, what is better. The approximate ELBO may exceed the evidence.
POSTERIOR: dict[str, tuple[str, str, Better]] = {
    "elbo_approximate": ("ELBO of all training rows with the approximate entropy, no lower bound", "nats", "neither"),
    "elbo_certified": ("elbo_approximate less entropy_error_upper: below the log evidence", "nats", "higher"),
    "elbo_true": ("elbo_approximate less the error of its entropy, drawn: the ELBO", "nats", "higher"),
    "entropy_error_lower": ("lower bound of the approximate entropy's error, by divergences", "nats", "neither"),
    "entropy_error_upper": ("upper bound of that error, the least of KT, BC and H(pi)", "nats", "neither"),
    "weight_entropy": ("entropy H(pi) of the weights of the components", "nats", "neither"),
    "approximate_entropy": ("entropy of the posterior as the sum of unimodal entropies", "nats", "neither"),
    "smallest_alpha": (
        "alpha of the closest two components, half their distance in deviations",
        "",
        "neither",
    ),
    "matched_alpha": ("smallest_alpha with hidden units in the order of the first component's", "", "neither"),
    "effective_components": ("how many functions the components amount to on the validation rows", "", "neither"),
}

ENDS = {"curve": False, "requires": ("scipy.special",)}  # many components cost more here than to be predicted


def offer_method(
    name: str,
    summary: str,
    learner: str,
    config: type,
    paper: str = "",
    citation: str = "",
    role: Literal["proposed", "baseline"] = "baseline",
    starts_from: Callable[[Any], str] | None = None,
    batched_options: tuple[str, ...] = BATCHED,
    own_recipes: Mapping[str, Mapping[str, Any]] | None = None,
) -> Method:
    """Offer a method whose module `learner` has `build`, and `together` for trials side by side.

    batched_options: numbers in which these may differ. own_recipes: instead of the family's.
    """
    return Method(
        name,
        summary,
        factory=f"{learner}:build",
        cohort=f"{learner}:together",
        batched_options=batched_options,
        kinds=("regression", "classification"),
        config=config,
        paper=paper,
        citation=citation,
        role=role,
        precisions=("fp32", "tf32", "bf16"),
        starts_from=starts_from,
        family=FAMILY,
        recipes=recipes(config) if own_recipes is None else own_recipes,
    )


def offer_metrics() -> Iterator[Metric]:
    """Offer the metrics of a prediction's uncertainty, and of a posterior. Where there are shifted splits, `auroc`
    stands in tables by itself.
    """
    yield from _offer_intervals()
    yield from _offer_uncertainty_parts()
    yield from _offer_selective()
    yield from _offer_shifted()
    for name, (summary, unit, better) in POSTERIOR.items():
        yield Metric(name, summary, unit, better, measures="quantity")
    yield from _offer_agreement()


def offer_instruments() -> Iterator[Instrument]:
    """Offer an instrument for each number that is measured on the trained posterior, on request: most cost seconds."""
    for name, (summary, _, _) in POSTERIOR.items():
        yield Instrument(name, summary, factory=f"harness_bayes.posterior_instrument:{name}", on_request=True)


def _offer_intervals() -> Iterator[Metric]:
    score = partial(_offer_score, kinds=("regression",), per="example")
    yield score("coverage95", "share of targets in the central 95 % interval of the mixture", "", "neither", **ENDS)
    yield score("width95", "mean width of that interval", "", "neither", **ENDS)  # none is better that covers less
    yield score("interval_score95", "its width, and 40 times what a target lies outside by", "", "lower", **ENDS)
    summary = "mean over p = 0.05 ... 0.95 of |share of targets below the p-quantile - p|"
    yield score("calibration_error", summary, "", "lower", **ENDS)


def _offer_uncertainty_parts() -> Iterator[Metric]:
    deviation = partial(_offer_score, unit="", better="neither", kinds=("regression",), per="example", curve=False)
    yield deviation("aleatoric_deviation", "root mean variance within components")
    yield deviation("epistemic_deviation", "root mean variance between the means of components")
    summary = "mutual information of class and sample, what samples disagree by"
    kinds = ("classification",)
    yield _offer_score(
        "mutual_information", summary, "nats", "neither", kinds=kinds, per="example", mixture=True, curve=False
    )


def _offer_selective() -> Iterator[Metric]:
    summary = "area under the risk-coverage curve: error (squared error) of the rows it is the surest of"
    yield _offer_score("aurc", summary, "", "lower", kinds=("classification", "regression"), mixture=True, curve=False)


def _offer_shifted() -> Iterator[Metric]:
    score = partial(_offer_score, unit="", mixture=True, shifted=True)
    both, classes = ("classification", "regression"), ("classification",)
    telling = "area under the ROC curve of telling shifted from test rows by"
    accepted = "share of shifted rows taken for known where 95 % of the test rows are, by"
    spread = "entropy (of regression: deviation)"
    yield score("auroc", f"{telling} {spread}", better="higher", kinds=both, measures="score")
    yield score("fpr95", f"{accepted} {spread}", better="lower", kinds=both)
    yield score("auroc_mi", f"{telling} mutual information", better="higher", kinds=classes)
    yield score("fpr95_mi", f"{accepted} mutual information", better="lower", kinds=classes)


def _offer_agreement() -> Iterator[Metric]:
    """Offer the readings that `harness posterior` adds to records."""
    for rows, suffix in (("test rows", ""), ("shifted rows", "_shifted")):
        quantity = partial(Metric, unit="", kinds=("regression",), measures="quantity")
        total = f"total variation of predictive densities to the posterior's, {rows}"
        yield quantity(f"posterior_total_variation{suffix}", total, better="lower")
        moved = f"Wasserstein distance of functions to the posterior's in deviations of these, {rows}"
        yield quantity(f"posterior_wasserstein{suffix}", moved, better="lower")
        wide = f"deviation of functions over the posterior's, {rows}"
        yield quantity(f"posterior_spread{suffix}", wide, better="neither")


def _offer_score(name: str, summary: str, unit: str, better: Better, **settings: Any) -> Metric:
    """Offer a quantity, unless the settings say otherwise, that the function of that name in `scores` computes."""
    return Metric(
        name, summary, unit, better, compute=f"harness_bayes.scores:{name}", **{"measures": "quantity"} | settings
    )
