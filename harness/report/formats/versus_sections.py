"""Sections of a comparison beside its tables of seeds: single test examples, several data sets, sweeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from harness.records.example_files import NONE_KEPT
from harness.report.formats.console import print_lines
from harness.report.rows.by_example import ByExample
from harness.report.rows.over_datasets import RATIOS, OverDatasets
from harness.report.rows.tuning import Step, Tuned, Tuning
from harness.report.wording.paired import format_interval
from harness.statistics.resampling import LEAST_BCA
from harness.types.terms import make_heading
from harness.words import cap_texts, list_seeds

LEAST_LABEL = 20  # characters of a pair, which is folded beyond that where there is no room
OWN_TESTS = "each seed has test examples of its own: the error of the test set is already part of the spread over seeds"
FEW_TRAININGS = (
    f"below {LEAST_BCA} seeds, intervals over seeds and examples are too narrow where trainings scatter more than "
    "examples do: where the interval by seed is wider, go by that"
)
EXACT = "discordant examples and McNemar's exact p within each seed, never pooled: seeds share examples"


def open_grid(*heads: str) -> Grid:
    """Open a grid whose first column gives way; without heads it has no line of them."""
    shown = any(heads)
    grid = Grid(box=SIMPLE_HEAD if shown else None, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    grid.show_header, grid.header_style = shown, "bold"
    for place, head in enumerate(heads):
        grid.add_column(Text(head), overflow="fold", no_wrap=place > 1, min_width=0 if place else LEAST_LABEL)
    return grid


def format_p(value: float | None) -> str:
    """Format a p-value with three decimals."""
    if value is None:
        return "-"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


# --- single examples ----------------------------------------------------------------------------------------------


def print_by_example(console: Console, found: Sequence[ByExample]) -> None:
    """Print McNemar's tests seed by seed, the intervals over examples, and what is lacking."""
    if not found:
        return
    if all(each.reason.endswith(NONE_KEPT) for each in found):
        print_lines(console, [f"{NONE_KEPT} of these trials, which --rerun would keep: none are compared"], "dim")
        return
    tested = [each for each in found if each.seeds]
    console.print()
    print_lines(console, [f"single test examples: {EXACT}" if tested else "single test examples"], "bold")
    if tested:
        grid = open_grid("", "seed", "left alone right", "right alone right", "p")
        for each in tested:
            for place, own in enumerate(each.seeds):
                cells = (own.seed, own.left_alone, own.right_alone, format_p(own.p_value))
                grid.add_row(Text("" if place else f"{each.left} - {each.right}"), *map(str, cells))
        console.print(grid)
    print_lines(console, dict.fromkeys(line for each in found for line in _list_intervals(each)), "dim")


def _list_intervals(found: ByExample) -> Iterator[str]:
    if found.reason:
        yield f"nothing by example of {found.left} - {found.right}: {found.reason}"
        return
    name, sure = f"{found.left} - {found.right}: {found.score}", f"({100 * found.confidence:.4g} %)"
    if found.over_examples is not None:
        over = "of this one training" if found.fixed is None else "of these trainings"
        yield f"{name} {_format(found, found.over_examples)} over {found.n:,} examples drawn anew, {over} {sure}"
    if found.over_both is not None:
        words = "over seeds and examples, the one that holds for other trainings and other test examples"
        yield f"{name} {_format(found, found.over_both)} {words} {sure}"
        if found.trainings < LEAST_BCA:
            yield FEW_TRAININGS
    if found.fixed is False:
        yield OWN_TESTS
    if found.missing:
        why = "; ".join(dict.fromkeys(found.missing.values()))
        yield f"{found.left} - {found.right}: by example without {list_seeds(list(found.missing))}: {why}"


def _format(found: ByExample, interval: tuple[float, float]) -> str:
    low, high = interval
    mean = found.mean or 0.0
    return format_interval(mean, low, high, sign="+") if high > low else f"{mean:+.4g}, the same in all that are drawn,"


# --- several data sets --------------------------------------------------------------------------------------------


def print_over_datasets(console: Console, found: OverDatasets) -> None:
    """Print ranks with their tests, interquartile means, improvements, profiles of costs."""
    listed = cap_texts([f"{dataset} by {headline}" for dataset, headline in found.headlines.items()])
    heading = f"over {len(found.headlines)} data sets"
    console.print(Text.assemble((heading, "bold"), "  ", (make_heading(found.protocol), "dim")), soft_wrap=True)
    print_lines(console, [", ".join(listed)], "dim")
    console.print()
    ranking = found.ranking
    grid = open_grid("", "mean rank", "interquartile mean")
    for method, rank, middle in zip(found.methods, ranking.ranks, found.middle, strict=True):
        grid.add_row(Text(method), f"{rank:.2f}", f"{middle:.3f}")
    console.print(grid)
    print_lines(console, _list_ranking(found), "dim")
    for cost, profile in found.profiles.items():
        console.print()
        print_lines(console, [f"{cost}: share of data sets within so many times the least"], "bold")
        grid = open_grid("", *(f"{ratio:g}x" for ratio in RATIOS))
        for method, shares in zip(found.methods, profile, strict=True):
            grid.add_row(Text(method), *(f"{share:.2f}" for share in shares))
        console.print(grid)


def _list_ranking(found: OverDatasets) -> Iterator[str]:
    ranking = found.ranking
    yield f"all alike: p {format_p(ranking.p_value)} (Friedman); 1 is the best rank"
    yield f"ranks that differ by more than {ranking.critical_difference:.2f} are told apart (Nemenyi, 0.05)"
    yield "interquartile means: over runs and data sets, on each of which the worst method's mean is 0, the best's 1"
    for left, right, probability in found.improvements:
        yield f"a run of {left} is better than one of {right} with probability {probability:.2f}"
    if found.left_out:
        yield f"left out, without a score of all seeds on some data set: {', '.join(cap_texts(list(found.left_out)))}"


# --- sweeps -------------------------------------------------------------------------------------------------------


def print_tuning(console: Console, found: Tuning) -> None:
    """Print what each sweep tried, at which price, and the best expected of so many configurations."""
    console.print(
        Text.assemble((found.dataset, "bold"), "  ", (make_heading(found.protocol), "dim"), "  tuning"), soft_wrap=True
    )
    shown = _pick_steps(max((len(each.curve) for each in found.sweeps), default=0))
    heading = f"expected {found.by} of the best of so many configurations tried, and its {found.test}"
    console.print()
    print_lines(console, [heading], "bold")
    grid = open_grid("", "tried", "trials", "training", *map(str, shown))
    for each in found.sweeps:
        amounts = (str(each.tried), str(each.trials), f"{each.seconds:.4g} s")
        grid.add_row(Text(each.label), *amounts, *(_format_step(each, k) for k in shown))
    console.print(grid)
    print_lines(console, [f"means over {list_seeds(each.seeds)}" for each in found.sweeps[:1] if each.seeds], "dim")
    console.print()


def _pick_steps(most: int) -> list[int]:
    """Pick powers of two, and the most that were tried."""
    return sorted({*(2**power for power in range(most.bit_length()) if 2**power <= most), *([most] if most else [])})


def _format_step(found: Tuned, k: int) -> str:
    if k > len(found.curve):
        return ""
    step: Step = found.curve[k - 1]
    return "-" if step.valid is None or step.test is None else f"{step.valid:.4g} / {step.test:.4g}"
