"""Records to a summary: one table per data set and protocol, one row per method, and what to beware of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.records import grouping
from harness.records.plans import Planned
from harness.report.rows import caveats, sameness, timing
from harness.report.rows.planned import Plan
from harness.report.rows.rivals import compare_rows
from harness.report.rows.selecting import Choosing, Chosen, Selection
from harness.report.rows.table import Cell, Row, Summary, Table
from harness.report.rows.values import (
    TO_TARGET,
    Target,
    Value,
    base_name,
    find_lower_bound,
    find_target_metric,
    is_known,
    list_sources,
    mark_headline,
    read_value,
)
from harness.statistics import estimate_mean
from harness.types import Metric, Record
from harness.types.terms import make_heading
from harness.words import cap_texts, list_seeds

DEFAULT_COSTS = ("update_seconds", "activation_bytes", "forward_macs", "total_macs")


@dataclass(frozen=True)
class Asked:
    """The contents of tables: metrics by name, those that the user chose if any, the score to reach, what was planned.

    every: all records, those of other tables and of what a method starts from among them.
    """

    shown: Mapping[str, Metric]
    chosen: Sequence[str] | None
    target: float | None
    plan: Plan
    every: Sequence[Record]


def summarise(
    records: Sequence[Record],
    metrics: Sequence[Metric],
    *,
    columns: Sequence[str] | None = None,
    target: float | None = None,
    select: Choosing | None = None,
    planned: Sequence[Planned] = (),
    refit: bool = False,
) -> Summary:
    """Group records into tables, in the order in which methods and data sets first appear.

    metrics: descriptors, in the order in which to show them. columns: names to show, with a suffix such as @best where
    wanted; by default all scores and the usual costs. target: validation score whose training time is
    `seconds_to_target`. select: how one configuration of each sweep is chosen, if at all. planned: what runs meant to
    run. refit: only tables of what was trained anew on training and validation rows. Raises KeyError for a column that
    no metric describes.
    """
    records = timing.add_totals(records)
    described = {metric.name: metric for metric in metrics}
    names = _list_names(records, metrics) if columns is None else _expand_columns(columns, records, described)
    if target is not None and TO_TARGET not in names:
        names.append(TO_TARGET)
    plan = Plan(planned)
    groups = (select or Choosing()).select(records, plan, refit)
    members = {row: own for group in groups for row, own in group.members.items()}
    shown = {name: described[base_name(name)] for name in names}
    asked = Asked(shown, columns, target, plan.merge_members(members), records)
    tables = [_make_table(group, metrics, asked) for group in groups]
    said = [*plan.note_missing(records)]
    for group, table in zip(groups, tables, strict=True):
        own = [record for record in group.records if record.status == "ok"]
        name = f"{table.dataset}, {make_heading(table.protocol)}," if len(tables) > 1 else ""
        said += [*group.notes, *_note_apart(table, group.records), *caveats.gather(own, records, described, name)]
    standing = tuple(each for group in groups for each in group.records if each.trial.method.label in group.members)
    return Summary(tuple(tables), asked.shown, tuple(dict.fromkeys(said)), standing=standing, members=members)


def _list_names(records: Iterable[Record], metrics: Iterable[Metric]) -> list[str]:
    """Every metric that some record knows, each followed by its views."""
    scored = list(dict.fromkeys(name for record in records for name in record.scores))
    names = []
    for metric in metrics:
        if any(is_known(record, metric.name) for record in records):
            names.append(metric.name)
        names += [name for name in scored if "@" in name and base_name(name) == metric.name]
    return names


def _expand_columns(columns: Sequence[str], records: Sequence[Record], described: Mapping[str, Metric]) -> list[str]:
    """Expand these names: those of metrics of shifted splits are followed by the name for each split."""
    scored = dict.fromkeys(name for record in records for name in (*record.scores, *record.holes) if "@" in name)
    names: dict[str, None] = {}
    for column in columns:
        names[column] = None
        if column in described and described[column].shifted:
            names |= dict.fromkeys(name for name in scored if base_name(name) == column)
    return list(names)


def _make_table(selection: Selection, metrics: Sequence[Metric], asked: Asked) -> Table:
    records = selection.records
    asked = replace(asked, shown={name: mark_headline(metric, records) for name, metric in asked.shown.items()})
    compared = find_target_metric(records, metrics)
    target = Target(asked.target, compared) if asked.target is not None and compared else None
    by_method = grouping.group_rows(records)
    described = {metric.name: metric for metric in metrics}
    rows = [_make_row(method, group, asked.shown, described, target) for method, group in by_method.items()]
    rows = [_add_planned(row, by_method[row.method], records, asked.plan) for row in rows]
    rows = compare_rows([_add_choice(row, selection.chosen.get(row.method)) for row in rows], by_method, asked.shown)
    names = [name for name in asked.shown if _is_wanted(records, name, asked)]
    first = records[0].trial
    # Where a configuration was trained anew nothing validates.
    usual = [name for name in names if not first.refit or "@" not in name or asked.shown[name].shifted]
    columns = names if asked.chosen is not None else _pick_usual(usual, asked, timing.find_phases(records, asked.every))
    return Table(first.dataset.label, grouping.trial_protocol(first), tuple(rows), tuple(names), tuple(columns))


def _is_wanted(records: Sequence[Record], name: str, asked: Asked) -> bool:
    if asked.chosen is not None and name in asked.chosen:
        return name not in {base_name(each) for each in _expand_columns([name], records, asked.shown)[1:]}
    to_target = name == TO_TARGET and asked.target is not None
    return to_target or any(is_known(record, name) for record in records)


def _pick_usual(names: Sequence[str], asked: Asked, phases: Collection[str]) -> tuple[str, ...]:
    """The final scores, those of shifted splits too, the one that validation goes by with its best beside it, the usual
    costs, and what a method trains outside its updates.
    """
    scores = [name for name in names if _is_score(asked.shown[name]) and ("@" not in name or _stands(name, asked))]
    costs = [name for name in (*DEFAULT_COSTS, *phases) if name in names]
    return (*scores, *costs, *([TO_TARGET] if asked.target is not None else []))


def _is_score(metric: Metric) -> bool:
    return metric.measures == "score"


def _stands(name: str, asked: Asked) -> bool:
    """Whether a score stands in every table though it has a view, or is of a shifted split."""
    metric = asked.shown[name]
    return metric.shifted or (metric.headline and name == f"{base_name(name)}@best")


def _make_row(
    method: str,
    records: Sequence[Record],
    shown: Mapping[str, Metric],
    described: Mapping[str, Metric],
    target: Target | None,
) -> Row:
    used = tuple(grouping.by_seed(records).values())
    good = [record for record in used if record.status == "ok"]
    unlike = _are_unlike([record.trial.method.options for record in good])
    cells = {
        name: replace(
            _make_cell([(record, read_value(record, name, metric, target)) for record in good], name, metric, unlike),
            lower_bound=next(filter(None, (find_lower_bound(record, name, described) for record in good)), ""),
        )
        for name, metric in shown.items()
    }
    statuses: Counter[str] = Counter(record.status for record in used)
    seeds = tuple(record.trial.seed for record in good)
    failures = caveats.describe_failures(method, used)
    return Row(method, len(good), seeds, dict(statuses), cells, failures, records=used)


def _add_planned(row: Row, own: Sequence[Record], table: Sequence[Record], plan: Plan) -> Row:
    """The row with the seeds that it should have."""
    recorded = {record.trial.seed for record in own}
    unrecorded = plan.planned_for(own[0]) - recorded
    return replace(row, planned=tuple(sorted(plan.expect_seeds(own, table))), unrecorded=tuple(sorted(unrecorded)))


def _add_choice(row: Row, chosen: Chosen | None) -> Row:
    return row if chosen is None else replace(row, tried=chosen.tried, selected_by=chosen.by, times=chosen.times)


def _are_unlike(options: Sequence[Mapping[str, object]]) -> bool:
    """Whether a value differs; an option that only some of them have no longer exists, or did not yet."""
    shared = set(options[0]).intersection(*options[1:]) if options else set()
    return any(len({repr(each[name]) for each in options}) > 1 for name in shared)


def _make_cell(values: Sequence[tuple[Record, Value]], name: str, metric: Metric, unlike: bool) -> Cell:
    """The estimate over the seeds in which it was measured and, where some have no number, why, with the seeds unless
    it holds for all.

    unlike: the seeds were given different configurations, so that what they cost has a range, and no deviation.
    """
    if not values:
        return Cell(None, None, 0, "no trial ended ok")
    numbers, taken = _read_numbers(values, name)
    mean, sd, n = estimate_mean(list(numbers.values()))
    missing: dict[str, list[int]] = {}
    for record, found in values:
        if found.number is None:
            missing.setdefault(found.reason, []).append(record.trial.seed)
    whole = len(missing) == 1 and n == 0
    reasons = [reason if whole else f"{reason} ({list_seeds(seeds)})" for reason, seeds in missing.items()]
    hole, covers = "; ".join(reasons), len(values) - sum(map(len, missing.values()))
    if unlike and numbers and not _is_score(metric):
        every = [found.number for _, found in values if found.number is not None]
        ends = (min(every), max(every))
        return Cell(estimate_mean(every)[0], None, len(every), hole, range=ends, covers=covers, values=numbers)
    if timing.is_share(name, (record for record, _ in values)):
        sd = None  # seeds that were trained as one have one measurement, and so no deviation
    exact = metric.exact and not sd
    return Cell(mean, sd, n, hole, exact=exact, taken=taken, covers=covers, values=numbers)


def _read_numbers(values: Sequence[tuple[Record, Value]], name: str) -> tuple[dict[int, float], tuple[int, ...]]:
    """Read numbers by the seed in which each was measured, and the seeds that took one over from a source."""
    had = [(record, found.number) for record, found in values if found.number is not None]
    over = [(record, number, list_sources(record, name)) for record, number in had]
    numbers = {record.trial.seed: number for record, number, seeds in over if not seeds}
    for _, number, seeds in over:
        numbers |= {seed: number for seed in seeds if seed not in numbers}
    return numbers, tuple(record.trial.seed for record, _, seeds in over if seeds)


# --- what is not compared -----------------------------------------------------------------------------------------


def _note_apart(table: Table, records: Sequence[Record]) -> Iterator[str]:
    """Note rows that lack seeds or are of other data: why they have no mark, no ratio, no difference."""
    lacking = [f"{row.method} {', '.join(map(str, own))}" for row in table.rows if row.n and (own := row.lacking_seeds)]
    if lacking:
        listed = "; ".join(cap_texts(lacking))
        yield f"rows that lack seeds are never the best and have no ratio but of counts: {listed}"
    by_method = grouping.group_rows(records)
    classes = sameness.group_alike(list(by_method), by_method.__getitem__)
    if len(classes) > 1:
        listed = "; ".join(cap_texts(", ".join(cap_texts(labels)) for labels in classes))
        why = sameness.explain_apart(by_method[classes[0][0]], by_method[classes[1][0]])
        yield f"rows of {table.dataset} over different data are neither paired nor compared: {listed} ({why})"
