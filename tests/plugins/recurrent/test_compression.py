"""All compressions share the base that they take, their size, and one digest of it; through a run as well."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from compressing import CLASSES, TOKENS, network_of, prepared, trained
from plain_cells import CELLS
from tiny_problems import fit, terms

from harness import Problem, Unsupported, read_records
from harness.cli import main
from harness.options import build as configured
from harness.records.store import Store
from harness_recurrent import compression, network
from harness_recurrent.compression import Base, Compression, Smaller
from harness_recurrent.config import CompressionOptions, RecurrentOptions
from harness_spectral import SpectralOptions
from harness_spectral import learner as spectral

STREAMED = [cell for cell in CELLS if cell != "irnn"]


def learner(**given):
    return spectral.build(configured(SpectralOptions, {"hidden": 8, **given}, "spectral-pruning"))


# --- the base ---------------------------------------------------------------------------------------------------------


def test_a_base_that_nothing_was_done_to_is_refused():
    net, options = network_of(), RecurrentOptions(hidden=8)
    untrained = {name: each.float() for name, each in network.draw_initial(net, options, 0).items()}
    with pytest.raises(Unsupported, match=r"^the base is untrained: its weights are those it started with; give it"):
        learner().init(CLASSES, terms(6, precision="fp32"), untrained)
    once = {**untrained, "readout.bias": untrained["readout.bias"] + 1e-3}
    assert learner().init(CLASSES, terms(6, precision="fp32"), once)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda base: None, "a compression starts from a trained network, and there is none"),
        (lambda base: trained(hidden=6), r"cells.0.input.weight has shape \(6, 3\), expected \(8, 3\): it is another"),
        (lambda base: trained(cell="lstm"), r"cells.0.input.weight has shape \(32, 3\)"),
        (lambda base: {**base, "readout.bias": base["readout.bias"] / 0}, "numbers that are not finite: its training"),
        (lambda base: {"mean": torch.zeros(2)}, "the base's arrays have no cells.0.input.bias"),
    ],
)
def test_a_base_that_is_none_of_its_own_is_refused_in_a_line(change, words):
    with pytest.raises(Unsupported, match=words) as caught:
        learner().init(CLASSES, terms(6), change(dict(trained())))
    assert "\n" not in str(caught.value)


def test_the_base_is_left_as_it_is():
    before = {name: tensor.clone() for name, tensor in trained().items()}
    prepared(spectral, SpectralOptions, nodes=4, finetune=1, teacher=True)
    assert all(torch.equal(trained()[name], tensor) for name, tensor in before.items())


# --- sizes ------------------------------------------------------------------------------------------------------------


def base_of(problem, **options):
    net = network_of(problem, **options)
    return Base(net, dict(trained(problem, **options)), None, torch.Generator())


CASES = [
    *((CLASSES, {"cell": cell, "layers": layers}) for cell in CELLS for layers in (1, 2)),
    *((TOKENS, {"cell": cell, "layers": 2, "tied": tied}) for cell in STREAMED for tied in (True, False)),
]


@pytest.mark.parametrize(("problem", "options"), CASES, ids=str)
def test_numbers_are_counted_before_they_are_there(problem, options):
    base = base_of(problem, **options)
    for left in (1, 3, 8):
        _, state = prepared(spectral, SpectralOptions, problem, nodes=left, **options)
        assert compression.count_numbers(base, left) == sum(each.numel() for each in state.parameters.values())


@pytest.mark.parametrize(
    ("hidden", "features", "classes", "most", "nodes"),
    [(128, 8, 10, 2572, 42), (128, 8, 10, 2571, 41), (128, 1, 10, 2278, 42), (8, 3, 4, 10**9, 8)],
)
def test_the_most_parameters_say_how_many_nodes(hidden, features, classes, most, nodes):
    """Of an irnn k d + k^2 + k + c k + c."""
    options = RecurrentOptions(hidden=hidden)
    problem = Problem("classification", (5, features), classes, 40, time_axis=True)
    net = network.build(problem, terms(6), options)
    base = Base(net, network.draw_initial(net, options, 0), None, torch.Generator())
    chosen = Compression(CompressionOptions(hidden=hidden, parameters=most)).size(base)
    assert chosen == nodes
    k, d, c = nodes, features, classes
    assert compression.count_numbers(base, nodes) == k * d + k * k + k + c * k + c <= most


def test_a_size_that_no_network_has_names_the_smallest():
    with pytest.raises(
        Unsupported, match=r"^parameters=5: the smallest network that this leaves has 13; give at least"
    ):
        prepared(spectral, SpectralOptions, parameters=5)


def test_a_method_may_count_otherwise():
    class Halves(Compression):
        def count(self, base, nodes):
            return nodes // 2

        def compress(self, base):
            return Smaller(base.tensors)

    assert Halves(CompressionOptions(hidden=8, parameters=2)).size(base_of(CLASSES)) == 5


# --- what comes after -------------------------------------------------------------------------------------------------


def test_draws_are_the_trials_own():
    def draws(seed):
        state = learner().init(CLASSES, replace(terms(6), seed=seed), trained())
        return compression.build_base(state, fit(CLASSES)).generator.initial_seed()

    assert draws(1) == draws(1) != draws(2)


def test_what_is_saved_is_what_is_trained_and_predicts_as_it_was():
    built, state = prepared(spectral, SpectralOptions, nodes=4, cell="gru")
    saved = built.save(state)
    assert all(torch.equal(saved[name], each) for name, each in state.parameters.items())
    assert saved["cells.0.recurrent.weight"].shape == (12, 4)


# --- a run ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run methods of 12 nodes: what was said, and the newest record of each."""
    monkeypatch.chdir(tmp_path)

    def call(methods, *arguments, dataset="digits-rows"):
        setting = ["--here", "--seeds", "1", "--device", "cpu", "--threads", "1", "--datasets", dataset]
        main(["run", *setting, "--methods", methods, *arguments])
        said = " ".join("".join(capsys.readouterr()).split())
        return said, {each.trial.method.name: each for each in read_records(tmp_path / "results")}

    return call


