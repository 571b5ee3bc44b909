"""The Occam bound of the trained network, as it would be deployed, measured where a run asks for it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from harness import Trained, Unsupported
from harness_recurrent import bounds
from harness_recurrent.training import State

BITS, DELTA = 8, 0.05


class OccamBound:
    """occam_bound of the network at 8 bits a parameter, with 95 %.

    Besides: quantised_train_error and quantised_test_error of that network, and train_error_gap, by how much the
    network itself errs more often on test rows than on training rows.
    """

    def __init__(self) -> None:
        self._readings: dict[str, float] = {}

    @torch.no_grad()
    def deployed(self, trained: Trained) -> None:
        """Predict all rows. Raises Unsupported where no bound holds, and for numbers whose length is not counted."""
        state = trained.state
        if not isinstance(state, State):
            raise Unsupported("its length is counted of recurrent networks; expected a state of harness_recurrent")
        tensors, net, data = _dense(trained), state.network, trained.data
        if net.tokens:
            raise Unsupported("the Occam bound is of independent rows, and tokens of a stream are not independent")
        at_bits = bounds.quantised(tensors, BITS)
        found = {f"quantised_{name}_error": bounds.error(net, at_bits, getattr(data, name)) for name in SPLITS}
        bound = bounds.occam(found["quantised_train_error"], len(data.train.inputs), tensors, BITS, DELTA)
        gap = bounds.error(net, tensors, data.test) - bounds.error(net, tensors, data.train)
        self._readings = {"occam_bound": bound.value, "train_error_gap": gap, **found}

    def readings(self) -> Mapping[str, float]:
        return dict(self._readings)


SPLITS = ("train", "test")


def _dense(trained: Trained) -> Mapping[str, Tensor]:
    """What is deployed. Raises Unsupported for masks, indices and integers, whose bits the bound does not count."""
    learner, state = trained.learner, trained.state
    tensors: Mapping[str, Tensor] = learner.deployed(state) if hasattr(learner, "deployed") else state.tensors
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise Unsupported(f"{name} is {tensor.dtype}: the bound counts networks whose parameters are all numbers")
    return tensors
