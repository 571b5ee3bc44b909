"""The networks of the family in the notation of `harness_torch.training.architectures`. Plain Python, no torch."""

from __future__ import annotations

from harness_torch.training import architectures
from harness_torch.training.architectures import Architecture, Family

HIDDEN = "50-FC"  # one layer of 50 units, as the field's regression benchmark has it
# With few weights, of which a posterior with independent weights learns something from few images.
SMALL, LARGEST_SIDE = "16C3-AP2-32C3-AP2-FC", 15

BAYESIAN = Family(
    "Bayesian networks",
    {
        r"[\w/]*(MP\d*|MaxPool\w*)": "pooling is by averages here, as in every family; use AP2",
        r"[\w/]*(BN\d*|BatchNorm\w*)": (
            "batch statistics make the prediction of a row depend on other rows, so that a draw is no function"
        ),
        r"[\w/]*(D|DP|Dropout)[\d.]*": "dropout is a method: mc-dropout, whose option is rate",
        r"\d+R\d+(/\d+)?": "residual blocks have gains of their own, for which no prior is defined; use convolutions",
    },
)


def check(text: str) -> None:
    """Raises UsageError for an architecture that is wrong whatever the input."""
    architectures.check(text, BAYESIAN)


def resolve(text: str | None, shape: tuple[int, ...], outputs: int) -> Architecture:
    """The layers of `text`, or of the standard network for rows of `shape`. Raises Unsupported where they clash."""
    return architectures.resolve(text or standard(shape), shape, outputs, BAYESIAN)


def standard(shape: tuple[int, ...]) -> str:
    """The network for rows of this shape, if none is given: smaller ones than other families' for small images."""
    if len(shape) == 1:
        return HIDDEN
    return SMALL if len(shape) == 3 and max(shape[1:]) <= LARGEST_SIDE else architectures.standard(shape)
