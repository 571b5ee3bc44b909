"""Optimiser, learning rate and clipping, as the options say, with nothing that makes the host wait for a GPU.

With p the share of the planned updates that are done, at most 1, and f the final rate, the learning rate counts

    cosine       f + (1 - f) (1 + cos(pi p)) / 2
    one-cycle    1 / 25 + (1 - 1 / 25) (1 - cos(pi p / 0.3)) / 2 up to p = 0.3, then
                 f + (1 - f) (1 + cos(pi (p - 0.3) / 0.7)) / 2    (Smith and Topin 2019, without cycling momentum)
    stairs       decay^max(0, 1 + floor(p stairs) - stay)    (of PTB's small LSTM: 13 steps, 4 stay, 0.5)

Where the number of updates is not known, as under a budget of seconds, it counts 1 throughout; who goes on after the
last planned update goes on at f, or on the last stair.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from harness_torch.phases import phase
from harness_torch.training import lane_optimisers
from harness_torch.training.options import ScheduleOptions

WARM_UP = 0.3  # share of a one-cycle's updates
FIRST_RATE = 1 / 25  # of a one-cycle


class Group(NamedTuple):
    """Parameters with a learning rate of their own.

    factor: on the learning rate, a number, or a tensor that broadcasts over each of the parameters, such as (J, 1, 1)
    over (J, inputs, outputs): J networks trained side by side. weight_decay: None for that of the options.
    """

    parameters: Sequence[Tensor]
    factor: float | Tensor = 1.0
    weight_decay: float | None = None


def make(groups: Sequence[Group], options: ScheduleOptions, captured: bool = False) -> Optimizer:
    """SGD, Adam or, with a weight decay, AdamW, whose steps without decay are Adam's.

    captured: its steps are to be part of a CUDA graph, which reads learning rates from the device.
    """
    given = [_build_group(group, options, captured) for group in groups]
    decays = any(group["weight_decay"] for group in given)
    descent, lr = options.descent, given[0]["lr"]
    adam = descent.optimiser == "adam"
    if any(isinstance(group.factor, Tensor) for group in groups):
        return lane_optimisers.AdamW(given) if adam else lane_optimisers.SGD(given, descent.momentum)
    if adam:
        kind = torch.optim.AdamW if decays else torch.optim.Adam
        return kind(given, lr=lr, weight_decay=descent.weight_decay, capturable=captured)
    fused = True if captured else None
    return torch.optim.SGD(given, lr=lr, momentum=descent.momentum, weight_decay=descent.weight_decay, fused=fused)


def _build_group(group: Group, options: ScheduleOptions, captured: bool) -> dict[str, Any]:
    parameters, rate = list(group.parameters), options.resolved_rate
    lr: float | Tensor = group.factor * rate
    if captured and not isinstance(lr, Tensor):
        lr = torch.tensor(lr, device=parameters[0].device)
    decay = options.descent.weight_decay if group.weight_decay is None else group.weight_decay
    return {"params": parameters, "lr": lr, "weight_decay": decay, "factor": group.factor}


def set_rate(optimiser: Optimizer, options: ScheduleOptions, updates: int, planned: int | None) -> None:
    """Give every group the learning rate after so many of the planned updates; planned: None where unknown."""
    rate = options.resolved_rate * share_of_rate(options, updates, planned)
    for group in optimiser.param_groups:
        factor, lr = group.get("factor", 1.0), group["lr"]
        if isinstance(factor, Tensor):
            torch.mul(factor, rate, out=lr)
        elif isinstance(lr, Tensor):
            lr.fill_(rate * factor)
        else:
            group["lr"] = rate * factor


def share_of_rate(options: ScheduleOptions, updates: int, planned: int | None) -> float:
    """The share of the learning rate after so many updates; see the formulas above."""
    if not planned or options.schedule == "constant":
        return 1.0
    done = min(updates / planned, 1.0)
    if options.schedule == "stairs":
        return options.decay ** max(0, 1 + min(updates * options.stairs // planned, options.stairs - 1) - options.stay)
    if options.schedule == "one-cycle" and done < WARM_UP:
        return _half_cosine(FIRST_RATE, 1.0, done / WARM_UP)
    if options.schedule == "one-cycle":
        done = (done - WARM_UP) / (1 - WARM_UP)
    return _half_cosine(1.0, options.final_rate, done)


def _half_cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2


def clip(optimiser: Optimizer, norm: float) -> None:
    """Scale the gradients of all its parameters by one factor, so that their common norm is at most this one."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    with phase("optimizer"):
        torch.nn.utils.clip_grad_norm_(parameters, norm)
