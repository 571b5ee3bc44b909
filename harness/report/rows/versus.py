"""Rows held against one of them, or all pairs, on every metric: differences of scores and ratios of costs, by seed.

One score decides, the headline: its p-values are Holm's over the rivals of the table, its intervals hold together
(Bonferroni). All other scores are exploratory, each with an interval of its own. Costs are ratios.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from harness.report.rows.by_example import ByExample, Known, compare_examples
from harness.report.rows.table import Cell, Row, Table, find_headline, is_cost
from harness.statistics import compute_interval, estimate_mean, paired_difference
from harness.statistics.hypotheses import adjust_holm, pairs_to_decide, sign_flip_test, simultaneous_confidence, t_test
from harness.statistics.power import find_least_difference, find_seeds_needed
from harness.statistics.resampling import bca_interval
from harness.types import Metric

LEVEL = 0.05


@dataclass(frozen=True)
class Versus:
    """One row against another on one metric, over the seeds that both have.

    difference: of scores, left less right, and its interval: simultaneous over the rivals where `decides`. ratio: of
    costs, the geometric mean of left over right and its interval; exact where counts decide without chance. p_value:
    Student's t; adjusted: Holm's; flipped: of sign flips, None where so few seeds cannot decide. effect: standardised
    mean difference, corrected for few seeds (Hedges). rows: test examples that the mean difference amounts to, of so
    many. least: the difference that these seeds would have shown with power .8. needed: seeds for a difference that was
    asked for.
    """

    left: str
    right: str
    metric: str
    n: int
    decides: bool = False
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    bca: tuple[float, float] | None = None
    is_ratio: bool = False
    exact: bool = False
    p_value: float | None = None
    adjusted: float | None = None
    flipped: float | None = None
    effect: float | None = None
    examples: tuple[float, int] | None = None
    least: float | None = None
    needed: int | None = None
    reason: str = ""

    @property
    def apart(self) -> bool:
        """Whether the two are told apart: by Holm's p-value where this decides, by the interval elsewhere."""
        if self.exact:
            return self.mean not in (None, 1.0 if self.is_ratio else 0.0)
        if self.decides:
            return self.adjusted is not None and self.adjusted <= LEVEL
        neutral = 1.0 if self.is_ratio else 0.0
        return self.low is not None and self.high is not None and not self.low <= neutral <= self.high


@dataclass(frozen=True)
class Comparison:
    """The comparisons of one table. headline: the score that decides; comparisons: over how many rivals; by_example:
    of the headline, over single test examples.
    """

    table: Table
    headline: str | None
    comparisons: int
    found: tuple[Versus, ...]
    pairs_needed: int
    by_example: tuple[ByExample, ...] = ()


def compare_table(
    table: Table,
    metrics: Mapping[str, Metric],
    all_pairs: bool = False,
    detect: float | None = None,
    known: Known | None = None,
) -> Comparison:
    """Compare the rows of a table with its first, or all pairs.

    detect: a difference of the headline to find the number of seeds for. known: scores of single test examples.
    """
    rows = [row for row in table.rows if row.n]
    pairs = list(combinations(rows, 2)) if all_pairs else [(rows[0], row) for row in rows[1:]]
    headline = find_headline(table, metrics)
    confidence, found = simultaneous_confidence(len(pairs)), []
    for name in table.names:
        decides = name == headline
        own = [
            _compare_pair(
                right, left, name, metrics[name], confidence if decides else 0.95, detect if decides else None
            )
            for left, right in pairs
        ]
        found += _adjust([replace(each, decides=True) for each in own]) if decides else own
    single = () if known is None or headline is None else _compare_single(pairs, headline, confidence, known)
    return Comparison(table, headline, len(pairs), tuple(found), pairs_to_decide(max(1, len(pairs)), LEVEL), single)


def _compare_single(
    pairs: Sequence[tuple[Row, Row]], headline: str, confidence: float, known: Known
) -> tuple[ByExample, ...]:
    """Compare single examples of the pairs whose headline can be compared."""
    able = [
        (right, left)
        for left, right in pairs
        if (seeds := set(left.cells[headline].values) & set(right.cells[headline].values))
        and not _explain_apart(right, left, right.cells[headline], left.cells[headline], sorted(seeds))
    ]
    found = (compare_examples(*pair, headline, confidence, known) for pair in able)
    return tuple(each for each in found if each is not None)


