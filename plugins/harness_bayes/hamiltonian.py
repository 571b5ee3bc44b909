"""Hamiltonian Monte Carlo with chains as lanes: one call of the density moves all J of them (Duane et al. 1987).

With U(q) = -log density of a position q, momenta p ~ N(0, I) and H(q, p) = U(q) + |p|^2 / 2, a trajectory is L times

    p <- p - e/2 U'(q),    q <- q + e p,    p <- p - e/2 U'(q)

and its end (q', p') is accepted with probability min(1, exp(H(q, p) - H(q', p'))). e is a chain's step size times a
number uniform in [0.8, 1.2], so that no trajectory closes on itself (Neal 2011, section 4.3). During burn-in each
chain's step size follows dual averaging toward an acceptance of 0.8 (Hoffman and Gelman 2014, equation 6); then it
stands still. There is no mass: positions are to be in units in which they vary alike, as of the prior's deviations.

Nothing waits for the device, and state is handed on as tensors, so a GPU may replay trajectories as a graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from harness import HarnessError

TARGET = 0.8  # acceptance that step sizes are adapted to
JITTER = 0.2
SHRINKAGE, DELAY, FORGETTING = 0.05, 10.0, 0.75  # gamma, t0 and kappa of dual averaging
DIVERGENT = 1000.0  # nats of energy by which a trajectory is known to have left the level set, as in Stan
CERTAIN = 20  # rejections in a row are no accident
SMALLEST = 24  # the smallest first step size is 2**-SMALLEST

Density: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Of positions (J, m): their log densities (J,), up to a constant, and the gradients of these (J, m)."""


class Chains(NamedTuple):
    """J chains. Counts of accepted and divergent trajectories (J,) are those after burn-in.

    positions (J, m), densities (J,), gradients (J, m). log_steps, averages, anchors, shortfalls (J,): of dual
    averaging, in turn log e, its running average, where it is drawn to, and the mean of what acceptance lacks. chances
    (J,): that the last trajectory had of being accepted. taken (): how many trajectories there were.
    """

    positions: Tensor
    densities: Tensor
    gradients: Tensor
    log_steps: Tensor
    averages: Tensor
    anchors: Tensor
    shortfalls: Tensor
    accepted: Tensor
    divergent: Tensor
    chances: Tensor
    taken: Tensor


