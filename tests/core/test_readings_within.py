"""A Reading is around a value, and never within one: its text would stand in the record, and its warning nowhere."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import tiny

from harness import Instrument, Method, Reading, hookimpl
from harness.catalog import Catalog
from harness.planning.plan import plan_trials
from harness.suites.suite import Request
from harness.trials.trial import run_trial

REASON = "holds a harness.Reading; expected a plain value, and a Reading around all of it at most"


def record_of(value):
    """The record of a trial with an instrument that reads this, and a method that states it."""
    import harness.executors
    import harness.metrics

    class Gauge(tiny.Ruler):
        def measure(self, stage, examples):
            return nullcontext()

        def readings(self):
            return {"width": value}

    class States(tiny.Counts):
        def describe(self, state):
            return {"depth": value}

    class Plugin:
        @hookimpl
        def harness_instruments(self):
            yield Instrument("gauge", "reads", Gauge)

        @hookimpl
        def harness_methods(self):
            yield Method("states", "states", States, ("classification",), config=tiny.Prior)

    catalog = Catalog.of(harness.metrics, harness.executors, tiny, Plugin())
    (trial,) = plan_trials(catalog, Request(methods="states", seeds="1"))
    return run_trial(catalog, trial)


@pytest.mark.parametrize(
    "value", [Reading(Reading(3)), Reading([Reading(3)]), {"a": Reading(3, "busy")}, Reading((1, {"b": Reading(2)}))]
)
def test_one_within_another_or_within_a_list_is_a_hole_that_says_so(value):
    record = record_of(value)
    assert record.status == "ok"
    assert record.holes["width"] == f"width of gauge {REASON}"
    assert record.holes["describe.depth"] == f"depth of describe {REASON}"
    assert "width" not in record.readings
    assert "depth" not in record.facts


def test_one_around_a_value_is_what_it_is_for():
    record = record_of(Reading({"a": np.float32(0.5)}, "busy", "not all was seen"))
    assert record.readings["width"] == {"a": 0.5}
    assert (record.warnings["width"], record.at_least["width"]) == ("busy", "not all was seen")
