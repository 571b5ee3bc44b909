"""What plugins offer of one kind, by name; and what an offer must look like to be put on a shelf."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

from harness.catalog.loading import Plugin, listed, normal
from harness.errors import UsageError
from harness.names import MEASURED
from harness.options import describe, suggest
from harness.types import (
    BackendOffer,
    Check,
    DataOptions,
    Dataset,
    ExecutorOffer,
    Formula,
    Instrument,
    Method,
    Metric,
    Recipe,
    Suite,
)

T = TypeVar("T")

MOST = 10_000  # offers of a plugin at one hook: one that never stops is broken

HOOKS: Mapping[str, type[Any]] = {
    "harness_methods": Method,
    "harness_datasets": Dataset,
    "harness_metrics": Metric,
    "harness_instruments": Instrument,
    "harness_formulas": Formula,
    "harness_suites": Suite,
    "harness_checks": Check,
    "harness_executors": ExecutorOffer,
    "harness_backends": BackendOffer,
}
NOUNS: Mapping[str, str] = {
    "harness_methods": "method",
    "harness_datasets": "data set",
    "harness_metrics": "metric",
    "harness_instruments": "instrument",
    "harness_formulas": "formula",
    "harness_suites": "suite",
    "harness_checks": "check",
    "harness_executors": "executor",
    "harness_backends": "backend",
}


@dataclass(frozen=True)
class Offer(Generic[T]):
    """One thing that a plugin offers. also: further plugins that are the same module."""

    value: T
    plugin: Plugin
    also: tuple[Plugin, ...] = ()

    @property
    def providers(self) -> tuple[tuple[str, ...], ...]:
        """What may stand before the colon in `provider:name`: distributions, then plugins, then modules."""
        plugins = (self.plugin, *self.also)
        names = tuple(name for each in plugins for name in (each.name, each.folder_name) if name)
        return tuple(normal(each.provider) for each in plugins), names, tuple(each.module for each in plugins)


class Shelf(Generic[T]):
    """The offers of one kind, in the order in which their plugins were loaded.

    noun: what one of them is called. hint: added to the error for an unknown name.
    """

    def __init__(self, noun: str, offers: Sequence[Offer[T]], hint: str = "") -> None:
        self.noun = noun
        self._offers = tuple(offers)
        self._hint = hint
        self._by_name: dict[str, list[Offer[T]]] = {}
        for offer in offers:
            self._by_name.setdefault(_name(offer), []).append(offer)

    def names(self) -> list[str]:
        return list(self._by_name)

    def offers(self) -> list[Offer[T]]:
        return list(self._offers)

    def values(self) -> list[T]:
        return [offer.value for offer in self._offers]

    def get(self, name: str, provider: str | None = None) -> T:
        """The thing of that name; `provider:name`, or the argument, says whose where several plugins offer it.

        Raises UsageError for a name that nobody offers, and for one that several do.
        """
        return self.offer(name, provider).value

    def offer(self, name: str, provider: str | None = None) -> Offer[T]:
        """Like `get`, together with the plugin that offers it."""
        if provider is None and name not in self._by_name and ":" in name:
            provider, _, name = name.rpartition(":")
        found = self._by_name.get(name)
        if not found:
            raise UsageError(self._unknown(name))
        matching = found if provider is None else provided(found, provider)
        if not matching:
            providers = listed({offer.plugin.provider for offer in found})
            raise UsageError(f"{self.noun} {name!r} is not offered by {provider!r} but by {providers}")
        if len(matching) > 1:
            raise UsageError(self._ambiguous(name, matching))
        return matching[0]

    def qualified(self, offer: Offer[T]) -> str:
        """The name of an offer, with `provider:` before it where others have the same."""
        name = _name(offer)
        found = self._by_name[name]
        return f"{_qualifier(offer, found)}:{name}" if len(found) > 1 else name

    def owner(self, name: str, home: str | None) -> str | None:
        """Of a name that several plugins offer, what means the one of the distribution `home`; None where it has none
        or several, or where the name says enough.
        """
        found = self._by_name.get(name, [])
        own = [offer for offer in found if home and normal(home) in offer.providers[0]]
        return _qualifier(own[0], found) if len(found) > 1 and len(own) == 1 else None

    def _unknown(self, name: str) -> str:
        close = suggest(name, self._by_name)
        known = f"{'Known' if close else '; known'} {self.noun}s: {listed(self._by_name)}"
        return f"unknown {self.noun} {name!r}{close}{' ' if close else ''}{known}{self._hint}"

    def _ambiguous(self, name: str, offers: Sequence[Offer[T]]) -> str:
        owners = " and ".join(str(offer.plugin) for offer in offers)
        choices = " or ".join(f"{_qualifier(offer, self._by_name[name])}:{name}" for offer in offers)
        off = " or ".join(f"--disable-plugin {shlex.quote(offer.plugin.full_name)}" for offer in offers)
        return f"{self.noun} {name!r} is offered by {owners}: write {choices}, or switch one off with {off}"


def provided(offers: Sequence[Offer[T]], provider: str) -> list[Offer[T]]:
    """Those that `provider:name` means: by distribution, where none is of that one by plugin, else by module."""
    ranks = ([offer for offer in offers if own in offer.providers[rank]] for rank, own in _ranked(provider))
    return next(filter(None, ranks), [])


def _ranked(provider: str) -> Iterable[tuple[int, str]]:
    return enumerate((normal(provider), provider, provider))


def _qualifier(offer: Offer[Any], offers: Sequence[Offer[Any]]) -> str:
    """The most telling word by which this offer is found and no other of its name."""
    plugin = offer.plugin
    words = (plugin.provider, plugin.name, plugin.folder_name, plugin.module)
    return next((word for word in words if word and provided(offers, word) == [offer]), plugin.module)


def _name(offer: Offer[Any]) -> str:
    name: str = offer.value.name
    return name


# --- what an offer must look like ---------------------------------------------------------------------------------

OWN_METRICS = "harness.metrics"
ONCE = (
    "harness_metrics",
    "harness_instruments",
    "harness_formulas",
)  # no selection qualifies these, so one name is one thing
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_OPERATOR = re.compile(r"[A-Za-z_]\w*::[A-Za-z_]\w*")
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "better": ("higher", "lower"),
    "role": ("proposed", "baseline"),
    "of": ("method", "dataset", "metric"),
    "measures": ("score", "cost", "quantity"),
}
_TEXTS = ("family",)
_TUPLES = ("kinds", "precisions", "requires", "preload", "files")
_REFERENCES = ("factory", "load", "compute", "check", "function", "macs", "elementwise")
_OPTIONAL = ("compute", "elementwise")


def checked(hook: str, answer: Any, plugin: Plugin | None = None) -> list[Any]:
    """A plugin's answer to the hook as a list of sound descriptors. Raises TypeError or ValueError, saying why.

    plugin: whose answer it is; the harness's own metrics alone may be called what the harness measures.
    """
    kind = HOOKS[hook]
    if answer is None or isinstance(answer, (str, kind)) or not hasattr(answer, "__iter__"):
        raise TypeError(f"{hook} must return or yield {kind.__name__} objects, got {answer!r}")
    values: list[Any] = list(islice(answer, MOST + 1))
    if len(values) > MOST:
        raise ValueError(f"{hook} offers more than {MOST}")
    names: set[str] = set()
    for value in values:
        if not isinstance(value, kind):
            raise TypeError(f"{hook} must return or yield {kind.__name__} objects, got {value!r}")
        _check(hook, value)
        if isinstance(value, Metric) and value.name in _taken(plugin):
            raise ValueError(f"metric {value.name!r}: the name is taken by what the harness itself measures")
        if value.name in names:
            raise ValueError(f"{hook} offers {value.name!r} twice")
        names.add(value.name)
    return values


def first_owners(offers: Sequence[Offer[Any]]) -> dict[str, Plugin]:
    """Whose each name is where several offer it: the harness's own metrics go first, then the plugin loaded first."""
    owners: dict[str, Plugin] = {}
    for offer in own_first(offers):
        owners.setdefault(_name(offer), offer.plugin)
    return owners


