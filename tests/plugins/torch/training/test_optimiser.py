"""Learning rates over a budget, of groups and of lanes, and clipping: against torch's own and against formulas."""

import math

import pytest
import torch
from tiny_learner import batch, started
from torch.utils._python_dispatch import TorchDispatchMode

from harness import UsageError
from harness.options import build as configured
from harness_torch.training.optimiser import Group, clip, make, set_rate, share_of_rate
from harness_torch.training.options import OptimiserOptions, ScheduleOptions

CHOICES = [
    {"optimiser": "sgd"},
    {"optimiser": "sgd", "momentum": 0.0},
    {"optimiser": "sgd", "weight_decay": 0.1},
    {"optimiser": "adam"},
    {"optimiser": "adam", "weight_decay": 0.1},
]


def options(**given):
    return OptimiserOptions(**{"learning_rate": 0.1, **given})


def shares(planned, count, **given):
    return [share_of_rate(options(**given), done, planned) for done in range(count)]


@pytest.mark.parametrize("final", [0.0, 0.2])
def test_a_cosine_is_torchs_own(final):
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=10, eta_min=final)
    for share in shares(10, 11, final_rate=final):
        assert share == pytest.approx(schedule.get_last_lr()[0], abs=1e-12)
        optimiser.step()
        schedule.step()


@pytest.mark.parametrize("final", [0.0, 0.01])
def test_one_cycle_is_torchs_own(final):
    """Torch counts updates from one: of 21 the climb ends behind the seventh, which is our 0.3 of 20."""
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        max_lr=1.0,
        total_steps=21,
        pct_start=7 / 21,
        cycle_momentum=False,
        final_div_factor=1 / (25 * final) if final else math.inf,
    )
    for share in shares(20, 21, schedule="one-cycle", final_rate=final):
        assert share == pytest.approx(schedule.get_last_lr()[0], abs=1e-12)
        optimiser.step()
        if schedule.last_epoch < 20:
            schedule.step()


def test_stairs_are_those_of_the_small_lstm_of_ptb():
    """Zaremba et al. (arXiv 1409.2329): the rate of epoch i, from 0, is 0.5^max(i + 1 - 4, 0), of 13 epochs."""
    per_epoch = 7
    expected = [0.5 ** max(epoch + 1 - 4, 0) for epoch in range(13) for _ in range(per_epoch)]
    assert shares(13 * per_epoch, 13 * per_epoch, schedule="stairs") == expected
    assert shares(13 * per_epoch, 13 * per_epoch + 3, schedule="stairs")[-3:] == [0.5**9] * 3  # beyond the plan


def test_stairs_divide_any_number_of_updates_alike():
    found = shares(10, 10, schedule="stairs", stairs=4, stay=1, decay=0.1)
    assert found == pytest.approx([1.0] * 3 + [0.1] * 2 + [0.01] * 3 + [0.001] * 2)
    assert shares(3, 3, schedule="stairs", stairs=6, stay=1) == [1.0, 0.25, 0.0625]  # fewer updates than stairs
    assert shares(5, 5, schedule="stairs", stairs=2, stay=9) == [1.0] * 5


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle", "constant", "stairs"])
@pytest.mark.parametrize("planned", [None, 0])
def test_without_a_plan_the_rate_stays(schedule, planned):
    assert shares(planned, 3, schedule=schedule) == [1.0] * 3


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle"])
def test_beyond_the_plan_the_rate_stays_at_its_last_value(schedule):
    assert shares(4, 9, schedule=schedule, final_rate=0.25)[4:] == [0.25] * 5


def test_a_constant_rate_is_constant_over_a_plan():
    assert shares(4, 6, schedule="constant") == [1.0] * 6


def test_what_does_not_go_together_is_refused():
    with pytest.raises(UsageError, match=r"^momentum=0.5: the momentum of sgd, and optimiser=adam"):
        OptimiserOptions(optimiser="adam", momentum=0.5)
    for schedule in ("constant", "stairs"):
        with pytest.raises(UsageError, match=rf"final_rate=0.1: without effect where schedule={schedule}; .*cosine or"):
            configured(OptimiserOptions, {"schedule": schedule, "final_rate": 0.1}, "tiny")
    for name, value in {"stairs": 5, "stay": 2, "decay": 0.1}.items():
        with pytest.raises(
            UsageError, match=rf"{name}={value}: without effect where schedule=cosine; leave {name} out"
        ):
            configured(OptimiserOptions, {name: value}, "tiny")


def test_a_method_without_an_optimiser_goes_straight_down_its_gradients():
    (weight,) = parameters((3,))
    before, weight.grad = weight.detach().clone(), torch.ones_like(weight)
    make([Group([weight])], ScheduleOptions(learning_rate=0.5)).step()
    assert torch.equal(weight.detach(), before - 0.5)


