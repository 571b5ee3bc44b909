"""Declarations of our data sets: protocols as published, files with addresses and checksums."""

from __future__ import annotations

import re

import pytest

from harness import Folder
from harness.catalog import Settings, load_catalog
from harness.cli import main
from harness.data.differences import declared_digest
from harness.data.files import list_declared

DATASETS = {dataset.name: dataset for dataset in load_catalog(Settings()).datasets.values()}
OURS = ("mnist", "fashion-mnist", "cifar10", "cifar100", "nmnist", "cifar10-dvs", "dvs-gesture")
OURS += ("mnist-rows", "mnist-pixels", "ptb", "ptb-char", "tiny-shakespeare")


@pytest.mark.parametrize(
    ("name", "epochs", "batch_size", "options"),
    [
        # The defaults of train_cifar.py, train_cifar10dvs.py and train_dvsgesture.py of the published OTTT code.
        ("cifar10", 300, 128, {"steps": 6, "loss_lambda": 0.05}),
        ("cifar100", 300, 128, {"steps": 6, "loss_lambda": 0.05}),
        ("cifar10-dvs", 300, 128, {"loss_lambda": 0.001, "dropout": 0.1}),
        ("dvs-gesture", 300, 16, {"loss_lambda": 0.001, "optimiser": "adam"}),
    ],
)
def test_protocols_are_those_of_the_published_code(name, epochs, batch_size, options):
    recipe = DATASETS[name].recipe
    assert (recipe.budget.unit, recipe.budget.amount, recipe.batch_size) == ("epochs", epochs, batch_size)
    assert recipe.families == {"spiking": options}


@pytest.mark.parametrize("name", OURS)
def test_every_file_has_an_address_and_a_checksum(name):
    dataset = DATASETS[name]
    assert dataset.licence
    assert dataset.citation
    files = list_declared(dataset)
    assert len({file.path for file in files}) == len(files) > 0
    for file in files:
        assert file.urls
        algorithm, value = declared_digest(file)
        assert len(value) == {"md5": 32, "sha256": 64}[algorithm]
        int(value, 16)


def test_folders_need_to_be_complete_unless_they_are_asked_for_in_part():
    for name, counts in (("nmnist", [60000, 10000]), ("cifar10-dvs", [10000]), ("dvs-gesture", [1077, 264])):
        whole, part = list_declared(DATASETS[name]), list_declared(DATASETS[name], {"partial": True})
        assert [folder.count for folder in whole if isinstance(folder, Folder)] == counts
        assert [folder.partial for folder in whole] == [False] * len(counts)
        assert [folder.partial for folder in part] == [True] * len(counts)


def test_the_files_of_a_part_of_cifar10():
    part = [file.path.rpartition("/")[2] for file in list_declared(DATASETS["cifar10"], {"batches": (4, 2)})]
    assert part == ["data_batch_2", "data_batch_4", "test_batch", "batches.meta"]


@pytest.mark.parametrize(
    ("name", "licence"),
    [
        ("mnist", "CC BY-SA 3.0"),
        ("fashion-mnist", "MIT"),
        ("nmnist", "CC BY-SA 4.0"),
        ("cifar10", "none stated, for research (unchecked)"),
        ("cifar100", "none stated, for research (unchecked)"),
        ("cifar10-dvs", "CC BY 4.0 (unchecked)"),
        ("shakespeare", "public domain"),
    ],
)
def test_a_licence_that_nobody_has_looked_up_says_so(name, licence, capsys):
    assert main(["list", name]) == 0
    assert re.search(rf"\n  licence +{re.escape(licence)}\n", capsys.readouterr().out)


def test_official_test_rows_are_the_same_for_every_seed_and_digits_has_none():
    assert [name for name in OURS if not DATASETS[name].fixed_test] == []
    assert not DATASETS["digits"].fixed_test
    assert {DATASETS[name].folds for name in OURS} == {0}


@pytest.mark.parametrize(
    ("kind", "name", "requires"),
    [
        ("classification", "digits", ("sklearn",)),
        ("regression", "diabetes", ("sklearn",)),
        ("language", "shakespeare", ()),
    ],
)
def test_one_data_set_of_each_kind_is_the_default(kind, name, requires):
    found = [each.name for each in DATASETS.values() if each.default and each.kind == kind]
    assert found == [name]
    assert DATASETS[name].requires == requires
    assert list_declared(DATASETS[name]) == ()
