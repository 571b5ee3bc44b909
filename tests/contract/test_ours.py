"""What comes with the harness keeps its own contract. Small networks: the promises do not depend on their size."""

from __future__ import annotations

import pytest

from harness.catalog import Settings, load
from harness.testing import cases

SMALL = "steps=3,architecture=6C3-AP2-12-FC"
SELECTIONS = [
    f"saf[{SMALL}]",
    f"saf[variant=final,{SMALL}]",
    f"saf[update=online,{SMALL}]",
    f"ottt[{SMALL}]",
    f"ottt[forward=fused,{SMALL}]",
    f"bptt[{SMALL}]",
    "digits",
]
METRICS = ["accuracy", "nll", "brier", "ece", "rmse", "log_likelihood", "crps", "perplexity", "bits_per_character"]


def catalog():
    return load(Settings(plugins=("harness.checks",), only=None))


CASES = [case for name in (*SELECTIONS, *METRICS) for case in cases(catalog(), name)]


@pytest.mark.parametrize("case", CASES, ids=[f"{case.label}-{case.check.name}" for case in CASES])
def test_ours_keeps_the_contract(case):
    result = case.run()
    assert result.status == "ok", result.reason


def test_every_metric_that_is_computed_is_tested_here():
    assert {metric.name for metric in catalog().metrics.values() if metric.compute is not None} == set(METRICS)