def parameters(*shapes):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_() for shape in shapes]


def gradients_of(tensors, number):
    generator = torch.Generator().manual_seed(100 + number)
    for tensor in tensors:
        tensor.grad = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_a_group_moves_as_an_optimiser_with_its_rate_would(choice):
    tensors, chosen = parameters((3, 2), (4,)), options(**choice)
    alone = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    optimiser = make([Group(tensors[:1]), Group(tensors[1:], 0.1, 0.0)], chosen)
    apart = [
        make([Group(alone[:1])], chosen),
        make([Group(alone[1:])], options(**(choice | {"learning_rate": 0.01, "weight_decay": 0.0}))),
    ]
    for number in range(4):
        gradients_of(tensors, number)
        gradients_of(alone, number)
        set_rate(optimiser, chosen, number, 8)
        optimiser.step()
        for each, rate in zip(apart, (0.1, 0.01), strict=True):
            each.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * number / 8)) / 2
            each.step()
    for one, other in zip(tensors, alone, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=0)


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_lanes_with_rates_of_their_own_are_networks_trained_one_by_one(choice):
    (weights,), factors = parameters((3, 4, 2)), torch.tensor([1.0, 0.3, 2.0], dtype=torch.float64)
    alone = [lane.detach().clone().requires_grad_() for lane in weights]
    optimiser = make([Group([weights], factors[:, None, None])], options(**choice))
    apart = [torch_optimiser([lane], 0.1 * float(factor), choice) for lane, factor in zip(alone, factors, strict=True)]
    for number in range(5):
        gradients_of([weights], number)
        for lane, gradient in zip(alone, weights.grad, strict=True):
            lane.grad = gradient.clone()
        set_rate(optimiser, options(**choice), number, None)
        optimiser.step()
        for each in apart:
            each.step()
    torch.testing.assert_close(weights.detach(), torch.stack([lane.detach() for lane in alone]), rtol=1e-12, atol=1e-15)


def torch_optimiser(tensors, rate, choice):
    decay = choice.get("weight_decay", 0.0)
    if choice["optimiser"] == "adam":
        return torch.optim.AdamW(tensors, lr=rate, weight_decay=decay)
    return torch.optim.SGD(tensors, lr=rate, momentum=choice.get("momentum", 0.9), weight_decay=decay)


def test_the_schedule_moves_rates_of_lanes_too():
    (weights,), factors = parameters((2, 3, 1)), torch.tensor([1.0, 0.5], dtype=torch.float64)[:, None, None]
    optimiser = make([Group([weights], factors)], options(schedule="cosine"))
    set_rate(optimiser, options(), 5, 10)
    torch.testing.assert_close(optimiser.param_groups[0]["lr"], 0.05 * factors)
    assert factors.flatten().tolist() == [1.0, 0.5]


@pytest.mark.parametrize(("norm", "scale"), [(2.5, 0.5), (7.0, 1.0)])
def test_clipping_scales_all_gradients_by_one_factor(norm, scale):
    tensors = parameters((2,), (1,), (3,))
    optimiser = make([Group(tensors[:1]), Group(tensors[1:], 0.1)], options())
    tensors[0].grad, tensors[1].grad = tensors[0].new_tensor([3.0, 0.0]), tensors[1].new_tensor([4.0])  # norm 5
    clip(optimiser, norm)
    assert tensors[0].grad.tolist() == pytest.approx([3 * scale, 0.0], rel=1e-5)
    assert tensors[1].grad.tolist() == pytest.approx([4 * scale], rel=1e-5)
    assert tensors[2].grad is None


def test_clipping_is_torchs_own():
    tensors, others = parameters((3, 2), (4,)), parameters((3, 2), (4,))
    gradients_of(tensors, 0)
    gradients_of(others, 0)
    clip(make([Group(tensors)], options()), 0.7)
    torch.nn.utils.clip_grad_norm_(others, 0.7)
    assert all(torch.equal(one.grad, other.grad) for one, other in zip(tensors, others, strict=True))


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle"])
@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_a_clipped_update_asks_the_device_for_nothing(schedule, optimiser):
    class Asked(TorchDispatchMode):
        met = False

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.met |= function.overloadpacket.__name__ in ("_local_scalar_dense", "nonzero")
            return function(*args, **(kwargs or {}))

    learner, state = started(updates=8, clip=0.1, schedule=schedule, learning_rate=0.01)
    learner.update(state, batch())
    with Asked() as asked:
        learner.update(state, batch())
    assert not asked.met
