"""HMC: the posterior itself by Hamiltonian Monte Carlo, as reference for what approximates it (Neal 1996)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness import Method, UsageError, hookimpl, option
from harness_bayes.config import FAMILY, BayesOptions, recipes

harness_interface = 2

CITATION = """
@book{neal1996bayesian,
  author = {Neal, Radford M.},
  title = {Bayesian Learning for Neural Networks},
  publisher = {Springer},
  year = {1996},
}
"""

MOST_ROWS, MOST_WEIGHTS = 2_000, 20_000
BURN = 250  # trajectories, where how many are planned is unknown
BURN_SHARE = 0.4  # of those planned


@dataclass(frozen=True, kw_only=True)
class HMCOptions(BayesOptions):
    """Options of HMC. An update is a trajectory of every chain on all training rows, whatever the batch size.

    Raises UsageError for options that do not go together.
    """

    chains: int = option(16, "Markov chains, each from a MAP network of its own", low=2)
    leapfrog: int = option(150, "steps in a trajectory, a gradient on all rows each", low=1)
    burn: int | None = option(
        None,
        f"trajectories before any is kept; two fifths of the budget, under one of seconds {BURN}, by default",
        low=1,
    )
    map_steps: int = option(500, "steps of the optimiser, on all rows, that lead to the MAP networks", low=0)
    large: bool = option(
        False, f"more than {MOST_ROWS:,} rows or {MOST_WEIGHTS:,} weights, on which chains hardly ever converge"
    )

    predict_samples: int = option(200, "draws of each chain that are kept, evenly over those after burn-in", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.micro_batch is not None:
            raise UsageError(f"micro_batch={self.micro_batch}: HMC's energy is that of all rows; leave micro_batch out")


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield Method(
        "hmc",
        "Hamiltonian Monte Carlo, many chains at once: the posterior itself, for small networks and data",
        factory="harness_hmc.learner:build",
        kinds=("regression", "classification"),
        config=HMCOptions,
        paper="Neal, Bayesian Learning for Neural Networks, 1996",
        citation=CITATION,
        role="baseline",
        family=FAMILY,
        recipes=recipes(HMCOptions),
    )
