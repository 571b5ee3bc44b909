"""Captions of figures: how many seeds, what a band is, where it was measured, what is not shown and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from harness.report.rows.table import Row, Table
from harness.report.wording.captions import title
from harness.words import clean_line, list_first

INTERVAL = "the 95 % interval (Student's t) of the mean over seeds; there is none of one seed, nor where all agree"
VERSION = re.compile(r"\d+(\.\d+)+")
CORE = ("harness", "python", "numpy", "scipy", "scikit-learn")  # versions that a caption has no room for, or names last


def count_seeds(rows: Iterable[Row]) -> str:
    """`n = 3 seeds`, or `n = 5 seeds, but saf 2`, for what differs from most."""
    counts = {row.method: row.n for row in rows}
    if not counts:
        return "n = 0 seeds"
    ((usual, _),) = Counter(counts.values()).most_common(1)
    others = [f"{method} {n}" for method, n in counts.items() if n != usual]
    return f"n = {usual} seed{'' if usual == 1 else 's'}" + (f", but {list_first(others, 12)}" if others else "")


def describe_tables(tables: Sequence[Table]) -> str:
    """`digits: 10 epochs, batch 128, cpu, fp32, 1 thread. n = 3 seeds.` for each table."""
    return " ".join(f"{table.dataset}: {title(table)}; {count_seeds(table.rows)}." for table in tables)


def _is_version(value: object) -> bool:
    return isinstance(value, str) and VERSION.match(value) is not None


def describe_machines(tables: Iterable[Table]) -> str:
    """`Measured on AMD EPYC (2 cores), torch 2.8.0, harness 0.1.0.`, each machine once."""
    said: dict[str, None] = {}
    for table in tables:
        for record in (record for row in table.rows for record in row.records if record.status == "ok"):
            found = record.environment
            processor = found.get("gpu") or found.get("cpu") or "an unnamed machine"
            cores = f" ({found['cores']} cores)" if "cores" in found and not found.get("gpu") else ""
            versions = [f"{name} {value}" for name, value in found.items() if name not in CORE and _is_version(value)]
            versions += [f"harness {found['harness']}"] if "harness" in found else []
            said[clean_line(", ".join([f"{processor}{cores}", *versions]))] = None
    return f"Measured on {list_first(list(said), 4).replace(', ...', ' and others')}." if said else ""


def list_missing(missing: Iterable[tuple[str, str]], head: str) -> str:
    """`Not shown: bptt (timeout).`; empty where nothing is missing."""
    reasons: dict[str, list[str]] = {}
    for method, reason in missing:
        reasons.setdefault(clean_line(reason, 160), []).append(method)
    said = "; ".join(f"{list_first(list(dict.fromkeys(methods)))} ({reason})" for reason, methods in reasons.items())
    return f"{head}: {said}." if said else ""


def join(*sentences: str) -> str:
    """Sentences, without the empty ones."""
    return " ".join(filter(None, sentences))
