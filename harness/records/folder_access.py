"""The records of a results folder, for programs and plugins: what `harness.read_records` is, and what may be added."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import names
from harness.errors import HarnessError
from harness.records.store import Store
from harness.types import Record

ADDED = "added"  # of a record's provenance: the readings that were added to it


def read_records(folder: str | Path) -> list[Record]:
    """The newest record of every trial in a results folder, in the order in which they ended.

    A file that cannot be read is passed over with a warning that names it. Raises HarnessError for a folder without
    records.
    """
    records, problems = Store(Path(folder)).read_newest()
    for problem in problems:
        warnings.warn(problem, stacklevel=2)
    if not records:
        raise HarnessError(f"results folder {folder}: no records that can be read; `harness run` makes some")
    return records


def add_readings(folder: str | Path, key: str, readings: Mapping[str, Any]) -> Record:
    """Add what could be read only after a trial had ended, as by comparing it with another; returns the record.

    What was added before under the same names gives way. Raises HarnessError for a trial that has no ok record there,
    for a name that none may have, and for one that the record has for what was measured in the trial.
    """
    store = Store(Path(folder))
    record = store.find_ok(key)
    if record is None:
        raise HarnessError(f"results folder {folder}: trial {key} has no record that ended ok; nothing can be added")
    before = record.provenance.get(ADDED, ())
    for name in readings:
        if flaw := names.find_name_flaw(name):
            raise HarnessError(f"reading {names.show_name(name)}: the name {flaw}")
        if name in names.MEASURED or (name in {**record.scores, **record.readings} and name not in before):
            raise HarnessError(f"reading {name}: trial {key} has measured something of that name; choose another")
    added = sorted({*before, *readings})
    whole = {**record.readings, **readings}
    return store.write(dataclasses.replace(record, readings=whole, provenance={**record.provenance, ADDED: added}))