def own_first(offers: Sequence[Offer[T]]) -> list[Offer[T]]:
    """The harness's own metrics before those of others: the first of several headlines decides."""
    return sorted(offers, key=lambda each: each.plugin.module != OWN_METRICS)


def _taken(plugin: Plugin | None) -> frozenset[str]:
    """Names that this plugin may give no metric."""
    return frozenset() if plugin is not None and plugin.module == OWN_METRICS else MEASURED


def refuse_known(formulas: Iterable[Formula], libraries: Collection[str]) -> None:
    """Raise ValueError for a formula of an operator that the backend knows the work of, by its library."""
    for formula in formulas:
        if (library := formula.name.partition("::")[0]) in libraries:
            raise ValueError(f"formula {formula.name!r}: the work of {library}'s operators is known; name one of yours")


def _check(hook: str, value: Any) -> None:
    if isinstance(value, Formula):
        if not isinstance(value.name, str) or not _OPERATOR.fullmatch(value.name):
            raise ValueError(f"formula {value.name!r}: an operator is named with its library, as in 'mylib::scan'")
    elif not isinstance(value.name, str) or not _NAME.fullmatch(value.name):
        raise ValueError(f"{NOUNS[hook]} {value.name!r}: a name is letters, digits, '.', '_' and '-'")
    owner = f"{NOUNS[hook]} {value.name!r}"
    for name, given in vars(value).items():
        _check_field(owner, name, given)
    if isinstance(value, (Method, Dataset)):
        _check_config(owner, value)
    if isinstance(value, Metric):
        _check_metric(owner, value)
    if isinstance(value, Method):
        _check_base(owner, value)


