"""Memory of an update: chains whose live and saved tensors are known, counted by hand in bytes."""

from __future__ import annotations

import copy
import functools
import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from deploying import deployed
from torch import Tensor, nn
from torch.optim import optimizer as torch_optimizer

from harness import Gauge
from harness_torch import time_steps
from harness_torch.instruments.activation_memory import ActivationMemory, InferenceMemory
from harness_torch.instruments.operation_counts import Operations
from harness_torch.instruments.saved_tensors import SavedMemory
from harness_torch.training import optimiser
from harness_torch.training.options import OptimiserOptions

FLOAT, LONG = 4, 8
B, H = 8, 16

Update = Callable[[], Any]


def measure(gauge: Gauge, build: Callable[[], Update], warm: int = 2) -> dict[str, Any]:
    """As the core drives it: a fresh state, steady updates, one measured."""
    with gauge.session():
        update = build()
        for _ in range(warm):
            update()
        with gauge.measure("update", B):
            update()
        torch.ones(10**6)
    return dict(gauge.readings())


def activation(build: Callable[[], Update]) -> dict[str, Any]:
    return measure(ActivationMemory(), build)


def saved(build: Callable[[], Update]) -> int:
    return measure(SavedMemory(), build)["saved_bytes"]


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.full(shape, 0.1))


# --- what lives ---------------------------------------------------------------------------------------------------


def test_chain_of_linear_layers() -> None:
    x = torch.ones(B, H)

    def build() -> Update:
        w, v = parameter(H, H), parameter(H, 3)
        return lambda: (torch.relu(x @ w) @ v).sum().backward()

    # At the peak the backward of relu reads its result and a gradient, and makes another; besides, the loss and its
    # gradient, one number each. The result of x @ w is long gone, gradients of weights are not counted.
    assert activation(build) == {
        "activation_bytes": FLOAT * (3 * B * H + 2),
        "held_before_bytes": 0,
        "held_after_bytes": 0,
        "state_bytes": 0,
    }


def test_tensors_that_only_autograd_holds_are_live() -> None:
    x = torch.ones(B, H)

    def build() -> Update:
        w = parameter(H, H)

        def update() -> None:
            loss = (x @ w).exp().exp().sum()
            assert loss.numel() == 1
            big = torch.ones(100 * B * H)
            del big
            loss.backward()

        return update

    # Two results of exp, the loss, and the big one.
    assert activation(build)["activation_bytes"] == FLOAT * (2 * B * H + 1 + 100 * B * H)


def test_views_aliases_and_in_place_results_share_their_storage() -> None:
    def update() -> None:
        x = torch.zeros(40)
        y = x.view(8, 5).t().add_(1).squeeze_()
        first, *rest = y.split(2)
        _ = first.detach(), rest, x[3:], torch.relu_(x), torch.as_strided(x, (2,), (1,))

    assert activation(lambda: update)["activation_bytes"] == FLOAT * 40


def test_lists_of_results_count_each() -> None:
    kept: list[Any] = []

    def update() -> None:
        x, y = torch.zeros(10), torch.zeros(20)
        kept[:] = torch._foreach_add([x, y], 1)

    assert activation(lambda: update) == {
        "activation_bytes": FLOAT * (30 + 30 + 30),  # the old list, x and y, the new list
        "held_before_bytes": FLOAT * 30,
        "held_after_bytes": FLOAT * 30,
        "state_bytes": FLOAT * 30,
    }


def test_results_written_into_a_given_tensor() -> None:
    def grown() -> None:
        out = torch.empty(0)
        torch.add(torch.ones(10), 1, out=out)
        out.resize_(1000)

    def given() -> None:
        out = torch.empty(10)
        torch.add(torch.ones(10), 1, out=out)

    assert activation(lambda: grown)["activation_bytes"] == FLOAT * 1000
    assert activation(lambda: given)["activation_bytes"] == FLOAT * 20


