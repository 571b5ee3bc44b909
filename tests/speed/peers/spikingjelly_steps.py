"""Training steps of our spiking methods beside those of SpikingJelly 2.0, in one process: time, memory, distance to the
floor.

    .venv/bin/pip install --no-deps spikingjelly==2.0.0 loguru
    .venv/bin/python -m tests.speed.peers.spikingjelly_steps --network digits --threads 1

Both sides run whole training steps on the same static batch: forward, backward, one SGD step. SpikingJelly gets plain
convolutions with our standardised weights folded in, so it is spared the standardisation that our steps include. Before
anything is timed, its gradients in double precision are sent through that folding and compared with ours. Rounds are
interleaved, in reverse order every second time; times are CPU times of the process with one thread and wall times with
more. Memory is the peak of live tensors less parameters, gradients, momentum and the batch, by our own instrument on
both sides.
A floor is the bare convolutions of a method as torch computes them, forward and backward, with nothing around them.
Rows `less standardised weights` take out what the peers and the floor are spared: the copy of the weights, or the time
of their standardisation.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

from harness import Batch, Problem, Training
from harness_bptt import BPTTOptions
from harness_bptt.learner import build as build_bptt
from harness_ottt import OTTTOptions
from harness_ottt.learner import build as build_ottt
from harness_saf import SAFOptions
from harness_saf.learner import build as build_saf
from harness_spike_representation import SpikeRepresentationOptions
from harness_spike_representation.learner import build as build_sr
from harness_spiking.losses import Loss
from harness_spiking.network import Network
from harness_spiking.weights import Weights, effective
from harness_torch.instruments.activation_memory import ActivationMemory
from harness_torch.training.layout import channels_last
from tests.speed.paired import Ratio, Row, interleaved, ratio, show

STEPS, LOSS_LAMBDA, LEARNING_RATE = 6, 0.05, 1e-4
NETWORKS = {
    "digits": ("32C3-64C3-AP2-128C3-128C3-AP2-FC", (1, 8, 8), 32),
    "vgg": ("32C3-64C3-AP2-128C3-128C3-AP2-256C3-256C3-AP2-FC", (3, 32, 32), 8),
}
FINAL, FUSED, PACKED, SR = "saf[variant=final]", "ottt[forward=fused]", "bptt[saved=packed]", "spike-representation"
TOGETHER = "all steps together: "  # chunk=T
PARTS, LESS = f"{FINAL} in micro-batches", "less standardised weights: "  # which the peer is spared
MICRO_BATCH = {"digits": 2, "vgg": 1}
TIMES = {
    ("bptt", "sj bptt"): {"digits": 0.68, "vgg": 0.85},
    (FUSED, "sj ottt"): 0.65,
    ("saf", "sj ottt"): 0.60,
    (FINAL, "sj ottt"): 0.27,
    (FINAL, "sj bptt"): 0.33,
    (SR, "sj bptt"): 0.33,
    (PACKED, "sj bptt"): 0.90,
    (TOGETHER + FUSED, "sj ottt"): 0.65,
    (TOGETHER + "saf", "sj ottt"): 0.60,
    (TOGETHER + FINAL, "sj ottt"): 0.27,
    (TOGETHER + FINAL, "sj bptt"): 0.33,
    (TOGETHER + SR, "sj bptt"): 0.33,
    (LESS + TOGETHER + FINAL, "sj bptt"): 0.33,
    (LESS + TOGETHER + SR, "sj bptt"): 0.33,
    ("bptt", "floor 3T"): 1.30,
    (FUSED, "floor 3T"): 1.30,
    ("saf", "floor 3T"): 1.30,
    (FINAL, "floor T+2"): 1.18,
    (SR, "floor T+2"): 1.18,
    (TOGETHER + FUSED, "floor 3T"): 1.30,
    (TOGETHER + "saf", "floor 3T"): 1.30,
    (TOGETHER + FINAL, "floor T+2"): 1.18,
    (TOGETHER + SR, "floor T+2"): 1.18,
    (LESS + "bptt", "floor 3T"): 1.30,
    (LESS + TOGETHER + FUSED, "floor 3T"): 1.30,
    (LESS + TOGETHER + "saf", "floor 3T"): 1.30,
    (LESS + TOGETHER + FINAL, "floor T+2"): 1.18,
    (LESS + TOGETHER + SR, "floor T+2"): 1.18,
    ("sj bptt", "floor 3T"): None,
    ("sj ottt", "floor 3T"): None,
    ("ottt", "sj ottt"): None,
    ("saf", "ottt"): None,
    ("saf", FUSED): None,
    (PARTS, FINAL): None,
}
PEAKS = {
    ("saf", "sj ottt"): 0.78,
    (PARTS, "sj ottt"): 0.25,
    (LESS + PARTS, "sj ottt"): 0.25,
    (FUSED, "sj ottt"): 0.80,
    ("bptt", "sj bptt"): 0.72,
    (PACKED, "sj bptt"): 0.50,
    ("ottt", "sj ottt"): None,
    (FINAL, "sj ottt"): None,
    (SR, "sj ottt"): None,
    (TOGETHER + "saf", "sj ottt"): None,
}
Step = Callable[[], None]
Gradients = dict[str, Tensor]


class Ours:
    """One of our learners on one batch."""

    def __init__(self, learner, problem: Problem, batch: Batch) -> None:
        self.learner, self.batch = learner, batch
        precision = "fp64" if batch.inputs.dtype == torch.float64 else "fp32"
        self.state = learner.init(problem, Training(0, "cpu", precision, len(batch.targets), None), None)

    def __call__(self) -> None:
        self.learner.update(self.state, self.batch)

    def gradients(self) -> Gradients:
        self()
        return {name: tensor.grad.clone() for name, tensor in self.state.network.parameters.items()}


class Peer:
    """SpikingJelly's network with the weights of `network`, trained with its OTTT or its multi-step BPTT."""

    def __init__(self, network: Network, batch: Batch, online: bool) -> None:
        self.network, self.batch, self.online = network, batch, online
        modules: list[nn.Module] = []
        unit = network.neuron.surrogate.scale
        maps = effective(network)
        self.pairs = [(each.weight * each.scale, each.bias) for each in (*maps.layers, maps.readout)]
        for (weight, bias), spec in zip(self.pairs, network.architecture.layers, strict=False):
            modules += [_convolution(weight / unit, bias / unit), self._neuron(unit)]
            if spec.pool is not None:
                modules.append(layer.AvgPool2d(spec.pool))
        modules += [layer.Flatten(), _dense(*self.pairs[-1])]
        self.net = layer.OTTTSequential(*modules) if online else nn.Sequential(*modules)
        if not online:
            functional.set_step_mode(self.net, "m")
            self.net[0].step_mode = "s"
        self.loss = Loss(batch.targets, network, LOSS_LAMBDA)
        self.optimiser = torch.optim.SGD(self.net.parameters(), lr=LEARNING_RATE, momentum=0.9)

    def _neuron(self, alpha: float) -> nn.Module:
        kind = neuron.OTTTLIFNode if self.online else neuron.LIFNode
        return kind(2.0, False, 1.0, None, surrogate.Sigmoid(alpha=alpha), detach_reset=True)

    def __call__(self) -> None:
        self.optimiser.zero_grad()
        functional.reset_net(self.net)
        (self._online if self.online else self._through_time)()
        self.optimiser.step()

    def _online(self) -> None:
        for _ in range(STEPS):
            logits = self.net(self.batch.inputs)
            (self.loss(logits[0] if isinstance(logits, list) else logits) / STEPS).backward()

    def _through_time(self) -> None:
        current = self.net[0](self.batch.inputs)
        logits = self.net[1:](current.expand(STEPS, *current.shape))
        self.loss(logits.flatten(0, 1)).backward()

    def gradients(self) -> Gradients:
        """With respect to our parameters: what the peer found for the folded weights, sent through the folding."""
        self()
        unit = self.network.neuron.surrogate.scale
        affine = [module for module in self.net if hasattr(module, "weight")]
        scales = [1 / unit] * (len(affine) - 1) + [1.0]
        sources = [tensor for pair in self.pairs for tensor in pair]
        found = [s * p.grad for module, s in zip(affine, scales, strict=True) for p in (module.weight, module.bias)]
        names = list(self.network.parameters)
        ours = torch.autograd.grad(sources, [self.network.parameters[name] for name in names], found)
        return dict(zip(names, ours, strict=True))


