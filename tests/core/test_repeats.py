"""Instruments whose readings repeat: measured in two seeds, taken over by the others, measured again where in doubt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli import main

TINY = Path(__file__).with_name("tiny.py")
PLUGIN = """
import os
from pathlib import Path

import tiny
from harness import Instrument, Metric, Reading, hookimpl

LOG = Path(__file__).with_name("measured")

class Gauge(tiny.Ruler):
    def readings(self):
        with LOG.open("a") as file:
            file.write("x")
        return {READS}

@hookimpl
def harness_instruments():
    yield Instrument("gauge", "reads", Gauge, repeats={REPEATS})

@hookimpl
def harness_metrics():
    yield Metric("volume", "how much it holds", "B", "lower", exact=True)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics,executors")
    monkeypatch.syspath_prepend(TINY.parent)
    return tmp_path


@pytest.fixture
def run(folder):
    """run(seeds, *more): how often the gauge measured in this run, and all records by method and seed."""

    def go(seeds, *more, reads='{"volume": 7}', repeats=True, methods="counts", here=True):
        plugin, log = folder / "gauge.py", folder / "measured"
        plugin.write_text(PLUGIN.replace("{READS}", reads).replace("{REPEATS}", str(repeats)))
        log.unlink(missing_ok=True)
        asked = ["--methods", methods, "--seeds", seeds, "--results", str(folder / "results"), *more]
        asked += ["--here"] if here else []
        assert main(["run", "-p", str(TINY), "-p", str(plugin), *asked]) == 0
        return len(log.read_text()) if log.exists() else 0, records(folder)

    return go


def records(folder):
    found = [json.loads(path.read_text()) for path in (folder / "results" / "trials").glob("*.json")]
    return {(value["trial"]["method"]["label"], value["trial"]["seed"]): value for value in found}


def sources(record):
    over = record["provenance"].get("carried_over", {})
    return {name: source["seeds"] for name, source in over.items()}


def test_two_seeds_measure_and_the_others_take_over_and_say_from_which(run):
    times, found = run("5")
    assert times == 2
    assert [found["counts", seed]["readings"]["volume"] for seed in range(5)] == [7] * 5
    assert [sources(found["counts", seed]) for seed in range(5)] == [{}, {}, *[{"gauge": [0, 1]}] * 3]
    keys = [found["counts", seed]["key"] for seed in (0, 1)]
    assert found["counts", 4]["provenance"]["carried_over"]["gauge"]["keys"] == keys


def test_they_do_so_in_a_later_run_too(run):
    assert run("2")[0] == 2
    assert run("4")[0] == 0


def test_each_configuration_measures_for_itself(run):
    assert run("4", methods="counts[strength=[1,2]]")[0] == 4


def test_an_instrument_that_does_not_say_that_it_repeats_measures_every_seed(run):
    assert run("4", repeats=False)[0] == 4


@pytest.mark.parametrize("reads", ['{"volume": len(LOG.read_text())}', '{"volume": 7, "more": [len(LOG.read_text())]}'])
def test_where_any_reading_differs_every_seed_is_measured(run, reads):
    times, found = run("5", reads=reads)
    assert times == 5
    assert not any(map(sources, found.values()))


def test_a_seed_of_two_that_did_not_end_ok_counts_for_nothing(run, folder, monkeypatch):
    (folder / "moody.py").write_text(MOODY)
    times, found = run("[0]", "-p", str(folder / "moody.py"), methods="moody")
    assert times == 1
    asked = ["run", "-p", str(TINY), "-p", str(folder / "gauge.py"), "-p", str(folder / "moody.py"), "--here"]
    monkeypatch.setenv("MOOD", "bad")
    assert main([*asked, "--methods", "moody", "--seeds", "[1]", "--results", str(folder / "results")]) == 1
    monkeypatch.delenv("MOOD")
    times, found = run("[0,2,3]", "-p", str(folder / "moody.py"), methods="moody")
    assert times == 1  # that of seed 2; seed 3 takes it over
    assert sources(found["moody", 3]) == {"gauge": [0, 2]}


MOODY = """
import os
import tiny
from harness import Method, hookimpl

class Moody(tiny.Counts):
    def update(self, state, batch):
        if os.environ.get("MOOD"):
            raise ValueError("in a bad mood")
        return super().update(state, batch)

@hookimpl
def harness_methods():
    yield Method("moody", "x", Moody, ("classification",), config=tiny.Prior)
"""


def test_what_runs_again_measures_again(run):
    run("4")
    times, found = run("4", "--rerun", "*")
    assert times == 4
    assert not any(map(sources, found.values()))


def test_what_another_version_of_the_instrument_has_read_is_not_taken_over(run):
    run("2")
    times, found = run("4", reads='{"volume": 88}', here=False)  # processes that load it anew
    assert times == 2
    assert [found["counts", seed]["readings"]["volume"] for seed in range(4)] == [7, 7, 88, 88]


def test_what_is_known_of_a_reading_besides_goes_along(run):
    _, found = run("3", reads='{"volume": Reading(7, warning="it leaks", at_least="the lid was on")}')
    assert found["counts", 2]["warnings"] == {"volume": "it leaks"}
    assert found["counts", 2]["at_least"] == {"volume": "the lid was on"}


def test_an_instrument_that_left_a_hole_measures_every_seed(run):
    times, found = run("3", reads='{"volume": 7, "more": float("nan")}')
    assert times == 3
    assert not any(map(sources, found.values()))


def test_with_several_workers_every_seed_takes_over_or_measures(run, folder):
    times, found = run("6", "--workers", "2", here=False)
    assert 2 <= times <= 6
    taken = [record for record in found.values() if sources(record)]
    assert times + len(taken) == 6
    measured = {seed for (_, seed), record in found.items() if not sources(record)}
    assert all(set(sources(record)["gauge"]) <= measured for record in taken)


def test_tables_say_in_how_many_seeds_it_was_measured_and_that_the_others_took_it_over(run, folder, capsys):
    run("4", methods="counts,waits")
    report = ["report", "-p", str(TINY), "-p", str(folder / "gauge.py"), "--results", str(folder / "results")]
    capsys.readouterr()
    assert main([*report, "--metrics", "accuracy,volume,length"]) == 0
    shown = capsys.readouterr().out
    assert "7 ± 0  1.00x " in shown
    assert "[1]" not in shown
    assert "  volume: n=2, carried over (seeds 2, 3)\n" in shown
    assert main([*report, "--metrics", "accuracy,volume", "--format", "markdown"]) == 0
    assert "- volume: n=2, carried over (seeds 2, 3)\n" in capsys.readouterr().out
    assert main([*report, "--metrics", "volume", "--format", "json"]) == 0
    (row, _) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["n"], row["metrics"]["volume"]["n"], row["metrics"]["volume"]["carried_over"]) == (4, 2, [2, 3])


def test_a_table_without_the_seeds_that_were_measured_says_the_same(run, folder, capsys):
    run("4")
    for seed in (0, 1):
        found = records(folder)["counts", seed]
        (folder / "results" / "trials" / f"{found['key']}.json").unlink()
    report = ["report", "-p", str(TINY), "-p", str(folder / "gauge.py"), "--results", str(folder / "results")]
    capsys.readouterr()
    assert main([*report, "--metrics", "volume", "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["n"], row["metrics"]["volume"]["mean"], row["metrics"]["volume"]["n"]) == (2, 7, 2)
