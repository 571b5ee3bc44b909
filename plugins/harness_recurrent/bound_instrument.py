"""The Occam bound of the trained network, as it would be deployed, and the gap between test and training error."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from harness import Trained, Unsupported
from harness_recurrent import bounds
from harness_recurrent.compression import Compression
from harness_recurrent.training import State

BITS, DELTA = 8, 0.05


class OccamBound:
    """occam_bound of the network at 8 bits a parameter, with 95 %; its quantised_train_error, quantised_test_error."""

    def __init__(self) -> None:
        self._readings: dict[str, float] = {}

    @torch.no_grad()
    def deployed(self, trained: Trained) -> None:
        """Predict all rows. Raises Unsupported where no bound holds, and for numbers whose length is not counted."""
        state = _require_classes(trained)
        tensors, data = _require_floats(trained), trained.data
        at_bits = bounds.quantise_tensors(tensors, BITS)
        errs = [bounds.measure_error(state.network, at_bits, rows) for rows in (data.train, data.test)]
        bound = bounds.bound_error(errs[0], len(data.train.inputs), tensors, BITS, DELTA)
        self._readings = {
            "occam_bound": bound.value,
            "quantised_train_error": errs[0],
            "quantised_test_error": errs[1],
        }

    def readings(self) -> Mapping[str, float]:
        return dict(self._readings)


class TrainErrorGap:
    """train_error_gap: by how much the network, as deployed, errs more often on test rows than on training rows."""

    def __init__(self) -> None:
        self._readings: dict[str, float] = {}

    @torch.no_grad()
    def deployed(self, trained: Trained) -> None:
        """Predict all rows. Raises Unsupported where it is no network of classes of this family."""
        state, data = _require_classes(trained), trained.data
        tensors = _get_deployed(trained)
        errs = [bounds.measure_error(state.network, tensors, rows) for rows in (data.train, data.test)]
        self._readings = {"train_error_gap": errs[1] - errs[0]}

    def readings(self) -> Mapping[str, float]:
        return dict(self._readings)


def _require_classes(trained: Trained) -> State:
    state = trained.state
    if not isinstance(state, State):
        raise Unsupported("it is of recurrent networks; expected a state of harness_recurrent")
    if state.network.tokens:
        raise Unsupported("it is of independent rows, and tokens of a stream are not independent")
    return state


def _get_deployed(trained: Trained) -> Mapping[str, Tensor]:
    learner, state = trained.learner, trained.state
    return learner.deployed(state) if isinstance(learner, Compression) else dict(state.tensors)


def _require_floats(trained: Trained) -> Mapping[str, Tensor]:
    """Get the deployed tensors. Raises Unsupported for masks, indices and integers, whose bits are not counted."""
    tensors = _get_deployed(trained)
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise Unsupported(f"{name} is {tensor.dtype}: the bound counts networks whose parameters are all numbers")
    return tensors