def test_sparse_tensors_count_indices_and_values() -> None:
    x = torch.eye(6)

    def update() -> None:
        _ = x.to_sparse()

    # Six values, two indices each.
    peak = activation(lambda: update)["activation_bytes"]
    assert peak == 6 * FLOAT + 2 * 6 * LONG


def test_state_counts_however_it_was_made_and_data_do_not() -> None:
    data = torch.ones(1000)

    def build() -> Update:
        # Neither of the first two is the result of an operator.
        state = {"a": torch.from_numpy(np.ones(10, np.float32)), "b": torch.tensor([1.0, 2.0]), "c": torch.ones(3)}
        state["d"] = copy.deepcopy(state["c"])

        def update() -> None:
            state["c"] = state["c"] + data[:3]

        return update

    held = FLOAT * (10 + 2 + 3 + 3)
    assert activation(build) == {
        "activation_bytes": held + FLOAT * 3,
        "held_before_bytes": held,
        "held_after_bytes": held,
        "state_bytes": held,
    }


@pytest.mark.parametrize("options", [{}, {"foreach": True}])
def test_parameters_gradients_and_optimiser_state_do_not_count(options: dict[str, bool]) -> None:
    x = torch.ones(1, 300)

    def build() -> Update:
        w, frozen = parameter(300, 300), nn.Parameter(torch.ones(300, 300), requires_grad=False)
        optimizer = torch.optim.SGD([w], lr=0.1, momentum=0.9, **options)

        def update() -> None:
            for _ in range(3):  # the first gradient is kept, later ones are added to it
                ((x @ w) @ frozen).sum().backward()
            optimizer.step()
            optimizer.zero_grad()

        return update

    readings = activation(build)
    assert readings["held_before_bytes"] == readings["held_after_bytes"] == 0
    # x @ w, and its product with the frozen weights.
    assert readings["activation_bytes"] == FLOAT * (300 + 300)


def test_gradients_taken_by_hand_do_not_count() -> None:
    x = torch.ones(1, 300)

    def build() -> Update:
        w = parameter(300, 300)

        def update() -> None:
            (gradient,) = torch.autograd.grad((x @ w).sum(), w)
            with torch.no_grad():
                w.sub_(gradient, alpha=0.1)

        return update

    assert activation(build)["activation_bytes"] <= FLOAT * 303


def test_a_leaf_made_in_the_update_is_an_activation() -> None:
    """Online methods cut the graph with x.detach().requires_grad_(): that makes no parameter of x."""

    def build() -> Update:
        w = parameter(10)

        def update() -> None:
            x = (w * 2).detach().requires_grad_()
            (x * x).sum().backward()

        return update

    # The leaf; x * x gone once summed; its gradient: 2 x g takes two products and their sum, on top of one another.
    assert activation(build)["activation_bytes"] >= FLOAT * 30


def test_five_repeats_are_identical_though_garbage_lies_about() -> None:
    x = torch.randn(B, H)

    def build() -> Update:
        net = nn.Sequential(nn.Linear(H, H), nn.BatchNorm1d(H), nn.ReLU(), nn.Linear(H, 3))
        optimizer = torch.optim.Adam(net.parameters())

        def update() -> None:
            cycle: list[Any] = [torch.ones(1000)]
            cycle.append(cycle)
            optimizer.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()

        return update

    readings = [activation(build) for _ in range(5)]
    assert readings == [readings[0]] * 5
    # What lies in a cycle stays until it is collected; buffers of batch norm are carried.
    assert readings[0]["held_after_bytes"] >= 1000 * FLOAT + 2 * H * FLOAT


# --- what autograd keeps ------------------------------------------------------------------------------------------


def test_saved_by_a_chain_of_linear_layers() -> None:
    x = torch.ones(B, H)

    def build() -> Update:
        w, v = parameter(H, H), parameter(H, 3)
        return lambda: (torch.relu(x @ w) @ v).square().sum().backward()

    # The result of relu, saved by relu and by the product after it; the product's own result, saved by the square.
    assert saved(build) == FLOAT * (B * H + B * 3)


