"""The Triton kernels against their eager twins: on a GPU as they are, elsewhere through Triton's interpreter.

Currents, shifts and carried potentials are multiples of a power of two with few bits, so that every sum is exact in any
order and spikes must be the same, ties included.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from functools import partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import pytest
import torch
from deploying import deployed
from spiking_methods import prepared
from spiking_setups import SETUPS, TINY, batch, problem, start, step_gradients
from tiny_problems import largest_difference

from harness import HarnessError, Reading
from harness_spike_representation import SpikeRepresentationOptions
from harness_spike_representation.learner import build as build_sr
from harness_spiking.connections import Outlet
from harness_spiking.kernels import eager, history
from harness_spiking.neuron import Neuron
from harness_spiking.surrogates import SURROGATES, Sigmoid
from harness_torch.instruments.operation_counts import Inference
from harness_torch.instruments.synaptic_operations import SynapticOperations
from harness_torch.marks import listening
from harness_torch.training.layout import channels_last, empty
from tests.speed import gpu_kernels

if find_spec("triton") is None:
    pytest.skip("no Triton for this platform", allow_module_level=True)
ON_GPU = torch.cuda.is_available()
with pytest.MonkeyPatch.context() as patch:
    patch.setenv("TRITON_INTERPRET", str(int(not ON_GPU)))  # read at the first import of Triton and of our kernels
    from harness_spiking.kernels import channel_kernels, fused, fused_kernels

ROOT = Path(gpu_kernels.__file__).parents[2]
DEVICE = "cuda" if ON_GPU else "cpu"
pytestmark = [pytest.mark.gpu] if ON_GPU else []
FP32, BF16 = torch.float32, torch.bfloat16
ROUNDING = {FP32: {"rtol": 2e-6, "atol": 2e-7}, BF16: {"rtol": 2**-7, "atol": 1e-6}}  # one unit in the last place
SHAPES = {  # rows of one step, and the window of the pooling
    "dense": ((3, 10), None),
    "map": ((2, 3, 5, 4), None),
    "pairs with borders": ((2, 3, 5, 7), (2, 2)),
    "pairs without": ((2, 16, 6, 4), (2, 2)),
    "global": ((2, 5, 3, 4), (3, 4)),
    "thirds with borders": ((2, 3, 7, 8), (3, 3)),
    "thirty": ((1, 4, 11, 12), (5, 6)),
    "wide": ((1, 2, 23, 23), (23, 23)),
    "several programs": ((3, 16, 9, 8), (2, 2)),
    "several dense programs": ((3, 700), None),
}


@pytest.fixture(autouse=True)
def interpret(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", str(int(not ON_GPU)))  # read again at the first launch


def sample(count: int, **axes) -> pytest.MarkDecorator:
    """So many combinations of the axes, always the same, each value of an axis about equally often."""
    every = list(product(SHAPES, [FP32, BF16], [1, 5], SURROGATES, *axes.values()))
    names = ["shape", "dtype", "steps", "surrogate", *axes]
    return pytest.mark.parametrize(names, random.Random(1).sample(every, count))


class Inputs:
    """Random tensors of one shape in the layout that kernels expect."""

    def __init__(self, shape: str, dtype: torch.dtype, surrogate: str, masked: bool = False):
        self.rows, self.window = SHAPES[shape]
        self.dtype = dtype
        self.generator = torch.Generator().manual_seed(len(shape))
        self.neuron = Neuron(0.5, 0.5, SURROGATES[surrogate](1.0))
        mask = self.grid(1, 0, 1)[0].float() * 2 if masked and len(self.rows) == 4 else None
        self.outlet = Outlet(self.window, mask)

    def grid(self, steps: int, low: int, high: int, unit: float = 1.0) -> torch.Tensor:
        """Multiples of `unit` (K, B, ...)."""
        drawn = torch.randint(low, high + 1, (steps, *self.rows), generator=self.generator) * unit
        return self.like(drawn.to(self.dtype))

    def like(self, x: torch.Tensor) -> torch.Tensor:
        x = x.to(DEVICE)
        return empty((x.shape[0] * x.shape[1], *x.shape[2:]), x).unflatten(0, x.shape[:2]).copy_(x)

    def shift(self, steps: int) -> torch.Tensor:
        drawn = torch.randint(-2, 3, (steps, self.rows[1]), generator=self.generator) / 2
        return drawn.to(DEVICE)

    def gradients(self, steps: int) -> torch.Tensor:
        rows, channels, *space = self.rows
        if self.window is not None:
            space = [size // across for size, across in zip(space, self.window, strict=True)]
        drawn = torch.randn(steps, rows, channels, *space, generator=self.generator)
        return self.like(drawn.to(self.dtype))

    def saved(self, steps: int) -> torch.Tensor:
        kept = self.grid(steps, -4, 4, 0.5)
        return self.neuron.surrogate.save_(kept)


def both(call, *tensors):
    """Results of eager and fused kernels on copies of the same tensors, each with the copies themselves."""
    copies = [[None if x is None else x.clone() for x in tensors] for _ in range(2)]
    return [(call(kernels, *each), each) for kernels, each in zip([eager, fused], copies, strict=True)]


def assert_same(ours: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal, in type and layout too; the interpreter, unlike a GPU, cuts bfloat16 off instead of rounding it."""
    assert ours.dtype == expected.dtype
    if ours.dim() == 5:
        assert ours.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    if ours.dtype == BF16 and not ours.is_cuda:
        torch.testing.assert_close(ours, expected, rtol=2**-7, atol=0)
    else:
        assert torch.equal(ours.float(), expected.float())


