"""Optimisers whose learning rate is a tensor that broadcasts over each parameter: torch's take one number per group.

For networks side by side, as parameters with a leading axis of lanes: each lane moves as if it were alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class _LaneOptimiser(Optimizer):
    """An optimiser that moves each parameter by itself."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step on the parameters that have a gradient."""
        del closure
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group)

    def _move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        raise NotImplementedError


class SGD(_LaneOptimiser):
    """v = momentum v + g + decay w, with v = g + decay w at first; w -= lr v."""

    def __init__(self, groups: list[dict[str, Any]], momentum: float) -> None:
        super().__init__(groups, {"lr": groups[0]["lr"], "momentum": momentum, "weight_decay": 0.0})

    def _move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        velocity = self._velocity(parameter, gradient, group)
        parameter.addcmul_(velocity, _read_rate(group, parameter), value=-1)

    def _velocity(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        state = self.state[parameter]
        if group["weight_decay"]:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])
        if not group["momentum"]:
            return gradient
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        velocity: Tensor = state["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
        return velocity


class AdamW(_LaneOptimiser):
    """m and s, the decaying means of g and g^2; w -= lr (decay w + m / (1 - b1^t) / (sqrt(s / (1 - b2^t)) + eps))."""

    def __init__(
        self, groups: list[dict[str, Any]], betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        super().__init__(groups, {"lr": groups[0]["lr"], "weight_decay": 0.0, "betas": betas, "eps": eps})

    def _move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state, rate, (first, second) = self.state[parameter], _read_rate(group, parameter), group["betas"]
        if not state:
            # Counted on the device: what a captured step sees of the host stands still.
            state["step"] = torch.zeros((), dtype=torch.float64, device=parameter.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        count = state["step"].add_(1)
        mean = state["exp_avg"].lerp_(gradient, 1 - first)
        square = state["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        corrections = [(1 - base**count).to(parameter.dtype) for base in (first, second)]
        deviation = (square / corrections[1]).sqrt_().add_(group["eps"])
        if group["weight_decay"]:
            parameter.addcmul_(parameter, rate, value=-group["weight_decay"])
        parameter.addcmul_(mean / corrections[0] / deviation, rate, value=-1)


def _read_rate(group: dict[str, Any], parameter: Tensor) -> Tensor:
    """Read a group's rate, which is a number in a group without a factor of its own."""
    rate = group["lr"]
    return rate if isinstance(rate, Tensor) else parameter.new_full((), rate)
