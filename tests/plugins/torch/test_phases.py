"""Phases of an update: who says that an operator is forward, backward or the optimiser's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import optimizer as torch_optimizer
from torch.utils._python_dispatch import TorchDispatchMode

from harness_torch.phases import current, optimizer_steps, phase


class Seen(TorchDispatchMode):
    """The phase of every operator, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.phases: list[tuple[str, str]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None) -> Any:
        library, _, name = func._schema.name.partition("::")
        if library == "aten":  # the others are labels for the profiler
            self.phases.append((name, current()))
        return func(*args, **(kwargs or {}))

    def of(self, name: str) -> list[str]:
        return [where for operator, where in self.phases if operator == name]


def weight() -> Tensor:
    return torch.ones(3, requires_grad=True)


def test_forward_and_backward_are_told_apart() -> None:
    w = weight()
    with Seen() as seen:
        w.exp().sum().backward()
    assert seen.of("exp") == ["forward"]
    assert seen.of("mul") == ["backward"]  # d exp = exp * gradient
    assert current() == "forward"


def test_backward_within_the_forward() -> None:
    """A gradient penalty: autograd.grad inside the loss, and a forward that goes on after it."""
    w = weight()
    with Seen() as seen:
        (gradient,) = torch.autograd.grad(w.exp().sum(), w, create_graph=True)
        penalty = gradient.square().sum()
    assert seen.of("mul") == ["backward"]
    assert seen.of("pow") == ["forward"]
    with Seen() as seen:
        penalty.backward()
    # The gradient of the loss itself, a one, is made before the engine starts.
    assert seen.phases[0] == ("ones_like", "forward")
    assert {where for _, where in seen.phases[1:]} == {"backward"}


def test_forward_and_backward_of_a_custom_function() -> None:
    class Surrogate(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x.ge(0).to(x.dtype)

        @staticmethod
        def backward(ctx, gradient: Tensor) -> Tensor:
            (x,) = ctx.saved_tensors
            return gradient * x.cosh()

    w = weight()
    with Seen() as seen:
        Surrogate.apply(w).sum().backward()
    assert seen.of("ge") == ["forward"]
    assert seen.of("cosh") == ["backward"]


def test_hand_marked_phases_nest_and_the_innermost_cause_wins() -> None:
    w = weight()
    with Seen() as seen, phase("backward"):
        torch.sin(w.detach())
        with phase("optimizer"):
            torch.cos(w.detach())
            w.exp().sum().backward()  # a backward is a backward, wherever it starts
        torch.tan(w.detach())
    assert (seen.of("sin"), seen.of("cos"), seen.of("tan")) == (["backward"], ["optimizer"], ["backward"])
    assert seen.of("exp") == ["optimizer"]
    assert seen.of("mul") == ["backward"]
    assert current() == "forward"


def test_a_mark_inside_a_backward_holds_there() -> None:
    class Recomputed(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, gradient: Tensor) -> Tensor:
            (x,) = ctx.saved_tensors
            with phase("forward"):
                x.tan()
            return gradient * x.cos()

    with Seen() as seen:
        Recomputed.apply(weight()).sum().backward()
    assert seen.of("tan") == ["forward"]
    assert seen.of("cos") == ["backward"]


def test_a_marked_block_that_raises_is_left() -> None:
    with pytest.raises(ZeroDivisionError), phase("optimizer"):
        raise ZeroDivisionError
    assert current() == "forward"


@pytest.mark.parametrize("options", [{}, {"foreach": True}, {"fused": True}])
def test_the_optimisers_step_is_recognised_inside_only(options: dict[str, bool]) -> None:
    w = weight()
    optimizer = torch.optim.SGD([w], lr=0.1, momentum=0.9, **options)
    w.exp().sum().backward()
    other = torch.ones(3)
    with optimizer_steps(), Seen() as seen:
        optimizer.step()
        other.sin()
    *step, last = [where for _, where in seen.phases]
    assert set(step) == {"optimizer"}
    assert last == "forward"
    with Seen() as seen:
        optimizer.step()
    assert {where for _, where in seen.phases} == {"forward"}


def test_a_closure_belongs_to_the_step_and_its_backward_does_not() -> None:
    w = weight()
    optimizer = torch.optim.SGD([w], lr=0.1)

    def closure() -> Tensor:
        loss = w.exp().sum()
        loss.backward()
        return loss

    with optimizer_steps(), Seen() as seen:
        optimizer.step(closure)
    assert seen.of("exp") == ["optimizer"]
    assert seen.of("mul") == ["backward"]


def test_a_step_that_raises_leaves_nothing_behind() -> None:
    w = weight()
    optimizer = torch.optim.SGD([w], lr=0.1)
    before = len(torch_optimizer._global_optimizer_pre_hooks), len(torch_optimizer._global_optimizer_post_hooks)

    def closure() -> Tensor:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), optimizer_steps():
        optimizer.step(closure)
    assert current() == "forward"
    after = len(torch_optimizer._global_optimizer_pre_hooks), len(torch_optimizer._global_optimizer_post_hooks)
    assert before == after


def test_an_unknown_phase_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown phase 'sideways': expected one of forward, backward, optimizer"):
        phase("sideways").__enter__()