def _compare_pair(left: Row, right: Row, name: str, metric: Metric, confidence: float, detect: float | None) -> Versus:
    ours, theirs = left.cells[name], right.cells[name]
    shared = [seed for seed in ours.values if seed in theirs.values]
    blank = Versus(left.method, right.method, name, len(shared), is_ratio=is_cost(metric))
    if reason := _explain_apart(left, right, ours, theirs, shared):
        return replace(blank, reason=reason)
    if is_cost(metric):
        return _compare_costs(blank, ours, theirs, shared, metric, confidence)
    return _compare_scores(blank, left, right, shared, confidence, detect)


def _explain_apart(left: Row, right: Row, ours: Cell, theirs: Cell, shared: Sequence[int]) -> str:
    if left.data != right.data:
        return "of different data"
    for row, cell in ((left, ours), (right, theirs)):
        if cell.mean is None:
            return f"{row.method}: {cell.hole or 'not measured'}"
        if cell.range is not None:
            return f"{row.method}: its seeds were given different configurations"
    return "" if shared else "no seed in common"


def _compare_costs(
    blank: Versus, ours: Cell, theirs: Cell, shared: Sequence[int], metric: Metric, confidence: float
) -> Versus:
    pairs = [(ours.values[seed], theirs.values[seed]) for seed in shared]
    if min(min(pair) for pair in pairs) <= 0:
        return replace(blank, reason="a cost of zero has no ratio")
    logs = [math.log(left / right) for left, right in pairs]
    mean = estimate_mean(logs).mean
    assert mean is not None
    exact = metric.exact and ours.exact and theirs.exact
    around = None if exact or None in (ours.sd, theirs.sd) else compute_interval(logs, confidence)
    low, high = (None, None) if around is None else (math.exp(around[0]), math.exp(around[1]))
    return replace(blank, mean=math.exp(mean), low=low, high=high, exact=exact)


def _compare_scores(
    blank: Versus, left: Row, right: Row, shared: Sequence[int], confidence: float, detect: float | None
) -> Versus:
    ours, theirs = ({seed: row.cells[blank.metric].values[seed] for seed in shared} for row in (left, right))
    mean, sd, n, low, high = paired_difference(ours, theirs, confidence)
    differences = [ours[seed] - theirs[seed] for seed in shared]
    decidable = n >= pairs_to_decide(1, 1 - confidence)
    scattered = sd if n > 1 and sd else None
    return replace(
        blank,
        mean=mean,
        low=low,
        high=high,
        bca=bca_interval(differences, confidence),
        p_value=t_test(differences) if scattered else None,
        flipped=sign_flip_test(differences) if decidable else None,
        effect=_standardise(mean, sd, n),
        examples=_count_examples(mean, blank.metric, left),
        least=None if scattered is None else find_least_difference(scattered, n, level=1 - confidence),
        needed=None
        if detect is None or scattered is None
        else find_seeds_needed(detect, scattered, level=1 - confidence),
    )


def _standardise(mean: float | None, sd: float | None, n: int) -> float | None:
    """Standardise by the deviation of the differences, with Hedges' correction: below three pairs there is none."""
    if mean is None or not sd or n < 3:
        return None
    return mean / sd * (1 - 3 / (4 * (n - 1) - 1))


def _count_examples(mean: float | None, metric: str, row: Row) -> tuple[float, int] | None:
    """Count the test examples that a difference in accuracy amounts to, where all seeds have as many."""
    sizes = {record.measured.get("rows", {}).get("test") for record in row.records if record.status == "ok"}
    if mean is None or metric.partition("@")[0] != "accuracy" or len(sizes) != 1 or not (size := sizes.pop()):
        return None
    return mean * size, int(size)


def _adjust(found: Sequence[Versus]) -> list[Versus]:
    """Adjust the p-values of those that have one, by Holm."""
    tested = [each for each in found if each.p_value is not None]
    adjusted = iter(adjust_holm([each.p_value for each in tested if each.p_value is not None]))
    return [each if each.p_value is None else replace(each, adjusted=next(adjusted)) for each in found]
