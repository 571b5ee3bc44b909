"""The common ground of all figures: sizes, colours with markers, panels, legends, files that repeat to the byte."""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

from harness.errors import UsageError
from harness.report.rows.curves import Axis
from harness.report.rows.table import Summary, Table, is_cost
from harness.report.wording import numbers
from harness.report.wording.captions import title
from harness.types import Metric
from harness.words import list_first

INSTALL = "pip install 'harness-bench[plot]'"
INCHES = {"column": 3.35, "page": 6.9}
ACROSS = {"column": 1, "page": 2}  # panels side by side
HEIGHT = 2.1  # inches of a panel
FORMATS = ("svg", "pdf", "png")
MOST_PANELS, MOST_ENTRIES = 12, 40
FOLD = 44  # characters of a line of a legend

# Okabe and Ito's colours, which the colour-blind tell apart; yellow, too light on paper, is left out. Markers have
# another number, so that no pair of both comes twice before all have been.
PREFIXED = tuple(numbers.SYMBOLS.values())  # units that take prefixes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
LINES = ("-", "--", "-.", ":")

STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "figure.dpi": 100,
    "savefig.dpi": 300,
    "text.parse_math": False,  # names hold what would be formulas
    "pdf.fonttype": 42,
    "svg.hashsalt": "harness",
    "svg.fonttype": "path",
}
# What would differ from day to day, or from one installation to another.
METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}


class Asked(NamedTuple):
    """The contents of a figure. Names of metrics, or None for the usual ones; x: of curves; over: an option."""

    width: str = "column"
    score: str | None = None
    costs: tuple[str, ...] = ()
    x: Axis = "update"
    over: str | None = None


class Drawn(NamedTuple):
    """A figure, and the text below it."""

    figure: Any
    caption: str


class Panel(NamedTuple):
    """A part of a figure: a table, and the metrics that it shows."""

    table: Table
    names: tuple[str, ...]


def import_matplotlib() -> Any:
    """Import matplotlib. Raises UsageError where it is not installed."""
    try:
        import matplotlib
    except ImportError:
        raise UsageError(f"figures are drawn by matplotlib, which is not installed: {INSTALL}") from None
    return matplotlib


def open_figure(width: str, panels: int, height: float = HEIGHT) -> tuple[Any, list[Any]]:
    """Open a figure with so many panels, no window and no global state. height: of a panel, in inches."""
    if panels > MOST_PANELS:
        raise UsageError(f"{panels} panels, and a figure takes {MOST_PANELS}: name fewer data sets with --datasets")
    import_matplotlib()
    from matplotlib.figure import Figure

    across = min(panels, ACROSS[width])
    down = math.ceil(panels / across)
    figure = Figure(figsize=(INCHES[width], height * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel().tolist()
    for spare in axes[panels:]:
        spare.remove()
    return figure, axes[:panels]


def name_panel(table: Table, summary: Summary) -> str:
    """The data set of a panel, with the protocol where several tables are of that data set."""
    several = sum(each.dataset == table.dataset for each in summary.tables) > 1
    return fold_label(f"{table.dataset}, {title(table)}" if several else table.dataset)


def fold_label(label: str, width: int = FOLD) -> str:
    r"""A label in lines of so many characters, folded after its commas, brackets, hyphens and blanks where it can be.

    >>> fold_label("saf[variant=final,steps=4]", 20)
    'saf[variant=final,\nsteps=4]'
    """
    lines = [""]
    for piece in re.findall(rf"[^,\[\- ]{{1,{width - 1}}}[,\[\- ]?|[,\[\- ]", label):
        if lines[-1] and len(lines[-1] + piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def fold_words(text: str, width: int) -> str:
    """A text in lines, folded between its words."""
    return "\n".join(textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False))


def pick_style(place: int) -> dict[str, Any]:
    """A colour and a marker."""
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}


def add_legend(figure: Any, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """Add a legend below all panels, which grows the figure instead of shrinking them."""
    if len(labels) > MOST_ENTRIES:
        raise UsageError(f"{len(labels)} lines in a legend, and a reader takes {MOST_ENTRIES}: choose with --methods")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    width, height = figure.get_size_inches()
    canvas: Any = FigureCanvasAgg(figure)
    renderer = canvas.get_renderer()
    for fold, columns in [(FOLD, count) for count in (4, 3, 2, 1)] + [(FOLD // 2, 1)]:
        place: dict[str, Any] = {"loc": "outside lower center", "ncols": min(columns, len(labels))}
        shown = [fold_label(label, fold) for label in labels]
        legend = figure.legend(handles, shown, handletextpad=0.5, columnspacing=1.0, **place)
        size = legend.get_window_extent(renderer)
        if size.width <= figure.bbox.width or fold < FOLD:
            break
        legend.remove()
    figure.set_size_inches(width, height + size.height / figure.dpi)


def make_handle(**style: Any) -> Any:
    """An entry of a legend: a marker with a line, if it has one."""
    from matplotlib.lines import Line2D

    return Line2D([], [], **{"linestyle": "none", "markersize": 4.5, **style})


def scale_axis(axis: Any, metric: Metric, name: str, values: Sequence[float]) -> None:
    """Name an axis, and scale it: costs that differ tenfold by their logarithms."""
    from matplotlib.ticker import LogLocator, NullFormatter

    unit = numbers.SYMBOLS.get(metric.unit, metric.unit)
    per = f" per {metric.per}" if metric.per and is_cost(metric) else ""
    better = {"higher": ", higher is better", "lower": ", lower is better", "neither": ""}[metric.better]
    shown = f" [{unit}]" if unit and unit not in PREFIXED else ""
    axis.set_label_text(fold_words(f"{name}{shown}{per}{better}", 26 if axis.axis_name == "y" else 44))
    count_ticks(axis)
    if not is_cost(metric):
        return
    if min(values, default=0) > 0 and max(values) > 10 * min(values):
        set_logarithmic(axis)
        axis.set_major_locator(LogLocator(10, subs=(1.0,) if max(values) > 100 * min(values) else (1.0, 2.0, 5.0)))
        axis.set_minor_formatter(NullFormatter())
    set_prefixes(axis, unit)


def count_ticks(axis: Any) -> None:
    """As many ticks as are read at a glance, at round numbers."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))


def set_prefixes(axis: Any, unit: str) -> None:
    """Numbers of an axis as `1.5 MB`, or `1.5 M` where the unit takes no prefix."""
    from matplotlib.ticker import EngFormatter

    axis.set_major_formatter(EngFormatter(unit if unit in PREFIXED else "", sep=" "))


def set_logarithmic(axis: Any, base: float = 10) -> None:
    """Make an axis logarithmic."""
    axes = axis.axes
    (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log", base=base)


def list_panels(summary: Summary, wanted: Sequence[tuple[Table, tuple[str, ...] | None]], what: str) -> list[Panel]:
    """The tables that can be shown. Raises UsageError where there is none. what: that a table lacks then."""
    panels = [Panel(table, names) for table, names in wanted if names is not None]
    if not panels:
        known = dict.fromkeys(name for table in summary.tables for name in table.names)
        raise UsageError(f"no table has {what}; these metrics are known here: {list_first(list(known), 20)}")
    return panels


def write_figure(figure: Any, format: str) -> bytes:  # noqa: A002
    """The bytes of a figure in one of FORMATS: the same for the same records, on the same installation."""
    matplotlib = import_matplotlib()
    out = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(out, format=format, metadata=METADATA[format])
    return out.getvalue()