def test_all_compressions_of_a_seed_start_from_the_same_arrays(run, tmp_path):
    run("spectral-pruning[hidden=12,nodes=[3,5],reconstruct=[yes,no]]", "--updates", "3")
    dense, *smaller = sorted(read_records(tmp_path / "results"), key=lambda each: each.trial.method.name)
    assert [each.status for each in (dense, *smaller)] == ["ok"] * 5
    assert {each.provenance["base"]["sha256"] for each in smaller} == {dense.provenance["arrays"]["sha256"]}
    assert all(each.facts["hidden"] == len(each.facts["nodes"]) for each in smaller)


@pytest.mark.parametrize(
    ("given", "updates", "reason"),
    [
        ("hidden=12", "0", "the base is untrained: its weights are those it started with"),
        ("hidden=12,gain=1e30", "3", "starts from dense-rnn[hidden=12,gain=1e+30], which diverged: loss is "),
    ],
)
def test_a_base_that_is_of_no_use_is_the_reason_in_record_and_table(run, given, updates, reason):
    said, records = run(f"spectral-pruning[{given}]", "--updates", updates)
    smaller = records["spectral-pruning"]
    assert (smaller.status, smaller.reason[: len(reason)]) == ("skipped", reason)
    assert f"skipped: {reason}" in said


@pytest.mark.parametrize("spoilt", ["changed", "cut"])
def test_a_base_whose_file_was_spoilt_is_trained_again_and_named(run, tmp_path, spoilt):
    methods = ("spectral-pruning[hidden=12]", "spectral-pruning[hidden=12,nodes=3]")
    _, before = run(methods[0], "--updates", "3")
    path = Store(tmp_path / "results").locate_weights(before["dense-rnn"].trial.key)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content if spoilt == "changed" else content[:-40])
    said, after = run(methods[1], "--updates", "3")
    assert re.search(
        "dense-rnn.hidden=12. on digits-rows, seed 0 runs again: its trained arrays, .* its record says", said
    )
    same = after["dense-rnn"].provenance["arrays"]["sha256"]
    assert (
        same
        == before["dense-rnn"].provenance["arrays"]["sha256"]
        == after["spectral-pruning"].provenance["base"]["sha256"]
    )


def test_dead_nodes_that_are_kept_are_told_below_the_table(run):
    """Of one input that is never negative about half the nodes of an irnn are never active."""
    methods = "spectral-pruning[hidden=12,nodes=12]"
    said, records = run(methods, "--updates", "3", dataset="digits-pixels[train=64,valid=20,test=20]")
    smaller = records["spectral-pruning"]
    assert 0 < smaller.facts["dead_nodes"] < 12
    warning = f"12 nodes are kept of a layer with {12 - smaller.facts['dead_nodes']} that are ever active"
    assert smaller.warnings["describe.dead_nodes"].startswith(warning)
    assert warning in said


def test_sequences_that_have_no_room_are_out_of_memory_in_a_line(run):
    _, records = run(f"dense-rnn[hidden={2**40}]", "--updates", "1")
    dense = records["dense-rnn"]
    assert dense.status == "oom"
    assert re.search(
        r"keeps [\d,.]+ GiB at least, [\d,.]+ GiB of weights and gradients and the states of 32 rows over 8 steps",
        dense.reason,
    )


def test_the_limit_of_a_trial_is_seen_before_an_update_breaks_it(tmp_path, monkeypatch, capsys):
    """In a process of its own, which otherwise would be ended on the way: 1 GiB at least for 1,000 rows."""
    monkeypatch.chdir(tmp_path)
    setting = ["--seeds", "1", "--device", "cpu", "--threads", "1", "--datasets", "digits-pixels", "--updates", "1"]
    asked = ["--methods", "dense-rnn[hidden=2048]", "--batch-size", "1000", "--memory", "1GiB"]
    assert main(["run", *setting, *asked]) == 1
    (record,) = read_records(tmp_path / "results")
    assert record.status == "oom"
    words = r"keeps 1\.0 GiB at least, .* are left of the 1\.0 GiB that the trial may hold, in which (\d+) rows"
    assert 0 < int(re.search(words, record.reason)[1]) < 1000
    assert re.search(r"give --batch-size \d+, or more --memory", " ".join("".join(capsys.readouterr()).split()))
