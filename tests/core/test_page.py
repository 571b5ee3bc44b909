"""The report as an HTML page, read without a browser: what it says, what it carries, how large it is."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import time
from html.parser import HTMLParser

import page_examples
import pytest
from page_examples import EXAMPLES, METRICS, make_failure, make_many, make_record, make_summary

from harness.cli import main
from harness.records.store import Store
from harness.report import render, summarise


class Reader(HTMLParser):
    """Elements with their attributes, the text of each kind, and whether what is opened is closed."""

    VOID = ("meta", "link", "br", "input", "img")

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        for tag in self.open:
            self.texts.setdefault(tag, []).append(data)

    def text(self, tag: str) -> str:
        return " ".join("".join(self.texts.get(tag, [])).split())


def carried(page: str):
    return json.loads(re.search(r'id="rows">(.*?)</script>', page, re.DOTALL)[1], parse_constant=pytest.fail)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_page_is_whole_and_asks_for_nothing(name):
    page = render(make_summary(name), "html")
    read = Reader(page)
    assert read.open == []
    asked = [(tag, value) for tag, own in read.elements for at, value in own.items() if at in ("src", "href", "data")]
    assert all(value.startswith(("#", "data:,")) for _, value in asked)
    assert "http://www.w3.org" in page  # of SVG, as a name alone
    style, script = read.text("style"), "".join(read.texts["script"])
    assert "url(" not in style
    assert "@import" not in style
    assert not re.search(r"\b(fetch|XMLHttpRequest|import\(|innerHTML)", script.partition("use strict")[2])
    policy = next(own["content"] for tag, own in read.elements if own.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    carried(page)


def test_only_the_pages_own_script_may_run():
    page = render(make_summary("usual"), "html")
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in page
    assert not [own for _, own in Reader(page).elements if any(name.startswith("on") for name in own)]


def test_texts_of_plugins_are_text():
    page = render(make_summary("hostile"), "html")
    read = Reader(page)
    assert not [tag for tag, _ in read.elements if tag in ("img", "iframe", "b") and tag == "img"]
    assert sum(tag == "script" for tag, _ in read.elements) == 2
    assert "\u202e" not in page
    assert "{{7*7}}" in read.text("main")
    assert "onerror" in read.text("main")


def test_the_answer_names_the_leader_and_what_failed():
    text = Reader(render(make_summary("usual"), "html")).text("main")
    assert "6 methods, 3 seeds: 17 of 18 trials ended ok." in text
    assert "saf has the least: 1.20 MB, 0.62x that of ottt" in text.replace("1.200", "1.20").replace("0.63x", "0.62x")
    assert "low-rank seed 1: failed: out of memory" in text


def test_nothing_leads_where_nothing_may_be_compared():
    text = Reader(render(make_summary("failures"), "html")).text("main")
    assert "No two methods may be compared here" in text
    assert "0 of 6 trials ended ok" in text
    assert "There is nothing to show" in Reader(render(make_summary("none"), "html")).text("main")


def test_one_seed_has_no_interval_and_says_so():
    page = render(make_summary("one-seed"), "html")
    assert "One seed says nothing of chance." in page
    cells = carried(page)["tables"][0]["rows"][0]["cells"]
    assert all(len(cell) < 4 for cell in cells if isinstance(cell, list))


def test_rows_carry_what_opens():
    (table,) = carried(render(make_summary("usual"), "html"))["tables"]
    row = next(each for each in table["rows"] if each["name"] == "bptt[steps=8]")
    assert row["command"].startswith("harness run --methods 'bptt[steps=8]' --datasets digits --seeds 3 --epochs 8")
    assert row["options"] == {"of": "options of bptt", "own": {"steps": "8.0"}}
    assert [seed[:2] for seed in row["seeds"]] == [[0, "ok"], [1, "ok"], [2, "ok"]]
    assert len(row["curves"]["accuracy"]) == 6
    failed = next(each for each in table["rows"] if each["name"] == "low-rank")["seeds"][1]
    assert failed[1] == "failed"
    assert failed[5].startswith("Traceback")
    cell = row["cells"][table["names"].index("accuracy")]
    assert cell[3] < cell[0] < cell[4]
    assert len(cell[6]) == cell[1] == 3


def test_the_fronts_are_those_of_the_rows():
    (table,) = carried(render(make_summary("usual"), "html"))["tables"]
    assert table["axes"] == ["accuracy", "activation_bytes"]
    front = {table["rows"][place]["name"] for place in table["fronts"]["accuracy|activation_bytes"]}
    assert "saf" in front
    assert "low-rank" not in front


def test_plots_and_bars_stand_without_scripts():
    read = Reader(render(make_summary("usual"), "html"))
    labels = [own.get("aria-label") for tag, own in read.elements if tag == "svg"]
    assert labels[:2] == [
        "accuracy against activation_bytes on digits, 6 methods",
        "validation accuracy during training on digits",
    ]
    assert any(label == "accuracy over steps on digits" for label in labels)
    text = read.text("main")
    for words in ("Operations of a training update", "Memory of a prediction", "Energy of a prediction", "Horowitz"):
        assert words in text
    assert text.count("The numbers behind") >= len(labels)


def test_holes_have_their_reasons():
    broken = {"activation_bytes": "RuntimeError: no storage"}
    records = [make_record("a"), make_record("b", holes=broken, readings={"forward_macs": 5})]
    text = Reader(render(summarise(records, METRICS), "html")).text("main")
    assert "[1] RuntimeError: no storage" in text
    assert "–[1]" in text


def test_a_trial_that_failed_shows_what_it_printed_last(tmp_path, monkeypatch):
    lost, ended = make_failure("bad", 0), make_record("saf", 0)
    store = Store(tmp_path / "results")
    (store.folder / "logs").mkdir(parents=True)
    for each in (lost, ended):
        store.write(each)
        text = f"{'x' * 5000}\nlast <words> of {each.trial.method.label}\n"
        (store.folder / "logs" / f"{each.trial.key}.log").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert main(["report", "--format", "html", "--output", "page.html"]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "last \\u003cwords\\u003e of bad" in page
    assert "words\\u003e of saf" not in page  # nobody asks what a trial printed that ended ok
    assert "x" * 4001 not in page


def test_citations_stand_as_they_were_written():
    bibtex = "@article{a,\n  title = {A <b>},\n}"
    summary = dataclasses.replace(make_summary("one-seed"), citations={"saf": bibtex})
    assert "@article{a,\n  title = {A &lt;b&gt;},\n}" in render(summary, "html")


def test_a_page_of_a_thousand_records_is_light():
    records = make_many(1000)
    began = time.process_time()
    page = render(summarise(records, METRICS), "html")
    assert time.process_time() - began < 15  # some three seconds where nothing else runs
    assert len(page.encode()) < 3e6
    assert page.count('<tr><th scope="row"') >= 1000


@pytest.mark.slow
def test_a_page_of_ten_thousand_records():
    records = [*make_many(9000, 3), *(make_failure("bad", seed) for seed in range(1000))]
    page = render(summarise(records, METRICS), "html")
    assert len(page.encode()) < 20e6


def test_the_examples_can_be_written_to_look_at(tmp_path, monkeypatch):
    assert set(EXAMPLES) >= {"usual", "sixty", "long", "one-seed", "failures", "none"}
    assert page_examples.__doc__
