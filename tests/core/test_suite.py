"""Suites: what their files may say, how a mistake in one is answered, how a report sets them beside records."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import textwrap
from pathlib import Path

import pytest
from example_records import METRICS, record

from harness import Budget, UsageError
from harness.catalog import Settings, load_catalog
from harness.cli import main
from harness.planning.plan import plan_trials
from harness.records.store import Store
from harness.report import render, summarise, with_suite
from harness.report.formats.tex import escape_note
from harness.suites import references, suite
from harness.suites.entries import Claim, Published, Quantity
from harness.suites.suite import Comparison, Request

PLUGIN = """
    from dataclasses import dataclass
    from pathlib import Path
    from harness import *

    @dataclass(frozen=True)
    class Config:
        rate: float = option(1.0, "how fast", above=0)
        variant: str = option("every", "when")

    @hookimpl
    def harness_methods():
        for name in ("new", "old"):
            yield Method(name, "a method", "nowhere:build", ("classification",), config=Config)

    @hookimpl
    def harness_datasets():
        yield Dataset("toy", "a toy", "classification", "nowhere:load", default=True)
        yield Dataset("doll", "another", "classification", "nowhere:load")

    @hookimpl
    def harness_metrics():
        yield Metric("forward_macs", "", "", "lower", per="update", exact=True, bounded_by="uncovered")

    @hookimpl
    def harness_suites():
        yield Suite("halves", "half the cost", Path(__file__).with_name("halves.toml"))
    """

HALVES = """
    summary = "half the cost"
    methods = ["old", "new[rate=[0.25,0.5]]"]
    datasets = "toy"
    seeds = [0, 7]
    updates = 4

    [[published]]
    method = "old"
    dataset = "toy"
    metric = "accuracy"
    value = 0.95
    sd = 0.01
    n = 5
    source = "Someone 2020, Table 1"
    setting = "larger network"

    [[published]]
    method = "new[rate=0.25]"
    dataset = "a large one"
    metric = "accuracy"
    value = 0.7
    source = "Someone 2020, Table 1"

    [[claims]]
    text = "half the cost"
    left = "old.forward_macs"
    over = "new[rate=0.25].forward_macs"
    at_least = 1.9
    at_most = 2.0
    published = 1.95
    source = "Someone 2020, Section 4"

    [[claims]]
    text = "as good"
    left = "new[rate=0.25].accuracy"
    minus = "old.accuracy"
    at_least = -0.01
    dataset = "toy"
    """


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A plugin with a suite in a file beside it, and no plugin but it and the general metrics."""
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics")
    monkeypatch.setenv("COLUMNS", "140")
    tmp_path.joinpath("plugin.py").write_text(textwrap.dedent(PLUGIN))
    tmp_path.joinpath("halves.toml").write_text(textwrap.dedent(HALVES))
    return tmp_path


@pytest.fixture
def harness(place, capsys):
    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([*map(str, arguments), "-p", str(place / "plugin.py")])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call


def written(folder, records):
    store = Store(folder)
    store.prepare()
    for place, each in enumerate(records):
        store.write(dataclasses.replace(each, finished=f"2026-01-01T00:00:{place:02d}.000+00:00"))
    return folder


def measured(accuracy=0.9, cost=100, methods=("old", "new[rate=0.25]", "new[rate=0.5]"), **others):
    """Two seeds of each method; `old` costs twice as much as the others."""
    return [
        record(
            method,
            seed,
            "toy",
            scores={"accuracy": accuracy + seed / 1000},
            readings={"forward_macs": cost * (2 if method == "old" else 1)},
            **others,
        )
        for seed in (0, 7)
        for method in methods
    ]


FOREIGN = """
    from dataclasses import dataclass
    from harness import *

    @dataclass(frozen=True)
    class Config:
        rate: str = option("high", "how fast")

    @hookimpl
    def harness_methods():
        yield Method("old", "another of this name", "nowhere:build", ("classification",), config=Config)
        yield Method("start", "another of this name", "nowhere:build", ("regression",), config=Config)

    @hookimpl
    def harness_datasets():
        yield Dataset("toy", "another of this name", "regression", "nowhere:load")
    """
