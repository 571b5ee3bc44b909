"""Options of recurrent networks: which go together, and what of them reaches the base of a compression."""

from __future__ import annotations

import dataclasses
from functools import cache

import pytest

from harness import UsageError
from harness.catalog import Settings, load_catalog
from harness.options import build, rows
from harness.planning.plan import plan_trials
from harness.suites.suite import Request
from harness_recurrent.config import (
    CompressionOptions,
    NetworkOptions,
    RecurrentOptions,
    SizeOptions,
    TrainingOptions,
    TuningOptions,
    name_base,
    write_options,
)

# Of each option of a network one value that is not its default.
OTHERS = {
    "cell": "gru",
    "hidden": 64,
    "layers": 2,
    "gain": 1e-05,
    "input_scale": 0.1,
    "embedding": 10,
    "tied": True,
    "dropout": 0.25,
}
OF_LANGUAGE = ("embedding", "tied")


@cache
def catalog():
    return load_catalog(Settings())


def planned(methods, dataset="digits-rows"):
    return plan_trials(catalog(), Request(methods=methods, datasets=dataset, seeds="1", device="cpu"))


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(NetworkOptions)])
def test_the_base_is_told_each_option_of_the_network(name):
    said = write_options(CompressionOptions(**{name: OTHERS[name]}))
    assert said.partition("=")[0] == name
    began, smaller = planned(f"spectral-pruning[{said}]", "shakespeare" if name in OF_LANGUAGE else "digits-rows")
    assert smaller.base.key == began.key
    assert (began.method.name, began.method.options[name]) == ("dense-rnn", OTHERS[name])
    assert smaller.method.options[name] == OTHERS[name]


def test_a_base_is_named_by_what_is_not_its_default():
    assert name_base(CompressionOptions(nodes=3)) == "dense-rnn"
    options = CompressionOptions(cell="lstm", layers=2, tied=True, nodes=3, finetune=2, learning_rate=0.1)
    assert name_base(options) == "dense-rnn[cell=lstm,layers=2,tied=yes]"


@pytest.mark.parametrize(
    ("options", "given", "words"),
    [
        (
            NetworkOptions,
            {"tied": True, "embedding": 3},
            r"^tiny: tied=yes: the readout has hidden=128 columns and the emb",
        ),
        (
            NetworkOptions,
            {"cell": "gru", "gain": 0.5},
            r"^tiny: gain=0.5: without effect where cell=gru; leave gain out",
        ),
        (
            NetworkOptions,
            {"cell": "lstm", "input_scale": 1.0},
            r"^tiny: input_scale=1.0: without effect where cell=lstm",
        ),
        (
            CompressionOptions,
            {"nodes": 4, "share": 0.5},
            r"^tiny: nodes=4 and share=0.5 each say how much is left; give one",
        ),
        (
            CompressionOptions,
            {"nodes": 4, "share": 0.5, "parameters": 9},
            "^tiny: nodes=4 and share=0.5 and parameters=9 ",
        ),
        (CompressionOptions, {"nodes": 129}, r"^tiny: nodes=129: a layer has hidden=128; give at most as many$"),
        (CompressionOptions, {"optimiser": "adam", "momentum": 0.5}, "^tiny: momentum=0.5"),
        (
            RecurrentOptions,
            {"momentum": 0.5},
            "^tiny: momentum=0.5: the momentum of sgd, and optimiser=adam, given, by def",
        ),
        (RecurrentOptions, {"stay": 2}, "^tiny: stay=2: without effect where schedule=one-cycle; leave stay out, or"),
    ],
)
def test_what_does_not_go_together_is_refused_in_a_line(options, given, words):
    with pytest.raises(UsageError, match=words) as caught:
        build(options, given, "tiny")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", ["nodes=0", "nodes=-3", "share=0", "share=1.5", "parameters=0", "nodes=200"])
def test_an_impossible_size_ends_the_plan_before_anything_runs(given):
    with pytest.raises(UsageError, match=f"^spectral-pruning: {given.partition('=')[0]}"):
        planned(f"spectral-pruning[{given}]")


COMPRESSIONS = (
    "spectral-pruning",
    "random-pruning",
    "node-pruning",
    "magnitude-pruning",
    "obs-pruning",
    "column-sparsification",
    "low-rank",
    "iss",
    "int8",
)


@pytest.mark.parametrize("method", ["dense-rnn", *COMPRESSIONS])
@pytest.mark.parametrize(
    ("dataset", "given", "said"),
    [
        ("digits-rows", "tied=yes", "tied=yes: of language, and digits-rows is classification; leave tied out"),
        ("digits", "embedding=8", "embedding=8: of language, and digits is classification; leave embedding out"),
        (
            "shakespeare",
            "gain=0.5",
            "gain=0.5: of cell=irnn, and shakespeare is language, where cell is lstm; leave gain out",
        ),
        (
            "shakespeare",
            "input_scale=1.0",
            "input_scale=1.0: of cell=irnn, and shakespeare is language, where cell is lstm; leave input_scale out",
        ),
        (
            "shakespeare",
            "cell=irnn",
            "cell=irnn: its state is unbounded on a stream without end, and shakespeare is language; "
            "use cell=lstm, gru, elman or mingru",
        ),
    ],
)
def test_options_of_other_data_end_the_plan_of_every_method(method, dataset, given, said):
    with pytest.raises(UsageError) as caught:
        planned(f"{method}[{given}]", dataset)
    assert str(caught.value) == f"{method} on {dataset}: {said}"


