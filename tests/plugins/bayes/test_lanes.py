"""A grid on folds as one batch: each lane is what it is alone, whichever others there are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness import Batch, Budget, Data, Problem, UsageError
from harness_bayes.config import MixtureOptions
from harness_bayes.lanes import train
from harness_bayes.mixture import build, together
from harness_mc_dropout import DropoutOptions
from harness_mc_dropout.learner import build as dropout
from harness_mc_dropout.learner import together as dropouts


def fold(number, rows=40):
    draw = np.random.default_rng(number)
    inputs = draw.normal(size=(rows, 3)).astype(np.float32)
    split = Batch(inputs, np.sin(inputs[:, 0]))
    return Data(Problem("regression", (3,), 1, rows, target_scale=1.0 + number), split, split, split)


NOISES = [MixtureOptions(architecture="6-FC", components=2, noise=noise, predict_samples=3) for noise in (0.3, 0.6)]
RATES = [DropoutOptions(architecture="6-FC", rate=rate, tau=2.0, predict_samples=3) for rate in (0.1, 0.4)]
UPDATES = Budget("updates", 6)


@pytest.mark.parametrize(("learner", "cohort", "configs"), [(build, together, NOISES), (dropout, dropouts, RATES)])
def test_any_subset_of_lanes_gives_each_the_same(learner, cohort, configs):
    folds = [fold(0), fold(1)]
    whole = train(cohort, configs, folds, UPDATES, 16, precision="fp64")
    assert [(lane.config, lane.fold) for lane in whole] == [(c, f) for c in configs for f in (0, 1)]
    inputs = torch.from_numpy(folds[0].test.inputs).double()
    for lane in whole:
        (alone,) = train(cohort, [lane.config], [folds[lane.fold]], UPDATES, 16, precision="fp64", seeds=[lane.fold])
        for name, tensor in alone.state.parameters.items():
            assert torch.allclose(tensor, lane.state.parameters[name], rtol=0, atol=1e-12), name
        found = [learner(lane.config).predict(each.state, inputs).means for each in (lane, alone)]
        assert torch.allclose(*found, rtol=0, atol=1e-12)
    first = next(iter(whole[0].state.parameters))
    assert len({lane.state.parameters[first].sum().item() for lane in whole}) == 4


def test_epochs_are_updates_of_the_rows():
    (lane,) = train(together, NOISES[:1], [fold(0)], Budget("epochs", 2), 16)
    assert lane.state.updates == 5  # 40 rows in batches of 16, twice


@pytest.mark.parametrize(
    ("folds", "budget", "words"),
    [
        ([], UPDATES, "no folds"),
        ([fold(0), fold(1, rows=30)], UPDATES, "fold 1 has other shapes or numbers of rows than fold 0"),
        ([fold(0)], Budget("seconds", 3), "lanes take epochs or updates"),
    ],
)
def test_what_cannot_be_one_batch_is_refused(folds, budget, words):
    with pytest.raises(UsageError, match=words):
        train(together, NOISES, folds, budget, 16)