def test_half_the_width_is_half_the_memory() -> None:
    """fp32 weights, and an update in bf16: the weights in bf16 are made in it, and no parameters."""
    x = torch.ones(B, H)

    def build(dtype: torch.dtype) -> Callable[[], Update]:
        def made() -> Update:
            w, v = parameter(H, H), parameter(H, 3)

            def update() -> None:
                (torch.relu(x.to(dtype) @ w.to(dtype)) @ v.to(dtype)).square().sum().backward()

            return update

        return made

    cast = H * H + H * 3 + B * H  # both weights, and the data
    assert saved(build(torch.float32)) == FLOAT * (B * H + B * 3)
    # The second weight is saved for the gradient of relu's result, the data for that of the first weight.
    assert saved(build(torch.bfloat16)) == FLOAT // 2 * (B * H + B * 3 + H * 3 + B * H)
    fewest = FLOAT // 2 * (3 * B * H + 2)
    assert fewest < activation(build(torch.bfloat16))["activation_bytes"] < fewest + FLOAT * cast


def test_saved_by_a_convolutional_network() -> None:
    x = torch.ones(2, 1, 8, 8)

    def build() -> Update:
        net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5))
        return lambda: net(x).sum().backward()

    # relu's result (2, 4, 6, 6), shared with the pool; the pool's indices and result (2, 4, 3, 3).
    assert saved(build) == FLOAT * 2 * 4 * 36 + LONG * 2 * 4 * 9 + FLOAT * 2 * 4 * 9


def test_saved_by_a_custom_function() -> None:
    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: Tensor, w: Tensor) -> Tensor:
            ctx.save_for_backward(x, w, x.sum(dim=0))
            return x * w

        @staticmethod
        def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor]:
            x, w, total = ctx.saved_tensors
            return gradient * w, (gradient * x).sum(dim=0) + 0 * total

    x = torch.ones(B, H)

    def build() -> Update:
        w = parameter(H)
        return lambda: Scaled.apply(x + 1, w).sum().backward()

    assert saved(build) == FLOAT * (B * H + H)


def recurrence(steps: int, online: bool) -> Callable[[], Update]:
    """u = tanh(u + x w), a loss per step; online goes backward in each step and cuts the graph."""
    x = torch.ones(B, H)

    def build() -> Update:
        w = parameter(H, H)

        def update() -> None:
            u, total = torch.zeros(B, H), torch.zeros(())
            for _ in time_steps(steps):
                u = torch.tanh(u + x @ w)
                total = total + u.sum()
                if online:
                    total.backward()
                    u, total = u.detach(), torch.zeros(())
            if not online:
                total.backward()

        return update

    return build


@pytest.mark.parametrize("steps", [1, 2, 4, 16])
def test_saved_online_is_flat_and_unrolled_grows_with_the_steps(steps: int) -> None:
    assert saved(recurrence(steps, online=True)) == FLOAT * B * H
    assert saved(recurrence(steps, online=False)) == FLOAT * B * H * steps


def test_activations_online_are_flat_and_unrolled_grow_with_the_steps() -> None:
    online = [activation(recurrence(steps, online=True))["activation_bytes"] for steps in (4, 16)]
    unrolled = [activation(recurrence(steps, online=False))["activation_bytes"] for steps in (4, 16)]
    assert online[0] == online[1]
    assert unrolled[1] - unrolled[0] == 12 * FLOAT * B * H


# --- carried tensors -----------------------------------------------------------------------------------------------


def state(build: Callable[[], Update]) -> int:
    return activation(build)["state_bytes"]


@pytest.mark.parametrize("steps", [1, 2, 4, 16])
def test_carried_online_is_one_tensor_and_unrolled_is_the_graph(steps: int) -> None:
    assert state(recurrence(steps, online=True)) == FLOAT * (B * H + 1)  # u and the sum
    # tanh keeps its result, and u is the last of them; the sum is one number.
    assert state(recurrence(steps, online=False)) == FLOAT * (B * H * steps + 1)


