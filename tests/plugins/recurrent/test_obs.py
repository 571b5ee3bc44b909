"""Optimal brain surgeon against least squares solved anew for every mask, and against magnitude pruning."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from agreeing import agree
from compressing import CLASSES, TOKENS, before_steps, prepared, states_of, trained, tuned
from hidden import covariance
from tiny_problems import fit, normal, rows

from harness import UsageError
from harness.options import build as configured
from harness_magnitude import MagnitudeOptions
from harness_magnitude import learner as magnitude
from harness_obs import ObsOptions, learner, reference, removal, surgery
from harness_recurrent import weights

NAME = "cells.0.recurrent.weight"


def hessian(m=9, seed=0, damp=0.01, **given):
    return learner.damp_hessian(covariance(m, seed=seed, **given), damp)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dead", [(), (2, 5)], ids=["all live", "two dead"])
def test_a_row_loses_its_weights_as_if_every_system_were_solved_anew(seed, dead):
    H, row = hessian(seed=seed, dead=dead), normal(1, 9, seed=seed)
    order, costs = (each[0] for each in surgery.order_removals(row, H))
    _, expected, grown = reference.remove_one_by_one(row[0].numpy(), H.numpy(), 9)
    assert order.tolist() == expected
    assert np.allclose(costs, grown, rtol=1e-8, atol=1e-12)


def test_the_reference_removes_the_weight_without_which_least_is_lost():
    """By trying every weight that is left, with least squares on the others."""
    H, row, kept, before = hessian(dead=(3,)).numpy(), normal(1, 9).numpy(), np.ones((1, 9), dtype=bool), 0.0
    for gone, grown in zip(*reference.remove_one_by_one(row[0], H, 9)[1:], strict=True):
        losses = {}
        for column in np.flatnonzero(kept[0]):
            mask = kept & (np.arange(9) != column)
            losses[int(column)] = reference.loss(row, reference.least_squares(row, H, mask), H)
        assert gone == min(losses, key=lambda column: losses[column])
        assert grown == pytest.approx(losses[gone] - before, rel=1e-8, abs=1e-12)
        kept[0, gone], before = False, losses[gone]


@pytest.mark.parametrize("left", [0, 1, 4, 8, 9])
def test_what_is_left_of_a_row_is_what_one_by_one_leaves(left):
    H, row = hessian(), normal(1, 9)
    mask = surgery.choose_masks({"": row}, {"": H}, left, "layer")[""]
    found = surgery.solve_weights(row, H, mask)
    expected, *_ = reference.remove_one_by_one(row[0].numpy(), H.numpy(), 9 - left)
    assert np.allclose(found[0], expected, rtol=1e-9, atol=1e-12)
    assert int(mask.sum()) == left


def test_rows_take_turns_by_what_the_next_weight_costs():
    H, W = hessian(), normal(5, 9)
    rows = [reference.remove_one_by_one(row, H.numpy(), 9)[1:] for row in W.numpy()]
    gone, places = np.zeros((5, 9), dtype=bool), [0] * 5
    for _ in range(31):
        row = min((i for i in range(5) if places[i] < 9), key=lambda i: rows[i][1][places[i]])
        gone[row, rows[row][0][places[row]]] = True
        places[row] += 1
    mask = surgery.choose_masks({"": W}, {"": H}, 45 - 31, "layer")[""]
    assert np.array_equal(mask, ~gone)


def test_rows_in_parts_are_rows_together(monkeypatch):
    H, W = hessian(), normal(7, 9)
    whole = surgery.choose_masks({"": W}, {"": H}, 30, "layer")[""]
    solved = surgery.solve_weights(W, H, whole)
    monkeypatch.setattr(surgery, "NUMBERS", 2 * 81)
    assert torch.equal(surgery.choose_masks({"": W}, {"": H}, 30, "layer")[""], whole)
    assert torch.allclose(surgery.solve_weights(W, H, whole), solved, rtol=0, atol=1e-14)


def test_maps_compete_where_the_scope_is_global():
    """Of one map that matters little less is left, and the loss of both is not above that of equal shares."""
    maps = {"much": normal(6, 9), "little": normal(6, 9, seed=1) / 10}
    hessians = {"much": hessian(), "little": hessian(seed=3)}
    losses = {}
    for scope in ("layer", "global"):
        masks = surgery.choose_masks(maps, hessians, 40, scope)
        assert sum(int(mask.sum()) for mask in masks.values()) == 40
        solved = {name: surgery.solve_weights(maps[name], hessians[name], masks[name]) for name in maps}
        losses[scope] = sum(lost(maps[name], solved[name], hessians[name]) for name in maps)
        counts = [int(masks[name].sum()) for name in maps]
        assert counts == [20, 20] if scope == "layer" else counts[0] > counts[1]
    assert losses["global"] < losses["layer"]


def lost(weight, other, H):
    return reference.loss(weight.numpy(), other.numpy(), H.numpy())


@pytest.mark.parametrize("block", [1, 4, 9, 128])
@pytest.mark.parametrize("total", [0, 11, 30, 54])
def test_one_pass_over_columns(block, total):
    H, W = hessian(), normal(6, 9)
    sizes = [6 * len(range(start, min(start + block, 9))) for start in range(0, 9, block)]
    counts = weights.divide_total(total, sizes)
    found = removal.sweep_columns(W, H, total, block)
    expected = reference.sweep_columns(W.numpy(), H.numpy(), counts, block)
    assert np.allclose(found.weight, expected, rtol=1e-9, atol=1e-11)
    assert int(found.mask.sum()) == int((found.weight != 0).sum()) == total


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.9])
def test_less_is_lost_than_by_magnitude(seed, share):
    """By as many weights; and where weights stay, exact surgery has moved them as least squares do."""
    H, W = hessian(m=16, seed=seed), normal(12, 16, seed=seed + 20)
    total = round(share * W.numel())
    largest = weights.choose_largest({"": W.abs()}, total, "layer")[""]
    by_magnitude = lost(W, W * largest, H)
    refitted = lost(W, surgery.solve_weights(W, H, largest), H)
    mask = surgery.choose_masks({"": W}, {"": H}, total, "layer")[""]
    exact = surgery.solve_weights(W, H, mask)
    once = removal.sweep_columns(W, H, total, 8).weight
    assert lost(W, exact, H) <= refitted <= by_magnitude
    assert lost(W, exact, H) <= lost(W, once, H) <= by_magnitude
    assert np.allclose(exact, reference.least_squares(W.numpy(), H.numpy(), mask.numpy()), rtol=1e-8, atol=1e-11)


# --- the method ---------------------------------------------------------------------------------------------------


def pruned(module=learner, config=ObsOptions, problem=CLASSES, **given):
    built, state = prepared(module, config, problem, **given)
    return built, state, {name: tensor.clone() for name, tensor in built.save(state).items()}


@pytest.mark.parametrize("cell", ["irnn", "gru", "lstm"])
def test_recurrent_weights_are_those_of_least_squares_on_what_they_read(cell):
    base, (_, state, found) = trained(cell=cell), pruned(cell=cell, nodes=3, damp=1e-3)
    (h,) = states_of(cell=cell)[1]
    read = before_steps(h)
    S = read.T @ read / len(read)
    H = S + 1e-3 * np.trace(S) / 8 * np.eye(8)
    mask = (found[NAME] != 0).numpy()
    assert mask.sum() == len(mask) // 8 * 9 == state.said["kept_weights"]
    assert np.allclose(found[NAME], reference.least_squares(base[NAME].numpy(), H, mask), rtol=1e-7, atol=1e-10)
    assert all(torch.equal(found[name], each) for name, each in base.items() if name != NAME)


@pytest.mark.parametrize("problem", [CLASSES, TOKENS], ids=["classes", "tokens"])
@pytest.mark.parametrize("given", [{}, {"scope": "row"}, {"scope": "global"}, {"search": "blocks", "block": 4}])
def test_all_maps_lose_as_many_as_by_magnitude(given, problem):
    *_, found = pruned(problem=problem, cell="gru", layers=2, nodes=3, weights="all", **given)
    sizes = {"scope": given.get("scope", "layer"), "nodes": 3, "weights": "all", "layers": 2, "cell": "gru"}
    *_, by_magnitude = pruned(magnitude, MagnitudeOptions, problem, **sizes)
    names = [name for name in found if name.endswith("weight")]
    kept, expected = ([int((each[name] != 0).sum()) for name in names] for each in (found, by_magnitude))
    assert sum(kept) == sum(expected)
    assert kept == expected or given.get("scope") == "global"
    assert all(torch.equal(found[name], by_magnitude[name]) for name in found if name.endswith("bias"))


def test_a_base_that_has_read_nothing_keeps_what_is_large():
    """Zeros have no second moments: all inputs count alike, and nothing makes up for anything."""
    W, H = normal(4, 9), learner.damp_hessian(torch.zeros(9, 9, dtype=torch.float64), 0.01)
    mask = surgery.choose_masks({"": W}, {"": H}, 12, "layer")[""]
    assert torch.equal(mask, weights.choose_largest({"": W.abs()}, 12, "layer")[""])
    assert torch.allclose(surgery.solve_weights(W, H, mask), W * mask, rtol=0, atol=1e-15)


@pytest.mark.parametrize("form", ["masked", "csr"])
def test_what_has_gone_stays_away_in_fine_tuning(form):
    built, state, start = pruned(nodes=3, finetune=1, form=form, learning_rate=0.05)
    for after in tuned(built, state):
        assert int(state.parameters[NAME].count_nonzero()) == 9
        changed = [name for name, each in start.items() if not torch.equal(after[name], each)]
        assert (NAME if form == "masked" else "cells.0.recurrent.values") in changed
        assert "cells.0.recurrent.positions" not in changed
    assert built.predict(state, fit(CLASSES).valid.inputs).log_probs.isfinite().all()
    assert rows(CLASSES).inputs.shape[1:] == CLASSES.input_shape


@pytest.mark.parametrize(
    ("options", "dataset"),
    [
        ("cell=lstm,nodes=3,finetune=1,teacher=yes", "digits-rows"),
        ("cell=elman,nodes=3,layers=2,weights=all,scope=global", "digits-rows"),
        ("cell=gru,nodes=3,weights=all,scope=row", "digits-rows"),
        ("cell=gru,nodes=3,weights=all,search=blocks,block=4,form=csr", "digits-rows"),
        ("cell=elman,nodes=3,weights=all,embedding=3", "shakespeare[train=3000]"),
    ],
)
def test_it_is_what_the_reference_says(options, dataset, tmp_path):
    prepared = agree(f"obs-pruning[hidden=6,{options}]", dataset, tmp_path)["prepared"]
    assert prepared["max_relative_difference"] < 1e-8
    assert prepared["facts"] == {}


def test_options_that_fit_no_search():
    with pytest.raises(UsageError, match="scope=global: search=blocks"):
        configured(ObsOptions, {"scope": "global", "search": "blocks"}, "obs-pruning")
    with pytest.raises(UsageError, match="block=4: without effect where search=exact; leave block out, or give se"):
        configured(ObsOptions, {"block": 4}, "obs-pruning")
