"""Citations: BibTeX entries, as methods and data sets carry them, and the line that a person reads.

>>> print(describe_citation("@misc{key, author={Doe, Jane and Roe, Al}, title={On {ABC}}, year=2020}"))
Doe and Roe, On ABC, 2020
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MOST_AUTHORS = 5
_HEAD = re.compile(r"\s*@(\w+)\s*\{\s*([\w:.-]+)\s*,")
_FIELD = re.compile(r"\s*(\w+)\s*=\s*")
_PLAIN = re.compile(r"[^\s,{}]+")
_VENUES = ("journal", "booktitle", "publisher", "institution", "howpublished", "eprint")


@dataclass(frozen=True)
class Entry:
    """A BibTeX entry; the names of its fields are in lower case."""

    kind: str
    key: str
    fields: dict[str, str]


def parse_citation(text: str) -> list[Entry]:
    """The entries of a BibTeX text. Raises ValueError for what is none, saying where."""
    entries, at = [], 0
    while text[at:].strip():
        entry, at = _read_entry(text, at)
        entries.append(entry)
    return entries


def _read_entry(text: str, at: int) -> tuple[Entry, int]:
    head = _HEAD.match(text, at)
    if head is None:
        raise ValueError(f"expected @KIND{{KEY, ...}}, found {text[at : at + 40].strip()!r}")
    fields: dict[str, str] = {}
    at = head.end()
    while (named := _FIELD.match(text, at)) is not None:
        value, at = _read_value(text, named.end())
        fields[named[1].lower()] = " ".join(value.split())
        if (comma := re.compile(r"\s*,").match(text, at)) is None:
            break
        at = comma.end()
    end = re.compile(r"\s*\}").match(text, at)
    if end is None:
        raise ValueError(f"{head[2]}: expected a field or the closing brace, found {text[at : at + 40].strip()!r}")
    return Entry(head[1].lower(), head[2], fields), end.end()


def _read_value(text: str, at: int) -> tuple[str, int]:
    """A value in braces, which may hold others, or a plain word."""
    if text[at : at + 1] != "{":
        plain = _PLAIN.match(text, at)
        if plain is None:
            raise ValueError(f"expected a value, found {text[at : at + 40]!r}")
        return plain[0], plain.end()
    depth = 0
    for end in range(at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if depth == 0:
            return text[at + 1 : end], end + 1
    raise ValueError(f"a brace is not closed: {text[at : at + 40]!r}")


def describe_citation(text: str) -> str:
    """A citation as one line, `Authors, Title, Venue Year`; a text that is no BibTeX as it is."""
    try:
        return "; ".join(map(_describe_entry, parse_citation(text)))
    except ValueError:
        return " ".join(text.split())


def _describe_entry(entry: Entry) -> str:
    authors = [author.partition(",")[0].strip() for author in re.split(r"\s+and\s+", entry.fields.get("author", ""))]
    parts = [_list_authors(authors), entry.fields.get("title", ""), " ".join(_say_where(entry))]
    return re.sub(r"[{}]", "", ", ".join(filter(None, parts)))


def _list_authors(authors: list[str]) -> str:
    if len(authors) > MOST_AUTHORS or "others" in authors:
        return f"{authors[0]} et al."
    return " and ".join(filter(None, [", ".join(authors[:-1]), authors[-1]]))


def _say_where(entry: Entry) -> Iterator[str]:
    """Venue, volume and number, year."""
    for name in _VENUES:
        if venue := entry.fields.get(name):
            yield f"arXiv:{venue}" if name == "eprint" else venue
            break
    if volume := entry.fields.get("volume"):
        yield f"{volume}({entry.fields['number']})" if "number" in entry.fields else volume
    if year := entry.fields.get("year"):
        yield year