@pytest.mark.sampled("shape", "dtype", "steps", "surrogate", "resting", "shifted", "masked", "keep", "static")
@sample(
    120, resting=[True, False], shifted=[True, False], masked=[True, False], keep=[True, False], static=[True, False]
)
def test_integrate(shape, dtype, steps, surrogate, resting, shifted, masked, keep, static):
    inputs = Inputs(shape, dtype, surrogate, masked)
    count = 1 if static else steps
    currents, shift = inputs.grid(count, -3, 5, 0.5), inputs.shift(count) if shifted else None
    carried = None if resting else inputs.grid(1, -4, 0, 0.5)[0].float()

    def call(kernels, currents, carried):
        return kernels.integrate(currents, shift, carried, inputs.neuron, steps, inputs.outlet, keep)

    ((seen, kept), (_, w)), ((ours, ours_kept), (_, ours_w)) = both(call, currents, carried)
    assert seen.any()
    assert_same(ours, seen)
    if not resting:
        assert torch.equal(ours_w, w)
    if keep:
        torch.testing.assert_close(ours_kept, kept, **ROUNDING[dtype])


@pytest.mark.sampled("shape", "dtype", "steps", "surrogate", "resting", "masked", "keep", "past", "own")
@sample(
    150, resting=[True, False], masked=[True, False], keep=[True, False], past=[FP32, BF16], own=[False, False, True]
)
def test_integrate_traced(shape, dtype, steps, surrogate, resting, masked, keep, past, own):
    inputs = Inputs(shape, dtype, surrogate, masked)
    currents, shift = inputs.grid(steps, -3, 5, 0.5), inputs.shift(steps)
    carried = None if resting else inputs.grid(1, -4, 0, 0.5)[0].float()
    like = inputs.grid(1, -4, 4, 0.25) if own else inputs.gradients(1)
    trace = like[0].mul(4).round().abs().div(4).to(past)

    def call(kernels, currents, carried, trace):
        return kernels.integrate_traced(currents, shift, carried, trace, inputs.neuron, steps, inputs.outlet, keep, own)

    (expected, (_, w, last)), (ours, (_, our_w, our_last)) = both(call, currents, carried, trace)
    assert expected[0].any()
    assert len(expected[1]) == len(ours[1]) == (0 if own else steps)
    assert_same(ours[0], expected[0])
    for mine, theirs in ((ours[1], expected[1]), (our_last[None], last[None])):
        assert mine.dtype == theirs.dtype
        rounding = 2**-6 if BF16 in (past, dtype) else 1e-6  # a step's, and that of what it adds to
        torch.testing.assert_close(mine, theirs, rtol=rounding, atol=1e-6)
    if not resting:
        assert torch.equal(our_w, w)
    if keep:
        torch.testing.assert_close(ours[2], expected[2], **ROUNDING[dtype])


