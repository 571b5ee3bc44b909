"""Figures of results/README.md and docs/compress.md come out of the records that lie beside them."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from statistics import median

import pytest

from harness import Record, read_records
from harness.statistics import compute_interval, estimate_mean, paired_difference

ROOT = Path(__file__).parents[2]
RESULTS = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
UCI = ROOT / "plugins" / "harness_gm_vi" / "suites" / "uci-gal.toml"
SPECTRAL, RANDOM = "spectral-pruning[nodes=42{}]", "random-pruning[nodes=42{}]"


@cache
def records_of(suite: str) -> list[Record]:
    return read_records(ROOT / "results" / suite)


def by_seed(records: list[Record], metric: str) -> dict[int, float]:
    found = {record.trial.seed: record.scores[metric] for record in records}
    assert len(found) == len(records)
    return found


def scores(suite: str, method: str, metric: str) -> dict[int, float]:
    found = by_seed([record for record in records_of(suite) if record.trial.method.label == method], metric)
    assert found, (suite, method)
    return found


def mean(suite: str, method: str, metric: str = "accuracy") -> float:
    return estimate_mean(scores(suite, method, metric).values()).mean


# --- compressed recurrent networks ------------------------------------------------------------------------------------


def figures(suite: str) -> list[str]:
    """The numbers with a point or a comma in what is said of a suite, in order."""
    said = re.search(rf"^- `{suite}`.*?(?=^- |^#|\n\n)", RESULTS, re.M | re.S)[0]
    return re.findall(r"-?(?:\d+,\d{3}|\d*\.\d+)", said)


def three(number: float) -> str:
    return f"{number:.3f}".replace("0.", ".", 1)


def nonzeros(method: str) -> str:
    (found,) = {record.measured["nonzeros"] for record in records_of("prune-digits") if label(record) == method}
    return f"{found:,}"


def label(record: Record) -> str:
    return record.trial.method.label


def test_figures_of_prune_digits_are_those_of_its_records():
    def accuracy(method):
        return three(mean("prune-digits", method))

    matched = "magnitude-pruning[{}parameters=2572,weights=all,form=csr]"
    assert figures("prune-digits") == [
        accuracy("dense-rnn"),
        accuracy("spectral-pruning[nodes=42]"),
        accuracy("spectral-pruning[finetune=10,nodes=42]"),
        accuracy("spectral-pruning[nodes=42,reconstruct=False]"),
        accuracy("spectral-pruning[finetune=10,nodes=42,reconstruct=False]"),
        accuracy("random-pruning[nodes=42]"),
        accuracy("random-pruning[finetune=10,nodes=42]"),
        accuracy("spectral-pruning[nodes=42,covariance=last-step]"),
        accuracy("obs-pruning[nodes=42]"),
        nonzeros("obs-pruning[nodes=42]"),
        nonzeros("dense-rnn"),
        accuracy("column-sparsification[nodes=42,score=spectral]"),
        accuracy("low-rank[rank=21]"),
        nonzeros("low-rank[rank=21]"),
        nonzeros(matched.format("")),
        accuracy(matched.format("")),
        accuracy(matched.format("finetune=10,")),
    ]
    assert nonzeros("column-sparsification[nodes=42,score=spectral]") == nonzeros("low-rank[rank=21]")
    assert nonzeros("spectral-pruning[nodes=42]") == nonzeros(matched.format(""))
    assert len(scores("prune-digits", "dense-rnn", "accuracy")) == 5


def test_figures_of_prune_gated_are_those_of_its_records():
    def of(cell):
        names = ("dense-rnn[cell={}]", *(each.format(",cell={}") for each in (SPECTRAL, RANDOM)))
        return [mean("prune-gated", name.format(cell)) for name in (*names, without.format(cell))]

    without = SPECTRAL.format(",cell={},reconstruct=False")
    tuned = {
        label(each) for each in records_of("prune-gated") if re.search("finetune(?!.*(False|magnitude))", label(each))
    }
    rebuilt = [mean("prune-gated", name) for name in tuned if not name.startswith("magnitude")]
    sides = (scores("prune-gated", each.format(",cell=gru"), "accuracy") for each in (SPECTRAL, RANDOM))
    found = paired_difference(*sides)
    expected = [*of("gru"), *of("lstm"), min(rebuilt), max(rebuilt), found.mean, found.low, found.high]
    assert figures("prune-gated") == [three(each) for each in expected]
    assert len(rebuilt) == 10


def test_figures_of_prune_gated_digits_are_those_of_its_records():
    def of(cell):
        names = ("dense-rnn[cell={}]", *(each.format(",cell={}") for each in (SPECTRAL, RANDOM)))
        names = (*names, SPECTRAL.format(",cell={},reconstruct=False"))
        return [mean("prune-gated-digits", name.format(cell)) for name in names]

    lstm = [f"{way}[nodes=42,cell=lstm]" for way in ("spectral-pruning", "random-pruning")]
    found = paired_difference(*(scores("prune-gated-digits", name, "accuracy") for name in lstm))
    expected = [*of("gru"), *of("lstm"), found.mean, found.low, found.high]
    assert figures("prune-gated-digits") == [three(each) for each in expected]


def test_figures_of_prune_sweep_are_those_of_its_records():
    def accuracies(method):
        return [three(mean("prune-sweep", method.format(nodes))) for nodes in (16, 32, 64)]

    def latency(method):
        found = [
            record.readings["latency_32_seconds"] for record in records_of("prune-sweep") if label(record) == method
        ]
        return median(found)

    ways = ("spectral-pruning", "random-pruning", "obs-pruning", "low-rank")
    names = ["dense-rnn[hidden={}]", *(f"{way}[nodes={{}}]" for way in ways)]
    timed = ("spectral-pruning[nodes=42]", "magnitude-pruning[nodes=42]", "low-rank[nodes=42]")
    assert figures("prune-sweep") == [
        three(mean("prune-sweep", "dense-rnn")),
        *(each for name in names for each in accuracies(name)),
        *(f"{latency(name) / latency('dense-rnn'):.2f}".removeprefix("0") for name in timed),
    ]


def test_figures_of_prune_text_are_those_of_its_records():
    def perplexity(method):
        return mean("prune-text", method, "perplexity")

    base, spectral = "dense-rnn[cell=lstm]", SPECTRAL.format(",cell=lstm")
    over, under = (scores("prune-text", name, "perplexity") for name in (spectral, base))
    ratios = [over[seed] / under[seed] for seed in under]
    two = [perplexity(name) for name in (base, spectral)]
    untuned = [
        perplexity(name) for name in (RANDOM.format(",cell=lstm"), SPECTRAL.format(",cell=lstm,reconstruct=False"))
    ]
    ways = ("spectral-pruning[{}]", "random-pruning[{}]", "spectral-pruning[{},reconstruct=False]")
    tuned = [perplexity(way.format("finetune=2,nodes=42,cell=lstm")) for way in ways]
    ranks = [perplexity(f"low-rank[finetune=2,cell=lstm,rank={rank}]") for rank in (21, 42)]
    assert figures("prune-text") == [
        *(f"{each:.2f}" for each in two),
        *(f"{each:.3f}" for each in (estimate_mean(ratios).mean, *compute_interval(ratios))),
        "1.1",
        f"{untuned[0]:.2f}",
        f"{untuned[1]:.1f}",
        *(f"{each:.2f}" for each in (*tuned, *ranks)),
    ]


def test_figures_of_the_suites_of_one_seed_are_those_of_their_records():
    options = ",cell=lstm"
    names = ("dense-rnn[cell=lstm]", SPECTRAL.format(options), RANDOM.format(options))
    names = (*names, f"magnitude-pruning[nodes=42{options}]", SPECTRAL.format(f"{options},reconstruct=False"))
    found = [mean("prune-ptb", name, "perplexity") for name in names]
    assert figures("prune-ptb") == [*(f"{each:.1f}" for each in found[:-1]), f"{found[-1]:,.0f}"]
    names = ("dense-rnn[gain=0.97]", "spectral-pruning[nodes=42,gain=0.97]")
    names = (*names, "spectral-pruning[finetune=1,nodes=42,gain=0.97]", "node-pruning[nodes=42,gain=0.97]")
    names = (*names, "random-pruning[nodes=42,gain=0.97]")
    assert figures("prune-pixel-mnist-short") == [three(mean("prune-pixel-mnist-short", name)) for name in names]


# --- uci-gal ----------------------------------------------------------------------------------------------------------


SETS = [
    [cell.strip(" `") for cell in line.split("|")[1:-1]]
    for line in re.search(r"^\| set \| `mean-field-vi` \|.*?\n\n", RESULTS, re.M | re.S)[0].strip().splitlines()[2:]
]


def trained_anew(dataset: str, method: str, metric: str, suite: str = "uci-gal", **options: object) -> dict[int, float]:
    """By split, of what was trained anew with the configuration that validation chose."""
    trials = ((record, record.trial) for record in records_of(suite) if record.trial.refit)
    own = [
        record
        for record, trial in trials
        if (trial.dataset.label, trial.method.name) == (dataset, method)
        and options.items() <= trial.method.given.items()
    ]
    return by_seed(own, metric)


def published(dataset: str, metric: str) -> dict[int, float]:
    """MC-dropout's, by split."""
    entries = tomllib.loads(UCI.read_text(encoding="utf-8"))["published"]
    (found,) = (
        each for each in entries if (each["dataset"], each["metric"]) == (dataset, metric) and "by_seed" in each
    )
    return dict(enumerate(found["by_seed"]))


