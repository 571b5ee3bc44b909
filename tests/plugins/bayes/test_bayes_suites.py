"""The suites of the Bayesian family: they can be planned, and what they quote is what was published."""

from __future__ import annotations

import tomllib
from statistics import fmean

import pytest

from harness.planning.plan import plan_trials
from harness.suites.references import find_suite

NAMES = ("entropy-error", "gap", "shifted-digits", "uci-gal", "uci-small")

# Means over the splits as the README of Gal's repository gives them, written down apart from the suite.
OF_THE_README = {
    "uci-boston": (2.90, -2.40),
    "uci-concrete": (4.82, -2.93),
    "uci-energy": (0.54, -1.21),
    "uci-kin8nm": (0.08, 1.14),
    "uci-naval": (0.00, 4.45),
    "uci-power": (4.01, -2.80),
    "uci-protein": (4.27, -2.87),
    "uci-wine": (0.62, -0.93),
    "uci-yacht": (0.67, -1.25),
}


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("entropy-error", 3 * 9),
        ("gap", 5 * 12),
        ("shifted-digits", 3 * 8),
        ("uci-gal", (8 * 20 + 5) * 22),
        ("uci-small", 3 * 5 * 32),
    ],
)
def test_a_suite_can_be_planned(catalog, no_files_needed, name, count):
    suite = find_suite(catalog, name)
    trials = plan_trials(catalog, suite.request)
    assert not [trial.skip for trial in trials if trial.skip]
    assert len([trial for trial in trials if not trial.keep]) == count
    assert suite.summary == catalog.suites.get(name).summary


def written(catalog, name):
    """Its methods as they stand in the file: rows of a choice are called so."""
    return tomllib.loads(catalog.suites.get(name).path.read_text(encoding="utf-8"))["methods"]


@pytest.mark.parametrize("name", NAMES)
def test_what_claims_and_published_values_name_is_part_of_the_suite(catalog, no_files_needed, name):
    suite = find_suite(catalog, name)
    trials = plan_trials(catalog, suite.request)
    rows = {trial.method.label for trial in trials} | set(written(catalog, name))
    said = {side.method for claim in suite.claims for side in (claim.left, claim.right) if side}
    assert said | {each.method for each in suite.published} <= rows


def test_claims_leave_both_outcomes_open(catalog):
    """Two-sided intervals of differences: either outcome is a result. What theory says is no difference."""
    for name in NAMES:
        for claim in find_suite(catalog, name).claims:
            assert (claim.minus is None) == (claim.left.metric == "entropy_error_upper")
            assert claim.minus is None or claim.at_least == -claim.at_most


def test_split_by_split_values_have_the_published_means(catalog):
    found: dict[str, dict[str, float]] = {}
    for each in find_suite(catalog, "uci-gal").published:
        if each.by_seed:
            assert len(each.by_seed) == (5 if each.dataset == "uci-protein" else 20)
            found.setdefault(each.dataset, {})[each.metric] = fmean(each.by_seed)
            assert each.value == pytest.approx(fmean(each.by_seed), abs=5.1e-5)
    assert found.keys() == OF_THE_README.keys()
    for name, (rmse, log_likelihood) in OF_THE_README.items():
        assert found[name]["rmse"] == pytest.approx(rmse, abs=0.011)
        assert found[name]["log_likelihood"] == pytest.approx(log_likelihood, abs=0.011)
