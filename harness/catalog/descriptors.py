"""Checks of what plugins offer, before it is put on a shelf; the hooks, and the noun of each."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import islice
from typing import Any

from harness.catalog.loading import Plugin
from harness.names import MEASURED
from harness.options import describe
from harness.types import (
    BackendOffer,
    Check,
    DataOptions,
    Dataset,
    ExecutorOffer,
    Export,
    Formula,
    Instrument,
    Method,
    Metric,
    Recipe,
    Suite,
)

OWN_METRICS = "harness.metrics"
MOST = 10_000  # offers of a plugin at one hook: one that never stops is broken

# By hook, what it lists and what one of them is called.
HOOKS: Mapping[str, tuple[type[Any], str]] = {
    "harness_methods": (Method, "method"),
    "harness_datasets": (Dataset, "data set"),
    "harness_metrics": (Metric, "metric"),
    "harness_instruments": (Instrument, "instrument"),
    "harness_formulas": (Formula, "formula"),
    "harness_exports": (Export, "format"),
    "harness_suites": (Suite, "suite"),
    "harness_checks": (Check, "check"),
    "harness_executors": (ExecutorOffer, "executor"),
    "harness_backends": (BackendOffer, "backend"),
}
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_OPERATOR = re.compile(r"[A-Za-z_]\w*::[A-Za-z_]\w*")
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "better": ("higher", "lower", "neither"),
    "role": ("proposed", "baseline"),
    "of": ("method", "dataset", "metric"),
    "measures": ("score", "cost", "quantity"),
}
_TEXTS = ("family",)
_TUPLES = ("kinds", "precisions", "requires", "preload", "files", "batched_options", "families", "methods")
_REFERENCES = ("factory", "load", "compute", "check", "function", "macs", "elementwise", "cohort", "write")
_SHARES: Mapping[str, float] = {"tolerance": math.inf, "strays": 1.0}
_OPTIONAL = ("compute", "elementwise", "cohort")


def check_answer(hook: str, answer: Any, plugin: Plugin | None = None) -> list[Any]:
    """A plugin's answer to the hook as a list of sound descriptors. Raises TypeError or ValueError, saying why.

    plugin: whose answer it is; the harness's own metrics alone may be called what the harness measures.
    """
    kind, noun = HOOKS[hook]
    if answer is None or isinstance(answer, (str, kind)) or not hasattr(answer, "__iter__"):
        raise TypeError(f"{hook} must return or yield {kind.__name__} objects, got {answer!r}")
    values: list[Any] = list(islice(answer, MOST + 1))
    if len(values) > MOST:
        raise ValueError(f"{hook} offers more than {MOST}")
    names: set[str] = set()
    for value in values:
        if not isinstance(value, kind):
            raise TypeError(f"{hook} must return or yield {kind.__name__} objects, got {value!r}")
        _check_descriptor(noun, value)
        if isinstance(value, Metric) and value.name in _list_reserved_names(plugin):
            raise ValueError(f"metric {value.name!r}: the name is taken by what the harness itself measures")
        if value.name in names:
            raise ValueError(f"{hook} offers {value.name!r} twice")
        names.add(value.name)
    return values


def _list_reserved_names(plugin: Plugin | None) -> frozenset[str]:
    """Names that this plugin may give no metric."""
    return frozenset() if plugin is not None and plugin.module == OWN_METRICS else MEASURED


def refuse_known_operators(formulas: Iterable[Formula], libraries: Collection[str]) -> None:
    """Raise ValueError for a formula of an operator that the backend knows the work of, by its library."""
    for formula in formulas:
        if (library := formula.name.partition("::")[0]) in libraries:
            raise ValueError(f"formula {formula.name!r}: the work of {library}'s operators is known; name one of yours")


def _check_descriptor(noun: str, value: Any) -> None:
    if isinstance(value, Formula):
        if not isinstance(value.name, str) or not _OPERATOR.fullmatch(value.name):
            raise ValueError(f"formula {value.name!r}: an operator is named with its library, as in 'mylib::scan'")
    elif not isinstance(value.name, str) or not _NAME.fullmatch(value.name):
        raise ValueError(f"{noun} {value.name!r}: a name is letters, digits, '.', '_' and '-'")
    owner = f"{noun} {value.name!r}"
    for name, given in vars(value).items():
        _check_field(owner, name, given)
    if isinstance(value, (Method, Dataset)):
        _check_config(owner, value)
    if isinstance(value, Metric):
        _check_metric(owner, value)
    if isinstance(value, Method):
        _check_base(owner, value)
        _check_cohort(owner, value)


def _check_field(owner: str, name: str, given: object) -> None:
    if name in _TUPLES and not isinstance(given, tuple) and not (name == "files" and callable(given)):
        raise TypeError(f"{owner}: {name} must be a tuple, got {given!r}; a tuple of one is written (x,)")
    if name in _CHOICES and given not in _CHOICES[name]:
        raise ValueError(f"{owner}: {name} must be one of {', '.join(_CHOICES[name])}, got {given!r}")
    if name in _TEXTS and not isinstance(given, str):
        raise TypeError(f"{owner}: {name} must be a text, got {given!r}")
    if name == "folds" and (not isinstance(given, int) or isinstance(given, bool) or given < 0):
        raise TypeError(f"{owner}: folds must be the number of official splits, 0 for none, got {given!r}")
    if name in _SHARES and not _is_number(given, below=_SHARES[name]):
        raise TypeError(f"{owner}: {name} must be a number from 0 to below {_SHARES[name]:g}, got {given!r}")
    if name == "recipes":
        _check_words(f"{owner}: recipes", "data set", given)
    if name == "recipe":
        _check_recipe(owner, given)
    if name in _REFERENCES and not _is_reference(given) and not (name in _OPTIONAL and given is None):
        raise TypeError(f"{owner}: {name} must be a callable or 'module:attribute', got {given!r}")


def _check_base(owner: str, method: Method) -> None:
    if not (method.starts_from is None or isinstance(method.starts_from, str) or callable(method.starts_from)):
        raise TypeError(f"{owner}: starts_from must be a selection or a callable, got {method.starts_from!r}")
    if not (method.refuse is None or callable(method.refuse)):
        raise TypeError(f"{owner}: refuse must be a callable (config, dataset, given), got {method.refuse!r}")
    if method.epochs_option is None:
        return
    if method.starts_from is None:
        raise ValueError(f"{owner}: epochs_option needs starts_from: the budget of a run is that of the base")
    if method.epochs_option not in (known := [each.name for each in describe(method.config)]):
        raise ValueError(
            f"{owner}: epochs_option must be one of its options ({', '.join(known)}), got {method.epochs_option!r}"
        )


def _check_cohort(owner: str, method: Method) -> None:
    known = [each.name for each in describe(method.config)]
    if unknown := [name for name in method.batched_options if name not in known]:
        raise ValueError(
            f"{owner}: batched_options names {unknown[0]!r}, which is none of its options: "
            f"{', '.join(known) or 'it has none'}"
        )
    if method.batched_options and method.cohort is None:
        raise ValueError(f"{owner}: batched_options needs cohort, which trains the trials that differ in them as one")


def _check_metric(owner: str, metric: Metric) -> None:
    if metric.shifted and (metric.headline or metric.compute is None):
        raise ValueError(f"{owner}: shifted is for what is computed of test splits, and no headline")
    if metric.headline and metric.better == "neither":
        raise ValueError(f"{owner}: headline needs better: it decides which point of the curve is the best")
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


def _is_number(given: object, below: float) -> bool:
    return isinstance(given, (int, float)) and not isinstance(given, bool) and 0 <= given < below


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
