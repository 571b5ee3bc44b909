"""From the text of a selection to tokens and values, with the place of every mistake.

    selection := choice ("," choice)*
    choice    := "*" | name [ "[" parameters "]" | "(" parameters ")" ]
    name      := word | path                as in `harness.spelling`
    parameter := "*" | word "=" value | "(" word ("," word)* ")" "=" sweep
    value     := word | string | tuple | sweep
    sweep     := "[" items "]"              each item is one value; a list inside it is a tuple
    tuple     := "(" items ")"              one value, also with one item or none

A word is a number, True, False or None (none) as in Python, and else a string. Space between tokens means nothing.
`*` is whatever has a record: only commands that read records take it.
"""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections.abc import Callable
from typing import Any, Final, NamedTuple, NoReturn, TypeVar

from harness.errors import UsageError
from harness.spelling import QUOTED, RUN, Backslash, find_path

WORD: Final = re.compile(r"[\w.+/:@~-]+")
TOKEN: Final = re.compile(rf"""\s*+(?:(?P<word>{WORD.pattern})|(?P<string>{QUOTED})|(?P<mark>[][(),=*]))""", re.DOTALL)
BLANK: Final = re.compile(r"\s*")
CONSTANTS: Final = (("none", None), ("None", None), ("True", True), ("False", False))
CLOSING: Final = (("[", "]"), ("(", ")"))
DEPTH: Final = (("[", 1), ("(", 1), ("]", -1), (")", -1))
DEEPEST: Final = 16
LONGEST_SHOWN: Final = 10_000
SHOWN_AROUND: Final = 60  # characters before and after a mistake in a text that is longer than that

# A bracket that closes and goes on as a path would: `./runs (1)/m.py`.
CUT_PATH: Final = re.compile(r"""[\])](?:\\.|[^\s,\[\]()'"\\])*(?:/|\.py)""")
QUOTE_IT: Final = "; a path with brackets, parentheses or commas in it stands in quotes"

Item = TypeVar("Item")


class Token(NamedTuple):
    """A piece of the text; `kind` is "word", "path", "string", a mark such as "[", or "end"; `at`: where it begins."""

    kind: str
    text: str
    at: int


class Varied(NamedTuple):
    """The values of a list; `at` is where each begins."""

    values: tuple[Any, ...]
    at: tuple[int, ...]


