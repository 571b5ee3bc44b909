"""`harness plot`: what is drawn, what the caption says, files that repeat, and what is refused."""

from __future__ import annotations

import itertools
import re
import sys

import pytest
from example_records import METRICS, comparison, record

from harness import UsageError
from harness.cli import main
from harness.records.store import Store
from harness.report import summarise
from harness.report.wording.scaling import find_range

pytest.importorskip("matplotlib")
from harness.report.figures import KINDS, canvas, draw
from harness.report.figures.canvas import Asked, fold_label, pick_style


def drawn(records, kind="tradeoff", format_="svg", **asked):
    return draw(kind, summarise(records, METRICS), Asked(**asked), format_)


def figure(records, kind="tradeoff", **asked):
    with canvas.import_matplotlib().rc_context(canvas.STYLE):
        return KINDS[kind](summarise(records, METRICS), Asked(**asked)).figure


def trained(*methods: str, seeds: int = 3):
    """Trials with curves, two costs and parts of them."""
    return [
        record(
            method,
            seed,
            valid=[0.1, 0.8, 0.9 + seed / 100, 0.92 + seed / 100],
            scores={"accuracy": 0.9 + place / 50 + seed / 100},
            readings={"activation_bytes": 10.0**place * 1e5, "forward_macs": 1e6, "backward_macs": 2e6 * (place + 1)},
            options={"steps": 2.0 ** (place + 1)},
        )
        for place, method in enumerate(methods)
        for seed in range(seeds)
    ]


SWEPT = ("saf[steps=2]", "saf[steps=4]", "saf[steps=8]")


@pytest.mark.parametrize("format_", canvas.FORMATS)
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_file_repeats_to_the_byte(kind, format_):
    first, caption = drawn(trained(*SWEPT), kind, format_)
    assert (first, caption) == drawn(trained(*SWEPT), kind, format_)
    assert {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}[format_] == first[: 5 if format_ == "svg" else 4]
    assert b"202" not in re.sub(rb"[0-9.]*202[0-9.]+", b"", first) or b"CreationDate" not in first


@pytest.mark.parametrize("width, inches", [("column", 3.35), ("page", 6.9)])
def test_nothing_overlaps_or_is_cut(width, inches):
    long = [f"method-{place}[architecture={'wide' * 12},rate=0.{place}]" for place in range(9)]
    made = figure(trained(*long), width=width)
    assert made.get_size_inches()[0] == inches
    with canvas.import_matplotlib().rc_context(canvas.STYLE):
        made.canvas.draw()
        bounds = made.bbox
        legend, (axes,) = made.legends[0], made.axes
        boxes = [legend.get_window_extent(), axes.get_tightbbox()]
    for box in boxes:
        assert bounds.x0 - 1 <= box.x0 <= box.x1 <= bounds.x1 + 1
        assert bounds.y0 - 1 <= box.y0 <= box.y1 <= bounds.y1 + 1
    texts = [text.get_window_extent() for text in legend.get_texts()]
    assert not any(text.overlaps(boxes[1]) for text in texts)
    assert not any(left.overlaps(right) for left, right in itertools.combinations(texts, 2))


def test_the_trade_off_has_intervals_and_the_front():
    made = figure(trained("saf", "ottt"), costs=("activation_bytes",))
    (axes,) = made.axes
    assert len(axes.containers) == 2
    assert all(container.has_yerr for container in axes.containers)
    assert axes.get_xlabel().startswith("activation_bytes")
    assert [text.get_text() for text in made.legends[0].get_texts()] == ["saf", "ottt", "Pareto front of the means"]


def test_captions_say_n_what_bars_are_where_and_what_is_missing():
    records = [*comparison(), record("lost", 0, status="oom", reason="asked for 1 TB")]
    _, caption = drawn(records, costs=("activation_bytes",))
    for words in (
        "accuracy against activation_bytes",
        "digits: 10 epochs, batch 128, cpu, fp32, 1 thread; n = 3 seeds, but bptt 2, lost 0",
        "95 % interval (Student's t) of the mean over seeds",
        "bptt (lacks seed 2)",
        "asked for 1 TB",
    ):
        assert words in caption
    rows = [record(scores={"accuracy": 0.5}, readings={"activation_bytes": 1.0}, environment={"cpu": "M", "cores": 2})]
    assert "Measured on M (2 cores)." in drawn(rows)[1]


