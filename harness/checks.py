"""The promises that need no tensor library to be tested. Those that do come from the backend's plugin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

from harness.hookspecs import hookimpl
from harness.types import Check


@hookimpl
def harness_checks() -> Iterator[Check]:
    for (of, module), summaries in CHECKS.items():
        for name, summary in summaries.items():
            yield Check(name, summary, of, f"{module}:{name.replace('-', '_')}")


Of: TypeAlias = Literal["method", "dataset", "metric"]
CHECKS: Mapping[tuple[Of, str], Mapping[str, str]] = {
    ("method", "harness.testing.config_checks"): {
        "options-described": "every option has a meaning, the defaults are valid, and the values can be read back",
        "kinds-taken": "a problem of every kind that it declares can be learnt and predicted",
    },
    ("method", "harness.testing.answer_checks"): {
        "answers-well-formed": "update, predict, views, describe and save answer as is expected, by names of their own",
    },
    ("method", "harness.testing.training_checks"): {
        "deterministic": "the same seed gives the same state and the same updates, bit by bit on a CPU",
        "states-apart": "two states of one learner do not know of each other",
        "global-seeds-ignored": "the seeds of the global random generators change nothing",
        "batches-apart": "nothing of one mini-batch is carried into the next, unless the stream goes on",
        "any-budget": "trains on with one planned update, beyond those planned, and under a budget of seconds",
        "data-untouched": "the rows that it is shown are as they were",
        "arrays-kept": "saved arrays are named, the same every time, and survive a file",
    },
    ("method", "harness.testing.prediction_checks"): {
        "prediction-well-formed": "the kind's type and shapes, finite, probabilities that sum to one",
        "prediction-repeatable": "does not depend on what was predicted before",
        "prediction-by-rows": "a row's prediction does not depend on the rows beside it, down to a single row",
        "training-undisturbed": "predictions change neither what is saved nor the training that follows",
        "test-rows-unused": "other test rows, nan among them, change neither training nor validation predictions",
    },
    ("method", "harness.testing.cohort_checks"): {
        "cohort-as-alone": "trained as one with others, each trial is what it is alone, even beside one that is nan",
    },
    ("dataset", "harness.testing.dataset_checks"): {
        "data-options-described": "every option has a meaning, and the defaults are valid",
        "data-deterministic": "the same seed gives the same rows, whatever the global seeds",
        "data-as-stated": "shapes, types, values and sizes are those that its problem states",
        "training-batches": "augmented or not, the same for the same seed, "
        "with the shape and type that the problem states",
        "splits-apart": "no split holds rows of another",
        "splits-as-declared": "fixed test rows are those of every seed, and official splits are different ones",
        "sizes-honoured": "train, valid and test give so many rows",
    },
    ("metric", "harness.testing.metric_checks"): {
        "metric-finite": "finite for a near-perfect and for an uninformed prediction",
        "metric-direction": "a near-perfect prediction is not worse than one that is sure and wrong",
        "metric-of-mixture": "splitting a component in two changes nothing",
        "metric-pure": "the same outcome gives the same number, and is left as it was",
    },
}
