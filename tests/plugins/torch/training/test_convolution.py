"""Convolutions whose weight gradient comes from patches: torch's own gradients, in as many operations."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from harness_torch.instruments.operation_counts import Operations
from harness_torch.training import convolution
from harness_torch.training.convolution import by_patches, convolve, convolve_backward

# inputs, outputs, kernel, stride, rows, (height, width)
SHAPES = [
    (3, 4, 3, 1, 5, (6, 6)),
    (2, 7, 3, 2, 4, (7, 5)),
    (5, 3, 1, 1, 3, (4, 6)),
    (5, 3, 1, 2, 3, (5, 6)),
    (2, 3, 5, 1, 2, (8, 3)),
    (4, 2, 3, 1, 1, (1, 1)),
    (1, 2, 3, 1, 6, (5, 5)),
]


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setattr(convolution, "by_patches", lambda *_: True)


def example(shape, layout=torch.channels_last):
    inputs, outputs, size, stride, rows, area = shape
    generator = torch.Generator().manual_seed(1)

    def random(*sizes):
        return torch.randn(*sizes, generator=generator, dtype=torch.float64)

    x = random(rows, inputs, *area).contiguous(memory_format=layout)
    weight = random(outputs, inputs, size, size).contiguous(memory_format=layout)
    bias = random(outputs)
    y = F.conv2d(x, weight, bias, stride=stride, padding=size // 2)
    return x, weight, bias, stride, random(*y.shape).contiguous(memory_format=layout)


@pytest.mark.parametrize("numbers", [1, 300, 2000, 2**16], ids=lambda numbers: f"blocks of {numbers}")
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients_are_those_of_autograd(shape, layout, numbers, always, monkeypatch):
    monkeypatch.setattr(convolution, "SMALLEST_BLOCK", numbers)
    monkeypatch.setattr(convolution, "LARGEST_BLOCK", numbers)
    x, weight, bias, stride, gradient = example(shape, layout)
    leaves = [each.requires_grad_() for each in (x, weight, bias)]
    padding = weight.shape[-1] // 2
    expected = torch.autograd.grad(F.conv2d(*leaves, stride=stride, padding=padding), leaves, gradient)
    found = torch.autograd.grad(convolve(*leaves, stride), leaves, gradient)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("needs", [(a, b, c) for a in (False, True) for b in (False, True) for c in (False, True)])
def test_what_is_not_needed_is_none(needs, always):
    x, weight, _, stride, gradient = example(SHAPES[0])
    found = convolve_backward(gradient, x, weight, needs, stride)
    assert tuple(each is not None for each in found) == needs


def test_an_expanded_gradient_is_taken_too(always):
    x, weight, _, stride, gradient = example(SHAPES[0])
    spread = gradient.mean((2, 3), keepdim=True).expand_as(gradient)
    whole = convolve_backward(spread.contiguous(), x, weight, (True, True, True), stride)
    for one, other in zip(convolve_backward(spread, x, weight, (True, True, True), stride), whole, strict=True):
        torch.testing.assert_close(one, other)


def test_without_a_gradient_nothing_is_kept(always):
    x, weight, bias, stride, _ = example(SHAPES[0])
    with torch.no_grad():
        assert convolve(x, weight.requires_grad_(), bias, stride).grad_fn is None


def test_operations_are_as_many():
    x, weight, bias, stride, gradient = example(SHAPES[1])
    counted = []
    for patches in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(convolution, "by_patches", lambda *_, patches=patches: patches)
            gauge = Operations()
            with gauge.session(), gauge.measure("update", len(x)):
                convolve(x, weight.detach().requires_grad_(), bias, stride).backward(gradient)
            with FlopCounterMode(display=False) as torchs:
                convolve(x, weight.detach().requires_grad_(), bias, stride).backward(gradient)
        ours = {key: gauge.readings()[key] for key in ("forward_macs", "backward_macs", "uncovered")}
        counted.append((ours, torchs.get_total_flops()))
    assert counted[0] == counted[1]
    assert counted[0][0]["backward_macs"] > 0


@pytest.fixture
def one_thread_of_avx2(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")


def maps(rows=2, channels=64, dtype=torch.float32, device="cpu"):
    return torch.empty(rows, channels, 4, 4, dtype=dtype, device=device)


def kernels(outputs=128, inputs=64):
    return torch.empty(outputs, inputs, 3, 3)


def test_patches_are_taken_where_they_were_measured_to_be_quicker(one_thread_of_avx2):
    assert by_patches(maps(), kernels())


@pytest.mark.parametrize(
    ("x", "weight"),
    [
        (maps(rows=1), kernels()),
        (maps(dtype=torch.float64), kernels()),
        (maps(dtype=torch.bfloat16), kernels()),
        (maps(device="meta"), kernels()),
        (maps(channels=3), kernels(128, 3)),
        (maps(), kernels(31)),
    ],
    ids=["one image", "double", "bfloat16", "another device", "three channels", "few channels"],
)
def test_and_nowhere_else(x, weight, one_thread_of_avx2):
    assert not by_patches(x, weight)


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [(torch, "get_num_threads", 2), (torch.backends.cpu, "get_cpu_capability", "AVX512")],
    ids=["two threads", "AVX-512"],
)
def test_nor_on_another_cpu(module, name, value, one_thread_of_avx2, monkeypatch):
    monkeypatch.setattr(module, name, lambda: value)
    assert not by_patches(maps(), kernels())
