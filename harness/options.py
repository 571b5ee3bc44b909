"""Options of a method or a data set: described from its frozen config dataclass, and checked against it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from harness.conversion import SEQUENCES, UNIONS, convert, plain, show, type_text
from harness.errors import HarnessError, UsageError
from harness.words import suggest

HEADINGS: Final = ("name", "type", "default", "limits", "meaning")


@dataclass(frozen=True)
class Rule:
    """Meaning of a field, inclusive limits (low, high), exclusive ones (above, below), and what it needs beside it."""

    meaning: str = ""
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    needs: Mapping[str, object] = field(default_factory=dict)

    def allows(self, value: object) -> bool:
        """Whether each number in `value` lies within the limits; what is no number has none."""
        if isinstance(value, (tuple, list)):
            return all(self.allows(item) for item in value)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return True
        return (
            (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def limits(self) -> str:
        signs = ((">=", self.low), (">", self.above), ("<=", self.high), ("<", self.below))
        return ", ".join(f"{sign} {limit}" for sign, limit in signs if limit is not None)


@dataclass(frozen=True)
class Option:
    """One line of a table of options. `default` is JSON-able, and None where the option is required."""

    name: str
    type: str
    default: Any
    meaning: str
    limits: str
    required: bool = False


def option(
    default: Any,
    meaning: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    needs: Mapping[str, object] | None = None,
) -> Any:
    """A field of a config dataclass: its default, its meaning and, in the unit of the field, its limits.

    For example `steps: int = option(4, "time steps", low=1)`.
    The limits hold for every number in a tuple; `low` and `high` are allowed values, `above` and `below` are not.
    Of a tuple, `parts=[1,2]` selects both together, as `parts=(1,2)` does, and a sweep is a list of tuples.
    `needs={"schedule": "stairs"}`: without effect, and refused by `build`, where another option has another value; of
    several values that will do, give a tuple.
    `dataclasses.MISSING` as the default makes the option required. Raises ValueError for a default out of range.
    """
    rule = Rule(meaning, low, high, above, below, needs or {})
    if not rule.allows(default):
        raise ValueError(f"the default {default!r} of an option ({meaning}) is not {rule.limits()}")
    return field(default=default, metadata={"harness": rule})


def describe(config: type) -> tuple[Option, ...]:
    """The options of a config dataclass, in its order. Raises HarnessError for anything else."""
    return tuple(_option(item, kind) for item, kind in _fields(config))


def taken_whole(config: type) -> frozenset[str]:
    """The options for which a list is one value, not a sweep: those that are a tuple or a list, or none."""
    return frozenset(item.name for item, kind in _fields(config) if _is_sequence(kind))


def rows(config: type) -> list[tuple[str, ...]]:
    """The options as text, in the columns that HEADINGS names."""
    return [
        (o.name, o.type, "required" if o.required else show(o.default), o.limits, o.meaning) for o in describe(config)
    ]


def build(config: type, given: Mapping[str, object], owner: str) -> Any:
    """The config with the values that were `given`, checked and converted to the types of its fields.

    An int becomes a float where a float is wanted, a list a tuple, yes, no, true and false a boolean.
    Raises UsageError that names `owner`, the option, what was expected and what came, and ends with the names of all;
    one that the config itself raises is passed on, with `owner` before its words. A config may say why it lacks an
    option that others of its family have: `absent_options: ClassVar = {"momentum": "adam has moments of its own"}`.
    """
    fields = _fields(config)
    try:
        _refuse_unknown(given, [item.name for item, _ in fields], getattr(config, "absent_options", {}))
        checked = {item.name: _checked(item, kind, given[item.name]) for item, kind in fields if item.name in given}
        _refuse_missing(checked, [item for item, _ in fields])
        built = config(**checked)
        _refuse_without_effect(built, [item for item, _ in fields])
        return built
    except ValueError as error:
        names = ", ".join(item.name for item, _ in fields) or "none"
        raise UsageError(f"{owner}: {error}\nparameters of {owner}: {names}; harness list {owner} says more") from error
    except UsageError as error:
        said = str(error)
        raise UsageError(said if said.startswith(f"{owner}: ") else f"{owner}: {said}") from error


def values(config: Any) -> dict[str, Any]:
    """The resolved, JSON-able values of a config, in its order; tuples as lists."""
    return {item.name: plain(getattr(config, item.name), kind) for item, kind in _fields(type(config))}


def defaults(config: type) -> dict[str, Any]:
    """The JSON-able defaults of the options that have one, in the config's order."""
    return {item.name: plain(_default(item), kind) for item, kind in _fields(config) if not _required(item)}