STARTS = """
    @hookimpl
    def harness_backends():
        yield BackendOffer("none", "math:sqrt", lambda device, precision, workers: "cpu")

    @hookimpl
    def harness_methods():
        yield Method("old", "a method", "math:sqrt", ("classification",), config=Config, starts_from="start")
        yield Method("new", "a method", "math:sqrt", ("classification",), config=Config)
        yield Method("start", "what old starts from", "math:sqrt", ("classification",), config=Config)

    @hookimpl
    def harness_datasets():
        yield Dataset("toy", "a toy", "classification", "math:sqrt", default=True)
    """


@pytest.fixture
def clash(install, tmp_path, monkeypatch):
    """A suite of one distribution, and another distribution whose names are the same."""
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics,executors,acme,stranger")
    monkeypatch.setenv("COLUMNS", "140")
    head, _, tail = PLUGIN.partition("    @hookimpl\n    def harness_methods")
    shelves = tail.partition("    @hookimpl\n    def harness_metrics")
    install("acme", one=f"{head}\n{STARTS}\n{''.join(shelves[1:])}")
    (tmp_path / "site" / "halves.toml").write_text(textwrap.dedent(HALVES))
    install("stranger", one=FOREIGN)


def test_a_suite_means_the_methods_of_its_own_distribution(clash, tmp_path, capsys):
    assert main(["run", "--methods", "old", "--dry-run", "--results", str(tmp_path / "r")]) == 2
    assert "write acme:old or stranger:old" in capsys.readouterr().err
    assert main(["run", "--suite", "halves", "--dry-run", "--results", str(tmp_path / "r")]) == 0
    out, err = capsys.readouterr()
    assert "old" not in err, "a metric of the stranger's is left out, no method is in question"
    names = [line.split("  ")[1].partition(" on ")[0] for line in out.splitlines()[:-1]]
    assert names == ["start", "old", "new[rate=0.25]", "new[rate=0.5]"] * 2


