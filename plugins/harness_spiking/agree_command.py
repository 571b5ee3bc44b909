"""`harness agree METHOD METHOD`: whether two spiking methods compute the same. Torch is imported when it is called."""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness import UsageError

if TYPE_CHECKING:
    from harness import Rehearsal
    from harness_spiking.agree import Agreement, Layer, Parted

FORMATS = ("text", "json")
PLAIN_WIDTH = 100
SAME_LOSS = 1e-6  # relative; float64 methods with one loss differ by 1e-15

EXAMPLES = """\b
Examples:
  harness agree saf ottt
  harness agree "ottt[convention=theory]" bptt --datasets mnist --batch-size 8
  harness agree "saf[variant=final]" ottt --format json --output saf.json
"""


@click.command(epilog=EXAMPLES)
@click.argument("method")
@click.argument("reference", metavar="METHOD")
@click.option("--datasets", metavar="NAME", help="The data set.  [default: as in `harness run`]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of data, weights and order.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Rows in the mini-batch.  [default: the data set's]")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", help="Where to compute.  [default: auto]")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of the update.  [default: cores]")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder with data sets.  [env: HARNESS_DATA_DIR]")
@click.option("--format", "format_", metavar="text|json", default="text", help="How to print it.  [default: text]")
@click.option("--output", metavar="FILE|-", default="-", help="Where to write it.  [default: standard output]")
@click.pass_obj
def agree(
    session: Any,
    method: str,
    reference: str,
    datasets: str | None,
    seed: int,
    batch_size: int | None,
    device: str | None,
    threads: int | None,
    data_dir: Path | None,
    format_: str,
    output: str,
) -> None:
    """Compare gradients and spikes of two spiking methods on one mini-batch.

    Both start from the same weights, which stay as they are. By layer, in float64 and in float32: the gradients'
    difference relative to those of the second METHOD, their cosine, and the share of neurons and time steps at which
    one fired and the other did not. Of two methods with update=online also: how far one update with weights that move
    leads them apart.
    """
    if format_ not in FORMATS:
        raise UsageError(f"--format {format_}: unknown; known: {', '.join(FORMATS)}")
    from harness import rehearse
    from harness_spiking.agree import comparable, compare, parted

    pair = [
        rehearse(
            session.catalog,
            name,
            datasets,
            seed=seed,
            batch_size=batch_size,
            device=device,
            threads=threads,
            data=data_dir,
        )
        for name in (method, reference)
    ]
    comparable(*pair)
    _refuse_unwritable(output)
    batch = next(pair[1].batches)
    found, apart, rows = compare(pair[0], pair[1], batch), parted(pair[0], pair[1], batch), len(batch.targets)
    here = output == "-"
    if format_ == "json":
        rendered = as_json(pair, rows, found, apart)
    else:
        width, colour = (_width(), _colour()) if here else (PLAIN_WIDTH, False)
        rendered = as_text(pair, rows, found, apart, width, colour)
    if here:
        click.echo(rendered, nl=False, color=True)
    else:
        Path(output).write_text(rendered, encoding="utf-8")


