"""Options of a method that a user has left unset, resolved on a data set.

The method's own words for the data set come first (`Method.recipes`), then the data set's for the method's family
(`Recipe.families`). An option can be left unset where its default is None: any other default is a word of the config.
What the method itself refuses on the data set is told here, before anything runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness import options
from harness.catalog import Offer
from harness.conversion import show
from harness.errors import UsageError
from harness.types import Choice, Dataset, Method
from harness.words import clean_line, suggest

Words = Mapping[str, Any]


def fill_options(offer: Offer[Method], choice: Choice, dataset: Offer[Dataset]) -> dict[str, Any]:
    """All options of a choice, resolved on a data set.

    Raises UsageError for what the config refuses: a recipe, which is named, or what was given, beside the recipes that
    it does not go with; and for what the method refuses on that data set.
    """
    _refuse_set_options(offer, dataset.value.name)
    sources = dict(_find_words(offer, choice, dataset))
    recipe = {name: value for words in reversed(sources.values()) for name, value in words.items()}
    method = offer.value
    try:
        config = options.build(method.config, {**choice.given, **recipe}, method.name)
    except UsageError as error:
        needed = {each.name for each in options.describe(method.config) if each.required}
        given = {name: value for name, value in choice.given.items() if name in needed}
        for whose, words in sources.items():
            _refuse_faulty(method, whose, {**given, **words})
        raise UsageError(f"{error}{_describe_words(sources)}") from error
    _let_method_refuse(offer, config, dataset.value, choice.given)
    return options.values(config)


def _find_words(offer: Offer[Method], choice: Choice, dataset: Offer[Dataset]) -> Iterator[tuple[str, Words]]:
    """Recipes with their words for options that were not given; of two that name one option, the first decides.

    Methods of a family differ in their options: what one of them does not have, or has another default for, is not
    meant for it.
    """
    method, data = offer.value, dataset.value
    own = method.recipes.get(data.name, {})
    family = data.recipe.families.get(method.family, {}) if method.family else {}
    unset = {name for name, value in choice.options.items() if value is None}
    yield _name_recipe(offer, data.name), {name: value for name, value in own.items() if name in unset}
    listed = {name: value for name, value in family.items() if name in unset - own.keys()}
    yield f"data set {data.name} ({dataset.plugin}) for {method.family}", listed


def _name_recipe(offer: Offer[Method], where: str) -> str:
    return f"method {offer.value.name} ({offer.plugin}) on {where}"


def _refuse_set_options(offer: Offer[Method], where: str) -> None:
    """Raises UsageError for a method's own words of options that it has not, or has another default for than None."""
    known = {each.name: each for each in options.describe(offer.value.config)}
    fault = f"the recipe of {_name_recipe(offer, where)} is at fault: "
    for name in offer.value.recipes.get(where, {}):
        if name not in known:
            raise UsageError(f"{fault}there is no parameter {name!r}{suggest(name, known)}")
        if known[name].required or known[name].default is not None:
            raise UsageError(f"{fault}{name} cannot be left unset: only an option whose default is None can")


def _refuse_faulty(method: Method, whose: str, words: Words) -> None:
    """Raises UsageError for words of one recipe that are no values of the config, whatever else is said."""
    try:
        options.build(method.config, words, method.name)
    except UsageError as error:
        raise UsageError(f"the recipe of {whose} is at fault: {error}") from error


def _let_method_refuse(offer: Offer[Method], config: Any, dataset: Dataset, given: Words) -> None:
    """Raises UsageError with what the method's `refuse` says, and where that is at fault.

    It is not asked about data sets of a kind that the method does not take: those trials are skipped.
    """
    method = offer.value
    if method.refuse is None or dataset.kind not in method.kinds:
        return
    try:
        method.refuse(config, dataset, given)
    except UsageError as error:
        raise UsageError(f"{method.name} on {dataset.name}: {error}") from error
    except Exception as error:  # a plugin's code may fail in any way
        why = clean_line(f"{type(error).__name__}: {error}")
        raise UsageError(f"{method.name} ({offer.plugin}): its refuse raised {why}; the method is at fault") from error


def _describe_words(sources: Mapping[str, Words]) -> str:
    """The words of the recipes, to be told beside what was given."""
    return "".join(f"\nfrom the recipe of {whose}: {_list_words(words)}" for whose, words in sources.items() if words)


def _list_words(words: Words) -> str:
    return ", ".join(f"{name}={show(value)}" for name, value in words.items())