def test_carried_is_what_steps_write_and_not_what_they_read() -> None:
    data = torch.ones(B, H)

    def build() -> Update:
        w, moments = parameter(H, H), torch.zeros(9)

        def update() -> None:
            frames, targets = data * 2, torch.ones(B)  # made once, read at every step
            trace, reset = torch.zeros(B, H), torch.zeros(5)
            for _ in time_steps(3):
                torch.add(frames @ w.detach(), trace, alpha=0.5, out=trace)
                reset.zero_()
                _ = targets + 1
                del _

        update.moments = moments  # type: ignore[attr-defined]
        return update

    assert state(build) == FLOAT * (B * H + 5 + 9)


def test_carried_leaves_gradients_out_also_those_of_stand_ins_for_weights() -> None:
    data = torch.ones(B, H)

    def build() -> Update:
        w = parameter(H, H)

        def update() -> None:
            stand_in = (w * 2).detach().requires_grad_()
            for _ in time_steps(3):
                (data @ stand_in).sum().backward()
            w.grad = 2 * stand_in.grad

        return update

    assert state(build) == 0


def test_carried_from_one_update_to_the_next_needs_no_mark() -> None:
    def build() -> Update:
        carried = [torch.zeros(B, H)]

        def update() -> None:
            carried[0] = carried[0] * 0.5 + 1

        return update

    assert state(build) == FLOAT * B * H


def moments(w: Tensor) -> Callable[[], None]:
    """Momentum as a method of its own may write it."""
    velocity = torch.zeros_like(w)

    def step() -> None:
        assert w.grad is not None
        with torch.no_grad():
            w.sub_(velocity.mul_(0.9).add_(w.grad), alpha=0.1)

    return step


def rates_by_lane(w: Tensor) -> Callable[[], Any]:
    return optimiser.make([optimiser.Group([w], torch.ones(H, 1))], OptimiserOptions(momentum=0.9)).step


@pytest.mark.parametrize(
    ("step", "carried"),
    [
        (lambda w: torch.optim.SGD([w], lr=0.1, momentum=0.9).step, 0),
        (lambda w: torch.optim.SGD([w], lr=torch.tensor(0.1), momentum=0.9).step, 0),
        (lambda w: torch.optim.Adam([w]).step, 0),
        (rates_by_lane, 0),
        (moments, FLOAT * H * H),
    ],
    ids=["sgd", "rate-as-tensor", "adam", "lanes", "by-hand"],
)
def test_carried_leaves_out_the_state_of_optimisers_but_not_moments_kept_by_hand(step: Any, carried: int) -> None:
    x = torch.ones(B, H)

    def build() -> Update:
        w = parameter(H, H)
        move = step(w)

        def update() -> None:
            w.grad = None
            (x @ w).sum().backward()
            move()

        return update

    readings = activation(build)
    assert (readings["state_bytes"], readings["held_after_bytes"]) == (carried, carried)


def test_time_steps_are_a_range_when_nobody_measures() -> None:
    assert time_steps(4) == range(4)


def test_in_place_operators_that_save_their_result_go_on_working() -> None:
    x = torch.linspace(-1, 1, 10)

    def gradient(hooked: bool) -> Tensor:
        w = parameter(10)
        gauge = SavedMemory()

        def update() -> None:
            w.grad = None
            (w * x).sigmoid_().mul(w).tanh_().add(1).sqrt_().sum().backward()

        if hooked:
            measure(gauge, lambda: update)
        else:
            update()
        assert w.grad is not None
        return w.grad

    assert torch.equal(gradient(hooked=True), gradient(hooked=False))


def test_a_saved_tensor_that_is_overwritten_is_refused_as_without_the_instrument() -> None:
    def build() -> Update:
        w = parameter(10)

        def update() -> None:
            y = w.exp()
            loss = y.sum()
            y.add_(1)
            loss.backward()

        return update

    with pytest.raises(RuntimeError, match="modified by an in"):
        build()()
    with pytest.raises(
        RuntimeError, match=r"shape \(10,\) .* modified by an in-place .* version 1, expected version 0"
    ):
        measure(SavedMemory(), build, warm=0)


