"""Trials of one plan: what they share is found out once, whatever the number of seeds and combinations."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from harness.catalog import Catalog, Offer, available
from harness.planning import headlines, recipes, sources
from harness.selections import choosing, selection
from harness.selections.choosing import Item
from harness.suites.suite import Request
from harness.types import BackendOffer, Choice, Dataset, Method, TrainingTerms, Trial

T = TypeVar("T")


@dataclass(frozen=True)
class Setting:
    """What all trials of a plan share."""

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

    def __init__(self, catalog: Catalog, request: Request, setting: Setting) -> None:
        self._catalog = catalog
        self._request = request
        self._setting = setting
        self._prints = sources.Fingerprints()
        self._of_base: dict[tuple[int, str], Make] = {}

    def trials(self, method: Picked[Method], dataset: Picked[Dataset]) -> Make:
        """The trial of a seed."""
        base = self._bases(method.offer, dataset)
        terms = _terms(self._setting, self._request, dataset.offer.value.recipe)
        headline = headlines.term(self._catalog, self._request.headline, dataset.offer)
        shared = Trial(
            method=method.choice,
            dataset=dataset.choice,
            seed=0,
            terms=dataclasses.replace(terms, headline=headline),
            skip=_unsuited(method.offer, dataset.offer.value, self._setting.precision),
        )
        return partial(_made, shared, self._parts(shared, method, dataset), base)

    def _bases(self, method: Offer[Method], dataset: Picked[Dataset]) -> Make | None:
        """The trials whose weights a method starts from: the recipe decides their budget, not the run's flags."""
        if method.value.starts_from is None:
            return None
        known = (id(method), dataset.choice.label)
        if known not in self._of_base:
            (item,) = bases(self._catalog, method)
            (picked,) = expanded(item, dataset.offer)
            own = dataclasses.replace(self._request, budget=None, batch_size=None, patience=None)
            make = Maker(self._catalog, own, self._setting).sharing(self).trials(picked, dataset)
            self._of_base[known] = _Once(make)
        return self._of_base[known]

    def sharing(self, other: Maker) -> Maker:
        """This maker with the fingerprints and bases that another one knows."""
        self._prints, self._of_base = other._prints, other._of_base
        return self

    def _parts(self, trial: Trial, method: Picked[Method], dataset: Picked[Dataset]) -> dict[str, Any]:
        """What is hashed to the key; seed and base differ from trial to trial."""
        return {
            "core": sources.core(),
            "backend": self._source(self._setting.backend),
            "method": _chosen(trial.method) | self._source(method.offer),
            "dataset": _chosen(trial.dataset) | self._source(dataset.offer) | {"files": dataset.files},
            "seed": None,
            **dataclasses.asdict(trial.terms),
            "base": None,
        }

    def _source(self, offer: Offer[Any]) -> dict[str, str]:
        plugin = offer.plugin
        versions = {"distribution": plugin.distribution, "version": plugin.version}
        return versions | {"source": self._prints.of(offer).digest}


def _terms(*sources: object) -> TrainingTerms:
    """The terms of a trial: each from the first that has one of its name, else its default."""
    names = [term.name for term in dataclasses.fields(TrainingTerms)]
    said = {name: [getattr(source, name, None) for source in sources] for name in names}
    found = {name: [value for value in values if value is not None] for name, values in said.items()}
    return TrainingTerms(**{name: values[0] for name, values in found.items() if values})


class _Once:
    """Makes one trial of each seed: methods that start from the same one share it."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._made: dict[int, Trial] = {}

    def __call__(self, seed: int) -> Trial:
        if seed not in self._made:
            self._made[seed] = dataclasses.replace(self._make(seed), keep=True)
        return self._made[seed]


def _made(shared: Trial, parts: Mapping[str, Any], bases: Make | None, seed: int) -> Trial:
    """The trial of a seed with its key and the parts that were hashed, so that a user can be told why it ran again."""
    base = bases(seed) if bases is not None else None
    own = {**parts, "seed": seed, "base": base.key if base else None}
    skip = shared.skip or _without_base(base)
    return dataclasses.replace(shared, seed=seed, base=base, skip=skip, parts=own, key=hashed(own))


def hashed(parts: Mapping[str, Any]) -> str:
    """The key of a trial with these parts."""
    return hashlib.sha256(canonical(parts).encode()).hexdigest()[:16]


def bases(catalog: Catalog, offer: Offer[Method]) -> list[Item[Method]]:
    """What a method starts from; a name that several distributions offer is that of its own."""
    parsed = selection.parse(offer.value.starts_from or "", f"starts_from of {offer.value.name}")
    return [choosing.item(catalog.methods, each, offer.plugin.provider) for each in parsed]


def expanded(item: Item[Method], dataset: Offer[Dataset]) -> list[Picked[Method]]:
    """Every combination of a sweep, with what the options that were left unset come to on a data set.

    Raises UsageError for what does not go with those.
    """
    found = [(choice, recipes.filled(item.offer, choice, dataset)) for choice in item.choices()]
    choices = selection.with_sweep([dataclasses.replace(choice, options=options) for choice, options in found])
    return [Picked(item.offer, choice) for choice in choices]


def canonical(value: Any) -> str:
    """One text for equal values, however they are ordered."""
    return json.dumps(value, sort_keys=True, default=str)


def _chosen(choice: Choice) -> dict[str, Any]:
    return {"name": choice.name, "provider": choice.provider, "options": choice.options}


def _unsuited(offer: Offer[Method], dataset: Dataset, precision: str) -> str | None:
    method = offer.value
    if dataset.kind not in method.kinds:
        return f"{method.name} takes {' and '.join(method.kinds)}, {dataset.name} is {dataset.kind}"
    if precision not in method.precisions:
        return f"{method.name} offers {', '.join(method.precisions)}, not {precision}"
    return available(offer)


def _without_base(base: Trial | None) -> str | None:
    return f"starts from {base.method.label}, which is skipped: {base.skip}" if base and base.skip else None
