"""The eager kernels, which define the truth, against loops over Python numbers and against autograd, in float64."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from tiny_problems import normal

from harness_spiking import kernels
from harness_spiking.connections import Outlet
from harness_spiking.kernels import choose, eager, history
from harness_spiking.neuron import Neuron
from harness_spiking.surrogates import SURROGATES, Arctan, Rectangle, Sigmoid, Triangle

K, B, C, H, W = 5, 2, 3, 5, 6
DERIVATIVES = {
    Sigmoid: lambda x: math.exp(-x) / (1 + math.exp(-x)) ** 2,
    Rectangle: lambda x: float(-1 <= x <= 1),
    Triangle: lambda x: max(0.0, 1 - abs(x)),
    Arctan: lambda x: 1 / (2 * (1 + (math.pi * x / 2) ** 2)),
}
INTEGRALS = {
    Sigmoid: torch.sigmoid,
    Rectangle: lambda x: x.clamp(-1, 1),
    Triangle: lambda x: x.clamp(-1, 1) - x.clamp(-1, 1) * x.clamp(-1, 1).abs() / 2,
    Arctan: lambda x: torch.arctan(math.pi * x / 2) / math.pi,
}
surrogates = pytest.mark.parametrize("surrogate", SURROGATES.values(), ids=list(SURROGATES))
outlets = pytest.mark.parametrize(("window", "masked"), [(None, False), (None, True), ((2, 2), False), ((5, 6), True)])


def outlet_of(window: tuple[int, int] | None, masked: bool) -> Outlet:
    return Outlet(window, (normal(B, C, H, W, seed=7) > -0.5) * 1.25 if masked else None)


def neuron_of(surrogate, leak: float = 0.7, threshold: float = 0.8) -> Neuron:
    return Neuron(leak, threshold, surrogate(1.0))


def lif(currents: list[float], neuron: Neuron) -> tuple[list[int], list[float]]:
    """One neuron from rest: its spikes and u - V_th, straight from the equations."""
    u, s, spikes, distances = 0.0, 0, [], []
    for current in currents:
        u = neuron.leak * (u - neuron.threshold * s) + current
        s = int(u >= neuron.threshold)
        spikes.append(s)
        distances.append(u - neuron.threshold)
    return spikes, distances


def all_neurons(x: torch.Tensor) -> list[list[float]]:
    """The course of each neuron of (K, ...) over time."""
    return x.flatten(1).T.tolist()


@pytest.mark.parametrize("chunks", [[5], [2, 3], [1, 1, 1, 1, 1]])
@surrogates
def test_integrate_is_the_lif_equation(surrogate, chunks):
    neuron, currents = neuron_of(surrogate), normal(K, B, C)
    runs = [lif(course, neuron) for course in all_neurons(currents)]
    carried = torch.full((B, C), -neuron.threshold, dtype=torch.float64)
    parts = [
        eager.integrate(part + neuron.shift, None, carried, neuron, len(part), Outlet(), keep=True)
        for part in currents.clone().split(chunks)
    ]
    spikes, kept = (torch.cat(each) for each in zip(*parts, strict=True))
    assert all_neurons(spikes) == [course for course, _ in runs]
    assert 0.05 < spikes.mean() < 0.95
    phi = DERIVATIVES[surrogate]
    slopes = surrogate(1.0).backward_(torch.ones_like(kept), kept)
    expected = torch.tensor([[phi(z) for z in distances] for _, distances in runs], dtype=torch.float64)
    torch.testing.assert_close(slopes.flatten(1).T, expected)


def test_integrate_starts_at_rest_and_adds_the_shift_of_each_channel():
    neuron, currents, shift = neuron_of(Sigmoid), normal(K, B, C, H, W), normal(K, C, seed=1)
    whole = currents + shift[:, None, :, None, None]
    expected = [lif(course, neuron)[0] for course in all_neurons(whole)]
    spikes, _ = eager.integrate(currents, shift + neuron.shift, None, neuron, K, Outlet(), keep=False)
    assert all_neurons(spikes) == expected


@pytest.mark.parametrize("shifted", [False, True])
def test_integrate_leaves_a_current_that_holds_at_all_steps_as_it_is(shifted):
    neuron, current = neuron_of(Sigmoid), normal(1, B, C)
    before, shift = current.clone(), normal(1, C, seed=1) + neuron.shift
    whole = current + (shift[:, None] if shifted else 0) - neuron.shift
    expected = [lif(course, neuron)[0] for course in all_neurons(whole.expand(K, B, C))]
    spikes, kept = eager.integrate(current, shift if shifted else None, None, neuron, K, Outlet(), keep=True)
    assert all_neurons(spikes) == expected
    assert spikes.any()
    assert kept.shape == (K, B, C)
    assert torch.equal(current, before)


@outlets
def test_the_next_layer_sees_spikes_dropped_and_pooled(window, masked):
    neuron, currents = neuron_of(Sigmoid), normal(K, B, C, H, W)
    outlet = outlet_of(window, masked)
    spikes, _ = eager.integrate(currents.clone(), None, None, neuron, K, Outlet(), keep=False)
    seen, _ = eager.integrate(currents.clone(), None, None, neuron, K, outlet, keep=False)
    down, right = window or (1, 1)
    for t, b, c, y, x in product(range(K), range(B), range(C), range(H // down), range(W // right)):
        inside = (..., slice(y * down, (y + 1) * down), slice(x * right, (x + 1) * right))
        factors = outlet.mask[b, c][inside] if masked else torch.ones(down, right)
        total = sum((spikes[t, b, c][inside] * factors).flatten().tolist())
        assert seen[t, b, c, y, x].item() == pytest.approx(total / (down * right))
    assert seen.shape == (K, B, C, H // down, W // right)


@pytest.mark.parametrize("chunks", [[5], [2, 3], [1, 1, 1, 1, 1]])
@outlets
def test_traces_are_of_what_the_next_layer_sees(window, masked, chunks):
    neuron, currents, outlet = neuron_of(Sigmoid), normal(K, B, C, H, W), outlet_of(window, masked)
    plain, plainly_kept = eager.integrate(currents.clone(), None, None, neuron, K, outlet, keep=True)
    carried = torch.full((B, C, H, W), -neuron.threshold, dtype=torch.float64)
    trace = torch.zeros_like(plain[0])
    parts = []
    for part in currents.clone().split(chunks):
        found = eager.integrate_traced(part, None, carried, trace, neuron, len(part), outlet, keep=True)
        assert torch.equal(found[1][-1], trace)
        parts.append([each.clone() for each in found])
    seen, traces, kept = (torch.cat(each) for each in zip(*parts, strict=True))
    torch.testing.assert_close(seen, plain)
    torch.testing.assert_close(kept, plainly_kept)
    expected = [
        [sum(neuron.leak ** (t - k) * course[k] for k in range(t + 1)) for t in range(K)]
        for course in all_neurons(plain)
    ]
    torch.testing.assert_close(traces.flatten(1).T, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("chunks", [[5], [2, 3], [1, 1, 1, 1, 1]])
@outlets
def test_a_trace_of_a_populations_own_spikes_is_neither_dropped_nor_pooled(window, masked, chunks):
    neuron, currents, outlet = neuron_of(Sigmoid), normal(K, B, C, H, W), outlet_of(window, masked)
    plain, _ = eager.integrate(currents.clone(), None, None, neuron, K, outlet, keep=True)
    spikes, _ = eager.integrate(currents.clone(), None, None, neuron, K, Outlet(), keep=True)
    last, w = torch.zeros_like(spikes[0]), torch.full((B, C, H, W), -neuron.threshold, dtype=torch.float64)
    parts = []
    for part in currents.clone().split(chunks):
        seen, none, _ = eager.integrate_traced(part, None, w, last, neuron, len(part), outlet, keep=False, own=True)
        assert len(none) == 0
        parts.append(seen.clone())
    torch.testing.assert_close(torch.cat(parts), plain)
    leaks = torch.tensor([neuron.leak ** (K - 1 - t) for t in range(K)], dtype=torch.float64)
    torch.testing.assert_close(last, torch.tensordot(leaks, spikes, 1))


@pytest.mark.parametrize("places", [1, 4, 16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_trace_is_carried_in_bfloat16_and_exact_up_to_eight_bits(places, dtype):
    longest = 8 - places.bit_length() + 1
    trains = torch.randint(places + 1, (longest + 1, 4000), generator=torch.Generator().manual_seed(0)) / places
    trains[:, 0], trains[0, 0] = 1, 1 / places  # the most bits that there can be
    narrow, wide = torch.zeros(4000, dtype=torch.bfloat16), torch.zeros(4000, dtype=torch.float64)
    for step, seen in enumerate(trains):
        found = eager.trace_(seen[None].to(dtype), narrow, 0.5)
        eager.trace_(seen[None].double(), wide, 0.5)
        assert found.dtype == dtype
        assert torch.equal(found[0].double(), wide) == (step < longest)


@pytest.mark.parametrize("dtype", [torch.float64, torch.uint8, torch.uint16])
@surrogates
def test_accumulate_is_the_equation_of_the_trace(surrogate, dtype):
    neuron = neuron_of(surrogate, leak=0.7 if dtype == torch.float64 else 0.5)
    potentials, shift = normal(K, B, C).cumsum(0), normal(K, C, seed=1)
    runs = []
    for course in all_neurons(potentials + shift[:, None]):
        trace, traces, slopes = 0.0, [], []
        for distance in course:  # U - V_th
            z = distance - neuron.threshold * neuron.leak * trace
            trace = neuron.leak * trace + (z >= 0)
            traces.append(trace)
            slopes.append(DERIVATIVES[surrogate](z))
        runs.append((traces, slopes))
    carried = torch.zeros(B, C, dtype=torch.float64).to(dtype)
    first = eager.accumulate(potentials[:2].clone(), shift[:2], carried, neuron, Outlet(), keep=True)
    traces, kept = (a.clone() for a in first)
    more = eager.accumulate(potentials[2:].clone(), shift[2:], carried, neuron, Outlet(), keep=True)
    traces, kept = torch.cat([traces, more[0]]), torch.cat([kept, more[1]])
    expected = torch.tensor([each for each, _ in runs], dtype=torch.float64)
    torch.testing.assert_close(traces.flatten(1).T, expected)
    torch.testing.assert_close(history.decode(carried, torch.float64).flatten(), expected[:, -1])
    slopes = surrogate(1.0).backward_(torch.ones_like(kept), kept)
    torch.testing.assert_close(slopes.flatten(1).T, torch.tensor([each for _, each in runs], dtype=torch.float64))


@outlets
def test_the_next_layer_sees_traces_dropped_and_pooled(window, masked):
    neuron, potentials, outlet = neuron_of(Sigmoid), normal(K, B, C, H, W), outlet_of(window, masked)
    carried = [torch.zeros(B, C, H, W, dtype=torch.float64) for _ in range(2)]
    traces, _ = eager.accumulate(potentials.clone(), None, carried[0], neuron, Outlet(), keep=False)
    seen, _ = eager.accumulate(potentials.clone(), None, carried[1], neuron, outlet, keep=False)
    torch.testing.assert_close(seen, torch.stack([out(each, outlet) for each in traces]))
    assert torch.equal(carried[0], carried[1])


def spike(x: torch.Tensor, surrogate) -> torch.Tensor:
    """A step whose derivative is that of the surrogate's integral."""
    smooth = INTEGRALS[surrogate](x)
    return ((x >= 0).double() - smooth).detach() + smooth


