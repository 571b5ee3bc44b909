"""Operations, counted by hand and by torch's own counter."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from deploying import deployed
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from harness_torch.instruments.operation_counts import Inference, Operations
from harness_torch.phases import phase

B = 5


def update(run: Callable[[], Any], examples: int = B) -> dict[str, Any]:
    gauge = Operations()
    with gauge.session(), gauge.measure("update", examples):
        run()
    return dict(gauge.readings())


def prediction(run: Callable[[], Any], examples: int = B) -> dict[str, Any]:
    return deployed(Inference(), run, examples)


def macs(run: Callable[[], Any]) -> int:
    readings = update(run)
    assert readings["uncovered"] == {}
    return readings["forward_macs"]


def ops(run: Callable[[], Any]) -> int:
    readings = update(run)
    assert readings["uncovered"] == {}
    assert readings["total_macs"] == 0
    return readings["elementwise_ops"]


def torchs_own(run: Callable[[], Any]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() // 2


# --- products -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [False, True])
def test_linear_forward_and_backward(bias: bool) -> None:
    first, second = nn.Linear(7, 11, bias=bias), nn.Linear(11, 3, bias=bias)
    x = torch.randn(B, 7)
    readings = update(lambda: second(first(x)).sum().backward())
    assert readings["forward_macs"] == B * (7 * 11 + 11 * 3)
    assert readings["backward_macs"] == B * (7 * 11 + 2 * 11 * 3)  # the data want no gradient
    assert readings["optimizer_macs"] == 0
    assert readings["total_macs"] == readings["forward_macs"] + readings["backward_macs"]
    assert readings["forward_elementwise_ops"] == B * (11 + 3) * bias + B * 3
    assert readings["backward_elementwise_ops"] == B * (11 + 3) * bias
    assert readings["uncovered"] == {}
    assert all(isinstance(value, int) for name, value in readings.items() if name.endswith(("macs", "ops")))


def test_products_of_vectors_matrices_and_batches() -> None:
    a, b, v, w = torch.ones(4, 5), torch.ones(5, 6), torch.ones(5), torch.ones(4)
    stack, other = torch.ones(3, 4, 5), torch.ones(3, 5, 6)
    assert macs(lambda: a @ b) == 4 * 5 * 6
    assert macs(lambda: a @ v) == 4 * 5
    assert macs(lambda: torch.addmv(w, a, v)) == 4 * 5
    assert macs(lambda: v @ v) == 5
    assert macs(lambda: torch.addr(torch.ones(4, 5), w, v)) == 4 * 5
    assert macs(lambda: stack @ other) == 3 * 4 * 5 * 6
    assert macs(lambda: torch.baddbmm(torch.ones(3, 4, 6), stack, other)) == 3 * 4 * 5 * 6
    assert macs(lambda: torch.addbmm(torch.ones(4, 6), stack, other)) == 3 * 4 * 5 * 6
    assert macs(lambda: torch.mm(a, b, out=torch.empty(4, 6))) == 4 * 5 * 6
    assert macs(lambda: torch.einsum("nij,njk->nik", stack, other)) == 3 * 4 * 5 * 6
    assert macs(lambda: torch.einsum("nij,nij->n", stack, stack)) == 3 * 4 * 5
    assert macs(lambda: torch.tensordot(stack, other, dims=([0, 2], [0, 1]))) == 3 * 4 * 5 * 6
    assert macs(lambda: nn.Bilinear(4, 5, 6, bias=False)(torch.ones(B, 4), torch.ones(B, 5))) == B * 4 * 5 * 6


@pytest.mark.parametrize("run", [torch.bmm, lambda a, b: torch.einsum("nij,njk->nik", a, b)], ids=["bmm", "einsum"])
def test_batched_products_go_backward_into_both_factors(run: Callable[[Tensor, Tensor], Tensor]) -> None:
    a, b = torch.randn(3, 4, 5, requires_grad=True), torch.randn(3, 5, 6, requires_grad=True)
    readings = update(lambda: run(a, b).sum().backward())
    assert (readings["forward_macs"], readings["backward_macs"]) == (3 * 4 * 5 * 6, 2 * 3 * 4 * 5 * 6)
    assert readings["uncovered"] == {}


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
def test_a_sparse_product_goes_backward_into_the_dense_factor(layout: torch.layout) -> None:
    sparse, dense = torch.eye(4, 5).to_sparse(layout=layout), torch.ones(5, 6, requires_grad=True)
    readings = update(lambda: torch.sparse.mm(sparse, dense).sum().backward())
    assert (readings["forward_macs"], readings["backward_macs"]) == (4 * 6, 4 * 6)
    assert readings["uncovered"] == {}


def test_a_sparse_matrix_made_of_its_parts_is_no_work() -> None:
    rows, columns, values = torch.tensor([0, 2, 3]), torch.tensor([0, 3, 1]), torch.ones(3)

    def run() -> Tensor:
        return torch.sparse_csr_tensor(rows, columns, values, (2, 4), check_invariants=False) @ torch.ones(4, 5)

    assert macs(run) == 3 * 5


def test_products_in_an_optimisers_step_are_its_own() -> None:
    class Preconditioned(torch.optim.Optimizer):
        @torch.no_grad()
        def step(self, closure: Any = None) -> None:
            for weight in self.param_groups[0]["params"]:
                weight -= weight.grad @ weight.grad.T @ weight.grad

    weight = nn.Parameter(torch.randn(3, 7))
    optimizer = Preconditioned([weight], {})

    def train() -> None:
        (torch.ones(B, 3) @ weight).sum().backward()
        optimizer.step()

    readings = update(train)
    assert readings["forward_macs"] == readings["backward_macs"] == B * 3 * 7
    assert readings["optimizer_macs"] == 3 * 7 * 3 + 3 * 3 * 7
    assert readings["optimizer_elementwise_ops"] == 3 * 7


def test_an_accumulator_is_added_unless_beta_is_zero() -> None:
    a, b, c = torch.ones(4, 5), torch.ones(5, 6), torch.ones(4, 6)
    assert update(lambda: torch.addmm(c, a, b))["elementwise_ops"] == 4 * 6
    assert update(lambda: torch.addmm(c, a, b, beta=0))["elementwise_ops"] == 0


@pytest.mark.parametrize("zeros", [0, 7])
def test_sparse_products_count_stored_elements(zeros: int) -> None:
    dense = torch.ones(4, 5)
    dense.view(-1)[:zeros] = 0
    other = torch.ones(5, 6)
    stored = 20 - zeros
    assert macs(lambda: torch.sparse.mm(dense.to_sparse(), other)) == stored * 6
    assert macs(lambda: dense.to_sparse_csr() @ other) == stored * 6
    assert macs(lambda: dense.to_sparse_csr() @ torch.ones(5)) == stored
    # Each stored element of a column of the first meets each of that row of the second.
    pairs = sum(int(dense[:, k].count_nonzero()) * 6 for k in range(5))
    assert macs(lambda: dense.to_sparse() @ other.to_sparse()) == pairs


CONVOLUTIONS = [
    {"in_channels": 4, "out_channels": 6, "kernel_size": 3},
    {"in_channels": 4, "out_channels": 6, "kernel_size": 3, "stride": 2, "padding": 1},
    {"in_channels": 4, "out_channels": 6, "kernel_size": (3, 2), "stride": (1, 2), "dilation": 2, "padding": (2, 1)},
    {"in_channels": 4, "out_channels": 8, "kernel_size": 3, "groups": 2, "padding": 1},
    {"in_channels": 4, "out_channels": 4, "kernel_size": 5, "groups": 4, "padding": 2, "stride": 3},
    {"in_channels": 4, "out_channels": 6, "kernel_size": 3, "groups": 2, "dilation": (1, 2), "stride": 2},
]


@pytest.mark.parametrize("options", CONVOLUTIONS)
@pytest.mark.parametrize("wants_gradient", [False, True])
def test_convolutions_by_hand_and_by_torchs_counter(options: dict[str, Any], wants_gradient: bool) -> None:
    conv = nn.Conv2d(**options)
    x = torch.randn(2, 4, 11, 9, requires_grad=wants_gradient)
    height, width = (
        (size + 2 * pad - spread * (kernel - 1) - 1) // stride + 1
        for size, pad, spread, kernel, stride in zip(
            (11, 9), conv.padding, conv.dilation, conv.kernel_size, conv.stride, strict=True
        )
    )
    filters = conv.out_channels * conv.in_channels // conv.groups * math.prod(conv.kernel_size)
    expected = 2 * height * width * filters
    run = lambda: conv(x).sum().backward()  # noqa: E731
    readings = update(run)
    assert readings["forward_macs"] == expected
    assert readings["backward_macs"] == expected * (1 + wants_gradient)
    # torch counts the gradient of a grouped weight as if every filter saw every channel.
    assert readings["total_macs"] == torchs_own(run) - expected * (conv.groups - 1)
    # Bias added, outputs summed; the gradient of the bias is a sum over all outputs.
    outputs = 2 * height * width * conv.out_channels
    assert readings["elementwise_ops"] == 2 * outputs + outputs


@pytest.mark.parametrize("options", [{}, {"stride": 2, "output_padding": 1}, {"groups": 2, "dilation": 2}])
def test_transposed_convolutions(options: dict[str, Any]) -> None:
    conv = nn.ConvTranspose2d(4, 6, 3, bias=False, **options)
    x = torch.randn(2, 4, 5, 5, requires_grad=True)
    run = lambda: conv(x).sum().backward()  # noqa: E731
    readings = update(run)
    # Every input element is spread by every filter of its group.
    assert readings["forward_macs"] == 2 * 4 * 25 * (6 // conv.groups) * 9
    assert readings["backward_macs"] == 2 * readings["forward_macs"]
    assert readings["total_macs"] == torchs_own(run) - readings["forward_macs"] * (conv.groups - 1)


def test_convolutions_in_one_and_three_dimensions() -> None:
    assert macs(lambda: nn.Conv1d(3, 4, 5)(torch.ones(2, 3, 12))) == 2 * 4 * 8 * 3 * 5
    assert macs(lambda: nn.Conv3d(3, 4, 2)(torch.ones(2, 3, 4, 4, 4))) == 2 * 4 * 27 * 3 * 8
    assert macs(lambda: nn.Conv2d(3, 4, 3)(torch.ones(3, 8, 8))) == 4 * 36 * 3 * 9


def test_a_hand_written_backward_counts_what_it_asks_for() -> None:
    gradient, x, w = torch.ones(2, 6, 8, 8), torch.ones(2, 4, 10, 10), torch.ones(6, 4, 3, 3)
    forward = 2 * 6 * 64 * 4 * 9

    def backward(mask: list[bool]) -> None:
        with phase("backward"):
            torch.ops.aten.convolution_backward(gradient, x, w, [6], [1, 1], [0, 0], [1, 1], False, [0, 0], 1, mask)

    for mask in ([True, False, False], [False, True, False], [True, True, False], [False, False, False]):
        readings = update(lambda mask=mask: backward(mask))
        assert (readings["forward_macs"], readings["backward_macs"]) == (0, forward * sum(mask))
    assert update(lambda: backward([False, False, True]))["backward_elementwise_ops"] == 2 * 6 * 64


def test_a_network_agrees_with_torchs_counter() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 10),
    )  # fmt: skip
    x, y = torch.randn(B, 1, 8, 8), torch.randint(0, 10, (B,))
    run = lambda: F.cross_entropy(net(x), y).backward()  # noqa: E731
    readings = update(run)
    assert readings["total_macs"] == torchs_own(run)
    assert readings["forward_macs"] == torchs_own(lambda: F.cross_entropy(net(x), y))
    assert readings["uncovered"] == {}


def test_a_second_forward_without_gradients_is_seen() -> None:
    """The published form of OTTT runs two linear operators: one for the spikes, one for the trace."""
    layer, spikes = nn.Linear(7, 11, bias=False), torch.ones(B, 7)

    class Replaced(torch.autograd.Function):
        @staticmethod
        def forward(ctx, through: Tensor, shown: Tensor) -> Tensor:
            return shown.clone()

        @staticmethod
        def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
            return gradient, None

    def official() -> None:
        with torch.no_grad():
            shown = layer(spikes)
        Replaced.apply(layer(0.5 * spikes), shown).sum().backward()

    readings = update(official)
    assert readings["forward_macs"] == 2 * B * 7 * 11
    assert readings["backward_macs"] == B * 7 * 11


# --- layers in one operator ---------------------------------------------------------------------------------------

T, D, H = 6, 7, 9  # steps, inputs, hidden units


@pytest.mark.parametrize(
    ("layer", "gates", "per_unit"),
    # Per hidden unit and step: gates from input and state with their biases (3 per gate), then the cell's equations.
    [
        (nn.RNN, 1, 3 + 1),
        (nn.GRU, 3, 2 * 4 + 2 + 1 + 1 + 1 + 3),
        (nn.LSTM, 4, 4 * 3 + 4 + 3 + 2),
    ],
)
def test_recurrent_layers_in_training_and_inference(layer: Any, gates: int, per_unit: int) -> None:
    net = layer(D, H)
    x = torch.randn(T, B, D)
    forward = gates * T * B * (D * H + H * H)
    readings = update(lambda: net(x)[0].sum().backward())
    assert readings["uncovered"] == {}
    assert readings["forward_macs"] == forward
    # The weights' gradients, and those of states and inputs; of the data only where the kernel does not ask.
    spared = gates * T * B * D * H if layer is not nn.LSTM else 0
    initial = gates * B * H * H if layer is not nn.LSTM else 0  # nobody wants the gradient of the first state
    assert readings["backward_macs"] == 2 * forward - spared - initial
    # Training sums the outputs.
    assert readings["forward_elementwise_ops"] == T * B * H * (per_unit + 1)

    def infer() -> None:
        with torch.inference_mode():
            net(x)

    readings = prediction(infer)
    assert readings["inference_macs"] == forward / B
    assert readings["inference_elementwise_ops"] == T * H * per_unit
    assert readings["inference_uncovered"] == {}


def test_stacked_bidirectional_and_projected_lstm() -> None:
    x = torch.randn(T, B, D)
    both = nn.LSTM(D, H, num_layers=2, bidirectional=True)
    assert macs(lambda: both(x)) == T * B * sum(w.numel() for w in both.parameters() if w.dim() == 2)
    projected = nn.LSTM(D, H, proj_size=4)
    assert macs(lambda: projected(x)) == T * B * (4 * H * (D + 4) + 4 * H)


@pytest.mark.parametrize(("cell", "gates"), [(nn.RNNCell, 1), (nn.GRUCell, 3), (nn.LSTMCell, 4)])
def test_recurrent_cells(cell: Any, gates: int) -> None:
    assert macs(lambda: cell(D, H)(torch.randn(B, D))) == gates * B * (D * H + H * H)


def test_the_lstm_kernel_counts_as_the_cell_written_out() -> None:
    layer, cell = nn.LSTM(D, H), nn.LSTMCell(D, H)
    x = torch.randn(1, B, D)
    assert update(lambda: layer(x))["elementwise_ops"] == update(lambda: cell(x[0]))["elementwise_ops"]


@pytest.mark.parametrize("masked", [False, True])
def test_attention(masked: bool) -> None:
    q, k, v = (torch.randn(2, 3, rows, 8, requires_grad=True) for rows in (4, 6, 6))
    mask = torch.zeros(4, 6) if masked else None
    readings = update(lambda: F.scaled_dot_product_attention(q, k, v, mask).sum().backward())
    scores = 2 * 3 * 4 * 6
    assert readings["uncovered"] == {}
    assert readings["forward_macs"] == scores * 8 * 2
    assert readings["backward_macs"] == scores * 8 * 5  # the scores are computed again
    assert readings["forward_elementwise_ops"] == scores * (6 + masked) + 2 * 3 * 4 * 8


def test_multi_head_attention_and_transformer_layer_agree_between_training_and_inference() -> None:
    """The fast path of inference is one operator, which would hide its products."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    x = torch.randn(B, 4, 8)
    training = macs(lambda: layer(x))
    layer.eval()

    def infer() -> None:
        with torch.inference_mode():
            layer(x)

    readings = prediction(infer)
    projections, scores, perceptron = 4 * 8 * 8, 2 * 4 * 8, 2 * 8 * 16
    assert training == B * 4 * (projections + scores + perceptron)
    assert readings["inference_macs"] == training / B
    assert readings["inference_uncovered"] == {}
    assert torch.backends.mha.get_fastpath_enabled()


