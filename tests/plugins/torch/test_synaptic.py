"""Synaptic operations: pairs of nonzero weight and nonzero input, counted by hand and one by one."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from deploying import deployed
from torch import Tensor, nn

from harness import Unsupported
from harness_torch import spikes
from harness_torch.costs.nonzero_pairs import count_matrix_pairs
from harness_torch.instruments.operation_counts import Inference
from harness_torch.instruments.synaptic_operations import SynapticOperations


def predict(run: Callable[[], Any], examples: int = 1) -> dict[str, Any]:
    return deployed(SynapticOperations(), run, examples)


def fired(*rows: list[int]) -> Tensor:
    """Declared spikes."""
    made = torch.tensor(rows, dtype=torch.float32)
    spikes(made)
    return made


# --- by hand ------------------------------------------------------------------------------------------------------


def test_linear_counts_pairs_of_nonzeros() -> None:
    layer = nn.Linear(3, 2)
    layer.weight.data = torch.tensor([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0]])
    x = torch.tensor([[0.5, 1.0, 0.0], [0.0, 1.0, -1.0]])
    # input 0 reaches one unit, input 1 none, input 2 both; each of inputs 0 and 2 is nonzero once
    assert predict(lambda: layer(x), examples=2) == {
        "synaptic_ops": 3 / 2,
        "synaptic_acs": 0.0,
        "synaptic_macs": 3 / 2,
        "synaptic_dense_ops": 6.0,
        "synaptic_uncovered": {},
        "synaptic_uncovered_share": 0,
    }


def test_bf16_is_counted_as_exactly() -> None:
    """More nonzeros in a row than bf16 can count (256), and spikes that are still spikes in another width."""
    weight = torch.ones(1001, 7)
    readings = predict(lambda: fired([1] * 1001, [1] * 1001, [1] * 1001).bfloat16() @ weight.bfloat16())
    assert readings["synaptic_acs"] == readings["synaptic_dense_ops"] == 3 * 1001 * 7


def test_a_convolution_skips_padding_zero_weights_and_zero_inputs() -> None:
    conv = nn.Conv2d(1, 1, 3, padding=1, stride=2, bias=False)
    conv.weight.data = torch.tensor([[[[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]]])
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 0, 0] = x[0, 0, 1, 1] = x[0, 0, 2, 3] = 1.0
    # Centres stand at (0, 0), (0, 2), (2, 0), (2, 2). Pixel (0, 0) meets the centre tap of the first; pixel (1, 1) a
    # corner of each of the four; pixel (2, 3) an edge tap, which is zero.
    readings = predict(lambda: conv(x))
    assert readings["synaptic_ops"] == 1 + 4
    # Seen without padding: 2x2 taps at the corner, 2x3 and 3x2 at the borders, 3x3 inside.
    assert readings["synaptic_dense_ops"] == 4 + 6 + 6 + 9


def test_steps_add_up_and_firing_rate_is_per_neuron_and_step() -> None:
    layer = nn.Linear(3, 4)
    silent = [0, 0, 0]

    def run() -> None:
        for row in ([1, 0, 1], silent, [1, 1, 1], [0, 1, 0]):
            layer(fired(row))

    readings = predict(run)
    assert (readings["synaptic_acs"], readings["synaptic_macs"]) == (6 * 4, 0)
    assert readings["firing_rate"] == 6 / 12


def test_a_silent_or_binary_input_of_an_ordinary_network_multiplies() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    for parameter in net.parameters():
        parameter.data.fill_(1.0)
    for x, hidden in ((torch.zeros(1, 3), 4), (torch.eye(3), 12)):
        readings = predict(lambda x=x: net(x))
        assert readings["synaptic_acs"] == 0
        assert readings["synaptic_macs"] == x.count_nonzero() * 4 + hidden * 2
        assert "firing_rate" not in readings


def test_views_and_copies_of_spikes_are_spikes_and_averages_are_not() -> None:
    weight = torch.ones(2, 4)

    def run(change: Callable[[Tensor], Tensor]) -> tuple[float, float]:
        readings = predict(lambda: F.linear(change(fired([1, 0, 1, 0], [1, 1, 1, 1])), weight))
        return readings["synaptic_acs"], readings["synaptic_macs"]

    same_values: list[Callable[[Tensor], Tensor]] = [
        lambda s: s,
        lambda s: s.flip(1),
        lambda s: s.t().contiguous().t(),
        lambda s: s.view(4, 2).reshape(2, 4),
        lambda s: s.double().float(),
        lambda s: torch.empty(2, 4).copy_(s),
        lambda s: torch.cat([s[:1], s[1:]]),
    ]
    for same in same_values:
        assert run(same) == (12, 0)
    for other in (
        lambda s: s * 0.5,
        lambda s: s.mul_(0.5),
        lambda s: s + 0,
        lambda s: torch.cat([s[:1], torch.ones(1, 4)]),
    ):
        assert run(other)[0] == 0


def test_either_factor_may_be_the_input() -> None:
    weight = torch.ones(3, 5)
    assert predict(lambda: fired([1, 0, 1]) @ weight)["synaptic_acs"] == 10
    assert predict(lambda: weight.T @ fired([1, 0, 1]).T)["synaptic_acs"] == 10
    assert predict(lambda: weight.T @ fired([1, 0, 1])[0])["synaptic_acs"] == 10
    assert predict(lambda: torch.einsum("bi,io->bo", fired([1, 0, 1]), weight))["synaptic_acs"] == 10


def test_counts_are_exact_beyond_single_precision() -> None:
    """63 x 4097 x 4099 is odd and above 2**24: a float32 sum cannot hold it."""
    x, w = torch.ones(1).expand(63, 4097), torch.ones(1).expand(4097, 4099)
    found = count_matrix_pairs(x, w)
    assert found.effective == found.dense == 63 * 4097 * 4099 == 1057996989
    assert float(torch.tensor(float(found.effective), dtype=torch.float32)) != found.effective


def test_a_product_inside_one_operator_is_a_hole() -> None:
    with pytest.raises(Unsupported, match="zeros cannot be seen"):
        predict(lambda: nn.LSTM(3, 4)(torch.ones(2, 1, 3)))
    q = torch.ones(1, 1, 4, 8)
    with pytest.raises(Unsupported, match="attention"):
        predict(lambda: F.scaled_dot_product_attention(q, q, q))


def test_an_operator_without_a_formula_is_listed() -> None:
    readings = predict(lambda: torch.fft.fft(torch.ones(8)))
    assert list(readings["synaptic_uncovered"]) == ["aten::_fft_r2c"]
    assert readings["synaptic_uncovered_share"] > 0.01
    assert readings["synaptic_ops"] == 0


def test_nothing_is_declared_or_kept_when_nobody_measures() -> None:
    spikes(torch.ones(3))
    gauge = SynapticOperations()
    nn.Linear(3, 2)(torch.ones(1, 3))
    assert gauge.readings() == {}


# --- one by one ---------------------------------------------------------------------------------------------------

SHAPES = [
    {"kernel_size": 3},
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": (3, 2), "stride": (1, 2), "dilation": (2, 1), "padding": (2, 1)},
    {"kernel_size": 3, "groups": 2, "padding": 1, "stride": 2},
    {"kernel_size": 3, "stride": 3, "padding": 2},
    {"kernel_size": 2, "dilation": 4, "padding": 4},
]


def one_by_one(image: Tensor, weight: Tensor, forward: Callable[[Tensor, Tensor], Tensor]) -> tuple[int, int]:
    """(effective, dense) from the operator itself on masks in double precision."""
    masks = ((each != 0).double() for each in (image, weight))
    ones = (torch.ones_like(each, dtype=torch.float64) for each in (image, weight))
    return round(forward(*masks).sum().item()), round(forward(*ones).sum().item())


@pytest.mark.parametrize("options", SHAPES)
@pytest.mark.parametrize("transposed", [False, True])
def test_convolutions_against_masks(options: dict[str, Any], transposed: bool) -> None:
    torch.manual_seed(0)
    sort, operator = (nn.ConvTranspose2d, F.conv_transpose2d) if transposed else (nn.Conv2d, F.conv2d)
    conv = sort(4, 6, bias=False, **options)
    conv.weight.data *= torch.rand_like(conv.weight) > 0.4
    x = torch.randn(3, 4, 7, 6).relu()
    slide = {name: value for name, value in options.items() if name != "kernel_size"}
    readings = predict(lambda: conv(x))
    effective, dense = one_by_one(x, conv.weight.data, lambda a, b: operator(a, b, **slide))
    assert (readings["synaptic_ops"], readings["synaptic_dense_ops"]) == (effective, dense)


@pytest.mark.parametrize("axes", [1, 3])
def test_convolutions_in_one_and_three_dimensions(axes: int) -> None:
    torch.manual_seed(0)
    operator = {1: F.conv1d, 3: F.conv3d}[axes]
    weight, x = torch.randn(4, 2, *[3] * axes).relu(), torch.randn(2, 2, *[5] * axes).relu()
    readings = predict(lambda: operator(x, weight, padding=1, stride=2))
    effective, dense = one_by_one(x, weight, lambda a, b: operator(a, b, padding=1, stride=2))
    assert (readings["synaptic_ops"], readings["synaptic_dense_ops"]) == (effective, dense)


def test_products_against_a_loop() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(2, 4, 5).relu(), torch.randn(2, 5, 3).relu()
    looped = sum(
        bool(a[n, i, k]) and bool(b[n, k, j])
        for n, i, k, j in itertools.product(range(2), range(4), range(5), range(3))
    )
    assert 0 < looped < 120
    rows = list(zip(a, b, strict=True))
    for run in (
        lambda: a @ b,
        lambda: torch.baddbmm(torch.ones(2, 4, 3), a, b),
        lambda: torch.addbmm(torch.ones(4, 3), a, b),
        lambda: [x.to_sparse() @ y for x, y in rows],
        lambda: [F.linear(x, y.T, torch.ones(3)) for x, y in rows],
    ):
        readings = predict(run)
        assert (readings["synaptic_ops"], readings["synaptic_dense_ops"]) == (looped, 120)


def test_inference_mode_counts_the_same() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))
    x = torch.randn(2, 1, 4, 4)

    def infer() -> None:
        with torch.inference_mode():
            net(x)

    assert predict(infer) == predict(lambda: net(x))


def test_without_zeros_or_padding_it_is_the_number_of_macs() -> None:
    net = nn.Sequential(nn.Conv2d(2, 3, 3, stride=2), nn.Sigmoid(), nn.Flatten(), nn.Linear(27, 4))
    x = torch.rand(5, 2, 7, 7) + 0.1
    macs = deployed(Inference(), lambda: net(x), 5)["inference_macs"]
    readings = predict(lambda: net(x), examples=5)
    assert readings["synaptic_ops"] == readings["synaptic_dense_ops"] == macs


def test_real_and_imaginary_parts_meet_each_other() -> None:
    """(1 + 0i) and (2 + 3i) meet in two products, (1 + i) and (2 + 3i) in four, 0 in none."""
    left = torch.tensor([[1.0 + 0j, 1 + 1j, 0]])
    right = torch.tensor([[2.0 + 3j], [2 + 3j], [2 + 3j]])
    readings = predict(lambda: left @ right)
    assert readings["synaptic_ops"] == 2 + 4
    macs = deployed(Inference(), lambda: left @ right)["inference_macs"]
    assert readings["synaptic_dense_ops"] == macs == 4 * 3
