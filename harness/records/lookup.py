"""The record that a text names: what `harness.find_record` is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.types import Record
from harness.words import list_first, suggest

if TYPE_CHECKING:
    from harness.selections.selection import Selected

MOST_LISTED = 20


def find_record(records: Sequence[Record], text: str) -> Record:
    """The one record that TRIAL of a command names: its key, the key's beginning, or METHOD/DATASET/SEED, whose options
    may be written in any order. Raises UsageError for none and for several, with those that there are.
    """
    exact = [record for record in records if text in (record.trial.key, _make_title(record))]
    found = exact or [record for record in records if text and record.trial.key.startswith(text)]
    found = found or _select_records(records, text)
    if len(found) == 1:
        return found[0]
    if not found:
        titles = [_make_title(record) for record in records]
        raise UsageError(f"trial {text!r}: no such record{suggest(text, titles)}; {_list_titles(titles)}")
    listed = "".join(f"\n  {record.trial.key}  {_describe_record(record)}" for record in found[:MOST_LISTED])
    more = f"\n  and {len(found) - MOST_LISTED} more" if len(found) > MOST_LISTED else ""
    raise UsageError(f"trial {text!r} is one of {len(found)}; name it by its key:{listed}{more}")


def _list_titles(titles: Sequence[str]) -> str:
    if len(titles) == 1:
        return f"the only record is {titles[0]}"
    return f"the {len(titles)} records are {list_first(titles)}" if titles else "there are no records"


def _select_records(records: Sequence[Record], text: str) -> list[Record]:
    """The records that `saf(steps=4)/digits/0` or `saf[*]/digits/*` selects, however its options are written."""
    from harness.selections import matching

    names, _, seed = text.rpartition("/")
    index = [matching.Index(getattr(record.trial, of) for record in records) for of in ("method", "dataset")]
    for place in (place for place, character in enumerate(names) if character == "/"):
        parts = [_parse_item(names[:place]), _parse_item(names[place + 1 :])]
        chosen = [set(own.find_places(part)) for own, part in zip(index, parts, strict=True) if part]
        if len(chosen) == len(parts) and (both := chosen[0] & chosen[1]):
            return [records[place] for place in sorted(both) if seed in ("*", str(records[place].trial.seed))]
    return []


def _parse_item(text: str) -> Selected | None:
    """The one item that a text selects, if it does."""
    from harness.selections import selection

    try:
        items = selection.parse(text, "TRIAL", every=True)
    except UsageError:
        return None
    return items[0] if len(items) == 1 else None


def _make_title(record: Record) -> str:
    return f"{record.trial.method.label}/{record.trial.dataset.label}/{record.trial.seed}"


def _describe_record(record: Record) -> str:
    trial = record.trial
    anew = ["trained on training and validation rows"] if trial.refit else []
    terms = [str(trial.terms.budget), trial.terms.device, trial.terms.precision]
    return f"{_make_title(record)}, {', '.join([*terms, *anew, record.status])}"
