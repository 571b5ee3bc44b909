"""Operators that make the host wait for the device. On a CPU they cost nothing, yet show what a GPU would suffer.

Functions that read a tensor's memory without an operator (`tolist`, `numpy` of a tensor on the CPU): see `departures`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness_torch.costs.operator_calls import Call, count_elements, find_tensors
from harness_torch.tracking.host_tensors import HostTensors

# The size or the value of what they return depends on the elements, so that the host has to look at them.
WAITING_TAGS = frozenset({torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape})

# torch does not tag them: they raise if the device says so.
CHECKS = frozenset({"_linalg_check_errors", "_assert_scalar"})

MASKED = frozenset({"index", "index_put", "_index_put_impl", "_unsafe_index", "_unsafe_index_put"})
COPIES = frozenset({"_to_copy", "copy", "_copy_from"})


def synchronises(call: Call, host: HostTensors | None = None) -> bool:
    """Whether the host has to wait for this operator on the device. host: knows tensors that nobody waits for."""
    looked_at = list(find_tensors(list(call.arguments.values())))
    if host is not None and looked_at and all(map(host.holds, looked_at)):
        return False
    if call.key in MASKED:
        masks = [index for index in find_tensors(call["indices"]) if index.dtype in (torch.bool, torch.uint8)]
        return bool(masks) and not (len(masks) == 1 and _fills_mask(call, host))
    if call.key in COPIES:
        return _leaves_device(call)
    if call.key == "repeat_interleave":
        return call.get("output_size") is None
    return call.key in CHECKS or not WAITING_TAGS.isdisjoint(getattr(call.func, "tags", ()))


def _fills_mask(call: Call, host: HostTensors | None) -> bool:
    """Whether x[mask] = 0.5, whose number is never on the device: torch writes it wherever the mask is true."""
    if "values" not in call.arguments or call["accumulate"] or count_elements(call["values"]) != 1:
        return False
    return (host is not None and host.writes_number) or (
        _lies_on_host(call["values"]) and not _lies_on_host(call["self"])
    )


def _leaves_device(call: Call) -> bool:
    """Whether a call is a blocking copy from a device to the host."""
    target, source = call.result, call.get("src") if call.key == "copy" else call.get("self")
    return _lies_on_host(target) and not _lies_on_host(source) and not call.get("non_blocking")


def _lies_on_host(value: Any) -> bool:
    return not isinstance(value, Tensor) or value.device.type == "cpu"
