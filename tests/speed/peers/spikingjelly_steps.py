"""Training steps of our spiking methods beside those of SpikingJelly 2.0, in one process, as paired ratios.

    .venv/bin/pip install --no-deps spikingjelly==2.0.0 loguru
    .venv/bin/python -m tests.speed.peers.spikingjelly_steps --network digits --threads 1

Both sides run whole training steps on the same static batch: forward, backward, one SGD step. SpikingJelly gets plain
convolutions with our standardised weights folded in, so it is spared the standardisation that our steps include. Before
anything is timed, its gradients are sent through that folding and compared with ours. Rounds are interleaved, in
reverse order every second time; times are CPU times of the process with one thread and wall times with more.
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
from harness_spiking.network import Network
from harness_spiking.weights import effective
from tests.speed.paired import Row, interleaved, ratio, show

STEPS, LOSS_LAMBDA, LEARNING_RATE = 6, 0.05, 1e-4
NETWORKS = {
    "digits": ("32C3-64C3-AP2-128C3-128C3-AP2-FC", (1, 8, 8), 32),
    "vgg": ("32C3-64C3-AP2-128C3-128C3-AP2-256C3-256C3-AP2-FC", (3, 32, 32), 8),
}
BARS = {
    ("saf", "sj ottt"): 0.75,
    ("saf[variant=final]", "sj ottt"): 0.40,
    ("bptt", "sj bptt"): 1.0,
    ("ottt", "sj ottt"): None,
    ("ottt[forward=fused]", "sj ottt"): None,
    ("saf", "ottt"): None,
    ("saf", "ottt[forward=fused]"): None,
}
Step = Callable[[], None]
Gradients = dict[str, Tensor]


class Ours:
    """One of our learners on one batch."""

    def __init__(self, learner, problem: Problem, batch: Batch) -> None:
        self.learner, self.batch = learner, batch
        self.state = learner.init(problem, Training(0, "cpu", "fp32", len(batch.targets), None), None)

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
        self.pairs = [(each.weight, each.bias) for each in (*maps.layers, maps.readout)]
        for (weight, bias), spec in zip(self.pairs, network.architecture.layers, strict=False):
            modules += [_convolution(weight / unit, bias / unit), self._neuron(unit)]
            if spec.pool is not None:
                modules.append(layer.AvgPool2d(spec.pool))
        modules += [layer.Flatten(), _dense(*self.pairs[-1])]
        self.net = layer.OTTTSequential(*modules) if online else nn.Sequential(*modules)
        if not online:
            functional.set_step_mode(self.net, "m")
            self.net[0].step_mode = "s"
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
            (_loss(self.net(self.batch.inputs), self.batch.targets) / STEPS).backward()

    def _through_time(self) -> None:
        current = self.net[0](self.batch.inputs)
        logits = self.net[1:](current.expand(STEPS, *current.shape))
        _loss(logits.flatten(0, 1), self.batch.targets.repeat(STEPS)).backward()

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


def _convolution(weight: Tensor, bias: Tensor) -> nn.Module:
    module = layer.Conv2d(weight.shape[1], weight.shape[0], weight.shape[-1], padding=weight.shape[-1] // 2)
    return _load(module, weight, bias)


def _dense(weight: Tensor, bias: Tensor) -> nn.Module:
    return _load(layer.Linear(weight.shape[1], weight.shape[0]), weight, bias)


def _load(module: nn.Module, weight: Tensor, bias: Tensor) -> nn.Module:
    with torch.no_grad():
        module.weight.copy_(weight)
        module.bias.copy_(bias)
    return module


def _loss(logits: Tensor, targets: Tensor) -> Tensor:
    logits = logits[0] if isinstance(logits, list) else logits
    one_hot = F.one_hot(targets, 10).to(logits)
    return (1 - LOSS_LAMBDA) * F.cross_entropy(logits, targets) + LOSS_LAMBDA * F.mse_loss(logits, one_hot)


def contestants(name: str) -> dict[str, Ours | Peer]:
    """Everything that is timed, by name."""
    text, shape, rows = NETWORKS[name]
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(rows, *shape, generator=generator)
    batch = Batch(inputs, torch.randint(0, 10, (rows,), generator=generator))
    problem = Problem("classification", shape, 10, rows)
    shared = dict(steps=STEPS, architecture=text, learning_rate=LEARNING_RATE, loss_lambda=LOSS_LAMBDA)
    ours = {
        "saf": build_saf(SAFOptions(**shared)),
        "saf[variant=final]": build_saf(SAFOptions(**shared, variant="final")),
        "ottt": build_ottt(OTTTOptions(**shared)),
        "ottt[forward=fused]": build_ottt(OTTTOptions(**shared, forward="fused")),
        "bptt": build_bptt(BPTTOptions(**shared)),
    }
    runs: dict[str, Ours | Peer] = {label: Ours(learner, problem, batch) for label, learner in ours.items()}
    network = Ours(ours["ottt"], problem, batch).state.network
    return {"sj ottt": Peer(network, batch, online=True), "sj bptt": Peer(network, batch, online=False), **runs}


def check(name: str) -> None:
    """Our gradients are SpikingJelly's, on fresh networks. Raises AssertionError."""
    pairs = {"ottt": "sj ottt", "ottt[forward=fused]": "sj ottt", "saf": "sj ottt", "bptt": "sj bptt"}
    for ours, peer in pairs.items():
        fresh = contestants(name)
        found, expected = fresh[ours].gradients(), fresh[peer].gradients()
        worst = max((found[key] - expected[key]).abs().max() / expected[key].abs().max() for key in expected)
        print(f"{ours} against {peer}: worst relative gradient difference {worst:.1e}")
        assert worst < 1e-3, (ours, peer, worst)


def timed(step: Step, clock: Callable[[], float]) -> Callable[[], float]:
    """The step as something that returns its own seconds."""

    def run() -> float:
        start = clock()
        step()
        return clock() - start

    return run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=NETWORKS, default="digits")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    check(arguments.network)
    clock = time.process_time if arguments.threads == 1 else time.perf_counter
    runs = {name: timed(step, clock) for name, step in contestants(arguments.network).items()}
    seconds = interleaved(runs, arguments.rounds)
    print(f"\none training step, {arguments.network} network, T={STEPS}, threads: {arguments.threads}")
    return show(Row(f"{ours} / {peer}", ratio(seconds[ours], seconds[peer]), bar) for (ours, peer), bar in BARS.items())


if __name__ == "__main__":
    sys.exit(main())