def test_the_report_of_a_suite_needs_no_qualified_names_either(clash, tmp_path, capsys):
    folder = written(tmp_path / "results", measured())
    assert main(["report", "--suite", "halves", "--results", str(folder), "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["method"] for row in report["rows"]] == ["old", "new[rate=0.25]", "new[rate=0.5]"]
    assert [claim["measured"] for claim in report["claims"]] == [2.0, 0.0]
    assert [each["method"] for each in report["published"]] == ["old", "new[rate=0.25]"]


def test_trials_of_a_suite_say_whose_methods_they_are(clash):
    catalog = load_catalog(Settings())
    trials = plan_trials(catalog, references.find_suite(catalog, "halves").request)
    chosen = {trial.method.label: trial.method for trial in trials}
    assert set(chosen) == {"start", "old", "new[rate=0.25]", "new[rate=0.5]"}
    assert (chosen["old"].provider, chosen["start"].provider) == ("acme", "acme")
    assert {trial.dataset.provider for trial in trials} == {"acme"}
    assert {trial.skip for trial in trials} == {None}


# --- the file -----------------------------------------------------------------------------------------------------


def test_a_file_says_what_to_run_what_is_published_and_what_is_claimed(place):
    read = suite.read_suite(place / "halves.toml")
    assert read.summary == "half the cost"
    assert read.request == Request(
        methods="old,new[rate=[0.25,0.5]]", datasets="toy", seeds="[0, 7]", budget=Budget("updates", 4), folder=place
    )
    old = Published("old", "toy", "accuracy", 0.95, "Someone 2020, Table 1", 0.01, 5, "larger network")
    assert read.published[0] == old
    assert old.origin == "Someone 2020, Table 1; larger network"
    half, good = read.claims
    assert (half.left, half.over) == (Quantity("old", "forward_macs"), Quantity("new[rate=0.25]", "forward_macs"))
    assert (half.minus, half.at_least, half.at_most, half.published) == (None, 1.9, 2.0, 1.95)
    assert (half.expression, half.bounds) == ("old.forward_macs / new[rate=0.25].forward_macs", "1.9 to 2")
    assert (good.expression, good.bounds) == ("new[rate=0.25].accuracy - old.accuracy", "at least -0.01")


CLAIM = '[[claims]]\ntext = "x"\nleft = "old.accuracy"\n'
VALUE = '[[published]]\nmethod = "old"\ndataset = "toy"\nmetric = "accuracy"\nvalue = 1\nsource = "s"\n'


@pytest.mark.parametrize(
    "spelling", ["my suites/h.toml", "'my suites/h.toml'", r"my\ suites/h.toml", "~/my suites/h.toml"]
)
def test_a_file_is_found_in_every_spelling_of_a_shell(harness, place, monkeypatch, spelling):
    (place / "my suites").mkdir()
    (place / "halves.toml").rename(place / "my suites" / "h.toml")
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", str(place))
    written(place / "results", measured())
    assert harness("report", "--suite", spelling)[0] == 0


@pytest.mark.parametrize(
    "text, said",
    [
        ("methods = ", "not TOML"),
        ("method = 'old'", "unknown key 'method'; did you mean 'methods'"),
        ("summary = 3", "summary = 3 is of the wrong type; expected a text"),
        ("methods = ['old', 3]", "methods has 3, of the wrong type"),
        ("seeds = 'three'", "seeds = 'three'; expected a number, a list of seeds, or"),
        ("batch_size = 0", "batch_size = 0; expected at least 1"),
        ("updates = -1", "updates = -1; expected at least 0"),
        ("epochs = nan", "epochs = nan is of the wrong type"),
        (f"target = {10**400}", "target = 10+ is of the wrong type"),
        ("epochs = true", "epochs = True is of the wrong type"),
        ("epochs = 1\nseconds = 2", "give one budget, not epochs and seconds"),
        ("claims = 3", "claims = 3 is of the wrong type; expected a list"),
        ("claims = ['x']", r"claims = .* is of the wrong type; write tables under \[\[claims\]\]"),
        (CLAIM, "claims entry 1: neither at_least nor at_most"),
        (CLAIM + "at_most = 1\nover = 'old.nll'\nminus = 'old.nll'", "claims entry 1: both over and minus"),
        (CLAIM + "at_most = 1\nunder = 'old.nll'", "claims entry 1: unknown key 'under'"),
        (CLAIM + "at_most = 'one'", "claims entry 1: at_most = 'one' is of the wrong type; expected a number"),
        (CLAIM + "at_most = true", "claims entry 1: at_most = True is of the wrong type"),
        (CLAIM + "at_most = 1\nat_least = 2", "claims entry 1: at_least = 2 lies above at_most = 1"),
        (CLAIM + "at_most = 1\npublished = 2", "claims entry 1: published = 2 needs its source"),
        (CLAIM + "at_most = 1\n[[claims]]\ntext = 'y'\nat_most = 1", "claims entry 2: left is missing"),
        (CLAIM + "at_most = 1\nover = 'accuracy'", "claims entry 1: over = 'accuracy'; expected METHOD.METRIC"),
        (CLAIM + "at_most = 1\nover = 'old[rate=0.5]'", "claims entry 1: over = .*; expected METHOD.METRIC"),
        (VALUE.replace("source", "#"), "published entry 1: source is missing"),
        (VALUE.replace('"s"', '""'), "published entry 1: source is missing"),
        (VALUE.replace("value = 1", "value = '1'"), "published entry 1: value = '1' is of the wrong type"),
        (VALUE + "sd = -1", "published entry 1: sd = -1"),
        (VALUE + "n = 0", "published entry 1: n = 0"),
        (VALUE + "vlaue = 0", "published entry 1: unknown key 'vlaue'; did you mean 'value'"),
    ],
)
def test_a_mistake_names_the_file_the_entry_and_the_word(tmp_path, text, said):
    file = tmp_path / "s.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=rf"s\.toml: {said}"):
        suite.read_suite(file)


@pytest.mark.parametrize(
    "old, new, words",
    [
        (
            "over = ",
            "over = 'new.forward_macs' #",
            ["claims entry 1", "'new'", "not among the suite's", "new[rate=0.25]"],
        ),
        ("over = ", "over = 'nwe.forward_macs' #", ["claims entry 1", "'nwe'", "did you mean"]),
        ("over = ", "over = 'new[rate=[0.25,0.5]].forward_macs' #", ["claims entry 1", "names 2"]),
        ("over = ", "over = 'new[rat=1].forward_macs' #", ["claims entry 1", "'rat'"]),
        ("over = ", "over = 'new[rate=0.25].forward_mac' #", ["claims entry 1", "'forward_mac'", "did you mean"]),
        ("minus = ", "minus = 'new[rate=0.75].accuracy' #", ["claims entry 2", "new[rate=0.75]"]),
        ('metric = "accuracy"', 'metric = "acuracy"', ["published entry 1", "acuracy", "did you mean 'accuracy'"]),
        ('method = "old"', 'method = "new"', ["published entry 1", "'new'"]),
        ('datasets = "toy"', 'datasets = "doll"', ["claims entry 2", "dataset = 'toy'", "doll"]),
        ('datasets = "toy"', 'datasets = "tyo"', ["tyo", "did you mean 'toy'"]),
    ],
)
def test_what_an_entry_refers_to_must_be_there(harness, place, old, new, words):
    file = place / "halves.toml"
    file.write_text(file.read_text().replace(old, new, 1))
    written(place / "r", measured())
    for command in (("report", "--results", place / "r"), ("run", "--dry-run")):
        code, out, err = harness(*command, "--suite", file)
        assert (code, out) == (2, "")
        assert all(word in err for word in ["halves.toml", *words]), err


def test_a_method_is_found_however_its_options_are_written(harness, place):
    """`variant=every` is the default, and 1/4 may be written in many ways."""
    file = place / "halves.toml"
    file.write_text(
        file.read_text().replace("new[rate=0.25].forward_macs", "new( variant = every, rate=25e-2).forward_macs")
    )
    _, out, _ = harness(
        "report", "--results", written(place / "r", measured()), "--suite", "halves", "--format", "json"
    )
    claim = json.loads(out)["claims"][0]
    assert (claim["over"], claim["verdict"]) == ("new[rate=0.25].forward_macs", "holds")


# --- listing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bounds, words",
    [
        ({"at_least": 1.9, "at_most": 2}, "1.9 to 2"),
        ({"at_least": 1, "at_most": 1.0}, "exactly 1"),
        ({"at_least": 0}, "at least 0"),
        ({"at_most": 0.5}, "at most 0.5"),
    ],
)
def test_bounds_in_words(bounds, words):
    assert Claim("x", Quantity("old", "nll"), **bounds).bounds == words


def test_list_shows_what_a_suite_runs_and_alone_what_it_claims(harness):
    _, out, _ = harness("list", "suites")
    for words in ("old,new[rate=[0.25,0.5]]", "toy", "[0, 7]", "4 updates", "half the cost"):
        assert words in out
    assert "as good" not in out
    _, out, _ = harness("list", "halves")
    assert "as good (new[rate=0.25].accuracy - old.accuracy: at least -0.01)" in out
    assert "old on toy: accuracy 0.95 (Someone 2020, Table 1; larger network)" in out
    _, out, _ = harness("list", "halves", "--format", "json")
    (found,) = json.loads(out)["suites"]
    assert (found["budget"], len(found["claims"]), len(found["published"])) == ("4 updates", 2, 2)


def test_a_broken_file_hides_no_other_suite(harness, place):
    place.joinpath("halves.toml").write_text("methods = ")
    for arguments in (("list", "suites"), ("list",), ("list", "halves")):
        code, out, _ = harness(*arguments)
        assert code == 0
        assert "not TOML" in out


# --- the report ---------------------------------------------------------------------------------------------------


def test_the_report_of_a_suite(harness, place):
    folder = written(place / "r", [*measured(), record("other", 0, "toy")])
    code, out, err = harness("report", "--results", folder, "--suite", "halves")
    assert (code, err) == (0, "")
    assert "other" not in out
    lines = [line.split() for line in out.splitlines()]
    assert ["old", "toy", "accuracy", "0.903", "±", "0.005", "0.950", "±", "0.010", "(n=5)", "[1]"] in lines
    assert ["new[rate=0.25]", "a", "large", "one", "accuracy", "-", "0.7000", "[2]"] in lines
    assert ["holds", "half", "the", "cost"] in lines
    assert (
        "old.forward_macs / new[rate=0.25].forward_macs = 2 (count, n=2); claimed 1.9 to 2; published 1.95 [3]" in out
    )
    assert "[1] Someone 2020, Table 1; larger network" in out
    assert "[3] Someone 2020, Section 4" in out


def test_records_of_other_data_sets_are_named(harness, place):
    folder = written(place / "r", [record("old", 0, "elsewhere")])
    code, out, err = harness("report", "--results", folder, "--suite", "halves")
    assert (code, out) == (2, "")
    assert "no record of its methods on its data sets (records: old on elsewhere)" in " ".join(err.split())
    assert "--datasets" in err


def test_flags_choose_other_records(harness, place):
    folder = written(place / "r", measured())
    _, out, _ = harness("report", "--results", folder, "--suite", "halves", "--methods", "old", "--format", "json")
    found = json.loads(out)
    assert [row["method"] for row in found["rows"]] == ["old"]
    assert [(c["verdict"], c["measured"], c["reason"]) for c in found["claims"]] == [
        ("not measured", None, "no record of new[rate=0.25]"),
        ("not measured", None, "no record of new[rate=0.25]"),
    ]


def test_a_folder_without_the_suites_records(harness, place):
    folder = written(place / "r", [record("other", 0, "toy")])
    code, out, err = harness("report", "--results", folder, "--suite", "halves")
    assert (code, out) == (2, "")
    assert "harness run --suite" in err


def comparison(*claims: Claim, published=()) -> Comparison:

    return Comparison(Path("s.toml"), Request(), published=tuple(published), claims=claims)


def reported(records, *claims: Claim, published=(), style="json"):
    beside = comparison(*claims, published=published)
    return render(with_suite(summarise(records, METRICS), records, METRICS, beside), style, 140)


HALF = Claim("half", Quantity("old", "forward_macs"), over=Quantity("new", "forward_macs"), at_least=1.9, at_most=2)


def judged(records, claim=HALF):
    (found,) = json.loads(reported(records, claim), parse_constant=pytest.fail)["claims"]
    return found


def test_json_has_every_term_of_a_claim():
    assert judged(measured(methods=["old", "new"])) == {
        "text": "half",
        "verdict": "holds",
        "measured": 2.0,
        "low": None,
        "high": None,
        "n": 2,
        "no_interval": "count",
        "left": "old.forward_macs",
        "over": "new.forward_macs",
        "minus": None,
        "at_least": 1.9,
        "at_most": 2,
        "reason": "",
        "notes": [],
        "dataset": "toy",
        "protocol": {"budget": "10 epochs", "batch_size": 128, "device": "cpu", "precision": "fp32", "threads": 1},
        "published": None,
        "source": "",
        "setting": "",
    }


def test_a_published_value_of_another_quantity_says_so():
    claim = dataclasses.replace(HALF, published=0.7, source="Someone 2020, Table 2", setting="memory of the process")
    for style in ("text", "markdown", "latex"):
        shown = reported(measured(methods=["old", "new"]), claim, style=style)
        assert "[1] Someone 2020, Table 2; memory of the process" in shown
    assert judged(measured(methods=["old", "new"]), claim)["setting"] == "memory of the process"


@pytest.mark.parametrize(
    "new, reason",
    [
        ([], "no record of new"),
        ([record("new", 0, "toy", status="timeout", reason="after 60 s")], "new seed 0: timeout after 60 s"),
        ([record("new", 0, "toy", holes={"forward_macs": "it broke"})], "new.forward_macs seed 0: it broke"),
        ([record("new", 0, "toy", facts={"forward_macs": 1})], "stated by the method, not measured"),
        ([record("new", 0, "toy", readings={"forward_macs": 0})], "new.forward_macs is 0"),
        ([record("new", 3, "toy", readings={"forward_macs": 1})], "no seed has both sides"),
    ],
)
def test_why_a_claim_is_not_measured(new, reason):
    found = judged([*measured(methods=["old"]), *new])
    assert (found["verdict"], found["measured"], found["n"]) == ("not measured", None, 0)
    assert reason in found["reason"]


def test_a_seed_that_failed_is_said_beside_the_verdict():
    failed = record("new", 9, "toy", status="oom")
    found = judged([*measured(methods=["old", "new"]), failed])
    assert (found["verdict"], found["n"], found["reason"]) == ("holds", 2, "new seed 9: oom")


def test_protocols_are_judged_apart_and_never_mixed():
    long = measured(methods=["old", "new"], budget=Budget("epochs", 10))
    short = measured(methods=["old", "new"], budget=Budget("epochs", 1), cost=1)
    halves = [each for each in [*long, *short] if (each.trial.method.label == "old") == (each in long)]
    assert judged(halves)["verdict"] == "not measured"
    both = json.loads(reported([*long, *short], HALF))["claims"]
    assert [(each["verdict"], each["protocol"]["budget"]) for each in both] == [
        ("holds", "10 epochs"),
        ("holds", "1 epoch"),
    ]
    assert "half [on toy, 1 epoch, cpu]" in reported([*long, *short], HALF, style="text")


def test_a_claim_about_another_data_set_is_not_measured_here():
    found = judged(measured(methods=["old", "new"]), dataclasses.replace(HALF, dataset="imagenet"))
    assert (found["verdict"], found["reason"], found["dataset"]) == (
        "not measured",
        "no record on imagenet",
        "imagenet",
    )


ACCURACY = Published("old", "toy", "accuracy", 0.95, "S_1 & T", setting="a | b")
ELSEWHERE = Published("new", "cifar", "forward_macs", 2.5e9, "S2")


def test_csv_keeps_published_values_in_columns_of_their_own():
    text = reported(measured(methods=["old"]), published=[ACCURACY, ELSEWHERE], style="csv")
    lines = list(csv.DictReader(io.StringIO(text)))
    ours = [line for line in lines if line["mean"]]
    theirs = [line for line in lines if line["published"]]
    assert all(not line["published"] and not line["source"] for line in ours)
    assert [(line["dataset"], line["metric"], float(line["published"]), line["mean"]) for line in theirs] == [
        ("toy", "accuracy", 0.95, ""),
        ("cifar", "forward_macs", 2.5e9, ""),
    ]
    assert theirs[0]["source"] == "S_1 & T; a | b"
    assert (ours[0]["n"], ours[0]["batch_size"]) == ("2", "128")


def test_json_keeps_published_values_apart_from_rows():
    found = json.loads(reported(measured(methods=["old"]), published=[ACCURACY, ELSEWHERE]))
    first, second = found["published"]
    assert (first["value"], first["measured"]["mean"], first["measured"]["n"]) == (0.95, pytest.approx(0.9035), 2)
    assert (second["value"], second["measured"]) == (2.5e9, None)
    assert "published" not in found["rows"][0]["metrics"]["accuracy"]


def test_markdown_and_latex_have_values_claims_and_sources():
    text = reported(measured(methods=["old", "new"]), HALF, published=[ACCURACY, ELSEWHERE], style="markdown")
    assert "| `new`    | `cifar`    | forward_macs |               - | 2.500 G MACs [2] |" in text
    assert "- **holds**: half" in text
    assert r"- [1] S_1 & T; a \| b" in text
    text = reported(measured(methods=["old", "new"]), HALF, published=[ACCURACY, ELSEWHERE], style="latex")
    assert r"0.9035 $\pm$ 0.0049" in text
    assert "% claim holds: half; old.forward_macs / new.forward_macs = 2" in text
    assert escape_note("[1] S_1 & T; a | b") in text
    assert text.count(r"\begin{table}") == 2


@pytest.mark.parametrize("style", ["text", "markdown", "latex", "csv", "json"])
def test_without_a_suite_nothing_is_added(style):
    plain = render(summarise(measured(), METRICS), style, 100)
    assert "published" not in plain
    assert "holds" not in plain


# --- at least -----------------------------------------------------------------------------------------------------


def uncovered(method: str, share: float, **readings: float):
    """Two seeds whose totals are without the work of an operator that has no formula."""
    rows = {"aten::fft": {"count": 1, "bytes": 10, "share": share}}
    return [
        record(method, seed, "toy", readings={"uncovered": rows, "uncovered_share": share, **readings})
        for seed in (0, 1)
    ]


def test_more_than_one_percent_uncovered_makes_a_total_a_lower_bound():
    def bound(share, name):
        table = summarise(uncovered("old", share, forward_macs=10, activation_bytes=10), METRICS).tables[0]
        return table.rows[0].cells[name].lower_bound

    assert bound(0.01, "forward_macs") == ""
    assert bound(0.011, "forward_macs") == "operators without a formula move 1.1 % of the bytes: aten::fft"
    assert bound(0.997, "forward_macs") == "operators without a formula move 99.7 % of the bytes: aten::fft"
    assert bound(1.0, "forward_macs") == "operators without a formula move 100 % of the bytes: aten::fft"
    assert bound(0.5, "activation_bytes") == ""


def test_a_lower_bound_is_never_the_best_and_never_compared():
    records = [*uncovered("old", 0.2, forward_macs=10), *uncovered("new", 0, forward_macs=12)]
    (old, new) = (row.cells["forward_macs"] for row in summarise(records, METRICS).tables[0].rows)
    assert (old.best, new.best) == (False, False)
    assert (old.relative, new.relative) == (None, None)
    records = [*uncovered("new", 0, forward_macs=8), *uncovered("old", 0.2, forward_macs=10)]
    (new, old) = (row.cells["forward_macs"] for row in summarise(records, METRICS).tables[0].rows)
    assert (new.best, new.relative, old.relative) == (True, 1.0, None)


def test_at_least_is_printed_in_every_format():
    records = [*uncovered("old", 0.2, forward_macs=1234), *uncovered("new", 0, forward_macs=5678)]
    summary = summarise(records, METRICS)
    note = "operators without a formula move 20 % of the bytes: aten::fft"
    text = render(summary, "text", 100)
    assert "≥ 1234 ± 0 [1]" in text
    assert f"[1] at least: {note}" in text
    assert "≥ 5678" not in text
    markdown = render(summary, "markdown")
    assert "≥ 1234 ± 0 |" in markdown
    assert f"forward_macs of old: at least; {note}" in markdown
    latex = render(summary, "latex")
    assert r"$\geq$ 1234" in latex
    assert escape_note(note) in latex
    old, new = (
        line for line in csv.DictReader(io.StringIO(render(summary, "csv"))) if line["metric"] == "forward_macs"
    )
    assert (old["at_least"], new["at_least"]) == ("True", "")
    old, new = json.loads(render(summary, "json"))["rows"]
    assert old["metrics"]["forward_macs"]["at_least"] is True
    assert old["lower_bounds"] == {"forward_macs": note}
    assert "at_least" not in new["metrics"]["forward_macs"]


def test_a_prediction_has_its_own_uncovered_operators():
    metrics = [*METRICS, dataclasses.replace(METRICS[-1], name="inference_macs", bounded_by="inference_uncovered")]
    readings = {
        "inference_macs": 10,
        "forward_macs": 10,
        "uncovered_share": 0.0,
        "inference_uncovered": {"aten::svd": {"share": 0.03}, "aten::fft": {"share": 0.04}},
    }
    cells = summarise([record(readings=readings)], metrics).tables[0].rows[0].cells
    assert cells["forward_macs"].lower_bound == ""
    assert cells["inference_macs"].lower_bound.endswith("7 % of the bytes: aten::fft, aten::svd")


def test_a_claim_about_a_lower_bound_says_so():
    records = [*uncovered("old", 0.2, forward_macs=200), *uncovered("new", 0, forward_macs=100)]
    found = judged(records)
    assert (found["verdict"], found["measured"]) == ("open", 2.0)
    assert found["notes"] == [
        "old.forward_macs counts at least: operators without a formula move 20 % of the bytes: aten::fft"
    ]
    at_least = dataclasses.replace(HALF, at_most=None)
    assert judged(records, at_least)["verdict"] == "holds"
    assert "counts at least" in reported(records, at_least, style="text")


def test_show_marks_a_lower_bound(harness, place):
    folder = written(place / "r", uncovered("old", 0.2, forward_macs=1234))
    _, out, _ = harness("show", "old/toy/0", "--results", folder)
    assert "≥ 1234 per update (at least: operators without a formula move 20 % of the bytes: aten::fft)" in out


# --- run ----------------------------------------------------------------------------------------------------------


def test_a_run_of_a_suite_ends_with_its_claims(place, monkeypatch, capsys):
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics,executors")
    file = place / "coins.toml"
    file.write_text(
        'methods = "counts,counts[strength=2]"\nseeds = 2\n[[published]]\nmethod = "counts"\ndataset = "coins"\n'
        'metric = "length"\nvalue = 5e6\nsource = "Someone 2020"\n[[claims]]\ntext = "equally long"\n'
        'left = "counts.length"\nover = "counts[strength=2].length"\nat_least = 1\nat_most = 1\n'
    )
    tiny = Path(__file__).with_name("tiny.py")
    command = ["run", "--suite", file, "--here", "--results", place / "r", "-p", tiny]
    assert main([str(word) for word in command]) == 0
    out, _ = capsys.readouterr()
    lines = [line.split() for line in out.splitlines()]
    assert ["counts", "coins", "length", "2.500", "±", "0", "MB", "5.000", "MB", "[1]"] in lines
    assert ["holds", "equally", "long"] in lines
    assert main([str(word) for word in [*command, "--methods", "counts"]]) == 0
    out, _ = capsys.readouterr()
    assert ["not", "measured", "equally", "long"] in [line.split() for line in out.splitlines()]
    assert "no record of counts[strength=2.0]" in out
