"""`harness profile METHOD`: where one update spends its time. Torch is imported when the command is called."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness import UsageError

if TYPE_CHECKING:
    from harness import Rehearsal
    from harness_torch.profiling.operator_trace import Profile

# Else torch's profiler announces its beginning and end on stderr; read when torch is imported.
QUIET = {"KINETO_LOG_LEVEL": "99", "TORCH_CPP_LOG_LEVEL": "ERROR"}

EXAMPLES = """\b
Examples:
  harness profile saf
  harness profile "ottt[forward=fused]" --device cuda --output ottt.json
"""


@click.command(epilog=EXAMPLES)
@click.argument("method")
@click.option("--datasets", metavar="NAME", help="The data set.  [default: as in `harness run`]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of data, weights and order.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Rows in the mini-batch.  [default: the data set's]")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", help="Where to train.  [default: auto]")
@click.option("--precision", metavar="fp32|tf32|bf16", help="Arithmetic of the large operations.  [default: fp32]")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of the update.  [default: cores]")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder with data sets.  [env: HARNESS_DATA_DIR]")
@click.option("--rows", type=click.IntRange(min=1), default=15, show_default=True, help="Operators to print.")
@click.option("--output", type=click.Path(path_type=Path), help="The trace.  [default: profile/METHOD-DATASET.json]")
@click.pass_obj
def profile(
    session: Any,
    method: str,
    datasets: str | None,
    seed: int,
    batch_size: int | None,
    device: str | None,
    precision: str | None,
    threads: int | None,
    data_dir: Path | None,
    rows: int,
    output: Path | None,
) -> None:
    """Profile one steady update of METHOD: a trace for Perfetto or Chrome, and a table of the costliest operators.

    The profiler slows the update down: shares tell where time goes, `harness run` tells how much it is.
    """
    for name, level in QUIET.items():
        os.environ.setdefault(name, level)
    from harness import rehearse

    rehearsal = rehearse(
        session.catalog,
        method,
        datasets,
        seed=seed,
        batch_size=batch_size,
        device=device,
        precision=precision,
        threads=threads,
        data=data_dir,
    )
    path = output or _choose_path(rehearsal)
    _create_output(path)
    from harness_torch.profiling import operator_trace

    found = operator_trace.profile_update(rehearsal, path)
    click.echo(_format_title(rehearsal, found))
    click.echo(operator_trace.format_table(found, rows))
    click.echo(f"trace: {path} (for https://ui.perfetto.dev or chrome://tracing)")


def _choose_path(rehearsal: Rehearsal) -> Path:
    trial = rehearsal.trial
    # A separator of paths or a colon in an option's value would make another file.
    name = re.sub(r"[^\w\]\[(),.=+@~ -]", "_", f"{trial.method.label}-{trial.dataset.label}")
    return Path("profile") / f"{name}.json"


def _create_output(path: Path) -> None:
    """Create the file before anything is trained. Raises UsageError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise UsageError(f"--output {path}: cannot be written ({error.strerror})") from error


def _format_title(rehearsal: Rehearsal, found: Profile) -> str:
    trial = rehearsal.trial
    threads = f"{trial.terms.threads} thread{'s' if trial.terms.threads != 1 else ''}"
    setting = (
        f"seed {trial.seed}, batch {trial.terms.batch_size}, {trial.terms.device}, {trial.terms.precision}, {threads}"
    )
    begun = f" {trial.base.method.label}, which it starts from, has had a few updates alone." if trial.base else ""
    return (
        f"{trial.method.label} on {trial.dataset.label}: {setting}\n"
        f"one update after {found.warmup} others, {found.seconds * 1e3:.3g} ms under the profiler.{begun}\n"
    )
