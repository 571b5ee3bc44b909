"""Records that a run uses again: --rerun and --keep-outdated."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.catalog import Catalog
from harness.errors import HarnessError, UsageError
from harness.executors.here import HereExecutor
from harness.executors.local import LocalExecutor
from harness.records.store import Store
from harness.running import outdated, runner
from harness.selections import matching, selection
from harness.types import Progress, Record, RunContext, Trial
from harness.words import clean_line

TASK = "harness.trials.trial:look_at_data"


def describe_attempts(attempts: Sequence[Record], store: Store) -> list[str]:
    """A note for each trial that ran again and did not end ok, while its earlier record stays."""
    return [
        f"{record.trial.method.label} on {record.trial.dataset.label}, seed {record.trial.seed} ran again: "
        f"{record.status}{f' ({clean_line(record.reason)})' if record.reason else ''}; its earlier record stands here, "
        f"the attempt is in {store.locate_attempt(record.trial.key)}"
        for record in attempts
    ]


@dataclasses.dataclass(frozen=True)
class Reuse:
    """rerun: keys of trials that run although they have a record. kept: records of an older source, by key."""

    rerun: frozenset[str] = frozenset()
    kept: Mapping[str, Record] = dataclasses.field(default_factory=dict)

    def go_on(
        self,
        catalog: Catalog,
        first: Sequence[Trial],
        second: Sequence[Trial],
        store: Store,
        context: RunContext,
        keep_outdated: bool,
        here: bool,
    ) -> Reuse:
        """The reuse for a second stage, too: trials that ran again in the first stage do so in the second."""
        own = choose_reuse(catalog, second, store, context, None, keep_outdated, here)
        again = {_identify_configuration(trial) for trial in first if trial.key in self.rerun}
        rerun = frozenset(trial.key for trial in second if _identify_configuration(trial) in again)
        return Reuse(self.rerun | rerun, {**self.kept, **own.kept})

    def split_todo(self, trials: Sequence[Trial], store: Store) -> runner.Split:
        return runner.split_plan(trials, store, self.rerun, self.kept)

    def pick_record(self, trial: Trial, store: Store) -> Record | None:
        """Pick the record of a trial for the table: its own, unless one of an older source alone is ok."""
        return store.find_ok(trial.key) or self.kept.get(trial.key) or store.find_any(trial.key)

    def status(self, trial: Trial, store: Store, to_run: bool) -> str:
        """The status of a trial in a plan."""
        if to_run:
            return "to run again" if store.find_ok(trial.key) else "to run"
        old = self.kept.get(trial.key)
        return f"has a record of older code, {old.trial.key}" if old else "has a record"

    def list_remarks(self, split: runner.Split) -> list[str]:
        count = sum(trial.key in self.rerun for trial in split.todo)
        one = "1 trial runs" if count == 1 else f"{count} trials run"
        return [f"{one} for --rerun, whether there is a record or not"] if count else []

    def note_kept(self, trials: Sequence[Trial], store: Store) -> list[str]:
        """Note the records that were kept and not replaced meanwhile."""
        return outdated.remark_kept([trial for trial in trials if store.find_ok(trial.key) is None], self.kept)


def choose_reuse(
    catalog: Catalog,
    trials: Sequence[Trial],
    store: Store,
    context: RunContext,
    rerun: str | None,
    keep_outdated: bool,
    here: bool = False,
) -> Reuse:
    """Read --rerun and --keep-outdated. Raises UsageError for methods that the run does not have."""
    again = _select_rerun(catalog, trials, rerun) if rerun is not None else frozenset()
    if not keep_outdated:
        return Reuse(again)
    missing = [trial for trial in trials if trial.key not in again and store.find_ok(trial.key) is None]
    try:
        records = store.read_all()[0]
    except HarnessError:
        records = []
    return Reuse(again, outdated.match_records(missing, records, lambda asked: _look_at_data(asked, context, here)))


def _select_rerun(catalog: Catalog, trials: Sequence[Trial], text: str) -> frozenset[str]:
    choices = [trial.method for trial in trials]
    index = matching.Index(choices)
    keys: set[str] = set()
    for selected in selection.parse(text, "--rerun", every=True):
        places = [place for each in _expand_file(catalog, selected) for place in index.find_places(each)]
        if not places:
            labels = list(dict.fromkeys(choice.label for choice in choices))
            raise UsageError(f"--rerun {text}: this run has no {selected.full_name!r} (methods: {', '.join(labels)})")
        keys.update(trials[place].key for place in places)
    return frozenset(keys)


def _expand_file(catalog: Catalog, selected: selection.Selected) -> list[selection.Selected]:
    """A file stands for all the methods that it offers."""
    if selected.file is None:
        return [selected]
    names = [name.rpartition(":")[2] for name in catalog.add_file(selected.file)]
    return [
        dataclasses.replace(selected, name=name, file=None, every=selected.every or not selected.sweeps)
        for name in names
    ]


def _look_at_data(trials: Sequence[Trial], context: RunContext, here: bool) -> Mapping[str, Mapping[str, str]]:
    """Look up digests of the data that these trials would be given now; each data set is loaded once for a seed."""
    first: dict[tuple[str, int, int], Trial] = {}
    for trial in trials:
        first.setdefault(_identify_data(trial), dataclasses.replace(trial, base=None, keep=False))
    executor = HereExecutor(TASK) if here else LocalExecutor(TASK)
    found: dict[str, Mapping[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        elsewhere = dataclasses.replace(context, results=Path(folder))
        for record in executor.run(list(first.values()), elsewhere, _ignore_progress) if first else ():
            found[record.trial.key] = record.provenance.get("data", {}) if record.status == "ok" else {}
    return {trial.key: found[first[_identify_data(trial)].key] for trial in trials}


def _identify_configuration(trial: Trial) -> tuple[str, str, int]:
    return trial.method.label, trial.dataset.label, trial.seed


def _ignore_progress(trial: Trial, progress: Progress) -> None:
    del trial, progress


def _identify_data(trial: Trial) -> tuple[str, int, int]:
    return trial.dataset.label, trial.seed, trial.terms.batch_size
