"""The comparisons that are shipped: they can be planned, their sources agree, their bounds are right."""

from __future__ import annotations

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
from harness_torch.operations import Operations

NAMES = ("saf-digits", "saf-digits-memory")
DIGITS = Problem("classification", (1, 8, 8), 10, 1000)
STEPS = 4  # of the digits recipe


@pytest.fixture(scope="module")
def catalog():
    return load(Settings())


@pytest.mark.parametrize("name, methods, seeds", [("saf-digits", 5, 3), ("saf-digits-memory", 8, 2)])
def test_a_suite_can_be_planned_and_every_entry_refers_to_something(catalog, name, methods, seeds):
    suite = find(catalog, name)
    trials = plan(catalog, suite.request)
    assert not [trial.skip for trial in trials if trial.skip]
    assert len({trial.method.label for trial in trials}) == methods
    assert len(trials) == methods * seeds
    labels = {trial.method.label for trial in trials}
    assert {side.method for claim in suite.claims for side in (claim.left, claim.right) if side} <= labels


def test_enough_seeds_for_an_interval(catalog):
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


def test_second_hand_sources_say_so(catalog):
    suite = find(catalog, "saf-digits")
    sources = [each.source for each in suite.published]
    sources += [claim.source for claim in suite.claims if claim.published is not None]
    assert len(sources) == 13
    assert all("not checked against the paper" in source for source in sources)


# --- the bounds of the claims about operations ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def counts():
    """Multiply-accumulates of one update of each method, by metric."""
    learners = {
        "saf": build_saf(SAFOptions(steps=STEPS)),
        "saf[variant=final]": build_saf(SAFOptions(steps=STEPS, variant="final")),
        "ottt": build_ottt(OTTTOptions(steps=STEPS)),
        "ottt[forward=fused]": build_ottt(OTTTOptions(steps=STEPS, forward="fused")),
        "bptt": build_bptt(BPTTOptions(steps=STEPS)),
    }
    return {name: counted(learner) for name, learner in learners.items()}


def counted(learner):
    rows = Batch(torch.zeros(2, 1, 8, 8), torch.zeros(2, dtype=torch.int64))
    state = learner.init(DIGITS, Training(0, "cpu", "fp32", 2, None), None)
    operations = Operations()
    with operations.session(), operations.measure("update", 2):
        learner.update(state, rows)
    return operations.readings()


def about_operations(claim: Claim) -> bool:
    return claim.left.metric.endswith("_macs")


def test_claims_about_operations_hold_by_an_exact_count(catalog, counts):
    claims = [claim for claim in find(catalog, "saf-digits").claims if about_operations(claim)]
    assert len(claims) == 4
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
        if about_operations(claim) and claim.at_least != claim.at_most:
            left, right = (Side(dict.fromkeys((0, 1), counts[q.method][q.metric])) for q in (claim.over, claim.left))
            assert judge(claim, left, right).verdict == "fails", claim.text