def out(s: torch.Tensor, outlet: Outlet) -> torch.Tensor:
    s = s if outlet.mask is None else s * outlet.mask
    return s if outlet.window is None else F.avg_pool2d(s, outlet.window)


@pytest.mark.parametrize("detach_reset", [True, False])
@outlets
@surrogates
def test_reverse_is_backpropagation_through_time(surrogate, window, masked, detach_reset):
    neuron, outlet = neuron_of(surrogate), outlet_of(window, masked)
    currents = normal(K, B, C, H, W).requires_grad_()
    u, s, seen = 0.0, 0.0, []
    for current in currents:
        u = neuron.leak * (u - neuron.threshold * s) + current
        fired = spike(u - neuron.threshold, surrogate)
        s = fired.detach() if detach_reset else fired
        seen.append(out(fired, outlet))
    gradients = normal(*torch.stack(seen).shape, seed=3)
    torch.stack(seen).backward(gradients)

    ours, kept = eager.integrate(currents.detach() + neuron.shift, None, None, neuron, K, outlet, keep=True)
    torch.testing.assert_close(ours, torch.stack(seen).detach())
    whole = eager.reverse_(gradients, kept.clone(), neuron, outlet, detach_reset)
    torch.testing.assert_close(whole, currents.grad)
    # In two parts, the first step of the second one's known to the first: the same to the last bit.
    behind = eager.reverse_(gradients[2:], kept[2:].clone(), neuron, outlet, detach_reset)
    before = eager.reverse_(gradients[:2], kept[:2].clone(), neuron, outlet, detach_reset, behind[0])
    assert torch.equal(torch.cat([before, behind]), whole)