@pytest.mark.parametrize("past", [FP32, BF16])
@pytest.mark.parametrize("shape", ["map", "pairs with borders", "dense"])
def test_a_trace_of_few_bits_is_exact(shape, past):
    """Multiples of 1/2 and their means, from rest, over five steps: at most eight bits wherever they lie."""
    inputs = Inputs(shape, BF16, "sigmoid")
    currents, trace = inputs.grid(5, -3, 5, 0.5), torch.zeros_like(inputs.gradients(1)[0], dtype=past)
    parts = []
    for part in currents.split([1, 3, 1]):
        calls = both(
            lambda kernels, x, a: kernels.integrate_traced(
                x, None, None, a, inputs.neuron, len(x), inputs.outlet, True
            ),
            part,
            trace,
        )
        (expected, (_, last)), (ours, (_, trace)) = calls
        assert torch.equal(ours[0], expected[0])
        assert torch.equal(ours[1], expected[1])
        assert torch.equal(trace, last)
        parts.append(ours[1].data_ptr() == trace.data_ptr())
    assert parts == [past == BF16, False, past == BF16]


@pytest.mark.sampled("shape", "dtype", "steps", "surrogate", "past", "shifted", "masked", "keep")
@sample(
    120, past=[torch.uint8, torch.uint16, FP32, BF16], shifted=[True, False], masked=[True, False], keep=[True, False]
)
def test_accumulate(shape, dtype, steps, surrogate, past, shifted, masked, keep):
    inputs = Inputs(shape, dtype, surrogate, masked)
    potentials, shift = inputs.grid(steps, -3, 6, 0.5), inputs.shift(steps) if shifted else None
    # Of sixteen bits the highest four: the sum of a window stays exact, in whatever order it is taken.
    carried = inputs.grid(1, 0, 15)[0].float() * (2**12 if past == torch.uint16 else 1)
    carried = carried.to(past) if past in history.BITS else (carried / 8).to(past)

    def call(kernels, potentials, carried):
        return kernels.accumulate(potentials, shift, carried, inputs.neuron, inputs.outlet, keep)

    ((traces, kept), (_, past)), ((ours, ours_kept), (_, ours_past)) = both(call, potentials, carried)
    assert traces.any()
    assert_same(ours, traces)
    assert_same(ours_past, past)
    if keep:
        torch.testing.assert_close(ours_kept, kept, **ROUNDING[dtype])


@pytest.mark.parametrize("steps", [1, 5])
def test_the_mean_of_traces_in_a_window_that_is_too_wide_for_a_kernel_is_rounded_once(steps):
    inputs = Inputs("wide", BF16, "sigmoid")
    potentials, carried = inputs.grid(steps, -3, 6, 0.5), inputs.grid(1, 0, 2**9)[0].float().to(torch.uint16)
    (expected, _), (ours, _) = both(
        lambda kernels, z, past: kernels.accumulate(z, None, past, inputs.neuron, inputs.outlet, False)[0],
        potentials,
        carried,
    )
    assert expected.any()
    assert torch.equal(ours, expected)


@pytest.mark.sampled("shape", "dtype", "steps", "surrogate", "masked")
@sample(40, masked=[True, False])
def test_backward(shape, dtype, steps, surrogate, masked):
    inputs = Inputs(shape, dtype, surrogate, masked)
    gradients = inputs.gradients(steps)

    def call(kernels, kept):
        return kernels.backward_(gradients, kept, inputs.neuron, inputs.outlet)

    (expected, _), (ours, (kept,)) = both(call, inputs.saved(steps))
    assert ours.data_ptr() == kept.data_ptr()
    torch.testing.assert_close(ours, expected, **ROUNDING[dtype])
    if shape == "pairs with borders":
        assert not ours[..., -1, :].any()
        assert not ours[..., -1].any()


