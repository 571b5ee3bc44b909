"""Scores of nodes, against sums weight by weight, mean squares of states from plain loops, and inverses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from agreeing import agree
from compressing import HIDDEN, compressed, moved, plain_states, to_numpy

from harness_node_pruning import NodeScoreOptions, learner, reference
from harness_recurrent import reference as plainly


def options(**given):
    return NodeScoreOptions(**{"hidden": HIDDEN, "nodes": 4, **given})


def kept(**given):
    base, built, state = compressed(learner, options(**given))
    return base, built.describe(state)["nodes"]


def seen(base, cell):
    return plain_states(base, cell).flatten(0, 1).numpy()


@pytest.mark.parametrize("cell", ["irnn", "gru", "lstm", "mingru"])
def test_magnitude_is_that_of_all_weights_into_and_out_of_a_node(cell):
    base, nodes = kept(cell=cell, score="magnitude")
    weights = to_numpy(base)
    own = [weights[name] for name in ("cells.0.recurrent.weight",) if name in weights]
    scores = reference.score_magnitude(
        [weights["cells.0.input.weight"], *own], [*own, weights["readout.weight"]], HIDDEN
    )
    assert nodes == plainly.find_highest(scores, 4)


def test_magnitude_of_a_lower_layer_counts_the_weights_of_the_one_above():
    base, (lower, _) = kept(cell="gru", layers=2)
    weights = to_numpy(base)
    own = weights["cells.0.recurrent.weight"]
    scores = reference.score_magnitude(
        [weights["cells.0.input.weight"], own], [own, weights["cells.1.input.weight"]], HIDDEN
    )
    assert lower == plainly.find_highest(scores, 4)


@pytest.mark.parametrize("cell", ["irnn", "gru", "lstm", "mingru"])
def test_activity_is_the_mean_square_of_the_state(cell):
    base, nodes = kept(cell=cell, score="activity")
    assert nodes == plainly.find_highest(reference.score_activity(seen(base, cell)), 4)


@pytest.mark.parametrize("lam", [1e-4, 1e-1])
def test_leverage_is_that_of_ridge_regression(lam):
    base, nodes = kept(cell="elman", score="leverage", lam=lam)
    assert nodes == plainly.find_highest(plainly.leverage(seen(base, "elman"), lam), 4)


@pytest.mark.parametrize(
    "given",
    [
        "cell=irnn,layers=2",
        "cell=gru,score=activity,reconstruct=no",
        "cell=lstm,score=leverage",
        "cell=mingru,lam=0.01",
    ],
)
def test_it_agrees_with_its_reference(given, tmp_path):
    prepared = agree(f"node-pruning[hidden=9,nodes=4,{given}]", "digits-rows", tmp_path)["prepared"]
    assert prepared["max_relative_difference"] < 1e-6  # nodes that hardly live make S_JJ ill-conditioned
    assert prepared["facts"] == {}


def test_equal_nodes_go_by_their_index():
    base = {name: torch.zeros_like(each) for name, each in moved(options()).items()}
    base["cells.0.input.bias"] += 1.0  # every node is active, and the same
    _, built, state = compressed(learner, options(nodes=3), base=base)
    assert built.describe(state)["nodes"] == [0, 1, 2]


def test_scores_choose_differently():
    chosen = [kept(cell="irnn", score=score)[1] for score in ("magnitude", "activity", "leverage")]
    assert len({tuple(nodes) for nodes in chosen}) == 3
    assert all(np.diff(nodes).min() > 0 for nodes in chosen)