@outlets
@surrogates
def test_backward_is_the_gradient_within_a_step(surrogate, window, masked):
    neuron, outlet = neuron_of(surrogate), outlet_of(window, masked)
    z = normal(K, B, C, H, W).requires_grad_()
    seen = torch.stack([out(spike(step, surrogate), outlet) for step in z])
    gradients = normal(*seen.shape, seed=3)
    seen.backward(gradients)
    kept = surrogate(1.0).save_(z.detach().clone())
    torch.testing.assert_close(eager.backward_(gradients, kept, neuron, outlet), z.grad)


@pytest.mark.parametrize(("dtype", "bits"), [(torch.uint8, 8), (torch.uint16, 16)])
def test_a_history_is_the_trace_of_its_bits(dtype, bits):
    every = torch.arange(2**bits, dtype=torch.int32)
    latest_first = [(every >> (bits - 1 - age)) & 1 for age in range(bits)]
    expected = sum(bit.double() / 2**age for age, bit in enumerate(latest_first))
    assert torch.equal(history.decode(every.to(dtype), torch.float64), expected)
    if dtype == torch.uint8:
        assert torch.equal(history.decode(every.to(dtype), torch.bfloat16).double(), expected)


@pytest.mark.parametrize(("dtype", "bits"), [(torch.uint8, 8), (torch.uint16, 16)])
def test_a_history_forgets_what_is_older_than_its_bits(dtype, bits):
    trains = (normal(bits + 1, 50) > 0).double()
    trains[0] = 1
    trace, kept = torch.zeros(50, dtype=torch.float64), torch.zeros(50, dtype=torch.int32).to(dtype)
    for step, fired in enumerate(trains):
        trace = trace / 2 + fired
        history.push_(kept, fired, 0.5)
        lost = trace - history.decode(kept, torch.float64)
        assert torch.equal(lost, torch.full_like(lost, 0.5**bits if step == bits else 0))


