"""Trials that differ in nothing but their seed: what repeats exactly is measured in two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.catalog import Catalog
from harness.planning.trial_making import canonical_text
from harness.records.store import Store
from harness.types import Trial

OF_ONE_SEED = ("seed", "base")


def group_siblings(
    catalog: Catalog, trials: Sequence[Trial], store: Store, measured_by: Mapping[str, str]
) -> tuple[tuple[str, ...], ...]:
    """Keys of the trials to run and of those that ended ok before, a group for each configuration with several.

    measured_by: the source of instruments and metrics; what other sources have measured is left out. So are trials that
    run again over an ok record of their own: they measure all, and what they read before counts no more.
    """
    if not any(instrument.repeats for instrument in catalog.instruments.values()):
        return ()
    records = store.read_all()[0] if store.trials.is_dir() else []
    ok = {record.trial.key: record for record in records if record.status == "ok"}
    alike = [record.trial for record in ok.values() if record.provenance.get("measured_by") == measured_by]
    running = {trial.key for trial in trials}
    done = [trial for trial in alike if trial.key not in running]
    groups: dict[str, list[str]] = {}
    for trial in (*done, *(trial for trial in trials if trial.key not in ok)):
        if trial.parts:
            groups.setdefault(_configuration_key(trial), []).append(trial.key)
    return tuple(tuple(keys) for keys in groups.values() if len(keys) > 1)


def _configuration_key(trial: Trial) -> str:
    """Equal for trials that differ in their seed alone, and start from such."""
    parts: dict[str, Any] = {name: part for name, part in trial.parts.items() if name not in OF_ONE_SEED}
    return canonical_text([parts, _configuration_key(trial.base) if trial.base else None])
