"""Notes on a running trial: the fields of its record so far, however the trial ends."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from harness import names
from harness.records import environment
from harness.trials.json_values import Unfit, fit_value
from harness.types import Point, Reading, Record, Status, Trial
from harness.words import clean_ends, clean_line

DATA = "data set "  # how the owner is called whose readings are what a data set says of itself
MOST_NAMES = 1000  # that one plugin says
ROOM = 2**24  # bytes of JSON, roughly, of all that plugins say in one trial


@dataclass
class Notes:
    """The fields of a record, as far as they are known. said_by: whose each reading is. test_rows: a digest of each."""

    scores: dict[str, float] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)
    readings: dict[str, Any] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)
    at_least: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    curve: list[Point] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    holes: dict[str, str] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    said_by: dict[str, str] = field(default_factory=dict)
    room: int = ROOM
    test_rows: NDArray[Any] | None = None

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def add_hole(self, name: str, reason: str) -> None:
        """Something is not measured, for this reason; the first one stands."""
        self.holes.setdefault(name, clean_line(reason))

    def make_record(
        self, trial: Trial, provenance: Mapping[str, Any], status: Status = "ok", reason: str = "", trace: str = ""
    ) -> Record:
        """All of it as a record that ended now; later notes do not change it. provenance: more of that."""
        known = {field.name for field in dataclasses.fields(Record)}
        copies = {name: value.copy() for name, value in vars(self).items() if name in known}
        copies["provenance"] |= provenance
        finished = environment.current_time()
        return Record(trial, status, reason, **copies, traceback=clean_ends(trace), finished=finished)

    # --- what plugins say ---------------------------------------------------------------------------------------------

    def take_readings(self, owner: str, said: object, taken: Mapping[str, str]) -> None:
        """Add readings. One whose name or value will not do leaves a hole, and so does the second of one name; but what
        was measured goes before what a data set says. taken: names that are not the owner's to give, and why.
        """
        for name, value in self._checked_items(owner, "readings", said):
            first = self.said_by.get(name, owner)
            if (stem := name.removesuffix("_at_least")) in taken:
                self.add_hole(f"{owner}.{name}", f"the name is taken: {stem} is {taken[stem]}")
            elif first != owner and not first.startswith(DATA):
                self.add_hole(f"{owner}.{name}", f"the name is taken: it is a reading of {first}")
            else:
                self._take_reading(owner, name, value if isinstance(value, Reading) else Reading(value))
                self.said_by[name] = owner
                if first != owner:
                    self.add_hole(f"{first}.{name}", f"the name is taken: it is a reading of {owner}")

    def _take_reading(self, owner: str, name: str, reading: Reading) -> None:
        """A reading with what else is to be known of it; nothing is left of one of that name before."""
        self._put_value(self.readings, owner, name, reading.value, name)
        for into, part in ((self.warnings, "warning"), (self.at_least, "at_least")):
            into.pop(name, None)
            text = getattr(reading, part)
            if not isinstance(text, str):
                self.add_hole(name, f"{part} of {name} of {owner} is {type(text).__name__}; expected a text")
            elif text and name in self.readings:
                into[name] = clean_line(text)

    def add_facts(self, facts: object) -> None:
        """Add what a method states of itself, with a `Reading`'s warning; what will not do leaves a hole."""
        for name, value in self._checked_items("describe", "facts", facts):
            said = value if isinstance(value, Reading) else Reading(value)
            self._put_value(self.facts, "describe", name, said.value, f"describe.{name}")
            if name in self.facts and said.warning:
                self.warnings[f"describe.{name}"] = clean_line(str(said.warning))

    def _checked_items(self, owner: str, what: str, said: object) -> Iterator[tuple[str, Any]]:
        if not isinstance(said, Mapping):
            self.add_hole(owner, f"returned {type(said).__name__} for its {what}; expected {{name: value}}")
            return
        for number, (name, value) in enumerate(list(said.items())):
            if number == MOST_NAMES:
                self.add_hole(owner, f"has {len(said)} {what}; the first {MOST_NAMES} are kept")
                return
            if flaw := names.find_name_flaw(name):
                self.add_hole(f"{owner}.{names.show_name(name)}", f"the name {flaw}")
            else:
                yield name, value

    def _put_value(self, into: dict[str, Any], owner: str, name: str, value: object, key: str) -> None:
        into.pop(name, None)
        try:
            plain, size = fit_value(name, value)
            if size > self.room:
                raise Unfit(f"is beyond the {ROOM // 2**20} MB that one record may hold of what plugins say")
        except Unfit as unfit:
            self.add_hole(key, f"{name} of {owner} {unfit}")
        else:
            into[name] = plain
            self.room -= size
