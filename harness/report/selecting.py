"""Of each sweep, the configuration that validation finds best; test scores have no say in it.

One configuration is chosen for all seeds together, by the mean of its validation score, final or at its best point: a
choice per seed would be one more thing that the others were not given. What one item of --methods stood for is one
sweep, and sweeps that share a configuration are one: what was tried was tried.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from harness.errors import UsageError
from harness.options import suggest
from harness.records.grouping import by_seed
from harness.report import notes, sameness
from harness.report.planned import Plan
from harness.selections import matching, selection
from harness.selections.grammar import literal
from harness.types import Choice, Metric, Record

VIEWS = ("valid", "valid-best")

# name, provider, and what was given, as literals
Configuration: TypeAlias = tuple[str, str | None, frozenset[tuple[str, str]]]


@dataclass(frozen=True)
class Criterion:
    """The score that decides: `view` is "valid", at the end of training, or "valid-best", at the best point."""

    metric: Metric
    view: str

    @property
    def name(self) -> str:
        """As a record calls it: `nll@valid`."""
        return f"{self.metric.name}@{self.view}"


@dataclass(frozen=True)
class Chosen:
    """How a row came to stand for its sweep: by which score, of how many configurations."""

    tried: int
    by: str


@dataclass(frozen=True)
class Selection:
    """The records that are left. chosen: by method label."""

    records: Sequence[Record]
    chosen: Mapping[str, Chosen] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Sweep:
    """Configurations of one method: all that it was given, and the records of those that have some."""

    given: tuple[Configuration, ...]
    records: Mapping[Configuration, Sequence[Record]]

    @property
    def label(self) -> str:
        """The item that it came from, or the method's name where several items met."""
        choices = [record.trial.method for records in self.records.values() for record in records]
        whole = [selection.item(choice) for choice in choices if set(_swept(choice)) == set(self.given)]
        return whole[0] if whole else choices[0].name


def criterion(text: str, metrics: Sequence[Metric]) -> Criterion:
    """The validation score that decides: `nll@valid` or `nll@valid-best`.

    Raises UsageError for an unknown metric, for one without a validation score, and for a score of the test split.
    """
    name, _, view = text.partition("@")
    scores = {metric.name: metric for metric in metrics if metric.compute is not None}
    if name not in {metric.name for metric in metrics}:
        raise UsageError(f"--select {text}: unknown metric{suggest(name, scores)}; known: {_valid(scores)}")
    if name not in scores:
        raise UsageError(f"--select {text}: {name} is a cost, which has no validation score; known: {_valid(scores)}")
    if view not in VIEWS:
        views = " or ".join(f"{name}@{each}" for each in VIEWS)
        raise UsageError(f"--select {text}: only validation may choose, or the test score means nothing: {views}")
    if view == "valid-best" and not scores[name].curve:
        raise UsageError(f"--select {text}: {name} is computed at the end of training only: {name}@valid")
    return Criterion(scores[name], view)


def choose(
    records: Sequence[Record], by: Criterion | None, items: Iterable[str] = (), plan: Plan | None = None
) -> Selection:
    """The records of the configurations chosen from each sweep, and of sweeps from which nothing can be chosen.

    records: of one data set under one protocol. by: the score that decides; None keeps everything.
    items: selections, such as `saf[rate=[0.1,0.3]]`, that make a sweep of what may have been run one by one.
    plan: which seeds a configuration should have.
    """
    if by is None:
        return Selection(records)
    kept: list[Configuration] = []
    chosen: dict[str, Chosen] = {}
    said: list[str] = []
    sweeps = _sweeps(records, items)
    for sweep in sweeps:
        seeds = _expected(sweep, plan or Plan())
        best = _best(sweep, by, seeds)
        kept += sweep.records if best is None else [best]
        said += _said(sweep, best, by, seeds)
        if best is not None:
            chosen[sweep.records[best][0].trial.method.label] = Chosen(len(sweep.given), by.name)
    left = [record for record in records if _configuration(record.trial.method) in kept]
    return Selection(left, chosen, (*_unequal(sweeps), *said))


# --- sweeps -------------------------------------------------------------------------------------------------------


def _sweeps(records: Iterable[Record], items: Iterable[str]) -> list[_Sweep]:
    """The sweeps of which there is a record, in the order of their first one."""
    held: dict[Configuration, list[Record]] = {}
    swept: dict[tuple[Configuration, ...], None] = {}
    for record in records:
        held.setdefault(_configuration(record.trial.method), []).append(record)
        swept[_swept(record.trial.method)] = None
    sets: list[tuple[Configuration, ...]] = [(configuration,) for configuration in held]
    sets += [*swept, *(given for text in items for given in _items(text, held))]
    merged = [given for given in _merged(sets) if not held.keys().isdisjoint(given)]
    return [_Sweep(given, {each: held[each] for each in held if each in given}) for given in merged]


def _merged(sets: Iterable[tuple[Configuration, ...]]) -> list[tuple[Configuration, ...]]:
    """Sets that share a configuration, joined at the place of the first of them."""
    merged: list[tuple[Configuration, ...]] = []
    for own in sets:
        shared = [other for other in merged if not set(own).isdisjoint(other)]
        joined = tuple(dict.fromkeys(each for part in (*shared, own) for each in part))
        place = merged.index(shared[0]) if shared else len(merged)
        merged = [other for other in merged if other not in shared]
        merged.insert(place, joined)
    return merged


