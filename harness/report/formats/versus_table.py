"""Comparisons of pairs as text, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from harness.report.formats.console import open_console, print_lines, read_console
from harness.report.rows.versus import Comparison, Versus
from harness.report.wording.captions import title
from harness.report.wording.paired import format_difference, format_interval
from harness.statistics import Difference, explain_no_interval

LEAST_LABEL = 20  # characters of a pair, which is folded beyond that where there is no room


def render_comparisons(found: Sequence[Comparison], width: int | None, colour: bool) -> str:
    """Render the comparisons of each table: the score that decides, other scores, costs."""
    console = open_console(width, colour)
    for each in found:
        console.print(Text.assemble((each.table.dataset, "bold"), "  ", (title(each.table), "dim")), soft_wrap=True)
        _print_deciding(console, each)
        shown = [item for item in each.found if item.metric in each.table.columns and not item.decides]
        scores, costs = ([item for item in shown if item.is_ratio == ratio] for ratio in (False, True))
        _print_others(console, "other scores, exploratory: intervals of 95 % each, not corrected", scores)
        _print_others(console, "costs: ratios by seed, geometric means with intervals of 95 %", costs)
        console.print()
    return read_console(console)


def render_json(found: Sequence[Comparison]) -> str:
    """{"schema": 1, "tables": [{"dataset", "protocol", "headline", "comparisons", "pairs": [...]}]}."""
    tables = [
        {
            "dataset": each.table.dataset,
            "protocol": dict(each.table.protocol),
            "headline": each.headline,
            "comparisons": each.comparisons,
            "pairs": [_dump(item) for item in each.found],
        }
        for each in found
    ]
    return json.dumps({"schema": 1, "tables": tables}, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _dump(found: Versus) -> dict[str, Any]:
    return asdict(found) | {"apart": found.apart}


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
        "p": lambda each: _format_p(each.p_value),
        "by Holm": lambda each: _format_p(each.adjusted) if several else "-",
        "sign flips": lambda each: _format_p(each.flipped),
        "d": _format_effect,
        "test rows": _describe_rows,
    }
    texts = {head: [cell(each) for each in deciding] for head, cell in columns.items()}
    filled = {head: cells for head, cells in texts.items() if set(cells) != {"-"}}
    grid = _open_grid(*filled)
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
            yield f"{name_pair(each)}: by BCa {each.bca[0]:+.4g} to {each.bca[1]:+.4g} (95 %)"


def _print_others(console: Console, heading: str, found: Sequence[Versus]) -> None:
    if not found:
        return
    console.print()
    print_lines(console, [heading], "bold")
    grid = _open_grid("", "")
    for name in dict.fromkeys(each.metric for each in found):
        grid.add_row(Text(name, style="bold"), Text())
        for each in (item for item in found if item.metric == name):
            words = _describe_ratio(each) if each.is_ratio else _describe_difference(each)
            grid.add_row(Text(f"  {name_pair(each)}"), Text(words))
    console.print(grid)


def _open_grid(*heads: str) -> Grid:
    shown = any(heads)
    grid = Grid(box=SIMPLE_HEAD if shown else None, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    grid.show_header, grid.header_style = shown, "bold"
    for place, head in enumerate(heads):
        grid.add_column(Text(head), overflow="fold", no_wrap=place > 1, min_width=0 if place else LEAST_LABEL)
    return grid


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


def _format_p(value: float | None) -> str:
    if value is None:
        return "-"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _format_effect(found: Versus) -> str:
    return "-" if found.effect is None else f"{found.effect:+.2f}"


def _describe_rows(found: Versus) -> str:
    return "-" if found.examples is None else f"{found.examples[0]:+.1f} of {found.examples[1]:,}"


def _judge(found: Versus) -> str:
    if found.mean is None or found.p_value is None:
        return "no test"
    return ("above" if found.mean > 0 else "below") if found.apart else "not told apart"
