"""Trials of one plan: what they share is found out once, whatever the number of seeds and combinations."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, TypeVar

from harness.catalog import Catalog, Offer, explain_unavailable
from harness.errors import UsageError
from harness.planning import fingerprints, headlines, recipes
from harness.selections import bases, expansion
from harness.selections.catalog_items import Item
from harness.suites.suite import Request
from harness.types import BackendOffer, Budget, Choice, Dataset, Method, TrainingTerms, Trial

T = TypeVar("T")

LONGEST_CHAIN = 100  # of trials that start from each other


@dataclass(frozen=True)
class Setting:
    """The setting that all trials of a plan share."""

    device: str
    precision: str
    threads: int
    deterministic: bool
    backend: Offer[BackendOffer]


@dataclass(frozen=True)
class Picked(Generic[T]):
    """A catalogue offer with the parameters chosen for it; files: what identifies the files of a data set."""

    offer: Offer[T]
    choice: Choice
    files: Mapping[str, Any] = field(default_factory=dict)


Make = Callable[[int], Trial]


class Maker:
    """Makes the trials of one method on one data set, each from its seed."""

    def __init__(
        self, catalog: Catalog, request: Request, setting: Setting, prints: fingerprints.Fingerprints | None = None
    ) -> None:
        self._catalog = catalog
        self._request = request
        self._setting = setting
        self._prints = prints or fingerprints.Fingerprints()
        self._of_base: dict[tuple[str | None, str, str, Request], Make] = {}

    def make_trials(self, method: Picked[Method], dataset: Picked[Dataset], chain: tuple[str, ...] = ()) -> Make:
        """The trial of a seed. chain: what starts from it, and what starts from that."""
        terms = _resolve_terms(self._setting, self._request, dataset.offer.value.recipe)
        headline = headlines.headline_term(self._catalog, self._request.headline, dataset.offer)
        skip = _skip_reason(method.offer, dataset.offer.value, self._setting.precision)
        shared = Trial(
            method=method.choice,
            dataset=dataset.choice,
            seed=0,
            terms=replace(terms, headline=headline)
            if skip
            else _method_terms(replace(terms, headline=headline), method),
            skip=skip,
            own_epochs=method.offer.value.epochs_option is not None,
        )
        base = None if skip else self._make_bases(method, dataset, chain)
        return partial(_make_trial, shared, self._key_parts(shared, method, dataset), base)

    def _make_bases(self, method: Picked[Method], dataset: Picked[Dataset], chain: tuple[str, ...]) -> Make | None:
        """The trials whose weights a method starts from, under the terms of the run if it has epochs of its own. If it
        has none, those are its, and the recipe decides for its base.
        """
        item = bases.find_base(self._catalog, method.offer, method.choice.options)
        if item is None:
            return None
        (picked,) = expand_sweep(item, dataset.offer)
        chain = (*chain, method.choice.label)
        _refuse_circle(method.offer, chain, picked.choice.label)
        under = self._request
        if method.offer.value.epochs_option is None:
            under = replace(under, budget=None, batch_size=None, patience=None)
        known = (picked.choice.provider, picked.choice.label, dataset.choice.label, under)
        if known not in self._of_base:
            make = Maker(self._catalog, under, self._setting).share_with(self).make_trials(picked, dataset, chain)
            self._of_base[known] = _Once(make)
        return self._of_base[known]

    def share_with(self, other: Maker) -> Maker:
        """This maker with the fingerprints and bases that another one knows."""
        self._prints, self._of_base = other._prints, other._of_base
        return self

    def _key_parts(self, trial: Trial, method: Picked[Method], dataset: Picked[Dataset]) -> dict[str, Any]:
        """The parts that are hashed to the key; seed and base differ from trial to trial."""
        return {
            "core": fingerprints.digest_core(),
            "backend": self._offer_source(self._setting.backend),
            "method": _choice_parts(trial.method) | self._offer_source(method.offer),
            "dataset": _choice_parts(trial.dataset) | self._offer_source(dataset.offer) | {"files": dataset.files},
            "seed": None,
            **dataclasses.asdict(trial.terms),
            "base": None,
        }

    def _offer_source(self, offer: Offer[Any]) -> dict[str, str]:
        plugin = offer.plugin
        versions = {"distribution": plugin.distribution, "version": plugin.version}
        return versions | {"source": self._prints.follow_once(offer).digest}


def _resolve_terms(*sources: object) -> TrainingTerms:
    """The terms of a trial: each from the first that has one of its name, else its default."""
    names = [term.name for term in dataclasses.fields(TrainingTerms)]
    said = {name: [getattr(source, name, None) for source in sources] for name in names}
    found = {name: [value for value in values if value is not None] for name, values in said.items()}
    return TrainingTerms(**{name: values[0] for name, values in found.items() if values})


def _method_terms(terms: TrainingTerms, method: Picked[Method]) -> TrainingTerms:
    """The terms of the method itself: where an option holds its epochs, that is its budget, whole."""
    name = method.offer.value.epochs_option
    if name is None:
        return terms
    epochs = method.choice.options[name]
    if isinstance(epochs, bool) or not isinstance(epochs, (int, float)) or epochs < 0:
        label, plugin = method.choice.label, method.offer.plugin
        raise UsageError(f"{label} ({plugin}): {name} holds its epochs; expected a number of 0 or more, not {epochs!r}")
    return replace(terms, budget=Budget("epochs", epochs), patience=None)


def _refuse_circle(offer: Offer[Method], chain: tuple[str, ...], base: str) -> None:
    if base in chain or len(chain) > LONGEST_CHAIN:
        owner = f"{offer.value.name} ({offer.plugin}) starts from {base!r}"
        what = "goes in a circle" if base in chain else "goes on and on"
        raise UsageError(f"{owner}: that {what}, {' -> '.join([*chain[:10], base])}")


class _Once:
    """Makes one trial of each seed: methods that start from the same one share it."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._made: dict[int, Trial] = {}

    def __call__(self, seed: int) -> Trial:
        if seed not in self._made:
            self._made[seed] = replace(self._make(seed), keep=True)
        return self._made[seed]


