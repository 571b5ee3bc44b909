"""Options of training by gradients. Plain Python, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from harness import UsageError, option

LEARNING_RATES = {"sgd": 0.1, "adam": 1e-3}


class Descent(NamedTuple):
    """How parameters follow their gradients, whatever the learning rate; by default straight."""

    optimiser: Literal["sgd", "adam"] = "sgd"
    momentum: float = 0.0
    weight_decay: float = 0.0
    clip: float | None = None


@dataclass(frozen=True)
class ScheduleOptions:
    """The learning rate over a budget, of a method whose steps are its own and no optimiser's."""

    learning_rate: float | None = option(
        None, "learning rate that the schedule is a share of; 0.1 for sgd and 0.001 for adam by default", above=0
    )
    schedule: Literal["cosine", "constant", "one-cycle", "stairs"] = option(
        "cosine",
        "the learning rate over the budget: half a cosine down to final_rate; one-cycle, which climbs for its first "
        "30 %; or stairs, which stay for the first steps and then fall by decay at each; constant under a budget of "
        "seconds, whose number of updates is unknown",
    )
    stairs: int = option(
        13,
        "steps of schedule=stairs, alike in length: with as many as epochs, one an epoch",
        low=1,
        needs={"schedule": "stairs"},
    )
    stay: int = option(
        4, "first steps of schedule=stairs that have the whole learning rate", low=1, needs={"schedule": "stairs"}
    )
    decay: float = option(
        0.5,
        "what each later step of schedule=stairs multiplies the learning rate by",
        above=0,
        high=1,
        needs={"schedule": "stairs"},
    )
    final_rate: float = option(
        0.0,
        "share of the learning rate that cosine and one-cycle end at",
        low=0,
        high=1,
        needs={"schedule": ("cosine", "one-cycle")},
    )

    @property
    def descent(self) -> Descent:
        """How parameters follow what the method leaves as their gradients."""
        return Descent()

    @property
    def resolved_rate(self) -> float:
        """`learning_rate`, resolved."""
        return self.learning_rate or LEARNING_RATES[self.descent.optimiser]


@dataclass(frozen=True)
class OptimiserOptions(ScheduleOptions):
    """Options of every method that trains by an optimiser, to be inherited by a family's config.

    A family with other defaults declares the field again. Raises UsageError for options that exclude each other.
    """

    optimiser: Literal["sgd", "adam"] | None = option(None, "sgd or adam; the data set's recipe, else sgd, by default")
    momentum: float = option(0.9, "momentum of sgd", low=0, below=1)
    weight_decay: float = option(
        0.0, "weight decay: sgd adds it to the gradient, adam applies it apart from that (AdamW)", low=0
    )
    clip: float | None = option(
        None, "largest norm of all gradients together: longer ones are scaled down to it; none by default", above=0
    )

    def __post_init__(self) -> None:
        if self.resolved_optimiser == "adam" and self.momentum != type(self).momentum:
            raise UsageError(
                f"momentum={self.momentum}: the momentum of sgd, and optimiser=adam, given, by default or from the "
                "data set's recipe, has moments of its own; leave momentum out, or use optimiser=sgd"
            )

    @property
    def resolved_optimiser(self) -> Literal["sgd", "adam"]:
        """`optimiser`, resolved."""
        return self.optimiser or "sgd"

    @property
    def descent(self) -> Descent:
        return Descent(self.resolved_optimiser, self.momentum, self.weight_decay, self.clip)