def test_linear_algebra_takes_the_textbooks_leading_terms() -> None:
    tall, square = torch.randn(9, 4), torch.eye(6)
    assert macs(lambda: torch.linalg.svd(tall, full_matrices=False)) == 7 * 9 * 16 + 4 * 64
    assert macs(lambda: torch.ops.aten._linalg_svd(tall, False, False)) == 2 * 9 * 16 - 2 * 64 // 3
    assert macs(lambda: torch.linalg.svd(torch.randn(5, 4, 9), full_matrices=False)) == 5 * (7 * 9 * 16 + 4 * 64)
    assert macs(lambda: torch.linalg.eigh(square)) == 9 * 216 // 2
    assert macs(lambda: torch.linalg.qr(tall)) == 2 * (16 * (27 - 4) // 3)
    assert macs(lambda: torch.linalg.cholesky(square)) == 216 // 6
    assert macs(lambda: torch.linalg.inv(square)) == 216
    assert macs(lambda: torch.linalg.solve(square, torch.ones(6, 2))) == 216 // 3 + 36 * 2
    assert macs(lambda: torch.linalg.solve_triangular(square, torch.ones(6, 2), upper=True)) == 36 * 2 // 2
    assert macs(lambda: torch.cholesky_solve(torch.ones(6, 2), square)) == 36 * 2


# --- elements -----------------------------------------------------------------------------------------------------


def test_a_chain_of_elementwise_operators() -> None:
    x, y = torch.randn(3, 4), torch.randn(4)

    def neuron() -> Tensor:
        u = 0.5 * x + y  # two, the sum broadcast
        s = (u - 1).ge(0).to(x.dtype)  # difference and comparison; a change of type is a copy
        return u - s * 1.0  # product and difference

    assert ops(neuron) == 6 * 12
    assert ops(lambda: torch.addcmul(x, x, x)) == 12
    assert ops(lambda: torch.where(x > 0, x, -x)) == 3 * 12
    assert ops(lambda: torch.maximum(x, y)) == 12


def test_in_place_out_and_foreach_variants_count_as_the_plain_ones() -> None:
    x = torch.ones(3, 4)
    assert ops(lambda: x.mul_(0.5).add_(x).tanh_().clamp_(0, 1)) == 4 * 12
    assert ops(lambda: x.ge_(0.5)) == 12
    assert ops(lambda: torch.add(x, x, out=torch.empty(3, 4))) == 12
    assert ops(lambda: torch._foreach_add([x, torch.ones(5)], 1)) == 17
    assert ops(lambda: torch._foreach_mul_([x, torch.ones(5)], 2)) == 17
    assert ops(lambda: x.bool().__iand__(x.bool())) == 12


def test_reductions_count_their_input() -> None:
    x = torch.randn(3, 4)
    assert ops(x.sum) == ops(x.mean) == ops(x.argmax) == ops(lambda: x.sum(0)) == ops(lambda: x.max(1)) == 12
    assert ops(lambda: x.amax((0, 1))) == ops(lambda: x.cumsum(0)) == ops(lambda: x.var(0)) == 12
    assert ops(lambda: torch._foreach_norm([x, x])) == 24


def test_what_only_moves_or_makes_elements_is_free_and_known() -> None:
    x = torch.randn(6, 4)
    rows = torch.tensor([1, 2])

    def shuffle() -> None:
        _ = x.view(4, 6).t().unsqueeze(0).expand(3, 6, 4).reshape(-1), x[1:3], x.split(2), x.unbind(1), x.chunk(2)
        _ = x.clone(), x.double(), x.contiguous(), torch.cat([x, x]), torch.stack([x, x]), x.repeat(2, 1), x.flip(0)
        _ = torch.zeros(9), torch.ones_like(x), torch.full((3,), 2.0), torch.empty(5), torch.arange(7), torch.eye(3)
        _ = x[rows], x.index_select(0, rows), x.gather(0, rows[:, None]), F.embedding(rows, x), F.pad(x, (1, 1))
        _ = x.copy_(x), x.zero_(), x.fill_(1), x.detach(), x.scatter(0, rows[:, None], 1.0), x.tril(), x.roll(1)
        _ = torch.tensor([1.0, 2.0]), x[0, 0].item(), F.interpolate(x[None, None], scale_factor=2)

    assert ops(shuffle) == 0


def test_softmax_losses_and_lookups() -> None:
    x, y = torch.randn(B, 4, requires_grad=True), torch.tensor([0, 1, 2, 3, 0])
    assert ops(lambda: x.softmax(1)) == ops(lambda: x.log_softmax(1)) == 5 * B * 4
    readings = update(lambda: F.cross_entropy(x, y).backward())
    assert readings["forward_elementwise_ops"] == 5 * B * 4 + B
    assert readings["backward_elementwise_ops"] == 4 * B * 4 + B
    assert ops(lambda: F.mse_loss(x.detach(), torch.zeros(B, 4))) == 3 * B * 4
    table = torch.randn(10, 3, requires_grad=True)
    readings = update(lambda: F.embedding(y, table).sum().backward())
    assert (readings["forward_elementwise_ops"], readings["backward_elementwise_ops"]) == (B * 3, B * 3)


def test_pooling_and_normalisation() -> None:
    x = torch.randn(2, 3, 8, 8)
    size = x.numel()
    assert ops(lambda: F.max_pool2d(x, 2)) == size
    assert ops(lambda: F.max_pool2d(x, 3, stride=1, padding=1)) == 9 * size
    assert ops(lambda: F.avg_pool2d(x, (2, 4))) == size
    assert ops(lambda: F.adaptive_avg_pool2d(x, 1)) == size
    assert ops(lambda: F.layer_norm(x, (8,))) == 8 * size
    assert ops(lambda: F.batch_norm(x, torch.zeros(3), torch.ones(3))) == 2 * size
    assert ops(lambda: nn.BatchNorm2d(3).eval()(x)) == 4 * size
    net = nn.BatchNorm2d(3, track_running_stats=False)
    assert update(lambda: net(x))["elementwise_ops"] == 8 * size


@pytest.mark.parametrize("options", [{}, {"foreach": True}, {"fused": True}])
def test_optimisers_count_the_same_in_every_implementation(options: dict[str, bool]) -> None:
    w = torch.randn(10, requires_grad=True)
    w.grad = torch.ones(10)

    def steady(optimizer: torch.optim.Optimizer) -> int:
        optimizer.step()
        optimizer.step()
        readings = update(optimizer.step)
        assert readings["elementwise_ops"] == readings["optimizer_elementwise_ops"]
        assert readings["uncovered"] == {}
        return readings["optimizer_elementwise_ops"]

    assert steady(torch.optim.SGD([w], lr=0.1, **options)) == 10
    assert steady(torch.optim.SGD([w], lr=0.1, momentum=0.9, weight_decay=0.1, **options)) == 4 * 10
    # And the counter of steps.
    assert steady(torch.optim.Adam([w], **options)) == 7 * 10 + 1
    assert steady(torch.optim.AdamW([w], **options)) == 8 * 10 + 1


LAYERS: list[tuple[nn.Module, tuple[int, ...]]] = [
    *((layer(), (6, 4)) for layer in (
        nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU,
        nn.LogSigmoid, nn.Mish, nn.PReLU, nn.RReLU, nn.ReLU, nn.ReLU6, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus,
        nn.Softshrink, nn.Softsign, nn.Tanh, nn.Tanhshrink, nn.AlphaDropout, nn.Dropout,
    )),
    *((layer(1), (6, 4)) for layer in (nn.GLU, nn.Softmax, nn.LogSoftmax, nn.Softmin)),
    *((layer(2), (2, 4, 8, 8)) for layer in (
        nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.ZeroPad2d, nn.ReflectionPad2d,
        nn.ReplicationPad2d, nn.CircularPad2d, nn.PixelShuffle, nn.Unfold, nn.LocalResponseNorm,
    )),
    *((layer(4), (2, 4, 8, 8)) for layer in (nn.BatchNorm2d, nn.InstanceNorm2d)),
    *((nn.Upsample(scale_factor=2, mode=mode), (2, 4, 8, 8)) for mode in ("nearest", "bilinear", "bicubic")),
    (nn.GroupNorm(2, 4), (2, 4, 8, 8)), (nn.LayerNorm(8), (2, 4, 8)), (nn.RMSNorm(8), (2, 4, 8)),
    (nn.Dropout2d(), (2, 4, 8, 8)), (nn.Linear(4, 3), (6, 4)), (nn.Conv1d(4, 3, 2), (2, 4, 8)),
    (nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), (6, 4)),
    (nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3)), (6, 4)),
    (nn.LSTM(8, 5, 2), (2, 4, 8)), (nn.GRU(8, 5), (2, 4, 8)), (nn.RNN(8, 5), (2, 4, 8)),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda value: type(value).__name__)
