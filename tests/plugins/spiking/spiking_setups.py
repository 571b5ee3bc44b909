"""Networks, mini-batches and states that the tests of the spiking family start from, and what is asked of them.

What a method should do is said by its reference, in its package; here is what those references are asked with.
"""

from dataclasses import replace
from types import SimpleNamespace

import tiny_problems
import torch
from tiny_problems import terms

from harness import Batch, Problem
from harness_bptt import BPTTOptions
from harness_bptt.reference import readouts
from harness_spiking import reference
from harness_spiking.spikes import recorded

ALPHA = 4.0
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
    inputs, targets, _ = tiny_problems.rows(problem(network, steps, classes), rows, 100 + seed, dtype)
    return Batch(1.5 * inputs, targets)


def start(learner, the_problem, seed=0, precision="fp64", updates=None):
    """A fresh state whose biases and gains are no longer trivial."""
    state = learner.init(the_problem, terms(updates, precision, seed=seed), None)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, tensor in state.network.parameters.items():
            if name.endswith(("bias", "gain")):
                tensor += 0.3 * torch.randn(tensor.shape, generator=generator)
        state.network.parameters["readout.weight"] *= 30
    return state


def step_gradients(learner, state, the_batch):
    """The gradients that each optimiser step of one update is taken with, of the parameters that have one."""
    seen = []

    def record(optimiser, args, kwargs):
        parameters = state.network.parameters.items()
        seen.append({name: tensor.grad.clone() for name, tensor in parameters if tensor.grad is not None})

    handle = state.optimiser.register_step_pre_hook(record)
    learner.update(state, the_batch)
    handle.remove()
    return seen


def measure_update(instrument, learner, the_problem, count):
    """The readings of one steady update, in single precision."""
    rows = tiny_problems.rows(the_problem, count, dtype=torch.float32)
    with instrument.session():
        state = learner.init(the_problem, terms(precision="fp32"), None)
        for _ in range(2):
            learner.update(state, rows)
        with instrument.measure("update", count):
            learner.update(state, rows)
    return instrument.readings()


def parameters_of(state):
    return {name: tensor.detach().clone().requires_grad_() for name, tensor in state.network.parameters.items()}


def of_reference(learner):
    """A learner whose update is its reference's."""
    return SimpleNamespace(update=learner.reference)


def plainly(state, the_batch):
    """A state's network and a mini-batch in the references' terms, with the masks that the next update will draw."""
    before = state.generator.get_state()
    network = reference.plain(state, the_batch)
    state.generator.set_state(before)
    return network


def lif_of(state, the_batch, network=None, **options):
    """Spikes of the plain LIF network, by layer (T, B, ...), and its readouts (T, B, classes), in one graph.

    network: with other parameters or neurons than `plainly`'s. options: of BPTT, other than the state's.
    """
    shared = {name: getattr(state.options, name) for name in ("leak", "threshold", "reset")}
    shared["feedback"] = state.options.feeds_back
    network = network or plainly(state, the_batch)
    with recorded(state.network) as spikes:
        outputs = torch.stack(list(readouts(network, BPTTOptions(**shared | options))))
    return spikes.by_layer(), outputs


def rates_of(spikes):
    """By layer."""
    return [fired.double().mean().item() for fired in spikes.values()]


def without_masks(network):
    return replace(network, masks=())


def frames(the_batch, steps, varying):
    return list(the_batch.inputs.unbind(1)) if varying else [the_batch.inputs] * steps
