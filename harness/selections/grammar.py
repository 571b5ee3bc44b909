"""From the text of a selection to tokens and values, with the place of every mistake.

    selection := choice ("," choice)*
    choice    := name [ "[" parameters "]" | "(" parameters ")" ]
    parameter := word "=" value | "(" word ("," word)* ")" "=" sweep
    value     := word | string | tuple | sweep
    sweep     := "[" items "]"              each item is one value; a list inside it is a tuple
    tuple     := "(" items ")"              one value, also with one item or none

A word is a number, True, False or None (none) as in Python, and else a string. Space between tokens means nothing.
"""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections.abc import Callable
from typing import Any, Final, NamedTuple, NoReturn, TypeVar

from harness.errors import UsageError

WORD: Final = re.compile(r"[\w.+/:@~-]+")
TOKEN: Final = re.compile(
    rf"""\s*(?:(?P<word>{WORD.pattern})|(?P<string>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")|(?P<mark>[][(),=]))"""
)
CONSTANTS: Final = (("none", None), ("None", None), ("True", True), ("False", False))
CLOSING: Final = (("[", "]"), ("(", ")"))
DEEPEST: Final = 16

Item = TypeVar("Item")


class Token(NamedTuple):
    """A piece of the text; `kind` is "word", "string", a mark such as "[", or "end"; `at` is where it begins."""

    kind: str
    text: str
    at: int


class Sweep(NamedTuple):
    """The values of a list; `at` is where each begins."""

    values: tuple[Any, ...]
    at: tuple[int, ...]


class Reader:
    """Reads one text from left to right. `what` names the option that the text came from, for errors."""

    def __init__(self, text: str, what: str) -> None:
        self.text, self.what = text, what
        self._tokens = self._tokenize()
        self._index = 0

    @property
    def next(self) -> Token:
        return self._tokens[self._index]

    def fail(self, message: str, at: int | None = None) -> NoReturn:
        """Raises UsageError with the text and a caret below the place, which is the next token unless told."""
        place = self.next.at if at is None else at
        line = re.sub(r"\s", " ", self.text)
        raise UsageError(f"{self.what}: {message}" + (f"\n  {line}\n  {' ' * place}^" if line.strip() else ""))

    def take(self, kind: str, wanted: str) -> Token:
        """The next token, which must be of that kind."""
        token = self.next
        if token.kind != kind:
            self.fail(f"expected {wanted}, not {found(token)}")
        self._index += 1
        return token

    def skip(self, *kinds: str) -> Token | None:
        """The next token if it is of one of these kinds."""
        return self.take(self.next.kind, "") if self.next.kind in kinds else None

    def enclosed(self, opening: Token, item: Callable[[], Item], *, trailing: bool) -> list[Item]:
        """Items between commas up to the bracket that closes `opening`; `trailing`: a comma may end them."""
        closing, items = dict(CLOSING)[opening.text], list[Item]()
        while not self.skip(closing):
            if self.next.kind == "end":
                self.fail(f"{opening.text!r} is never closed", opening.at)
            if items and self.take(",", f"',' or {closing!r}") and trailing and self.skip(closing):
                break
            items.append(item())
        return items

    def value(self, depth: int = 0) -> Any:
        """One value. Within brackets a list is a tuple; outermost it is a Sweep."""
        if depth > DEEPEST:
            self.fail(f"brackets are nested more than {DEEPEST} deep")
        opening = self.skip("[", "(")
        if opening is None:
            return self._scalar()
        places = list[int]()

        def item() -> Any:
            places.append(self.next.at)
            return self.value(depth + 1)

        values = tuple(self.enclosed(opening, item, trailing=True))
        return Sweep(values, tuple(places)) if opening.text == "[" and depth == 0 else values

    def _scalar(self) -> Any:
        if token := self.skip("string"):
            return self._unquoted(token)
        token = self.take("word", "a value")
        try:
            return scalar(token.text)
        except OverflowError:
            self.fail(f"the number {token.text[:20]} is too large", token.at)

    def _unquoted(self, token: Token) -> str:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # an unknown escape is a mistake here, not a warning
                return str(ast.literal_eval(token.text))
        except (SyntaxError, ValueError, Warning):
            self.fail(f"{token.text} is not a string as in Python", token.at)

    def _tokenize(self) -> list[Token]:
        tokens, end = list[Token](), len(self.text.rstrip())
        at = 0
        while at < end:
            match = TOKEN.match(self.text, at)
            if match is None or match.lastgroup is None:
                self._refuse(at)
            kind, text = match.lastgroup, match[match.lastgroup]
            tokens.append(Token(text if kind == "mark" else kind, text, match.start(kind)))
            at = match.end()
        return [*tokens, Token("end", "", end)]

    def _refuse(self, at: int) -> NoReturn:
        start = at + len(self.text[at:]) - len(self.text[at:].lstrip())
        character = self.text[start]
        meaning = "begins a string that never ends" if character in "'\"" else "means nothing here"
        self.fail(f"{character!r} {meaning}", start)


def found(token: Token) -> str:
    return "the end" if token.kind == "end" else repr(token.text)


def scalar(word: str) -> Any:
    """The value of a bare word. Raises OverflowError for a number beyond the range of floats or of int's digits."""
    if word in dict(CONSTANTS):
        return dict(CONSTANTS)[word]
    if not re.match(r"[+-]?\.?[0-9]", word):
        return word
    for number in (int, float):
        try:
            value = number(word)
        except ValueError:
            continue
        if not math.isfinite(value):
            raise OverflowError
        return value
    return word


def literal(value: Any) -> str:
    """The text that reads back as the value: none, True, 1e-05, final, '16' (a string), (64,32)."""
    if isinstance(value, (tuple, list)):
        return f"({','.join(map(literal, value))})"
    if isinstance(value, str):
        return value if is_bare(value) else repr(value)
    return "none" if value is None else repr(value)


def is_bare(text: str) -> bool:
    """Whether a string may stand without quotes."""
    try:
        return WORD.fullmatch(text) is not None and scalar(text) == text
    except OverflowError:
        return False
