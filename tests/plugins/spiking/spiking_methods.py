"""The methods of the family beside what their references say their gradients are."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from spiking_setups import SETUPS, TINY, batch, of_reference, problem, start, step_gradients
from tiny_problems import largest_difference, normal

from harness import UsageError
from harness_bptt import BPTTOptions
from harness_bptt.learner import build as build_bptt
from harness_ottt import OTTTOptions
from harness_ottt.learner import build as build_ottt
from harness_saf import SAFOptions
from harness_saf.learner import build as build_saf
from harness_torch.training import convolution

# What is built from options, and the options that make it so.
METHODS = {
    "saf": (build_saf, SAFOptions, {}),
    "saf-online": (build_saf, SAFOptions, {"update": "online"}),
    "saf-final": (build_saf, SAFOptions, {"variant": "final"}),
    "ottt": (build_ottt, OTTTOptions, {}),
    "ottt-fused": (build_ottt, OTTTOptions, {"forward": "fused"}),
    "ottt-online": (build_ottt, OTTTOptions, {"update": "online", "forward": "fused"}),
    "bptt": (build_bptt, BPTTOptions, {}),
}
OFFLINE = [name for name in METHODS if "online" not in name]
IN_CHUNKS = ["saf", "saf-final", "ottt", "ottt-fused"]
IN_FORMS = [
    (method, convention)
    for method in METHODS
    if method != "bptt"
    for convention in ("official", "theory")
    if (method, convention) != ("saf-final", "official")
]


@contextmanager
def torchs_weight_gradients() -> Iterator[None]:
    """Convolutions throughout, on whatever CPU: products with patches share their names with dense layers, and their
    blocks take memory of their own.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolution, "by_patches", lambda *_: False)
        yield


def learner_of(method, **options):
    build, config, fixed = METHODS[method]
    return build(config(**(fixed | options)))


def prepared(method, network="conv", steps=6, varying=False, precision="fp64", seed=0, **options):
    """A learner and a state whose weights no update moves, unless a learning rate says so."""
    settings = {"learning_rate": TINY, "steps": steps, "architecture": SETUPS[network][0]} | options
    learner = learner_of(method, **settings)
    return learner, start(learner, problem(network, steps if varying else None), seed, precision)


FEEDBACK = {"architecture": "6C3-8C3-AP2-7C3-AP2-FC", "feedback": True}


def with_feedback(method, steps=6, varying=False, **options):
    """A state whose feedback is not zero."""
    learner, state = prepared(method, "conv", steps, varying, **FEEDBACK, **options)
    with torch.no_grad():
        weight = state.network.parameters["feedback.weight"]
        weight.copy_(0.2 * normal(*weight.shape, seed=5))
    return learner, state


def assert_as_written(method, network="conv", varying=False, convention=None, rows=6, **options):
    """The gradients of one update are those of the method's reference, to 1e-12."""
    options |= {"convention": convention} if convention else {}  # which not all of them have as an option
    learner, state = prepared(method, network, 6, varying, **options)
    _, same = prepared(method, network, 6, varying, **options)
    for gradients in assert_is_reference(learner, state, same, batch(network, 6 if varying else None, rows)):
        assert all(gradient.abs().max() > 0 for gradient in gradients.values())


def assert_is_reference(learner, state, same, rows):
    """Of two states that are the same, one updated by the learner, the other by its reference: its gradients."""
    found, should = step_gradients(learner, state, rows), step_gradients(of_reference(learner), same, rows)
    assert len(found) == len(should)
    for mine, theirs in zip(found, should, strict=True):
        assert largest_difference(mine, theirs) < 1e-12
    return should


def assert_refused(method, reason, **options):
    with pytest.raises(UsageError, match=reason):
        learner_of(method, **options)