# --- fields -------------------------------------------------------------------------------------------------------


def _fields(config: type) -> list[tuple[dataclasses.Field[Any], Any]]:
    """The fields that can be set, each with its type."""
    if not (isinstance(config, type) and dataclasses.is_dataclass(config)):
        name = getattr(config, "__qualname__", config)
        raise HarnessError(f"the config {name} is not a dataclass: decorate it with @dataclass(frozen=True)")
    return _typed_fields(config)


@lru_cache(maxsize=256)  # a sweep asks for those of one config ten thousand times
def _typed_fields(config: type) -> list[tuple[dataclasses.Field[Any], Any]]:
    try:
        kinds = get_type_hints(config)
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        what = f"the type of a field of the config {config.__qualname__} cannot be resolved"
        raise HarnessError(f"{what}: {error}") from error
    # Keyword-only options stand before those that the class which adds them inherits.
    place = {
        name: depth if item.kw_only else len(config.__mro__)
        for depth, base in enumerate(config.__mro__)
        for name, item in getattr(base, "__dataclass_fields__", {}).items()
    }
    ordered = sorted(dataclasses.fields(config), key=lambda item: place[item.name])
    return [(item, kinds[item.name]) for item in ordered if item.init]


def _is_sequence(kind: Any) -> bool:
    alternatives = get_args(kind) if get_origin(kind) in UNIONS else (kind,)
    return all(each is type(None) or (get_origin(each) or each) in SEQUENCES for each in alternatives)


def _rule(item: dataclasses.Field[Any]) -> Rule:
    rule = item.metadata.get("harness")
    return rule if isinstance(rule, Rule) else Rule()


def _option(item: dataclasses.Field[Any], kind: Any) -> Option:
    rule, required = _rule(item), _required(item)
    shown = None if required else plain(_default(item), kind)
    return Option(item.name, type_text(kind), shown, rule.meaning, rule.limits(), required)


def _default(item: dataclasses.Field[Any]) -> Any:
    return item.default if item.default_factory is MISSING else item.default_factory()


def _required(item: dataclasses.Field[Any]) -> bool:
    return item.default is MISSING and item.default_factory is MISSING


def _refuse_unknown(given: Mapping[str, object], known: Sequence[str], absent: Mapping[str, str]) -> None:
    for name in given:
        if name in absent:
            raise ValueError(f"there is no parameter {name!r}: {absent[name]}; leave {name} out")
        if name not in known:
            raise ValueError(f"there is no parameter {name!r}{suggest(name, known)}")


def _refuse_missing(given: Mapping[str, object], items: Iterable[dataclasses.Field[Any]]) -> None:
    missing = [item.name for item in items if _required(item) and item.name not in given]
    if missing:
        raise ValueError(f"{' and '.join(missing)} must be given: there is no default")


def _refuse_without_effect(config: Any, items: Iterable[dataclasses.Field[Any]]) -> None:
    for item in items:
        value = getattr(config, item.name)
        if _required(item) or value == _default(item):
            continue
        for name, needed in _rule(item).needs.items():
            choices, other = needed if isinstance(needed, tuple) else (needed,), getattr(config, name)
            if other not in choices:
                raise UsageError(
                    f"{item.name}={show(value)}: without effect where {name}={show(other)}; leave {item.name} out, or "
                    f"give {name}={' or '.join(show(each) for each in choices)}"
                )


def _checked(item: dataclasses.Field[Any], kind: Any, value: object) -> Any:
    try:
        converted = convert(value, kind)
    except ValueError:
        raise ValueError(f"{item.name} must be {type_text(kind)}, not {_came(value)}{_hint(value, kind)}") from None
    if not _rule(item).allows(converted):
        raise ValueError(f"{item.name} must be {_rule(item).limits()}, not {show(converted)}")
    return converted


def _came(value: object) -> str:
    if value is None or isinstance(value, str):
        return "none" if value is None else repr(value)
    return f"the {type(value).__name__} {show(value)}"


def _hint(value: object, kind: Any) -> str:
    """Hint at a remedy for a value of the wrong type, where one can be told."""
    alternatives = get_args(kind) if get_origin(kind) in UNIONS else (kind,)
    words = [word for each in alternatives if get_origin(each) is Literal for word in get_args(each)]
    if isinstance(value, str) and kind is not bool:
        return suggest(value, [word for word in words if isinstance(word, str)])
    if kind is bool:
        return " (yes or no)"
    if str in alternatives:
        return " (in quotes it is a string)"
    return ""
