"""Independent references for the spiking family: plain autograd, nothing in place, no custom function, no shortcut.

Every formula is written in the papers' own terms (LIF with potentials in units of the threshold's scale, output scale
2.74 after each layer, standardisation from its definition), so that only the mathematics is shared with our code.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from harness import Batch, Problem, Training

ALPHA = 4.0
BRANCH = 0.2  # share of a residual block's output that joins the stream
TINY = 1e-30  # a learning rate that moves no float64 parameter: the weights are frozen, yet steps are taken

NETWORKS = {
    "mlp": ("24-20-16-12-FC", (10,)),
    "conv": ("6C3-8C3-AP2-7C3-AP2-FC", (2, 9, 8)),  # 9 rows: pooling leaves a border out
    "gap": ("6C3-AP3-8C3-GAP-FC", (2, 9, 9)),
}
# Identity twice after a first layer, then a projection with stride; a projection of what is pooled, then an identity.
RESIDUAL = {
    "residual": ("6C3-6R3-6R3-8R3/2-GAP-FC", (2, 8, 8)),
    "residual-pooled": ("6C3/2-AP2-6R3-6R3-FC", (2, 16, 16)),
}
ONE_CHANNEL = {"one channel": ("6C3-AP2-7C3-FC", (1, 8, 8))}  # its layout is told by sizes alone, not by strides
SETUPS = NETWORKS | RESIDUAL | ONE_CHANNEL


def problem(network, steps=None, classes=5):
    shape = SETUPS[network][1]
    return Problem(
        "classification", shape if steps is None else (steps, *shape), classes, 64, time_axis=steps is not None
    )


def batch(network, steps=None, rows=6, classes=5, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(100 + seed)
    shape = SETUPS[network][1]
    inputs = torch.randn(rows, *(shape if steps is None else (steps, *shape)), generator=generator, dtype=dtype)
    return Batch(1.5 * inputs, torch.randint(0, classes, (rows,), generator=generator))


def start(learner, the_problem, seed=0, precision="fp64", updates=None):
    """A fresh state whose biases and gains are no longer trivial."""
    state = learner.init(the_problem, Training(seed, "cpu", precision, 6, updates), None)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, tensor in state.network.parameters.items():
            if name.endswith(("bias", "gain")):
                tensor += 0.3 * torch.randn(tensor.shape, generator=generator)
        state.network.parameters["readout.weight"] *= 30
    return state


def step_gradients(learner, state, the_batch):
    """The gradients that each optimiser step of one update is taken with."""
    seen = []

    def record(optimiser, args, kwargs):
        seen.append({name: tensor.grad.clone() for name, tensor in state.network.parameters.items()})

    handle = state.optimiser.register_step_pre_hook(record)
    learner.update(state, the_batch)
    handle.remove()
    return seen


def worst(found, expected):
    """Largest difference of any tensor, relative to the largest entry of the expected one; none from zeros is none."""
    assert found.keys() == expected.keys()
    differences = {k: (found[k] - expected[k]).abs().max().item() for k in expected}
    assert not any(map(math.isnan, differences.values())), differences  # which max would pass over
    sizes = {k: expected[k].abs().max().item() for k in expected if differences[k]}
    return max((differences[k] / size if size else math.inf for k, size in sizes.items()), default=0.0)


def parameters_of(state):
    return {name: tensor.detach().clone().requires_grad_() for name, tensor in state.network.parameters.items()}


def spike(z):
    """H(z) with the derivative of sigmoid(ALPHA z)."""
    soft = torch.sigmoid(ALPHA * z)
    return (z >= 0).to(z) + (soft - soft.detach())


def surrogate(area):
    """H(z) with the derivative of `area`, an antiderivative of the surrogate."""

    def fire(z):
        soft = area(z)
        return (z >= 0).to(z) + (soft - soft.detach())

    return fire


def gradient_of(value, graph):
    return value.detach() + (graph - graph.detach())


def standardised(weight, gain):
    """Channel by channel, from the definition."""
    rows = []
    for row, g in zip(weight, gain, strict=True):
        entries = row.flatten()
        spread = torch.sqrt(entries.var(unbiased=True) * entries.numel() + 1e-4)
        rows.append(g * (row - entries.mean()) / spread)
    return torch.stack(rows)


@dataclass
class Naive:
    """One network: `text` in the papers' notation, our parameters by name.

    A residual block adds 0.2 of its second convolution to the current that it started from (the stream), or to a 1x1
    convolution of what was fired there; its neurons see the stream divided by its expected deviation.
    fire: spikes from u - V_th. masks: by layer, on what the next one sees. hard: potentials are zeroed at a spike.
    """

    text: str
    parameters: dict
    leak: float = 0.5
    threshold: float = 1.0
    theory: bool = False
    beta: float = 0.05
    rates: list = field(default_factory=list)
    fire: Callable = spike
    masks: list | None = None
    hard: bool = False

    @property
    def depth(self):
        return sum(name.endswith("gain") and "projection" not in name for name in self.parameters)

    @property
    def strides(self):
        """Of each layer's convolution."""
        strides = []
        for word in self.text.split("-")[:-1]:
            stride = int(word.split("/")[1]) if "/" in word else 1
            strides += [] if "AP" in word else [stride, 1] if "R" in word else [stride]
        return strides

    @property
    def blocks(self):
        """By the second layer of each residual block, the layer that it started from."""
        sources, layers = {}, 0
        for word in self.text.split("-")[:-1]:
            layers += 0 if "AP" in word else 2 if "R" in word else 1
            if "R" in word:
                sources[layers - 1] = layers - 3
        return sources

    def variance(self, layer):
        """Expected, of the residual stream at a layer."""
        if layer not in self.blocks:
            return 1.0
        projected = f"layers.{layer}.projection.weight" in self.parameters
        return BRANCH**2 + (1.0 if projected else self.variance(self.blocks[layer]))

    def joined(self, layer, current, streams, sent):
        """A layer's current with what joins it. streams, sent: by layer, of this step; sent: values (, then traces)."""
        if layer in self.blocks:
            source = self.blocks[layer]
            projected = f"layers.{layer}.projection.weight" in self.parameters
            before = gradient_of(*self.projected(layer, sent[source])) if projected else streams[source]
            current = before + BRANCH * current
        streams.append(current)
        return current / self.variance(layer) ** 0.5

    def projected(self, layer, sent):
        """A 1x1 convolution of what a layer sent, for the value and for the gradient."""
        weight, gain = (self.parameters[f"layers.{layer}.projection.{name}"] for name in ("weight", "gain"))
        stride = self.strides[layer - 1]
        outputs = [F.conv2d(F.avg_pool2d(each, stride), standardised(weight, gain)) for each in sent]
        return outputs[0], outputs[-1]

    def affine(self, layer, x, bias_factor=1.0, bias=True):
        """W x + factor b of one layer, the readout being layer `depth`."""
        if layer == self.depth:
            weight, b = self.parameters["readout.weight"], self.parameters["readout.bias"]
        else:
            weight = standardised(self.parameters[f"layers.{layer}.weight"], self.parameters[f"layers.{layer}.gain"])
            b = self.parameters[f"layers.{layer}.bias"]
        if weight.dim() == 4:
            out = F.conv2d(x, weight, stride=self.strides[layer], padding=weight.shape[-1] // 2)
        else:
            out = x.flatten(1) @ weight.T
        b = bias_factor * b if bias else 0 * b
        return out + (b[:, None, None] if weight.dim() == 4 else b)

    def after(self, layer, s):
        """P: dropout mask, pooling and output scale after a spiking layer."""
        if self.masks is not None:
            s = s * self.masks[layer]
        words, seen = self.text.split("-")[:-1], -1
        for word in words:
            if "AP" not in word:
                seen += 2 if "R" in word else 1
            elif seen == layer:
                s = F.avg_pool2d(s, s.shape[-2:] if word == "GAP" else int(word[2:]))
        return 2.74 * s

    def loss(self, logits, targets):
        one_hot = F.one_hot(targets, logits.shape[-1]).to(logits)
        return (1 - self.beta) * F.cross_entropy(logits, targets) + self.beta * ((logits - one_hot) ** 2).mean()

    def lif(self, xs, detach_reset=True):
        """Spikes [t][layer] and readouts [t], with the graph of the whole sequence."""
        v, spikes, outputs = [0.0] * self.depth, [], []
        for x in xs:
            h, now, streams, sent = x, [], [], []
            for layer in range(self.depth):
                u = self.leak * v[layer] + self.joined(layer, self.affine(layer, h), streams, sent)
                s = self.fire(u - self.threshold)
                reset = s.detach() if detach_reset else s
                v[layer] = u * (1 - reset) if self.hard else u - self.threshold * reset
                now.append(s)
                h = self.after(layer, s)
                sent.append([h])
            spikes.append(now)
            outputs.append(self.affine(self.depth, h))
        self.rates = [torch.stack([now[layer] for now in spikes]).mean().item() for layer in range(self.depth)]
        return spikes, outputs

    def bptt_gradients(self, xs, targets, detach_reset=True):
        _, outputs = self.lif(xs, detach_reset)
        return self.gradients(sum(self.loss(o, targets) for o in outputs) / len(xs))

    def gradients(self, loss):
        return dict(zip(self.parameters, torch.autograd.grad(loss, list(self.parameters.values())), strict=True))

    def ottt_losses(self, xs, targets):
        """The loss of each step, on a graph of that step alone. A generator: parameters may change on the way."""
        v, a = [0.0] * self.depth, [0.0] * self.depth
        trace_x, of_one = 0.0, 0.0
        for x in xs:
            of_one, trace_x = 1 + self.leak * of_one, x + self.leak * trace_x
            factor = of_one if self.theory else 1.0
            h, seen, streams, sent = x, trace_x if self.theory else x, [], []
            for layer in range(self.depth):
                current = gradient_of(self.affine(layer, h), self.affine(layer, seen, factor))
                u = self.leak * v[layer] + self.joined(layer, current, streams, sent)
                s = self.fire(u - self.threshold)
                v[layer] = (u - self.threshold * s).detach()
                trace = self.leak * a[layer] + s
                a[layer] = trace.detach()
                h, seen = self.after(layer, s), self.after(layer, trace)
                sent.append([h, seen])
            out = self.affine(self.depth, h)
            out = out if self.theory else gradient_of(out, self.affine(self.depth, seen))
            yield self.loss(out, targets) / len(xs)

    def saf_losses(self, xs, targets):
        """Likewise for SAF-E, in the accumulated variables. The last item's readout is kept in `accumulated`."""
        a, before = [0.0] * self.depth, 0.0
        trace_x, of_one, first, s_before = 0.0, 0.0, 0.0, 0.0
        for x in xs:
            of_one, trace_x = 1 + self.leak * of_one, x + self.leak * trace_x
            h, streams, sent = trace_x, [], []
            for layer in range(self.depth):
                if layer == 0 and not self.theory:
                    potential = self.leak * first + self.affine(0, x)
                    first = potential.detach()
                else:
                    potential = self.accumulated_affine(layer, h, of_one)
                potential = self.joined(layer, potential, streams, sent)
                z = potential - self.threshold * (self.leak * a[layer] + 1)
                trace = self.leak * a[layer] + self.fire(z)
                a[layer] = trace.detach()
                h = self.after(layer, trace)
                sent.append([h])
            total_out = self.accumulated_affine(self.depth, h, of_one)
            if self.theory:
                out = self.affine(self.depth, h - self.leak * s_before)
                s_before = h.detach()
            else:
                out = total_out - self.leak * before
                before = total_out.detach()
            self.final = total_out / of_one
            yield self.loss(out, targets) / len(xs)

    def accumulated_affine(self, layer, h, of_one):
        full = self.affine(layer, h, of_one)
        return full if self.theory else gradient_of(full, self.affine(layer, h, 1.0))


def naive(network, state, **settings):
    return Naive(SETUPS[network][0], parameters_of(state), **settings)


def frames(the_batch, steps, varying):
    return list(the_batch.inputs.unbind(1)) if varying else [the_batch.inputs] * steps
