"""`compress` makes torch's own layers smaller: with all nodes the same function, with fewer what the method does."""

from __future__ import annotations

import contextlib
import copy
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from tiny_problems import normal, terms
from torch import nn

from harness import Batch, Fit, Problem
from harness_dense_rnn.learner import DenseRNN
from harness_recurrent import compress
from harness_recurrent.config import RecurrentOptions
from harness_spectral import SpectralOptions
from harness_spectral.learner import SpectralPruning

CLASSES = {
    "tanh": (nn.RNN, {}),
    "relu": (nn.RNN, {"nonlinearity": "relu"}),
    "gru": (nn.GRU, {}),
    "lstm": (nn.LSTM, {}),
}
INPUTS, HIDDEN, OUTPUTS = 5, 12, 3
HEAD = nn.Linear(HIDDEN, 2)


def module(name, **given):
    """A layer whose weights are no longer those of a start, in float64."""
    cls, settings = CLASSES[name]
    found = cls(INPUTS, HIDDEN, **settings, **given).double()
    with torch.no_grad():
        for seed, parameter in enumerate(found.parameters()):
            parameter.copy_(0.4 * normal(*parameter.shape, seed=seed))
    return found


def reader(of, outputs=OUTPUTS):
    torch.manual_seed(0)
    return nn.Linear(HIDDEN * (2 if of.bidirectional else 1), outputs).double()


def rows(count=40, steps=9):
    return normal(count, steps, INPUTS, seed=7)


def answers(of, heads, x):
    with torch.no_grad():
        h, _ = copy.deepcopy(of).eval()(x if of.batch_first or x.dim() == 2 else x.transpose(0, 1))
        return [head(h if of.batch_first or x.dim() == 2 else h.transpose(0, 1)) for head in heads]


# --- what it is -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("given", [{}, {"num_layers": 2}, {"num_layers": 2, "bidirectional": True}], ids=str)
@pytest.mark.parametrize("name", CLASSES)
def test_with_all_nodes_and_no_regularisation_it_is_the_same_function(name, given, bias):
    of = module(name, bias=bias, batch_first=True, **given)
    head = reader(of)
    found = compress(of, rows(), HIDDEN, readers=[head], lam=0)
    assert found.nodes == [list(range(HIDDEN))] * of.num_layers * (2 if of.bidirectional else 1)
    torch.testing.assert_close(answers(found.module, found.readers, rows()), answers(of, [head], rows()))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", CLASSES)
