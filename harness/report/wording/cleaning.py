"""Texts of plugins, records and suites, made fit to be printed before any format sees them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from harness.report.rows.table import Summary
from harness.types import Record
from harness.words import LONGEST, clean_ends, clean_line, clean_text

LONGEST_NOTE = 4000  # a note names many rows, whose own texts are bounded
LONGEST_TRACE = 20_000
DEEPEST = 40  # levels of what a record holds that are shown

T = TypeVar("T")


def clean_summary(summary: Summary) -> Summary:
    """The summary with all of its texts in one line each, without escape sequences and control characters, bounded;
    citations and logs keep their lines, and records stay as they are.
    """
    notes = tuple(clean_line(note, LONGEST_NOTE) for note in summary.notes)
    citations = {_clean_name(name): clean_text(text, LONGEST_NOTE) for name, text in summary.citations.items()}
    logs = {key: clean_ends(text, LONGEST_NOTE) for key, text in summary.logs.items()}
    return dataclasses.replace(_clean_texts(summary), notes=notes, citations=citations, logs=logs)


def clean_values(value: Any, level: int = 0) -> Any:
    """Plain values of a record with their texts cleaned, line breaks kept; what is nested too deep is left out."""
    if isinstance(value, str):
        return clean_text(value)
    if level >= DEEPEST and isinstance(value, (Mapping, list, tuple)):
        return "…" if value else value
    if isinstance(value, Mapping):
        return {_clean_name(name): clean_values(item, level + 1) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean_values(item, level + 1) for item in value]
    return value


def clean_trace(text: str) -> str:
    """A traceback, which may be longer than other texts."""
    return clean_text(text, LONGEST_TRACE)


def _clean_texts(value: T) -> T:
    """A dataclass, mapping, tuple or text of a summary, cleaned all the way down; itself where it is clean."""
    found: Any = value
    if isinstance(found, str):
        return found if _is_clean(found) else clean_line(found)  # type: ignore[return-value]
    if isinstance(found, Mapping):
        items = {_clean_texts(name): _clean_texts(item) for name, item in found.items()}
        kept = all(name in found and found[name] is item for name, item in items.items())
        return found if kept else items  # type: ignore[return-value]
    if isinstance(found, tuple):
        tidied = [_clean_texts(item) for item in found]
        if all(new is old for new, old in zip(tidied, found, strict=True)):
            return value
        return type(found)(*tidied) if hasattr(found, "_fields") else tuple(tidied)  # type: ignore[return-value]
    if not dataclasses.is_dataclass(found) or isinstance(found, (type, Record)):
        return value
    fields = {field.name: getattr(found, field.name) for field in dataclasses.fields(found) if field.init}
    changed = {name: new for name, old in fields.items() if (new := _clean_texts(old)) is not old}
    return dataclasses.replace(found, **changed) if changed else found  # type: ignore[return-value]


def _is_clean(text: str) -> bool:
    return text.isprintable() and len(text) <= LONGEST and "  " not in text


def _clean_name(name: object) -> str:
    return clean_line(str(name))