def _check_field(owner: str, name: str, given: object) -> None:
    if name in _TUPLES and not isinstance(given, tuple) and not (name == "files" and callable(given)):
        raise TypeError(f"{owner}: {name} must be a tuple, got {given!r}; a tuple of one is written (x,)")
    if name in _CHOICES and given not in _CHOICES[name]:
        raise ValueError(f"{owner}: {name} must be one of {', '.join(_CHOICES[name])}, got {given!r}")
    if name in _TEXTS and not isinstance(given, str):
        raise TypeError(f"{owner}: {name} must be a text, got {given!r}")
    if name == "folds" and (not isinstance(given, int) or isinstance(given, bool) or given < 0):
        raise TypeError(f"{owner}: folds must be the number of official splits, 0 for none, got {given!r}")
    if name == "recipes":
        _check_words(f"{owner}: recipes", "data set", given)
    if name == "recipe":
        _check_recipe(owner, given)
    if name in _REFERENCES and not _is_reference(given) and not (name in _OPTIONAL and given is None):
        raise TypeError(f"{owner}: {name} must be a callable or 'module:attribute', got {given!r}")


def _check_base(owner: str, method: Method) -> None:
    if not (method.starts_from is None or isinstance(method.starts_from, str) or callable(method.starts_from)):
        raise TypeError(f"{owner}: starts_from must be a selection or a callable, got {method.starts_from!r}")
    if method.epochs_option is None:
        return
    if method.starts_from is None:
        raise ValueError(f"{owner}: epochs_option needs starts_from: the budget of a run is that of the base")
    if method.epochs_option not in (known := [each.name for each in describe(method.config)]):
        raise ValueError(
            f"{owner}: epochs_option must be one of its options ({', '.join(known)}), got {method.epochs_option!r}"
        )


def _check_metric(owner: str, metric: Metric) -> None:
    if metric.headline and not metric.curve:
        raise ValueError(f"{owner}: headline needs curve: it decides which point of the curve is the best")
    if metric.measures == "score" and metric.compute is None:
        raise ValueError(f"{owner}: measures is 'score' and there is no compute; a reading is a cost or a quantity")


def _check_recipe(owner: str, given: object) -> None:
    if not isinstance(given, Recipe):
        raise TypeError(f"{owner}: recipe must be a harness.Recipe, got {given!r}")
    _check_words(f"{owner}: recipe.families", "family", given.families)


def _check_words(what: str, noun: str, given: object) -> None:
    if not isinstance(given, Mapping) or not all(isinstance(words, Mapping) for words in given.values()):
        raise TypeError(
            f"{what} must be dictionaries of option values, by the name of a {noun}, as in {{'name': {{'steps': 4}}}}, "
            f"got {given!r}"
        )


def _is_reference(given: str | Callable[..., Any] | object) -> bool:
    return all(given.partition(":")[::2]) if isinstance(given, str) else callable(given)


def _check_config(owner: str, value: Method | Dataset) -> None:
    config: object = value.config
    # Looked up on the class itself: an undecorated subclass inherits its base's fields and loses its own.
    parameters = vars(config).get("__dataclass_params__") if isinstance(config, type) else None
    if parameters is None or not parameters.frozen:
        raise TypeError(f"{owner}: config must be a frozen dataclass, decorated itself, got {config!r}")
    if isinstance(value, Dataset) and not issubclass(value.config, DataOptions):
        raise TypeError(f"{owner}: config must be a subclass of DataOptions, got {config!r}")
    if any(item.init is False for item in dataclasses.fields(value.config)):
        raise TypeError(f"{owner}: every field of config must be an argument of it (no init=False)")
    describe(value.config)  # raises for annotations that cannot be resolved
