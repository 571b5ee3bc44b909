"""`harness bound TRIAL`: guarantees of the theory for a compressed network. Torch is imported when it is called."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness import HarnessError, Record, Trial, UsageError
from harness_recurrent.config import FAMILY, NodeOptions
from harness_torch import terminal

if TYPE_CHECKING:
    from harness import Rehearsal
    from harness_recurrent.bound_rows import Compressed

FORMATS = ("text", "json", "csv")
AGAIN = "run it again with --rerun METHOD --keep-weights"

EXAMPLES = """\b
Examples:
  harness run --methods spectral-pruning --datasets digits-rows --keep-weights
  harness bound spectral-pruning/digits-rows/0
  harness bound 3fa9c1 --bits 4,8 --format json
"""


@click.command(epilog=EXAMPLES)
@click.argument("trial")
@click.option("--bits", metavar="LIST", default="8", show_default=True, help="Of a parameter, for the Occam bound.")
@click.option(
    "--delta", type=float, metavar="P", default=0.05, show_default=True, help="Chance that a bound does not hold."
)
@click.option(
    "--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True, help="Where records are."
)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder with data sets.  [env: HARNESS_DATA_DIR]")
@click.option(
    "--format", "format_", metavar="|".join(FORMATS), default="text", help="How to print it.  [default: text]"
)
@click.pass_obj
def bound(
    session: Any, trial: str, bits: str, delta: float, results: Path, data_dir: Path | None, format_: str
) -> None:
    """Print what the theory guarantees of a compressed recurrent network beside what was measured of it.

    TRIAL is the beginning of its key, or METHOD/DATASET/SEED, of a method that keeps whole nodes; it has to have kept
    its arrays (harness run --keep-weights). Degrees of freedom, information losses, bounds of the bias and the measured
    bias, the variance term, the Occam bound and the gap between training and test error: each with its equation. A
    bound that says no more than what is known without it is called vacuous.
    """
    asked = _parse_bits(bits)
    if not 0 < delta < 1:
        raise UsageError(f"--delta {delta:g}: expected a chance above 0 and below 1")
    if format_ not in FORMATS:
        raise UsageError(f"--format {format_}: unknown; known: {', '.join(FORMATS)}")
    from harness import find_record, read_records

    if not (results / "trials").is_dir():
        raise UsageError(f"results folder {results}: no records there; `harness run` makes some")
    record = find_record(read_records(results), trial)
    options = _require_options(session.catalog, record)
    _require_arrays(results, record)
    ready = _rehearse_base(session.catalog, record.trial, data_dir)
    from harness_recurrent import bound_report, bound_rows

    compressed = _load_compressed(results, record, options, ready)
    rows = list(bound_rows.list_rows(compressed, ready.data.train, ready.data.test, asked, delta))
    about = _describe_trial(record, delta)
    if format_ == "text":
        rendered = bound_report.as_text(about, rows, terminal.width(), terminal.colour())
    else:
        rendered = bound_report.as_json(about, rows) if format_ == "json" else bound_report.as_csv(rows)
    click.echo(rendered, nl=False, color=True)


def _parse_bits(text: str) -> list[int]:
    try:
        bits = list(dict.fromkeys(int(each) for each in text.split(",")))
    except ValueError:
        bits = []
    if not bits or not all(2 <= each <= 32 for each in bits):
        raise UsageError(f"--bits {text}: expected numbers from 2 to 32, as 4,8")
    return bits


# --- the trial --------------------------------------------------------------------------------------------------------


def _require_options(catalog: Any, record: Record) -> NodeOptions:
    """Read the method's options. Raises UsageError unless it keeps nodes of a recurrent network and ended ok."""
    trial = record.trial
    label = f"trial {trial.key} ({trial.method.label}/{trial.dataset.label}/{trial.seed})"
    offer = catalog.methods.get(trial.method.name, trial.method.provider)
    if offer.family != FAMILY or not issubclass(offer.config, NodeOptions) or trial.base is None:
        raise UsageError(
            f"{label}: {trial.method.name} keeps no nodes of a recurrent network; the theory is of methods that do, "
            "as spectral-pruning"
        )
    if not offer.config.cuts_the_base:
        raise UsageError(
            f"{label}: {trial.method.name} trains the base on before it cuts it, and what it cuts is not kept; the "
            "theory is held against methods that cut the base itself, as spectral-pruning"
        )
    if record.status != "ok":
        raise UsageError(f"{label}: it ended {record.status}; only a trial that ended ok has a trained network")
    if trial.refit:
        raise UsageError(f"{label}: it was trained on validation rows, too; name the trial of a run without --refit")
    if not isinstance(record.facts.get("nodes"), Sequence):
        raise UsageError(f"{label}: its record does not say which nodes were kept; {AGAIN}")
    options: NodeOptions = offer.config(**trial.method.options)
    return options


def _require_arrays(results: Path, record: Record) -> None:
    """Require the arrays of the trial and of its base. Raises UsageError unless they are those of its record."""
    assert record.trial.base is not None
    stated = {record.trial.key: record.provenance.get("arrays"), record.trial.base.key: record.provenance.get("base")}
    for key, known in stated.items():
        path, whose = _locate_arrays(results, key), "its" if key == record.trial.key else "its base's"
        if not path.is_file():
            raise UsageError(f"trial {record.trial.key}: {whose} trained arrays are not there ({path}); {AGAIN}")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if not isinstance(known, Mapping) or digest != known.get("sha256"):
            raise UsageError(f"{path}: {whose} trained arrays are not those that its record speaks of; {AGAIN}")


def _locate_arrays(results: Path, key: str) -> Path:
    return results / "trials" / f"{key}.safetensors"


def _rehearse_base(catalog: Any, trial: Trial, data_dir: Path | None) -> Rehearsal:
    """Load data and network of the base, on the CPU. Raises UsageError where they cannot be had."""
    from harness import rehearse

    assert trial.base is not None
    base = trial.base
    ready = rehearse(
        catalog,
        base.method.label,
        base.dataset.label,
        seed=base.seed,
        batch_size=base.terms.batch_size,
        device="cpu",
        data=data_dir,
    )
    if ready.trial.method.options != base.method.options:
        raise HarnessError(f"{base.method.label}: its options have other defaults than those of the trial; {AGAIN}")
    return ready


def _load_compressed(results: Path, record: Record, options: NodeOptions, ready: Rehearsal) -> Compressed:
    from safetensors.torch import load_file

    from harness_recurrent.bound_rows import Compressed

    assert record.trial.base is not None
    nodes = record.facts["nodes"]
    return Compressed(
        ready.state.network,
        load_file(_locate_arrays(results, record.trial.base.key)),
        load_file(_locate_arrays(results, record.trial.key)),
        [list(each) for each in nodes] if isinstance(nodes[0], Sequence) else [list(nodes)],
        options.lam,
        options.reconstruct,
        options.covariance == "last-step",
        record.trial.terms.budget.amount > 0,
        record.trial.terms.batch_size,
    )


def _describe_trial(record: Record, delta: float) -> dict[str, Any]:
    trial = record.trial
    assert trial.base is not None
    return {
        "trial": trial.key,
        "method": trial.method.label,
        "dataset": trial.dataset.label,
        "seed": trial.seed,
        "base": trial.base.method.label,
        "precision": trial.terms.precision,
        "delta": delta,
    }