def test_every_common_layer_is_covered(layer: nn.Module, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, requires_grad=True)

    def train() -> None:
        y = layer(x)
        (y[0] if isinstance(y, tuple) else y).sum().backward()

    def infer() -> None:
        with torch.inference_mode():
            layer(x)

    readings = update(train)
    assert readings["uncovered"] == {}
    assert readings["backward_elementwise_ops"] + readings["backward_macs"] > 0 or readings["bytes_moved"] > 0
    assert prediction(infer)["inference_uncovered"] == {}


# --- unknown operators ---------------------------------------------------------------------------------------------


def test_operators_without_a_formula_are_listed_with_their_share() -> None:
    x = torch.ones(8, dtype=torch.float32)

    def run() -> None:
        torch.fft.fft(x + 1)
        torch.fft.fft(x)

    readings = update(run)
    (row,) = readings["uncovered"].values()
    assert list(readings["uncovered"]) == ["aten::_fft_r2c"]
    moved = 8 * 4 + 8 * 8  # a transform reads 8 floats and writes 8 complex numbers
    everything = 2 * moved + 2 * 8 * 4  # the sum reads and writes 8 floats
    assert row == {"count": 2, "bytes": 2 * moved, "share": 2 * moved / everything}
    assert readings["uncovered_share"] == row["share"]


