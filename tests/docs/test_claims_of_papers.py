"""The README's table of the papers' claims says what the records and the commands beside it say."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from harness import cli, read_records

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TABLE = re.search(r"^\| claim \| check \| verdict \|\n.*?\n\n", README, re.M | re.S)[0]
LINES = [[cell.strip() for cell in line.split(" | ")] for line in TABLE.strip().splitlines()[2:]]


def verdict(claim: str) -> str:
    """The verdict beside the claim with these words."""
    (found,) = (line[2] for line in LINES if claim in line[0])
    return found


def figures(text: str) -> list[float]:
    """The numbers with a point, without those of versions and names."""
    return [float(number) for number in re.findall(r"(?<![\w.])[+-]?\d+\.\d+(?:e-\d+)?", text.replace("`", ""))]


@cache
def claims(suite: str) -> list[dict[str, Any]]:
    """The suite's claims as `harness report` judges them on the records that lie here."""
    import contextlib
    import io

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = cli.main(["report", "--suite", suite, "--results", str(ROOT / "results" / suite), "--format", "json"])
    assert code == 0
    found: list[dict[str, Any]] = json.loads(out.getvalue())["claims"]
    return found


def judged(suite: str, words: str) -> dict[str, Any]:
    (found,) = (claim for claim in claims(suite) if words in claim["text"])
    return found


def assert_figures(text: str, *expected: float) -> None:
    """These are the numbers of the text, each to the digits that it has there."""
    written = figures(text)
    shown = re.findall(r"(?<![\w.])[+-]?\d+\.(\d+)(e-\d+)?", text.replace("`", ""))
    assert len(written) == len(expected)
    for number, value, (digits, power) in zip(written, expected, shown, strict=True):
        assert power or number == pytest.approx(round(value, len(digits)), abs=1e-12)


def interval_of(claim: dict[str, Any]) -> tuple[float, float, float]:
    return claim["measured"], claim["low"], claim["high"]


def test_operations_of_saf_are_those_of_its_records():
    half, same = (
        judged("saf-digits", words) for words in ("halves the multiply", "against two linear operations only")
    )
    assert half["verdict"] == same["verdict"] == "holds"
    assert_figures(verdict("half of OTTT's operations"), half["measured"], same["measured"])


def test_memory_of_saf_is_that_of_its_records():
    words = "needs no more memory than official OTTT: what an update"
    every, final = (judged("saf-digits", f"{name} {words}")["measured"] for name in ("SAF-E", "SAF-F"))
    assert_figures(verdict("Less memory"), every, final)


def test_time_of_saf_is_that_of_its_records():
    official = judged("saf-digits", "An update of SAF-E takes no longer than one of official OTTT")
    final = judged("saf-digits", "An update of SAF-F takes less than two thirds")
    fused = judged("saf-digits", "Beside OTTT with one linear operation, an update")
    assert [each["verdict"] for each in (official, final, fused)] == ["holds", "holds", "open"]
    assert_figures(verdict("Less training time"), *(n for each in (official, final, fused) for n in interval_of(each)))


def test_accuracy_of_saf_is_that_of_its_records():
    found = judged("saf-digits", "as accurate as OTTT within 0.015")
    assert found["verdict"] == "holds"
    assert_figures(verdict("The same accuracy"), 0.015, *interval_of(found))


@pytest.mark.parametrize(
    ("claim", "methods"),
    [
        ("consistent with OTTT", ("saf", "ottt")),
        ("consistent with Spike Representation", ("saf[variant=final,surrogate=clamp]", "spike-representation")),
    ],
)
def test_methods_agree_in_float64_as_printed(capsys, claim, methods):
    (line,) = (line for line in LINES if claim in line[0])
    assert all(method in line[1] for method in methods)
    assert "less than 1e-14" in line[2]
    assert cli.main(["agree", *methods, "--threads", "1", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)["float64"]
    assert found["max_relative_difference"] < 1e-14
    assert found["spike_mismatch"] == 0


def test_errors_of_entropy_are_printed_by_their_command():
    page = (ROOT / "docs" / "entropy.md").read_text(encoding="utf-8")  # held against its command by a test of its own
    found = re.search(r"The error falls with the dimension: (\S+) at m = 1, (\S+) at m = 100", page)
    assert found
    assert all(number in verdict("error of the approximation vanishes") for number in found.groups())


def test_components_of_networks_are_those_of_the_records():
    label = "gm-vi[noise=0.1,architecture=50-FC,train_samples=4,components=2]"
    records = [each for each in read_records(ROOT / "results" / "entropy-error") if each.trial.method.label == label]
    assert {record.readings["entropy_error_upper"] for record in records} == {0}
    components = [record.readings["effective_components"] for record in records]
    assert_figures(verdict("serves for the weights"), sum(components) / len(components))


def test_distances_to_the_posterior_are_those_of_results():
    results = (ROOT / "results" / "README.md").read_text(encoding="utf-8")  # held against its records likewise
    rows = re.findall(r"^\| `gm-vi\[noise=0.1\]` - .*\| \S+ \(.*?\) \| (\S+) \((\S+) to (\S+)\) \|$", results, re.M)
    single, ensemble = ([float(number) for number in row] for row in rows)
    expected = (-single[0], -single[2], -single[1], *ensemble)
    assert_figures(verdict("what one Gaussian cannot"), *expected)


def test_costs_of_a_compressed_network_are_those_of_the_records():
    records = {each.trial.method.label: each for each in read_records(ROOT / "results" / "prune-digits")}
    small, base = (records[name].readings["inference_macs"] for name in ("spectral-pruning[nodes=42]", "dense-rnn"))
    results = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    time = re.search(r"In time, 42 nodes are (\.\d+) of the base", results)
    assert_figures(verdict("less computation at every time step"), small / base, float(time[1]))


def test_accuracies_of_compressed_networks_are_those_of_the_records():
    untuned = judged("prune-digits", "Nodes chosen by the spectrum keep")
    plain = judged("prune-digits", "Reconstruction helps")
    tuned = judged("prune-digits", "After tuning the methods come together")
    assert_figures(
        verdict("better than what was there"), *(n for each in (untuned, plain, tuned) for n in interval_of(each))
    )


def test_the_bound_is_that_of_its_page():
    page = (ROOT / "docs" / "bound.md").read_text(encoding="utf-8")
    found = re.search(r"^Occam bound at q = 8 bits +(\S+)", page, re.M)
    assert_figures(verdict("bounds of the generalisation error"), float(found[1]))
