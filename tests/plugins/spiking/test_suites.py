"""The comparisons that are shipped: they can be planned, their sources agree, their bounds are right."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from harness import Batch, Problem, Training
from harness.catalog import Settings, load
from harness.claims import Side, judge
from harness.entries import Claim
from harness.plan import plan
from harness.references import find
from harness_bptt import BPTTOptions
from harness_bptt.learner import build as build_bptt
from harness_ottt import OTTTOptions
from harness_ottt.learner import build as build_ottt
from harness_saf import SAFOptions
from harness_saf.learner import build as build_saf
from harness_spike_representation import SpikeRepresentationOptions
from harness_spike_representation.learner import build as build_sr
from harness_torch.operations import Operations

NAMES = (
    "saf-digits",
    "saf-digits-memory",
    "saf-mnist",
    "saf-cifar10",
    "saf-cifar10-short",
    "saf-cifar10-memory",
    "saf-cifar10-smoke",
    "saf-dvs",
)
STEPS = 4  # of the digits recipe


@pytest.fixture(scope="module")
def catalog():
    return load(Settings())


@pytest.fixture
def no_files_needed(monkeypatch):
    """Planning, on a machine that has neither the data nor what reads them."""
    monkeypatch.setattr("harness.files.require", lambda *_: None)
    monkeypatch.setattr("harness.plan._refuse_unavailable", lambda _: None)


@pytest.mark.parametrize(
    "name, methods, seeds",
    [
        ("saf-digits", 6, 3),
        ("saf-digits-memory", 8, 2),
        ("saf-mnist", 6, 3),
        ("saf-cifar10", 9, 3),
        ("saf-cifar10-short", 9, 3),
        ("saf-cifar10-memory", 15, 2),
        ("saf-cifar10-smoke", 1, 2),
        ("saf-dvs", 8, 3),
    ],
)
def test_a_suite_can_be_planned_and_every_entry_refers_to_something(catalog, name, methods, seeds, no_files_needed):
    suite = find(catalog, name)
    trials = plan(catalog, suite.request)
    assert not [trial.skip for trial in trials if trial.skip]
    assert len({trial.method.label for trial in trials}) == methods
    assert len(trials) == methods * seeds * (2 if name == "saf-dvs" else 1)
    labels = {trial.method.label for trial in trials}
    assert {side.method for claim in suite.claims for side in (claim.left, claim.right) if side} <= labels


def test_enough_seeds_for_an_interval(catalog, no_files_needed):
    for name in NAMES:
        assert len({trial.seed for trial in plan(catalog, find(catalog, name).request)}) >= 2


def test_the_summary_is_the_files(catalog):
    for name in NAMES:
        assert find(catalog, name).summary == catalog.suites.get(name).summary


@pytest.mark.parametrize(
    "method, metric, ratio",
    [
        ("saf", "tensor_peak_bytes", 0.715),
        ("saf[variant=final]", "tensor_peak_bytes", 0.70),
        ("saf[variant=final]", "update_seconds", 0.37),
    ],
)
def test_published_ratios_are_those_of_the_published_values(catalog, method, metric, ratio):
    suite = find(catalog, "saf-digits")
    values = {(each.method, each.metric): each.value for each in suite.published}
    claimed = [c.published for c in suite.claims if (c.left.method, c.left.metric) == (method, metric)]
    assert claimed == [ratio]
    assert values[method, metric] / values["ottt", metric] == pytest.approx(ratio, abs=0.005)


@pytest.mark.parametrize("name, second_hand", [("saf-digits", 13), ("saf-cifar10", 15), ("saf-cifar10-short", 15)])
def test_second_hand_sources_say_so(catalog, name, second_hand):
    suite = find(catalog, name)
    sources = [each.source for each in suite.published]
    sources += [claim.source for claim in suite.claims if claim.published is not None]
    assert sum("not checked against the paper" in source for source in sources if "Saiin" in source) == second_hand
    assert sum("Saiin" in source for source in sources) == second_hand


def test_the_short_comparison_is_the_long_one_in_a_tenth_of_its_epochs(catalog):
    long, short = find(catalog, "saf-cifar10"), find(catalog, "saf-cifar10-short")
    assert (long.published, long.claims) == (short.published, short.claims)
    assert long.request.budget.amount == 10 * short.request.budget.amount
    assert dataclasses.replace(long.request, budget=None) == dataclasses.replace(short.request, budget=None)


def test_what_others_reached_with_another_network_is_marked_as_not_comparable(catalog):
    (dsr,) = [each for each in find(catalog, "saf-cifar10").published if "dsr" in each.method]
    assert "NOT COMPARABLE" in dsr.setting
    assert "batch normalisation" in dsr.setting


# --- the bounds of the claims about operations ----------------------------------------------------------------------


BUILDERS = {
    "saf": lambda **options: build_saf(SAFOptions(**options)),
    "saf[variant=final]": lambda **options: build_saf(SAFOptions(**options, variant="final")),
    "ottt": lambda **options: build_ottt(OTTTOptions(**options)),
    "ottt[forward=fused]": lambda **options: build_ottt(OTTTOptions(**options, forward="fused")),
    "bptt": lambda **options: build_bptt(BPTTOptions(**options)),
    "spike-representation": lambda **options: build_sr(SpikeRepresentationOptions(**options)),
}
# Shape of a row and steps, as the data sets' recipes have them.
INPUTS = {
    "saf-digits": ((1, 8, 8), STEPS),
    "saf-mnist": ((1, 28, 28), 4),
    "saf-cifar10": ((3, 32, 32), 6),
    "saf-dvs": ((10, 2, 48, 48), 10),
}


@pytest.fixture(scope="module", params=INPUTS)
def suite_and_counts(request):
    """The name of a suite, and the multiply-accumulates of one update of each of its methods, by metric."""
    shape, steps = INPUTS[request.param]
    return request.param, {name: counted(build(steps=steps), shape) for name, build in BUILDERS.items()}


@pytest.fixture(scope="module")
def counts():
    """Of saf-digits."""
    return {name: counted(build(steps=STEPS), (1, 8, 8)) for name, build in BUILDERS.items()}


def counted(learner, shape):
    rows = Batch(torch.zeros(1, *shape), torch.zeros(1, dtype=torch.int64))
    problem = Problem("classification", shape, 10, 1000, time_axis=len(shape) == 4)
    state = learner.init(problem, Training(0, "cpu", "fp32", 1, None), None)
    operations = Operations()
    with operations.session(), operations.measure("update", 1):
        learner.update(state, rows)
    return operations.readings()


def about_operations(claim: Claim) -> bool:
    return claim.left.metric.endswith("_macs")


def test_claims_about_operations_hold_by_an_exact_count(catalog, suite_and_counts):
    name, counts = suite_and_counts
    claims = [
        claim for claim in find(catalog, name).claims if about_operations(claim) and claim.dataset != "dvs-gesture"
    ]
    assert len(claims) == {"saf-dvs": 4}.get(name, 5)
    for claim in claims:
        left, right = (Side(dict.fromkeys((0, 1), counts[q.method][q.metric])) for q in (claim.left, claim.over))
        assert judge(claim, left, right).verdict == "holds", claim.text


def test_the_claim_about_a_third_is_the_formula_at_its_number_of_steps(catalog, counts):
    (claim,) = [c for c in find(catalog, "saf-digits").claims if "a third" in c.text]
    expected = (STEPS + 2) / (4 * STEPS)
    assert claim.at_least <= expected <= claim.at_most
    found = counts["saf[variant=final]"]["total_macs"] / counts["ottt"]["total_macs"]
    assert found == pytest.approx(expected, rel=0.01)  # the first layer is not doubled and has no input gradient


def test_bounds_can_be_missed(catalog, counts):
    """With the roles exchanged, no claim of a saving holds."""
    for claim in find(catalog, "saf-digits").claims:
        if about_operations(claim) and not claim.at_least <= 1 <= claim.at_most:
            left, right = (Side(dict.fromkeys((0, 1), counts[q.method][q.metric])) for q in (claim.over, claim.left))
            assert judge(claim, left, right).verdict == "fails", claim.text