def test_an_operator_of_another_library_is_uncovered() -> None:
    @torch.library.custom_op("harness_tests::doubled", mutates_args=())
    def doubled(x: Tensor) -> Tensor:
        return torch.from_numpy(2 * x.numpy())

    readings = update(lambda: doubled(torch.ones(4)))
    assert readings["uncovered"]["harness_tests::doubled"]["count"] == 1
    assert readings["uncovered_share"] > 0


def test_bytes_and_launches() -> None:
    a, b = torch.ones(4, 5), torch.ones(5, 6)
    readings = update(lambda: a @ b.contiguous())
    assert (readings["bytes_moved"], readings["launches"]) == (4 * (20 + 30 + 24), 1)
    readings = update(lambda: a.view(5, 4).t()[1:])
    assert (readings["bytes_moved"].value, readings["launches"].value) == (0, 0)
    assert "no operator of torch ran" in readings["launches"].at_least
    readings = update(lambda: a.add_(1))
    assert (readings["bytes_moved"], readings["launches"]) == (4 * 40, 1)
    readings = update(a.zero_)
    assert (readings["bytes_moved"], readings["launches"]) == (4 * 20, 1)
    readings = update(lambda: a.copy_(torch.empty(1, 5).expand(4, 5)))
    assert (readings["bytes_moved"], readings["launches"]) == (4 * (20 + 5), 1)
    readings = update(lambda: a.index_select(0, torch.tensor([2, 3])))
    assert readings["bytes_moved"] == 2 * 10 * 4 + 2 * 8


