"""Predictions in parts and in chunks are those of one go, in memory that is steady."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest
import torch
from compressing import CLASSES, TOKENS, network_of, trained
from plain_cells import CELLS
from tiny_problems import rows

from harness import ClassLogProbs, TokenLogProbs
from harness_recurrent import equations, prediction
from harness_torch.training import inference

STREAMED = [cell for cell in CELLS if cell != "irnn"]


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_classes_are_those_of_the_equations_however_rows_are_cut(cell, layers, monkeypatch):
    net, tensors = network_of(cell=cell, layers=layers), trained(cell=cell, layers=layers)
    inputs = rows(CLASSES).inputs
    logits, _ = equations.compute_logits(net, tensors, inputs, equations.build_start(net, tensors, len(inputs)))
    for limit in (1, 1000, 2**22):
        monkeypatch.setattr(inference, "ELEMENTS", limit)
        found = prediction.predict(net, tensors, inputs)
        assert isinstance(found, ClassLogProbs)
        torch.testing.assert_close(found.log_probs, logits.log_softmax(-1)[None], rtol=1e-12, atol=1e-12)


def stream(count=3, length=29):
    return torch.randint(7, (count, length), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("options", [{"tied": True}, {"embedding": 3}], ids=str)
@pytest.mark.parametrize("cell", STREAMED)
def test_tokens_of_a_stream_are_those_of_the_equations_however_it_is_cut(cell, options, monkeypatch):
    options = {"cell": cell, "layers": 2, **options}
    net, tensors, tokens = network_of(TOKENS, **options), trained(TOKENS, **options), stream()
    logits, _ = equations.compute_logits(net, tensors, tokens[:, :-1], equations.build_start(net, tensors, 3))
    expected = logits.log_softmax(-1).gather(1, tokens[:, 1:].reshape(-1, 1)).reshape(1, 3, 28)
    for limit in (1, 7 * 3 * 5, 2**22):  # a step at a time, five, all
        monkeypatch.setattr(inference, "ELEMENTS", limit)
        found = prediction.predict(net, tensors, tokens)
        assert isinstance(found, TokenLogProbs)
        torch.testing.assert_close(found.log_probs, expected, rtol=1e-12, atol=1e-12)


def test_a_row_of_a_stream_says_nothing_of_another():
    net, tensors, tokens = network_of(TOKENS), trained(TOKENS), stream()
    together = prediction.predict(net, tensors, tokens).log_probs
    for row in range(3):
        alone = prediction.predict(net, tensors, tokens[row : row + 1]).log_probs
        torch.testing.assert_close(alone[0, 0], together[0, row], rtol=1e-12, atol=1e-12)


PEAKS = """
    import resource, sys
    import torch
    from harness import Problem, Training
    from harness_recurrent import network, prediction
    from harness_recurrent.config import RecurrentOptions

    torch.set_num_threads(1)
    problem = Problem("language", (), 5000, 200_000, order="contiguous", window=20)
    options = RecurrentOptions(hidden=32, cell="lstm")
    net = network.build(problem, Training(0, "cpu", "fp32", 4, None), options)
    tensors = {name: each.float() for name, each in network.draw_initial(net, options, 0).items()}
    tokens = torch.randint(5000, (1, int(sys.argv[1])))

    def high():  # kB that are resident now, not the most there ever were
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

    prediction.predict(net, tensors, tokens[:, :4000])
    print(high())
    for _ in range(3):
        prediction.predict(net, tensors, tokens)
        print(high())
"""


def test_the_memory_of_a_long_evaluation_is_that_of_a_chunk_and_repeats():
    done = subprocess.run(
        [sys.executable, "-c", dedent(PEAKS), "20000"], capture_output=True, text=True, check=True, timeout=300
    )
    short, first, *again = map(int, done.stdout.split())
    logits_of_all = 20_000 * 5000 * 4 / 1024
    assert first - short < 0.25 * logits_of_all
    assert all(each <= 1.1 * first for each in again)
