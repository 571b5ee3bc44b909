"""docs/plugins.md: what it lists is what there is, and its command works."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import get_type_hints

import pytest

import harness
from harness import hookspecs
from harness.catalog import Catalog
from harness.catalog.shelves import HOOKS
from harness.cli import main
from harness.suites import entries, suite
from harness.types import DataOptions, Dataset, Gauge, Instrument, Method, Metric, Outcome, Record, Suite
from harness.types.offers import Check, Formula

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^#{2,3} (.*?)\n(.*?)(?=^#{2,3} |\Z)", PAGE, re.MULTILINE | re.DOTALL))
LISTED = {name: re.findall(r"^\| `(\w+)[^|]*?` \|", text, re.MULTILINE) for name, text in SECTIONS.items()}


def fields(kind: type) -> list[str]:
    return [item.name for item in dataclasses.fields(kind)]


EXPECTED = {
    "Hooks": [name for name in vars(hookspecs) if name.startswith("harness_")],
    **{
        kind.__name__: fields(kind)
        for kind in (Method, Dataset, DataOptions, Metric, Outcome, Instrument, Formula, Check, Suite)
    },
    "Record": fields(Record),
    "Gauge": [*(name for name in vars(Gauge) if not name.startswith("_")), "pause", "settle", "use_formulas"],
    "Keys of a suite's file": list(suite.KINDS),
    "`[[published]]`": list(entries.PUBLISHED),
    "`[[claims]]`": list(entries.CLAIM),
}


@pytest.mark.parametrize("section", EXPECTED)
def test_a_table_lists_every_key_there_is_and_no_other(section):
    assert sorted(LISTED[section]) == sorted(EXPECTED[section])


def test_every_kind_of_offer_has_its_table_but_those_of_few_authors():
    undescribed = {"ExecutorOffer", "BackendOffer"}
    assert {kind.__name__ for kind in HOOKS.values()} - set(SECTIONS) == undescribed


def test_the_fields_of_a_recipe_are_named_as_they_are():
    assert f"Recipe({', '.join(get_type_hints(harness.Recipe))})" in PAGE


def test_a_command_reaches_every_shelf_that_the_catalogue_has():
    shelves = re.search(r"a shelf for each kind of offer: (.*?), each with", PAGE, re.DOTALL)[1]
    named = re.findall(r"`(\w+)`", shelves)
    assert len(named) == len(HOOKS)
    assert all(getattr(Catalog(), name).names() == [] for name in named)


def test_the_command_that_is_shown_works(tmp_path, monkeypatch, capsys):
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    plugin = tmp_path / "slowest.py"
    plugin.write_text(block)
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics,executors")
    results = tmp_path / "results"
    tiny = ROOT / "tests" / "core" / "tiny.py"
    run = ["run", "--methods", "counts", "--seeds", "1", "-p", str(tiny), "--results", str(results), "--here"]
    assert main(run) == 0
    capsys.readouterr()
    assert main(["-p", str(plugin), "slowest", "--results", str(results)]) == 0
    assert re.fullmatch(r"counts on coins: [\d.e-]+ s\n", capsys.readouterr().out)
    assert main(["-p", str(plugin), "slowest", "--results", str(tmp_path / "none")]) == 1
    assert "no records" in capsys.readouterr().err


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]*)#?[^)]*\)", PAGE):
        assert not target or (ROOT / "docs" / target).exists()
    anchors = {re.sub(r"[^\w\s-]", "", name).strip().lower().replace(" ", "-") for name in SECTIONS}
    assert set(re.findall(r"\]\(#(.*?)\)", PAGE)) <= anchors
