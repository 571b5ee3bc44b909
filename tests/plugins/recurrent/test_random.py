"""Random nodes: who is drawn, and the network that is left, against gate by gate and least squares on the states."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
import torch
from agreeing import agree
from compressing import HIDDEN, compressed, moved

from harness import Unsupported
from harness_random_pruning import RandomOptions, learner


def options(**given):
    return RandomOptions(**{"hidden": HIDDEN, "nodes": 4, **given})


def drawn(seed=0, base=None, **given):
    _, built, state = compressed(learner, options(**given), seed=seed, base=base)
    return built.describe(state)["nodes"]


@pytest.mark.parametrize(
    "given",
    [
        "cell=irnn,layers=2",
        "cell=gru,among=living",
        "cell=lstm,reconstruct=no,draw=3",
        "cell=mingru,lam=0.01",
        "cell=elman,covariance=last-step,finetune=1",
    ],
)
def test_the_network_left_is_that_of_the_equations(given, tmp_path):
    prepared = agree(f"random-pruning[hidden=9,nodes=4,{given}]", "digits-rows", tmp_path)["prepared"]
    assert prepared["max_relative_difference"] < 1e-8
    assert prepared["facts"] == {}


def test_every_set_of_nodes_is_as_likely():
    base = moved(options(hidden=4))
    found = Counter(tuple(drawn(draw=draw, hidden=4, nodes=2, base=base)) for draw in range(300))
    expected = 300 / 6
    assert set(found) == set(itertools.combinations(range(4), 2))
    assert sum((count - expected) ** 2 / expected for count in found.values()) < 20.5  # chi2, 5 degrees, p = .001


def test_draws_layers_and_seeds_differ_and_repeat():
    assert drawn() == drawn()
    assert len({tuple(drawn(seed=seed, draw=draw)) for seed in range(3) for draw in range(3)}) > 6
    lower, upper = drawn(layers=2)
    assert lower != upper
    assert lower == drawn()


def test_larger_networks_hold_the_nodes_of_smaller_ones():
    assert set(drawn(nodes=3)) < set(drawn(nodes=7))


def base_with_dead_nodes(dead):
    base = moved(options())
    for name in ("cells.0.input.weight", "cells.0.recurrent.weight", "cells.0.input.bias"):
        base[name][dead] = 0
    return base


def test_the_dead_are_left_out_on_request():
    base = base_with_dead_nodes([0, 3, 4, 8])
    for draw in range(10):
        assert not {0, 3, 4, 8} & set(drawn(among="living", draw=draw, base=base))
    assert any({0, 3, 4, 8} & set(drawn(draw=draw, base=base)) for draw in range(10))


def test_more_nodes_than_live_are_refused():
    with pytest.raises(Unsupported, match=r"7 nodes are to be kept of layer 0, and 6 are ever active.*nodes=6"):
        drawn(among="living", nodes=7, base=base_with_dead_nodes([0, 3, 4, 8]))


def test_all_nodes_are_the_base():
    base, _, state = compressed(learner, options(nodes=HIDDEN, lam=0.0))
    assert all(torch.allclose(state.parameters[name], each, rtol=0, atol=1e-12) for name, each in base.items())