@pytest.mark.sampled("shape", "dtype", "steps", "surrogate", "masked", "detach_reset", "followed")
@sample(60, masked=[True, False], detach_reset=[True, False], followed=[True, False])
def test_reverse(shape, dtype, steps, surrogate, masked, detach_reset, followed):
    inputs = Inputs(shape, dtype, surrogate, masked)
    gradients = inputs.gradients(steps)
    later = inputs.grid(1, -1, 1)[0] if followed else None

    def call(kernels, kept):
        return kernels.reverse_(gradients, kept, inputs.neuron, inputs.outlet, detach_reset, later)

    (expected, _), (ours, (kept,)) = both(call, inputs.saved(steps))
    assert ours.data_ptr() == kept.data_ptr()
    torch.testing.assert_close(ours, expected, **ROUNDING[dtype])


WEIGHTS = {"convolution": (8, 5, 3, 3), "of one channel": (6, 1, 3, 3), "dense": (7, 20), "projection": (5, 12, 1, 1)}


@pytest.mark.parametrize("shape", WEIGHTS)
def test_standardised_weights_and_their_gradients(shape):
    generator = torch.Generator().manual_seed(0)
    weight = channels_last(torch.randn(WEIGHTS[shape], generator=generator).add_(0.3).to(DEVICE))
    gain = torch.rand(len(weight), generator=generator).to(DEVICE) + 0.5
    gradient = torch.empty_like(weight).copy_(torch.randn(WEIGHTS[shape], generator=generator))

    w, g = weight.double().requires_grad_(), gain.double().requires_grad_()
    rows = w.flatten(1)
    scaled = (rows - rows.mean(1, keepdim=True)) / (rows.var(1, keepdim=True) * rows.shape[1] + 1e-4).sqrt()
    expected = 2.74 * (scaled * g[:, None]).view_as(w)
    expected.backward(gradient.double())

    out, moments = fused.standardised(weight, gain, 2.74)
    into_weight, into_gain = fused.standardised_backward_(
        gradient, torch.empty_like(gradient), weight, gain, 2.74, moments
    )
    assert into_weight.data_ptr() == gradient.data_ptr()
    assert out.stride() == weight.stride()
    for ours, theirs in ((out, expected), (into_weight, w.grad), (into_gain, g.grad)):
        torch.testing.assert_close(ours.double(), theirs.detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.sampled
@pytest.mark.parametrize("dtype", [FP32, BF16])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("rows", [(2, 70), (2, 3, 5, 4), (300, 2), (2, 65, 12, 13)])
def test_errors_are_summed_per_channel_in_single_precision(rows, steps, dtype):
    x = empty((steps * rows[0], *rows[1:]), torch.zeros((), dtype=dtype, device=DEVICE))
    x.copy_(torch.randn(x.shape, generator=torch.Generator().manual_seed(0)) + 1)
    errors = x.unflatten(0, (steps, -1))
    expected = errors.double().transpose(1, 2).flatten(2).sum(2)
    for found in (fused.sum_per_channel(errors), eager.sum_per_channel(errors)):
        assert found.dtype == FP32
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-3)


def test_what_no_kernel_per_channel_is_there_for_runs_on_the_eager_ones(monkeypatch):
    for function in ("standardise", "standardise_backward", "sum_rows"):
        monkeypatch.setattr(channel_kernels, function, None)
    weight, gain = torch.randn(4, 3, 3, 3, dtype=torch.float64, device=DEVICE), torch.ones(4, device=DEVICE).double()
    gradient = torch.randn_like(weight)
    found = {}
    for kernels in (eager, fused):
        out, moments = kernels.standardised(weight, gain, 1.0)
        back = kernels.standardised_backward_(gradient.clone(), torch.empty_like(out), weight, gain, 1.0, moments)
        drawn = torch.randn(4, 6, 5, 3, 3, generator=torch.Generator().manual_seed(0)).to(DEVICE)
        orders = drawn.transpose(1, 3), drawn[:, :4, :, 0, 0], drawn[:1, :, :, 0, 0].expand(3, 6, 5)  # no kernel's
        found[kernels.name] = out, *back, *map(kernels.sum_per_channel, orders)
    assert all(map(torch.equal, *found.values()))


