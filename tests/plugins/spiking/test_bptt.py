import pytest
from spiking_reference import NETWORKS, TINY, batch, frames, naive, problem, start, step_gradients, worst

from harness_bptt import BPTTOptions
from harness_bptt.learner import build


@pytest.mark.sampled
@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("detach_reset", [True, False])
@pytest.mark.parametrize(
    ("network", "steps", "leak"), [("mlp", 20, 0.9), ("conv", 6, 0.5), ("conv", 1, 0.5), ("gap", 6, 0.9)]
)
def test_gradients_are_those_of_plain_autograd(network, steps, leak, detach_reset, varying):
    options = {"steps": steps, "leak": leak, "threshold": 0.8, "architecture": NETWORKS[network][0]}
    learner = build(BPTTOptions(learning_rate=TINY, detach_reset=detach_reset, **options))
    state = start(learner, problem(network, steps if varying else None))
    rows = batch(network, steps if varying else None)
    net = naive(network, state, leak=leak, threshold=0.8)
    expected = net.bptt_gradients(frames(rows, steps, varying), rows.targets, detach_reset)
    (found,) = step_gradients(learner, state, rows)
    assert worst(found, expected) < 1e-12
    assert all(0.02 < rate < 0.9 for rate in net.rates)


def test_the_two_ways_to_treat_the_reset_differ():
    gradients = []
    for detach_reset in (True, False):
        learner = build(BPTTOptions(learning_rate=TINY, architecture=NETWORKS["conv"][0], detach_reset=detach_reset))
        gradients.append(step_gradients(learner, start(learner, problem("conv")), batch("conv"))[0])
    assert worst(*gradients) > 1e-3


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, "fused"), ({"saved": "packed"}, "eager"), ({"feedback": True}, "eager"), ({"reset": "hard"}, "eager")],
)
def test_the_record_names_the_kernels_that_run(options, expected, monkeypatch):
    class Fused:
        name = "fused"

    monkeypatch.setattr("harness_spiking.kernels.choose", lambda *_: Fused)
    learner = build(BPTTOptions(architecture=NETWORKS["conv"][0], **options))
    assert learner.describe(start(learner, problem("conv")))["kernels"] == expected
