"""Magnitude pruning against sorting by hand: which weights stay, how many, when they go, and what is deployed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from agreeing import agree
from compressing import CLASSES, TOKENS, before_steps, network_of, prepared, states_of, trained, tuned
from tiny_problems import fit, rows, terms

from harness import Unsupported, UsageError
from harness.options import build as configured
from harness_magnitude import MagnitudeOptions, learner, reference
from harness_recurrent import network

CELLS = ("irnn", "elman", "gru", "lstm")
ALL = ("cells.0.recurrent.weight", "cells.0.input.weight", "readout.weight")


def pruned(problem=CLASSES, **given):
    built, state = prepared(learner, MagnitudeOptions, problem, **given)
    return built, state, saved(built, state)


def saved(built, state):
    return {name: tensor.clone() for name, tensor in built.save(state).items()}


def left(tensors, names=ALL):
    return sum(int(tensors[name].count_nonzero()) for name in names)


@pytest.mark.parametrize("cell", CELLS)
def test_as_many_recurrent_weights_stay_as_the_smaller_layer_has(cell):
    base, (_, state, found) = trained(cell=cell), pruned(cell=cell, nodes=3)
    gates = len(base["cells.0.recurrent.weight"]) // 8
    assert left(found, ALL[:1]) == gates * 3 * 3 == state.said["kept_weights"]
    assert all(torch.equal(found[name], base[name]) for name in base if name != ALL[0])
    (mask,) = reference.choose_masks([reference.score_weights(base[ALL[0]].numpy())], [gates * 9])
    assert np.array_equal(found[ALL[0]], base[ALL[0]].numpy() * mask)


def test_all_maps_as_one_list():
    base, (*_, found) = trained(), pruned(nodes=3, weights="all", scope="global")
    total = 9 + 3 * 3 + 4 * 3  # recurrent, of 3 inputs, of 4 classes
    masks = reference.choose_masks([reference.score_weights(base[name].numpy()) for name in ALL], [total])
    assert left(found) == total
    for name, mask in zip(ALL, masks, strict=True):
        assert np.array_equal(found[name], base[name].numpy() * mask)


def test_each_map_keeps_the_same_share():
    *_, found = pruned(nodes=4, weights="all")
    total, whole = 4 * 4 + 4 * 3 + 4 * 4, 64 + 24 + 32
    shares = {name: left(found, [name]) / found[name].numel() for name in ALL}
    assert left(found) == total
    assert all(abs(share - total / whole) < 1 / 24 for share in shares.values())


def test_each_row_keeps_the_same_share():
    """As in Wanda; what does not come out even goes to the first rows."""
    *_, found = pruned(nodes=5, scope="row", score="wanda")
    assert (found[ALL[0]] != 0).sum(1).tolist() == [4, 3, 3, 3, 3, 3, 3, 3]


@pytest.mark.parametrize("scope", ["row", "layer", "global"])
@pytest.mark.parametrize("given", [{"weights": "all", "parameters": 40}, {"parameters": 80}])
def test_parameters_are_all_that_is_not_zero(given, scope):
    base, (*_, found) = trained(), pruned(scope=scope, **given)
    assert left(found, found) == given["parameters"] - int((base["readout.bias"] == 0).sum())


def test_more_parameters_than_there_are_keep_all():
    *_, found = pruned(parameters=10**6)
    assert all(torch.equal(found[name], each) for name, each in trained().items())


def test_fewer_parameters_than_what_stays_are_refused():
    with pytest.raises(Unsupported, match=r"parameters=60: 68 are not among the weights=recurrent.*at least 69, or"):
        pruned(parameters=60)


def test_a_cell_without_recurrent_weights_is_refused():
    with pytest.raises(UsageError, match="cell=mingru has no recurrent weights; give weights=all"):
        pruned(cell="mingru", nodes=3)
    *_, found = pruned(cell="mingru", nodes=3, weights="all")
    assert left(found, ALL[1:]) == 2 * 3 * 3 + 4 * 3


@pytest.mark.parametrize("problem", [CLASSES, TOKENS], ids=["classes", "tokens"])
def test_scores_by_what_is_read(problem):
    """Recurrent weights read the states before each step, the layer above those below, the readout what it reads."""
    options = {"cell": "gru", "layers": 2}
    base, (*_, found) = trained(problem, **options), pruned(problem, nodes=3, weights="all", score="wanda", **options)
    read = what_is_read(problem, **options)
    scored = {name: reference.score_weights(base[name].numpy(), rows) for name, rows in read.items()}
    for name, scores in scored.items():
        (mask,) = reference.choose_masks([scores], [left(found, [name])])
        assert np.array_equal(found[name], base[name].numpy() * mask), name


def what_is_read(problem, **options):
    x, (below, above) = states_of_streams(**options) if problem is TOKENS else states_of(**options)

    def flat(each):
        return each.flatten(0, -2).numpy()

    def before(h):  # of streams the last state is as good as the first
        return flat(h) if problem is TOKENS else before_steps(h)

    return {
        "cells.0.recurrent.weight": before(below),
        "cells.1.recurrent.weight": before(above),
        "cells.0.input.weight": flat(x),
        "cells.1.input.weight": flat(below),
        "readout.weight": flat(above) if problem is TOKENS else above[-1].numpy(),
    }


def states_of_streams(**options):
    """The stream as training lays it out: 4 rows that are read side by side."""
    net, tensors = network_of(TOKENS, **options), trained(TOKENS, **options)
    x = network.split_steps(net, tensors, fit(TOKENS).train.inputs.reshape(4, -1))
    return x, network.hidden_states(net, tensors, x, network.build_start(net, tensors, 4))[0]


@pytest.mark.parametrize(
    ("options", "dataset"),
    [
        ("cell=lstm,nodes=3,layers=2,weights=all,finetune=1,teacher=yes", "digits-rows"),
        ("cell=gru,nodes=3,layers=2,weights=all,scope=global,score=wanda", "digits-rows"),
        ("cell=lstm,nodes=3,weights=all,scope=row,score=wanda", "digits-rows"),
        ("cell=elman,parameters=200,weights=all,form=csr", "digits-rows"),
        ("nodes=3,finetune=1,gradual=yes,interval=1,weights=all", "digits-rows"),
        ("cell=gru,nodes=3,layers=2,weights=all,score=wanda,tied=yes,finetune=1", "shakespeare[train=3000]"),
    ],
)
def test_it_is_what_the_reference_says(options, dataset, tmp_path):
    prepared = agree(f"magnitude-pruning[hidden=9,{options}]", dataset, tmp_path)["prepared"]
    assert prepared["max_relative_difference"] < 1e-8
    assert prepared["facts"] == {}


# --- fine-tuning ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_what_has_gone_stays_zero(optimiser):
    built, state, start = pruned(nodes=3, finetune=1, optimiser=optimiser, weights="all", learning_rate=0.05)
    for after in tuned(built, state):
        for name in ALL:
            assert torch.equal(after[name] != 0, start[name] != 0)
            assert not torch.equal(after[name], start[name])


def test_weights_go_gradually():
    given = {"nodes": 3, "finetune": 1, "gradual": True, "ramp": 0.8, "interval": 2}
    built, state = prepared(learner, MagnitudeOptions, updates=10, **given)
    masks = [state.constants["cells.0.recurrent.mask"].sum().item()]
    for update in range(10):
        state, _ = built.update(state, rows(CLASSES, seed=update))
        assert torch.equal(state.parameters[ALL[0]] != 0, state.constants["cells.0.recurrent.mask"])
        assert left(built.save(state), ALL[:1]) == 9  # whatever point is the best, it is of this size
        masks.append(state.constants["cells.0.recurrent.mask"].sum().item())
    expected = [reference.count_left(2 * (update // 2), 8, 64, 9) for update in range(11)]
    assert masks == expected


@pytest.mark.parametrize(("updates", "interval"), [(1, 10), (3, 2), (7, 10)])
def test_all_have_gone_at_the_end(updates, interval):
    given = {"nodes": 3, "finetune": 1, "gradual": True, "ramp": 1.0, "interval": interval}
    built, state = prepared(learner, MagnitudeOptions, updates=updates, **given)
    tuned(built, state, updates=updates)
    assert state.constants["cells.0.recurrent.mask"].sum() == 9


def test_without_a_plan_all_go_at_the_first_interval():
    built = learner.build(MagnitudeOptions(hidden=8, nodes=3, finetune=1, gradual=True, interval=3))
    state = built.prepare(built.init(CLASSES, terms(), trained()), fit(CLASSES))
    masks = []
    for update in range(4):
        state, _ = built.update(state, rows(CLASSES, seed=update))
        masks.append(int(state.constants["cells.0.recurrent.mask"].sum()))
    assert masks == [64, 64, 9, 9]


def test_what_is_gradual_has_to_be_trained_on():
    with pytest.raises(UsageError, match="give finetune=1 or more"):
        configured(MagnitudeOptions, {"gradual": True}, "magnitude-pruning")
    with pytest.raises(UsageError, match="score=wanda is of what the base has read"):
        configured(MagnitudeOptions, {"gradual": True, "finetune": 1, "score": "wanda"}, "magnitude-pruning")
    with pytest.raises(UsageError, match=r"ramp=0\.1: without effect where gradual=False; leave ramp out"):
        configured(MagnitudeOptions, {"ramp": 0.1}, "magnitude-pruning")


# --- what is deployed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("problem", [CLASSES, TOKENS], ids=["classes", "tokens"])
@pytest.mark.parametrize("cell", ["gru", "lstm", "elman"])
def test_sparse_rows_predict_what_zeros_do(cell, problem, layers):
    given = {"cell": cell, "layers": layers, "nodes": 3, "weights": "all", "finetune": 1}
    inputs = fit(problem).valid.inputs[:5]
    predictions, found = [], []
    for form in ("masked", "csr"):
        built, state = prepared(learner, MagnitudeOptions, problem, form=form, **given)
        tuned(built, state, problem, 2)
        predictions.append(built.predict(state, inputs))
        found.append(saved(built, state))
        assert built.describe(state)["form"] == form
    for masked, sparse in zip(*predictions, strict=True):
        assert torch.allclose(masked, sparse, atol=1e-6 if masked.dtype == torch.float32 else 1e-12)
    masked, sparse = found
    assert all(each.numel() == (each != 0).sum() for name, each in sparse.items() if name.endswith("values"))
    whole = sum(each.numel() for name, each in masked.items() if name not in removable(masked))
    assert built.describe(state)["parameters"] == whole + left(masked, removable(masked))
    assert not any(name.endswith("mask") for name in (*masked, *sparse))


def removable(tensors):
    return [name for name in tensors if name.endswith("weight") and not name.startswith("embedding")]


def test_a_tied_readout_stays_whole():
    *_, found = pruned(TOKENS, nodes=3, weights="all", tied=True)
    base = trained(TOKENS, tied=True)
    assert torch.equal(found["embedding.weight"], base["embedding.weight"])


def test_what_is_deployed_follows_the_weights():
    """It is made once for weights that stay as they are, and made anew when they move, however they do."""
    built, state, before = pruned(nodes=3, finetune=1, form="csr")
    tuned(built, state, updates=1)
    after = saved(built, state)
    assert not torch.equal(after["cells.0.recurrent.values"], before["cells.0.recurrent.values"])
    with torch.no_grad():
        state.parameters["cells.0.recurrent.weight"].mul_(2)
    twice = built.save(state)
    assert torch.equal(twice["cells.0.recurrent.values"], 2 * after["cells.0.recurrent.values"])
