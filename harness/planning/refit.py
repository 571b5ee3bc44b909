"""Trials of the second stage: a chosen configuration, trained anew on training and validation rows together."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from harness.planning.trial_making import hash_parts
from harness.types import Trial


def make_refit(trial: Trial) -> Trial:
    """The trial of the second stage: the same under the same terms, on both splits, and what it starts from too."""
    base = make_refit(trial.base) if trial.base else None
    parts = {**trial.parts, "base": base.key if base else None, "refit": True}
    return dataclasses.replace(trial, refit=True, base=base, parts=parts, key=hash_parts(parts))


def insert_bases(trials: Iterable[Trial]) -> list[Trial]:
    """The trials, none twice, each after what it starts from; one that another starts from keeps its weights."""
    found: dict[str, Trial] = {}
    for trial in trials:
        insert_trial(found, trial)
    return list(found.values())


def insert_trial(trials: dict[str, Trial], trial: Trial) -> None:
    """Insert a trial after its base; one that is there already may learn to keep its weights, and which sweep it is of,
    which of a base nobody says.
    """
    if trial.base is not None and not trial.skip:
        insert_trial(trials, trial.base)
    known = trials.get(trial.key, trial)
    named = known if known.method.sweep else trial
    trials[trial.key] = dataclasses.replace(named, keep=known.keep or trial.keep)
