"""Mean-field VI is the mixture with one component and a deviation for each weight: the same code, the same numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from harness_bayes import mixture
from harness_bayes.config import MixtureOptions, VariationalOptions
from harness_bayes.learner import Cohort
from harness_bayes.mixture_state import State


def build(options: VariationalOptions) -> mixture.MixtureVI:
    return mixture.build(as_mixture(options))


def together(configs: Sequence[VariationalOptions]) -> Cohort[State]:
    return mixture.together([as_mixture(options) for options in configs])


def as_mixture(options: VariationalOptions) -> MixtureOptions:
    """Options of a mixture with one component."""
    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    return MixtureOptions(**given, components=1)
