"""The report of `harness agree`: a table of both precisions side by side, with its numbers explained, or JSON."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from harness_torch.agreement.comparison import Agreement, Layer, Parted, Prepared
    from harness_torch.agreement.sides import Column, Side

SAME_LOSS = 1e-6  # relative; float64 methods with one loss differ by 1e-15
IN_FLOAT32 = (
    "In float32 the order of sums differs too, and with it the last digits: float64 tells whether the methods agree."
)
PLAIN = "The reference computes in float64 in both: beside float32 it shows the rounding of the method alone."
MOVING = "Above the weights stay, in training each of the optimiser's steps within a mini-batch moves them."


class Comparison(NamedTuple):
    """All that is reported. rows: of the mini-batch; apart: None where not both take several optimiser steps."""

    method: Side
    reference: Side
    rows: int
    by_precision: Mapping[str, Agreement]
    column: Column | None
    apart: Parted | None

    @property
    def names(self) -> tuple[str, str]:
        """The names of method and reference."""
        return self.method.name, self.reference.name

    @property
    def prepared(self) -> dict[str, Prepared]:
        """The comparison of prepared arrays by precision, of methods that start from another's arrays."""
        return {name: each.prepared for name, each in self.by_precision.items() if each.prepared is not None}


def as_json(found: Comparison) -> str:
    """Render shares and differences unrounded; null where there is nothing to compare, and where one is not finite."""
    trial = found.reference.rehearsal.trial
    content: dict[str, Any] = {
        "methods": list(found.names),
        "dataset": trial.dataset.label,
        "seed": trial.seed,
        "batch_size": found.rows,
        "device": trial.terms.device,
        "losses": list(found.by_precision["float64"].losses),
    }
    if found.apart is not None:
        content["one_online_update"] = {
            f"apart_over_{name}": value if math.isfinite(value) else None
            for name, value in (("way", found.apart.of_way), ("weights", found.apart.of_weights))
        }
    for precision, each in found.by_precision.items():
        content[precision] = {
            "max_relative_difference": each.max_relative_difference,
            **_name_column_value(found.column, each.column),
            "layers": _describe_layers(each.layers, found.column),
        }
        if each.prepared is not None:
            content[precision]["prepared"] = {
                "max_relative_difference": each.prepared.max_relative_difference,
                "facts": {name: list(pair) for name, pair in each.prepared.facts.items()},
                "layers": _describe_layers(each.prepared.layers, None),
            }
    return json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _describe_layers(layers: Mapping[str, Layer], column: Column | None) -> dict[str, dict[str, float | None]]:
    return {
        name: {
            "relative_difference": layer.relative_difference,
            "cosine": layer.cosine,
            **_name_column_value(column, layer.column),
        }
        for name, layer in layers.items()
    }


def _name_column_value(column: Column | None, value: float | None) -> dict[str, float | None]:
    return {} if column is None else {column.key: value}


def as_text(found: Comparison, width: int, colour: bool) -> str:
    """Render a table, then the explanation of its numbers."""
    from rich.console import Console
    from rich.text import Text

    console = Console(
        file=io.StringIO(), width=width, force_terminal=colour, color_system="standard" if colour else None
    )
    trial, names = found.reference.rehearsal.trial, found.names
    threads = f"{trial.terms.threads} thread{'s' if trial.terms.threads != 1 else ''}"
    setting = f"seed {trial.seed}, batch {found.rows}, {trial.terms.device}, {threads}"
    console.print(Text.assemble((f"{names[0]} against {names[1]} on {trial.dataset.label}", "bold"), f"  {setting}"))
    console.print()
    if found.prepared:
        console.print(_build_grid(found.prepared, None, "prepared"))
        console.print()
    console.print(_build_grid(found.by_precision, found.column))
    console.print()
    for line in [
        *_explain_prepared(found),
        *_explain_numbers(found),
        *_compare_losses(names, found.by_precision["float64"].losses),
        *_explain_moving_weights(found),
    ]:
        console.print(Text(line, style="dim"))
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def _build_grid(by_precision: Mapping[str, Agreement | Prepared], column: Column | None, head: str = "layer") -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    grid = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    grid.add_column(f"\n{head}")
    own = [] if column is None else [f"\n{column.head}"]
    for precision in by_precision:
        for head in (f"{precision}\ndifference", "\ncosine", *own):
            grid.add_column(head, justify="right")
    width, sides = 2 + len(own), list(by_precision.values())
    for name in sides[0].layers:
        grid.add_row(name, *(cell for side in sides for cell in _format_layer(side.layers[name])[:width]))
    grid.add_section()
    total = [
        (_format_number(side.max_relative_difference), "", _format_number(getattr(side, "column", None)))
        for side in sides
    ]
    grid.add_row("all", *(cell for cells in total for cell in cells[:width]))
    return grid


def _format_layer(layer: Layer) -> tuple[str, str, str]:
    return _format_number(layer.relative_difference), f"{layer.cosine:.4f}", _format_number(layer.column)


def _format_number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1e}" if value else "0"


def _explain_numbers(found: Comparison) -> list[str]:
    column, whose = found.column, found.names[1]
    legend = (
        f"difference: largest entry of the gradients' difference over the largest of {whose}'s; cosine: of the two "
        "gradients. Both of the layer's parameter that agrees least."
    )
    remarks = [IN_FLOAT32] if column is None else list(column.remarks)
    plain = [PLAIN] if found.reference.plain else []
    return [legend if column is None else f"{legend} {column.legend}", *remarks, *plain]


def _explain_prepared(found: Comparison) -> list[str]:
    """Explain the table of prepared arrays, and list the facts that differ."""
    if not found.prepared:
        return []
    said = [
        "prepared: the arrays that each makes of those it starts from, a network after a few updates, indices and "
        "masks with them; layer: the gradients of one update from there."
    ]
    for precision, each in found.prepared.items():
        for name, pair in each.facts.items():
            mine, other = (f"{value} ({whose})" for value, whose in zip(pair, found.names, strict=True))
            said.append(f"{precision}: {name}: {mine} and {other}")
    return said


def _compare_losses(names: tuple[str, str], losses: tuple[float | None, float | None]) -> list[str]:
    mine, other = losses
    if mine is None or other is None or abs(mine - other) <= SAME_LOSS * abs(other):
        return []
    return [
        f"losses: {mine:.4f} ({names[0]}) and {other:.4f} ({names[1]}), which are different functions, such as one at "
        "every step and one at the end: their gradients are not meant to be equal."
    ]


def _explain_moving_weights(found: Comparison) -> list[str]:
    """State the distance after a whole update: equal gradients of frozen weights say nothing of weights that change."""
    apart = found.apart
    if apart is None:
        return []
    said = (
        f"{apart.of_way:.2g} of the way that {found.names[1]}'s went, {apart.of_weights:.1g} of their size"
        if math.isfinite(apart.of_way)
        else "not finite"
    )
    moving = MOVING if found.column is None else found.column.moving
    return [
        f"{moving} After this one mini-batch, with weights that move, the difference of the two methods' weights is "
        f"{said} (float64), and it grows with every update."
    ]
