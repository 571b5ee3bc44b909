"""The state of a Gaussian mixture in training."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from harness_bayes import training, variational
from harness_bayes.config import MixtureOptions
from harness_bayes.variational import Mixture


@dataclass(kw_only=True)
class State(training.State):
    """A mixture in training: parameters as `variational.initial` names them, `log_noise`, and `theta` (L, K) where
    weights are learned.
    """

    options: MixtureOptions

    def log_weights(self) -> Tensor:
        """Log pi, (L, K)."""
        theta = self.parameters.get("theta")
        if theta is not None:
            return F.log_softmax(theta, 1)
        like, components = next(iter(self.parameters.values())), self.options.components
        return like.new_full((len(self.seeds), components), -math.log(components))

    def mixture(self) -> Mixture:
        """q, as the parameters say it."""
        return variational.read_mixture(self.network, self.parameters)