def test_half_the_width_is_half_the_bytes_and_the_same_work() -> None:
    """Each layer in bf16 has the work of fp32; autocast besides only copies, to the other width and back."""
    layers = (nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3), nn.LayerNorm(3))
    net, x = nn.Sequential(*layers), torch.randn(B, 2, 6, 6)
    counted = ("total_macs", "forward_macs", "backward_macs", "elementwise_ops", "launches", "uncovered")

    def readings(dtype: torch.dtype) -> dict[str, Any]:
        own, image = copy.deepcopy(net).to(dtype), x.to(dtype)
        return update(lambda: own(image).sum().backward())

    wide, narrow = readings(torch.float32), readings(torch.bfloat16)
    assert {name: narrow[name] for name in counted} == {name: wide[name] for name in counted}
    assert wide["uncovered"] == {}
    assert narrow["bytes_moved"] == wide["bytes_moved"] / 2

    def cast() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            loss = net(x).sum()
        loss.backward()

    mixed = update(cast)
    assert [mixed[name] for name in counted[:3]] == [wide[name] for name in counted[:3]]
    assert mixed["uncovered"] == {}
    assert mixed["launches"] > wide["launches"]


def test_operators_for_which_the_host_waits() -> None:
    x = torch.randn(6, 4)
    rows = torch.tensor([0, 2])
    for waits in (
        lambda: x.sum().item(),
        lambda: bool((x > 0).any()),
        lambda: float(x[0, 0]),
        lambda: x.nonzero(),
        lambda: x[x > 0],
        lambda: x.masked_select(x > 0),
        lambda: rows.unique(),
        lambda: torch.equal(x, x),
        lambda: rows.repeat_interleave(rows),
    ):
        assert update(waits)["host_syncs"] == 1
    for goes_on in (
        lambda: torch.where(x > 0, x, -x),
        lambda: x.masked_fill(x > 0, 0.0),
        lambda: x[rows],
        lambda: x.max(),
        lambda: x.to(torch.float64),
        lambda: x.clone().copy_(x),
        lambda: nn.Linear(4, 3)(x).sum().backward(),
    ):
        assert update(goes_on)["host_syncs"] == 0
    assert update(lambda: [x.sum().item() for _ in range(3)])["host_sync_operators"] == {"aten::_local_scalar_dense": 3}


