"""Refusals of a method on a data set are told while planning: by the options as resolved there, and as given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from harness import Budget, Dataset, Method, Recipe, UsageError, hookimpl, option
from harness.catalog.descriptors import check_answer
from harness.planning.plan import plan_trials
from harness.suites.suite import Request


@dataclass(frozen=True)
class Options:
    steps: int | None = option(None, "time steps", low=1)
    rate: float | None = option(None, "learning rate", above=0)


def never(config):
    raise AssertionError("planning must not build a learner")


def refuse(config, dataset, given):
    if dataset.kind == "language" and config.steps is not None and config.steps > 4:
        raise UsageError(f"steps={config.steps}: {dataset.name} is {dataset.kind}; give 4 at most")
    if "rate" in given and dataset.kind == "classification":
        raise UsageError(f"rate={given['rate']}: nothing is trained on {dataset.name}; leave rate out")


class Plugin:
    refuse: Any = staticmethod(refuse)

    @hookimpl
    def harness_methods(self):
        kinds = ("classification", "language")
        yield Method("ticks", "x", never, kinds, config=Options, family="ticking", refuse=self.refuse)
        yield Method("starts", "x", never, kinds, starts_from="ticks[steps=9]")

    @hookimpl
    def harness_datasets(self):
        words = {"ticking": {"steps": 8, "rate": 0.5}}
        yield Dataset("rows", "x", "classification", never, default=True)
        yield Dataset("texts", "x", "language", never, default=True)
        yield Dataset("long", "x", "language", never, recipe=Recipe(Budget("epochs", 1), 8, words))
        yield Dataset("told", "x", "classification", never, recipe=Recipe(Budget("epochs", 1), 8, words))
        yield Dataset("tables", "x", "regression", never, default=True)


@pytest.fixture
def planned(catalog_of):
    def go(methods: str, datasets: str, plugin: Any = Plugin):
        return plan_trials(catalog_of(plugin()), Request(methods=methods, datasets=datasets, seeds="1", device="cpu"))

    return go


@pytest.mark.parametrize(
    ("methods", "datasets", "said"),
    [
        ("ticks[steps=5]", "rows,texts", "ticks on texts: steps=5: texts is language; give 4 at most"),
        ("ticks[steps=[4,5]]", "texts", "ticks on texts: steps=5: texts is language; give 4 at most"),
        ("ticks[rate=0.1]", "rows", "ticks on rows: rate=0.1: nothing is trained on rows; leave rate out"),
        ("ticks", "long", "ticks on long: steps=8: long is language; give 4 at most"),
        ("starts", "texts", "ticks on texts: steps=9: texts is language; give 4 at most"),
    ],
)
def test_what_is_refused_on_a_data_set_ends_the_plan_with_method_and_data_set(planned, methods, datasets, said):
    with pytest.raises(UsageError) as caught:
        planned(methods, datasets)
    assert str(caught.value) == said


def test_what_goes_with_the_data_set_is_planned(planned):
    (five,) = planned("ticks[steps=5]", "rows")
    (four,) = planned("ticks[steps=4]", "texts")
    assert (five.method.options["steps"], four.method.options["steps"]) == (5, 4)


def test_a_word_of_a_recipe_is_not_given(planned):
    (told,) = planned("ticks", "told")
    assert told.method.options == {"steps": 8, "rate": 0.5}


def test_data_sets_that_the_method_does_not_take_are_skipped_and_not_asked_about(planned):
    class Strict(Plugin):
        @staticmethod
        def refuse(config, dataset, given):
            assert dataset.kind != "regression"

    trials = planned("ticks", "tables,rows", Strict)
    assert [trial.skip for trial in trials] == ["ticks takes classification and language, tables is regression", None]


def test_a_refusal_that_fails_is_the_fault_of_the_method(planned):
    class Faulty(Plugin):
        refuse = staticmethod(lambda config, dataset, given: given["nothing"])

    with pytest.raises(UsageError, match=r"^ticks \(.*\): its refuse raised KeyError: 'nothing'; the method is"):
        planned("ticks", "rows", Faulty)


def test_a_refusal_that_cannot_be_called_is_no_method():
    with pytest.raises(TypeError, match=r"method 'm': refuse must be a callable \(config, dataset, given\), got 3"):
        check_answer("harness_methods", [Method("m", "x", never, ("classification",), refuse=3)])  # type: ignore[arg-type]
