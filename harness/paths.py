"""One rule for paths that others name: of a plugin's files below the data folder, of the files in an archive."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

LONGEST_PART = 255  # bytes: what common file systems allow
_DRIVE = re.compile(r"[A-Za-z]:")
# Those that end lines, and those that reorder or hide what stands beside them.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def find_fault(name: str) -> str | None:
    r"""Why a name is no path below a folder, on any system; None where it is one.

    >>> find_fault("train/0/a.bin"), find_fault("/a.bin"), find_fault("0/../../a.bin"), find_fault("C:\\a.bin")
    (None, 'is absolute', "holds '..'", 'names a drive')
    """
    if not isinstance(name, str):
        return f"is a {type(name).__name__}, not a text"
    if _CONTROL.search(name):
        return "holds a control character"
    if name.startswith(("/", "\\")):
        return "is absolute"
    if _DRIVE.match(name):
        return "names a drive"
    if "\\" in name:
        return "holds a backslash"
    return _find_parts_fault(PurePosixPath(name).parts)


def _find_parts_fault(parts: tuple[str, ...]) -> str | None:
    if not parts:
        return "is empty"
    if ".." in parts:
        return "holds '..'"
    try:
        longest = max(len(part.encode()) for part in parts)
    except UnicodeEncodeError:
        return "holds characters that are no text"
    return f"has a part of more than {LONGEST_PART} bytes" if longest > LONGEST_PART else None
