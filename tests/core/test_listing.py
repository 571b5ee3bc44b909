"""`harness list`: every fact that a plugin states can be read, by a person and by a program."""

from __future__ import annotations

import json

from harness.cli import main


def test_list_shows_every_shelf_briefly(plugin, capsys):
    assert main(["list", "-p", plugin]) == 0
    lines = capsys.readouterr().out.splitlines()
    for shelf in ("methods", "datasets", "metrics", "instruments", "suites", "executors", "backends"):
        assert shelf in lines
    (spiky,) = [line for line in lines if line.startswith("  spiky")]
    assert "proposed  classification, regression  tiny" in spiky
    assert spiky.endswith("needs absent_module, not installed  a spiking method")


def test_list_of_a_method_shows_its_options_and_where_it_comes_from(plugin, capsys):
    for what in ("spiky", "tiny:spiky", "methods"):
        assert main(["list", what, "-p", plugin]) == 0
        out = capsys.readouterr().out
        for fact in ("Someone 2024", "classification, regression", "dense", "needs absent_module", f"tiny ({plugin})"):
            assert fact in out
        (steps,) = [line for line in out.splitlines() if line.startswith("  steps")]
        assert steps.split() == ["steps", "int", "4", ">=", "1", "time", "steps"]


def test_list_of_a_data_set_shows_recipe_licence_and_files(plugin, capsys):
    assert main(["list", "toy", "-p", plugin]) == 0
    out = capsys.readouterr().out
    for fact in ("3 epochs, batch size 32, steps=8", "50 train, 20 test", "CC0", "toy/a.bin", "training rows to use"):
        assert fact in out
    assert main(["list", "toy", "--format", "json", "-p", plugin]) == 0
    assert json.loads(capsys.readouterr().out)["datasets"][0]["rows"] == {"train": 50, "test": 20}


def test_list_of_metrics_states_unit_count_and_direction(plugin, capsys):
    assert main(["list", "metrics", "-p", plugin]) == 0
    heading, row = capsys.readouterr().out.splitlines()[1:3]
    assert heading.split() == ["name", "unit", "per", "better", "from", "summary"]
    assert row.split(None, 5) == ["cost", "J", "update", "lower", "tiny", "what it costs"]


def test_list_as_json(plugin, capsys):
    assert main(["list", "--format", "json", "-p", plugin]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["schema"] == 1
    (method,) = value["methods"]
    assert method["kinds"] == ["classification", "regression"]
    assert method["unavailable"] == "needs absent_module, not installed"
    assert method["plugin"]["name"] == "tiny"
    assert method["options"][0] == {
        "name": "steps",
        "type": "int",
        "default": 4,
        "meaning": "time steps",
        "limits": ">= 1",
        "required": False,
    }
    (dataset,) = value["datasets"]
    assert dataset["recipe"] == {"budget": {"unit": "epochs", "amount": 3}, "batch_size": 32, "options": {"steps": 8}}
    assert value["metrics"][0]["per"] == "update"
    assert main(["list", "toy", "--format", "json", "-p", plugin]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["schema", "datasets"]


def test_two_offers_of_one_name_are_both_listed(install, offers_method, capsys, monkeypatch):
    install("acme", one=offers_method("saf"))
    install("zeta", two=offers_method("saf"))
    monkeypatch.setenv("HARNESS_PLUGINS", "one,two")
    assert main(["list", "saf"]) == 0
    out = capsys.readouterr().out
    assert "one (acme 1.0)" in out
    assert "two (zeta 1.0)" in out
