"""The records of a results folder, for programs and plugins: what `harness.read_records` is."""

from __future__ import annotations

import warnings
from pathlib import Path

from harness.errors import HarnessError
from harness.records.store import Store
from harness.types import Record


def read_records(folder: str | Path) -> list[Record]:
    """The newest record of every trial in a results folder, in the order in which they ended.

    A file that cannot be read is passed over with a warning that names it. Raises HarnessError for a folder without
    records.
    """
    records, problems = Store(Path(folder)).records()
    for problem in problems:
        warnings.warn(problem, stacklevel=2)
    if not records:
        raise HarnessError(f"results folder {folder}: no records that can be read; `harness run` makes some")
    return records
