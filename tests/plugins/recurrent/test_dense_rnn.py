"""dense-rnn: what it refuses, and its update beside the equations of its cells."""

from __future__ import annotations

import pytest
from agreeing import agree
from plain_cells import CELLS


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_an_update_is_that_of_the_equations(cell, layers, tmp_path):
    said = agree(f"dense-rnn[cell={cell},layers={layers},hidden=5,dropout=0.3]", "digits-rows", tmp_path)
    assert list(said["layers"]) == [*(f"cells.{layer}" for layer in range(layers)), "readout"]


@pytest.mark.parametrize("tied", ["tied=yes", "embedding=4"])
def test_an_update_on_a_stream_is_that_of_the_equations(tied, tmp_path):
    said = agree(f"dense-rnn[cell=gru,layers=2,hidden=5,dropout=0.3,{tied}]", "shakespeare", tmp_path)
    assert "embedding" in said["layers"]