def test_colours_and_markers_come_in_pairs_of_their_own():
    pairs = [tuple(pick_style(place).values()) for place in range(canvas.MOST_ENTRIES)]
    assert len(set(pairs)) == canvas.MOST_ENTRIES


def test_labels_are_folded_at_their_commas():
    assert fold_label("saf[variant=final,steps=4]", 20) == "saf[variant=final,\nsteps=4]"
    assert max(map(len, fold_label("x" * 100, 20).split("\n"))) <= 20


@pytest.mark.parametrize("kind", list(KINDS))
def test_hostile_names_are_shown(kind):
    name = r"saf[$\frac{x$,<script>&amp;_^%\u202e中]"
    content, _ = drawn(trained(name, f"{name}2"), kind if kind != "sweep" else "curves")
    assert b"<script" not in content


def test_a_curve_is_scaled_to_what_changes():
    assert find_range([5.0, 1.0, 0.9, 0.95]) == (0.9, 1.0, True)
    assert find_range([1.0, 0.9, 0.8, 0.7]) == (0.7, 1.0, False)
    assert find_range([3.0, 1.0, 1.0, 1.0]) == (1.0, 3.0, False)
    assert find_range([float("nan"), 2.0]) == (2.0, 2.0, False)
    made = figure(trained("saf", seeds=1), "curves")
    low, high = made.axes[0].get_ylim()
    assert 0.7 < low < high < 1


@pytest.mark.parametrize(
    "kind, asked, words",
    [
        ("tradeoff", {"score": "nll"}, "no table has such a score and cost"),
        ("curves", {"score": "nll"}, "no table has learning curves of nll"),
        ("sweep", {"over": "step"}, "--over step: no rows differ in it alone"),
        ("costs", {"costs": ("updat",)}, "--cost updat: unknown; did you mean"),
    ],
)
def test_what_is_not_there_is_refused(kind, asked, words):
    with pytest.raises(UsageError) as refused:
        drawn(trained(*SWEPT), kind, **asked)
    assert words.lower() in str(refused.value).lower().replace(", did", "; did").replace("? did", "; did")


def test_too_many_panels_and_methods_are_refused():
    many = [each for name in range(13) for each in trained(f"saf{name}", seeds=1)]
    with pytest.raises(UsageError, match="--methods"):
        drawn([each for name in range(41) for each in trained(f"m{name}", seeds=1)])
    apart = [record("saf", 0, f"data{n}", scores=each.scores, readings=each.readings) for n, each in enumerate(many)]
    with pytest.raises(UsageError, match="--datasets"):
        drawn(apart)


# --- the command --------------------------------------------------------------------------------------------------


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics")
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / "results")
    store.prepare()
    for each in trained(*SWEPT):
        store.write(each)


def test_the_command_writes_the_figure_and_prints_the_caption(results, tmp_path, capsys):
    assert main(["plot", "curves", "--output", "a.svg", "--caption", "a.txt"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("accuracy on the validation rows during training")
    assert (tmp_path / "a.txt").read_text() == out
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    "arguments, word",
    [
        (["pie", "--output", "a.svg"], "tradeoff, curves, sweep, costs"),
        (["curves", "--output", "a.jpg"], "svg, pdf, png"),
        (["curves", "--output", "a.svg", "--width", "wide"], "column, page"),
        (["curves", "--output", "a.svg", "--x", "hours"], "update, epoch, seconds"),
        (["curves", "--output", "nowhere/a.svg"], "not written"),
        (["tradeoff", "--output", "a.svg", "--score", "acuracy"], "acuracy"),
    ],
)
def test_mistakes_are_told(results, capsys, arguments, word):
    assert main(["plot", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert word in err


def test_without_matplotlib_the_error_says_how_to_install_it(results, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["plot", "curves", "--output", "a.svg"]) == 2
    assert "pip install 'harness-bench[plot]'" in capsys.readouterr().err
