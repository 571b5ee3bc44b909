"""Options of Bayesian methods, to be inherited in parts. Plain Python, no torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from harness import UsageError, option
from harness_bayes.architectures import check
from harness_torch.training.architectures import NAMED
from harness_torch.training.options import OptimiserOptions, ScheduleOptions

FAMILY = "bayesian"  # whose recipes the methods follow

LEARNING_RATE = 0.01
DRAWS, DRAWS_OF_IMAGES = 100, 10  # functions of a prediction
BATCHED = ("learning_rate", "level", "noise", "prior_scale")  # numbers in which trials side by side may differ

Covariance = Literal["diag", "tied", "isotropic", "full"]
Likelihood = Literal["gaussian", "heteroscedastic"]
Objective = Literal["approximate", "certified", "true"]

# Values of options that are left unset, by data set.
RECIPES: dict[str, dict[str, Any]] = {
    name: {"learning_rate": 2e-3} for name in ("mnist", "mnist-shifted", "fashion-mnist")
}

# Precisions of the targets' noise, in their own units ^-2, that MC-dropout's published runs choose among by validation.
PRECISIONS: dict[str, tuple[float, float, float]] = {
    "uci-boston": (0.1, 0.15, 0.2),
    "uci-concrete": (0.025, 0.05, 0.075),
    "uci-energy": (0.25, 0.5, 0.75),
    "uci-kin8nm": (150, 200, 250),
    "uci-naval": (30000, 40000, 50000),
    "uci-power": (0.05, 0.1, 0.15),
    "uci-protein": (0.025, 0.05, 0.075),
    "uci-wine": (2.5, 3, 3.5),
    "uci-yacht": (0.25, 0.5, 0.75),
}
for _name, _precisions in PRECISIONS.items():
    RECIPES[_name] = {"precisions": _precisions}
RECIPES["uci-protein"]["architecture"] = "100-FC"


def recipes(config: type) -> dict[str, dict[str, Any]]:
    """Values of `RECIPES` by data set, as far as they are of options of a method with this config."""
    named = {field.name for field in dataclasses.fields(config)}
    return {name: {key: each[key] for key in each if key in named} for name, each in RECIPES.items()}


@dataclass(frozen=True)
class PredictionOptions:
    """How many functions a prediction is drawn from."""

    predict_samples: int | None = option(
        None,
        "functions drawn for a prediction, of each component or member; 100, of images 10, by default",
        low=1,
    )


@dataclass(frozen=True)
class NoiseOptions:
    """The noise of regression: how targets scatter around a network's function, all rows alike.

    noise is in the units of the targets as they were measured: 1 / noise^2 is the precision tau of MC-dropout's papers.
    Raises UsageError for what does not go together.
    """

    noise: float | None = option(
        None,
        "standard deviation of the targets around the function, in their own units, where all rows have one; learned "
        "by default",
        above=0,
    )
    level: int | None = option(
        None, "instead of noise: which of precisions it has, counted from 0, so that runs can choose among them", low=0
    )
    precisions: tuple[float, ...] | None = option(
        None,
        "1 / noise^2 of each level; those of the field's published runs, by the data set's recipe, by default",
        above=0,
    )

    def __post_init__(self) -> None:
        refuse_level(self, "noise", self.noise)

    @property
    def resolved_noise(self) -> float | None:
        """`noise`, resolved; None where it is learned."""
        if self.level is None or self.precisions is None:
            return self.noise
        return float(self.precisions[self.level] ** -0.5)

    @property
    def resolved_likelihood(self) -> Likelihood:
        """The likelihood of regression."""
        return "gaussian"

    @property
    def given_noise(self) -> dict[str, object]:
        """Options that are set and say what the noise is."""
        return {name: value for name, value in (("noise", self.noise), ("level", self.level)) if value is not None}

    @property
    def given_for_regression(self) -> dict[str, object]:
        """Options that are set and that classes, whose likelihood is the softmax's, have no use for."""
        return self.given_noise


