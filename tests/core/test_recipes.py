"""Options that a user leaves unset are filled: by the method's own word, or by the data set's for its family."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from harness import Budget, Dataset, Method, Recipe, UsageError, hookimpl, option
from harness.catalog.descriptors import check_answer
from harness.planning.plan import plan_trials
from harness.suites.suite import Request


@dataclass(frozen=True)
class Ticks:
    """Of a method that ticks. Raises ValueError for what does not go together."""

    steps: int | None = option(None, "time steps", low=1)
    rate: float = option(0.1, "learning rate", above=0)
    shape: tuple[int, ...] | None = option(None, "layers")

    def __post_init__(self) -> None:
        if self.steps == 4 and self.rate == 0.5:
            raise ValueError("rate=0.5: not with four steps")


@dataclass(frozen=True)
class Draws:
    """The same name for something else."""

    steps: int | None = option(None, "posterior samples", low=1)


def never(config):
    raise AssertionError("planning must not build a learner")


SAID = {"four": {"steps": 7}, "nowhere": {"nothing": 1}}
WORDS = {"steps": 4, "shape": [8, 8], "rate": 0.9, "momentum": 0.9}


class Plugin:
    """Methods of a family, of another and of none, on data sets that speak to the first."""

    def __init__(self, own=SAID, words=WORDS):
        self.own, self.words = own, words

    @hookimpl
    def harness_methods(self):
        kinds = ("classification",)
        yield Method("ticks", "x", never, kinds, config=Ticks, family="ticking")
        yield Method("own", "x", never, kinds, config=Ticks, family="ticking", recipes=self.own)
        yield Method("draws", "x", never, kinds, config=Draws, family="drawing")
        yield Method("loner", "x", never, kinds, config=Draws)

    @hookimpl
    def harness_datasets(self):
        four = Recipe(Budget("epochs", 1), 8, {"ticking": self.words, "": {"steps": 9}})
        yield Dataset("four", "x", "classification", never, recipe=four, default=True)
        yield Dataset("plain", "x", "classification", never)


@pytest.fixture
def resolved(catalog_of):
    """The options of the only trial."""

    def go(method: str, dataset: str = "four", plugin: object = None):
        request = Request(methods=method, datasets=dataset, seeds="1", device="cpu")
        (trial,) = plan_trials(catalog_of(plugin or Plugin()), request)
        return trial.method

    return go


def test_a_data_set_speaks_to_methods_of_one_family(resolved):
    found = resolved("ticks")
    assert found.options == {"steps": 4, "rate": 0.1, "shape": [8, 8]}
    assert found.label == "ticks"
    assert resolved("ticks", "plain").options == {"steps": None, "rate": 0.1, "shape": None}


@pytest.mark.parametrize("method", ["draws", "loner"])
def test_an_option_of_that_name_in_another_family_or_in_none_is_left_alone(resolved, method):
    assert resolved(method).options == {"steps": None}


def test_the_method_s_own_word_wins_over_the_family_s(resolved):
    assert resolved("own").options == {"steps": 7, "rate": 0.1, "shape": [8, 8]}
    assert resolved("own", "plain").options["steps"] is None


def test_what_is_given_wins_over_all(resolved):
    assert resolved("own[steps=2]").options["steps"] == 2
    assert resolved("ticks[rate=0.2]").options == {"steps": 4, "rate": 0.2, "shape": [8, 8]}
    assert resolved("ticks[shape=(3,)]").options["shape"] == [3]


@pytest.mark.parametrize(
    ("method", "plugin", "said"),
    [
        (
            "ticks",
            Plugin(words={"steps": 0}),
            "data set four (Plugin (test_recipes)) for ticking is at fault: ticks: steps must",
        ),
        (
            "own",
            Plugin(own={"four": {"steps": "x"}}),
            "method own (Plugin (test_recipes)) on four is at fault: own: steps must be int",
        ),
        ("own", Plugin(own={"four": {"rate": 1}}), "at fault: rate cannot be left unset: only an option whose default"),
        (
            "own",
            Plugin(own={"four": {"step": 4}}),
            "at fault: there is no parameter 'step'; did you mean 'steps'?",
        ),
    ],
)
def test_a_value_that_no_config_takes_is_the_fault_of_whose_recipe_it_is(resolved, method, plugin, said):
    with pytest.raises(UsageError) as caught:
        resolved(method, plugin=plugin)
    assert str(caught.value).startswith("the recipe of ")
    assert said in str(caught.value)


def test_what_does_not_go_with_a_recipe_is_told_beside_it(resolved):
    with pytest.raises(UsageError) as caught:
        resolved("ticks[rate=0.5]")
    first, *_, last = str(caught.value).splitlines()
    assert first == "ticks: rate=0.5: not with four steps"
    assert last.startswith("from the recipe of data set four (")
    assert last.endswith("for ticking: steps=4, shape=(8,8)")


@pytest.mark.parametrize(
    ("offer", "said"),
    [
        (lambda: method(recipes={"four": 3}), "method 'm': recipes must be dictionaries of option values, by the name"),
        (lambda: method(recipes=[1]), "of a data set, as in {'name': {'steps': 4}}, got [1]"),
        (lambda: method(family=None), "method 'm': family must be a text, got None"),
        (
            lambda: dataset(Recipe(families={"steps": 4})),
            "data set 'd': recipe.families must be dictionaries of option",
        ),
        (lambda: dataset({"steps": 4}), "data set 'd': recipe must be a harness.Recipe, got {'steps': 4}"),
    ],
)
def test_words_that_are_no_dictionary_are_named_with_what_says_them(offer, said):
    made = offer()
    hook = "harness_methods" if isinstance(made, Method) else "harness_datasets"
    with pytest.raises(TypeError) as caught:
        check_answer(hook, [made])
    assert said in str(caught.value)


def method(**more):
    return Method("m", "x", never, ("classification",), **more)


def dataset(recipe):
    return Dataset("d", "x", "classification", never, recipe=recipe)
