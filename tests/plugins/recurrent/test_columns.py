"""Columns of recurrent weights, against least squares and naive greedy searches on the states of plain loops."""

from __future__ import annotations

import itertools

import compressing as small
import numpy as np
import pytest
import torch
from agreeing import agree
from tiny_problems import rows

from harness import Unsupported, UsageError
from harness_columns import ColumnOptions, learner, reference

CELLS = ["irnn", "elman", "gru", "lstm"]
LAM, K = 1e-3, 4


def options(**given):
    regularised = {"lam": LAM} if given.get("reconstruct") or given.get("score") == "spectral" else {}
    return ColumnOptions(**{"hidden": small.HIDDEN, "nodes": K, **regularised, **given})


def compressed(**given):
    base, built, state = small.compressed(learner, options(**given))
    return base, built, state, built.describe(state)["columns"]


def known(base, cell):
    """W, the states that it reads, and tau of them."""
    h = small.before_steps(small.plain_states(base, cell))
    return base["cells.0.recurrent.weight"].numpy(), h, regularisation_of(h.T @ h / len(h))


def regularisation_of(S):
    """lam k tau'_j by an inverse, with lam relative to the mean of the diagonal."""
    ridge = LAM * np.trace(S) / len(S)
    scores = np.diag(S @ np.linalg.inv(S + ridge * np.eye(len(S))))
    return np.maximum(ridge * K * scores / scores.sum(), 1e-10 * np.trace(S) / len(S))


@pytest.mark.parametrize("cell", CELLS)
def test_columns_of_the_largest_norm_stay_as_they_are(cell):
    base, _, state, columns = compressed(cell=cell)
    W = base["cells.0.recurrent.weight"]
    assert set(columns) == set(np.argsort(-np.linalg.norm(W.numpy(), axis=0))[:K])
    assert state.constants["cells.0.recurrent.columns"].tolist() == columns
    assert torch.equal(state.parameters["cells.0.recurrent.weight"].detach(), W[:, columns])


@pytest.mark.parametrize("cell", CELLS)
def test_the_spectral_choice_is_that_of_a_naive_search_and_rewritten_by_least_squares(cell):
    base, built, state, columns = compressed(cell=cell, score="spectral")
    W, h, tau = known(base, cell)
    assert columns == sorted(reference.search_greedily(W, h, K, tau))
    V = state.parameters["cells.0.recurrent.weight"].detach().numpy()
    assert np.allclose(V, reference.rewrite_columns(W, h, columns, tau), rtol=0, atol=1e-8)
    missed = h @ W.T - h[:, columns] @ V.T
    assert built.describe(state)["recurrent_loss"] == pytest.approx((missed**2).sum() / ((h @ W.T) ** 2).sum())


@pytest.mark.parametrize(
    "given",
    ["cell=irnn,layers=2,score=spectral", "cell=gru,score=spectral,reconstruct=no", "cell=lstm,reconstruct=yes"],
)
def test_it_agrees_with_its_reference(given, tmp_path):
    prepared = agree(f"column-sparsification[hidden=9,nodes=4,{given}]", "digits-rows", tmp_path)["prepared"]
    assert prepared["max_relative_difference"] < 1e-8
    assert prepared["facts"] == {}


def test_the_search_is_close_to_the_best_of_all_sets():
    base, *_, columns = compressed(cell="gru", score="spectral")
    W, h, tau = known(base, "gru")
    best = min(reference.loss(W, h, list(J), tau) for J in itertools.combinations(range(small.HIDDEN), K))
    assert reference.loss(W, h, columns, tau) <= 1.1 * best


@pytest.mark.parametrize("cell", CELLS)
def test_predictions_are_those_of_a_network_with_zeros_in_the_other_columns(cell):
    base, built, state, columns = compressed(cell=cell)
    zeroed = {**base, "cells.0.recurrent.weight": torch.zeros_like(base["cells.0.recurrent.weight"])}
    zeroed["cells.0.recurrent.weight"][:, columns] = base["cells.0.recurrent.weight"][:, columns]
    h = small.plain_states(zeroed, cell)[-1]
    expected = (h @ base["readout.weight"].T + base["readout.bias"]).log_softmax(-1)
    found = built.predict(state, rows(small.CLASSES).inputs).log_probs[0]
    assert torch.allclose(found.double(), expected, rtol=1e-5, atol=1e-6)


def test_each_gate_counts_its_columns():
    base, built, state, _ = compressed(cell="lstm", layers=2)
    assert built.describe(state)["parameters"] == sum(each.numel() for each in base.values()) - 2 * 40 * (10 - K)
    assert built.describe(state)["form"] == "columns"


def test_parameters_allow_the_largest_network_that_has_no_more():
    whole = sum(each.numel() for each in small.moved(options()).values())
    for most in (whole, whole - 1, whole - 10, whole - 55):
        _, built, state, _ = compressed(nodes=None, parameters=most)
        assert 0 <= most - built.describe(state)["parameters"] < 10
    with pytest.raises(Unsupported, match=f"the smallest network that this leaves has {whole - 90}"):
        compressed(nodes=None, parameters=whole - 91)


@pytest.mark.parametrize("score", ["norm", "spectral"])
def test_reconstruction_can_be_chosen_for_either(score):
    plain, rewritten = (compressed(score=score, reconstruct=way) for way in (False, True))
    assert plain[3] == rewritten[3]
    assert rewritten[1].describe(rewritten[2])["recurrent_loss"] < plain[1].describe(plain[2])["recurrent_loss"]


def test_training_goes_on_with_the_columns_there_are():
    _, built, state, columns = compressed(cell="gru", score="spectral")
    state, scalars = built.update(state, rows(small.CLASSES))
    saved = built.save(state)
    assert torch.isfinite(scalars["loss"])
    assert saved["cells.0.recurrent.weight"].shape == (30, K)
    assert saved["cells.0.recurrent.columns"].tolist() == columns


def test_a_cell_without_recurrent_weights_is_refused():
    with pytest.raises(UsageError, match="cell=mingru: it has no recurrent weights"):
        options(cell="mingru")


def test_a_regularisation_of_what_is_not_reconstructed_is_refused():
    said = "^lam=0.1: of the reconstruction, and there is none; leave lam out, or give reconstruct=yes$"
    for given in ({}, {"reconstruct": False}):
        with pytest.raises(UsageError, match=said):
            options(lam=0.1, **given)
    for given in ({"score": "spectral", "reconstruct": False}, {"reconstruct": True}):
        assert options(lam=0.1, **given).lam == 0.1