def test_the_narrowest_history_that_is_exact():
    exact = [history.narrowest(0.5, steps) for steps in (1, 8, 9, 16, 17)]
    assert exact == [torch.uint8, torch.uint8, torch.uint16, torch.uint16, torch.float32]
    assert history.narrowest(0.9, 2) == torch.float32
    trace = torch.tensor([0.5])
    assert history.push_(trace, torch.ones(1), 0.9).item() == pytest.approx(1.45)


def test_no_kernel_needs_triton_until_a_gpu_asks_for_it():
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "from harness_spiking.kernels import choose\n"
        "print(choose('auto', 'cpu', False).name, choose('eager', 'cuda', False).name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["eager", "eager"]
    assert choose("auto", "cpu", eager=False) is eager
    assert choose("auto", "cuda", eager=True) is eager


@pytest.mark.parametrize(
    ("triton", "compiler", "cc", "headers", "expected"),
    [
        (True, "gcc", None, True, "fused"),
        (True, "clang", None, True, "fused"),
        (True, "/opt/cc", "/opt/cc", True, "fused"),
        (True, "gcc", "/opt/cc", True, "eager"),
        (True, None, None, True, "eager"),
        (True, "gcc", None, False, "eager"),
        (False, "gcc", None, True, "eager"),
    ],
)
def test_fused_kernels_take_triton_a_c_compiler_and_the_headers_of_python(
    triton, compiler, cc, headers, expected, monkeypatch, tmp_path
):
    monkeypatch.setattr(kernels, "find_spec", lambda name: name if triton else None)
    monkeypatch.setattr(kernels, "which", lambda name: name if name == compiler else None)
    monkeypatch.setattr(kernels, "import_module", lambda name: name.rpartition(".")[2])
    monkeypatch.setattr("sysconfig.get_paths", lambda scheme: {"include": str(tmp_path)})
    if headers:
        (tmp_path / "Python.h").touch()
    if cc is None:
        monkeypatch.delenv("CC", raising=False)
    else:
        monkeypatch.setenv("CC", cc)
    assert choose("auto", "cuda:1", eager=False) == expected
