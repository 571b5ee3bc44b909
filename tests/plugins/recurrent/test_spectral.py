"""spectral-pruning beside naive searches with explicit inverses."""

from __future__ import annotations

import pytest
from agreeing import agree
from plain_cells import CELLS

SEARCHES = ("greedy", "backward")


@pytest.mark.parametrize("cell", CELLS)
def test_nodes_and_weights_are_those_of_the_reference(cell, tmp_path):
    agree_prepared(f"cell={cell},nodes=3,hidden=7,layers=2", "digits-rows", tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        "search=backward",
        "theta=0,lam=0.01",
        "theta=1,search=backward",
        "reconstruct=no",
        "covariance=last-step",
        "parameters=150",
        "finetune=1,teacher=yes,dropout=0.2",
    ],
)
def test_its_options_mean_what_the_reference_means(options, tmp_path):
    agree_prepared(f"cell=elman,hidden=9,{options}", "digits-rows", tmp_path)


@pytest.mark.parametrize("tied", ["tied=yes", "embedding=4"])
def test_a_stream_is_carried_as_the_reference_carries_it(tied, tmp_path):
    agree_prepared(
        f"cell=lstm,nodes=3,hidden=7,layers=2,finetune=1,teacher=yes,{tied}", "shakespeare[train=3000]", tmp_path
    )


def agree_prepared(options, dataset, folder):
    prepared = agree(f"spectral-pruning[{options}]", dataset, folder)["prepared"]
    assert prepared["max_relative_difference"] < 1e-8
    assert prepared["facts"] == {}