def test_any_currents_away_from_a_tie():
    neuron, generator = Neuron(0.9, 0.8, Sigmoid(4.0)), torch.Generator().manual_seed(0)
    currents = torch.randn(6, 4, 300, generator=generator).to(DEVICE)
    distances = currents.double()
    _, slopes = eager.integrate(distances, None, None, neuron, 6, Outlet(), keep=True)
    clear = (torch.logit(slopes).abs() > 1e-5).all(0)
    spikes, _ = eager.integrate(currents.clone(), None, None, neuron, 6, Outlet(), keep=False)
    ours, _ = fused.integrate(currents.clone(), None, None, neuron, 6, Outlet(), keep=False)
    assert clear.float().mean() > 0.99
    assert torch.equal(ours[:, clear], spikes[:, clear])


@pytest.mark.parametrize("function", ["integrate", "integrate_traced", "accumulate", "reverse_"])
def test_offsets_of_64_bits_lead_to_the_same_places(function, monkeypatch):
    inputs = Inputs("pairs with borders", FP32, "arctan", masked=True)
    currents, gradients, past = inputs.grid(3, -3, 5, 0.5), inputs.gradients(3), inputs.grid(1, 0, 7)[0] / 4
    calls = {
        "integrate": lambda: fused.integrate(currents.clone(), None, None, inputs.neuron, 3, inputs.outlet, True),
        "integrate_traced": lambda: fused.integrate_traced(
            currents.clone(), None, None, gradients[0].clone(), inputs.neuron, 3, inputs.outlet, True
        ),
        "accumulate": lambda: fused.accumulate(
            currents.clone(), None, past.clone(), inputs.neuron, inputs.outlet, True
        ),
        "reverse_": lambda: [fused.reverse_(gradients, currents.clone(), inputs.neuron, inputs.outlet, False)],
    }
    narrow = calls[function]()
    monkeypatch.setattr(fused, "INDEXED_BY_32_BITS", 0)
    assert all(map(torch.equal, calls[function](), narrow))


def test_an_instrument_hears_of_the_same_spikes():
    inputs = Inputs("pairs with borders", FP32, "sigmoid")
    heard: list[list[torch.Tensor]] = [[], []]
    for kernels, spikes in zip([eager, fused], heard, strict=True):
        currents, past = inputs.grid(3, 1, 1, 0.75), inputs.grid(1, 0, 0)[0]
        with listening(lambda fired: spikes.append(fired.clone())):  # noqa: B023
            kernels.integrate(currents.clone(), None, None, inputs.neuron, 3, inputs.outlet, keep=False)
            kernels.accumulate(currents.clone(), None, past, inputs.neuron, inputs.outlet, keep=False)
    assert len(heard[0]) == 6
    assert all(map(torch.equal, *heard))


def test_what_is_not_kept_comes_back_empty():
    inputs = Inputs("map", FP32, "sigmoid")
    currents, past = inputs.grid(3, -3, 5), inputs.grid(1, 0, 1)[0]
    before = currents.clone()
    _, kept = fused.integrate(currents, None, None, inputs.neuron, 3, inputs.outlet, keep=False)
    _, more = fused.accumulate(currents, None, past, inputs.neuron, inputs.outlet, keep=False)
    assert len(kept) == len(more) == 0
    assert torch.equal(currents, before)


