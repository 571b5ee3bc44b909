"""Dropped neurons: one mask for all steps of a mini-batch, on what the next layer sees, the same for all methods."""

import pytest
import torch
from spiking_methods import IN_CHUNKS, METHODS, assert_as_written, learner_of, prepared
from spiking_setups import SETUPS, batch, lif_of, plainly, problem, start, step_gradients
from tiny_problems import largest_difference

from harness_spiking import learner as learners
from harness_spiking import passes
from harness_spiking.spikes import recorded

P = 0.4


def drawn(state, rows=6, seed=0, times=1):
    """The masks of the last of so many mini-batches, from a generator that starts as the state's own."""
    generator = torch.Generator().manual_seed(seed)
    return [passes.draw_masks(state.network, rows, generator) for _ in range(times)][-1]


@pytest.fixture
def noted(monkeypatch):
    """The masks of every update."""
    seen = []

    def noting(*arguments):
        seen.append(passes.draw_masks(*arguments))
        return seen[-1]

    monkeypatch.setattr(learners, "draw_masks", noting)
    return seen


@pytest.mark.sampled
@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("network", ["mlp", "conv", "gap", "residual", "residual-pooled"])
@pytest.mark.parametrize("method", METHODS)
def test_gradients_are_the_references_under_the_same_masks(method, network, varying):
    assert_as_written(method, network, varying, dropout=P)


@pytest.mark.parametrize("method", IN_CHUNKS)
def test_in_the_theorys_convention_in_chunks(method):
    assert_as_written(method, "conv", True, "theory", dropout=P, chunk=4)


@pytest.mark.parametrize("options", [{"reset": "hard"}, {"detach_reset": False}])
def test_bptt_under_the_same_masks_with_other_resets(options):
    assert_as_written("bptt", dropout=P, **options)


def test_saf_fires_as_a_lif_network_under_the_same_masks():
    learner, state = prepared("saf", dropout=P)
    rows = batch("conv")
    spikes, _ = lif_of(state, rows)
    with recorded(state.network) as found:
        learner.update(state, rows)
    assert found.by_layer().keys() == spikes.keys()
    assert all(torch.equal(mine, spikes[layer]) for layer, mine in found.by_layer().items())


def test_what_the_reference_drops_is_what_the_next_layer_sees():
    _, state = prepared("saf", "mlp", dropout=P)
    net, masks = plainly(state, batch("mlp")), drawn(state)
    fired = torch.ones(6, 24, dtype=torch.float64)
    assert all(torch.equal(*pair) for pair in zip(net.masks, masks, strict=True))
    assert torch.equal(net.sent(0, fired), 2.74 * masks[0])


@pytest.mark.parametrize("convention", ["official", "theory"])
def test_what_feedback_returns_is_what_the_next_layer_sees(convention):
    found, fired = [], []
    for method in ("saf", "ottt"):
        learner, state = prepared(method, "gap", dropout=P, feedback=True, convention=convention)
        with torch.no_grad():
            state.network.parameters["feedback.weight"].normal_(0, 0.1, generator=torch.Generator().manual_seed(3))
        with recorded(state.network) as spikes:
            found += step_gradients(learner, state, batch("gap"))
        fired.append(spikes.by_layer())
    assert all(torch.equal(fired[0][name], fired[1][name]) for name in fired[0])
    assert largest_difference(*found) < 1e-12


def test_a_mask_is_zero_or_keeps_the_mean():
    _, state = prepared("saf", dropout=P)
    masks = drawn(state, rows=2000)
    assert [mask.shape[1:] for mask in masks] == [layer.map for layer in state.network.architecture.layers]
    for mask in masks:
        assert set(mask.unique().tolist()) == {0.0, 1 / (1 - P)}
        assert mask.mean().item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("method", METHODS)
def test_every_mini_batch_has_one_draw_of_its_own(noted, method):
    learner, state = prepared(method, dropout=P)
    for _ in range(3):
        learner.update(state, batch("conv"))
    assert len(noted) == 3
    assert all(torch.equal(*pair) for pair in zip(noted[2], drawn(state, times=3), strict=True))
    assert not torch.equal(noted[0][0], noted[1][0])
    assert not torch.equal(noted[0][0][0], noted[0][0][1])  # and every row its own


def test_the_seed_decides_the_masks_of_all_methods(noted):
    for seed in (5, 6):
        for method in METHODS:
            learner, state = prepared(method, dropout=P, seed=seed)
            learner.update(state, batch("conv"))
    first, second = noted[: len(METHODS)], noted[len(METHODS) :]
    for masks in first[1:]:
        assert all(torch.equal(*pair) for pair in zip(first[0], masks, strict=True))
    assert not torch.equal(first[0][0], second[0][0])


@pytest.mark.parametrize("method", METHODS)
def test_predictions_drop_nothing(method):
    (learner, whole), (_, dropping) = (prepared(method, dropout=dropout) for dropout in (None, P))
    for view in (learner.predict, *getattr(learner, "views", {}).values()):
        assert torch.equal(*(view(state, batch("conv").inputs).log_probs for state in (whole, dropping)))


def test_dropout_of_nothing_is_no_dropout(noted):
    for dropout in (None, 0.0):
        learner, state = prepared("saf", dropout=dropout)
        learner.update(state, batch("conv"))
    assert noted == [(), ()]


@pytest.mark.parametrize("method", METHODS)
def test_it_learns_with_dropout(method):
    options = {"steps": 3, "learning_rate": 0.05, "dropout": 0.1}
    learner = learner_of(method, architecture=SETUPS["conv"][0], **options)
    state, rows = start(learner, problem("conv")), batch("conv")
    losses = [learner.update(state, rows)[1]["loss"].item() for _ in range(20)]
    assert sum(losses[-5:]) < sum(losses[:5]) / 2
