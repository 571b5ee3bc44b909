"""The methods of the family beside what the naive reference says their gradients are."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import pytest
from spiking_reference import SETUPS, TINY, batch, frames, naive, problem, start, step_gradients, worst

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


def expected(method, net, xs, targets):
    """The naive gradients of every optimiser step, with weights that stay as they are. SAF-F's are those of theory."""
    net = replace(net, theory=True) if method == "saf-final" else net
    if method == "bptt":
        return [net.bptt_gradients(xs, targets)]
    losses = list((net.saf_losses if method.startswith("saf") else net.ottt_losses)(xs, targets))
    if method == "saf-final":
        losses = [net.loss(net.final, targets)]
    return [net.gradients(loss) for loss in (losses if method.endswith("online") else [sum(losses)])]


def assert_naive(method, network="conv", varying=False, convention=None, rows=6, naively=None, **options):
    """The gradients of one update are those of the naive network, changed as `naively` says, to 1e-12."""
    learner, state = prepared(method, network, 6, varying, convention=convention, **options)
    given = batch(network, 6 if varying else None, rows)
    changes = naively if isinstance(naively, Mapping) else {}
    net = replace(naive(network, state, theory=convention == "theory"), **changes)
    should = expected(method, net, frames(given, 6, varying), given.targets)
    found = step_gradients(learner, state, given)
    assert len(found) == len(should)
    for mine, theirs in zip(found, should, strict=True):
        assert all(tensor.abs().max() > 0 for tensor in theirs.values())
        assert worst(mine, theirs) < 1e-12


def assert_refused(method, reason, **options):
    with pytest.raises(UsageError, match=reason):
        learner_of(method, **options)