def test_nodes_that_are_sums_of_others_are_left_out_without_a_loss(name, bidirectional):
    """Twins have the same state: one of each is enough in each layer and direction, and biases go with it."""
    of = module(name, num_layers=2, bidirectional=bidirectional)
    half, gates = HIDDEN // 2, {"gru": 3, "lstm": 4}.get(name, 1)
    with torch.no_grad():
        for parameter in of.parameters():
            gate = parameter.view(gates, HIDDEN, -1)
            gate[:, half:] = gate[:, :half]
    head = reader(of)
    x = rows().transpose(0, 1)
    found = compress(of, x, half, readers=[head], lam=0)
    assert found.module.hidden_size == half
    assert all(len({node % half for node in nodes}) == half for nodes in found.nodes)
    torch.testing.assert_close(
        answers(found.module, found.readers, rows()), answers(of, [head], rows()), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("cell", ["irnn", "elman", "gru", "lstm"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("search", ["greedy", "backward"])
def test_it_keeps_what_spectral_pruning_keeps_and_weighs_it_alike(cell, layers, search):
    """The method's own tensors, of a network that dense-rnn has trained, in fp32."""
    shape = {"cell": cell, "hidden": 16, "layers": layers}
    problem = Problem("classification", (8, INPUTS), OUTPUTS, 64, time_axis=True)
    training = terms(30, "fp32", 16, eager=True)
    x = normal(64, 8, INPUTS, seed=1, dtype=torch.float32)
    batch = Batch(x, x.sum((1, 2)).sign().long() + 1)
    dense = DenseRNN(RecurrentOptions(**shape))
    state = dense.init(problem, training, None)
    for _ in range(30):
        state, _ = dense.update(state, batch)
    base = {name: each.clone() for name, each in dense.save(state).items()}
    method = SpectralPruning(SpectralOptions(**shape, nodes=6, search=search))
    wanted = method.save(method.prepare(method.init(problem, training, base), Fit(batch, batch)))

    of, head = as_torch(cell, base, layers)
    found = compress(of, x, 6, readers=[head], method={"greedy": "spectral"}.get(search, search))
    ours, _ = as_torch(cell, wanted, layers)
    for name, given in found.module.state_dict().items():
        if name.startswith("weight"):
            torch.testing.assert_close(given, ours.state_dict()[name], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.readers[0].weight, wanted["readout.weight"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.module(x)[0], ours(x)[0], rtol=1e-5, atol=1e-5)


def as_torch(cell, tensors, layers):
    cls, settings = CLASSES[{"irnn": "relu", "elman": "tanh"}.get(cell, cell)]
    m = tensors["readout.weight"].shape[1]
    found = cls(INPUTS, m, layers, batch_first=True, **settings)
    weights = {}
    for layer in range(layers):
        weights[f"weight_ih_l{layer}"] = tensors[f"cells.{layer}.input.weight"]
        weights[f"weight_hh_l{layer}"] = tensors[f"cells.{layer}.recurrent.weight"]
        weights[f"bias_ih_l{layer}"] = bias = tensors[f"cells.{layer}.input.bias"]
        weights[f"bias_hh_l{layer}"] = torch.zeros_like(bias)
        if cell == "gru":
            weights[f"bias_hh_l{layer}"][2 * m :] = tensors[f"cells.{layer}.recurrent.bias"]
    found.load_state_dict(weights)
    head = nn.Linear(m, OUTPUTS)
    head.load_state_dict({"weight": tensors["readout.weight"], "bias": tensors["readout.bias"]})
    return found, head


def test_without_reconstruction_weights_of_nodes_that_go_are_dropped():
    of = module("gru", batch_first=True)
    head = reader(of)
    found = compress(of, rows(), 5, readers=[head], reconstruct=False)
    (J,) = found.nodes
    kept = [gate * HIDDEN + node for gate in range(3) for node in J]
    assert torch.equal(found.module.weight_hh_l0, of.weight_hh_l0[kept][:, J])
    assert torch.equal(found.module.bias_hh_l0, of.bias_hh_l0[kept])
    assert torch.equal(found.readers[0].weight, head.weight[:, J])


def test_what_it_loses_grows_with_what_goes_and_chance_loses_more():
    """Mean square of the outputs that is lost, of a reservoir with an LSTM in both directions."""
    of = module("lstm", num_layers=2, bidirectional=True, batch_first=True)
    head = reader(of)

    def lost(count, **given):
        found = compress(of, rows(200), count, readers=[head], **given)
        (ours,), (whole,) = answers(found.module, found.readers, rows(200)), answers(of, [head], rows(200))
        return float((ours - whole).square().mean() / whole.var())

    by_size = [lost(count) for count in (10, 7, 3)]
    assert by_size == sorted(by_size)
    assert by_size[1] < 0.5 * sum(lost(7, method="random", reconstruct=False, seed=seed) for seed in range(5)) / 5


# --- what it leaves alone -------------------------------------------------------------------------------------------


def test_the_module_its_readers_and_random_numbers_stay_as_they_were():
    of = module("lstm", num_layers=2, dropout=0.3).train()
    head = nn.Linear(HIDDEN, OUTPUTS, bias=False).double().eval()
    of.weight_hh_l0.requires_grad_(False)
    before = copy.deepcopy([*of.state_dict().values(), *head.state_dict().values(), torch.get_rng_state()])
    found = compress(of, rows().transpose(0, 1), share=0.5, readers=[head])
    after = [*of.state_dict().values(), *head.state_dict().values(), torch.get_rng_state()]
    assert all(map(torch.equal, before, after))
    assert (of.hidden_size, of.training) == (HIDDEN, True)
    smaller = found.module
    assert type(smaller) is nn.LSTM
    assert (smaller.hidden_size, smaller.dropout, smaller.training, smaller.batch_first) == (6, 0.3, True, False)
    assert (smaller.weight_hh_l0.requires_grad, smaller.weight_ih_l0.requires_grad) == (False, True)
    assert (found.readers[0].bias, found.readers[0].training) == (None, False)
    smaller(rows().transpose(0, 1))[0].sum().backward()
    assert smaller.weight_ih_l0.grad is not None


def test_rows_may_come_in_parts_of_any_lengths_and_as_single_sequences():
    of = module("gru", batch_first=True)
    head, x = reader(of), rows()
    whole = compress(of, x, 5, readers=[head])
    parts = compress(of, iter([x[:10].float(), *x[10:], x[:0]]), 5, readers=[head])
    assert parts.nodes == whole.nodes
    torch.testing.assert_close(parts.readers[0].weight, whole.readers[0].weight, rtol=1e-4, atol=1e-4)
    assert compress(of, [x[:, :4], x[0]], 5).nodes


def test_the_last_state_is_read_as_the_output_is():
    of = module("gru", num_layers=2, bidirectional=True, batch_first=True)
    head, x = reader(of), rows(1)
    found = compress(of, x, HIDDEN, readers=[head], lam=0)
    wanted = head(torch.cat([*of(x)[1][-2:]], -1))
    torch.testing.assert_close(found.readers[0](torch.cat([*found.module(x)[1][-2:]], -1)), wanted)


def test_the_package_imports_no_torch_until_it_is_asked_for():
    code = "import sys, harness_recurrent as r; assert 'torch' not in sys.modules; assert r.compress.__name__"
    subprocess.run([sys.executable, "-c", code], check=True)
    import harness_recurrent

    with pytest.raises(AttributeError, match="harness_recurrent"):
        _ = harness_recurrent.nothing


# --- what it refuses ------------------------------------------------------------------------------------------------


def test_modules_that_are_none_of_torchs_layers_are_refused():
    class Own(nn.LSTM):
        pass

    for wrong, said in (
        (nn.LSTMCell(INPUTS, HIDDEN), "is a LSTMCell; expected a torch.nn.RNN, GRU or LSTM"),
        (Own(INPUTS, HIDDEN), "is a Own"),
        (nn.Sequential(nn.ReLU(), nn.GRU(INPUTS, HIDDEN)), r"is a Sequential; .* pass its layer, `.1`"),
        ("lstm", "is a str"),
        (None, "is a NoneType"),
        (nn.LSTM, "is a class, LSTM; .* pass the trained module, not its class"),
        (
            nn.utils.parametrizations.weight_norm(nn.LSTM(INPUTS, HIDDEN), "weight_hh_l0"),
            "take its parametrizations off",
        ),
    ):
        with pytest.raises(TypeError, match=said):
            compress(wrong, rows(), 5)
    with pytest.raises(ValueError, match="proj_size=3"):
        compress(nn.LSTM(INPUTS, HIDDEN, proj_size=3), rows(), 5)
    with pytest.raises(ValueError, match="module is on the device meta, which holds no numbers; load its trained"):
        compress(nn.LSTM(INPUTS, HIDDEN, device="meta"), rows(), 5)
    with pytest.raises(ValueError, match="reads 12 numbers; the module's output has 24 of both directions"):
        compress(nn.LSTM(INPUTS, HIDDEN, bidirectional=True), rows(), 5, readers=[HEAD])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_module_in_half_precision_is_made_smaller_in_it(dtype):
    of = module("gru", batch_first=True).to(dtype)
    head = reader(of).to(dtype)
    half = compress(of, rows(), HIDDEN, readers=[head], lam=0)
    found = [half.module.weight_hh_l0, half.readers[0].weight]
    assert [each.dtype for each in found] == [dtype, dtype]
    torch.testing.assert_close(found, [of.weight_hh_l0, head.weight], rtol=0.02, atol=0.02)


def test_readers_may_come_in_any_collection_and_sizes_as_numbers_of_numpy():
    of = module("gru", batch_first=True)
    head = reader(of)
    wanted = compress(of, rows(), 5, readers=[head])
    for given in (iter([head]), nn.ModuleList([head]), (head,)):
        found = compress(of, rows(), np.int64(5), readers=given, theta=np.float32(0.5), reconstruct=np.True_)
        assert found.nodes == wanted.nodes
        assert torch.equal(found.readers[0].weight, wanted.readers[0].weight)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"nodes": 13}, ValueError, "nodes=13: the module has hidden_size=12; give from 1 to 12"),
        ({"nodes": 0}, ValueError, "nodes=0"),
        ({"nodes": -3}, ValueError, "nodes=-3: the module has hidden_size=12; give from 1 to 12"),
        ({"nodes": [5, 6]}, TypeError, r"nodes=\[5, 6\]: .* not a list; all of torch's layers have one hidden_size"),
        ({"nodes": "5"}, TypeError, "nodes='5': expected a whole number, not a str$"),
        ({"nodes": 5.0}, TypeError, r"nodes=5\.0: expected a whole number, not a float$"),
        ({"nodes": True}, TypeError, "nodes=True: expected a whole number, not a bool$"),
        ({"share": "a"}, TypeError, "share='a': expected a number, not a str$"),
        ({"share": torch.tensor(0.5)}, TypeError, "expected a number, not a Tensor$"),
        ({"share": True}, TypeError, "share=True: expected a number, not a bool$"),
        ({"share": float("nan")}, ValueError, "share=nan: expected more than 0, and 1 at most"),
        ({"share": 0}, ValueError, "share=0: expected more than 0, and 1 at most"),
        ({"nodes": 5, "share": 0.5}, ValueError, "give one of them"),
        ({"share": 1.5}, ValueError, r"share=1\.5"),
        ({"method": "magnitude"}, ValueError, "expected one of spectral, backward, random"),
        ({"method": ["spectral"]}, ValueError, r"method=\['spectral'\]: expected one of spectral, backward, random$"),
        ({"theta": "a"}, TypeError, "theta='a': expected a number, not a str$"),
        ({"lam": None}, TypeError, "lam=None: expected a number, not a NoneType$"),
        ({"seed": "a"}, TypeError, "seed='a': expected a whole number, not a str$"),
        ({"seed": 2**70}, ValueError, r"seed=1180591620717411303424: expected less than 2\^63 on either side of 0"),
        ({"reconstruct": "no"}, TypeError, "reconstruct='no': expected True or False, not a str$"),
        ({"theta": 2}, ValueError, "theta=2: expected from 0 to 1"),
        ({"lam": -1}, ValueError, "lam=-1"),
        ({"readers": nn.Linear(HIDDEN, 2)}, TypeError, r"readers=\[linear\]"),
        ({"readers": [nn.Conv1d(HIDDEN, 2, 1)]}, TypeError, r"readers\[0\] is a Conv1d"),
        (
            {"readers": nn.Sequential(nn.Linear(HIDDEN, 2))},
            TypeError,
            "readers is one module, a Sequential; pass a",
        ),
        ({"readers": None}, TypeError, "readers is a NoneType; expected a list of torch.nn.Linear, or leave it out"),
        ({"readers": {"head": HEAD}}, TypeError, "readers is a dict; expected a list of torch.nn.Linear"),
        ({"readers": HEAD.weight}, TypeError, "readers is a Parameter; expected a list of torch.nn.Linear"),
        ({"readers": [HEAD, HEAD]}, ValueError, r"readers\[1\] is given twice; give each once"),
        (
            {"readers": [nn.LazyLinear(2)]},
            TypeError,
            r"readers\[0\] is a LazyLinear; expected a torch.nn.Linear its",
        ),
        ({"readers": [nn.Linear(HIDDEN, 2, device="meta")]}, ValueError, r"readers\[0\] is on the device meta, which"),
        ({"readers": [nn.Linear(3, 2)]}, ValueError, r"readers\[0\] reads 3 numbers; the module's output has 12"),
    ],
)
def test_options_that_do_not_fit_are_refused(given, error, said):
    with pytest.raises(error, match=said):
        compress(module("lstm", batch_first=True), rows(), **given)