def _make_trial(shared: Trial, parts: Mapping[str, Any], bases: Make | None, seed: int) -> Trial:
    """The trial of a seed with its key and the parts that were hashed, so that a user can be told why it ran again."""
    base = bases(seed) if bases is not None else None
    own = {**parts, "seed": seed, "base": base.key if base else None}
    skip = shared.skip or _base_skip_reason(base)
    return replace(shared, seed=seed, base=base, skip=skip, parts=own, key=hash_parts(own))


def hash_parts(parts: Mapping[str, Any]) -> str:
    """The key of a trial with these parts."""
    return hashlib.sha256(canonical_text(parts).encode()).hexdigest()[:16]


def expand_sweep(item: Item[Method], dataset: Offer[Dataset]) -> list[Picked[Method]]:
    """Every combination of a sweep, with what the options that were left unset come to on a data set.

    Raises UsageError for what does not go with those.
    """
    found = [(choice, recipes.fill_options(item.offer, choice, dataset)) for choice in item.make_choices()]
    choices = expansion.update_sweep([replace(choice, options=options) for choice, options in found])
    return [Picked(item.offer, choice) for choice in choices]


def canonical_text(value: Any) -> str:
    """One text for equal values, however they are ordered."""
    return json.dumps(value, sort_keys=True, default=str)


def _choice_parts(choice: Choice) -> dict[str, Any]:
    return {"name": choice.name, "provider": choice.provider, "options": choice.options}


def _skip_reason(offer: Offer[Method], dataset: Dataset, precision: str) -> str | None:
    method = offer.value
    if dataset.kind not in method.kinds:
        return f"{method.name} takes {' and '.join(method.kinds)}, {dataset.name} is {dataset.kind}"
    if precision not in method.precisions:
        return f"{method.name} offers {', '.join(method.precisions)}, not {precision}"
    return explain_unavailable(offer)


def _base_skip_reason(base: Trial | None) -> str | None:
    return f"starts from {base.method.label}, which is skipped: {base.skip}" if base and base.skip else None
