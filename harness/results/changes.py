"""Changes since a record was taken: its trial as it would be planned today, and which parts of its key differ."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.catalog import Catalog
from harness.planning.fingerprints import CORE, Fingerprints
from harness.planning.plan import named
from harness.planning.refit import make_refit
from harness.planning.trial_making import canonical_text
from harness.records.grouping import list_lineage
from harness.running.runner import Origins
from harness.running.surroundings import describe_versions
from harness.suites.suite import Request
from harness.types import Record, Trial
from harness.words import list_first

MOST_COMMITS = 10
MOST_FILES = 6
HOW = ("changed", "new", "gone")
MISSING = "none"


def plan_again(catalog: Catalog, trial: Trial, data: Path | None, prints: Fingerprints | None = None) -> Trial:
    """Plan a trial of a record as it would be today. Raises UsageError where that cannot be, as for a lost method."""
    terms = list_lineage(trial)[0].terms
    stated = {name: getattr(terms, name) for name in vars(terms) if name in Request.__dataclass_fields__}
    request = Request(
        methods=trial.method.label, datasets=trial.dataset.label, seeds=f"[{trial.seed}]", data=data, **stated
    )
    (found,) = named(catalog, request, prints=prints)
    return make_refit(found) if trial.refit else found


def explain_changes(catalog: Catalog, record: Record, data: Path | None) -> list[str]:
    """Lines on what has changed since a record was taken; the first says whether its trial would run again."""
    prints = Fingerprints()
    today = plan_again(catalog, record.trial, data, prints)
    origins = Origins(catalog, prints)
    parts = list(_compare_trials(record.trial, today))
    first = "nothing in its key has changed: its record stands for the trial of today"
    lines = [f"its key is {today.key} today: {len(parts)} of its parts differ" if parts else first, *parts]
    if parts:
        sources = _list_sources(record, origins.describe_trial(today)["sources"])
        lines += _group_sources(sources)
        lines += _find_commits(catalog, record, today, list(sources))
    before, now = record.provenance.get("measured_by"), origins.measured_by
    moved = [name for name in now if isinstance(before, Mapping) and before.get(name, now[name]) != now[name]]
    lines += [f"not in the key: the source of what measures, {', '.join(moved)}"] if moved else []
    return lines + [f"not in the key: {line}" for line in describe_versions(catalog, [record], [today])]


def name_changes(old: Trial, new: Trial) -> list[str]:
    """The parts of the key that differ, each by its name alone."""
    return [line.partition(":")[0] for line in _compare_trials(old, new)]


def _compare_trials(old: Trial, new: Trial, of: str = "") -> Iterator[str]:
    """A line `part: before -> now` for each part of the key; of what a trial starts from, its own parts."""
    for name in dict.fromkeys([*new.parts, *old.parts]):
        if name == "base" and old.base is not None and new.base is not None:
            yield from _compare_trials(old.base, new.base, f"{of}base, ")
        else:
            yield from _compare_values(f"{of}{name}", old.parts.get(name), new.parts.get(name))


def _compare_values(name: str, before: Any, now: Any) -> Iterator[str]:
    if canonical_text(before) == canonical_text(now):
        return
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys([*now, *before]):
            yield from _compare_values(f"{name} {key}", before.get(key, MISSING), now.get(key, MISSING))
        return
    yield f"{name}: {_show(before)} -> {_show(now)}"


def _show(value: Any) -> str:
    return value if isinstance(value, str) else canonical_text(value)


def _list_sources(record: Record, now: Mapping[str, str]) -> dict[str, str]:
    """The files of the method and the data set that differ, and how; none where the record does not know them."""
    before = record.provenance.get("sources")
    if not isinstance(before, Mapping):
        return {}
    names = [name for name in dict.fromkeys([*now, *before]) if now.get(name) != before.get(name)]
    return {name: "new" if name not in before else "changed" if name in now else "gone" for name in names}


def _group_sources(files: Mapping[str, str]) -> Iterator[str]:
    """A line for each package: which of its files have changed, how many are new or gone."""
    for package in dict.fromkeys(name.partition("/")[0] for name in files):
        own = {how: [name for name in files if files[name] == how and name.partition("/")[0] == package] for how in HOW}
        said = [f"{list_first(names, MOST_FILES)} {how}" for how, names in own.items() if names]
        yield f"source of {package}: {'; '.join(said)}"


def _find_commits(catalog: Catalog, record: Record, today: Trial, files: Sequence[str]) -> list[str]:
    """The commits since the record that touch these files, or the core where that has changed, if git knows."""
    core = today.parts.get("core") != record.trial.parts.get("core")
    method = catalog.methods.offer(today.method.name, today.method.provider).plugin
    patterns = [f":(glob)**/{name}" for name in files] + ([f":(glob)harness/{each}" for each in CORE] if core else [])
    commit = str(record.environment.get("commit") or "").removesuffix("+")
    folder = _find_folder(method.file, method.module)
    if not patterns or folder is None:
        return []
    top = _run_git(folder, "rev-parse", "--show-toplevel")
    root = Path(top[0]) if top else folder
    log = ["log", "--format=%h %cs %s"]
    found = _run_git(root, *log, f"{commit}..HEAD", "--", *patterns) if commit else None
    if found is None:
        found = _run_git(root, *log, f"--since={record.finished}", "--", *patterns) or []
    open_ = _run_git(root, "status", "--porcelain", "--", *patterns) or []
    more = [f"and {len(found) - MOST_COMMITS} more commits"] if len(found) > MOST_COMMITS else []
    edited = [f"not committed: {list_first([line.split()[-1] for line in open_])}"] if open_ else []
    return [*(f"by commit {line}" for line in found[:MOST_COMMITS]), *more, *edited]


def _find_folder(file: str, module: str) -> Path | None:
    spec = None if file else importlib.util.find_spec(module.partition(".")[0])
    path = file or (spec.origin if spec else None)
    return Path(path).parent if path else None


def _run_git(folder: Path, *arguments: str) -> list[str] | None:
    """The lines that git says; None where it cannot."""
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.splitlines() if done.returncode == 0 else None
