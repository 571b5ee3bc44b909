"""The state of IVON: a Gaussian with independent weights by its means and curvatures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from harness_bayes import training
from harness_bayes.networks import per_lane
from harness_ivon import IVONOptions


@dataclass(kw_only=True)
class State(training.State):
    """parameters: the means m by name, (L, ...), and `log_noise` where it is learned.

    ess: lambda, (L,). delta: by name, (L, 1, ...). hessian, gradients: h and g by name, like the parameters.
    unweighted: beta1^t. hess_init: h at the beginning, of each trial.
    """

    options: IVONOptions
    ess: Tensor
    delta: Mapping[str, Tensor]
    hess_init: tuple[float, ...]
    hessian: dict[str, Tensor]
    gradients: dict[str, Tensor]
    unweighted: Tensor

    def means(self) -> dict[str, Tensor]:
        """Means of q by name."""
        return {name: self.parameters[name].detach() for name in self.hessian}

    def deviations(self) -> dict[str, Tensor]:
        """Deviations of q by name."""
        return {name: self.precision(name).rsqrt() for name in self.hessian}

    def precision(self, name: str) -> Tensor:
        """Precision lambda (h + delta) of one parameter."""
        hessian = self.hessian[name]
        return per_lane(self.ess, len(hessian), hessian) * (hessian + self.delta[name])
