"""The file of a trial's trained arrays: its record states digest and size, which are compared before it is used."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.types import Record

ARRAYS = "arrays"  # in a record's provenance: of its own arrays
BASE = "base"  # likewise: of those that it started from, with the key of their trial


def state_file(path: Path) -> dict[str, Any]:
    """State a file for a record: {"sha256": ..., "bytes": ...}. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": digest, "bytes": path.stat().st_size}


def describe_fault(path: Path, record: Record | None) -> str:
    """Why a file may not stand for the trained arrays of a record; empty where it may. None: there is no record yet."""
    known = record.provenance.get(ARRAYS) if record is not None else {}
    try:
        found = state_file(path)
    except FileNotFoundError:
        return "are gone" if isinstance(known, Mapping) else "were not kept"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    if record is None:
        return ""
    if not isinstance(known, Mapping):
        return "have no digest in its record"
    if found["bytes"] != known.get("bytes"):
        return f"are {found['bytes']} bytes, its record says {known.get('bytes')}"
    return "" if found["sha256"] == known.get("sha256") else "are not those that its record says"
