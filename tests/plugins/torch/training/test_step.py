"""One update of a tiny learner that stands on the kit: its parts, what it carries, what a graph of it replays."""

import math

import pytest
import torch
import torch.nn.functional as F
from tiny_learner import batch, started

from harness import Training
from harness_torch.training import step
from harness_torch.training.graphs import WARMUP_UPDATES, Replay
from harness_torch.training.optimiser import Group
from harness_torch.training.options import OptimiserOptions

ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.parametrize("size", [None, 1, 5, 12, 40])
def test_parts_hold_every_row_once_and_their_shares_are_all(size):
    rows = torch.arange(12)
    found = list(step.parts([rows, 2 * rows], size))
    assert torch.equal(torch.cat([part[0] for part, _ in found]), rows)
    assert all(torch.equal(part[1], 2 * part[0]) for part, _ in found)
    assert [share for _, share in found] == [len(part[0]) / 12 for part, _ in found]
    assert math.fsum(share for _, share in found) == pytest.approx(1.0, rel=1e-15)
    assert all(len(part[0]) <= (size or 12) for part, _ in found)


def test_rows_may_lie_on_another_axis_than_lanes():
    lanes = torch.arange(24).view(2, 12)
    found = list(step.parts([lanes], 5, axis=1))
    assert [part[0].shape for part, _ in found] == [(2, 5), (2, 5), (2, 2)]
    assert torch.equal(torch.cat([part[0] for part, _ in found], dim=1), lanes)
    assert [share for _, share in found] == [5 / 12, 5 / 12, 2 / 12]


@pytest.mark.parametrize("size", [None, 1, 5])
def test_gradients_of_parts_are_those_of_the_whole_mini_batch(size):
    learner, state = started(micro_batch=size, learning_rate=1e-30)
    rows = batch()
    _, scalars = learner.update(state, rows)
    weights = [tensor.detach().requires_grad_() for tensor in state.parameters.values()]
    loss = F.cross_entropy((rows.inputs @ weights[0].T).tanh() @ weights[1].T, rows.targets)
    expected = torch.autograd.grad(loss, weights)
    assert float(scalars["loss"]) == pytest.approx(loss.item(), rel=1e-12)
    for tensor, gradient in zip(state.parameters.values(), expected, strict=True):
        torch.testing.assert_close(tensor.grad, gradient, rtol=1e-12, atol=1e-15)


def test_an_update_is_the_schedules_rate_times_the_clipped_gradient():
    learner, state = started(updates=4, learning_rate=0.5, momentum=0.0, clip=0.01)
    for done in range(4):
        before = {name: tensor.detach().clone() for name, tensor in state.parameters.items()}
        learner.update(state, batch(seed=done))
        moved = torch.cat([(before[name] - tensor.detach()).flatten() for name, tensor in state.parameters.items()])
        rate = 0.5 * (1 + math.cos(math.pi * done / 4)) / 2
        assert float(moved.norm()) == pytest.approx(rate * 0.01, rel=1e-3)
    assert state.updates == 4


def test_scalars_come_back_by_name():
    learner, state = started()
    _, scalars = learner.update(state, batch())
    assert set(scalars) == {"loss", "rows"}
    assert float(scalars["rows"]) == 12
    assert not scalars["loss"].requires_grad


def test_groups_have_rates_of_their_own():
    weights = {"a": torch.ones(2, requires_grad=True), "b": torch.ones(2, requires_grad=True)}
    options = OptimiserOptions(learning_rate=0.5, momentum=0.0)
    groups = [Group([weights["a"]]), Group([weights["b"]], 0.1)]
    state = step.begin(step.State, weights, Training(0, "cpu", "fp32", 1, None), options, groups=groups)

    def learn(x):
        (x * (weights["a"] + weights["b"])).sum().backward()
        step.descend(state)
        return {}

    assert step.update(state, learn, [torch.ones(2)]) == {}
    assert weights["a"].tolist() == pytest.approx([0.5, 0.5])
    assert weights["b"].tolist() == pytest.approx([0.95, 0.95])


