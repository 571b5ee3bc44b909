"""Names that the harness measures by, and names that a plugin may give to what it says: the two never meet."""

from __future__ import annotations

from harness.words import clean_line

# Suffixes of the harness's own scores, as in accuracy@valid: no view of a method and no shifted split is called so.
VIEWS = frozenset({"valid", "valid-best", "best", "start"})
PHASES = ("load", "init", "prepare", "train", "evaluate", "finish", "profile")
MEASURED = frozenset(
    {
        "best_update",
        "bytes_at_death",
        "cohort",
        "epoch_seconds",
        "finish",
        "nonzeros",
        "parameters",
        "predict",
        "rows",
        "stored_bytes",
        "seconds_to_target",
        "stopped_early",
        "stopped_update",
        "tokens",
        "total_seconds",
        "total_with_base_seconds",
        "update_seconds",
        "warmup_seconds",
        *(f"{phase}_seconds" for phase in PHASES),
    }
)
LONGEST = 100


def find_name_flaw(name: object) -> str:
    """Why this is no name for something that a plugin says, for words after the name; empty if it is one."""
    if not isinstance(name, str):
        return f"is {type(name).__name__}; expected a text"
    if not name.strip():
        return "is empty; expected a name"
    if "@" in name:
        return "has an @, which stands between a score and its view"
    if len(name) > LONGEST:
        return f"has {len(name)} characters; expected at most {LONGEST}"
    return "" if clean_line(name) == name else "has control characters, or blanks around it"


def find_view_flaw(name: object) -> str:
    """The same of what stands after the @ of a score: a further prediction, or a shifted split."""
    if said := find_name_flaw(name):
        return said
    return f"is taken: the harness calls scores of its own @{name}" if name in VIEWS else ""


def show_name(name: object) -> str:
    """A name of any kind as it may stand in a line: a text as it is where it can be, anything else as Python has it."""
    text = name if isinstance(name, str) and name.strip() and clean_line(name, LONGEST) == name else _try_repr(name)
    return clean_line(text, LONGEST)


def _try_repr(name: object) -> str:
    try:
        return repr(name)
    except Exception:
        return f"<{type(name).__name__}>"
