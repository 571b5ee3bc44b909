"""Choosing a configuration of each sweep, for each seed, by validation scores; test scores have no say in it.

Each seed chooses for itself, by its own validation rows. Where the split depends on the seed, rows that one seed
validates with are rows that another is tested on: a choice for all seeds together would have looked at test rows. One
that is (`jointly`) is for data whose test rows are the same for every seed. What one item of --methods stood for is one
sweep, and sweeps that share a configuration are one: what was tried was tried.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.errors import UsageError
from harness.records import grouping
from harness.records.grouping import by_seed
from harness.report.rows import caveats, sameness
from harness.report.rows.planned import Plan
from harness.report.rows.sweeps import Configuration, Sweep, find_sweeps
from harness.types import Metric, Record
from harness.words import list_seeds, suggest

VIEWS = ("valid", "valid-best")


@dataclass(frozen=True)
class Criterion:
    """The score that decides: `view` is "valid", at the end of training, or "valid-best", at the best point.

    jointly: by its mean over the seeds, for all of them together.
    """

    metric: Metric
    view: str
    jointly: bool = False

    @property
    def name(self) -> str:
        """The name of the score in a record: `nll@valid`."""
        return f"{self.metric.name}@{self.view}"

    @property
    def sign(self) -> int:
        """The factor of a score that makes greater better."""
        return 1 if self.metric.better == "higher" else -1


@dataclass(frozen=True)
class Chosen:
    """The choice of a row from its sweep: of how many configurations, by which score.

    times: for how many seeds each was chosen, by what tells it from the others; empty for a choice for all of them.
    """

    tried: int
    by: str
    times: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Selection:
    """The records that are left, under the label of their row. chosen: by that label. members: the labels of the
    configurations that a row stands for, where it is of several. unchosen: by the label of a sweep, why none is chosen.
    """

    records: Sequence[Record]
    chosen: Mapping[str, Chosen] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unchosen: Mapping[str, str] = field(default_factory=dict)


def parse_criterion(text: str, metrics: Sequence[Metric], *, jointly: bool = False) -> Criterion:
    """The validation score that decides: `nll@valid` or `nll@valid-best`.

    Raises UsageError for an unknown metric, for one without a validation score, and for a score of the test split.
    """
    name, _, view = text.partition("@")
    scores = {metric.name: metric for metric in metrics if metric.compute is not None}
    able = [each.name for each in scores.values() if each.better != "neither" and not each.shifted]
    if name not in {metric.name for metric in metrics}:
        raise UsageError(f"--select {text}: unknown metric{suggest(name, able)}; known: {_views(able)}")
    if name not in scores:
        raise UsageError(f"--select {text}: {name} is a cost, which has no validation score; known: {_views(able)}")
    if name not in able:
        why = "is of shifted test splits alone" if scores[name].shifted else "has no best value"
        raise UsageError(f"--select {text}: {name} {why}; known: {_views(able)}")
    if view not in VIEWS:
        views = " or ".join(f"{name}@{each}" for each in VIEWS)
        raise UsageError(f"--select {text}: only validation may choose, or the test score means nothing: {views}")
    if view == "valid-best" and not scores[name].curve:
        raise UsageError(f"--select {text}: {name} is computed at the end of training only: {name}@valid")
    return Criterion(scores[name], view, jointly)


@dataclass(frozen=True)
class Choosing:
    """The way from records to rows. by: the score that chooses; None keeps every configuration.

    items: selections, such as `saf[rate=[0.1,0.3]]`, that make a sweep of what may have been run one by one. apart: by
    method, the options whose values are never chosen from.
    """

    by: Criterion | None = None
    items: tuple[str, ...] = ()
    apart: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def select(self, records: Sequence[Record], plan: Plan | None = None, refit: bool = False) -> list[Selection]:
        """Make a selection for each table, those trained anew after those that chose. refit: the former alone.

        plan: which seeds a configuration should have.
        """
        groups = {grouping.trial_place(group[0].trial): group for group in grouping.group_tables(records)}
        alone = refit and any(group[0].trial.refit for group in groups.values())
        found = []
        for group in groups.values():
            first = group[0].trial
            if first.refit:
                before = groups.get(grouping.trial_place(dataclasses.replace(first, refit=False)), [])
                anew = _find_anew(choose(before, self, plan), group) if self.by else Selection(group)
                found.append(anew if alone else dataclasses.replace(anew, notes=()))
            elif not alone:
                found.append(choose(group, self, plan))
        return [each for each in found if each.records]


def choose(records: Sequence[Record], how: Choosing, plan: Plan | None = None) -> Selection:
    """The records of the configurations chosen from each sweep, and of sweeps from which nothing can be chosen.

    records: of one data set under one protocol. plan: which seeds a configuration should have.
    """
    by = how.by
    if by is None:
        return Selection(records)
    every = find_sweeps(records, how.items, how.apart)
    found = [_choose_from_sweep(sweep, by, plan or Plan()) for sweep in every]
    return Selection(
        [record for each in found for record in each.records],
        {label: chosen for each in found for label, chosen in each.chosen.items()},
        (*_note_unequal(every), *(line for each in found for line in each.notes)),
        {label: names for each in found for label, names in each.members.items()},
        {label: reason for each in found for label, reason in each.unchosen.items()},
    )


def _find_anew(first: Selection, records: Sequence[Record]) -> Selection:
    """Find the records of chosen configurations that were trained anew, under the labels of their rows."""
    held = {_identify_trained(record): record for record in records}
    kept = [(record, held.get(_identify_trained(record))) for record in first.records]
    found = [relabel(anew, record.trial.method.label) for record, anew in kept if anew is not None]
    return dataclasses.replace(first, records=found)


def _identify_trained(record: Record) -> tuple[Any, ...]:
    method = record.trial.method
    return method.name, method.provider, repr(sorted(method.options.items())), record.trial.seed


def _choose_from_sweep(sweep: Sweep, by: Criterion, plan: Plan) -> Selection:
    scores = {each: _read_scores(records, by) for each, records in sweep.records.items()}
    if reason := _explain_unlike_data(sweep) or ("" if any(scores.values()) else f"no trial ended with {by.name}"):
        return Selection(
            sweep.all_records(), notes=(f"{sweep.label}: none is chosen, {reason}",), unchosen={sweep.label: reason}
        )
    return (_choose_jointly if by.jointly else _choose_by_seed)(sweep, by, scores, _expect_seeds(sweep, plan))


Scores = Mapping[Configuration, Mapping[int, float]]


# --- for each seed ------------------------------------------------------------------------------------------------


def _choose_by_seed(sweep: Sweep, by: Criterion, scores: Scores, seeds: frozenset[int]) -> Selection:
    """Choose for each seed the record of its best configuration; of several that tie, the first that was asked for."""
    best = {seed: _find_best({each: own[seed] for each, own in scores.items() if seed in own}, by) for seed in seeds}
    picked = {seed: by_seed(sweep.records[each])[seed] for seed, each in best.items() if each is not None}
    # A seed in which nothing ended ok keeps one of its failures, so that the row says so.
    lost = {seed: record for record in sweep.all_records() if (seed := record.trial.seed) not in picked}
    left = [record for _, record in sorted({**lost, **picked}.items())]
    times = Counter(sweep.tell_apart(each) for seed, each in sorted(best.items()) if each is not None)
    chosen = {sweep.label: Chosen(len(sweep.given), by.name, dict(times) if len(sweep.given) > 1 else {})}
    said = (*_note_absent(sweep), *_note_passed_over(sweep, by, scores, picked))
    if len(sweep.given) == 1:
        return Selection(sweep.all_records(), chosen, said)
    return Selection([relabel(record, sweep.label) for record in left], chosen, said, {sweep.label: sweep.labels()})


def _find_best(scores: Mapping[Configuration, float], by: Criterion) -> Configuration | None:
    return max(scores, key=lambda each: by.sign * scores[each], default=None)


def relabel(record: Record, label: str) -> Record:
    """The record as one of the row of that label."""
    trial = record.trial
    return dataclasses.replace(
        record, trial=dataclasses.replace(trial, method=dataclasses.replace(trial.method, label=label))
    )


def _note_passed_over(sweep: Sweep, by: Criterion, scores: Scores, chosen: Iterable[int]) -> Iterator[str]:
    """The configurations that had no score in a seed in which another one was chosen, and why."""
    seeds = sorted(chosen)
    for each, records in sweep.records.items():
        missing = [seed for seed in seeds if seed not in scores[each]]
        if missing and len(sweep.given) > 1:
            label = records[0].trial.method.label
            own = [record for record in records if record.trial.seed in missing]
            why = caveats.describe_failures(label, own) or (f"{label}: no {by.name} for {list_seeds(missing)}",)
            yield f"passed over: {'; '.join(why)}"


# --- for all seeds together ---------------------------------------------------------------------------------------


def _choose_jointly(sweep: Sweep, by: Criterion, scores: Scores, seeds: frozenset[int]) -> Selection:
    """The records of the configuration with the best mean over all seeds; where none has all, among those that have the
    same most.
    """
    most = max((own.keys() for own in scores.values()), key=len)
    wanted = seeds if any(own.keys() >= seeds for own in scores.values()) else most
    means = {each: math.fsum(own.values()) / len(own) for each, own in scores.items() if own.keys() == wanted}
    best = _find_best(means, by)
    assert best is not None
    label = sweep.records[best][0].trial.method.label
    said = (*_note_absent(sweep), *_note_survivors(sweep, best, by, scores, seeds))
    return Selection(sweep.records[best], {label: Chosen(len(sweep.given), by.name)}, said)


def _note_survivors(
    sweep: Sweep, best: Configuration, by: Criterion, scores: Scores, seeds: frozenset[int]
) -> Iterator[str]:
    """Note the configurations that were not in the running, and why."""
    label = sweep.records[best][0].trial.method.label
    if left := sorted(seeds - scores[best].keys()):
        yield f"{label} is chosen over survivors: no configuration has {by.name} for {list_seeds(left)} and the others"
    for each, records in sweep.records.items():
        if scores[each].keys() != scores[best].keys():
            other = records[0].trial.method.label
            why = "; ".join(caveats.describe_failures(other, records)) or f"{other}: no {by.name} for some"
            yield f"passed over, with {by.name} for fewer seeds than others: {why}"


# --- both ---------------------------------------------------------------------------------------------------------


def _expect_seeds(sweep: Sweep, plan: Plan) -> frozenset[int]:
    """The seeds that each configuration should have."""
    every = sweep.all_records()
    return frozenset(seed for records in sweep.records.values() for seed in plan.expect_seeds(records, every))


def _explain_unlike_data(sweep: Sweep) -> str:
    """Explain why configurations may not be compared: they are of different data."""
    classes = sameness.group_alike(list(sweep.records), sweep.records.__getitem__)
    return sameness.explain_apart(*(sweep.records[each[0]] for each in classes[:2])) if len(classes) > 1 else ""


def _read_scores(records: Iterable[Record], by: Criterion) -> dict[int, float]:
    """Read the finite scores by seed; the last record of a seed counts."""
    last = by_seed(records)
    scores = {seed: record.scores.get(by.name, math.nan) for seed, record in last.items() if record.status == "ok"}
    return {seed: score for seed, score in scores.items() if math.isfinite(score)}


def _note_absent(sweep: Sweep) -> Iterator[str]:
    if absent := len(sweep.given) - len(sweep.records):
        yield f"{sweep.label}: no record here of {absent} of its {len(sweep.given)} configurations"


def _note_unequal(every: Sequence[Sweep]) -> Iterator[str]:
    """Note sweeps of unequal size: the best of many looks better than the best of few."""
    if len({len(sweep.given) for sweep in every}) > 1:
        listed = ", ".join(f"{sweep.label} {len(sweep.given)}" for sweep in every)
        yield f"methods were given unequal numbers of configurations to choose from: {listed}"


def _views(names: Iterable[str]) -> str:
    return ", ".join(f"{name}@{VIEWS[0]}" for name in names)
