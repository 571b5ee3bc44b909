"""Selections of `--methods`, `--datasets`, `--metrics` and `--seeds`: `saf[steps=[4,8]],ottt(update=online)`.

Brackets and parentheses around parameters mean the same. A list is a sweep: every combination is selected, and later
lists vary fastest. `saf[(steps,rate)=[(4,0.1),(8,0.05)]]` sweeps over two parameters at once; a tuple is one value.
Of what has records `saf[*]` selects every variant, `saf[steps=4,*]` those with four steps, and `*` everything.
`harness.selections.grammar` has the grammar, `harness.selections.matching` which records a selection means.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass
from typing import Any, Final, TypeAlias, TypeVar

from harness import options
from harness.errors import UsageError
from harness.selections.grammar import Reader, Token, Varied, found, literal
from harness.spelling import is_path
from harness.types import Choice, Sweep

MOST_CHOICES: Final = 10_000
MOST_SEEDS: Final = 10_000
LARGEST_SEED: Final = 2**63 - 1
NO_STAR: Final = (
    "'*' stands for what has records, which report and show read; here say which: names, and values as in option=[1,2]"
)

Item = TypeVar("Item")
Coupled: TypeAlias = tuple[tuple[str, ...], tuple[tuple[Any, ...], ...]]  # one part of a Sweep


@dataclass(frozen=True)
class Selected:
    """One name as it was selected.

    provider: the distribution of `distribution:name`. file: a plugin's file, selected instead of a catalogue's name;
    `name` is then the same text. sweeps: names that vary together, and the rows of their values; a parameter that
    does not vary has one row. every: whatever the other parameters are; the name is "*" where it may be any, too.
    owner: who is meant although nothing is written before the colon: a suite means its own distribution's.
    """

    name: str
    provider: str | None = None
    file: str | None = None
    sweeps: Sweep = ()
    every: bool = False
    owner: str | None = None

    @property
    def source(self) -> str | None:
        """The owner of the name, as far as that was written or is meant."""
        return self.provider or self.owner

    @property
    def qualified(self) -> str:
        """The name as it was written: `distribution:name`, or the name alone."""
        return f"{self.provider}:{self.name}" if self.provider else self.name


def parse(text: str, what: str, *, every: bool = False) -> list[Selected]:
    """Items that a selection names, in its order. `what` is the option that it was given to, such as "--methods".

    every: whether `saf[*]` and `*` are understood, of what has records. Raises UsageError that shows the place of the
    mistake; nothing is looked up or checked against a config.
    """
    reader = Reader(text, what)
    return _separated(reader, lambda: _selected(reader, every))


def expand(selected: Selected, config: type, owner: str) -> list[Choice]:
    """Every combination of the swept values, checked against a config dataclass; `owner` is whose config it is.

    Raises UsageError for a parameter or value that the config refuses, and for a combination that comes twice.
    """
    texts = written(selected, config)
    selected = _with_whole_lists(selected, options.taken_whole(config))
    unset = options.defaults(config)
    made = [_choice(selected.qualified, each, config, owner, unset) for each in combinations(selected)]
    choices = distinct(made, owner, texts)
    sweep = _resolved(selected, choices) if len(choices) > 1 else ()
    return [dataclasses.replace(choice, sweep=sweep) for choice in choices]


def combinations(selected: Selected) -> list[dict[str, Any]]:
    """The parameters of every combination of the swept values, in the order in which they are selected.

    Raises UsageError for more than MOST_CHOICES.
    """
    count = _size(selected)
    if count > MOST_CHOICES:
        raise UsageError(
            f"{selected.name}: the sweeps make {count} combinations; at most {MOST_CHOICES} can be selected"
        )
    return product(selected.sweeps)


def written(selected: Selected, config: type) -> list[str]:
    """Every combination as it was written, in the order of `expand`: `saf[variant=every]`, although that is `saf`."""
    given = combinations(_with_whole_lists(selected, options.taken_whole(config)))
    return [label(selected.qualified, each) for each in given]


def product(sweep: Sweep) -> list[dict[str, Any]]:
    """The parameters of every combination of a sweep; one without parameters of an empty one."""
    names = [name for coupled, _ in sweep for name in coupled]
    combined = itertools.product(*(rows for _, rows in sweep))
    return [dict(zip(names, itertools.chain(*rows), strict=True)) for rows in combined]


def with_sweep(choices: Sequence[Choice]) -> list[Choice]:
    """All choices of one item, their sweep with the values that their options have come to."""
    sweep = tuple((names, _rows_of(names, choices)) for names, _ in choices[0].sweep)
    return [dataclasses.replace(choice, sweep=sweep) for choice in choices]


def item(choice: Choice) -> str:
    """The normal form of the item that selected a choice, all its combinations together: `saf[rate=[0.1,0.3]]`."""
    if not choice.sweep:
        return choice.label
    return f"{choice.label.partition('[')[0]}[{','.join(_swept(names, rows) for names, rows in choice.sweep)}]"


def count(selected: Selected, config: type) -> int:
    """How many combinations `expand` would make. Nothing is checked."""
    return _size(_with_whole_lists(selected, options.taken_whole(config)))


def _size(selected: Selected) -> int:
    return math.prod(len(rows) for _, rows in selected.sweeps)


def label(name: str, given: Mapping[str, Any]) -> str:
    """The normal form: `saf[variant=final,steps=4]`, or the name alone.

    `given` is in the order of the config, without defaults. Booleans are True and False, no value is none, a tuple is
    (64,32), and a string is bare unless it would read back as something else. Expanding a label gives the same label.
    """
    return f"{name}[{','.join(f'{key}={literal(value)}' for key, value in given.items())}]" if given else name


def distinct(choices: Sequence[Choice], what: str, written: Sequence[str]) -> list[Choice]:
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


def words(text: str, what: str) -> list[str]:
    """The names in a list such as `accuracy,nll`. Raises UsageError for an empty name and for one given twice."""
    reader = Reader(text, what)
    tokens = _separated(reader, lambda: _name(reader))
    _refuse_repeated(reader, tokens, set())
    return [token.text for token in tokens]


def seeds(text: str, what: str = "--seeds") -> tuple[int, ...]:
    """`3` is 0, 1, 2 and `[0,7]` these. Raises UsageError for anything but one number above 0 or a list of seeds."""
    reader = Reader(text, what)
    at = reader.next.at
    if reader.next.kind == "end":
        reader.fail("nothing is given; a number such as 3 or a list such as [0,7] was expected", at)
    value = reader.value()
    if reader.next.kind != "end":
        reader.fail(f"expected the end, not {found(reader.next)}; a list of seeds is written [0,7]")
    return _listed_seeds(reader, value, at) if isinstance(value, Varied) else _first_seeds(reader, value, at)


# --- seeds --------------------------------------------------------------------------------------------------------


def _first_seeds(reader: Reader, count: object, at: int) -> tuple[int, ...]:
    if type(count) is not int or not 1 <= count <= MOST_SEEDS:
        expected = f"a number from 1 to {MOST_SEEDS} or a list such as [0,7]"
        reader.fail(f"expected {expected}, not {literal(count)}", at)
    return tuple(range(count))


def _listed_seeds(reader: Reader, sweep: Varied, at: int) -> tuple[int, ...]:
    if not sweep.values:
        reader.fail("the list of seeds is empty", at)
    seen: set[int] = set()
    for seed, place in zip(sweep.values, sweep.at, strict=True):
        if type(seed) is not int or not 0 <= seed <= LARGEST_SEED:
            reader.fail(f"a seed must be an int from 0 to 2**63-1, not {literal(seed)}", place)
        if seed in seen:
            reader.fail(f"the seed {seed} is given twice", place)
        seen.add(seed)
    return sweep.values


# --- parsing ------------------------------------------------------------------------------------------------------


def _separated(reader: Reader, item: Callable[[], Item]) -> list[Item]:
    """Items between commas up to the end of the text."""
    if reader.next.kind == "end":
        reader.fail("nothing is selected; at least one name was expected")
    items = [item()]
    while reader.skip(","):
        items.append(item())
    reader.take("end", "',' or the end")
    return items


def _name(reader: Reader, *kinds: str) -> Token:
    """The next token, a word or one of the other kinds that may be a name here."""
    if reader.next.kind in (",", "end"):
        reader.fail(f"an empty name: expected one before {found(reader.next)}")
    return reader.skip(*kinds) or reader.take("word", "a name")


def _selected(reader: Reader, every: bool) -> Selected:
    if _star(reader, every):
        return Selected("*", every=True)
    token = _name(reader, "path")
    opening = reader.skip("[", "(")
    parameters = _parameters(reader, opening, every) if opening else []
    sweeps = tuple(each for each in parameters if each is not None)
    starred = len(sweeps) < len(parameters)
    if token.kind == "path" or is_path(token.text):
        return Selected(token.text, None, token.text, sweeps, starred)
    provider, colon, name = token.text.rpartition(":")
    if colon and (not provider or not name or ":" in provider):
        reader.fail(f"{token.text!r} is no name; expected distribution:name", token.at)
    return Selected(name, provider or None, None, sweeps, starred)


def _star(reader: Reader, every: bool) -> Token | None:
    if reader.next.kind == "*" and not every:
        reader.fail(NO_STAR)
    return reader.skip("*")


def _parameters(reader: Reader, opening: Token, every: bool) -> list[Coupled | None]:
    """The parameters up to the bracket that closes, none of them twice; None stands for `*`."""
    seen: set[str] = set()

    def parameter() -> Coupled | None:
        star = _star(reader, every)
        _refuse_repeated(reader, [star] if star else [], seen)
        return None if star else _parameter(reader, seen)

    return reader.enclosed(opening, parameter, trailing=False)


def _parameter(reader: Reader, seen: set[str]) -> Coupled:
    """One parameter, or several that are swept together; `seen` are the names before, in which none may be again."""
    opening = reader.skip("(")
    own = reader.enclosed(opening, lambda: _key(reader), trailing=True) if opening else [_key(reader)]
    if not own:
        reader.fail("expected the name of a parameter", opening and opening.at)
    _refuse_repeated(reader, own, seen)
    reader.take("=", f"'=' after the parameter {own[-1].text!r}")
    at = reader.next.at
    value = reader.value()
    if isinstance(value, Varied) and not value.values:
        reader.fail(f"the list for {own[0].text!r} is empty: there is nothing to sweep over", at)
    return tuple(token.text for token in own), _rows(reader, own, value, at) if opening else _column(value)


def _key(reader: Reader) -> Token:
    return reader.take("word", "the name of a parameter")


def _column(value: Any) -> tuple[tuple[Any, ...], ...]:
    return tuple((each,) for each in value.values) if isinstance(value, Varied) else ((value,),)


def _rows(reader: Reader, own: list[Token], value: Any, at: int) -> tuple[tuple[Any, ...], ...]:
    """The rows of a coupled sweep: as many values in each as there are names."""
    named = ",".join(token.text for token in own)
    if not isinstance(value, Varied):
        reader.fail(f"expected a list of tuples for ({named})", at)
    for row, place in zip(value.values, value.at, strict=True):
        if not isinstance(row, tuple) or len(row) != len(own):
            reader.fail(f"expected {len(own)} values for ({named}), not {literal(row)}", place)
    return value.values


def _refuse_repeated(reader: Reader, tokens: Iterable[Token], seen: set[str]) -> None:
    """Add the texts to those seen before, in which none of them may be."""
    for token in tokens:
        if token.text in seen:
            reader.fail(f"{token.text!r} is given twice", token.at)
        seen.add(token.text)


# --- expanding ----------------------------------------------------------------------------------------------------


def _with_whole_lists(selected: Selected, whole: frozenset[str]) -> Selected:
    """The selection in which `parts=[1,2]`, and `parts=1`, are one value of such an option: a tuple."""
    sweeps = tuple(
        (names, (_together(rows),)) if len(names) == 1 and names[0] in whole and _plain(rows) else (names, rows)
        for names, rows in selected.sweeps
    )
    return dataclasses.replace(selected, sweeps=sweeps)


def _plain(rows: tuple[tuple[Any, ...], ...]) -> bool:
    return not any(isinstance(value, (tuple, list)) for row in rows for value in row)


def _together(rows: tuple[tuple[Any, ...], ...]) -> tuple[Any, ...]:
    """A row of one value, which is all the values of the column."""
    return (tuple(value for row in rows for value in row),)


def _choice(name: str, given: Mapping[str, Any], config: type, owner: str, unset: Mapping[str, Any]) -> Choice:
    resolved = options.values(options.build(config, given, owner))
    kept = {key: value for key, value in resolved.items() if key in given and not _is(value, unset.get(key, MISSING))}
    return Choice(name, kept, resolved, label(name, kept))


def _is(value: Any, default: Any) -> bool:
    """Whether a value is the default, and of its type: True is not 1."""
    return type(value) is type(default) and literal(value) == literal(default)


def _resolved(selected: Selected, choices: list[Choice]) -> Sweep:
    """The sweep of an item in the order of its config, with the values that its choices resolved to, without options
    that all of them have at their default.
    """
    order = {name: place for place, name in enumerate(choices[0].options)}
    set_ = {name for choice in choices for name in choice.given}
    told = (each for each, _ in selected.sweeps if set_.intersection(each))
    names = sorted(told, key=lambda coupled: min(order[name] for name in coupled))
    return tuple((coupled, _rows_of(coupled, choices)) for coupled in names)


def _rows_of(names: tuple[str, ...], choices: Sequence[Choice]) -> tuple[tuple[Any, ...], ...]:
    """The rows that some options have among the choices, each once."""
    rows = [whole([choice.options[name] for name in names]) for choice in choices]
    return tuple({literal(row): row for row in rows}.values())


def whole(value: Any) -> Any:
    """A value whose lists, as configs and files have them, are tuples, which a Choice can be hashed with."""
    return tuple(map(whole, value)) if isinstance(value, (list, tuple)) else value


def _swept(names: tuple[str, ...], rows: tuple[tuple[Any, ...], ...]) -> str:
    """`rate=[0.1,0.3]`, `(steps,rate)=[(4,0.1),(8,0.05)]`, or `rate=0.1` where there is one value."""
    texts = [[literal(value) for value in row] for row in rows]
    if len(names) > 1:
        return f"({_listed(names)})=[{_listed(f'({_listed(row)})' for row in texts)}]"
    values = [text for (text,) in texts]
    return f"{names[0]}={values[0] if len(values) == 1 else f'[{_listed(values)}]'}"


def _listed(values: Iterable[str]) -> str:
    return ",".join(values)
