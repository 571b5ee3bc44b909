"""Second moments of a trained network's states, against sums over all that the plain equations say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from compressing import CLASSES, TOKENS, network_of, trained
from plain_cells import CELLS
from tiny_problems import fit

from harness import Batch, Unsupported
from harness_recurrent import equations, statistics
from harness_recurrent.statistics import Statistics

BATCH = 4


def moments(states):
    rows = states.flatten(0, -2)
    return sum(torch.outer(row, row) for row in rows) / len(rows)


def both(problem, **options):
    """Compute the statistics, and by the equations x and the states (T, N, m) of each layer."""
    net, tensors, train = network_of(problem, **options), trained(problem, **options), fit(problem).train
    inputs = train.inputs
    if problem is TOKENS:
        inputs = inputs.reshape(BATCH, -1)
    x = equations.read_inputs(net, tensors, inputs)
    states, _ = equations.run_layers(net, tensors, x, equations.build_start(net, tensors, len(inputs)))
    return Statistics(net, tensors, train, BATCH), x, states


def same(found, expected):
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-13)
        assert torch.equal(mine, mine.T)


@pytest.mark.parametrize("numbers", [1, 200, 2**22])
@pytest.mark.parametrize("cell", CELLS)
def test_moments_of_rows_are_those_of_the_plain_sums_however_they_are_cut(cell, numbers, monkeypatch):
    monkeypatch.setattr(statistics, "NUMBERS", numbers)
    found, x, states = both(CLASSES, cell=cell, layers=2)
    same(found.time_mean, map(moments, states))
    same(found.last_step, (moments(each[-1]) for each in states))
    same(found.lagged, (moments(torch.cat([torch.zeros_like(each[:1]), each[:-1]])) for each in states))
    same(found.inputs, map(moments, (x, states[0])))


@pytest.mark.parametrize("numbers", [1, 200, 2**22])
def test_a_stream_is_carried_as_in_training_however_it_is_cut(numbers, monkeypatch):
    monkeypatch.setattr(statistics, "NUMBERS", numbers)
    found, x, states = both(TOKENS, cell="gru", layers=2, tied=True)
    same(found.time_mean, map(moments, states))
    same(found.last_step, found.time_mean)
    same(found.lagged, found.time_mean)
    same(found.inputs, map(moments, (x, states[0])))


def test_only_the_first_rows_are_looked_at(monkeypatch):
    monkeypatch.setattr(statistics, "ROWS", 7)
    found, _, states = both(CLASSES)
    same(found.time_mean, (moments(each[:, :7]) for each in states))


def test_tokens_that_training_leaves_out_are_left_out():
    net, tensors = network_of(TOKENS), trained(TOKENS)
    tokens = torch.randint(7, (1, 1 + 4 * 30 + 3), generator=torch.Generator().manual_seed(0))
    found = Statistics(net, tensors, Batch(tokens[:, :-1], tokens[:, 1:]), BATCH).time_mean
    streams = tokens[0, :120].reshape(4, 30)
    x = equations.read_inputs(net, tensors, streams)
    states, _ = equations.run_layers(net, tensors, x, equations.build_start(net, tensors, 4))
    same(found, map(moments, states))


@pytest.mark.parametrize("problem", [CLASSES, TOKENS], ids=lambda problem: problem.kind)
def test_dropout_is_off(problem):
    tensors, train = trained(problem), fit(problem).train
    found = [Statistics(network_of(problem, dropout=rate), tensors, train, BATCH).time_mean for rate in (0.0, 0.9)]
    same(*found)


def test_in_bf16_moments_are_near_and_in_double():
    net, tensors = network_of(), trained()
    coarse = replace(net, types=net.types._replace(compute=torch.bfloat16))
    exact, rough = (Statistics(each, tensors, fit(CLASSES).train, BATCH).time_mean[0] for each in (net, coarse))
    assert rough.dtype == torch.float64
    torch.testing.assert_close(rough, exact, rtol=0.1, atol=0.02)


def test_a_network_that_ran_away_is_told():
    net, tensors = network_of(), {name: each * 1e200 for name, each in trained().items()}
    with pytest.raises(
        Unsupported, match="the base has run away on the training rows: hidden states have to be finite"
    ):
        _ = Statistics(net, tensors, fit(CLASSES).train, BATCH).time_mean
