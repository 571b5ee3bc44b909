"""Recurrent networks as named tensors against torch's own layers; what they are built for, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from compressing import CLASSES, TOKENS, network_of, trained
from plain_cells import CELLS
from tiny_problems import rows, terms
from torch import nn

from harness import Problem, Unsupported
from harness_recurrent import network
from harness_recurrent.config import GATES, RecurrentOptions

LAYERS = {"irnn": nn.RNN, "elman": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


def torchs(net, tensors, hidden):
    """A module of torch with the same weights, whose second bias is zero but for a gru's own."""
    kind = {"nonlinearity": "relu" if net.cell == "irnn" else "tanh"} if net.cell in ("irnn", "elman") else {}
    module = LAYERS[net.cell](net.inputs, hidden, net.layers, **kind).double()
    with torch.no_grad():
        for layer in range(net.layers):
            given = network.select_cell(tensors, layer)
            getattr(module, f"weight_ih_l{layer}").copy_(given["input.weight"])
            getattr(module, f"weight_hh_l{layer}").copy_(given["recurrent.weight"])
            getattr(module, f"bias_ih_l{layer}").copy_(given["input.bias"])
            own = getattr(module, f"bias_hh_l{layer}").zero_()
            if net.cell == "gru":
                own[2 * hidden :] = given["recurrent.bias"]
    return module