@dataclass(frozen=True, kw_only=True)
class LikelihoodOptions(NoiseOptions):
    """How targets scatter around a network's function, with one noise or each row's; of classes it is the softmax's."""

    likelihood: Likelihood = option(
        "gaussian", "of regression: one noise for all rows, or a second output of the network for each row's"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.likelihood == "heteroscedastic":
            for name, value in self.given_noise.items():
                raise UsageError(
                    f"{name}={value}: likelihood=heteroscedastic has a noise for each row; leave it out, or use "
                    "likelihood=gaussian"
                )

    @property
    def resolved_likelihood(self) -> Likelihood:
        return self.likelihood

    @property
    def given_for_regression(self) -> dict[str, object]:
        default = self.likelihood in (type(self).likelihood, "gaussian")  # as an ensemble says that starts a mixture
        return self.given_noise | ({} if default else {"likelihood": self.likelihood})


def refuse_level(options: Any, other: str, value: float | None) -> None:
    """Raises UsageError for a level beside the option that says the same, and for one that precisions does not have."""
    level, precisions = options.level, options.precisions
    if level is not None and value is not None:
        raise UsageError(f"{other}={value} and level={level} both say what the noise is; leave one out")
    if level is not None and precisions is not None and level >= len(precisions):
        raise UsageError(f"level={level}: precisions has {len(precisions)}, 0 to {len(precisions) - 1}")


@dataclass(frozen=True)
class PriorOptions:
    """The prior of weights and biases, all independent, Gaussians with mean 0.

    fan-in: deviation prior_scale / sqrt(inputs) of a weight and prior_scale of a bias, so that outputs of layers of any
    width are of one order. fixed: prior_scale for all.
    """

    prior: Literal["fan-in", "fixed"] = option("fan-in", "deviation of weights by their inputs, or one for all")
    prior_scale: float = option(1.0, "its scale, that of the wider part in a mixture", above=0)

    @property
    def resolved_prior(self) -> str:
        """`prior`, resolved."""
        return self.prior

    @property
    def narrower_part(self) -> tuple[float, float] | None:
        """Deviation of a mixture's narrower part and share of the wider one; None for a prior of one part."""
        return None


@dataclass(frozen=True)
class MixturePriorOptions(PriorOptions):
    """The prior, which may have two parts: prior_share N(0, prior_scale^2) + (1 - prior_share) N(0, prior_narrow^2) for
    all weights and biases (Blundell et al. 2015, eq. 7).
    """

    prior: Literal["fan-in", "fixed", "mixture"] = option(  # type: ignore[assignment]
        "fan-in", "deviation of weights by their inputs, one for all, or two"
    )
    prior_narrow: float | None = option(
        None,
        "deviation of the narrower part of prior=mixture; 0.0025 by default",
        above=0,
        needs={"prior": "mixture"},
    )
    prior_share: float | None = option(
        None,
        "share of the wider part of prior=mixture; 0.5 by default",
        above=0,
        below=1,
        needs={"prior": "mixture"},
    )

    @property
    def resolved_narrow(self) -> float:
        """`prior_narrow`, resolved: -log of it is 6, in the range of the paper."""
        return self.prior_narrow or 0.0025

    @property
    def resolved_share(self) -> float:
        """`prior_share`, resolved."""
        return self.prior_share or 0.5

    @property
    def narrower_part(self) -> tuple[float, float] | None:
        return (self.resolved_narrow, self.resolved_share) if self.resolved_prior == "mixture" else None


@dataclass(frozen=True)
class NetworkOptions(ScheduleOptions):
    """The network and its learning rate. Raises UsageError for an architecture that cannot be read."""

    learning_rate: float | None = option(
        None, "learning rate that the schedule is a share of; the data set's recipe, else 0.01, by default", above=0
    )
    final_rate: float = option(
        0.01,
        "share of the learning rate that cosine and one-cycle end at",
        low=0,
        high=1,
        needs={"schedule": ("cosine", "one-cycle")},
    )
    architecture: str | None = option(
        None, f"layers such as 50-FC or 32C3-AP2-FC, or {', '.join(NAMED)}; by the input's shape by default"
    )
    activation: Literal["relu", "tanh"] = option("relu", "what follows each layer but the last")
    bias: bool = option(True, "whether layers have biases")
    micro_batch: int | None = option(
        None, "rows of a mini-batch taken at a time: less memory, same expectation; all by default", low=1
    )
    graph: bool = option(True, "on a GPU, replay a whole update as one CUDA graph")

    def __post_init__(self) -> None:
        if self.architecture is not None:
            check(self.architecture)

    @property
    def resolved_rate(self) -> float:
        """`learning_rate`, resolved."""
        return self.learning_rate or LEARNING_RATE


@dataclass(frozen=True)
class TrainingOptions(NetworkOptions, OptimiserOptions):
    """The network and how it follows its gradients. Raises UsageError for what does not go together."""

    optimiser: Literal["sgd", "adam"] | None = option("adam", "sgd or adam")

    def __post_init__(self) -> None:
        NetworkOptions.__post_init__(self)
        OptimiserOptions.__post_init__(self)


@dataclass(frozen=True)
class WeightOptions(TrainingOptions, MixturePriorOptions, LikelihoodOptions):
    """A network with a likelihood and a prior. Raises UsageError for what does not go together."""

    def __post_init__(self) -> None:
        TrainingOptions.__post_init__(self)
        LikelihoodOptions.__post_init__(self)


@dataclass(frozen=True)
class BayesOptions(WeightOptions, PredictionOptions):
    """A network with a likelihood and a prior, whose predictions are drawn."""


@dataclass(frozen=True)
class VariationalOptions(BayesOptions):
    """A mean-field Gaussian, or each component of a mixture of Gaussians."""

    train_samples: int = option(1, "draws of the weights in an update, of each component", low=1)
    estimator: Literal["auto", "weights", "local"] = option(
        "auto", "draw weights, or what layers send on (convolutions: flipout); layer by layer the cheaper by default"
    )


@dataclass(frozen=True)
class MixtureOptions(VariationalOptions):
    """A Gaussian mixture as posterior. Raises UsageError for what does not go together."""

    components: int = option(5, "Gaussians in the mixture", low=1)
    covariance: Covariance = option(
        "diag", "of a component: a deviation for each weight (tied: shared by components), one for all, or full"
    )
    learn_weights: bool = option(False, "whether the weights of the components are learned, or equal")
    objective: Objective = option(
        "approximate",
        "the ELBO with the paper's entropy, less a bound of its error, or less the error, drawn",
    )
    start: Literal["random", "trained"] = option(
        "random", "components start at networks with random weights, or at those of a trained ensemble"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.components == 1:
            for name in ("learn_weights", "objective"):
                if (value := getattr(self, name)) != getattr(MixtureOptions, name):
                    raise UsageError(f"{name}={value}: one component has nothing to weigh; leave {name} out")
        if self.covariance == "full" and self.estimator == "local":
            raise UsageError("estimator=local: with covariance=full weights are drawn; leave estimator out")