class Recurrent:
    """h' = tanh(w h + x), trained to say x: truncated backpropagation through time, whose h goes from call to call."""

    def __init__(self, device="cpu", eager=False):
        weights = {"w": torch.tensor(0.5, dtype=torch.float64, device=device, requires_grad=True)}
        options = OptimiserOptions(learning_rate=0.1, schedule="constant", clip=1.0)
        self.state = step.begin(step.State, weights, Training(0, device, "fp64", 4, None, eager), options)
        self.hidden = [torch.zeros(4, dtype=torch.float64, device=device)]

    def learn(self, window, hidden):
        self.state.optimiser.zero_grad()
        losses = []
        for x in window:
            hidden = (self.state.parameters["w"] * hidden + x).tanh()
            losses.append((hidden - x).square().mean())
        loss = torch.stack(losses).mean()
        loss.backward()
        step.descend(self.state)
        return {"loss": loss.detach()}, [hidden.detach()]

    def update(self, window):
        scalars, self.hidden = step.update_carrying(self.state, self.learn, [window], self.hidden)
        return float(scalars["loss"])


def windows(count, device="cpu"):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, 4, generator=generator, dtype=torch.float64).to(device)


def test_what_an_update_carries_reaches_the_next_one():
    learner = Recurrent()
    found = [learner.update(window) for window in windows(3)]
    w, hidden, buffer, expected = torch.tensor(0.5, dtype=torch.float64), torch.zeros(4, dtype=torch.float64), 0.0, []
    for window in windows(3):
        leaf, losses = w.clone().requires_grad_(), []
        for x in window:
            hidden = (leaf * hidden + x).tanh()
            losses.append((hidden - x).square().mean())
        loss = sum(losses) / 3
        (gradient,) = torch.autograd.grad(loss, leaf)
        buffer = 0.9 * buffer + gradient.clamp(-1, 1)
        w, hidden = w - 0.1 * buffer, hidden.detach()
        expected.append(float(loss))
    assert found == pytest.approx(expected, rel=1e-9)
    assert float(learner.state.parameters["w"]) == pytest.approx(float(w), rel=1e-9)


def test_a_sequence_that_starts_anew_carries_what_it_is_given():
    twice = Recurrent()
    twice.update(windows(1)[0])
    twice.state.parameters["w"].data.fill_(0.5)
    twice.hidden = [torch.zeros(4, dtype=torch.float64)]
    assert twice.update(windows(1)[0]) == Recurrent().update(windows(1)[0])


def test_without_a_gpu_nothing_is_captured():
    learner, state = started()
    for number in range(WARMUP_UPDATES + 2):
        learner.update(state, batch(seed=number))
    assert not learner.describe(state)["captured"]
    replay = Replay(state.optimiser, captures=False)
    assert replay(lambda x, h: ({"twice": 2 * x}, [h + 1]), [torch.ones(1)], [torch.ones(1)]) == (
        {"twice": torch.full((1,), 2.0)},
        [torch.full((1,), 2.0)],
    )


@pytest.mark.gpu
@ON_GPU
@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_a_captured_update_learns_what_a_plain_one_learns(optimiser):
    losses, weights = [], []
    for eager in (True, False):
        learner, state = started(8, "cuda", eager, optimiser=optimiser, micro_batch=5, clip=0.5, schedule="one-cycle")
        found = [learner.update(state, batch(seed=number, device="cuda"))[1] for number in range(8)]
        assert learner.describe(state)["captured"] != eager
        assert {float(scalars["rows"]) for scalars in found} == {12.0}
        losses.append([float(scalars["loss"]) for scalars in found])
        weights.append(list(state.parameters.values()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    for one, other in zip(*weights, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.gpu
@ON_GPU
def test_a_captured_update_draws_anew_from_its_generator():
    learner, state = started(None, "cuda", drop=0.5, learning_rate=1e-30)
    losses = [float(learner.update(state, batch(device="cuda"))[1]["loss"]) for _ in range(10)]
    assert learner.describe(state)["captured"]
    assert len(set(losses[WARMUP_UPDATES:])) == 10 - WARMUP_UPDATES


@pytest.mark.gpu
@ON_GPU
def test_a_captured_update_carries_what_a_plain_one_carries():
    plain, captured = Recurrent("cuda", eager=True), Recurrent("cuda")
    for number, window in enumerate(windows(8, "cuda")):
        if number == 6:  # another text begins
            for each in (plain, captured):
                each.hidden = [torch.zeros(4, dtype=torch.float64, device="cuda")]
        assert captured.update(window) == pytest.approx(plain.update(window), rel=1e-9)
        torch.testing.assert_close(captured.hidden[0], plain.hidden[0])
    assert captured.state.replay.captured