def test_only_what_is_measured_counts_and_an_update_is_no_prediction() -> None:
    operations, x = Operations(), torch.ones(B, 7)
    layer = nn.Linear(7, 3)
    with operations.session():
        layer(x)
        with operations.measure("update", B):
            layer(x)
        layer(x)
    predicted = prediction(lambda: layer(layer(x) @ torch.ones(3, 7)))
    assert operations.readings()["forward_macs"] == B * 21
    assert predicted["inference_macs"] == 63
    assert not any(name.startswith("inference") for name in operations.readings())
    assert all(name.startswith("inference") for name in predicted)


def test_bytes_of_a_prediction_are_those_of_its_operators_per_example() -> None:
    x, weight = torch.ones(B, 7), torch.ones(7, 3)
    moved = 4 * (B * 7 + 7 * 3 + B * 3)
    assert prediction(lambda: x @ weight)["inference_bytes_moved"] == moved / B


# --- complex numbers ----------------------------------------------------------------------------------------------


def complex_(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.complex64)


@pytest.mark.parametrize(
    ("run", "products"),
    [
        (lambda: complex_(2, 3) @ complex_(3, 4), 2 * 3 * 4),
        (lambda: torch.bmm(complex_(5, 2, 3), complex_(5, 3, 4)), 5 * 2 * 3 * 4),
        (lambda: torch.baddbmm(complex_(5, 2, 4), complex_(5, 2, 3), complex_(5, 3, 4)), 5 * 2 * 3 * 4),
        (lambda: torch.addmm(complex_(2, 4), complex_(2, 3), complex_(3, 4)), 2 * 3 * 4),
        (lambda: torch.einsum("bi,io->bo", complex_(2, 3), complex_(3, 4)), 2 * 3 * 4),
        (lambda: F.linear(complex_(2, 3), complex_(4, 3), complex_(4)), 2 * 3 * 4),
        (lambda: complex_(2, 3) @ complex_(3), 2 * 3),
        (lambda: torch.vdot(complex_(7), complex_(7)), 7),
        (lambda: torch.outer(complex_(7), complex_(5)), 0),  # one element-wise multiplication each
        (lambda: complex_(2, 3).conj() @ complex_(3, 4).to(torch.complex128).to(torch.complex64), 2 * 3 * 4),
        (lambda: torch.linalg.inv(torch.eye(4, dtype=torch.complex64)), 4**3),
    ],
)
def test_a_product_of_complex_numbers_takes_four_of_real_ones(run: Callable[[], Any], products: int) -> None:
    assert macs(run) == 4 * products


def test_its_gradients_likewise() -> None:
    x, w = complex_(2, 3), complex_(3, 4).requires_grad_()
    readings = update(lambda: (x @ w).abs().sum().backward())
    assert readings["uncovered"] == {}
    assert (readings["forward_macs"], readings["backward_macs"]) == (4 * 24, 4 * 24)


def test_torch_convolves_complex_numbers_by_three_real_convolutions() -> None:
    x, w = complex_(2, 3, 5, 5), complex_(4, 3, 3, 3).requires_grad_()
    one = 2 * 4 * 3 * 9 * 9
    readings = update(lambda: F.conv2d(x, w).abs().sum().backward())
    assert readings["uncovered"] == {}
    assert (readings["forward_macs"], readings["backward_macs"]) == (3 * one, 3 * one)
