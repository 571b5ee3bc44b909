"""Neurons over K time steps in torch operations, in place where nothing is lost: the truth for every other kernel.

All work in units of 1 / surrogate scale, on dense tensors in one layout; K steps lead, rows follow: (K, B, ...). What
flows in is overwritten by what the surrogate keeps for the backward pass; if nothing is to be kept, by anything.
`shift` (K, channels), where given, is added to what flows in at each step. Potentials are single precision at least:
what flows in as bfloat16 is widened first and narrowed when it is kept.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harness_spiking import standardisation
from harness_spiking.connections import Outlet, Window, per_channel
from harness_spiking.kernels import history
from harness_spiking.neuron import Neuron
from harness_spiking.standardisation import Moments
from harness_torch import spikes as declare
from harness_torch.training.layout import empty

name = "eager"

NARROW = torch.bfloat16  # what neurons widen first


def integrate(
    currents: Tensor,
    shift: Tensor | None,
    carried: Tensor | None,
    neuron: Neuron,
    steps: int,
    outlet: Outlet,
    keep: bool,
) -> tuple[Tensor, Tensor]:
    """Leaky integrate-and-fire: spikes as the next layer sees them (K, B, ...), and what is kept (K, B, ...).

        z[t] = leak w[t-1] + I[t],    s[t] = H(z[t]),    w[t] = z[t] - V_th s[t]

    with I the currents shifted by `Neuron.shift`, z = u - V_th and w = u - V_th s - V_th. currents: (K, B, ...), or
    (1, B, ...) that hold at all steps and are left as they are. carried: w (B, ...), overwritten by that of the last
    step; None starts at rest.
    """
    leak, threshold, surrogate = neuron
    flow = currents.float() if currents.dtype == NARROW else currents
    if shift is not None:
        flow = (flow if len(flow) == steps else flow.clone()).add_(per_channel(shift, flow))
    if not keep:
        spikes = _fire(flow, carried, neuron, steps)
        return outlet.out(spikes.flatten(0, 1)).unflatten(0, (steps, -1)).to(currents.dtype), spikes
    z = flow if len(flow) == steps else _like(flow, steps)
    seen = _empty_like(z, outlet.window, currents.dtype)
    fired = seen[0] if outlet.plain else torch.empty_like(z[0], dtype=currents.dtype)
    for t in range(steps):
        current = flow[t if len(flow) == steps else 0]
        if t > 0:
            torch.add(current, z[t - 1], alpha=leak, out=z[t]).sub_(fired, alpha=leak * threshold)
            surrogate.save_(z[t - 1])
        elif carried is None:
            torch.sub(current, leak * threshold, out=z[0])
        else:
            torch.add(current, carried, alpha=leak, out=z[0])
        fired = torch.ge(z[t], 0, out=seen[t] if outlet.plain else fired)
        declare(fired)
        if not outlet.plain:
            outlet.into(fired, seen[t])
    if carried is not None:
        torch.sub(z[-1], fired, alpha=threshold, out=carried)
    surrogate.save_(z[-1])
    return seen, z if z.dtype == currents.dtype else _narrow(z, currents)


def _fire(flow: Tensor, carried: Tensor | None, neuron: Neuron, steps: int) -> Tensor:
    """Spikes (K, B, ...), where it can be in place of what flows in: one potential goes from step to step."""
    leak, threshold, _ = neuron
    w = torch.full_like(flow[0], -threshold) if carried is None else carried
    spikes = flow if len(flow) == steps else _like(flow, steps)
    for t, fired in enumerate(spikes):
        torch.add(flow[t if len(flow) == steps else 0], w, alpha=leak, out=w)  # z
        torch.ge(w, 0, out=fired)
        declare(fired)
        w.sub_(fired, alpha=threshold)
    return spikes


def integrate_traced(
    currents: Tensor,
    shift: Tensor | None,
    carried: Tensor | None,
    trace: Tensor,
    neuron: Neuron,
    steps: int,
    outlet: Outlet,
    keep: bool,
    own: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Integrate, and trace the spikes as the next layer sees them: spikes, traces (K, B, ...), what is kept.

    trace: that of the step before (B, ...), dropped and pooled; see `trace_`. own: it is the trace of the spikes as
    they are, neither dropped nor pooled, and overwritten by the last one; no traces are returned.
    """
    if own:
        spikes, kept = integrate(currents, shift, carried, neuron, steps, Outlet(), keep)
        for now in spikes:
            torch.add(now, trace, alpha=neuron.leak, out=trace)
        seen = outlet.out(spikes.flatten(0, 1)).unflatten(0, (steps, -1)).to(currents.dtype)
        return seen, seen[:0], kept
    seen, kept = integrate(currents, shift, carried, neuron, steps, outlet, keep)
    return seen, trace_(seen, trace, neuron.leak), kept


def trace_(spikes: Tensor, carried: Tensor, leak: float) -> Tensor:
    """a[t] = leak a[t-1] + s[t] in the type of the spikes (K, B, ...); a[t-1] (B, ...) is overwritten by the last one.

    For one step, what is returned may be the same memory as `carried`.
    """
    if len(spikes) == 1:
        return torch.add(spikes[0], carried, alpha=leak, out=carried)[None].to(spikes.dtype)
    traces = torch.empty_like(spikes, dtype=carried.dtype)
    before = carried
    for now, each in zip(spikes, traces, strict=True):
        before = torch.add(now, before, alpha=leak, out=each)
    carried.copy_(before)
    return traces.to(spikes.dtype)