def logits(net, tensors, inputs):
    x = network.split_steps(net, tensors, inputs)
    found, _ = network.hidden_states(net, tensors, x, network.build_start(net, tensors, x.shape[1]))
    return network.read_out(tensors, found[-1] if net.tokens else found[-1][-1])


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("cell", LAYERS)
def test_classes_of_rows_are_those_of_torchs_layers(cell, layers):
    options = {"cell": cell, "layers": layers}
    net, tensors, inputs = network_of(**options), trained(**options), rows(CLASSES).inputs
    states, _ = torchs(net, tensors, 8)(inputs.transpose(0, 1))
    expected = states[-1] @ tensors["readout.weight"].T + tensors["readout.bias"]
    torch.testing.assert_close(logits(net, tensors, inputs), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", [{"tied": True}, {"embedding": 5}], ids=str)
@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_tokens_are_those_of_torchs_layers(cell, options):
    options = {"cell": cell, "layers": 2, **options}
    net, tensors, tokens = network_of(TOKENS, **options), trained(TOKENS, **options), rows(TOKENS).inputs
    states, _ = torchs(net, tensors, 8)(nn.Embedding.from_pretrained(tensors["embedding.weight"])(tokens.T))
    weight = tensors["embedding.weight" if options.get("tied") else "readout.weight"]
    expected = states @ weight.T + tensors["readout.bias"]
    torch.testing.assert_close(logits(net, tensors, tokens), expected, rtol=1e-12, atol=1e-12)


def test_an_image_is_a_sequence_of_its_lines_channels_side_by_side():
    problem = Problem("classification", (2, 5, 3), 4, 40)
    image = torch.arange(2 * 30, dtype=torch.float64).reshape(2, 2, 5, 3)
    net = network_of(problem)
    x = network.split_steps(net, {}, image)
    assert (net.inputs, tuple(x.shape)) == (6, (5, 2, 6))
    assert x[1, 0].tolist() == [*image[0, 0, 1].tolist(), *image[0, 1, 1].tolist()]


def test_frames_over_time_are_flattened_step_by_step():
    problem = Problem("classification", (5, 2, 3, 3), 4, 40, time_axis=True)
    frames = torch.randn(2, 5, 2, 3, 3, dtype=torch.float64)
    net = network_of(problem)
    assert net.inputs == 18
    torch.testing.assert_close(network.split_steps(net, {}, frames)[3, 1], frames[1, 3].flatten())


@pytest.mark.parametrize(
    ("problem", "options", "words"),
    [
        (TOKENS, {"cell": "irnn"}, "cell=irnn: its state is unbounded on a stream without end; use lstm, gru"),
        (CLASSES, {"tied": True}, "tied is of language, and this is classification; leave it out"),
        (CLASSES, {"embedding": 4}, "embedding is of language, and this is classification; leave it out"),
        (
            Problem("classification", (7,), 2, 9),
            {},
            r"rows with a time axis, images or texts, not rows of shape \(7,\)",
        ),
    ],
)
def test_what_a_network_cannot_be_is_said(problem, options, words):
    with pytest.raises(Unsupported, match=words):
        network_of(problem, **options)


def test_the_default_cell_is_irnn_for_rows_and_lstm_for_language():
    assert (network_of(CLASSES).cell, network_of(TOKENS).cell) == ("irnn", "lstm")


# --- how it begins ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELLS)
def test_first_weights_are_within_their_bounds_and_the_seeds_own(cell):
    options = RecurrentOptions(cell=cell, hidden=50, layers=2)
    net = network.build(CLASSES, terms(6), options)
    first, again, other = (network.draw_initial(net, options, seed) for seed in (1, 1, 2))
    for name, tensor in first.items():
        assert torch.equal(tensor, again[name])
        if cell != "irnn" and name.startswith("cells") and not (cell == "lstm" and name.endswith("input.bias")):
            assert 0.9 / math.sqrt(50) < tensor.abs().max() <= 1 / math.sqrt(50), name
            assert not torch.equal(tensor, other[name])
    assert first["cells.1.input.weight"].shape == (GATES[cell] * 50, 50)
    assert ("cells.0.recurrent.weight" in first) == (cell != "mingru")
    assert ("cells.0.recurrent.bias" in first) == (cell == "gru")
    assert not first["readout.bias"].any()


def test_an_irnn_begins_as_its_paper_says():
    options = RecurrentOptions(cell="irnn", hidden=300, gain=0.97, input_scale=0.01)
    tensors = network.draw_initial(network.build(CLASSES, terms(6), options), options, 0)
    assert torch.equal(tensors["cells.0.recurrent.weight"], 0.97 * torch.eye(300, dtype=torch.float64))
    assert not tensors["cells.0.input.bias"].any()
    assert tensors["cells.0.input.weight"].std() == pytest.approx(0.01, rel=0.1)


def test_the_forget_gate_of_an_lstm_begins_open():
    options = RecurrentOptions(cell="lstm", hidden=5)
    bias = network.draw_initial(network.build(CLASSES, terms(6), options), options, 0)["cells.0.input.bias"]
    assert bias[5:10].tolist() == [1.0] * 5
    assert (bias[torch.cat([torch.arange(5), torch.arange(10, 20)])].abs() < 1).all()


# --- what a base's arrays have to be ----------------------------------------------------------------------------------


def changed(name, change, **options):
    tensors = {**trained(**options)}
    if change is None:
        del tensors[name]
    else:
        tensors[name] = change(tensors.get(name, torch.zeros(2)))
    return tensors


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (lambda: trained(cell="gru"), "have cells.0.recurrent.bias, which such a network does not have"),
        (lambda: changed("readout.bias", None), "the base's arrays have no readout.bias: expected those of dense-rnn"),
        (lambda: changed("layers.0.weight", lambda _: _), "have layers.0.weight, which such a network does not have"),
        (
            lambda: changed("cells.0.recurrent.weight", lambda weight: weight[:4]),
            r"cells.0.recurrent.weight has shape \(4, 8\), expected \(8, 8\): it is another network",
        ),
        (
            lambda: changed("readout.weight", lambda weight: weight * math.nan),
            "readout.weight holds numbers that are not finite: its training has diverged",
        ),
        (lambda: {"mean.weight": torch.zeros(3)}, "the base's arrays have no cells.0.input.bias"),
    ],
)
def test_arrays_of_another_network_are_refused_by_name(tensors, words):
    options = RecurrentOptions(hidden=8)
    with pytest.raises(Unsupported, match=words):
        network.check_arrays(tensors(), network_of(CLASSES), options)


def test_arrays_of_the_network_pass():
    for cell in CELLS:
        options = RecurrentOptions(hidden=8, cell=cell, layers=2)
        network.check_arrays(trained(cell=cell, layers=2), network_of(cell=cell, layers=2), options)


def test_steps_of_two_axes_are_refused_for_they_look_like_an_image():
    problem = Problem("classification", (6, 4, 3), 4, 40, time_axis=True)
    with pytest.raises(Unsupported, match=r"\(6, 4, 3\) look like images; flatten the steps"):
        network.count_features(problem)
