"""All compressions offer the network that they start from, fine-tuning, and sizes as rows of their own."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from harness import option
from harness.catalog import Settings, load_catalog
from harness_recurrent.config import CompressionOptions, NetworkOptions, TuningOptions
from harness_recurrent.offers import offer_compression

SIZES = ("nodes", "share", "parameters")
ROWS = {
    "spectral-pruning": SIZES,
    "random-pruning": SIZES,
    "node-pruning": SIZES,
    "magnitude-pruning": SIZES,
    "obs-pruning": SIZES,
    "column-sparsification": SIZES,
    "low-rank": (*SIZES, "rank"),
    "iss": SIZES,
    "int8": (),
}


@dataclass(frozen=True)
class Ranked(CompressionOptions):
    level: int = option(1, "how much is left")


@dataclass(frozen=True)
class Whole(NetworkOptions, TuningOptions):
    pass


@pytest.mark.parametrize("name", ROWS)
def test_every_compression_starts_from_the_network_of_its_options(name):
    method = load_catalog(Settings()).methods.get(name)
    assert method.starts_from(method.config(cell="gru", hidden=64)) == "dense-rnn[cell=gru,hidden=64]"
    assert (method.epochs_option, method.family) == ("finetune", "recurrent")
    assert method.kinds == ("classification", "language")
    assert method.precisions == ("fp32", "tf32", "bf16")
    assert method.row_options == ROWS[name]
    assert method.role == ("proposed" if name == "spectral-pruning" else "baseline")


def test_sizes_are_those_of_the_config_and_its_own():
    assert offer_compression("mine", "x", "mine:build", Ranked, sizes=("level",)).row_options == (*SIZES, "level")
    assert offer_compression("mine", "x", "mine:build", Whole).row_options == ()