def test_rows_that_do_not_fit_are_refused():
    of, x = module("lstm", batch_first=True), rows()
    packed = nn.utils.rnn.pack_padded_sequence(x, torch.full((len(x),), 9), batch_first=True)
    for wrong, error, said in (
        (packed, TypeError, "packed sequences are not read"),
        ([packed], TypeError, "packed sequences are not read"),
        ([(x, x)], TypeError, "there is a tuple; of pairs pass the inputs"),
        ({"inputs": x}, TypeError, "there is a dict; of dictionaries pass the inputs alone"),
        (5, TypeError, "there is a int$"),
        ("rows", TypeError, "there is a str$"),
        (x.numpy(), TypeError, "there is a ndarray; pass torch.from_numpy of it"),
        ([*x.numpy()], TypeError, "there is a ndarray; pass torch.from_numpy of it"),
        (x[0].tolist(), TypeError, "there is a list; pass torch.tensor of it"),
        (x.to_sparse(), TypeError, r"there is a sparse one; pass rows\.to_dense\(\)"),
        (x.to("meta"), ValueError, "rows are on the device meta"),
        (x[:, :0], ValueError, "there are none"),
        (x[..., :4], ValueError, r"expected floats \(batch, steps, 5\).*\(40, 9, 4\)"),
        (x.long(), ValueError, r"torch\.int64"),
        (x[None], ValueError, r"\(1, 40, 9, 5\)"),
        ([], ValueError, "there are none"),
        (x[:0], ValueError, "there are none"),
        (x / 0, ValueError, "not finite"),
    ):
        with pytest.raises(error, match=said):
            compress(of, wrong, 5)


