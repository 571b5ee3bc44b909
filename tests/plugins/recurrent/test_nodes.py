"""Keeping nodes: weights against a rewrite by hand, and a network that keeps all of them is the base itself."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from compressing import CLASSES, TOKENS, network_of, prepared, trained
from plain_cells import CELLS, GATES
from tiny_problems import fit, normal, rows, terms

from harness import Fit, Reading, Unsupported
from harness.options import build as configured
from harness_recurrent import equations, nodes
from harness_recurrent.config import NodeOptions
from harness_spectral import SpectralOptions
from harness_spectral import learner as spectral

STREAMED = [cell for cell in CELLS if cell != "irnn"]
M = 8


@dataclass(frozen=True)
class First:
    """A method that keeps the first nodes."""

    def build(self, options):
        class Pruning(nodes.NodePruning):
            def choose(self, base, layer, count, S, tau):
                self.seen = [*getattr(self, "seen", []), (layer, count, S, tau, nodes.stack_readers(base, layer))]
                return range(count - 1, -1, -1)

        return Pruning(options)


def by_hand(net, tensors, chosen, maps):
    """The smaller network, number by number."""
    found = {name: tensor.clone() for name, tensor in tensors.items()}
    found.setdefault("readout.weight", tensors.get("embedding.weight"))
    for layer, (kept, A) in enumerate(zip(chosen, maps, strict=True)):
        readers = [f"cells.{layer}.recurrent.weight", f"cells.{layer + 1}.input.weight"]
        readers += ["readout.weight"] if layer == net.layers - 1 else []
        for name in [name for name in readers if name in found]:
            found[name] = torch.tensor(
                [
                    [sum(float(a) * float(b) for a, b in zip(row, column, strict=True)) for column in A.T]
                    for row in found[name]
                ],
                dtype=torch.float64,
            )
        rows_kept = [gate * M + node for gate in range(GATES[net.cell]) for node in kept]
        for part in ("input.weight", "input.bias", "recurrent.weight"):
            if (name := f"cells.{layer}.{part}") in found:
                found[name] = torch.stack([found[name][row] for row in rows_kept])
        if (name := f"cells.{layer}.recurrent.bias") in found:
            found[name] = torch.stack([found[name][node] for node in kept])
    return found


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-12, atol=1e-12, msg=name)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_what_is_kept_is_the_rewrite_by_hand(cell, layers):
    net, tensors = network_of(cell=cell, layers=layers), trained(cell=cell, layers=layers)
    chosen, maps = [[0, 3, 7], [1, 2]][:layers], [normal(M, 3), normal(M, 2, seed=1)][:layers]
    assert_equal(nodes.keep_nodes(net, tensors, chosen, maps), by_hand(net, tensors, chosen, maps))


@pytest.mark.parametrize("options", [{"tied": True}, {"embedding": 3}], ids=str)
@pytest.mark.parametrize("cell", STREAMED)
def test_a_tied_readout_is_untied_and_the_embedding_stays(cell, options):
    options = {"cell": cell, "layers": 2, **options}
    net, tensors = network_of(TOKENS, **options), trained(TOKENS, **options)
    chosen, maps = [[0, 3, 7], [1, 2]], [normal(M, 3), normal(M, 2, seed=1)]
    found = nodes.keep_nodes(net, tensors, chosen, maps)
    assert_equal(found, by_hand(net, tensors, chosen, maps))
    assert torch.equal(found["embedding.weight"], tensors["embedding.weight"])
    assert found["readout.weight"].shape == (7, 2)


def logits(net, tensors, batch):
    return equations.compute_logits(net, tensors, batch.inputs, equations.build_start(net, tensors, len(batch.inputs)))[
        0
    ]


CASES = [
    *((CLASSES, {"cell": cell, "layers": layers}) for cell in CELLS for layers in (1, 2)),
    *((TOKENS, {"cell": cell, "layers": 2, "tied": tied}) for cell in STREAMED for tied in (True, False)),
]


@pytest.mark.parametrize("reconstruct", [True, False])
@pytest.mark.parametrize(("problem", "options"), CASES, ids=str)
def test_keeping_all_nodes_without_regularisation_leaves_the_base(problem, options, reconstruct):
    given = {**options, "nodes": M, "lam": 0.0, "reconstruct": reconstruct}
    _, state = prepared(spectral, SpectralOptions, problem, **given)
    base, batch = trained(problem, **options), rows(problem)
    for name, tensor in base.items():
        torch.testing.assert_close(state.parameters[name], tensor, rtol=0, atol=0)
    assert torch.equal(logits(state.network, state.parameters, batch), logits(state.network, base, batch))
    assert state.said["information_loss"] == (0.0 if options["layers"] == 1 else [0.0, 0.0])


@pytest.mark.parametrize("tied", [True, False])
def test_of_two_layers_the_lower_is_read_by_itself_and_by_the_one_above(tied):
    built, _ = prepared(First(), NodeOptions, TOKENS, cell="lstm", layers=2, tied=tied, nodes=3)
    base = trained(TOKENS, cell="lstm", layers=2, tied=tied)
    lower, upper = (each[-1] for each in built.seen)
    assert torch.equal(lower, torch.cat([base["cells.0.recurrent.weight"], base["cells.1.input.weight"]]))
    last = base["embedding.weight" if tied else "readout.weight"]
    assert torch.equal(upper, torch.cat([base["cells.1.recurrent.weight"], last]))


def test_of_a_mingru_only_what_reads_its_state_is_rewritten_and_nothing_accumulates():
    """Its kept nodes go on as they did in the base, so that what is lost is the reconstruction of each step alone."""
    built, state = prepared(First(), NodeOptions, CLASSES, cell="mingru", nodes=3)
    base = trained(CLASSES, cell="mingru")
    net = state.network
    kept = [0, 1, 2, M, M + 1, M + 2]
    for name in ("cells.0.input.weight", "cells.0.input.bias"):
        assert torch.equal(state.parameters[name], base[name][kept])
    inputs = fit(CLASSES).train.inputs
    x = equations.read_inputs(net, base, inputs)
    (whole,), _ = equations.run_layers(net, base, x, equations.build_start(net, base, len(inputs)))
    (smaller,), _ = equations.run_layers(
        net, state.parameters, x, equations.build_start(net, state.parameters, len(inputs))
    )
    torch.testing.assert_close(smaller, whole[..., :3], rtol=1e-12, atol=1e-14)  # at every step
    _, _, S, tau, _ = built.seen[0]
    A = S[:, :3] @ torch.linalg.inv(S[:3, :3] + tau[:3].diag())
    torch.testing.assert_close(state.parameters["readout.weight"], base["readout.weight"] @ A, rtol=1e-9, atol=1e-12)


def test_nodes_come_in_ascending_order_and_the_record_says_which():
    built, state = prepared(First(), NodeOptions, CLASSES, nodes=3, cell="elman")
    said = built.describe(state)
    assert said["nodes"] == [0, 1, 2]
    assert said["hidden"] == 3
    assert said["dead_nodes"] == Reading(0, "")
    _, count, S, tau, _ = built.seen[0]
    assert count == 3
    A = S[:, :3] @ torch.linalg.inv(S[:3, :3] + tau[:3].diag())
    lost = (S - A @ S[:3] - S[:, :3] @ A.T + A @ S[:3, :3] @ A.T).trace() / S.trace()
    assert said["information_loss"] == pytest.approx(float(lost), rel=1e-6)


# --- dead nodes -------------------------------------------------------------------------------------------------------


def with_dead(dead, nodes_left, **given):
    """A compression of an irnn of which these nodes can never be active."""
    base = {name: tensor.clone() for name, tensor in trained().items()}
    base["cells.0.input.bias"][list(dead)] = -1e9
    built = spectral.build(configured(SpectralOptions, {"hidden": M, "nodes": nodes_left, **given}, "spectral"))
    state = built.init(CLASSES, terms(6), base)
    return built, built.prepare(state, fit(CLASSES))


def test_dead_nodes_are_counted_and_not_kept_while_others_live():
    built, state = with_dead([1, 4], 3)
    said = built.describe(state)
    assert said["dead_nodes"] == Reading(2, "")
    assert not {1, 4} & set(said["nodes"])


def test_more_nodes_than_live_are_a_warning():
    built, state = with_dead([0, 1, 4, 5, 6], 4)
    reading = built.describe(state)["dead_nodes"]
    assert reading.value == 5
    assert reading.warning == "4 nodes are kept of a layer with 3 that are ever active: fewer would do the same"


def test_of_a_layer_without_life_nothing_is_made():
    with pytest.raises(Unsupported, match="all 8 nodes of layer 0 are zero in every training row: the base is dead"):
        with_dead(range(M), 4)


def silenced():
    """Rows whose last step silences an irnn without memory, where the steps before do not."""
    base = {name: tensor.clone() for name, tensor in trained().items()}
    base["cells.0.recurrent.weight"].zero_()
    base["cells.0.input.weight"].abs_()
    base["cells.0.input.bias"].zero_()
    train = fit(CLASSES).train
    inputs = train.inputs.abs()
    inputs[:, -1] *= -1
    return base, Fit(train._replace(inputs=inputs), train._replace(inputs=inputs))


def test_a_layer_that_is_silent_at_the_last_step_alone_is_not_called_dead():
    base, seen = silenced()

    def made(covariance):
        given = {"hidden": M, "nodes": 4, "covariance": covariance}
        built = spectral.build(configured(SpectralOptions, given, "spectral"))
        return built.prepare(built.init(CLASSES, terms(6), base), seen)

    words = "all 8 nodes of layer 0 are zero after the last step of every training row, .* give covariance=time-mean"
    with pytest.raises(Unsupported, match=words):
        made("last-step")
    assert len(made("time-mean").said["nodes"]) == 4


def test_nodes_that_are_silent_at_the_last_step_alone_are_named_so():
    built, state = with_dead([0, 1, 4, 5, 6], 4, covariance="last-step")
    warning = built.describe(state)["dead_nodes"].warning
    assert "of a layer with 3 that are active after the last step of any row: fewer would" in warning
