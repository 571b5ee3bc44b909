"""One record in full, for reading."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from harness.records.grouping import describe_budget, list_lineage
from harness.report.formats.console import open_console, read_console
from harness.report.rows.table import Cell
from harness.report.rows.values import as_number, base_name, find_lower_bound
from harness.report.wording import numbers
from harness.report.wording.cleaning import clean_trace, clean_values
from harness.report.wording.scaling import find_range
from harness.types import Metric, Point, Record, Trial
from harness.words import LONGEST, clean_line, clean_text

LISTED = 4000  # characters of what is no text, such as the operators that an instrument lists
BARS = "▁▂▃▄▅▆▇█"
SECONDS = Metric("seconds", "", "s", "lower")
GAP = 1  # characters between the columns of a curve
COLOURS = {"ok": "green", "skipped": "yellow"}

Column: TypeAlias = tuple[str, list[str]]  # its head, and a cell for each point of the curve


def render_record(record: Record, metrics: Sequence[Metric], width: int | None = None, colour: bool = False) -> str:
    """Render all of one record: status, options, scores, measurements, readings, times, curve, facts, traceback."""
    console = open_console(width, colour)
    described = {metric.name: metric for metric in metrics}
    _print_head(console, record)
    _print(console, "scores", _with_units(record.scores, described))
    _print(console, "measured", _with_units(clean_values(record.measured), described))
    _print(console, "readings", _mark_bounds(record, _with_units(clean_values(record.readings), described), described))
    _print(console, "warnings", record.warnings)
    _print(console, "not measured", record.holes)
    _print(console, "seconds by phase", {phase: _quantify(value, SECONDS) for phase, value in record.seconds.items()})
    _print_curve(console, record.curve)
    for name in ("facts", "environment", "provenance"):
        _print(console, name, _flat(clean_values(getattr(record, name))))
    if record.traceback:
        _print_title(console, "traceback")
        console.print(Text(clean_trace(record.traceback)), soft_wrap=True)
    return read_console(console)


def draw_sparkline(values: Sequence[float]) -> str:
    """Draw a bar per value, from the lowest to the highest; a blank for what is not a number.

    Where a beginning would flatten the rest, the bars are scaled to the rest (`find_range`).

    >>> draw_sparkline([0.0, 0.5, 1.0, float("nan")])
    '▁▅█ '
    """
    low, high, _ = find_range(values)
    step = (high - low) / (len(BARS) - 1) or 1.0
    places = (math.floor((min(max(v, low), high) - low) / step + 0.5) if math.isfinite(v) else None for v in values)
    return "".join(" " if place is None else BARS[place] for place in places)


def _describe_line(values: Sequence[float]) -> str:
    """A sparkline and its scale: `▁▁▅█  ▁ 0.92 or less, █ 0.97 or more`."""
    low, high, beyond = find_range(values)
    ends = [("▁", low, " or less" if beyond and min(filter(math.isfinite, values)) < low else "")]
    ends += [("█", high, " or more" if beyond and max(filter(math.isfinite, values)) > high else "")]
    scale = ", ".join(f"{bar} {_shorten(end)}{more}" for bar, end, more in ends) if high > low else _shorten(low)
    return f"{draw_sparkline(values)}  {scale}"


def _print_head(console: Console, record: Record) -> None:
    trial = record.trial
    name = clean_line(f"{trial.method.label} on {trial.dataset.label}, seed {trial.seed}")
    console.print(
        Text.assemble((name, "bold"), ": ", (record.status, COLOURS.get(record.status, "red"))), soft_wrap=True
    )
    _print(console, "", {"reason": record.reason, "key": trial.key, "finished": record.finished}, empty=False)
    _print(console, "protocol", _read_protocol(trial))
    _print(console, f"options of {trial.method.name}", trial.method.options)
    _print(console, f"options of {trial.dataset.name}", trial.dataset.options)


def _read_protocol(trial: Trial) -> dict[str, Any]:
    base = trial.base and f"{trial.base.method.label}, {describe_budget(trial.base)}"
    terms = {name.replace("_", " "): value for name, value in list_lineage(trial)[0].terms.stated().items()}
    terms["budget"] = describe_budget(trial)
    terms |= {"trained on": "training and validation rows"} if trial.refit else {}
    return terms | ({"starts from": f"{base} ({trial.base.key})"} if trial.base else {})


def _print_title(console: Console, title: str) -> None:
    if title:
        console.print()
        console.print(Text(title, style="bold cyan"))


def _print(console: Console, title: str, entries: Mapping[str, Any], *, empty: bool = True) -> None:
    """Names on the left, values folded on the right; nothing for no entries."""
    shown = {name: value for name, value in entries.items() if empty or value}
    if not shown:
        return
    _print_title(console, clean_line(title))
    grid = Grid.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in shown.items():
        grid.add_row(
            Text(f"  {clean_line(name)}"), Text(clean_text(str(value), LONGEST if isinstance(value, str) else LISTED))
        )
    console.print(grid)


def _with_units(values: Mapping[str, Any], described: Mapping[str, Metric]) -> dict[str, Any]:
    """Values with their units, described metrics first and in their order, views after the plain score."""
    order = {name: place for place, name in enumerate(described)}
    known = sorted(order.keys() & map(base_name, values), key=order.__getitem__)
    names = [name for metric in known for name in sorted(values, key=lambda n: "@" in n) if base_name(name) == metric]
    shown: dict[str, Any] = {name: _quantify(values[name], described[base_name(name)]) for name in names}
    rest = {name: value for name, value in values.items() if name not in shown}
    return shown | {
        n: _quantify(value, SECONDS) if n.endswith("_seconds") else value for n, value in _flat(rest).items()
    }


def _mark_bounds(record: Record, shown: Mapping[str, Any], described: Mapping[str, Metric]) -> dict[str, Any]:
    """Mark counts that may be too low as "at least" the number."""
    reasons = {name: find_lower_bound(record, name, described) for name in shown}
    return {name: f"≥ {text} (at least: {reasons[name]})" if reasons[name] else text for name, text in shown.items()}


def _quantify(value: Any, metric: Metric) -> str:
    number = as_number(value)
    if number is None or not math.isfinite(number):
        return str(value)
    scale = numbers.scale([Cell(number, None, 1)], metric)
    per = f"per {metric.per}" if metric.per and metric.measures != "score" else ""
    return " ".join(part for part in (scale.format(number, numbers.FIGURES), scale.unit, per) if part)


def _print_curve(console: Console, curve: Sequence[Point]) -> None:
    if not curve:
        return
    _print_title(console, "curve")
    names = list(dict.fromkeys(name for point in curve for name in point.valid))
    scalars = list(dict.fromkeys(name for point in curve for name in point.scalars))
    columns = [
        ("epoch", [f"{point.epoch:.3g}" for point in curve]),
        ("seconds", [f"{point.seconds:.3g}" for point in curve]),
        *((clean_line(name), [_shorten(point.scalars.get(name)) for point in curve]) for name in scalars),
        *((clean_line(f"{name}@valid"), [_shorten(point.valid.get(name)) for point in curve]) for name in names),
    ]
    updates = ("  update", [str(point.update) for point in curve])
    for part in _group_columns(columns, console.width - _measure_column(updates)):
        console.print(_make_curve_grid([updates, *part]))
    lines = {f"{name}@valid": [point.valid.get(name, math.nan) for point in curve] for name in names}
    lines |= {name: [point.scalars.get(name, math.nan) for point in curve] for name in scalars}
    _print(console, "", {name: _describe_line(values) for name, values in lines.items()})


def _shorten(number: float | None) -> str:
    return "-" if number is None else f"{number:.4g}"


def _group_columns(columns: Sequence[Column], room: int) -> Iterator[list[Column]]:
    """Columns in as many groups, below each other, as leave none of them cut."""
    part: list[Column] = []
    for column in columns:
        if part and sum(map(_measure_column, [*part, column])) > room:
            yield part
            part = []
        part.append(column)
    yield part


def _measure_column(column: Column) -> int:
    return max(map(cell_len, [column[0], *column[1]])) + GAP


def _make_curve_grid(columns: Sequence[Column]) -> Grid:
    grid = Grid(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for head, _ in columns:
        grid.add_column(Text(head), justify="right", no_wrap=True)
    for row in zip(*(cells for _, cells in columns), strict=True):
        grid.add_row(*row)
    return grid


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
