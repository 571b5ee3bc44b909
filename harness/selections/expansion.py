"""The choices that a selection makes: every combination of its sweeps, with options checked and labels written."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING
from typing import Any, Final

from harness import options
from harness.errors import UsageError
from harness.selections.grammar import format_literal
from harness.selections.selection import Selected
from harness.types import Choice, Sweep

MOST_CHOICES: Final = 10_000


def expand(selected: Selected, config: type, owner: str) -> list[Choice]:
    """Every combination of the swept values, checked against a config dataclass; `owner` is whose config it is.

    Raises UsageError for a parameter or value that the config refuses, and for a combination that comes twice.
    """
    texts = list_texts(selected, config)
    selected = _join_whole_lists(selected, options.taken_whole(config))
    unset = options.defaults(config)
    made = [_make_choice(selected.full_name, each, config, owner, unset) for each in list_combinations(selected)]
    choices = require_distinct(made, owner, texts)
    sweep = _resolve_sweep(selected, choices) if len(choices) > 1 else ()
    return [dataclasses.replace(choice, sweep=sweep) for choice in choices]


def list_combinations(selected: Selected) -> list[dict[str, Any]]:
    """The parameters of every combination of the swept values, in the order in which they are selected.

    Raises UsageError for more than MOST_CHOICES.
    """
    count = _count_rows(selected)
    if count > MOST_CHOICES:
        raise UsageError(
            f"{selected.name}: the sweeps make {count} combinations; at most {MOST_CHOICES} can be selected"
        )
    return combine_sweep(selected.sweeps)


def list_texts(selected: Selected, config: type) -> list[str]:
    """Every combination as it was written, in the order of `expand`: `saf[variant=every]`, although that is `saf`."""
    given = list_combinations(_join_whole_lists(selected, options.taken_whole(config)))
    return [format_label(selected.full_name, each) for each in given]


def combine_sweep(sweep: Sweep) -> list[dict[str, Any]]:
    """The parameters of every combination of a sweep; one without parameters of an empty one."""
    names = [name for coupled, _ in sweep for name in coupled]
    combined = itertools.product(*(rows for _, rows in sweep))
    return [dict(zip(names, itertools.chain(*rows), strict=True)) for rows in combined]


def update_sweep(choices: Sequence[Choice]) -> list[Choice]:
    """All choices of one item, their sweep with the values that their options have come to."""
    sweep = tuple((names, _resolve_rows(names, choices)) for names, _ in choices[0].sweep)
    return [dataclasses.replace(choice, sweep=sweep) for choice in choices]


def format_item(choice: Choice) -> str:
    """The normal form of the item that selected a choice, all its combinations together: `saf[rate=[0.1,0.3]]`."""
    if not choice.sweep:
        return choice.label
    return f"{choice.label.partition('[')[0]}[{','.join(_format_sweep(names, rows) for names, rows in choice.sweep)}]"


def count_combinations(selected: Selected, config: type) -> int:
    """How many combinations `expand` would make. Nothing is checked."""
    return _count_rows(_join_whole_lists(selected, options.taken_whole(config)))


def _count_rows(selected: Selected) -> int:
    return math.prod(len(rows) for _, rows in selected.sweeps)


def format_label(name: str, given: Mapping[str, Any]) -> str:
    """The normal form: `saf[variant=final,steps=4]`, or the name alone.

    `given` is in the order of the config, without defaults. Booleans are True and False, no value is none, a tuple is
    (64,32), and a string is bare unless it would read back as something else. Expanding a label gives the same label.
    """
    return f"{name}[{','.join(f'{key}={format_literal(value)}' for key, value in given.items())}]" if given else name


def require_distinct(choices: Sequence[Choice], what: str, written: Sequence[str]) -> list[Choice]:
    """The choices, none of them twice. written: each as the user wrote it.

    Raises UsageError that names two of the same name with equal options.
    """
    seen: dict[tuple[str, str, str], str] = {}
    for choice, text in zip(choices, written, strict=True):
        same = (choice.provider or "", choice.name, repr(choice.options))
        if same in seen:
            known = "" if seen[same] == text else f"; it is the same as {seen[same]}"
            raise UsageError(f"{what}: {text} is selected twice{known}")
        seen[same] = text
    return list(choices)


def _join_whole_lists(selected: Selected, whole: frozenset[str]) -> Selected:
    """The selection in which `parts=[1,2]`, and `parts=1`, are one value of such an option: a tuple."""
    sweeps = tuple(
        (names, (_join_values(rows),)) if len(names) == 1 and names[0] in whole and _is_plain(rows) else (names, rows)
        for names, rows in selected.sweeps
    )
    return dataclasses.replace(selected, sweeps=sweeps)


def _is_plain(rows: tuple[tuple[Any, ...], ...]) -> bool:
    return not any(isinstance(value, (tuple, list)) for row in rows for value in row)


def _join_values(rows: tuple[tuple[Any, ...], ...]) -> tuple[Any, ...]:
    """A row of one value, which is all the values of the column."""
    return (tuple(value for row in rows for value in row),)


def _make_choice(name: str, given: Mapping[str, Any], config: type, owner: str, unset: Mapping[str, Any]) -> Choice:
    resolved = options.values(options.build(config, given, owner))
    stated = {key: value for key, value in resolved.items() if key in given}
    kept = {key: value for key, value in stated.items() if not _is_default(value, unset.get(key, MISSING))}
    return Choice(name, kept, resolved, format_label(name, kept))


def _is_default(value: Any, default: Any) -> bool:
    """Whether a value is the default, and of its type: True is not 1."""
    return type(value) is type(default) and format_literal(value) == format_literal(default)


def _resolve_sweep(selected: Selected, choices: list[Choice]) -> Sweep:
    """The sweep of an item in the order of its config, with the values that its choices resolved to, without options
    that all of them have at their default.
    """
    order = {name: place for place, name in enumerate(choices[0].options)}
    set_ = {name for choice in choices for name in choice.given}
    told = (each for each, _ in selected.sweeps if set_.intersection(each))
    names = sorted(told, key=lambda coupled: min(order[name] for name in coupled))
    return tuple((coupled, _resolve_rows(coupled, choices)) for coupled in names)


def _resolve_rows(names: tuple[str, ...], choices: Sequence[Choice]) -> tuple[tuple[Any, ...], ...]:
    """The rows that some options have among the choices, each once."""
    rows = [freeze_lists([choice.options[name] for name in names]) for choice in choices]
    return tuple({format_literal(row): row for row in rows}.values())


def freeze_lists(value: Any) -> Any:
    """A value whose lists, as configs and files have them, are tuples, which a Choice can be hashed with."""
    return tuple(map(freeze_lists, value)) if isinstance(value, (list, tuple)) else value


def _format_sweep(names: tuple[str, ...], rows: tuple[tuple[Any, ...], ...]) -> str:
    """`rate=[0.1,0.3]`, `(steps,rate)=[(4,0.1),(8,0.05)]`, or `rate=0.1` where there is one value."""
    if len(names) > 1:
        return f"({','.join(names)})=[{','.join(map(format_literal, rows))}]"
    values = ",".join(format_literal(value) for (value,) in rows)
    return f"{names[0]}=[{values}]" if len(rows) != 1 else f"{names[0]}={values}"
