"""Outcomes where the prediction of what the trial starts from is not known: a metric that asks for it is told why."""

from __future__ import annotations

from harness.types import Outcome, Prediction


class BaseUnknown(Outcome):
    """An outcome without `base`, though the trial starts from another; why: it is not known. asked: it was read."""

    why = ""
    asked = False

    @property
    def base(self) -> None:
        """The base, which is not known; that it was asked for is noted."""
        self.__dict__["asked"] = True

    @base.setter
    def base(self, given: Prediction | None) -> None:
        """Take the None that a dataclass sets its field to."""


def withhold_base(outcome: Outcome, why: str) -> BaseUnknown:
    """The same outcome, whose base nobody has asked for yet. why: it is not known."""
    withheld = object.__new__(BaseUnknown)
    withheld.__dict__.update(vars(outcome), why=why, asked=False)
    return withheld


def renew_outcome(outcome: Outcome) -> Outcome:
    """The outcome for the next metric, which has not asked for its base yet."""
    return withhold_base(outcome, outcome.why) if isinstance(outcome, BaseUnknown) else outcome


def explain_missing_base(outcome: Outcome) -> str:
    """Why a base that was asked for is not known; empty where nobody has asked, or there is none to be known."""
    return outcome.why if isinstance(outcome, BaseUnknown) and outcome.asked else ""
