"""Feedback from the last layer to the first: states that have some, and the naive network with it."""

import torch
import torch.nn.functional as F
from spiking_methods import prepared
from spiking_reference import gradient_of

FEEDBACK = {"architecture": "6C3-8C3-AP2-7C3-AP2-FC", "feedback": True}


def with_feedback(method, steps=6, varying=False, **options):
    """A state whose feedback is not zero."""
    learner, state = prepared(method, "conv", steps, varying, **FEEDBACK, **options)
    with torch.no_grad():
        weight = state.network.parameters["feedback.weight"]
        weight.copy_(0.2 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(5)))
    return learner, state


def returned(net, features, like, factor=1.0):
    """What feedback adds to the first layer's current: W up(2.74 s) + factor b."""
    up = F.interpolate(2.74 * features, like.shape[-2:], mode="nearest")
    bias = factor * net.parameters["feedback.bias"]
    return F.conv2d(up, net.parameters["feedback.weight"], bias, padding=1)


def feedback_lif(net, xs):
    """Spikes [t][layer] and readouts [t], all in one graph; the first step gets nothing back."""
    v, fired, outputs = [0.0] * net.depth, [], []
    for x in xs:
        h, now = x, []
        for layer in range(net.depth):
            current = net.affine(layer, h)
            if layer == 0 and fired:
                current = current + returned(net, fired[-1][-1], current)
            u = net.leak * v[layer] + current
            s = net.fire(u - net.threshold)
            v[layer] = u - net.threshold * s.detach()
            now.append(s)
            h = net.after(layer, s)
        fired.append(now)
        outputs.append(net.affine(net.depth, h))
    return fired, outputs


def feedback_ottt(net, xs, targets):
    """OTTT's losses, each on a graph of its step; the graph of feedback sees the trace a step ago."""
    v, a, back = [0.0] * net.depth, [0.0] * net.depth, None
    trace_x = factor = 0.0
    for x in xs:
        factor, factor_before = (1 + net.leak * factor, factor) if net.theory else (1.0, 1.0)
        trace_x = x + net.leak * trace_x
        h, seen = x, trace_x if net.theory else x
        for layer in range(net.depth):
            current = gradient_of(net.affine(layer, h), net.affine(layer, seen, factor))
            if layer == 0 and back is not None:
                value, graph = returned(net, back[0], current), returned(net, back[1], current, factor_before)
                current = current + gradient_of(value, graph)
            u = net.leak * v[layer] + current
            s = net.fire(u - net.threshold)
            trace = net.leak * a[layer] + s
            v[layer], a[layer] = (u - net.threshold * s).detach(), trace.detach()
            h, seen = net.after(layer, s), net.after(layer, trace)
        back = s.detach(), a[-1]
        out = net.affine(net.depth, h)
        out = out if net.theory else gradient_of(out, net.affine(net.depth, seen))
        yield net.loss(out, targets) / len(xs)
