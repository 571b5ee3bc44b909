"""Comparisons of pairs as text, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text

from harness.report.formats.console import open_console, print_lines, read_console
from harness.report.formats.versus_sections import (
    format_p,
    open_grid,
    print_by_example,
    print_over_datasets,
    print_tuning,
)
from harness.report.rows.over_datasets import RATIOS, OverDatasets
from harness.report.rows.tuning import Tuning
from harness.report.rows.versus import Comparison, Versus
from harness.report.wording.captions import title
from harness.report.wording.paired import format_difference, format_interval
from harness.statistics import Difference, explain_no_interval


class Found(NamedTuple):
    """All that a comparison found: by table, over data sets, of sweeps."""

    tables: Sequence[Comparison]
    over_datasets: Sequence[OverDatasets] = ()
    tuning: Sequence[Tuning] = ()


def render_comparisons(found: Found, width: int | None, colour: bool) -> str:
    """Render the comparisons of each table: the score that decides, its single examples, other scores, costs; then what
    is of several tables.
    """
    console = open_console(width, colour)
    for each in found.tables:
        console.print(Text.assemble((each.table.dataset, "bold"), "  ", (title(each.table), "dim")), soft_wrap=True)
        _print_deciding(console, each)
        print_by_example(console, each.by_example)
        shown = [item for item in each.found if item.metric in each.table.columns and not item.decides]
        scores, costs = ([item for item in shown if item.is_ratio == ratio] for ratio in (False, True))
        _print_others(console, "other scores, exploratory: intervals of 95 % each, not corrected", scores)
        _print_others(console, "costs: ratios by seed, geometric means with intervals of 95 %", costs)
        console.print()
    for weighed in found.tuning:
        print_tuning(console, weighed)
    for over in found.over_datasets:
        print_over_datasets(console, over)
    return read_console(console)


def render_json(found: Found) -> str:
    """{"schema": 1, "tables": [{"dataset", "protocol", "headline", "comparisons", "pairs": [...], "by_example":
    [...]}], "over_datasets": [...], "tuning": [...]}.
    """
    tables = [
        {
            "dataset": each.table.dataset,
            "protocol": dict(each.table.protocol),
            "headline": each.headline,
            "comparisons": each.comparisons,
            "pairs": [_dump(item) for item in each.found],
            "by_example": [asdict(item) for item in each.by_example],
        }
        for each in found.tables
    ]
    values = {
        "schema": 1,
        "tables": tables,
        "over_datasets": [_dump_over(each) for each in found.over_datasets],
        "tuning": [_dump_tuning(each) for each in found.tuning],
    }
    return json.dumps(values, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _dump(found: Versus) -> dict[str, Any]:
    return asdict(found) | {"apart": found.apart}


def _dump_over(found: OverDatasets) -> dict[str, Any]:
    improvements = [dict(zip(("left", "right", "probability"), each, strict=True)) for each in found.improvements]
    return asdict(found) | {"ranking": found.ranking._asdict(), "improvements": improvements, "ratios": RATIOS}


def _dump_tuning(found: Tuning) -> dict[str, Any]:
    curves = ([step._asdict() for step in sweep.curve] for sweep in found.sweeps)
    sweeps = [asdict(sweep) | {"curve": curve} for sweep, curve in zip(found.sweeps, curves, strict=True)]
    return asdict(found) | {"sweeps": sweeps}


def name_pair(found: Versus) -> str:
    return f"{found.left} - {found.right}"


def _print_deciding(console: Console, comparison: Comparison) -> None:
    deciding = [each for each in comparison.found if each.decides]
    if not deciding:
        return
    several, n = comparison.comparisons > 1, comparison.comparisons
    corrected = f", by Holm over {n} comparisons; intervals hold together (Bonferroni)" if several else ""
    console.print()
    print_lines(console, [f"{comparison.headline} decides: p of Student's t below 0.05{corrected}"], "bold")
    columns: dict[str, Callable[[Versus], str]] = {
        "": name_pair,
        "difference": _describe_difference,
        "p": lambda each: format_p(each.p_value),
        "by Holm": lambda each: format_p(each.adjusted) if several else "-",
        "sign flips": lambda each: format_p(each.flipped),
        "d": _format_effect,
        "test rows": _describe_rows,
    }
    texts = {head: [cell(each) for each in deciding] for head, cell in columns.items()}
    filled = {head: cells for head, cells in texts.items() if set(cells) != {"-"}}
    grid = open_grid(*filled)
    for row in zip(*filled.values(), strict=True):
        grid.add_row(*map(Text, row))
    console.print(grid)
    print_lines(console, _list_remarks(comparison, deciding), "dim")


def _list_remarks(comparison: Comparison, deciding: Sequence[Versus]) -> Iterable[str]:
    most = max(each.n for each in deciding)
    if most < comparison.pairs_needed:
        yield f"sign flips decide from {comparison.pairs_needed} seeds on, and these are {most}: Student's t alone does"
    for each in deciding:
        shown = f"; {each.n} seeds show {each.least:.2g} in 4 of 5 cases" if each.least is not None else ""
        needed = f"; what was asked for needs {each.needed} seeds" if each.needed else ""
        yield f"{name_pair(each)}: {_judge(each)}{shown}{needed}"
        if each.bca is not None:
            yield f"{name_pair(each)}: by BCa {each.bca[0]:+.4g} to {each.bca[1]:+.4g}"


def _print_others(console: Console, heading: str, found: Sequence[Versus]) -> None:
    if not found:
        return
    console.print()
    print_lines(console, [heading], "bold")
    grid = open_grid("", "")
    for name in dict.fromkeys(each.metric for each in found):
        grid.add_row(Text(name, style="bold"), Text())
        for each in (item for item in found if item.metric == name):
            words = _describe_ratio(each) if each.is_ratio else _describe_difference(each)
            grid.add_row(Text(f"  {name_pair(each)}"), Text(words))
    console.print(grid)


def _describe_difference(found: Versus) -> str:
    if found.reason:
        return f"- ({found.reason})"
    return format_difference(Difference(found.mean, None, found.n, found.low, found.high))


def _describe_ratio(found: Versus) -> str:
    if found.reason or found.mean is None:
        return f"- ({found.reason})"
    if found.exact:
        return f"{found.mean:.4g}x (count)"
    if found.low is None or found.high is None:
        return f"{found.mean:.4g}x, {explain_no_interval(found.n)}"
    return f"{format_interval(found.mean, found.low, found.high)}, n={found.n}"


def _format_effect(found: Versus) -> str:
    return "-" if found.effect is None else f"{found.effect:+.2f}"


def _describe_rows(found: Versus) -> str:
    return "-" if found.examples is None else f"{found.examples[0]:+.1f} of {found.examples[1]:,}"


def _judge(found: Versus) -> str:
    if found.mean is None or found.p_value is None:
        return "no test"
    return ("above" if found.mean > 0 else "below") if found.apart else "not told apart"