@pytest.mark.parametrize("method", [name for name in COMPRESSIONS if name != "iss"])  # which takes no finetune=0
@pytest.mark.parametrize(
    "given",
    [
        "teacher=yes",
        "learning_rate=0.01",
        "optimiser=adam",
        "schedule=cosine",
        "final_rate=0.1",
        "weight_decay=0.1",
        "clip=2.0",
        "clip=none",
    ],
)
def test_options_of_a_training_that_there_is_not_are_refused(method, given):
    name = given.partition("=")[0]
    with pytest.raises(UsageError) as caught:
        planned(f"{method}[{given}]")
    assert str(caught.value) == (
        f"{method} on digits-rows: {given}: of training after it was made smaller, of which finetune=0 has none; "
        f"leave {name} out, or give finetune=1 or more"
    )
    assert len(planned(f"{method}[{given},finetune=1]")) == 2


def test_a_default_that_is_given_all_the_same_is_no_mistake():
    assert planned("spectral-pruning[teacher=no,learning_rate=none,schedule=one-cycle]")


@pytest.mark.parametrize(
    ("method", "ignored", "heard"),
    [
        ("spectral-pruning", "", "lam=0.1,covariance=last-step,theta=0.1"),
        ("random-pruning", "lam=0.1 covariance=last-step", ""),
        ("random-pruning[among=living]", "lam=0.1", "covariance=last-step"),
        ("node-pruning", "lam=0.1 covariance=last-step", ""),
        ("node-pruning[score=activity]", "lam=0.1", "covariance=last-step"),
        ("node-pruning[score=leverage]", "", "lam=0.1,covariance=last-step"),
        ("iss", "lam=0.1 covariance=last-step", ""),
    ],
)
def test_options_of_the_reconstruction_alone_are_refused_without_it(method, ignored, heard):
    name, _, own = method.removesuffix("]").partition("[")
    given = [each for each in ("reconstruct=no", own, heard) if each]
    assert len(planned(f"{name}[{','.join(given)}]")) == 2
    for each in ignored.split():
        words = f"^{name}: {each}: of the reconstruction, and reconstruct=no; leave .* out, or give reconstruct=yes"
        with pytest.raises(UsageError, match=words):
            planned(f"{name}[{','.join([*given, each])}]")


def test_draws_of_all_nodes_are_refused():
    words = "^random-pruning: draw=2: all hidden=16 nodes are kept, and none is drawn; leave draw out$"
    for size in ("nodes=16", "share=1"):
        with pytest.raises(UsageError, match=words):
            planned(f"random-pruning[hidden=16,{size},draw=2]")
    assert planned("random-pruning[hidden=16,nodes=[15,16]],random-pruning[hidden=16,nodes=15,draw=2]")


def test_a_stream_has_no_last_step():
    words = "covariance=last-step: shakespeare is language, a stream that has no last step; leave covariance out"
    with pytest.raises(UsageError, match=f"^spectral-pruning on shakespeare: {words}$"):
        planned("spectral-pruning[covariance=last-step]", "shakespeare")


def test_the_identity_is_that_of_a_cell_that_starts_from_it():
    words = "kind=identity: of cell=irnn, and shakespeare is language, where cell is lstm; give kind=svd"
    with pytest.raises(UsageError, match=f"^low-rank on shakespeare: {words}$"):
        planned("low-rank[kind=identity]", "shakespeare")
    assert planned("low-rank[kind=identity]")


def test_compressions_of_all_sizes_and_methods_start_from_one_base():
    methods = "spectral-pruning[nodes=[3,5],theta=[0,1],finetune=[0,1],reconstruct=no],spectral-pruning[share=.1]"
    trials = planned(methods)
    assert len(trials) == 1 + 8 + 1
    assert {trial.base.key for trial in trials if trial.base} == {trials[0].key}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, 42),
        ({"nodes": 5}, 5),
        ({"share": 0.5}, 64),
        ({"share": 1e-9}, 1),
        ({"share": 1.0}, 128),
        ({"parameters": 9}, None),
    ],
)
def test_how_many_nodes_are_kept(given, kept):
    assert CompressionOptions(**given).kept == kept
    assert SizeOptions(**given).given_sizes == [f"{name}={value}" for name, value in given.items()]


def test_rates_from_scratch_and_of_fine_tuning_are_told_apart():
    assert [TrainingOptions().resolved_rate, TuningOptions().resolved_rate] == [3e-3, 1e-3]
    assert [each(optimiser="sgd").resolved_rate for each in (TrainingOptions, TuningOptions)] == [1.0, 1.0]
    assert TuningOptions(learning_rate=0.5).resolved_rate == 0.5


def test_the_catalogue_says_the_optimiser_and_the_rates_that_are_taken():
    for name, each in (("dense-rnn", TrainingOptions()), ("spectral-pruning", TuningOptions())):
        said = {row[0]: row[-1] for row in rows(catalog().methods.get(name).config)}
        assert f"else {each.resolved_optimiser}, by default" in said["optimiser"]
        assert f"1.0 for sgd and {each.resolved_rate} for adam" in said["learning_rate"]
