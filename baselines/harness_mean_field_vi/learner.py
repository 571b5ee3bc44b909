"""Mean-field VI is the mixture with one component and a deviation for each weight: the same code, the same numbers."""

from __future__ import annotations

import dataclasses

from harness_bayes.config import MixtureOptions, VariationalOptions
from harness_bayes.mixture import MixtureVI


def build(options: VariationalOptions) -> MixtureVI:
    """The learner."""
    return MixtureVI(as_mixture(options))


def as_mixture(options: VariationalOptions) -> MixtureOptions:
    """The same options, with one component."""
    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    return MixtureOptions(**given, components=1)
