"""Words for messages, and text as it may stand in a record, a table or a terminal: no escape sequences, no control
characters, not too long.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from harness.errors import Diverged, HarnessError, Unsupported

Code: TypeAlias = tuple[Path, ...]  # files and folders of plugins

LONGEST = 500
LONGEST_PLACE = 120
LONGEST_TRACEBACK = 20_000
MOST_NAMES = 20
MOST_SEEDS, FIRST_SEEDS = 24, 6
_LONGEST_READ = 20_000  # characters of a text that are looked at: cleaning five megabytes to keep 500 would be waste

# Terminal sequences (ECMA-48): CSI (colours, cursor), strings (OSC titles and links, DCS, APC), two-byte ones.
_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]P_^X]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
# C0 and C1 controls but tab and newline, and the characters that reorder or hide the text around them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")

# Where an error arose, at the end of what it says: of a reason that is cut it tells more than what stands before it.
_PLACE = re.compile(r"\([\w .@/+-]+ line \d+, in [\w.<>]+\)$")


def format_count(count: int, noun: str) -> str:
    """A number of things.

    >>> format_count(1, "row"), format_count(1797, "row")
    ('1 row', '1,797 rows')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def list_first(names: Sequence[str], most: int = 6) -> str:
    """The first names.

    >>> list_first(["a", "b"]), list_first(["a", "b", "c"], most=2)
    ('a, b', 'a, b, ...')
    """
    return f"{', '.join(names[:most])}{', ...' if len(names) > most else ''}"


def list_names(names: Iterable[str]) -> str:
    """The names with commas, cut where a list would hide the message; "none" for no name."""
    names = sorted(names)
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return (", ".join(names[:MOST_NAMES]) + more) or "none"


def cap_texts(texts: Iterable[str]) -> list[str]:
    """The first of many texts, and how many more there are."""
    every = list(texts)
    return every if len(every) <= MOST_NAMES else [*every[: MOST_NAMES - 1], f"and {len(every) - MOST_NAMES + 1} more"]


def list_seeds(numbers: Sequence[object]) -> str:
    """Seeds by their numbers, the first where they are many.

    >>> list_seeds([2]), list_seeds([0, 1])
    ('seed 2', 'seeds 0, 1')
    >>> list_seeds(range(100))
    'seeds 0, 1, 2, 3, 4, 5 and 94 more'
    """
    shown = numbers if len(numbers) <= MOST_SEEDS else numbers[:FIRST_SEEDS]
    more = f" and {len(numbers) - len(shown)} more" if len(shown) < len(numbers) else ""
    return f"seed{'s' if len(numbers) > 1 else ''} {', '.join(map(str, shown))}{more}"


def suggest(word: str, known: Iterable[str]) -> str:
    """The end of an error: `; did you mean 'steps'?` for the known word nearest to it, nothing where none is near."""
    spelling = {name.lower(): name for name in known}
    nearest = difflib.get_close_matches(word.lower(), spelling, n=1)
    return f"; did you mean {spelling[nearest[0]]!r}?" if nearest else ""


def format_size(size: float) -> str:
    """A number of bytes.

    >>> format_size(11_594_722), format_size(0)
    ('11.6 MB', '0 B')
    """
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def escape_controls(text: str) -> str:
    r"""JSON whose control characters, and those that reorder the text around them, are all written as escapes.

    >>> escape_controls('"\x9b31m"')
    '"\\u009b31m"'
    """
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def clean_text(text: str, most: int = LONGEST) -> str:
    r"""The text without escape sequences and control characters, cut to `most` characters; its line breaks stay, and so
    does the place of an error at its end.

    >>> clean_text("\x1b[31mred\x1b[0m and \x07loud")
    'red and loud'
    """
    if len(text) <= most and text.isprintable():
        return text.strip()
    place, cut = _PLACE.search(text[-LONGEST:]), len(text) > _LONGEST_READ
    text = _ESCAPE.sub("", text[:_LONGEST_READ].replace("\r\n", "\n").replace("\r", "\n"))
    text = _CONTROL.sub("", text.encode(errors="backslashreplace").decode()).strip()
    if len(text) <= most and not cut:
        return text
    end = f" … {place[0]}" if place and len(place[0]) < most // 2 else " …"
    return f"{text[: most - len(end)].rstrip()}{end}"


def clean_line(text: str, most: int = LONGEST) -> str:
    """The cleaned text in one line: every run of white space is one blank."""
    return clean_text(" ".join(clean_text(text, _LONGEST_READ).split()), most)


def clean_ends(text: str, most: int = LONGEST_TRACEBACK) -> str:
    """The cleaned text, where it is too long its beginning and its end: of a traceback both tell something."""
    if len(text) <= most:
        return clean_text(text, most)
    half = most // 2 - 20
    first, last = clean_text(text[:half], half), clean_text(text[-half:], half)
    return f"{first}\n[{len(text) - 2 * half} characters cut here]\n{last}"


def clean_label(text: str) -> str:
    """A label in one line. One that is cut ends in a digest, so that no two of them become one."""
    if len(text) <= LONGEST:
        return clean_line(text)
    from hashlib import sha256  # few labels are so long

    digest = sha256(text.encode(errors="backslashreplace")).hexdigest()[:8]
    return f"{clean_line(text, LONGEST - 12)}{digest}"


# --- errors -------------------------------------------------------------------------------------------------------


def describe_error(error: BaseException, code: Code = ()) -> str:
    """An error in a line: its type, unless the message stands for itself, the first line of what it says, its place.

    code: the files and folders of the plugins concerned; the deepest line in them that the error came through is named.
    """
    first = _read_first_line(error)
    if isinstance(error, (HarnessError, Unsupported, Diverged)):
        return clean_line(first)
    place = _locate_error(error, code)
    said = f"{type(error).__name__}: {first}" if first else type(error).__name__
    if isinstance(error, SystemExit):
        said = f"called sys.exit({error.code!r})"
    return clean_line(said, LONGEST - len(place)) + place


def _read_first_line(error: BaseException) -> str:
    try:
        first = str(error).strip().partition("\n")[0]
        return "; ".join([*([first] if first else []), *getattr(error, "__notes__", ())])
    except Exception as broken:  # an error may fail at saying what it is
        return f"(its message raised {type(broken).__name__})"


def _locate_error(error: BaseException, code: Code) -> str:
    """` (my_method.py line 31, in update)`; empty where the error came through none of the code."""
    from traceback import walk_tb  # slow to import, and of no use to a healthy run

    seen: BaseException | None = error
    while seen is not None:
        for frame, line in reversed(list(walk_tb(seen.__traceback__))):
            if shown := _shorten_path(Path(frame.f_code.co_filename), code):
                return f" ({clean_line(shown, LONGEST_PLACE)} line {line}, in {frame.f_code.co_name})"
        seen = seen.__cause__
    return ""


def _shorten_path(file: Path, code: Code) -> str:
    for root in code:
        if file == root or (file.parent == root and not (root / "__init__.py").exists()):
            return file.name
        if file.is_relative_to(root) and (root / "__init__.py").exists():
            return str(file.relative_to(root.parent))
    return ""