def running_away():
    of = module("relu", batch_first=True)
    nn.init.constant_(of.weight_hh_l0, 1e200)
    return of


def test_weights_that_are_not_finite_and_dead_layers_are_refused():
    of, head = module("relu", batch_first=True), nn.Linear(HIDDEN, 2)
    nn.init.constant_(head.weight, torch.nan)
    with pytest.raises(ValueError, match=r"readers\[0\]\.weight holds numbers that are not finite"):
        compress(of, rows(), 5, readers=[head])
    nn.init.constant_(of.bias_ih_l0, -1e6)
    with pytest.raises(ValueError, match="all nodes of l0 are zero for all rows"):
        compress(of, rows(), 5)
    with pytest.raises(ValueError, match="l0: hidden states have to be finite, and some were not"):
        compress(running_away(), rows(), 5)
    nn.init.constant_(of.bias_ih_l0, torch.inf)
    with pytest.raises(ValueError, match=r"module\.bias_ih_l0 holds numbers that are not finite"):
        compress(of, rows(), 5)


# --- beside another library -----------------------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self, of):
        super().__init__()
        self.rnn, self.head = of, reader(of)

    def forward(self, x):
        return self.head(self.rnn(x)[0][-1])


def shapes(net):
    return {name: tuple(parameter.shape) for name, parameter in net.named_parameters()}


