"""`harness list`: every fact that a plugin states can be read, by a person and by a program."""

from __future__ import annotations

import json
import textwrap

import pytest

from harness.cli import main


def test_list_shows_every_shelf_briefly(plugin, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["list", "-p", plugin]) == 0
    lines = capsys.readouterr().out.splitlines()
    for shelf in ("methods", "datasets", "metrics", "instruments", "suites", "executors", "backends"):
        assert shelf in lines
    (spiky,) = [line for line in lines if line.startswith("  spiky")]
    assert "proposed  classification, regression  tiny" in spiky
    assert spiky.endswith("  needs absent_module, not installed: a spiking method")


def test_list_of_a_method_shows_its_options_and_where_it_comes_from(plugin, capsys):
    for what in ("spiky", "tiny:spiky", "methods"):
        assert main(["list", what, "-p", plugin]) == 0
        out = capsys.readouterr().out
        facts = ("Someone 2024", "classification, regression", "dense", "needs absent_module", f"tiny ({plugin})")
        for fact in (*facts, "family spiking", "recipes toy: steps=2; other: variant=final"):
            assert fact in " ".join(out.split())  # a long path may have a line of its own
        (steps,) = [line for line in out.splitlines() if line.startswith("  steps")]
        assert steps.split() == ["steps", "int", "4", ">=", "1", "time", "steps"]


def test_list_of_a_data_set_shows_recipe_licence_and_files(plugin, capsys):
    assert main(["list", "toy", "-p", plugin]) == 0
    out = capsys.readouterr().out
    recipe = "3 epochs, batch size 32; spiking: steps=8"
    for fact in (recipe, "50 train, 20 test", "CC0", "toy/a.bin", "training rows to use"):
        assert fact in out
    assert main(["list", "toy", "--format", "json", "-p", plugin]) == 0
    assert json.loads(capsys.readouterr().out)["datasets"][0]["rows"] == {"train": 50, "test": 20}


def test_list_of_a_data_set_of_many_files_names_some(tmp_path, monkeypatch, capsys):
    many = tmp_path / "many.py"
    many.write_text(
        "from harness import Dataset, File, hookimpl\n\n\n@hookimpl\ndef harness_datasets():\n"
        "    files = tuple(File(f'many/{n}.txt', (), md5='0' * 32) for n in range(43))\n"
        "    yield Dataset('many', 'a lot', 'regression', print, files=files)\n"
    )
    assert main(["list", "many", "-p", str(many)]) == 0
    assert "many/11.txt and 31 more" in " ".join(capsys.readouterr().out.split())
    assert main(["list", "many", "--format", "json", "-p", str(many)]) == 0
    (dataset,) = json.loads(capsys.readouterr().out)["datasets"]
    assert len(dataset["files"]) == 43


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
    assert dataset["recipe"] == {
        "budget": {"unit": "epochs", "amount": 3},
        "batch_size": 32,
        "families": {"spiking": {"steps": 8}},
        "headline": None,
    }
    assert (method["family"], method["recipes"]) == ("spiking", {"toy": {"steps": 2}, "other": {"variant": "final"}})
    assert value["metrics"][0]["per"] == "update"
    assert main(["list", "toy", "--format", "json", "-p", plugin]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["schema", "datasets"]


WORDY = """
    @hookimpl
    def harness_methods():
        yield Method("wordy", " ".join(30 * ["summary"]), "nowhere:build", ("classification",), config=Config)

    @dataclass(frozen=True)
    class Config:
        shape: Literal["sigmoid", "rectangle", "triangle", "arctan"] = option("sigmoid", " ".join(20 * ["meaning"]))
"""


@pytest.mark.parametrize("columns", [50, 80, 120])
@pytest.mark.parametrize("what", [[], ["wordy"], ["methods"]])
def test_no_line_is_wider_than_the_terminal(install, capsys, monkeypatch, columns, what):
    install("acme", one="from dataclasses import dataclass\nfrom typing import Literal\n" + textwrap.dedent(WORDY))
    monkeypatch.setenv("HARNESS_PLUGINS", "one")
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["list", *what]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= columns
    assert out.split().count("summary") >= 30
    assert not what or out.split().count("meaning") >= 20


def test_an_extra_that_brings_what_is_missing_is_named(install, capsys, monkeypatch, tmp_path):
    source = """
        @hookimpl
        def harness_methods():
            yield Method("lacking", "a method", "nowhere:build", ("classification",), requires=("absent_one.part",))
            yield Method("lost", "a method", "nowhere:build", ("classification",), requires=("absent_one", "absent_2"))
        """
    install("acme", one=source)
    with (tmp_path / "site/acme-1.0.dist-info/METADATA").open("a") as metadata:
        metadata.write("Requires-Dist: absent_2\n")
        metadata.write("Requires-Dist: absent-one>=2; extra == 'all'\nRequires-Dist: more-besides; extra == 'all'\n")
        metadata.write("Requires-Dist: other-thing>=1; extra == 'other'\n")
        metadata.write("Requires-Dist: Absent.One[fast]>=2; python_version > '3' and extra == \"more\"\n")
    monkeypatch.setenv("HARNESS_PLUGINS", "one")
    assert main(["list", "lacking"]) == 0
    assert 'needs absent_one.part, not installed: pip install "acme[more]"' in capsys.readouterr().out
    assert main(["list", "lost"]) == 0
    assert "needs absent_one and absent_2, not installed\n" in capsys.readouterr().out


def test_two_offers_of_one_name_are_both_listed(install, offers_method, capsys, monkeypatch):
    install("acme", one=offers_method("saf"))
    install("zeta", two=offers_method("saf"))
    monkeypatch.setenv("HARNESS_PLUGINS", "one,two")
    assert main(["list", "saf"]) == 0
    out = capsys.readouterr().out
    assert "one (acme 1.0)" in out
    assert "two (zeta 1.0)" in out
