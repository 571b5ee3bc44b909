"""The notation of networks, and the parts of it that spiking networks refuse, with the reasons. Plain Python, no torch.

All methods of the family rest on everything between two layers of neurons being linear and the same at every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from harness import Unsupported, UsageError
from harness_torch.training import architectures
from harness_torch.training.architectures import Architecture, Family, Layer


def _refuse_weight(shape: tuple[int, ...]) -> str:
    if prod(shape[1:]) > 1:
        return ""
    return (
        "has one input per output, and weights are standardised over their inputs; give the layer a larger kernel or "
        "more inputs"
    )


SPIKING = Family(
    "spiking networks",
    {  # however they are written, alone or behind a layer: MP2, MaxPool2, 32C3MP2
        r"[\w/]*(MP\d*|MaxPool\w*)": (
            "max-pooling is not linear, so it does not commute with the spike trace; use average pooling (AP2)"
        ),
        r"[\w/]*(BN\d*|BatchNorm\w*)": (
            "batch statistics differ from step to step, so they do not commute with the spike trace; weights are "
            "standardised instead"
        ),
        r"[\w/]*(D|DP|Dropout)[\d.]*": (
            "dropout with a new mask at every step breaks the spike trace; the option dropout draws one mask for all "
            "steps"
        ),
    },
    _refuse_weight,
)


def check(text: str, feedback: bool) -> None:
    """Raises UsageError for what is wrong with an architecture whatever the input."""
    layers = architectures.check(text, SPIKING).layers
    try:
        if feedback:
            _require_maps(layers, text)
    except Unsupported as error:
        raise UsageError(str(error)) from error


def resolve(text: str, shape: tuple[int, ...], classes: int, feedback: bool = False) -> Architecture:
    """The layers of `text` for rows of `shape`. Raises Unsupported where the two do not fit together."""
    architecture = architectures.resolve(text, shape, classes, SPIKING)
    if feedback:
        _require_maps(architecture.layers, text)
    return architecture


def _require_maps(layers: Sequence[Layer], text: str) -> None:
    """Raises Unsupported where there are none for feedback to return."""
    if len(layers[-1].map) != 3:
        raise Unsupported(f"architecture {text!r}: feedback needs maps, and the last spiking layer is dense")