def accumulate(
    potentials: Tensor, shift: Tensor | None, carried: Tensor, neuron: Neuron, outlet: Outlet, keep: bool
) -> tuple[Tensor, Tensor]:
    """Neurons that know their past from the trace of their spikes alone: traces as the next layer sees them
    (K, B, ...), and what is kept (K, B, ...).

        s[t] = H(U[t] - V_th (leak a[t-1] + 1)),    a[t] = leak a[t-1] + s[t]

    potentials: U - V_th (K, B, ...), of which nothing is left unless something is to be kept. carried: a (B, ...) as a
    `history`, overwritten by that of the last step. For one step, what is returned may be the same memory as `carried`.
    """
    leak, threshold, surrogate = neuron
    flow = potentials.float() if potentials.dtype == NARROW else potentials
    packed = carried.dtype in history.BITS
    if shift is not None:
        flow.add_(per_channel(shift, flow))
    alone = len(flow) == 1 and carried.dtype == potentials.dtype
    traces = carried[None] if alone else torch.empty_like(flow) if keep else flow
    scratch = None if alone and not keep else torch.empty_like(flow[0])
    before = history.decode(carried, flow.dtype) if packed else carried.to(flow.dtype)
    for t, z in enumerate(flow):
        z.sub_(before, alpha=leak * threshold)
        fired = z.ge_(0) if scratch is None else torch.ge(z, 0, out=scratch)
        declare(fired)
        before = torch.add(fired, before, alpha=leak, out=traces[t])
        if packed:
            history.push_(carried, fired, leak)
        if keep:
            surrogate.save_(z)
    if not (alone or packed):
        carried.copy_(before)
    if not outlet.plain:
        traces = outlet.out(traces.flatten(0, 1)).unflatten(0, (len(flow), -1))
    return traces.to(potentials.dtype), flow if flow is potentials else potentials.copy_(flow)


def backward_(gradient: Tensor, kept: Tensor, neuron: Neuron, outlet: Outlet) -> Tensor:
    """Differentiate by z, given dL/d(outputs) (K, B, ...): dL/dz[t] = phi[t] dL/ds[t], in place of `kept`."""
    wide = kept.float() if kept.dtype == NARROW else kept
    into_spikes = gradient.float() if gradient.dtype == NARROW else gradient
    flat, into_spikes = wide.flatten(0, 1), into_spikes.flatten(0, 1)
    neuron.surrogate.backward_(into_spikes if outlet.plain else outlet.back(into_spikes, flat), flat)
    errors = flat.unflatten(0, (len(kept), -1))
    return errors if wide is kept else kept.copy_(errors)


def reverse_(
    gradients: Tensor,
    kept: Tensor,
    neuron: Neuron,
    outlet: Outlet,
    detach_reset: bool,
    later: Tensor | None = None,
) -> Tensor:
    """Go back through time, delta[t] = phi[t] dL/ds[t] + leak delta[t+1], (K, B, ...) in place of `kept`.

    With the gradient through the reset, V_th leak delta[t+1] is subtracted from dL/ds[t] first. later: the delta
    (B, ...) of the step that follows the last of these; None where none does.
    """
    leak, threshold, surrogate = neuron
    wide = kept.float() if kept.dtype == NARROW else kept
    if later is not None and later.dtype == NARROW:
        later = later.float()
    for t in reversed(range(len(wide))):
        gradient = gradients[t].float() if gradients.dtype == NARROW else gradients[t]
        gradient = outlet.back(gradient, wide[t])
        if later is not None and not detach_reset:
            gradient = gradient.sub(later, alpha=leak * threshold)
        surrogate.backward_(gradient, wide[t])
        if later is not None:
            wide[t].add_(later, alpha=leak)
        later = wide[t]
    return wide if wide is kept else kept.copy_(wide)


def sum_per_channel(errors: Tensor) -> Tensor:
    """(K, B, channels, ...) to (K, channels), in single precision at least."""
    axes = (1, *range(3, errors.dim()))
    return errors.sum(axes, dtype=torch.promote_types(errors.dtype, torch.float32))


def standardised(weight: Tensor, gain: Tensor, factor: float) -> tuple[Tensor, Moments]:
    """The standardised weight times a factor, and the moments that its gradient needs: see `standardisation`."""
    moments = standardisation.moments_of(weight)
    return standardisation.forward(weight, gain, factor, moments), moments


standardised_backward_ = standardisation.backward_


def _narrow(z: Tensor, flow: Tensor) -> Tensor:
    """The potentials in the type, and where it fits in the memory, of what flowed in."""
    return flow.copy_(z) if z.shape == flow.shape else z.to(flow.dtype)


def _like(x: Tensor, steps: int) -> Tensor:
    """An empty (K, B, ...) in the layout of x (1, B, ...)."""
    return empty((steps * x.shape[1], *x.shape[2:]), x).unflatten(0, (steps, -1))


def _empty_like(z: Tensor, window: Window, dtype: torch.dtype) -> Tensor:
    """An empty (K, B, C, h, w) in the layout of z (K, B, C, H, W)."""
    if window is None:
        return torch.empty_like(z, dtype=dtype)
    steps, rows, channels, height, width = z.shape
    (down, right) = window
    return empty((steps * rows, channels, height // down, width // right), z, dtype).unflatten(0, (steps, rows))
