"""Values of options: how a type is written, what may become one of it, how it is shown and stored."""

from __future__ import annotations

import contextlib
import math
import types
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Union, get_args, get_origin

SEQUENCES: Final = (tuple, list, Sequence)
UNIONS: Final = (Union, types.UnionType)
WORDS: Final = types.MappingProxyType({"yes": True, "true": True, "no": False, "false": False})


def type_text(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in UNIONS:
        return " or ".join(_describe_alternatives(arguments))
    if origin is Literal:
        return "|".join(map(show, arguments))
    if (origin or kind) in SEQUENCES:
        items = ["..." if item is ... else type_text(item) for item in arguments]
        return f"({','.join(items) if origin is tuple else ','.join([*items, '...'])})"
    return "none" if kind is types.NoneType else getattr(kind, "__name__", str(kind)).lower()


def _describe_alternatives(kinds: Sequence[Any]) -> list[str]:
    """Each kind of a union as text; literals, wherever they stand in it, as one list."""
    choices = [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
    first = next((kind for kind in kinds if get_origin(kind) is Literal), None)
    others = [kind for kind in kinds if kind is first or get_origin(kind) is not Literal]
    return ["|".join(map(show, choices)) if kind is first else type_text(kind) for kind in others]


def convert(value: object, kind: Any) -> Any:
    """`value` as one of `kind`; raises ValueError, without a word, where it is none."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in UNIONS:
        return _convert_union(value, arguments)
    if origin is Literal:
        return _convert_literal(value, arguments)
    if (origin or kind) in SEQUENCES:
        return _convert_sequence(value, origin or kind, arguments)
    if kind in (bool, types.NoneType) and isinstance(value, str):
        value = WORDS.get(value.lower(), value) if kind is bool else (None if value == "none" else value)
    if kind is float:
        return _convert_float(value)
    _raise_unless(kind is Any or (isinstance(origin or kind, type) and isinstance(value, origin or kind)))
    _raise_unless(not (kind is int and isinstance(value, bool)))
    return value


def _raise_unless(fulfilled: bool) -> None:
    if not fulfilled:
        raise ValueError


def _convert_float(value: object) -> float:
    """Never nan or infinite: neither is a setting, and neither has a form in JSON."""
    _raise_unless(isinstance(value, (int, float)) and not isinstance(value, bool))
    try:
        number = float(value)  # type: ignore[arg-type]
    except OverflowError as error:
        raise ValueError from error
    _raise_unless(math.isfinite(number))
    return number


def _convert_union(value: object, kinds: Sequence[Any]) -> Any:
    """The alternative that takes the value as it is, else the first that can convert it."""
    converted = []
    for kind in kinds:
        try:
            converted.append(convert(value, kind))
        except ValueError:
            continue
    _raise_unless(bool(converted))
    return next((each for each in converted if type(each) is type(value)), converted[0])


def _convert_literal(value: object, choices: Sequence[Any]) -> Any:
    """The choice itself, else the one that is written alike: none for "none", 16 for "16", yes for True."""
    alike = [choice for choice in choices if show(choice) == show(value)]
    alike += [choice for choice in choices if isinstance(value, str) and choice is WORDS.get(value.lower())]
    _raise_unless(bool(alike))
    return next((choice for choice in alike if type(choice) is type(value)), alike[0])


def _convert_sequence(value: object, into: Any, kinds: Sequence[Any]) -> Any:
    _raise_unless(isinstance(value, (tuple, list)))
    items: Sequence[object] = value  # type: ignore[assignment]
    if into is tuple and kinds and kinds[-1] is not ...:
        _raise_unless(len(items) == len(kinds))
        return tuple(convert(item, kind) for item, kind in zip(items, kinds, strict=True))
    converted = [convert(item, kinds[0] if kinds else Any) for item in items]
    return converted if into is list else tuple(converted)


def show(value: object) -> str:
    """A value as a person writes it: none, True, 0.1, final, (64,32)."""
    if isinstance(value, (tuple, list)):
        return f"({','.join(map(show, value))})"
    return "none" if value is None else str(value)


def plain(value: object, kind: Any = Any) -> Any:
    """A value in JSON's types; the default 1 of a float as 1.0, so that it equals the 1 that a user gives."""
    with contextlib.suppress(ValueError):  # a default that its own type would refuse is shown as it is
        value = convert(value, kind)
    if isinstance(value, (tuple, list, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
