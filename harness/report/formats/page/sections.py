"""Contents of the page's sections for each table: answers, plots with the numbers behind them, cells, bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from markupsafe import Markup

from harness.report.formats.page import figures, svg
from harness.report.rows import again, curves, parts, swept, tradeoff
from harness.report.rows.parts import Part
from harness.report.rows.table import Cell, Row, Summary, Table
from harness.report.wording import answers, numbers, paired
from harness.report.wording.captions import ARROWS, count_seeds, group_metric, list_taken_over, title
from harness.report.wording.published import Footnotes
from harness.types import Metric
from harness.words import format_count

MOST_BARS = 60  # methods of a chart of bars
COSTS_OF_SWEEP = 2  # plots of a swept option beside that of the score


class Plot(NamedTuple):
    """A plot, what its caption says, and the numbers behind it."""

    drawing: Markup
    caption: str
    heads: Sequence[str]
    numbers: Sequence[Sequence[str]]
    score: str = ""
    cost: str = ""
    figure: figures.Figure | None = None


class Bar(NamedTuple):
    """A row of a chart of stacked bars: shares of the longest bar in percent by part, the whole in words, each part."""

    method: str
    shares: Sequence[tuple[int, float, str]]
    whole: str
    amounts: Sequence[str]


class Chart(NamedTuple):
    """Stacked bars. kinds: what the parts are called."""

    title: str
    caption: str
    kinds: Sequence[str]
    bars: Sequence[Bar]
    left_out: int


@dataclass(frozen=True)
class Shown:
    """A cell of the static table: its number, below it interval and ratio, why there is none, a mark of a footnote."""

    mean: str
    below: str = ""
    best: bool = False
    mark: str = ""
    apart: bool = False


@dataclass(frozen=True)
class Column:
    """A column of the static table."""

    name: str
    unit: str
    arrow: str
    group: str
    summary: str


@dataclass(frozen=True)
class Section:
    """Everything that the page shows of one table."""

    number: int
    dataset: str
    title: str
    trials: str
    answers: Sequence[answers.Answer]
    failures: Sequence[str]
    columns: Sequence[Column]
    rows: Sequence[tuple[Row, str, str, Sequence[Shown]]]
    footnotes: Sequence[str]
    paired: tuple[str, Sequence[tuple[str, str]]]
    tradeoff: Plot | None
    curves: Plot | None
    sweeps: Sequence[tuple[str, Sequence[Plot]]]
    charts: Sequence[Chart]
    energy: Sequence[Sequence[str]]
    metered: bool
    command: str


def list_sections(summary: Summary, keys: Mapping[str, int]) -> list[Section]:
    """List what the page shows of each table, in their order."""
    return [_make_section(number, table, summary.metrics, keys) for number, table in enumerate(summary.tables)]


def _make_section(number: int, table: Table, metrics: Mapping[str, Metric], keys: Mapping[str, int]) -> Section:
    reasons = Footnotes()
    return Section(
        number=number,
        dataset=table.dataset,
        title=title(table),
        trials=answers.describe_table(table),
        answers=list(answers.list_answers(table, metrics)),
        failures=[line for row in table.rows for line in row.failures],
        columns=[_make_table_column(table, name, metrics[name]) for name in table.columns],
        rows=_make_rows(table, metrics, reasons),
        footnotes=[*reasons.list_lines(), *_list_more(table)],
        paired=(paired.write_heading(table), list(paired.list_entries(table))),
        tradeoff=_plot_tradeoff(table, metrics, keys),
        curves=_plot_curves(table, metrics, keys),
        sweeps=list(_plot_sweeps(table, metrics, keys)),
        charts=[chart for make in CHARTS if (chart := make(table))],
        energy=list(_list_energies(table)),
        metered=any(row.cells[name].mean is not None for row in table.rows for name in row.cells if name == JOULES),
        command=again.write_table_command(table),
    )


# --- the table ----------------------------------------------------------------------------------------------------


def _make_table_column(table: Table, name: str, metric: Metric) -> Column:
    unit = figures.scale_column(table, name, {name: metric}).unit
    return Column(name, unit, ARROWS[metric.better].strip(), group_metric(metric), metric.summary)


def _make_rows(
    table: Table, metrics: Mapping[str, Metric], reasons: Footnotes
) -> list[tuple[Row, str, str, Sequence[Shown]]]:
    columns = {name: figures.scale_column(table, name, metrics) for name in table.columns}
    best = {name: scale.best([row.cells[name] for row in table.rows]) for name, scale in columns.items()}
    return [
        (
            row,
            count_seeds(row),
            answers.describe_statuses(row),
            [_show_value(row, name, scale, best[name][place], reasons) for name, scale in columns.items()],
        )
        for place, row in enumerate(table.rows)
    ]


def _show_value(row: Row, name: str, scale: numbers.Scale, best: bool, reasons: Footnotes) -> Shown:
    cell = row.cells[name]
    if cell.mean is None:
        return Shown("–", mark=reasons.mark(cell.hole) if row.n else "")
    ends = cell.interval
    below = [f"{scale.format(ends[0], 2)} to {scale.format(ends[1], 2)}"] if ends else []
    below += [f"{scale.deviation(cell).strip()}"] if cell.range is not None else []
    below += [numbers.format_ratio(cell.relative)] if cell.relative is not None else []
    below += [f"n={cell.n}"] if cell.n < row.n and cell.hole else []
    notes = cell.hole or (f"at least: {cell.lower_bound}" if cell.lower_bound else "")
    mean = f"{'≥ ' if cell.lower_bound else ''}{scale.mean(cell)}"
    return Shown(mean, " · ".join(below), best, reasons.mark(notes), bool(tradeoff.explain_apart(row, cell)))


def _list_more(table: Table) -> Iterator[str]:
    """List further lines below a table: choices, readings that were carried over."""
    yield from (row.choice for row in table.rows if row.choice)
    yield from list_taken_over(table)


# --- plots --------------------------------------------------------------------------------------------------------


def _plot_tradeoff(table: Table, metrics: Mapping[str, Metric], keys: Mapping[str, int]) -> Plot | None:
    axes = tradeoff.pick_axes(table, metrics)
    if axes is None:
        return None
    score, cost = axes
    figure = figures.draw_tradeoff(table, metrics, keys, score, cost)
    placed = tradeoff.place_points(table, score, cost, metrics)
    absent = [f"{point.row.method}: {point.apart}" for point in placed if not point.is_placed]
    label = f"{score} against {cost} on {table.dataset}, {format_count(len(figure['series']), 'method')}"
    caption = f"Not in the plot: {'; '.join(absent[:4])}{' and more' if len(absent) > 4 else ''}." if absent else ""
    scales = [figures.scale_column(table, name, metrics) for name in axes]
    behind = [_describe_point(point, scales) for point in placed]
    heads = ("method", score, cost, "Pareto front")
    return Plot(svg.draw(figure, label), caption, heads, behind, score, cost)


def _describe_point(point: tradeoff.TradePoint, scales: Sequence[numbers.Scale]) -> list[str]:
    said = [figures.describe_cell(cell, scale) for cell, scale in zip((point.score, point.cost), scales, strict=True)]
    return [point.row.method, *said, "yes" if point.front else f"not compared: {point.apart}" if point.apart else "no"]


def _plot_curves(table: Table, metrics: Mapping[str, Metric], keys: Mapping[str, int]) -> Plot | None:
    scores = curves.list_curve_scores(table, metrics)
    if not scores:
        return None
    figure = figures.draw_curves(table, metrics, keys, scores[0], "update")
    if not figure["series"]:
        return None
    label = f"validation {scores[0]} during training on {table.dataset}"
    last = [[each["name"], *_describe_end(each["points"])] for each in figure["series"]]
    heads = ("method", "points", "first", "last")
    return Plot(svg.draw(figure, label), _say_muted(figure), heads, last, scores[0])


def _describe_end(points: Sequence[Sequence[Any]]) -> list[str]:
    first, last = (point[8].partition(": ")[2] for point in (points[0], points[-1]))
    return [str(len(points)), first, last]


def _say_muted(figure: figures.Figure) -> str:
    muted = sum(series["muted"] for series in figure["series"])
    named = len(figure["series"]) - muted
    return f"The best {named} at the end have names, the next {muted} are grey; the table has all." if muted else ""


def _plot_sweeps(
    table: Table, metrics: Mapping[str, Metric], keys: Mapping[str, int]
) -> Iterator[tuple[str, Sequence[Plot]]]:
    """For each swept option plots of the score and of the usual costs that differ along it."""
    lines = swept.find_lines(table)
    for option in dict.fromkeys(line.option for line in lines):
        own = [line for line in lines if line.option == option]
        costs = [name for name in tradeoff.USUAL_COSTS if name in metrics and _varies(own, name)][:COSTS_OF_SWEEP]
        names = [*tradeoff.list_scores(table, metrics)[:1], *costs]
        plots = [_plot_sweep(table, metrics, keys, own, name) for name in names]
        yield option, [plot for plot in plots if plot.drawing]


def _varies(lines: Sequence[swept.SweptLine], name: str) -> bool:
    return any(len({row.cells[name].mean for _, row in line.points} - {None}) > 1 for line in lines)


def _plot_sweep(
    table: Table,
    metrics: Mapping[str, Metric],
    keys: Mapping[str, int],
    lines: Sequence[swept.SweptLine],
    name: str,
) -> Plot:
    figure = figures.draw_sweep(table, metrics, keys, lines, name)
    option = lines[0].option
    behind = list(figures.list_numbers(figure))
    label = f"{name} over {option} on {table.dataset}"
    drawing = svg.draw(figure, label, width=620, height=340)
    heads = ("method", f"{name} at {option}")
    return Plot(drawing, _say_muted(figure), heads, behind, name, option, figure)


# --- bars ---------------------------------------------------------------------------------------------------------

JOULES = "energy_joules"


def _make_chart(
    table: Table, heading: str, caption: str, split: Callable[[Row], Sequence[Part]], unit: str
) -> Chart | None:
    """A chart of parts that add up, as long as the rows that have some; None where no row has two."""
    found = [(row, own) for row in table.rows if (own := split(row))]
    kinds = list(dict.fromkeys(_name_cost_part(part) for _, own in found for part in own if part.amount))
    if not found or not kinds:
        return None
    shown, longest = found[:MOST_BARS], max(sum(part.amount for part in own) for _, own in found) or 1.0
    metric = Metric(heading, "", unit, "lower", measures="cost")
    scale = numbers.scale([_whole(own) for _, own in shown], metric)
    bars = [_make_bar(row, own, kinds, longest, scale) for row, own in shown]
    return Chart(heading, caption, kinds, bars, len(found) - len(shown))


def _whole(own: Sequence[Part]) -> Cell:
    return Cell(sum(part.amount for part in own), None, 1)


def _make_bar(row: Row, own: Sequence[Part], kinds: Sequence[str], longest: float, scale: numbers.Scale) -> Bar:
    amounts = {_name_cost_part(part): part.amount for part in own}
    shares = [
        (place, round(100 * amounts[kind] / longest, 2), f"{kind}: {_format_cell(amounts[kind], scale)}")
        for place, kind in enumerate(kinds)
        if amounts.get(kind)
    ]
    each = [_format_cell(amounts[kind], scale) if kind in amounts else "–" for kind in kinds]
    return Bar(row.method, shares, _format_cell(sum(amounts.values()), scale), each)


def _format_cell(amount: float, scale: numbers.Scale) -> str:
    return f"{scale.format(amount)} {scale.unit}".rstrip()


def _name_cost_part(part: Part) -> str:
    return f"{part.of}, {part.what}" if part.of in parts.PHASES.values() else part.what


def _chart_update(table: Table) -> Chart | None:
    return _make_chart(table, "Operations of a training update", "By phase and kind.", parts.split_update, "")


def _chart_prediction(table: Table) -> Chart | None:
    caption = "Of one example, as executed: also those multiplications are counted that have a zero in them."
    return _make_chart(table, "Operations of a prediction", caption, parts.split_prediction, "")


def _chart_effective(table: Table) -> Chart | None:
    caption = (
        "Of one example: pairs of a nonzero weight and a nonzero input. Where the input is a spike it accumulates."
    )
    return _make_chart(table, "Operations of a prediction without zeros", caption, parts.split_effective, "")


def _chart_memory(table: Table) -> Chart | None:
    caption = "Peaks of live tensors, the data left out; peaks of the parts need not fall on one moment."
    return _make_chart(table, "Memory of a training update", caption, parts.split_training_memory, "B")


def _chart_prediction_memory(table: Table) -> Chart | None:
    caption = "Of 32 rows at once."
    return _make_chart(table, "Memory of a prediction", caption, parts.split_prediction_memory, "B")


CHARTS = (_chart_update, _chart_prediction, _chart_effective, _chart_memory, _chart_prediction_memory)


def _list_energies(table: Table) -> Iterator[list[str]]:
    """List estimated energies of a prediction, and metered ones of a training, method by method."""
    known = [(row, found) for row in table.rows if any(found := parts.estimate_energy(row))]
    for row, found in known[:MOST_BARS]:
        cached = None if None in (found.executed, found.cache) else (found.executed or 0) + (found.cache or 0)
        dram = None if None in (found.executed, found.dram) else (found.executed or 0) + (found.dram or 0)
        metered = "–" if found.metered is None else f"{found.metered:.4g} J"
        yield [row.method, *map(_format_energy, (found.effective, found.executed, cached, dram)), metered]


def _format_energy(joules: float | None) -> str:
    if joules is None:
        return "–"
    for factor, unit in ((1e-3, "mJ"), (1e-6, "µJ"), (1e-9, "nJ")):
        if joules >= factor:
            return f"{joules / factor:.3g} {unit}"
    return f"{joules / 1e-12:.3g} pJ"
