"""Intrinsic sparse structures: groups, the proximal step, the cut in mid-training, against weight by weight."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from agreeing import agree, with_reference
from compressing import CLASSES, HIDDEN, TOKENS, compressed, moved, to_numpy
from tiny_problems import fit, rows, terms, windows

from harness import UsageError
from harness_iss import IssOptions, groups, learner, reference
from harness_recurrent import reference as plainly

CELLS = ["irnn", "gru", "lstm", "mingru"]


def options(**given):
    return IssOptions(**{"hidden": HIDDEN, "nodes": 4, **given})


def trained(updates, planned=8, problem=CLASSES, **given):
    base, built, state = compressed(learner, options(**given), problem, planned)
    for _ in range(updates):
        state, _ = built.update(state, rows(CLASSES))
    return base, built, state


def widths(state):
    return state.parameters["readout.weight"].shape[1]


NETWORKS = [*({"cell": cell} for cell in CELLS), {"layers": 2}, {"cell": "gru", "layers": 3}]


@pytest.mark.parametrize("given", NETWORKS)
def test_a_group_is_all_weights_into_and_out_of_a_node(given):
    base = moved(options(**given))
    expected = reference.compute_norms(to_numpy(base))
    assert len(expected) == given.get("layers", 1)
    for layer, norms in enumerate(expected):
        assert np.allclose(groups.compute_norms(base, layer).numpy(), norms, atol=1e-12)


@pytest.mark.parametrize("given", NETWORKS)
@pytest.mark.parametrize("amount", [0.01, 2.5])
def test_the_step_is_that_of_every_group(given, amount):
    base = moved(options(**given))
    expected = reference.shrink_groups(to_numpy(base), amount)
    groups.shrink_groups(base, amount)
    assert all(np.allclose(each.numpy(), expected[name], rtol=0, atol=1e-12) for name, each in base.items())


@pytest.mark.parametrize("cell", ["irnn", "gru"])
def test_a_small_step_goes_down_the_gradient_of_the_penalty(cell):
    base = moved(options(cell=cell, layers=2))
    leaves = {name: each.clone().requires_grad_() for name, each in base.items()}
    sum(groups.compute_norms(leaves, layer).sum() for layer in range(2)).backward()
    before, amount = {name: each.clone() for name, each in base.items()}, 1e-6
    groups.shrink_groups(base, amount)
    for name, leaf in leaves.items():
        gradient = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        assert torch.allclose((before[name] - base[name]) / amount, gradient, rtol=0, atol=1e-5), name


def test_a_group_that_is_gone_stays_gone():
    base = moved(options())
    groups.shrink_groups(base, 100.0)
    groups.shrink_groups(base, 0.1)
    assert groups.compute_norms(base, 0).tolist() == [0.0] * HIDDEN
    assert base["readout.bias"].abs().min() > 0


@pytest.mark.parametrize(
    ("given", "dataset"),
    [
        ("cell=irnn,layers=2", "digits-rows"),
        ("cell=gru,parameters=400,covariance=last-step", "digits-rows"),
        ("cell=elman,reconstruct=no,penalty=0.7,sparse=0.2", "digits-rows"),
        ("cell=mingru,lam=0.01,layers=2", "digits-rows"),
        ("tied=yes", "shakespeare[train=600,window=8]"),
    ],
)
def test_it_agrees_with_its_reference(given, dataset, tmp_path):
    size = "" if "parameters" in given else "nodes=4,"
    prepared = agree(f"iss[hidden=9,{size}{given}]", dataset, tmp_path)["prepared"]
    assert prepared["max_relative_difference"] < 1e-6
    assert prepared["facts"] == {}


def test_a_reference_that_keeps_other_nodes_is_told(monkeypatch, tmp_path):
    def smallest(plain, options):
        sizes = reference.compute_norms(to_numpy(plain.tensors))
        return plainly.compress_nodes(plain, options, lambda layer, _: plainly.find_highest(-sizes[layer], plain.nodes))

    monkeypatch.setattr(reference, "compress", smallest)
    prepared = with_reference("iss[hidden=9,nodes=4]", "digits-rows", tmp_path)["float64"]["prepared"]
    assert prepared["max_relative_difference"] > 0.1
    assert "nodes" in prepared["facts"]


def test_a_reference_with_another_weight_of_the_penalty_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(reference, "compute_lambda", lambda weights, penalty, rates: penalty / sum(rates))
    prepared = with_reference("iss[hidden=9,nodes=4]", "digits-rows", tmp_path)["float64"]["prepared"]
    assert list(prepared["facts"]) == ["penalty_weight"]


@pytest.mark.parametrize("given", [{}, {"layers": 2, "teacher": True}, {"cell": "gru", "reconstruct": False}])
def test_training_with_its_cut_is_that_of_the_reference(given):
    config = options(**given)
    base = moved(config)
    built = learner.build(config)
    mine, plain = (built.init(CLASSES, terms(8), base) for _ in range(2))
    mine, plain = built.prepare(mine, fit(CLASSES)), built.reference_prepare(plain, fit(CLASSES))
    for update in range(8):
        assert widths(mine) == widths(plain) == (10 if update <= 4 else 4)
        mine, plain = built.update(mine, rows(CLASSES))[0], built.reference(plain, rows(CLASSES))[0]
        for name, each in plain.parameters.items():
            assert torch.allclose(mine.parameters[name], each, rtol=0, atol=1e-8), (update, name)


@pytest.mark.parametrize(("sparse", "first"), [(0.5, 4), (0.25, 2), (1.0, 8)])
def test_nodes_are_cut_after_their_share_of_updates(sparse, first):
    _, built, state = compressed(learner, options(sparse=sparse), updates=8)
    for update in range(8):
        assert widths(state) == (10 if update <= first else 4)
        state, _ = built.update(state, rows(CLASSES))
    state = built.finish(state, fit(CLASSES))
    assert widths(state) == 4
    said = built.describe(state)
    assert (said["hidden"], said["sparse_updates"], len(said["nodes"])) == (4, first, 4)


def test_the_largest_groups_stay_rewritten_as_any_choice_of_nodes_is():
    _, built, whole = trained(4, reconstruct=False)
    weights = to_numpy(whole.parameters)
    nodes = sorted(np.argsort(-reference.compute_norms(weights)[0])[:4].tolist())
    state = built.finish(whole, fit(CLASSES))
    assert built.describe(state)["nodes"] == nodes
    assert np.array_equal(
        state.parameters["cells.0.recurrent.weight"].detach().numpy(),
        weights["cells.0.recurrent.weight"][nodes][:, nodes],
    )


@pytest.mark.parametrize("reconstruct", [True, False])
def test_predictions_are_of_what_would_be_cut(reconstruct):
    _, built, whole = trained(3, reconstruct=reconstruct)
    inputs = rows(CLASSES).inputs
    early = built.predict(whole, inputs).log_probs
    assert built.describe(whole)["hidden"] == 4
    assert torch.equal(early, built.predict(built.finish(whole, fit(CLASSES)), inputs).log_probs)
    assert widths(whole) == 10


def test_a_larger_penalty_leaves_smaller_groups():
    sizes = [groups.compute_norms(trained(4, penalty=penalty)[2].parameters, 0).sum() for penalty in (0.0, 0.2, 0.8)]
    assert sizes[0] > sizes[1] > sizes[2]


@pytest.mark.parametrize("schedule", ["one-cycle", "constant"])
@pytest.mark.parametrize("planned", [8, 40])
def test_the_penalty_is_the_share_that_is_taken_in_all(planned, schedule):
    _, built, state = compressed(learner, options(penalty=0.3, schedule=schedule), updates=planned)
    before, taken = groups.compute_norms(state.parameters, 0).mean(), 0.0
    for _ in range(planned // 2):
        state, _ = built.update(state, rows(CLASSES))
        taken += state.optimiser.param_groups[0]["lr"] * state.weight
    assert taken == pytest.approx(0.3 * float(before.detach()))


def test_a_penalty_that_leaves_nothing_is_told():
    _, built, state = trained(6, penalty=50.0, schedule="constant")
    assert built.describe(state)["vanished"] == HIDDEN


def test_without_a_penalty_it_is_plain_training_until_the_cut():
    _, built, state = compressed(learner, options(penalty=0.0, sparse=1.0, layers=2), updates=8)
    tuned = {name: each.detach().clone().requires_grad_() for name, each in state.parameters.items()}
    state, _ = built.update(state, rows(CLASSES))
    moved = [float((state.parameters[name] - each).detach().abs().max()) for name, each in tuned.items()]
    rate = state.optimiser.param_groups[0]["lr"]
    assert all(each == pytest.approx(rate, rel=1e-3) for each in moved)  # Adam's first step


def test_the_schedule_goes_on_over_the_cut():
    _, built, state = compressed(learner, options(schedule="cosine"), updates=8)
    rates = []
    for _ in range(8):
        state, _ = built.update(state, rows(CLASSES))
        rates.append(state.optimiser.param_groups[0]["lr"])
    assert state.updates == 8
    assert all(later < earlier for earlier, later in pairwise(rates))
    assert rates[4] == pytest.approx(rates[0] / 2)


@pytest.mark.parametrize("teacher", [False, True])
def test_a_base_stays_as_it_is(teacher):
    base = moved(options())
    before = {name: each.clone() for name, each in base.items()}
    _, built, state = compressed(learner, options(teacher=teacher), updates=8, base=base)
    for _ in range(6):
        state, _ = built.update(state, rows(CLASSES))
    assert all(torch.equal(base[name], each) for name, each in before.items())
    assert bool(state.teacher) == teacher
    assert widths(state) == 4


@pytest.mark.parametrize("given", [{}, {"tied": True}, {"layers": 2}, {"teacher": True}, {"dropout": 0.2}])
def test_a_stream_is_cut_between_its_windows(given):
    _, built, state = compressed(learner, options(**given), TOKENS, updates=8)
    for batch in windows(TOKENS, 8):
        state, scalars = built.update(state, batch)
        assert torch.isfinite(scalars["loss"])
    assert widths(state) == 4


def test_under_a_budget_of_seconds_the_cut_is_last():
    _, built, state = trained(5, planned=None)
    assert widths(state) == 10
    assert widths(built.finish(state, fit(CLASSES))) == 4


def test_no_training_is_refused_with_what_to_do():
    with pytest.raises(UsageError, match=r"finetune=0: .* give it epochs, or take node-pruning"):
        options(finetune=0)