class Floor:
    """The convolutions of a step alone: `forwards` passes forward and `backwards` backward, several steps in one
    operation as far as they are asked for together.
    """

    def __init__(self, network: Network, rows: int, forwards: int, backwards: int, together: int) -> None:
        generator = torch.Generator().manual_seed(2)
        self.counts, self.together = (forwards, backwards), together
        self.layers = []
        with torch.no_grad():
            shape = network.architecture.layers[0].weight[1], *network.architecture.layers[0].map[1:]
            for spec, each in zip(network.architecture.layers, effective(network).layers, strict=True):
                x = channels_last(torch.rand(together * rows, *shape, generator=generator))
                self.layers.append((x, each.weight.detach(), F.conv2d(x, each.weight, each.bias, padding=1)))
                shape = spec.output

    @torch.no_grad()
    def __call__(self) -> None:
        forwards, backwards = (-(-count // self.together) for count in self.counts)
        for index, (x, weight, like) in enumerate(self.layers):
            rows = len(x) // self.together
            for done in range(forwards):
                F.conv2d(x[: rows * min(self.together, self.counts[0] - done * self.together)], weight, padding=1)
            for done in range(backwards):
                cut = slice(rows * min(self.together, self.counts[1] - done * self.together))
                self._back(like[cut], x[cut], weight, index > 0)

    def _back(self, gradient: Tensor, x: Tensor, weight: Tensor, into_x: bool) -> None:
        sizes = [len(weight)], [1, 1], [1, 1], [1, 1], False, [0, 0], 1
        torch.ops.aten.convolution_backward(gradient, x, weight, *sizes, [into_x, True, False])


class Standardisation:
    """Work of our steps that the peers are spared: weights standardised, their gradients sent back through that."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.gradients = [torch.rand_like(each.weight) for each in effective(network).layers]

    def __call__(self) -> None:
        weights = Weights(self.network)
        for each, gradient in zip(weights.layers, self.gradients, strict=True):
            each.weight.grad = gradient  # and is overwritten: the values do not matter
        weights.pull()


def _convolution(weight: Tensor, bias: Tensor) -> nn.Module:
    module = layer.Conv2d(weight.shape[1], weight.shape[0], weight.shape[-1], padding=weight.shape[-1] // 2)
    return _load(module, weight, bias)


def _dense(weight: Tensor, bias: Tensor) -> nn.Module:
    return _load(layer.Linear(weight.shape[1], weight.shape[0]), weight, bias)


def _load(module: nn.Module, weight: Tensor, bias: Tensor) -> nn.Module:
    module.to(weight.dtype)
    with torch.no_grad():
        module.weight.copy_(weight)
        module.bias.copy_(bias)
    return module


def makers(name: str, dtype: torch.dtype = torch.float32) -> dict[str, Callable[[], Ours | Peer]]:
    """How to make everything that is compared, by name."""
    text, shape, rows = NETWORKS[name]
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(rows, *shape, generator=generator).to(dtype)
    batch = Batch(inputs, torch.randint(0, 10, (rows,), generator=generator))
    problem = Problem("classification", shape, 10, rows)
    shared = dict(steps=STEPS, architecture=text, learning_rate=LEARNING_RATE, loss_lambda=LOSS_LAMBDA)
    whole = shared | {"chunk": STEPS}
    ours = {
        "saf": build_saf(SAFOptions(**shared)),
        FINAL: build_saf(SAFOptions(**shared, variant="final")),
        PARTS: build_saf(SAFOptions(**shared, variant="final", micro_batch=MICRO_BATCH[name])),
        "ottt": build_ottt(OTTTOptions(**shared)),
        FUSED: build_ottt(OTTTOptions(**shared, forward="fused")),
        "bptt": build_bptt(BPTTOptions(**shared)),
        PACKED: build_bptt(BPTTOptions(**shared, saved="packed")),
        SR: build_sr(SpikeRepresentationOptions(**shared)),
        TOGETHER + "saf": build_saf(SAFOptions(**whole)),
        TOGETHER + FINAL: build_saf(SAFOptions(**whole, variant="final")),
        TOGETHER + FUSED: build_ottt(OTTTOptions(**whole, forward="fused")),
        TOGETHER + SR: build_sr(SpikeRepresentationOptions(**whole)),
    }
    peers = {f"sj {way}": _peer(ours["ottt"], problem, batch, way == "ottt") for way in ("ottt", "bptt")}
    return peers | {label: _ours(learner, problem, batch) for label, learner in ours.items()}


def _ours(learner, problem: Problem, batch: Batch) -> Callable[[], Ours]:
    return lambda: Ours(learner, problem, batch)


def _peer(learner, problem: Problem, batch: Batch, online: bool) -> Callable[[], Peer]:
    return lambda: Peer(Ours(learner, problem, batch).state.network, batch, online)


def check(name: str) -> None:
    """Our gradients are SpikingJelly's, on fresh networks. Raises AssertionError.

    In double precision: in single, a potential that is the threshold but for rounding spikes on one side alone, and in
    one of some ten million the layers above then differ.
    """
    pairs = {"ottt": "sj ottt", FUSED: "sj ottt", "saf": "sj ottt", "bptt": "sj bptt"}
    for ours, peer in pairs.items():
        fresh = makers(name, torch.float64)
        found, expected = fresh[ours]().gradients(), fresh[peer]().gradients()
        differences = [(found[key] - expected[key]).abs().max() / expected[key].abs().max() for key in expected]
        worst = torch.stack(differences).max()
        print(f"{ours} against {peer}: worst relative gradient difference {worst:.1e}")
        assert worst < 1e-11, (ours, peer, worst)


def peaks(name: str) -> dict[str, int]:
    """Bytes of live tensors at the peak of a steady step."""
    found = {}
    for label, make in makers(name).items():
        gauge = ActivationMemory()
        with gauge.session():
            step = make()
            for _ in range(2):
                step()
            with gauge.measure("update", 1):
                step()
            del step
        found[label] = gauge.readings()["activation_bytes"]
    weights = sum(each.weight.nbytes for each in effective(makers(name)["saf"]().state.network).layers)
    return found | {LESS + PARTS: found[PARTS] - weights}


def timed(step: Step, clock: Callable[[], float]) -> Callable[[], float]:
    """The step as something that returns its own seconds."""

    def run() -> float:
        start = clock()
        step()
        return clock() - start

    return run


def times(name: str, rounds: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Seconds of each round; a floor is the quicker of all steps at once and one after the other, round by round."""
    steps: dict[str, Step] = {label: make() for label, make in makers(name).items()}
    network, rows = steps["saf"].state.network, NETWORKS[name][2]
    floors = {"floor 3T": (STEPS, STEPS), "floor T+2": (STEPS, 1)}
    for label, counts in floors.items():
        steps |= {f"{label} {size}": Floor(network, rows, *counts, together=size) for size in (1, STEPS)}
    steps["standardisation"] = Standardisation(steps["ottt"].state.network)
    seconds = interleaved({label: timed(step, clock) for label, step in steps.items()}, rounds)
    spared = seconds.pop("standardisation")
    for label in ("bptt", *(TOGETHER + each for each in (FUSED, "saf", FINAL, SR))):
        seconds[LESS + label] = [taken - less for taken, less in zip(seconds[label], spared, strict=True)]
    for label in floors:
        seconds[label] = list(map(min, seconds.pop(f"{label} 1"), seconds.pop(f"{label} {STEPS}")))
    return seconds


def bar_of(bars: float | dict[str, float] | None, name: str) -> float | None:
    return bars[name] if isinstance(bars, dict) else bars


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=NETWORKS, default="digits")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    name = arguments.network
    torch.set_num_threads(arguments.threads)
    check(name)
    held = peaks(name)
    print(f"\npeak of live tensors in a step, {name} network, T={STEPS}; sj ottt holds {held['sj ottt'] / 1e6:.1f} MB")
    exact = {pair: held[pair[0]] / held[pair[1]] for pair in PEAKS}
    rows = [Row(" / ".join(pair), Ratio(exact[pair], exact[pair], exact[pair], 1), PEAKS[pair]) for pair in PEAKS]
    missed = show(rows)
    clock = time.process_time if arguments.threads == 1 else time.perf_counter
    seconds = times(name, arguments.rounds, clock)
    print(f"\ntime of a step, {name} network, T={STEPS}, threads: {arguments.threads}")
    pairs = {pair: ratio(seconds[pair[0]], seconds[pair[1]]) for pair in TIMES}
    return missed | show(Row(" / ".join(pair), found, bar_of(TIMES[pair], name)) for pair, found in pairs.items())


if __name__ == "__main__":
    sys.exit(main())
