"""Latency of a deployed network: the predictions that are timed, and their readings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from deploying import DATA

from harness import Trained, Unsupported
from harness_torch.backend.clocks import EventClock, HostClock
from harness_torch.instruments.latency import PREDICTIONS, WARM_UP, Latency, choose_clock, of_1, of_32, of_256
from harness_torch.offers import LATENCIES, instruments, metrics


class Scripted:
    """A clock by which predictions take what the script says."""

    def __init__(self, script):
        self.script, self.laps, self.events = script, [], []

    def start(self):
        self.events.append("start")

    def stop(self):
        self.events.append("stop")
        self.laps.append(next(self.script))

    def seconds(self):
        self.events.append("read")
        return self.laps


def measured(script, rows=32):
    """Readings, the clocks that were used, the shapes that were predicted."""
    seconds, clocks, shapes = iter(script), [], []
    gauge = Latency(rows, lambda inputs: clocks.append(Scripted(seconds)) or clocks[-1])
    predict = lambda inputs: shapes.append(tuple(inputs.shape))  # noqa: E731
    gauge.deployed(Trained(predict, lambda n: torch.zeros(n, 3), None, None, DATA))
    return gauge.readings(), clocks, shapes


def test_it_is_the_median_with_quartiles_of_predictions_after_the_warm_up():
    laps = list(np.random.default_rng(0).gamma(2.0, 0.01, PREDICTIONS))
    found, _, shapes = measured([0.3, 0.2, 0.1, *laps])
    assert PREDICTIONS >= 20
    assert shapes == [(32, 3)] * (WARM_UP + PREDICTIONS)
    assert found["latency_32_seconds"] == pytest.approx(np.median(laps), rel=1e-12)
    assert found["latency_32_quartiles"] == pytest.approx(list(np.percentile(laps, [25, 75])), rel=1e-12)
    assert found["latency_32_warmup_seconds"] == pytest.approx(0.6)


def test_each_prediction_begins_when_the_one_before_is_done():
    _, (*_, clock), _ = measured(itertools.repeat(0.001))
    assert clock.events[: 3 * PREDICTIONS] == ["start", "stop", "read"] * PREDICTIONS


def test_what_would_take_too_long_is_not_measured_and_says_so():
    with pytest.raises(Unsupported, match=r"^20 predictions of 256 rows would take 18 s, more than the 10 s that are"):
        measured(itertools.repeat(0.9), 256)


def test_a_prediction_that_takes_too_long_alone_is_made_once():
    calls = []
    clock = Scripted(itertools.repeat(11.0))
    gauge = Latency(1, lambda _: clock)
    with pytest.raises(Unsupported, match="20 predictions of 1 row would take 220 s"):
        gauge.deployed(Trained(calls.append, lambda n: torch.zeros(n, 3), None, None, DATA))
    assert len(calls) == 1


def test_there_is_an_instrument_and_a_metric_for_each_number_of_rows():
    names = [f"latency_{rows}_seconds" for rows in LATENCIES]
    assert [each.name for each in instruments() if each.name.startswith("latency")] == names
    assert [(each.name, each.unit, each.better) for each in metrics() if each.name.startswith("latency")] == [
        (name, "s", "lower") for name in names
    ]
    assert LATENCIES == (1, 32, 256)
    shapes = []
    for make in (of_1, of_32, of_256):
        make().deployed(Trained(lambda x: shapes.append(len(x)), lambda n: torch.zeros(n, 1), None, None, DATA))
    assert sorted(set(shapes)) == [1, 32, 256]


def test_a_gpu_is_timed_by_its_events():
    assert isinstance(choose_clock(torch.zeros(1)), HostClock)

    class OnGpu:
        device = torch.device("cuda:1")

    assert isinstance(choose_clock(OnGpu()), EventClock)
