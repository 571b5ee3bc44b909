"""Selections of `--methods`, `--datasets`, `--metrics` and `--seeds`: `saf[steps=[4,8]],ottt(update=online)`.

Brackets and parentheses around parameters mean the same. A list is a sweep: every combination is selected, and later
lists vary fastest. `saf[(steps,rate)=[(4,0.1),(8,0.05)]]` sweeps over two parameters at once; a tuple is one value.
Of what has records `saf[*]` selects every variant, `saf[steps=4,*]` those with four steps, and `*` everything.
`harness.selections.grammar` has the grammar, `harness.selections.matching` which records a selection means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from harness.selections.grammar import Reader, Token, Varied, describe_token, format_literal
from harness.spelling import is_path
from harness.types import Sweep

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
    def full_name(self) -> str:
        """The name as it was written: `distribution:name`, or the name alone."""
        return f"{self.provider}:{self.name}" if self.provider else self.name


def parse(text: str, what: str, *, every: bool = False) -> list[Selected]:
    """Items that a selection names, in its order. `what` is the option that it was given to, such as "--methods".

    every: whether `saf[*]` and `*` are understood, of what has records. Raises UsageError that shows the place of the
    mistake; nothing is looked up or checked against a config.
    """
    reader = Reader(text, what)
    return _read_separated(reader, lambda: _read_selected(reader, every))


def parse_names(text: str, what: str) -> list[str]:
    """The names in a list such as `accuracy,nll`. Raises UsageError for an empty name and for one given twice."""
    reader = Reader(text, what)
    tokens = _read_separated(reader, lambda: _read_name(reader))
    _refuse_repeated(reader, tokens, set())
    return [token.text for token in tokens]


def parse_seeds(text: str, what: str = "--seeds") -> tuple[int, ...]:
    """`3` is 0, 1, 2 and `[0,7]` these. Raises UsageError for anything but one number above 0 or a list of seeds."""
    reader = Reader(text, what)
    at = reader.next.at
    if reader.next.kind == "end":
        reader.fail("nothing is given; a number such as 3 or a list such as [0,7] was expected", at)
    value = reader.parse_value()
    if reader.next.kind != "end":
        reader.fail(f"expected the end, not {describe_token(reader.next)}; a list of seeds is written [0,7]")
    return _require_seeds(reader, value, at) if isinstance(value, Varied) else _count_seeds(reader, value, at)


# --- seeds --------------------------------------------------------------------------------------------------------


def _count_seeds(reader: Reader, count: object, at: int) -> tuple[int, ...]:
    if type(count) is not int or not 1 <= count <= MOST_SEEDS:
        expected = f"a number from 1 to {MOST_SEEDS} or a list such as [0,7]"
        reader.fail(f"expected {expected}, not {format_literal(count)}", at)
    return tuple(range(count))


def _require_seeds(reader: Reader, sweep: Varied, at: int) -> tuple[int, ...]:
    if not sweep.values:
        reader.fail("the list of seeds is empty", at)
    seen: set[int] = set()
    for seed, place in zip(sweep.values, sweep.at, strict=True):
        if type(seed) is not int or not 0 <= seed <= LARGEST_SEED:
            reader.fail(f"a seed must be an int from 0 to 2**63-1, not {format_literal(seed)}", place)
        if seed in seen:
            reader.fail(f"the seed {seed} is given twice", place)
        seen.add(seed)
    return sweep.values


# --- parsing ------------------------------------------------------------------------------------------------------


def _read_separated(reader: Reader, item: Callable[[], Item]) -> list[Item]:
    """Items between commas up to the end of the text."""
    if reader.next.kind == "end":
        reader.fail("nothing is selected; at least one name was expected")
    items = [item()]
    while reader.skip(","):
        items.append(item())
    reader.take_token("end", "',' or the end")
    return items


def _read_name(reader: Reader, *kinds: str) -> Token:
    """The next token, a word or one of the other kinds that may be a name here."""
    if reader.next.kind in (",", "end"):
        reader.fail(f"an empty name: expected one before {describe_token(reader.next)}")
    return reader.skip(*kinds) or reader.take_token("word", "a name")


def _read_selected(reader: Reader, every: bool) -> Selected:
    if _read_star(reader, every):
        return Selected("*", every=True)
    token = _read_name(reader, "path")
    opening = reader.skip("[", "(")
    parameters = _read_parameters(reader, opening, every) if opening else []
    sweeps = tuple(each for each in parameters if each is not None)
    starred = len(sweeps) < len(parameters)
    if token.kind == "path" or is_path(token.text):
        return Selected(token.text, None, token.text, sweeps, starred)
    provider, colon, name = token.text.rpartition(":")
    if colon and (not provider or not name or ":" in provider):
        reader.fail(f"{token.text!r} is no name; expected distribution:name", token.at)
    return Selected(name, provider or None, None, sweeps, starred)


def _read_star(reader: Reader, every: bool) -> Token | None:
    if reader.next.kind == "*" and not every:
        reader.fail(NO_STAR)
    return reader.skip("*")


def _read_parameters(reader: Reader, opening: Token, every: bool) -> list[Coupled | None]:
    """The parameters up to the bracket that closes, none of them twice; None stands for `*`."""
    seen: set[str] = set()

    def read_one() -> Coupled | None:
        star = _read_star(reader, every)
        _refuse_repeated(reader, [star] if star else [], seen)
        return None if star else _read_parameter(reader, seen)

    return reader.read_enclosed(opening, read_one, trailing=False)


def _read_parameter(reader: Reader, seen: set[str]) -> Coupled:
    """One parameter, or several that are swept together; `seen` are the names before, in which none may be again."""
    opening = reader.skip("(")
    own = reader.read_enclosed(opening, lambda: _read_key(reader), trailing=True) if opening else [_read_key(reader)]
    if not own:
        reader.fail("expected the name of a parameter", opening and opening.at)
    _refuse_repeated(reader, own, seen)
    reader.take_token("=", f"'=' after the parameter {own[-1].text!r}")
    at = reader.next.at
    value = reader.parse_value()
    if isinstance(value, Varied) and not value.values:
        reader.fail(f"the list for {own[0].text!r} is empty: there is nothing to sweep over", at)
    return tuple(token.text for token in own), _require_rows(reader, own, value, at) if opening else _wrap_values(value)


def _read_key(reader: Reader) -> Token:
    return reader.take_token("word", "the name of a parameter")


def _wrap_values(value: Any) -> tuple[tuple[Any, ...], ...]:
    return tuple((each,) for each in value.values) if isinstance(value, Varied) else ((value,),)


def _require_rows(reader: Reader, own: list[Token], value: Any, at: int) -> tuple[tuple[Any, ...], ...]:
    """The rows of a coupled sweep: as many values in each as there are names."""
    named = ",".join(token.text for token in own)
    if not isinstance(value, Varied):
        reader.fail(f"expected a list of tuples for ({named})", at)
    for row, place in zip(value.values, value.at, strict=True):
        if not isinstance(row, tuple) or len(row) != len(own):
            reader.fail(f"expected {len(own)} values for ({named}), not {format_literal(row)}", place)
    return value.values


def _refuse_repeated(reader: Reader, tokens: Iterable[Token], seen: set[str]) -> None:
    """Add the texts to those seen before, in which none of them may be."""
    for token in tokens:
        if token.text in seen:
            reader.fail(f"{token.text!r} is given twice", token.at)
        seen.add(token.text)