def test_double_precision_and_a_foreign_surrogate_run_on_the_eager_kernels(monkeypatch):
    class Halved(Sigmoid):
        def backward_(self, gradient, saved):
            return super().backward_(gradient / 2, saved)

    for function in ("integrate", "accumulate", "differentiate"):
        monkeypatch.setattr(fused_kernels, function, None)
    doubled = Inputs("map", torch.float64, "sigmoid")
    foreign = Inputs("map", FP32, "sigmoid")
    foreign.neuron = foreign.neuron._replace(surrogate=Halved(1.0))
    for inputs in (doubled, foreign):
        currents, past = inputs.grid(2, -3, 5, 0.5), inputs.grid(1, 0, 1)[0]
        calls = [
            lambda k, x: k.integrate(x, None, None, inputs.neuron, 2, inputs.outlet, True)[1],  # noqa: B023
            lambda k, x: k.integrate_traced(x, None, None, past.clone(), inputs.neuron, 2, inputs.outlet, True)[1],  # noqa: B023
            lambda k, x: k.accumulate(x, None, past.clone(), inputs.neuron, inputs.outlet, True)[1],  # noqa: B023
            lambda k, x: k.backward_(currents, x, inputs.neuron, inputs.outlet),  # noqa: B023
            lambda k, x: k.reverse_(currents, x, inputs.neuron, inputs.outlet, True),  # noqa: B023
        ]
        for call in calls:
            (expected, _), (ours, _) = both(call, currents)
            assert torch.equal(ours, expected)


@pytest.mark.parametrize("shape", ["map", "pairs with borders", "dense"])
def test_gradients_may_come_in_any_layout(shape):
    inputs = Inputs(shape, FP32, "sigmoid")
    gradients = inputs.gradients(1).expand(3, *inputs.gradients(1).shape[1:]).transpose(0, 1)
    (expected, _), (ours, _) = both(
        lambda kernels, kept: kernels.backward_(gradients.transpose(0, 1), kept, inputs.neuron, inputs.outlet),
        inputs.saved(3),
    )
    torch.testing.assert_close(ours, expected, **ROUNDING[FP32])


@pytest.mark.parametrize("function", ["integrate", "integrate_traced", "accumulate", "reverse_"])
def test_what_is_overwritten_must_have_channels_last(function):
    inputs = Inputs("map", FP32, "sigmoid")
    x, past = inputs.grid(2, -3, 5).contiguous(), inputs.grid(1, 0, 1)[0]
    calls = {
        "integrate": lambda: fused.integrate(x, None, None, inputs.neuron, 2, inputs.outlet, True),
        "integrate_traced": lambda: fused.integrate_traced(x, None, None, past, inputs.neuron, 2, inputs.outlet, True),
        "accumulate": lambda: fused.accumulate(x, None, past, inputs.neuron, inputs.outlet, True),
        "reverse_": lambda: fused.reverse_(x, x, inputs.neuron, inputs.outlet, True),
    }
    with pytest.raises(HarnessError, match=r"\(2, 2, 3, 5, 4\) has strides .*channels last.*kernels=eager"):
        calls[function]()


@pytest.mark.sampled("method", "network")
@pytest.mark.skipif(ON_GPU, reason="compares on the CPU, through the interpreter")
@pytest.mark.parametrize(
    ("method", "network", "options"),
    [
        ("saf", "conv", {"chunk": 3, "dropout": 0.2}),
        ("saf-final", "residual-pooled", {"chunk": 6}),
        ("ottt-fused", "residual", {"chunk": 6}),
        ("ottt-fused", "conv", {"dropout": 0.2}),
        ("ottt-fused", "gap", {"chunk": 4}),
        ("ottt", "conv", {"chunk": 3}),
        ("ottt", "residual-pooled", {}),
        ("bptt", "conv", {"dropout": 0.2}),
        ("bptt", "mlp", {"varying": True}),
        ("bptt", "residual", {}),
        ("bptt", "residual", {"recompute": 2}),
        ("bptt", "conv", {"recompute": 4, "chunk": 2, "dropout": 0.2, "varying": True}),
        ("saf", "one channel", {}),
        ("ottt-fused", "one channel", {"varying": True}),
        ("bptt", "one channel", {}),
    ],
)
def test_methods_have_the_same_gradients_with_either_kernels(method, network, options, monkeypatch):
    given = batch(network, 6 if "varying" in options else None, dtype=FP32)
    found = []
    for each in (eager, fused):
        monkeypatch.setattr("harness_spiking.kernels.choose", lambda *_: each)  # noqa: B023
        learner, state = prepared(method, network, precision="fp32", **options)
        assert state.network.kernels is each
        found.append(step_gradients(learner, state, given))
    assert len(found[0]) == len(found[1])
    assert max(map(largest_difference, found[1], found[0])) < 1e-5


