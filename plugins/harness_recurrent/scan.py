"""Recursions over time with a backward pass of their own, in place.

Autograd of a loop multiplies for the gradient of the recurrent weights at every step, and keeps all intermediates.
Here the errors of all steps are kept instead, in the place of the gradient that came in, and one product over all T B
rows makes the gradient of each weight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Activation(NamedTuple):
    """A function of elements, in place, and the same for errors: they are multiplied by its slope where it gave h."""

    apply_: Callable[[Tensor], Tensor]
    backward_: Callable[[Tensor, Tensor], None]


def _relu_backward_(errors: Tensor, h: Tensor) -> None:
    torch.ops.aten.threshold_backward.grad_input(errors, h, 0, grad_input=errors)


def _tanh_backward_(errors: Tensor, h: Tensor) -> None:
    torch.ops.aten.tanh_backward.grad_input(errors, h, grad_input=errors)


RELU = Activation(torch.relu_, _relu_backward_)
TANH = Activation(torch.tanh_, _tanh_backward_)


def recur(
    x: Tensor, weight: Tensor, bias: Tensor, recurrent: Tensor, start: Tensor, activation: Activation
) -> tuple[Tensor, Tensor]:
    """All of h[t] = f(W x[t] + U h[t-1] + b) as (T, B, m), and the last of them (B, m).

    x (T, B, d), weight W (m, d), bias b (m,), recurrent U (m, m), start h[0] (B, m). Differentiable once.
    """
    return _Recursion.apply(x, weight, bias, recurrent, start, activation)


class _Recursion(torch.autograd.Function):
    """`recur`; states: h with the start before it, (T + 1, B, m), so that one product has all earlier states."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, recurrent: Tensor, start: Tensor, activation: Activation
    ) -> tuple[Tensor, Tensor]:
        rows = x.flatten(0, 1)  # (T B, d)
        states = start.new_empty(len(x) + 1, *start.shape)
        states[0] = start
        torch.addmm(bias, rows, weight.t(), out=states[1:].flatten(0, 1))
        h, *later = states.unbind()
        across = recurrent.t()
        for now in later:
            h = activation.apply_(now.addmm_(h, across))
        ctx.save_for_backward(rows, weight, recurrent, states)
        ctx.set_materialize_grads(False)
        ctx.activation = activation
        return states[1:], h.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, wanted: Tensor | None, wanted_last: Tensor | None) -> tuple[Tensor | None, ...]:
        rows, weight, recurrent, states = ctx.saved_tensors
        errors = _propagate_errors(states, recurrent, ctx.activation, wanted, wanted_last)  # (T, B, m)
        flat = errors.flatten(0, 1)
        of_x, of_weight, of_bias, of_recurrent, of_start, _ = ctx.needs_input_grad
        return (
            (flat @ weight).unflatten(0, errors.shape[:2]) if of_x else None,
            flat.t() @ rows if of_weight else None,
            flat.sum(0) if of_bias else None,
            flat.t() @ states[:-1].flatten(0, 1) if of_recurrent else None,
            errors[0] @ recurrent if of_start else None,
            None,
        )


def _propagate_errors(
    states: Tensor, recurrent: Tensor, activation: Activation, wanted: Tensor | None, wanted_last: Tensor | None
) -> Tensor:
    """Gradients of each activation's input (T, B, m), from the last step to the first."""
    errors = _copy_gradient(wanted, states[1:])
    steps = list(zip(errors.unbind(), states[1:].unbind(), strict=True))
    later, h = steps.pop()
    if wanted_last is not None:
        later += wanted_last
    activation.backward_(later, h)
    for now, h in reversed(steps):
        activation.backward_(now.addmm_(later, recurrent), h)
        later = now
    return errors


def _copy_gradient(wanted: Tensor | None, like: Tensor) -> Tensor:
    """Copy a gradient, so that it may be overwritten; zeros where there is none."""
    return torch.zeros_like(like) if wanted is None else wanted.clone(memory_format=torch.contiguous_format)


def recur_linearly(keep: Tensor, added: Tensor, start: Tensor) -> Tensor:
    """All of h[t] = keep[t] h[t-1] + added[t], element by element: (T, B, m), from start (B, m).

    Differentiable once.
    """
    return _LinearRecursion.apply(keep, added, start)


class _LinearRecursion(torch.autograd.Function):
    """`recur_linearly`."""

    @staticmethod
    def forward(ctx: Any, keep: Tensor, added: Tensor, start: Tensor) -> Tensor:
        states = torch.cat([start[None], added])  # (T + 1, B, m)
        h, *later = states.unbind()
        for now, kept in zip(later, keep.unbind(), strict=True):
            h = now.addcmul_(kept, h)
        ctx.save_for_backward(keep, states)
        return states[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, wanted: Tensor) -> tuple[Tensor | None, ...]:
        keep, states = ctx.saved_tensors
        errors = _copy_gradient(wanted, keep)
        kept = keep.unbind()
        later, *earlier = reversed(errors.unbind())
        for now, share in zip(earlier, reversed(kept[1:]), strict=True):
            later = now.addcmul_(share, later)
        of_keep, of_added, of_start = ctx.needs_input_grad
        return (
            errors * states[:-1] if of_keep else None,
            errors if of_added else None,
            errors[0] * kept[0] if of_start else None,
        )
