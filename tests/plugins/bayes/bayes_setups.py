"""Small problems with their rows, trials side by side and alone, and the contract kit's checks of a method."""

import pytest
import torch

from harness import Batch, Problem
from harness.catalog import Settings, load_catalog
from harness.testing import cases

REGRESSION = Problem("regression", (3,), 1, 40, target_scale=2.0)
CLASSES = Problem("classification", (3,), 4, 40)
IMAGES = Problem("classification", (2, 8, 8), 4, 40)


def train_lanes_and_alone(learner, options, problems, trainings, batches):
    """Train trials as one and one by one: of each its lane, and its own learner and state.

    learner: the method's module. batches: for each update, a batch of each trial. Losses must be the same.
    """
    cohort = learner.together(options)
    state = cohort.init(problems, trainings)
    for each in batches:
        stacked = Batch(*(torch.stack([getattr(batch, name) for batch in each]) for name in ("inputs", "targets")))
        state, scalars = cohort.update(state, stacked)
    for place, given in enumerate(options):
        built = learner.build(given)
        alone = built.init(problems[place], trainings[place], None)
        for each in batches:
            alone, said = built.update(alone, each[place])
        assert scalars["loss"][place].item() == pytest.approx(said["loss"].item(), abs=1e-12)
        yield cohort.lane(state, place), built, alone


def require_contract(selection):
    """Every check of the contract kit passes, that of trials side by side among them; names of those not applicable."""
    catalog = load_catalog(Settings(plugins=("harness.checks",), only=("harness-bench",)))
    found = [(case.check.name, case.run()) for case in cases(catalog, selection)]
    assert {name: each.reason for name, each in found if each.status not in ("ok", "not applicable")} == {}
    assert [each.status for name, each in found if name == "cohort-as-alone"] == ["ok"]
    return {name for name, each in found if each.status == "not applicable"}
