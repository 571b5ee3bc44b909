"""The cases of a product of axes that run every time: a few that show every value of every axis."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import pytest


def covering(cases: Sequence[Mapping[str, object]]) -> list[int]:
    """The places of cases that together show every value of every axis: the fewest that are found one by one.

    Values are the same where they are written the same.
    """
    shown = [{(axis, repr(value)) for axis, value in case.items()} for case in cases]
    missing, places = set().union(*shown), []
    while missing:
        place = max(range(len(shown)), key=lambda each: len(shown[each] & missing))
        places.append(place)
        missing -= shown[place]
    return places


def mark_left_out(items: Iterable[pytest.Item]) -> None:
    """Mark as slow what of the tests marked `sampled` is not in their sample.

    `sampled` shows every row of each `parametrize`; `sampled(*axes)` every value of the parameters that it names.
    """
    tests: dict[str, list[pytest.Function]] = defaultdict(list)
    for item in items:
        if isinstance(item, pytest.Function) and item.get_closest_marker("sampled"):
            tests[item.nodeid.partition("[")[0]].append(item)
    for cases in tests.values():
        kept = set(covering([_values(case) for case in cases]))
        for place, case in enumerate(cases):
            if place not in kept:
                case.add_marker("slow")


def _values(case: pytest.Function) -> Mapping[str, object]:
    axes = case.get_closest_marker("sampled").args or [mark.args[0] for mark in case.iter_markers("parametrize")]
    return {str(axis): [case.callspec.params[name] for name in _names(axis)] for axis in axes}


def _names(axis: str | Sequence[str]) -> Sequence[str]:
    """As parametrize takes them."""
    return [name.strip() for name in axis.split(",")] if isinstance(axis, str) else axis
