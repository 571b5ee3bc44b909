"""Outcomes where the prediction of what the trial starts from is not known: a metric that asks for it is told why."""

from __future__ import annotations

import dataclasses
from typing import Any

from harness.types import Outcome


class Unbased(Outcome):
    """An outcome of which `base` is None, though the trial starts from another. asked: whether it was looked at."""

    why = ""
    asked = False

    def __getattribute__(self, name: str) -> Any:
        """As usual; that somebody looks at the base is noted."""
        if name == "base":
            object.__setattr__(self, "asked", True)
        return super().__getattribute__(name)


def unbased(outcome: Outcome, why: str) -> Unbased:
    """The same outcome, at whose base nobody has looked yet. why: it is not known."""
    given = Unbased(**{each.name: getattr(outcome, each.name) for each in dataclasses.fields(outcome)})
    object.__setattr__(given, "why", why)
    return given


def renewed(outcome: Outcome) -> Outcome:
    """The outcome for the next metric: nobody has looked at its base."""
    return unbased(outcome, outcome.why) if isinstance(outcome, Unbased) else outcome


def missed(outcome: Outcome) -> str:
    """Why a base that was asked for is not known; empty where nobody has asked, or there is none to be known."""
    return outcome.why if isinstance(outcome, Unbased) and outcome.asked else ""
