"""Updates of recurrent networks: truncated back-propagation, what windows carry, the teacher, types, memory."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from compressing import CLASSES, TOKENS, network_of, prepared, trained
from plain_cells import CELLS
from tiny_problems import rows, terms, windows
from torch.nn import functional as F

from harness import Problem, Unsupported
from harness.options import build as configured
from harness_dense_rnn import learner as dense
from harness_recurrent import equations, network, room, training
from harness_recurrent.config import RecurrentOptions
from harness_spectral import SpectralOptions
from harness_spectral import learner as spectral

STREAMED = [cell for cell in CELLS if cell != "irnn"]


def begun(problem=CLASSES, precision="fp64", updates=6, **options):
    """A learner of SGD without momentum or clipping, so that one update is its gradient."""
    given = {"hidden": 8, "optimiser": "sgd", "momentum": 0.0, "learning_rate": 1.0, "clip": None, **options}
    built = dense.build(configured(RecurrentOptions, {"schedule": "constant", **given}, "dense-rnn"))
    return built, built.init(problem, terms(updates, precision), None)


def gradient_of_update(built, state, batch):
    """The gradient that an update has followed, by name, and its loss."""
    before = {name: tensor.detach().clone() for name, tensor in state.parameters.items()}
    _, scalars = built.update(state, batch)
    return {name: before[name] - tensor.detach() for name, tensor in state.parameters.items()}, scalars["loss"]


def by_equations(state, batch, carried):
    """The loss of a window and its gradient, by autograd of the plain equations from these states on."""
    leaves = {name: tensor.detach().clone().requires_grad_() for name, tensor in state.parameters.items()}
    found, left = equations.compute_logits(state.network, leaves, batch.inputs, carried)
    loss = F.cross_entropy(found, batch.targets.flatten())
    return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True)), loss, left


@pytest.mark.parametrize("cell", STREAMED)
def test_a_window_goes_on_where_the_last_one_ended_and_its_gradient_leads_no_further_back(cell):
    built, state = begun(TOKENS, cell=cell, layers=2, tied=cell == "lstm")
    carried = equations.build_start(state.network, state.parameters, 3)
    for batch in windows(TOKENS, 3, texts=3):
        expected, loss, left = by_equations(state, batch, carried)
        found, said = gradient_of_update(built, state, batch)
        assert float(said) == pytest.approx(loss.item(), rel=1e-12)
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-9, atol=1e-12)
        carried = [each.detach() for each in left]
        for mine, plain in zip(state.carried, carried, strict=True):
            assert not mine.requires_grad
            torch.testing.assert_close(mine, plain, rtol=1e-12, atol=1e-14)


def test_a_stream_that_starts_anew_starts_at_rest():
    first, second = windows(TOKENS, 2)
    _, one = begun(TOKENS, cell="gru", learning_rate=1e-30)
    _, other = begun(TOKENS, cell="gru", learning_rate=1e-30)
    training.update(one, first)
    again = training.update(one, second._replace(first=True))["loss"]
    alone = training.update(other, second)["loss"]  # whose carried state is none
    assert float(again) == float(alone)
    training.update(one, first)
    assert float(training.update(one, second)["loss"]) != float(alone)


def test_rows_carry_nothing():
    built, state = begun()
    built.update(state, rows(CLASSES))
    assert state.carried == ()


@pytest.mark.parametrize("problem", [CLASSES, TOKENS], ids=lambda problem: problem.kind)
def test_dropout_is_drawn_from_the_trials_generator_and_is_none_in_prediction(problem):
    (one, first), (other, second) = (begun(problem, cell="gru", layers=2, dropout=0.5) for _ in range(2))
    batch = rows(problem)
    torch.manual_seed(0)
    found, _ = gradient_of_update(one, first, batch)
    torch.manual_seed(1)
    again, _ = gradient_of_update(other, second, batch)
    assert all(torch.equal(found[name], again[name]) for name in found)
    undropped, _ = gradient_of_update(*begun(problem, cell="gru", layers=2), batch)
    assert not torch.equal(found["readout.weight"], undropped["readout.weight"])
    predicted = [one.predict(first, batch.inputs).log_probs for _ in range(2)]
    assert torch.equal(*predicted)


def test_dropout_keeps_the_mean_and_leaves_out_its_share():
    _, state = begun(dropout=0.25)
    kept = training._drop_numbers(state, torch.ones(200, 200, dtype=torch.float64))
    assert sorted(set(kept.flatten().tolist())) == [0.0, 1 / 0.75]
    assert float(kept.mean()) == pytest.approx(1, abs=0.02)


# --- the teacher ------------------------------------------------------------------------------------------------------


def test_the_teachers_divergence_is_kl_from_the_network_to_the_teacher():
    draw = partial(torch.randn, 2, 3, 4, dtype=torch.float64)
    logits, taught = draw(), draw()
    p, q = taught.softmax(-1), logits.softmax(-1)
    expected = (p * (p / q).log()).sum(-1).mean()
    torch.testing.assert_close(training.divergence(logits, taught), expected)
    assert float(training.divergence(taught, taught)) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("problem", [CLASSES, TOKENS], ids=lambda problem: problem.kind)
def test_with_a_teacher_an_update_follows_the_mean_of_both_losses(problem):
    given = {"nodes": 4, "teacher": True, "optimiser": "sgd", "momentum": 0.0, "learning_rate": 1.0, "clip": None}
    built, state = prepared(spectral, SpectralOptions, problem, schedule="constant", cell="gru", **given)
    taught = dict(trained(problem, cell="gru"))
    assert all(torch.equal(state.teacher[name], taught[name]) for name in taught)
    batch, net = rows(problem), state.network
    leaves = {name: tensor.detach().clone().requires_grad_() for name, tensor in state.parameters.items()}
    with torch.no_grad():
        p = equations.compute_logits(net, taught, batch.inputs, equations.build_start(net, taught, len(batch.inputs)))[
            0
        ].softmax(1)
    found, _ = equations.compute_logits(
        net, leaves, batch.inputs, equations.build_start(net, leaves, len(batch.inputs))
    )
    loss = F.cross_entropy(found, batch.targets.flatten())
    divergence = (p * (p.log() - found.log_softmax(1))).sum(1).mean()
    expected = torch.autograd.grad((loss + divergence) / 2, list(leaves.values()))
    followed, said = gradient_of_update(built, state, batch)
    assert float(said) == pytest.approx(loss.item(), rel=1e-12)
    for name, gradient in zip(leaves, expected, strict=True):
        torch.testing.assert_close(followed[name], gradient, rtol=1e-9, atol=1e-12)


def test_without_a_teacher_the_base_is_not_kept():
    _, state = prepared(spectral, SpectralOptions, nodes=4)
    assert state.teacher == {}


# --- precisions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "cell"), [*((CLASSES, cell) for cell in CELLS), *((TOKENS, cell) for cell in STREAMED)]
)
def test_in_bf16_parameters_losses_and_predictions_stay_single(problem, cell):
    found = {}
    for precision in ("fp32", "bf16"):
        built, state = begun(problem, precision, cell=cell, layers=2, learning_rate=0.1)
        batch = rows(problem, dtype=torch.float32)
        _, scalars = built.update(state, batch)
        assert scalars["loss"].dtype == torch.float32
        assert {tensor.dtype for tensor in built.save(state).values()} == {torch.float32}
        found[precision] = built.predict(state, batch.inputs).log_probs
        assert found[precision].dtype == torch.float32
    torch.testing.assert_close(found["bf16"], found["fp32"], rtol=0.05, atol=0.05)
    assert not torch.equal(found["bf16"], found["fp32"])


def test_an_unknown_precision_is_refused():
    with pytest.raises(Unsupported, match="recurrent networks compute in fp32, tf32, bf16, fp64, not fp8"):
        begun(precision="fp8")


# --- memory -----------------------------------------------------------------------------------------------------------


def test_an_update_that_has_no_room_is_said_before_anything_is_made():
    problem = Problem("classification", (1_000_000, 1), 4, 40, time_axis=True)
    with pytest.raises(
        MemoryError, match=r"an update keeps [\d,.]+ GiB at least, .* and the states of 4 rows over 1,000,000"
    ):
        begun(problem, hidden=2**24)


def test_a_batch_that_would_fit_is_named(monkeypatch):
    monkeypatch.setattr(room, "free_bytes", lambda device: 2**30)
    problem = Problem("classification", (1_000_000, 1), 4, 40, time_axis=True)
    with pytest.raises(
        MemoryError, match=r"1.0 GiB of memory are free, in which 2 rows have room; give --batch-size 2"
    ):
        begun(problem, hidden=30)
    assert begun(CLASSES, hidden=30)


LONG = Problem("classification", (1_000_000, 1), 4, 40, time_axis=True)
GIB = 2**30


def limited(memory, eager=False, device="cpu"):
    """The words with which an update of 4 rows of 465 MiB each is refused; None where it is not."""
    net = network_of(LONG, hidden=30)
    try:
        room.require_room(
            net, LONG, terms(1, "fp32", device=device, eager=eager, memory=memory), RecurrentOptions(hidden=30)
        )
    except MemoryError as error:
        return str(error)


def test_the_limit_of_a_trial_counts_where_it_is_less_than_what_is_free(monkeypatch):
    monkeypatch.setattr(room, "free_bytes", lambda device: 8 * GIB)
    monkeypatch.setattr(room, "count_held_bytes", lambda: GIB // 4)
    words = (
        "an update keeps 1.8 GiB at least, 0.0 MiB of weights and gradients and the states of 4 rows over "
        "1,000,000 steps, and 1.2 GiB are left of the 1.5 GiB that the trial may "
        "hold, in which 2 rows have room; give --batch-size 2, or more --memory"
    )
    assert limited(3 * GIB // 2) == words
    assert "0.0 MiB are left of the 100.0 MiB that the trial may hold, in which 0 rows have room; give fewer nodes" in (
        limited(100 * 2**20)
    )
    assert limited(4 * GIB) is None
    assert limited(None) is None


def test_what_is_free_counts_where_it_is_less_than_the_limit(monkeypatch):
    monkeypatch.setattr(room, "free_bytes", lambda device: GIB)
    monkeypatch.setattr(room, "count_held_bytes", lambda: 0)
    assert "1.0 GiB of memory are free, in which 2 rows have room; give --batch-size 2" in limited(20 * GIB)


def test_a_profiled_pass_has_what_the_timed_one_had(monkeypatch):
    """Memory that the allocator has kept from the timed pass counts as free."""
    monkeypatch.setattr(room, "free_bytes", lambda device: 8 * GIB)
    monkeypatch.setattr(room, "count_held_bytes", lambda: 2 * GIB)
    assert limited(3 * GIB)
    assert limited(3 * GIB, eager=True) is None


def test_the_memory_of_a_gpu_has_no_limit_of_the_host_s(monkeypatch):
    monkeypatch.setattr(room, "free_bytes", lambda device: 8 * GIB)
    assert limited(1, device="cuda") is None


def test_what_a_process_holds_grows_with_what_it_makes():
    before = room.count_held_bytes()
    kept = torch.ones(2**24)  # 64 MiB
    assert room.count_held_bytes() == 0 or room.count_held_bytes() - before > 0.9 * kept.nbytes


@pytest.mark.parametrize("problem", [CLASSES, TOKENS], ids=lambda problem: problem.kind)
@pytest.mark.parametrize("cell", CELLS)
def test_weights_are_counted_before_they_are_made(cell, problem):
    if cell == "irnn" and problem is TOKENS:
        pytest.skip("its state is not bounded on a stream")
    for tied in (False, True)[: 1 + (problem is TOKENS)]:
        given = {"hidden": 8, "layers": 3, "cell": cell, "tied": tied}
        net, options = network_of(problem, **given), configured(RecurrentOptions, given, "dense-rnn")
        made = network.draw_initial(net, options, 0)
        assert room.count_weights(net, options) == sum(
            each.numel() for name, each in made.items() if "bias" not in name
        )


def test_weights_that_have_no_room_are_refused_whatever_the_batch(monkeypatch):
    monkeypatch.setattr(room, "free_bytes", lambda device: GIB)
    net, options = network_of(CLASSES, hidden=20_000), RecurrentOptions(hidden=20_000)
    words = r"keeps 6\.0 GiB at least, 6\.0 GiB of weights and .*, in which 0 rows have room; give fewer nodes"
    with pytest.raises(MemoryError, match=words):
        room.require_room(net, CLASSES, terms(1), options)


@pytest.mark.parametrize("cell", CELLS)
def test_what_an_update_keeps_is_no_more_than_it_does_keep(cell):
    """Against what autograd saves, with the errors of one layer."""
    net = network_of(Problem("classification", (50, 3), 4, 40, time_axis=True), cell=cell, layers=2, hidden=16)
    options = configured(RecurrentOptions, {"hidden": 16, "layers": 2, "cell": cell}, "dense-rnn")
    tensors = {name: tensor.requires_grad_() for name, tensor in network.draw_initial(net, options, 0).items()}
    saved = {"errors": 6 * 50 * 16 * 8}

    def pack(tensor):
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    x = network.split_steps(net, tensors, torch.randn(6, 50, 3, dtype=torch.float64))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network.hidden_states(net, tensors, x, network.build_start(net, tensors, 6))
    assert 0.4 * sum(saved.values()) <= 6 * room.count_row_bytes(net, 50, 16) <= sum(saved.values())