@pytest.mark.parametrize("line", SETS, ids=[line[0] for line in SETS])
def test_a_line_of_uci_gal_is_that_of_the_records_of_its_set(line):
    dataset, *cells = line
    mixture = trained_anew(dataset, "gm-vi", "log_likelihood")
    single = trained_anew(dataset, "mean-field-vi", "log_likelihood")
    ensemble = trained_anew(dataset, "deep-ensemble", "log_likelihood", likelihood="gaussian")
    for cell, other in zip(cells, (single, ensemble), strict=False):
        assert sorted(other) == sorted(mixture) == list(range(20))
        found = paired_difference(other, mixture)
        assert cell == f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f})"
    for cell, metric in zip(cells[2:], ("log_likelihood", "rmse"), strict=True):
        ours = trained_anew(dataset, "mc-dropout", metric)
        whole = len(ours) == len(mixture)
        assert cell == (f"{paired_difference(ours, published(dataset, metric)).mean:+.3f}" if whole else "-")


def test_a_set_of_uci_gal_has_one_line():
    assert len({line[0] for line in SETS}) == len(SETS) >= 2


def test_the_sets_of_a_tenth_have_the_means_of_their_two_splits():
    table = re.search(r"^\| set, two splits \|.*?\n\n", RESULTS, re.M | re.S)[0]
    lines = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in table.strip().splitlines()[2:]]
    gaussian = {"likelihood": "gaussian"}
    methods = [("gm-vi", {}), ("mean-field-vi", {}), ("deep-ensemble", gaussian), ("mc-dropout", {})]
    assert [line[0] for line in lines] == ["uci-power", "uci-kin8nm", "uci-naval"]
    for dataset, *cells in lines:
        for cell, (method, options) in zip(cells, methods, strict=True):
            found = trained_anew(dataset, method, "log_likelihood", "uci-gal-tenth", **options)
            assert sorted(found) == [0, 1]
            assert cell == f"{estimate_mean(found.values()).mean:.3f}"


# --- docs/compress.md -------------------------------------------------------------------------------------------------


def costs(method: str) -> dict[str, float]:
    record = next(record for record in records_of("prune-digits") if label(record) == method)
    names = ("inference_macs", "forward_macs")
    return {name: record.measured[name] for name in ("nonzeros", "stored_bytes")} | {
        name: record.readings[name] for name in names
    }


def test_what_the_page_says_of_masks_is_so_in_the_records():
    base, masked, whole = (
        costs(name) for name in ("dense-rnn", "magnitude-pruning[nodes=42]", "spectral-pruning[nodes=42]")
    )
    assert masked.pop("nonzeros") < base["nonzeros"]
    assert masked == {name: base[name] for name in masked}
    assert all(whole[name] < base[name] for name in base)


def test_methods_that_are_trained_on_become_alike_in_the_records():
    names = {label(record) for record in records_of("prune-digits")}
    pairs = [(name, tuned) for name in names if (tuned := name.replace("[", "[finetune=10,")) in names]
    untuned, tuned = ([mean("prune-digits", name) for name in side] for side in zip(*pairs, strict=True))
    assert max(tuned) - min(tuned) < (max(untuned) - min(untuned)) / 4
    assert len(pairs) >= 15