def test_higher_derivatives_pass_through_the_hooks() -> None:
    def build() -> Update:
        w = parameter(5)

        def update() -> None:
            w.grad = None
            (first,) = torch.autograd.grad(w.pow(4).sum(), w, create_graph=True)
            first.sum().backward()
            assert w.grad is not None
            torch.testing.assert_close(w.grad, 12 * w.detach() ** 2)

        return update

    assert saved(build) > 0


# --- manners ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gauge", [ActivationMemory, SavedMemory, Operations])
def test_results_are_bitwise_those_without_the_instrument(gauge: type) -> None:
    x, y = torch.randn(B, 1, 8, 8), torch.randint(0, 5, (B,))

    def build() -> tuple[nn.Module, Update]:
        torch.manual_seed(1)
        net = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(), nn.Flatten(), nn.Linear(144, 5)
        )
        optimizer = torch.optim.Adam(net.parameters(), weight_decay=1e-3)

        def update() -> None:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()

        return net, update

    def trained(measured: bool) -> list[Tensor]:
        net, update = build()
        if measured:
            measure(gauge(), lambda: update)
        else:
            for _ in range(3):
                update()
        return [*net.state_dict().values(), torch.get_rng_state()]

    # Equal though both started from the same seed: the instruments neither draw nor change anything.
    for with_it, without in zip(trained(measured=True), trained(measured=False), strict=True):
        assert torch.equal(with_it, without)


@pytest.mark.parametrize("gauge", [ActivationMemory, SavedMemory, Operations])
def test_a_learner_that_raises_leaves_no_hook_behind(gauge: type) -> None:
    def build() -> Update:
        def update() -> None:
            raise ZeroDivisionError

        return update

    with pytest.raises(ZeroDivisionError):
        measure(gauge(), build, warm=0)
    assert not torch_optimizer._global_optimizer_pre_hooks
    assert not torch_optimizer._global_optimizer_post_hooks
    assert gc.isenabled()
    assert torch.utils._python_dispatch._get_current_dispatch_mode() is None
    w = parameter(3)
    (w * w).sum().backward()
    assert w.grad is not None


def test_the_session_lets_go_of_the_state() -> None:
    import weakref

    alive: list[weakref.ref[Tensor]] = []

    def build() -> Update:
        w = parameter(10)
        alive.append(weakref.ref(w))
        return lambda: (w * w).sum().backward()

    gauges = [ActivationMemory(), SavedMemory()]
    for gauge in gauges:
        measure(gauge, build)
    gc.collect()
    assert [reference() for reference in alive] == [None, None]


# --- of a prediction --------------------------------------------------------------------------------------------------


def inference(run: Callable[[], Any]) -> int:
    return deployed(InferenceMemory(), run)["inference_activation_bytes"]


def test_of_a_prediction_what_it_makes_counts_and_what_was_there_does_not() -> None:
    weights, x = parameter(H, H), torch.ones(B, H)
    assert inference(lambda: x @ weights) == B * H * FLOAT
    assert inference(lambda: (x @ weights).relu_()) == B * H * FLOAT
    assert inference(lambda: torch.cat([x @ weights, x @ weights])) == 4 * B * H * FLOAT


def test_of_a_prediction_what_has_gone_before_the_peak_does_not_count() -> None:
    x = torch.ones(B, H)

    def run() -> Tensor:
        for _ in range(5):
            wide = x.repeat(1, 10)
            del wide
        return x + 1

    assert inference(run) == 10 * B * H * FLOAT


def test_a_prediction_holds_no_graph() -> None:
    weights, x = parameter(H, H), torch.ones(B, H)
    deep = inference(lambda: torch.stack([functools.reduce(lambda y, _: (y @ weights).tanh(), range(9), x)]).sum())
    assert deep <= 4 * B * H * FLOAT + FLOAT