@pytest.mark.parametrize(
    ("name", "given", "raised", "halved"),
    [
        ("lstm", {}, IndexError, ["bias_hh_l0", "weight_hh_l0"]),
        ("lstm", {"bidirectional": True}, IndexError, ["bias_hh_l0", "weight_hh_l0"]),
        ("lstm", {"num_layers": 2}, AssertionError, []),
        ("gru", {}, None, []),
        ("tanh", {}, None, []),
    ],
)
def test_torch_pruning_halves_no_recurrent_layer_and_compress_does(name, given, raised, halved):
    """Torch-Pruning 1.6.1: an error that leaves a layer half cut, or nothing done and nothing said."""
    pruning = pytest.importorskip("torch_pruning")
    net, x = Net(module(name, **given)), rows().transpose(0, 1)
    before = shapes(net)
    found = compress(net.rnn, x, HIDDEN // 2, readers=[net.head])
    importance = pruning.importance.MagnitudeImportance(p=2)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Unwrapped parameters")  # of GRU and RNN, whose last dimension it would prune
        pruner = pruning.pruner.BasePruner(net, x, importance, pruning_ratio=0.5, ignored_layers=[net.head])
    with pytest.raises(raised) if raised else contextlib.nullcontext():
        pruner.step()
    changed = [each.removeprefix("rnn.") for each, shape in shapes(net).items() if shape != before[each]]
    assert sorted(changed) == halved
    smaller = Net(found.module)
    smaller.head = found.readers[0]
    assert found.module.hidden_size == HIDDEN // 2
    assert smaller(x).shape == (x.shape[1], OUTPUTS)