def differentiate(log_density: Callable[[Tensor], Tensor]) -> Density:
    """Differentiate a density of which no value (J,) depends on another's position: one backward pass for all."""

    def density(positions: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf = positions.detach().requires_grad_()
            values = log_density(leaf)
            (gradients,) = torch.autograd.grad(values.sum(), leaf)
        return values.detach(), gradients

    return density


def begin(density: Density, positions: Tensor, generator: torch.Generator) -> Chains:
    """Chains at positions (J, m), before the first trajectory, with a first step size each."""
    densities, gradients = density(positions)
    first = _choose_first_log_steps(density, positions, densities, gradients, generator)
    none = torch.zeros_like(first)
    # Drawn to ten times the first step size, since large ones are the cheaper to try (Hoffman and Gelman 2014, 3.2).
    anchors = first + math.log(10)
    taken = torch.zeros((), dtype=torch.int64, device=positions.device)
    return Chains(positions, densities, gradients, first, first, anchors, none, none, none, none, taken)


def move_chains(density: Density, chains: Chains, leapfrogs: int, burn: int, generator: torch.Generator) -> Chains:
    """Move every chain by one trajectory. burn: the first so many adapt the step sizes, and are not counted."""
    adapting = chains.taken < burn
    steps = torch.where(adapting, chains.log_steps, chains.averages).exp()
    jitter = 1 - JITTER + 2 * JITTER * _draw_uniform(steps, generator)
    end, errors = trajectory(density, chains, (steps * jitter)[:, None], leapfrogs, generator)
    divergent = ~(errors.isfinite() & (errors < DIVERGENT))
    chances = torch.where(divergent, 0.0, (-errors).exp().clamp(max=1.0))
    accepted = _draw_uniform(chances, generator) < chances
    adapted = _adapt_steps(chains, chances, adapting)
    return _select_ends(accepted, end, adapted)._replace(
        accepted=chains.accepted + (accepted & ~adapting),
        divergent=chains.divergent + (divergent & ~adapting),
        chances=chances,
        taken=chains.taken + 1,
    )


def acceptance(chains: Chains, burn: int) -> Tensor:
    """The share of each chain's trajectories after burn-in that was accepted (J,); nan before the first of them."""
    return chains.accepted / (chains.taken - burn).clamp(min=0)


def refuse_stuck(chains: Chains, burn: int) -> None:
    """Raise HarnessError for a chain, or all together, that accepted nothing since burn-in, once that is no accident.

    Waits for the device.
    """
    kept, accepted = int(chains.taken) - burn, chains.accepted.tolist()
    stuck = [chain for chain, count in enumerate(accepted) if not count]
    every = len(stuck) == len(accepted)
    if stuck and kept * (len(stuck) if every else 1) >= CERTAIN:
        step, diverged = float(chains.averages[stuck[0]].exp()), int(chains.divergent[stuck[0]])
        whose = f"all {len(stuck)} chains" if every else f"chain {stuck[0]}"
        raise HarnessError(
            f"HMC rejected all {kept} trajectories of {whose} after burn-in ({diverged} of chain {stuck[0]} diverged, "
            f"its step size is {step:.2g}): expected about {TARGET:.0%} accepted; give burn-in more trajectories "
            "(burn=), take shorter ones (leapfrog=), or look at whether noise and data are on one scale"
        )


class End(NamedTuple):
    """Where a trajectory ends."""

    positions: Tensor
    densities: Tensor
    gradients: Tensor


def trajectory(
    density: Density, start: Chains, steps: Tensor, leapfrogs: int, generator: torch.Generator
) -> tuple[End, Tensor]:
    """The end of a trajectory with fresh momenta, for step sizes (J, 1), and how much energy it has gained (J,)."""
    positions, gradients = start.positions, start.gradients
    momenta = torch.randn(positions.shape, dtype=positions.dtype, device=positions.device, generator=generator)
    before = _kinetic_energy(momenta) - start.densities
    momenta = momenta + steps / 2 * gradients
    for _ in range(leapfrogs - 1):
        positions = positions + steps * momenta
        momenta = momenta + steps * density(positions)[1]
    positions = positions + steps * momenta
    densities, gradients = density(positions)
    momenta = momenta + steps / 2 * gradients
    return End(positions, densities, gradients), _kinetic_energy(momenta) - densities - before


def _kinetic_energy(momenta: Tensor) -> Tensor:
    return momenta.square().sum(1) / 2


def _adapt_steps(chains: Chains, chances: Tensor, adapting: Tensor) -> Chains:
    """Adapt step sizes by one step of dual averaging, where `adapting` says so."""
    count = (chains.taken + 1).to(chances.dtype)
    share = 1 / (count + DELAY)
    shortfalls = (1 - share) * chains.shortfalls + share * (TARGET - chances)
    log_steps = chains.anchors - count.sqrt() / SHRINKAGE * shortfalls
    averages = chains.averages + count**-FORGETTING * (log_steps - chains.averages)
    return chains._replace(
        shortfalls=torch.where(adapting, shortfalls, chains.shortfalls),
        log_steps=torch.where(adapting, log_steps, chains.log_steps),
        averages=torch.where(adapting, averages, chains.averages),
    )


def _select_ends(accepted: Tensor, end: End, start: Chains) -> Chains:
    """Select the ends that were accepted, elsewhere the positions before."""
    rows = accepted[:, None]
    return start._replace(
        positions=torch.where(rows, end.positions, start.positions),
        densities=torch.where(accepted, end.densities, start.densities),
        gradients=torch.where(rows, end.gradients, start.gradients),
    )


def _choose_first_log_steps(
    density: Density, positions: Tensor, densities: Tensor, gradients: Tensor, generator: torch.Generator
) -> Tensor:
    """Choose for each chain the largest power of two, at most 1, up to which a leapfrog is likely accepted, (J,)."""
    momenta = torch.randn(positions.shape, dtype=positions.dtype, device=positions.device, generator=generator)
    found, likely = torch.full_like(densities, -SMALLEST * math.log(2)), torch.ones_like(densities, dtype=torch.bool)
    for power in range(-SMALLEST, 1):
        step = 2.0**power
        half = momenta + step / 2 * gradients
        ended, slopes = density(positions + step * half)
        error = _kinetic_energy(half + step / 2 * slopes) - ended - (_kinetic_energy(momenta) - densities)
        likely = likely & (error < -math.log(TARGET))
        found = torch.where(likely, power * math.log(2), found)
    return found


def _draw_uniform(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(like.shape, dtype=like.dtype, device=like.device, generator=generator)
