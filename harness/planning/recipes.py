"""What the options of a method come to on a data set, where a user has left them unset.

The method's own words for the data set come first (`Method.recipes`), then the data set's for the method's family
(`Recipe.families`), then the defaults of the config.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness import options
from harness.catalog import Offer
from harness.conversion import show
from harness.errors import UsageError
from harness.types import Choice, Dataset, Method

Words = Mapping[str, Any]


def filled(offer: Offer[Method], choice: Choice, dataset: Offer[Dataset]) -> dict[str, Any]:
    """All options of a choice, resolved on a data set.

    Raises UsageError for what the config refuses: a recipe, which is named, or what was given, beside the recipes that
    it does not go with.
    """
    sources = dict(_sources(offer, choice, dataset))
    recipe = {name: value for words in reversed(sources.values()) for name, value in words.items()}
    method = offer.value
    try:
        return options.values(options.build(method.config, {**recipe, **choice.given}, method.name))
    except UsageError as error:
        needed = {each.name for each in options.describe(method.config) if each.required}
        given = {name: value for name, value in choice.given.items() if name in needed}
        for whose, words in sources.items():
            _refuse_faulty(method, whose, {**given, **words})
        raise UsageError(f"{error}{_beside(sources)}") from error


def _sources(offer: Offer[Method], choice: Choice, dataset: Offer[Dataset]) -> Iterator[tuple[str, Words]]:
    """Whose words there are for options that were not given; of two that name one option, the first decides.

    Methods of a family differ in their options: what one of them does not have is not meant for it. What a method says
    of itself is.
    """
    method, data = offer.value, dataset.value
    own = method.recipes.get(data.name, {})
    family = data.recipe.families.get(method.family, {}) if method.family else {}
    listed = {name: value for name, value in family.items() if name in choice.options}
    yield f"method {method.name} ({offer.plugin}) on {data.name}", _without(own, choice.given)
    yield f"data set {data.name} ({dataset.plugin}) for {method.family}", _without(listed, {**choice.given, **own})


def _without(words: Words, said: Words) -> Words:
    return {name: value for name, value in words.items() if name not in said}


def _refuse_faulty(method: Method, whose: str, words: Words) -> None:
    """Raises UsageError for words of one recipe that are no values of the config, whatever else is said."""
    try:
        options.build(method.config, words, method.name)
    except UsageError as error:
        raise UsageError(f"the recipe of {whose} is at fault: {error}") from error


def _beside(sources: Mapping[str, Words]) -> str:
    """What the recipes have said beside what was given."""
    return "".join(f"\nfrom the recipe of {whose}: {_listed(words)}" for whose, words in sources.items() if words)


def _listed(words: Words) -> str:
    return ", ".join(f"{name}={show(value)}" for name, value in words.items())