def as_json(pair: list[Rehearsal], rows: int, found: Mapping[str, Agreement], apart: Parted | None) -> str:
    """Shares and differences unrounded; null where there are no neurons, and where one is not finite.

    rows: of the mini-batch that was compared.
    """
    trial = pair[1].trial
    content: dict[str, Any] = {
        "methods": [each.trial.method.label for each in pair],
        "dataset": trial.dataset.label,
        "seed": trial.seed,
        "batch_size": rows,
        "device": trial.terms.device,
        "losses": list(found["float64"].losses),
    }
    if apart is not None:
        content["one_online_update"] = {
            f"apart_over_{name}": value if math.isfinite(value) else None
            for name, value in (("way", apart.of_way), ("weights", apart.of_weights))
        }
    for precision, each in found.items():
        layers = {
            name: {
                "relative_difference": layer.relative_difference,
                "cosine": layer.cosine,
                "spike_mismatch": layer.spike_mismatch,
            }
            for name, layer in each.layers.items()
        }
        content[precision] = {
            "max_relative_difference": each.max_relative_difference,
            "spike_mismatch": each.spike_mismatch,
            "layers": layers,
        }
    return json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def as_text(
    pair: list[Rehearsal],
    rows: int,
    found: Mapping[str, Agreement],
    apart: Parted | None,
    width: int,
    colour: bool,
) -> str:
    """A table of both precisions side by side, and what its numbers mean."""
    from rich.console import Console
    from rich.text import Text

    console = Console(
        file=io.StringIO(), width=width, force_terminal=colour, color_system="standard" if colour else None
    )
    trial = pair[1].trial
    names = [each.trial.method.label for each in pair]
    threads = f"{trial.terms.threads} thread{'s' if trial.terms.threads != 1 else ''}"
    setting = f"seed {trial.seed}, batch {rows}, {trial.terms.device}, {threads}"
    console.print(Text.assemble((f"{names[0]} against {names[1]} on {trial.dataset.label}", "bold"), f"  {setting}"))
    console.print()
    console.print(_grid(found))
    console.print()
    for line in [*_meaning(names), *_losses(names, found["float64"].losses), *_moving(names, apart)]:
        console.print(Text(line, style="dim"))
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def _grid(found: Mapping[str, Agreement]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    grid = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    grid.add_column("\nlayer")
    for precision in found:
        for head in (f"{precision}\ndifference", "\ncosine", "\nspikes"):
            grid.add_column(head, justify="right")
    sides = list(found.values())
    for name in sides[0].layers:
        grid.add_row(name, *(cell for side in sides for cell in _cells(side.layers[name])))
    grid.add_section()
    total = (cell for side in sides for cell in (_small(side.max_relative_difference), "", _small(side.spike_mismatch)))
    grid.add_row("all", *total)
    return grid


def _cells(layer: Layer) -> tuple[str, str, str]:
    return _small(layer.relative_difference), f"{layer.cosine:.4f}", _small(layer.spike_mismatch)


def _small(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1e}" if value else "0"


def _meaning(names: list[str]) -> list[str]:
    return [
        f"difference: largest entry of the gradients' difference over the largest of {names[1]}'s; cosine: of the two "
        "gradients. Both of the layer's parameter that agrees least. spikes: share of neurons and steps that differ.",
        "In float32 a potential within rounding of the threshold, as on constant parts of an image, may fire in one "
        "method alone, and what follows differs too: float64 tells whether the methods agree.",
    ]


def _losses(names: list[str], losses: tuple[float | None, float | None]) -> list[str]:
    mine, other = losses
    if mine is None or other is None or abs(mine - other) <= SAME_LOSS * abs(other):
        return []
    return [
        f"losses: {mine:.4f} ({names[0]}) and {other:.4f} ({names[1]}), which are different functions, such as one at "
        "every step and one at the end: their gradients are not meant to be equal."
    ]


def _moving(names: list[str], apart: Parted | None) -> list[str]:
    """Equal gradients of weights that stay say nothing of weights that change at every step."""
    if apart is None:
        return []
    said = (
        f"{apart.of_way:.2g} of the way that {names[1]}'s went, {apart.of_weights:.1g} of their size"
        if math.isfinite(apart.of_way)
        else "not finite"
    )
    return [
        "update=online: above the weights stay, in training they change at every time step, and a trace counts past "
        "spikes by the weights of now, a potential by those of their time. After this one mini-batch, with weights "
        f"that move, the difference of the two methods' weights is {said} (float64), and it grows with every update."
    ]


def _refuse_unwritable(output: str) -> None:
    """A file that cannot be written is found out before anything is computed."""
    try:
        if output != "-":
            Path(output).touch()
    except OSError as error:
        raise UsageError(
            f"--output {output}: not written ({error.strerror}); name a file in a folder that exists"
        ) from error


def _width() -> int:
    return shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns


def _colour() -> bool:
    """Colours on a terminal that wants them (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
