"""Printed tables hold what their commands give: counts exactly, scores within their spread, times not at all."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import read_records
from harness.statistics import estimate_mean, paired_difference

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
REFERENCE = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
COMMAND, SHOWN = re.findall(r"<!-- output: harness (run .*?) -->\n```text\n(.*?)^```$", README, re.M | re.S)[0]

LEAST_SPREAD = 0.005  # three seeds may score nearly alike by chance


def harness(*arguments: str) -> str:
    call, width = [sys.executable, "-m", "harness", *arguments], {"COLUMNS": "100"}
    done = subprocess.run(call, cwd=ROOT, env=os.environ | width, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def heads(text: str) -> list[str]:
    """The words of the heads of both parts of the table: the lines above each rule."""
    lines = text.splitlines()
    rules = [index for index, line in enumerate(lines) if line.startswith("──")]
    return [word for rule in rules for line in lines[rule - 2 : rule] for word in line.split()]


def rows(text: str) -> dict[str, list[list[str]]]:
    """The cells of each method, part by part, without the marks of the best."""
    found: dict[str, list[list[str]]] = {}
    for line in text.partition("paired by seed")[0].splitlines():
        name, *values = re.split(r"\s{2,}", re.sub(r"\s+±", " ±", line.strip()))
        if len(values) > 3 and name != "method":
            found.setdefault(name, []).append([value.replace("*", "") for value in values])
    return found


def number_and_spread(cell: str) -> tuple[float, float]:
    number, _, spread = cell.partition("±")
    return float(number), float(spread or 0)


@pytest.fixture(scope="module")
def printed_now(tmp_path_factory):
    """The output of the README's first command, with its threads: a run of minutes, unless it has been run here.

    In a folder of its own, with the records that are here: another process may be writing there.
    """
    threads = re.search(r"(\d+) threads?$", SHOWN, re.M)
    folder = tmp_path_factory.mktemp("results")
    if (ROOT / "results" / "trials").is_dir():
        shutil.copytree(ROOT / "results" / "trials", folder / "trials")
    return harness(*shlex.split(COMMAND), "--threads", threads[1], "--results", str(folder))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.xdist_group("first table")
def test_the_first_table_has_the_columns_and_rows_that_are_printed(printed_now):
    assert heads(printed_now) == heads(SHOWN)
    assert list(rows(printed_now)) == list(rows(SHOWN)) == ["saf", "ottt"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.xdist_group("first table")
def test_counts_of_the_first_table_come_out_exactly(printed_now):
    found, shown = rows(printed_now), rows(SHOWN)
    for name, (scores, costs) in shown.items():
        assert found[name][0][0] == scores[0]  # n
        assert found[name][1][2:] == costs[2:]  # the first two are a time and its ratio
        assert len(costs) == 8


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.xdist_group("first table")
def test_scores_of_the_first_table_come_out_within_their_spread(printed_now):
    found, shown = rows(printed_now), rows(SHOWN)
    for name, (scores, _) in shown.items():
        for now, then in zip(found[name][0][1:], scores[1:], strict=True):
            (number, spread), (printed, printed_spread) = number_and_spread(now), number_and_spread(then)
            assert abs(number - printed) <= 3 * max(spread, printed_spread, LEAST_SPREAD), (name, now, then)


# --- results/README.md --------------------------------------------------------------------------------------------


def reported(suite: str) -> dict[str, dict[str, float]]:
    """The means of the records of a suite that lie here, by method and metric."""
    text = harness("report", "--suite", suite, "--results", f"results/{suite}", "--format", "json")
    return {
        row["method"]: {name: cell["mean"] for name, cell in row["metrics"].items()} for row in json.loads(text)["rows"]
    }


def test_the_table_of_mnist_is_that_of_its_records():
    table = re.search(r"^\| method \| MNIST.*?\n\n", REFERENCE, re.M | re.S)[0]
    lines = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in table.strip().splitlines()[2:]]
    found = reported("saf-mnist")
    assert [line[0] for line in lines] == list(found)
    for name, final, best in lines:
        assert (final, best) == (f"{found[name]['accuracy']:.4f}", f"{found[name]['accuracy@best']:.4f}")


def lines_of(heading: str) -> list[list[str]]:
    """The cells of a table of results/README.md by how its head begins."""
    table = re.search(rf"^\| {re.escape(heading)} \|.*?\n\n", REFERENCE, re.M | re.S)[0]
    return [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in table.strip().splitlines()[2:]]


@pytest.fixture(scope="module")
def distances():
    """By method, for each seed, how far it is from the posterior in the records of `gap`."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for record in read_records(ROOT / "results" / "gap"):
        if "posterior_total_variation" in record.readings:
            found.setdefault(record.trial.method.label, {})[record.trial.seed] = record.readings
    return found


def test_distances_to_the_posterior_are_those_of_the_records(distances):
    lines = lines_of("method | total variation, test rows")
    named = ["hmc[noise=0.1]", *(line[0] for line in lines[1:])]
    assert sorted(named) == sorted(distances)
    metrics = ("posterior_total_variation", "posterior_total_variation_shifted", "posterior_spread_shifted")
    for name, (_, *cells) in zip(named, lines, strict=True):
        assert len(distances[name]) == 5
        for cell, metric in zip(cells, metrics, strict=True):
            found = estimate_mean(each[metric] for each in distances[name].values())
            assert cell == f"{found.mean:.3f} ± {found.sd:.3f}", (name, metric)


def test_paired_differences_of_distances_are_those_of_the_records(distances):
    for pair, *cells in lines_of("difference | test rows"):
        left, right = pair.replace("`", "").split(" - ")
        for cell, metric in zip(cells, ("posterior_total_variation", "posterior_total_variation_shifted"), strict=True):
            sides = ({seed: each[metric] for seed, each in distances[name].items()} for name in (left, right))
            found = paired_difference(*sides)
            assert cell == f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f})", (pair, metric)
