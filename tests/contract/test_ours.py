"""Plugins that come with the harness keep its contract. Small networks: the promises do not depend on their size."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from harness import UsageError, options
from harness.catalog import Settings, load_catalog, resolve
from harness.data import files
from harness.planning.fingerprints import Fingerprints
from harness.testing import cases

SMALL = "steps=3,architecture=6C3-AP2-12-FC"
TINY = "architecture=7-FC"
FEW = "hidden=6,nodes=3"
STARTED = (  # from the weights of another method
    r"(magnitude-pruning|obs-pruning|int8|random-pruning|node-pruning|column-sparsification|low-rank|iss)\b"
)
# Checks that ask for what some methods do not have, by these.
EXEMPT = {
    "cohort-as-alone": (  # one trial at a time
        r"(saf|ottt|bptt|spike-representation|hmc|dense-rnn|spectral-pruning)\b",
        r"gm-vi.*start=trained",
        STARTED,
    ),
    "seed-decides": (r"gm-vi.*start=trained", r"spectral-pruning", STARTED),  # the seed of what it starts from
    "batches-apart": (r"mc-dropout", r"dense-rnn.*dropout"),  # noise for each row
    "splits-apart": (r"shakespeare",),  # a stream has no rows
}
SELECTIONS = [
    f"saf[{SMALL}]",
    f"saf[variant=final,{SMALL}]",
    f"saf[update=online,{SMALL}]",
    f"ottt[{SMALL}]",
    f"ottt[forward=fused,{SMALL}]",
    f"bptt[{SMALL}]",
    f"bptt[recompute=2,{SMALL}]",
    f"spike-representation[{SMALL}]",
    f"spike-representation[form=dsr,{SMALL}]",
    f"spike-representation[form=dsr,neuron=if,{SMALL}]",
    f"gm-vi[components=2,{TINY}]",
    "gm-vi[components=2,covariance=full,objective=certified,learning_rate=0.001,architecture=3-FC]",
    f"gm-vi[components=2,covariance=tied,objective=true,learn_weights=yes,{TINY}]",
    f"gm-vi[components=2,start=trained,{TINY}]",
    f"mean-field-vi[prior=mixture,estimator=local,{TINY}]",
    f"mc-dropout[rate=0.3,{TINY}]",
    f"deep-ensemble[members=2,{TINY}]",
    f"deterministic[prior=fan-in,{TINY}]",
    f"laplace[{TINY}]",
    f"laplace[subset=all,structure=full,{TINY}]",
    f"swag[members=2,rank=3,{TINY}]",
    f"ivon[{TINY}]",
    f"hmc[chains=2,map_steps=3,leapfrog=3,{TINY}]",
    "dense-rnn[hidden=6]",
    "dense-rnn[cell=gru,layers=2,dropout=0.2,hidden=6]",
    "spectral-pruning[hidden=6]",
    "spectral-pruning[cell=lstm,finetune=1,teacher=yes,hidden=6]",
    f"random-pruning[among=living,{FEW}]",
    f"node-pruning[score=leverage,{FEW}]",
    f"column-sparsification[score=spectral,{FEW}]",
    f"low-rank[kind=data,{FEW}]",
    f"iss[{FEW}]",
    f"magnitude-pruning[{FEW}]",
    f"magnitude-pruning[weights=all,finetune=1,gradual=yes,form=csr,{FEW}]",
    f"obs-pruning[{FEW}]",
    f"obs-pruning[search=blocks,weights=all,finetune=1,form=csr,{FEW}]",
    "int8[hidden=6]",
    "digits",
    "digits-shifted",
    "diabetes",
    "breast-cancer",
    "wine-cultivars",
    "toy-gap",
    "toy-2d",
    "digits-rows",
    "digits-pixels",
    "shakespeare",
    "shakespeare[streams=1]",
]
METRICS = ["accuracy", "nll", "brier", "ece", "rmse", "log_likelihood", "crps", "perplexity", "bits_per_character"]
METRICS += ["base_agreement", "base_kl"]
METRICS += ["coverage95", "width95", "interval_score95", "calibration_error", "aurc", "mutual_information"]
METRICS += ["aleatoric_deviation", "epistemic_deviation", "auroc", "fpr95", "auroc_mi", "fpr95_mi"]


@cache
def catalog():
    """Of what comes with the harness, whatever else is installed."""
    return load_catalog(Settings(plugins=("harness.checks",), only=("harness-bench",)))


def each_check(names):
    """Parametrises a test by label, check and case: each check of each of these."""
    found = [(case.label, case.check.name, case) for name in names for case in cases(catalog(), name)]
    return pytest.mark.parametrize(
        ("label", "check", "case"), found, ids=[f"{label}-{check}" for label, check, _ in found]
    )


# What of these is not on this machine has no files to be tested on; the tests of each data set have files of their own.
DATASETS = [
    "mnist",
    "fashion-mnist",
    "cifar10[batches=[1,2]]",
    "cifar100",
    "nmnist[partial=yes]",
    "dvs-gesture[partial=yes]",
    "mnist-shifted",
    "mnist-rows",
    "mnist-pixels[pool=2]",
    "mnist-pixels[pool=2,permuted=yes]",
    "ptb",
    "ptb-char",
    "tiny-shakespeare[characters=300000]",
    *(
        f"uci-{name}"
        for name in ("boston", "concrete", "energy", "kin8nm", "naval", "power", "protein", "wine", "yacht")
    ),
]


@pytest.mark.sampled("label", "check")
@each_check(SELECTIONS)
def test_ours_keeps_the_contract(label, check, case):
    result = case.run()
    if any(re.match(method, label) for method in EXEMPT.get(check, ())):
        assert result.status == "not applicable", result
        return
    assert result.status == "ok", result.reason


@each_check(METRICS)
def test_our_metrics_keep_the_contract(label, check, case):
    result = case.run()
    assert result.status == "ok" or result.reason == "it has no best value", result.reason


@pytest.mark.parametrize("name", [each.name for each in catalog().datasets.values() if each.rows])
def test_a_data_set_has_the_rows_that_it_declares(name):
    dataset = catalog().datasets.get(name)
    folder = files.resolve_folder(None) or Path()
    try:
        files.require_files(name, files.list_declared(dataset), folder)
    except UsageError as error:
        pytest.skip(str(error).partition("\n")[0])
    data = resolve(dataset.load)(options.build(dataset.config, {}, name), 0, folder)
    splits = {"train": data.train, "valid": data.valid, "test": data.test}
    assert {split: len(batch.targets) for split, batch in splits.items()} == dataset.rows


def test_every_metric_that_is_computed_is_tested_here():
    assert {metric.name for metric in catalog().metrics.values() if metric.compute is not None} == set(METRICS)


def test_every_data_set_is_tested_here():
    named = {name.partition("[")[0] for name in (*SELECTIONS, *DATASETS)}
    assert {dataset.name for dataset in catalog().datasets.values()} - {"cifar10-dvs"} <= named  # it needs an extra


@pytest.mark.sampled("label", "check")
@each_check(DATASETS)
def test_our_data_sets_keep_the_contract_where_their_files_are(label, check, case):
    result = case.run()
    if result.status == "not applicable":
        pytest.skip(result.reason)
    assert result.status == "ok", result.reason


def test_keys_follow_all_that_comes_with_the_harness():
    prints, found = Fingerprints(), catalog()
    for offer in (*found.methods.offers(), *found.datasets.offers()):
        assert prints.follow_once(offer).gaps == (), offer.value.name
