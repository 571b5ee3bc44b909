"""The names of the instruments, and the cells of a report for readings that they could not take."""

from __future__ import annotations

from importlib import import_module

import pytest
import torch

from harness import Budget, Instrument, Record, TrainingTerms, Trial, Unsupported
from harness.metrics import harness_metrics
from harness.report import render, summarise
from harness.types import Choice
from harness_torch import offers

INSTRUMENTS = {instrument.name: instrument for instrument in offers.instruments()}


@pytest.mark.parametrize("instrument", INSTRUMENTS.values(), ids=INSTRUMENTS)
def test_every_instrument_can_be_built(instrument: Instrument) -> None:
    module, _, attribute = str(instrument.factory).partition(":")
    gauge = getattr(import_module(module), attribute)()
    parts = {name for name in ("session", "measure", "deployed") if hasattr(gauge, name)}
    expected = {"deployed"} if "deployed" in parts else {"session", "measure"} if instrument.intrusive else {"session"}
    assert parts == expected
    assert gauge.readings


def test_exact_counters_repeat_and_what_depends_on_spikes_or_time_does_not() -> None:
    repeating = {name for name, instrument in INSTRUMENTS.items() if instrument.repeats}
    assert repeating == {
        "activation-memory",
        "saved-memory",
        "operations",
        "inference_macs",
        "inference-memory",
        "tensor-peak",
    }


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_report_says_why_there_is_no_energy() -> None:
    module, _, attribute = str(INSTRUMENTS["energy_joules"].factory).partition(":")
    with pytest.raises(Unsupported) as reason, getattr(import_module(module), attribute)().session():
        pass
    choices = Choice("saf", {}, {}, "saf"), Choice("digits", {}, {}, "digits")
    trial = Trial(*choices, 0, TrainingTerms(Budget("epochs", 1), 1, "cpu", "fp32", threads=1))
    record = Record(trial, "ok", holes={"energy_joules": str(reason.value)})
    metrics = [*harness_metrics(), *offers.metrics()]
    shown = summarise([record], metrics, columns=["energy_joules"])
    assert "no NVIDIA GPU" in render(shown, "text")
    assert "no NVIDIA GPU" not in render(summarise([record], metrics), "text")  # no word of it where nobody asks


def test_counts_that_repeat_over_seeds_are_called_so_and_what_depends_on_spikes_or_time_is_not():
    exact = {metric.name for metric in offers.metrics() if metric.exact}
    assert {"activation_bytes", "saved_bytes", "forward_macs", "total_macs", "inference_macs"} <= exact
    assert exact.isdisjoint({"synaptic_ops", "synaptic_acs", "firing_rate", "process_peak_bytes", "energy_joules"})
