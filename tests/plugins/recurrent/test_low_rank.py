"""Recurrent weights of low rank: what they lose against the least that numpy's singular values allow."""

from __future__ import annotations

import compressing as small
import numpy as np
import pytest
import torch
from agreeing import agree
from plain_cells import GATES
from tiny_problems import rows

from harness import Unsupported, UsageError
from harness.cli import main
from harness_low_rank import LowRankOptions, learner, reference
from harness_recurrent import forms

CELLS = ["irnn", "elman", "gru", "lstm"]


def options(**given):
    given = {"hidden": small.HIDDEN, **given}
    return LowRankOptions(**(given if given.keys() & {"nodes", "share", "parameters"} else {"rank": 3, **given}))


def compressed(problem=small.CLASSES, **given):
    base, built, state = small.compressed(learner, options(**given), problem)
    approximate = forms.to_dense(forms.select_under(state.tensors, "cells.0.recurrent")).detach().numpy()
    return base, built, state, approximate


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("rank", [1, 3, 9])
def test_svd_is_as_close_to_the_weights_as_any_of_its_rank(cell, rank):
    base, _, _, approximate = compressed(cell=cell, rank=rank)
    W = base["cells.0.recurrent.weight"].numpy()
    assert np.linalg.matrix_rank(approximate) == rank
    assert ((W - approximate) ** 2).sum() == pytest.approx(reference.least_distance(W, rank), rel=1e-9)


@pytest.mark.parametrize("rank", [1, 3, 9])
def test_the_identity_costs_nothing(rank):
    base, _, state, approximate = compressed(kind="identity", rank=rank)
    W, identity = base["cells.0.recurrent.weight"].numpy(), np.eye(small.HIDDEN)
    assert np.linalg.matrix_rank(approximate - identity) == rank
    assert ((W - approximate) ** 2).sum() == pytest.approx(reference.least_distance(W - identity, rank), rel=1e-9)
    assert "cells.0.recurrent.identity" in state.constants


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("rank", [1, 3, 9])
def test_data_aware_loses_the_least_of_what_the_weights_give(cell, rank):
    base, built, state, approximate = compressed(cell=cell, kind="data", rank=rank)
    W, h = base["cells.0.recurrent.weight"].numpy(), small.before_steps(small.plain_states(base, cell))
    lost, least = reference.loss(W, approximate, h), reference.least_loss(W, h, rank)
    assert lost == pytest.approx(least, rel=1e-6, abs=1e-12)
    whole = reference.loss(W, np.zeros_like(W), h)
    assert built.describe(state)["recurrent_loss"] == pytest.approx(lost / whole, rel=1e-6, abs=1e-12)
    assert least <= reference.loss(W, compressed(cell=cell, rank=rank)[3], h)


@pytest.mark.parametrize(
    "given", ["cell=irnn,layers=2,kind=identity", "cell=gru,parameters=600", "cell=elman,kind=data,rank=3", "cell=lstm"]
)
def test_it_agrees_with_its_reference(given, tmp_path):
    prepared = agree(f"low-rank[hidden=9,{given}]", "digits-rows", tmp_path)["prepared"]
    assert prepared["max_relative_difference"] < 1e-6
    assert prepared["facts"] == {}


@pytest.mark.parametrize("kind", ["svd", "identity", "data"])
def test_full_rank_is_the_base(kind):
    base, _, _, approximate = compressed(kind=kind, rank=small.HIDDEN)
    assert np.allclose(approximate, base["cells.0.recurrent.weight"].numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("nodes", [1, 4, 7, 10])
def test_the_rank_of_a_size_has_no_more_numbers_than_that_many_nodes_have(cell, nodes):
    _, _, state, _ = compressed(cell=cell, nodes=nodes)
    left, right = (state.parameters[f"cells.0.recurrent.{part}"] for part in ("left", "right"))
    rank, each, allowed = left.shape[1], GATES[cell] * 10 + 10, GATES[cell] * nodes**2
    assert left.numel() + right.numel() <= max(allowed, each)
    assert (rank + 1) * each > allowed


def test_parameters_allow_the_largest_rank_that_has_no_more():
    base = small.moved(options(cell="gru"))
    rest = sum(each.numel() for each in base.values()) - 300
    for most in (rest + 40, rest + 79, rest + 80, rest + 281):
        _, built, state, _ = compressed(cell="gru", parameters=most)
        assert built.describe(state)["rank"] == (most - rest) // 40
        assert 0 <= most - built.describe(state)["parameters"] < 40
    with pytest.raises(Unsupported, match=f"has {rest + 40}"):
        compressed(cell="gru", parameters=rest + 39)


def test_training_goes_on_with_the_factors():
    _, built, state, _ = compressed(layers=2, cell="lstm", kind="data")
    state, scalars = built.update(state, rows(small.CLASSES))
    assert torch.isfinite(scalars["loss"])
    assert built.save(state)["cells.1.recurrent.left"].shape == (40, 3)
    assert built.describe(state)["form"] == "low-rank"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"rank": 3, "nodes": 4}, "rank=3 and nodes=4 each say how much is left; give one of them"),
        ({"rank": 3, "share": 0.5}, "rank=3 and share=0.5"),
        ({"rank": 11}, "rank=11: a layer has hidden=10"),
        ({"kind": "identity", "cell": "gru"}, "kind=identity: of cell=irnn, .* and this is cell=gru"),
        ({"cell": "mingru"}, "cell=mingru: it has no recurrent weights"),
    ],
)
def test_options_that_do_not_fit_are_refused(given, words):
    with pytest.raises(UsageError, match=words):
        options(**given)


@pytest.mark.parametrize(("cell", "most"), [("irnn", 8), ("gru", 12), ("lstm", 12)])
def test_a_rank_whose_factors_outgrow_the_weights_is_refused_while_planning(cell, most, capsys):
    planned = ["run", "--datasets", "digits-rows", "--seeds", "1", "--dry-run", "--methods"]
    assert main([*planned, f"low-rank[cell={cell},hidden=16,rank={most}]"]) == 0
    assert main([*planned, f"low-rank[cell={cell},hidden=16,rank={most + 1}]"]) == 2
    said = f"rank={most + 1}: of cell={cell} with hidden=16 its factors have more numbers than the weights that they"
    assert f"{said} stand for; give at most {most}" in " ".join(capsys.readouterr().err.split())


def test_the_identity_of_a_language_is_refused_in_words():
    with pytest.raises(Unsupported, match="kind=identity: of cell=irnn, and this is lstm; give kind=svd"):
        compressed(small.TOKENS, kind="identity")