@pytest.mark.skipif(ON_GPU, reason="compares on the CPU, through the interpreter")
@pytest.mark.parametrize(("network", "chunk", "dropout"), [("conv", 3, None), ("residual", 1, 0.2), ("mlp", 6, None)])
def test_rates_have_the_same_gradients_with_either_kernels(network, chunk, dropout, monkeypatch):
    options = SpikeRepresentationOptions(
        steps=6, architecture=SETUPS[network][0], learning_rate=TINY, chunk=chunk, dropout=dropout
    )
    found = []
    for each in (eager, fused):
        monkeypatch.setattr("harness_spiking.kernels.choose", lambda *_: each)  # noqa: B023
        learner = build_sr(options)
        state = start(learner, problem(network), precision="fp32")
        assert state.network.kernels is each
        found += step_gradients(learner, state, batch(network, dtype=FP32))
    assert largest_difference(found[1], found[0]) < 1e-5


def test_every_kernel_compiles_for_a_gpu(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    script = Path(__file__).with_name("compile_kernels.py")
    done = subprocess.run(
        [sys.executable, script, "90"],
        env={**environment, "TRITON_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    compiled = [line.split() for line in done.stdout.splitlines()]
    names = {"integrate", "accumulate", "differentiate", "standardise", "standardise_backward", "sum_rows"}
    assert {kernel for kernel, _ in compiled} == names
    assert all(int(size) > 0 for _, size in compiled)


def test_the_benchmark_calls_every_kernel_and_says_that_it_needs_a_gpu():
    called = []

    def bench(run) -> float:
        called.append(run())
        return 2.0

    layers, like = [((2, 20), None), ((2, 8, 5, 4), (2, 2))], torch.zeros((), device=DEVICE)
    rows = list(gpu_kernels.measure({"eager": eager, "fused": fused}, layers, [1, 3], like, bench))
    assert len(called) == len(rows)
    first = rows[0]
    assert (first.name, first.layer, first.who) == ("integrate", "1 x 2x20", "eager")
    assert first.nanoseconds == pytest.approx(2e6 / 40)
    assert first.bytes_per_second == pytest.approx(40 * (3 * 4 + 8) / 2e-3)
    if not ON_GPU:
        done = subprocess.run([sys.executable, "-m", gpu_kernels.__name__], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 2
        assert "needs a CUDA device" in done.stderr


@pytest.mark.gpu
def test_kernels_are_captured_in_a_graph():
    inputs = Inputs("several programs", BF16, "sigmoid")
    currents, gradients = inputs.grid(5, -3, 5, 0.5), inputs.gradients(5)

    def step() -> list[torch.Tensor]:
        seen, kept = fused.integrate(currents.clone(), None, None, inputs.neuron, 5, inputs.outlet, True)
        return [seen, fused.reverse_(gradients, kept, inputs.neuron, inputs.outlet, True)]

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        expected = step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    for each in captured:
        each.fill_(-1)
    graph.replay()
    assert all(map(torch.equal, captured, expected))


@pytest.mark.parametrize("network", ["conv", "gap"])
def test_a_trained_network_with_fused_neurons_is_counted_as_an_eager_one(network):
    """A trial's state was made for speed, and predicts once more where operators are counted."""
    readings = []
    for kernels in (eager, fused):
        learner, state = prepared("saf", network, precision="fp32", threshold=0.8)
        state.network = state.network._replace(kernels=kernels)
        inputs = batch(network).inputs.to(DEVICE)
        for gauge in (Inference(), SynapticOperations()):
            predict = partial(learner.predict, state, inputs)
            readings.append(deployed(gauge, predict, len(inputs)))
    assert readings[:2] == readings[2:]
    assert readings[0]["inference_uncovered"] == {}
    assert not any(isinstance(reading, Reading) for found in readings for reading in found.values())
