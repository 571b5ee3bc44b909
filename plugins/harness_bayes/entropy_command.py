"""`harness entropy-error`: the theory of the approximate entropy, run. Torch is imported when the command is called."""

from __future__ import annotations

import math
from pathlib import Path

import click

from harness import UsageError
from harness_torch import terminal

FORMATS = ("text", "json", "csv")
COVARIANCES = ("tied", "isotropic", "diag", "full")
MOST_NUMBERS = 1 << 27  # of one mixture: a gibibyte
MOST_OF_FULL = 1 << 20  # above, singular values take minutes

EXAMPLES = """\b
Examples:
  harness entropy-error --dim 1,10,100 --components 2 --spread 2
  harness entropy-error --dim 1,5,20 --spread 1.2 --covariance diag
  harness entropy-error --spread 0.5 --format csv --output errors.csv
"""


@click.command("entropy-error", epilog=EXAMPLES)
@click.option("--dim", metavar="LIST", default="1,10,100", show_default=True, help="Dimensions m, each a row.")
@click.option("--components", type=click.IntRange(min=2), default=2, show_default=True, help="Gaussians in a mixture.")
@click.option("--spread", metavar="C", default="2", show_default=True, help="Means are drawn from N(0, 2 C^2 I).")
@click.option(
    "--covariance", metavar="|".join(COVARIANCES), default="tied", show_default=True, help="Of which kind; tied: I."
)
@click.option("--draws", type=click.IntRange(min=1), default=50, show_default=True, help="Mixtures for each dimension.")
@click.option(
    "--samples", type=click.IntRange(min=2), default=1000, show_default=True, help="Points for each pair of components."
)
@click.option("--epsilon", metavar="NATS", default="0.01", show_default=True, help="The least error that is not small.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of mixtures and points.")
@click.option(
    "--format", "format_", metavar="|".join(FORMATS), default="text", help="How to print it.  [default: text]"
)
@click.option("--output", metavar="FILE|-", default="-", help="Where to write it.  [default: standard output]")
def entropy_error(
    dim: str,
    components: int,
    spread: str,
    covariance: str,
    draws: int,
    samples: int,
    epsilon: str,
    seed: int,
    format_: str,
    output: str,
) -> None:
    """Tabulate by how much the sum of unimodal entropies exceeds the entropy of Gaussian mixtures, and all its bounds.

    For each dimension mixtures with equal weights are drawn. Their error is integrated where all covariances are the
    same and that is quick, else estimated from points between the components. The table and the chart show that it
    vanishes as the dimension grows, and from where on the theorem on alpha says something.
    """
    _refuse_unknown("--format", format_, FORMATS)
    _refuse_unknown("--covariance", covariance, COVARIANCES)
    dimensions = _parse_dimensions(dim)
    c = _parse_number("--spread", spread, "a number of at least 0")
    least = _parse_number("--epsilon", epsilon, "a number above 0")
    if not least:
        raise UsageError(f"--epsilon {epsilon}: expected a number above 0")
    _refuse_large(dimensions[-1], components, covariance, samples)
    terminal.refuse_unwritable(output)
    from harness_bayes.entropy_report import as_csv, as_json, as_text
    from harness_bayes.entropy_study import Question, study_dimensions

    question = Question(dimensions, components, c, covariance, draws, samples, least, seed)
    rows = study_dimensions(question)
    plain = output != "-"
    if format_ == "text":
        rendered = as_text(
            question, rows, terminal.PLAIN_WIDTH if plain else terminal.width(), not plain and terminal.colour()
        )
    else:
        rendered = as_json(question, rows) if format_ == "json" else as_csv(rows)
    if plain:
        Path(output).write_text(rendered, encoding="utf-8")
        return
    click.echo(rendered, nl=False, color=True)


def _refuse_unknown(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"{option} {value}: unknown; known: {', '.join(known)}")


def _parse_dimensions(text: str) -> list[int]:
    """Each once, in order."""
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if not (word.isascii() and word.isdigit() and int(word)):
            raise UsageError(f"--dim {text}: expected whole numbers of at least 1, such as 1,10,100, not {word!r}")
    return sorted({int(word) for word in words})


def _parse_number(option: str, text: str, expected: str) -> float:
    """A finite number that is not negative."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise UsageError(f"{option} {text}: expected {expected}")
    return value


def _refuse_large(m: int, components: int, covariance: str, samples: int) -> None:
    if covariance == "full" and components * m**2 > MOST_OF_FULL:
        most = math.isqrt(MOST_OF_FULL // components)
        raise UsageError(
            f"--dim {m}: {components} full covariances have {components * m**2:,} numbers; with as many components "
            f"--dim may be at most {most:,}, or choose --covariance diag"
        )
    seen = min(m, components - 1) if covariance == "tied" else m
    numbers = max(components * (components - 1) // 2 * samples * seen, components * m)
    if numbers > MOST_NUMBERS:
        raise UsageError(
            f"--dim {m}: {components} components with {samples:,} points between each pair have {numbers:,} numbers, "
            f"of at most {MOST_NUMBERS:,}; take fewer --samples, --components or dimensions"
        )
