"""Trials that differ in nothing but their seed: what repeats exactly is measured in two of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.catalog import Catalog
from harness.errors import HarnessError
from harness.planning.trial_making import canonical_text
from harness.records.store import Store
from harness.types import Record, Trial

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
    ok = {record.trial.key: record for record in _read_all(store) if record.status == "ok"}
    running = {trial.key for trial in trials}
    done = [record.trial for key, record in ok.items() if key not in running and _is_measured_by(record, measured_by)]
    groups: dict[str, list[str]] = {}
    for trial in (*done, *(trial for trial in trials if trial.key not in ok)):
        if trial.parts:
            groups.setdefault(_configuration_key(trial), []).append(trial.key)
    return tuple(tuple(keys) for keys in groups.values() if len(keys) > 1)


def _read_all(store: Store) -> Iterable[Record]:
    try:
        return store.read_all()[0]
    except HarnessError:  # no folder yet
        return []


def _is_measured_by(record: Record, measured_by: Mapping[str, str]) -> bool:
    return bool(record.provenance.get("measured_by") == measured_by)


def _configuration_key(trial: Trial) -> str:
    """Equal for trials that differ in their seed alone, and start from such."""
    parts: dict[str, Any] = {name: part for name, part in trial.parts.items() if name not in OF_ONE_SEED}
    return canonical_text([parts, _configuration_key(trial.base) if trial.base else None])
