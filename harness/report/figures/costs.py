"""Costs in parts: operations by phase and kind, memory by what holds it, as stacked bars; estimated energies as points,
which are never summed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from harness.errors import UsageError
from harness.report.figures import canvas
from harness.report.rows import parts
from harness.report.rows.parts import Part
from harness.report.rows.table import Row, Summary, Table
from harness.report.wording import figure_captions as words
from harness.words import suggest


class Kind(NamedTuple):
    """Costs that a panel shows: how they are split, their unit, and what they are."""

    split: Callable[[Row], tuple[Part, ...]]
    unit: str
    what: str
    stacked: bool = True


def _split_energy(row: Row) -> tuple[Part, ...]:
    found = parts.estimate_energy(row)
    named = {
        "all multiply-accumulates": found.executed,
        "nonzero pairs alone": found.effective,
        "bytes moved, cache": found.cache,
        "bytes moved, DRAM": found.dram,
    }
    return tuple(Part("prediction", what, amount) for what, amount in named.items() if amount is not None)


KINDS = {
    "update": Kind(parts.split_update, "", "operations of a training update"),
    "memory": Kind(parts.split_training_memory, "B", "memory of a training update"),
    "prediction": Kind(parts.split_prediction, "", "operations of a prediction, as executed"),
    "nonzero": Kind(parts.split_effective, "", "operations of a prediction, of nonzero pairs"),
    "prediction-memory": Kind(parts.split_prediction_memory, "B", "memory of a prediction of 32 rows"),
    "energy": Kind(_split_energy, "J", "estimated energy of a prediction", stacked=False),
}
USUAL = ("update", "memory")
HATCHES = ("", "//////", "......", "xxxxx")
BAR = 0.2  # inches of a bar and the gap below it
NAME = 24  # characters of a line of a method's name


def draw_costs(summary: Summary, asked: canvas.Asked) -> canvas.Drawn:
    """Draw a panel for each table and each of `asked.costs`, names of KINDS."""
    for name in asked.costs:
        if name not in KINDS:
            raise UsageError(f"--cost {name}: unknown{suggest(name, KINDS)}; parts are known of {', '.join(KINDS)}")
    kinds = asked.costs or USUAL
    wanted = [
        (table, (name,) if any(KINDS[name].split(row) for row in table.rows) else None)
        for table in summary.tables
        for name in kinds
    ]
    panels = canvas.list_panels(summary, wanted, f"parts of {' or '.join(kinds)}")
    most = max(sum(canvas.fold_label(row.method, NAME).count("\n") + 1 for row in panel.table.rows) for panel in panels)
    figure, axes = canvas.open_figure(asked.width, len(panels), 0.75 + BAR * max(3, most))
    seen = list(dict.fromkeys((part.of, part.what) for panel in panels for part in _list_parts(panel)))
    for axis, panel in zip(axes, panels, strict=True):
        _draw_panel(axis, panel, seen, summary)
    handles = [_make_patch(each, seen, panels) for each in seen]
    canvas.add_legend(figure, handles, [_name_part(each, seen) for each in seen])
    return canvas.Drawn(figure, _write_caption(panels))


def _list_parts(panel: canvas.Panel) -> list[Part]:
    return [part for row in panel.table.rows for part in KINDS[panel.names[0]].split(row) if part.amount]


def _draw_panel(axis: Any, panel: canvas.Panel, seen: Sequence[tuple[str, str]], summary: Summary) -> None:
    kind = KINDS[panel.names[0]]
    rows = panel.table.rows
    for place, row in enumerate(rows):
        at = 0.0
        for part in filter(attrgetter("amount"), kind.split(row)):
            style = _pick_fill((part.of, part.what), seen)
            if kind.stacked:
                axis.barh(place, part.amount, left=at, height=0.7, linewidth=0.4, edgecolor="white", **style)
                at += part.amount
            else:
                marker = canvas.pick_style(seen.index((part.of, part.what)))
                axis.plot([part.amount], [place], linestyle="", **marker)
    axis.set_yticks(range(len(rows)), [canvas.fold_label(row.method, NAME) for row in rows])
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.grid(visible=False, axis="y" if kind.stacked else "x")
    if not kind.stacked:
        canvas.set_logarithmic(axis.xaxis)
    else:
        canvas.count_ticks(axis.xaxis)
    canvas.set_prefixes(axis.xaxis, kind.unit)
    axis.set_xlabel(canvas.fold_words(kind.what, 44))
    axis.set_title(canvas.name_panel(panel.table, summary))


def _pick_fill(part: tuple[str, str], seen: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """A colour for a phase, whose kinds are told apart by hatches, and for each other part."""
    phases = list(parts.PHASES.values())
    if part[0] in phases:
        kinds = [what for of, what in seen if of == part[0]]
        return {"facecolor": canvas.COLOURS[phases.index(part[0])], "hatch": HATCHES[kinds.index(part[1])]}
    others = [each for each in seen if each[0] not in phases]
    more, place = divmod(others.index(part), len(canvas.COLOURS))
    return {"facecolor": canvas.COLOURS[place - len(canvas.COLOURS) + 3], "hatch": HATCHES[more]}


def _make_patch(part: tuple[str, str], seen: Sequence[tuple[str, str]], panels: Sequence[canvas.Panel]) -> Any:
    from matplotlib.patches import Patch

    if any(
        part == (each.of, each.what) for panel in panels if panel.names[0] == "energy" for each in _list_parts(panel)
    ):
        return canvas.make_handle(**canvas.pick_style(seen.index(part)))
    return Patch(linewidth=0.4, edgecolor="white", **_pick_fill(part, seen))


def _name_part(part: tuple[str, str], seen: Sequence[tuple[str, str]]) -> str:
    """Name a part by what it is, and by what it is of where several are called so."""
    of, what = part
    return f"{of}: {what}" if of in parts.PHASES.values() or sum(each[1] == what for each in seen) > 1 else what


def _write_caption(panels: Sequence[canvas.Panel]) -> str:
    kinds = dict.fromkeys(panel.names[0] for panel in panels)
    tables: list[Table] = list({id(panel.table): panel.table for panel in panels}.values())
    lost = [
        (row.method, "; ".join(row.failures) or f"no parts of {panel.names[0]}")
        for panel in panels
        for row in panel.table.rows
        if not KINDS[panel.names[0]].split(row)
    ]
    energy = (
        f"Energies are estimates of a prediction of one example: {parts.MAC_JOULES * 1e12:g} pJ for a "
        f"multiply-accumulate, {parts.AC_JOULES * 1e12:g} pJ for an accumulate, {parts.SRAM_JOULES * 1e12:g} pJ for "
        f"a byte from a cache and {parts.DRAM_JOULES * 1e12:g} pJ from DRAM ({parts.SOURCE}). "
        "They are not to be added up."
    )
    return words.join(
        f"{'; '.join(KINDS[name].what for name in kinds)}, in parts. {words.describe_tables(tables)}",
        "Parts are means over seeds, and add up to their bar." if any(KINDS[name].stacked for name in kinds) else "",
        energy if "energy" in kinds else "",
        words.list_missing(lost, "Not shown"),
        words.describe_machines(tables),
    )