def _configuration(choice: Choice) -> Configuration:
    provider = choice.label.partition("[")[0].rpartition(":")[0]  # as it was written: a suite leaves its own out
    return _named(choice.name, provider or None, choice.given)


def _swept(choice: Choice) -> tuple[Configuration, ...]:
    """All that the item stands for that selected a choice."""
    own = _configuration(choice)
    swept = (_named(own[0], own[1], given) for given in selection.product(choice.sweep))
    return tuple(swept) if choice.sweep else (own,)


def _items(text: str, held: Mapping[Configuration, Sequence[Record]]) -> list[tuple[Configuration, ...]]:
    """All that each item of a selection stands for; nothing for a text that is none."""
    try:
        items = [each for each in selection.parse(text, "--methods", every=True) if each.name != "*"]
    except UsageError:
        return []
    return [_variants(each, held) if each.every else _configurations(each) for each in items]


def _variants(
    selected: selection.Selected, held: Mapping[Configuration, Sequence[Record]]
) -> tuple[Configuration, ...]:
    """Those of `saf[*]`, which stands for what has a record."""
    index = matching.Index(records[0].trial.method for records in held.values())
    known = list(held)
    return tuple(known[place] for place in index.places(selected))


def _configurations(selected: selection.Selected) -> tuple[Configuration, ...]:
    return tuple(_named(selected.name, selected.provider, given) for given in selection.combinations(selected))


def _named(name: str, provider: str | None, given: Mapping[str, object]) -> Configuration:
    return name, provider, frozenset((key, _text(value)) for key, value in given.items())


def _text(value: object) -> str:
    """A value as it is compared: 1000 was written for a parameter that is 1000.0 in the record."""
    if isinstance(value, (tuple, list)):
        return f"({','.join(map(_text, value))})"
    return repr(float(value)) if type(value) is int and abs(value) < 2**53 else literal(value)


# --- choosing -----------------------------------------------------------------------------------------------------


def _expected(sweep: _Sweep, plan: Plan) -> frozenset[int]:
    """The seeds that each configuration should have."""
    every = [record for records in sweep.records.values() for record in records]
    return frozenset(seed for records in sweep.records.values() for seed in plan.expected(records, every))


def _best(sweep: _Sweep, by: Criterion, seeds: frozenset[int]) -> Configuration | None:
    """The configuration with the best mean over all seeds; where none has all, among those that have the same most.

    None where none has the score, or where configurations are of different data.
    """
    scores = {each: _scores(records, by) for each, records in sweep.records.items()}
    most = max((own.keys() for own in scores.values()), key=len)
    if not most or _apart(sweep):
        return None
    wanted = seeds if any(own.keys() >= seeds for own in scores.values()) else most
    sign = 1 if by.metric.better == "higher" else -1
    means = {each: sign * math.fsum(own.values()) / len(own) for each, own in scores.items() if own.keys() == wanted}
    return max(means, key=means.__getitem__)


def _apart(sweep: _Sweep) -> str:
    """Why configurations may not be compared: they are of different data."""
    classes = sameness.classes(list(sweep.records), sweep.records.__getitem__)
    return sameness.apart(*(sweep.records[each[0]] for each in classes[:2])) if len(classes) > 1 else ""


def _scores(records: Iterable[Record], by: Criterion) -> dict[int, float]:
    """By seed, where it is finite; the last record of a seed counts."""
    last = by_seed(records)
    scores = {seed: record.scores.get(by.name, math.nan) for seed, record in last.items() if record.status == "ok"}
    return {seed: score for seed, score in scores.items() if math.isfinite(score)}


def _said(sweep: _Sweep, best: Configuration | None, by: Criterion, seeds: frozenset[int]) -> Iterator[str]:
    """Which configurations were not in the running, and why."""
    if best is None:
        yield f"{sweep.label}: none is chosen, {_apart(sweep) or f'no trial ended with {by.name}'}"
        return
    absent = len(sweep.given) - len(sweep.records)
    if absent:
        yield f"{sweep.label}: no record here of {absent} of its {len(sweep.given)} configurations"
    chosen = _scores(sweep.records[best], by).keys()
    if left := sorted(seeds - chosen):
        label = sweep.records[best][0].trial.method.label
        yield f"{label} is chosen over survivors: no configuration has {by.name} for {notes.seeds(left)} and the others"
    for records in sweep.records.values():
        if _scores(records, by).keys() != chosen:
            label = records[0].trial.method.label
            why = "; ".join(notes.failures(label, records)) or f"{label}: no {by.name} for some"
            yield f"passed over, with {by.name} for fewer seeds than others: {why}"


def _unequal(sweeps: Sequence[_Sweep]) -> Iterator[str]:
    """The best of many looks better than the best of few, whatever the method."""
    if len({len(sweep.given) for sweep in sweeps}) > 1:
        listed = ", ".join(f"{sweep.label} {len(sweep.given)}" for sweep in sweeps)
        yield f"methods were given unequal numbers of configurations to choose from: {listed}"


def _valid(names: Iterable[str]) -> str:
    return ", ".join(f"{name}@{VIEWS[0]}" for name in names)