class Reader:
    """Reads one text from left to right. `what` names the option that the text came from, for errors."""

    def __init__(self, text: str, what: str) -> None:
        self.text, self.what = text, what
        self._index = 0
        self._tokens = self._tokenize()

    @property
    def next(self) -> Token:
        return self._tokens[self._index]

    def fail(self, message: str, at: int | None = None) -> NoReturn:
        """Raises UsageError with the text and a caret below the place, which is the next token unless told."""
        line, place = _cut_around(re.sub(r"\s", " ", self.text), self.next.at if at is None else at)
        hint = QUOTE_IT if CUT_PATH.search(self.text) else ""
        raise UsageError(f"{self.what}: {message}{hint}" + (f"\n  {line}\n  {' ' * place}^" if line.strip() else ""))

    def take_token(self, kind: str, wanted: str) -> Token:
        """The next token, which must be of that kind."""
        token = self.next
        if token.kind != kind:
            self.fail(f"expected {wanted}, not {describe_token(token)}")
        self._index += 1
        return token

    def skip(self, *kinds: str) -> Token | None:
        """The next token if it is of one of these kinds."""
        return self.take_token(self.next.kind, "") if self.next.kind in kinds else None

    def read_enclosed(self, opening: Token, item: Callable[[], Item], *, trailing: bool) -> list[Item]:
        """Items between commas up to the bracket that closes `opening`; `trailing`: a comma may end them."""
        closing, items = dict(CLOSING)[opening.text], list[Item]()
        while not self.skip(closing):
            if self.next.kind == "end":
                self.fail(f"{opening.text!r} is never closed", opening.at)
            if items and self.take_token(",", f"',' or {closing!r}") and trailing and self.skip(closing):
                break
            items.append(item())
        return items

    def parse_value(self, depth: int = 0) -> Any:
        """One value. Within brackets a list is a tuple; outermost it is Varied."""
        if depth > DEEPEST:
            self.fail(f"brackets are nested more than {DEEPEST} deep")
        opening = self.skip("[", "(")
        if opening is None:
            return self._read_scalar()
        places = list[int]()

        def read_item() -> Any:
            places.append(self.next.at)
            return self.parse_value(depth + 1)

        values = tuple(self.read_enclosed(opening, read_item, trailing=True))
        return Varied(values, tuple(places)) if opening.text == "[" and depth == 0 else values

    def _read_scalar(self) -> Any:
        if token := self.skip("string"):
            return self._unquote(token)
        token = self.take_token("word", "a value")
        try:
            return _parse_scalar(token.text)
        except OverflowError:
            self.fail(f"the number {token.text[:20]} is too large", token.at)

    def _unquote(self, token: Token) -> str:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # an unknown escape is a mistake here, not a warning
                return str(ast.literal_eval(token.text))
        except (SyntaxError, ValueError, Warning):
            self.fail(f"{token.text} is not a string as in Python", token.at)

    def _tokenize(self) -> list[Token]:
        tokens, deeper, end = list[Token](), dict(DEPTH), len(self.text.rstrip())
        at = depth = 0
        while at < end:
            if depth == 0 and (not tokens or tokens[-1].kind == ",") and (path := self._match_path(at)):
                token, at = path
            else:
                token, at = self._match_token(at)
            depth += deeper.get(token.kind, 0)
            tokens.append(token)
        return [*tokens, Token("end", "", end)]

    def _match_token(self, at: int) -> tuple[Token, int]:
        """The token from there on, and where it ends."""
        match = TOKEN.match(self.text, at)
        if match is None or match.lastgroup is None:
            self._refuse_character(at)
        kind, text = match.lastgroup, match[match.lastgroup]
        return Token(text if kind == "mark" else kind, text, match.start(kind)), match.end()

    def _match_path(self, at: int) -> tuple[Token, int] | None:
        """The path that stands there in the place of a name, and where it ends."""
        start = BLANK.match(self.text, at).end()  # type: ignore[union-attr]  # it matches no blank, too
        run = RUN.match(self.text, start)
        if run is None or WORD.fullmatch(run[0]):
            return None
        try:
            path = find_path(run[0])
        except Backslash as error:
            self.fail(str(error), start + error.at)
        return path and (Token("path", path[0], start), start + path[1])

    def _refuse_character(self, at: int) -> NoReturn:
        start = BLANK.match(self.text, at).end()  # type: ignore[union-attr]
        character = self.text[start]
        meaning = "begins a string that never ends" if character in "'\"" else "means nothing here"
        self.fail(f"{character!r} {meaning}", start)


def describe_token(token: Token) -> str:
    """`the end`, or the text as far as a message may hold it."""
    text = token.text if len(token.text) <= SHOWN_AROUND else f"{token.text[:SHOWN_AROUND]}..."
    return "the end" if token.kind == "end" else repr(text)


def _cut_around(line: str, place: int) -> tuple[str, int]:
    """Part to show of a line with a mistake in it, and where in that the mistake is: all but of the longest lines."""
    if len(line) <= LONGEST_SHOWN:
        return line, place
    start = max(0, place - SHOWN_AROUND)
    before, after = "..." if start else "", "..." if place + SHOWN_AROUND < len(line) else ""
    return f"{before}{line[start : place + SHOWN_AROUND]}{after}", place - start + len(before)


def _parse_scalar(word: str) -> Any:
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


def format_literal(value: Any) -> str:
    """The text that reads back as the value: none, True, 1e-05, final, '16' (a string), (64,32)."""
    if isinstance(value, (tuple, list)):
        return f"({','.join(map(format_literal, value))})"
    if isinstance(value, str):
        return value if _is_bare(value) else repr(value)
    return "none" if value is None else repr(value)


def _is_bare(text: str) -> bool:
    """Whether a string may stand without quotes."""
    try:
        return WORD.fullmatch(text) is not None and _parse_scalar(text) == text
    except OverflowError:
        return False
