"""Trials that may be trained as one: of one method on one data set, apart in their seeds and in its batched options."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from harness.catalog import Catalog
from harness.planning.trial_making import canonical_text
from harness.types import Method, Trial

Keys: TypeAlias = tuple[tuple[str, ...], ...]


class CohortGroups(NamedTuple):
    """Groups of trials that are trained as one, each for a process, and a line on each, or on why there is none."""

    cohorts: Keys = ()
    lines: tuple[str, ...] = ()


def group_cohorts(catalog: Catalog, trials: Sequence[Trial], lanes: int, workers: int) -> CohortGroups:
    """Group trials whose method offers it. lanes: the most in one group; 1 for none. workers: share them evenly."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials if lanes > 1 else ():
        method = catalog.methods.get(trial.method.name, trial.method.provider)
        if method.cohort is not None and trial.parts and not trial.skip:
            groups.setdefault(_lane_key(trial, method), []).append(trial)
    cohorts: list[tuple[str, ...]] = []
    lines: list[str] = []
    for alike in groups.values():
        if len(alike) > 1:
            why = _find_obstacle(alike[0])
            parts = [] if why else _split_evenly(alike, lanes, workers)
            cohorts += [tuple(trial.key for trial in part) for part in parts]
            lines.append(_describe_group(alike, parts, why))
    return CohortGroups(tuple(cohorts), tuple(lines))


def _lane_key(trial: Trial, method: Method) -> str:
    """Equal for trials of which each may be a lane beside the other."""
    own: dict[str, Any] = dict(trial.parts["method"])
    own["options"] = {name: value for name, value in own["options"].items() if name not in method.batched_options}
    return canonical_text({**trial.parts, "method": own, "seed": None, "base": trial.base is not None})


def _find_obstacle(trial: Trial) -> str:
    """Why trials like this one run one by one; empty where they need not."""
    if trial.base is not None:
        return f"each starts from a trial of {trial.base.method.name}"
    if trial.terms.patience is not None:
        return "each stops by --patience"
    if trial.terms.budget.unit == "seconds":
        return "a budget of seconds is of each"
    return ""


def _split_evenly(trials: Sequence[Trial], lanes: int, workers: int) -> list[Sequence[Trial]]:
    """As even as they can be, of two trials at least."""
    number = max(-(-len(trials) // lanes), min(workers, len(trials) // 2))
    bounds = [round(len(trials) * place / number) for place in range(number + 1)]
    parts = [trials[low:high] for low, high in itertools.pairwise(bounds)]
    return [part for part in parts if len(part) > 1]


def _describe_group(trials: Sequence[Trial], parts: Sequence[Sequence[Trial]], why: str) -> str:
    first = trials[0]
    what = f"{len(trials)} trials of {first.method.name} on {first.dataset.label}"
    if why:
        return f"{what} run one by one, though they could be trained as one: {why}"
    sizes = [len(part) for part in parts]
    many = f"in {len(sizes)} cohorts of at most {max(sizes)}" if len(sizes) > 1 else "in one cohort"
    return f"{what} are trained {many}; their times are shares of it (--one-by-one trains each alone)"
