"""The terms of training: whatever they are, keys, records, protocols and texts go by them."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from core import tiny
from core.example_records import METRICS, record

from harness import Budget, Record, TrainingTerms, metrics
from harness.catalog import Catalog
from harness.planning.plan import describe_changes, plan_trials
from harness.records.format import from_json, to_json
from harness.records.store import Store, trial_identity
from harness.report.formats.one_record import render_record
from harness.report.render import render
from harness.report.rows.summary import summarise
from harness.suites.suite import Request
from harness.types.terms import term

NAMES = [each.name for each in dataclasses.fields(TrainingTerms)]
OTHERS: dict[Any, Any] = {Budget: Budget("updates", 7), int: 23, str: "another", bool: True, int | None: 23}


def with_other(made: Record, name: str) -> Record:
    """The record of a trial that differs in one term."""
    other = OTHERS.get(get_type_hints(TrainingTerms)[name], "another")
    terms = dataclasses.replace(made.trial.terms, **{name: other})
    return dataclasses.replace(made, trial=dataclasses.replace(made.trial, terms=terms, key="other"))


@pytest.mark.parametrize("name", NAMES)
def test_every_term_is_a_part_of_the_key(name):
    (trial,) = plan_trials(Catalog.of(metrics, tiny), Request(methods="counts", seeds="1", device="cpu"))
    assert name in trial.parts


@pytest.mark.parametrize("name", NAMES)
def test_every_term_is_kept_by_a_record_and_tells_trials_apart(name):
    made, other = record(), with_other(record(), name)
    assert from_json(json.loads(json.dumps(to_json(other)))).trial == other.trial
    assert trial_identity(made.trial) != trial_identity(other.trial)


@pytest.mark.parametrize("name", NAMES)
def test_records_that_differ_in_a_term_are_tables_of_their_own_whose_titles_say_so(name):
    pair = [record(scores={"accuracy": 0.9}), with_other(record(scores={"accuracy": 0.9}), name)]
    summary = summarise(pair, METRICS)
    first, second = summary.tables
    assert first.protocol != second.protocol
    titles = [line for line in render(summary, "text").splitlines() if line.startswith("digits  ")]
    assert len(set(titles)) == 2


@pytest.mark.parametrize("name", NAMES)
def test_every_term_is_shown_with_its_record(name):
    shown = render_record(with_other(record(), name), METRICS)
    assert name.replace("_", " ") in shown
    assert str(getattr(with_other(record(), name).trial.terms, name)) in shown


def test_a_term_at_its_default_is_left_out_of_protocols_and_texts():
    terms = record().trial.terms
    assert list(terms.protocol()) == ["budget", "batch_size", "device", "precision", "threads"]
    assert "patience" not in render_record(record(), METRICS)


def test_a_further_term_is_one_line():
    @dataclass(frozen=True)
    class Warmed(TrainingTerms):
        warm_up: int = term(0, heading="{} updates to warm up".format)

    terms = Warmed(Budget("epochs", 1), 8, "cuda:1", "fp32", 1, warm_up=5)
    assert terms.protocol() | {"warm_up": 5} == terms.protocol()
    made = record()
    trial = dataclasses.replace(made.trial, terms=terms)
    assert to_json(dataclasses.replace(made, trial=trial))["trial"]["terms"]["warm_up"] == 5
    assert trial_identity(trial) != trial_identity(
        dataclasses.replace(trial, terms=dataclasses.replace(terms, warm_up=6))
    )
    assert "warm up" in render_record(dataclasses.replace(made, trial=trial), METRICS)


def test_devices_of_one_machine_compare_as_one():
    first, second = (record(device=device).trial.terms.protocol() for device in ("cuda", "cuda:1"))
    assert first == second


@pytest.mark.parametrize(
    ("name", "value"),
    [("budget", {"unit": "days", "amount": 1}), ("threads", "4"), ("deterministic", 1), ("patience", 2.5)],
)
def test_a_term_of_another_type_is_no_record(name, value):
    values = to_json(record())
    values["trial"]["terms"][name] = value
    with pytest.raises((TypeError, ValueError), match=name):
        from_json(values)


def test_a_record_without_a_term_that_has_no_default_is_none():
    values = to_json(record())
    del values["trial"]["terms"]["budget"]
    with pytest.raises(KeyError, match="budget"):
        from_json(values)


# --- records of schema 1 ------------------------------------------------------------------------------------------


FIRST_TERMS = ("budget", "batch_size", "device", "precision", "threads", "deterministic", "patience")


def first_schema(values: dict[str, Any], group: str = "") -> dict[str, Any]:
    """A record as version 0.1 wrote it: terms beside the rest of the trial, the sweep as text, no word of refitting."""

    def flat(trial: dict[str, Any]) -> dict[str, Any]:
        terms = {name: value for name, value in trial["terms"].items() if name in FIRST_TERMS}
        rest = {name: value for name, value in trial.items() if name not in ("terms", "refit", "own_epochs", "base")}
        choices = {name: grouped(trial[name], group if name == "method" else "") for name in ("method", "dataset")}
        return rest | choices | terms | {"base": flat(trial["base"]) if trial["base"] else None}

    def grouped(choice: dict[str, Any], group: str) -> dict[str, Any]:
        return {name: value for name, value in choice.items() if name != "sweep"} | {"group": group or choice["label"]}

    return values | {"schema": 1, "trial": flat(values["trial"])}


@pytest.mark.parametrize("name", FIRST_TERMS)
def test_a_record_of_schema_1_reads_as_what_it_says(tmp_path: Path, name):
    made = with_other(record(), name)
    store = Store(tmp_path)
    store.prepare()
    store.locate_record("other").write_text(json.dumps(first_schema(to_json(made))))
    records, problems = store.read_newest()
    assert ([each.trial for each in records], problems) == ([made.trial], [])


def test_of_a_record_of_schema_1_only_what_has_changed_is_said_to_have(tmp_path):
    (trial,) = plan_trials(Catalog.of(metrics, tiny), Request(methods="counts", seeds="1", device="cpu"))
    values = first_schema(to_json(Record(trial, "ok")))
    parts = {name: part for name, part in trial.parts.items() if name != "headline"}
    for name in ("method", "dataset"):
        own = {each: value for each, value in parts[name].items() if each not in ("name", "provider")}
        parts[name] = {"label": getattr(trial, name).label, **own}
    parts["method"]["source"] = "another"
    old = from_json(values | {"trial": values["trial"] | {"parts": parts}})
    assert describe_changes(old.trial, trial) == ["the source of counts"]
    assert trial_identity(old.trial) == trial_identity(trial)


def test_the_base_of_a_record_of_schema_1_reads_likewise():
    base = record("dense", key="base").trial
    made = dataclasses.replace(record(), trial=dataclasses.replace(record().trial, base=base))
    assert from_json(first_schema(to_json(made))).trial == made.trial


@pytest.mark.parametrize(
    ("group", "sweep"),
    [
        ("saf", ()),
        ("saf[rate=[0.1,0.3],steps=4]", ((("rate",), ((0.1,), (0.3,))), (("steps",), ((4,),)))),
        ("saf[(steps,rate)=[(4,0.1),(8,0.3)]]", ((("steps", "rate"), ((4, 0.1), (8, 0.3))),)),
        ("saf[rate=[", ()),
        ("saf,ottt", ()),
    ],
)
def test_the_sweep_of_a_record_of_schema_1_is_read_from_its_text(group, sweep):
    assert from_json(first_schema(to_json(record()), group)).trial.method.sweep == sweep
