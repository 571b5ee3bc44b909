"""The weights of a network that are Gaussian, all or those of its last layer, and the network as their function.

Of all layers Jacobians are computed, each row as a lane with the weights to itself, so that one way back is that of all
rows. The last layer is linear in its weights: with phi the features that it sees, a one among them for its bias,

    H = sum_n phi_n phi_n' x Lambda_n (Kronecker),    f(x, w) - f(x, w*) = phi (w - w*)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from harness_bayes import networks, prediction
from harness_bayes.likelihoods import Likelihood
from harness_bayes.networks import Network, affine
from harness_laplace.curvature import Gaussian, curvature_of_outputs
from harness_torch.training import inference


class Part(Protocol):
    """A network as a function of its Gaussian weights, by name (1, ...), m numbers."""

    @property
    def weights(self) -> Mapping[str, Tensor]: ...

    def gauss_newton(self, likelihood: Likelihood, inputs: Tensor, full: bool) -> Tensor:
        """H of rows (N, ...) at a noise of 1, (m, m) or its diagonal (m,), in float64."""
        ...

    def variances(self, around: Gaussian, inputs: Tensor) -> Tensor:
        """J Sigma J' of the only output of rows (N, ...), (N,)."""
        ...

    def changes(self, around: Gaussian, inputs: Tensor, noise: Tensor) -> Tensor:
        """J (w - w*) of rows (N, ...) for the draws of w that noise (T, m) makes, (T, N, outputs)."""
        ...


def build(network: Network, weights: Mapping[str, Tensor], subset: Literal["last", "all"]) -> Part:
    """Build the part of a network with these weights (1, ...)."""
    exact = network._replace(types=network.types._replace(compute=network.types.parameters))
    held = {name: weight.detach() for name, weight in weights.items()}
    return Whole(exact, held) if subset == "all" else Last(exact, held)


def count_weights(part: Part) -> int:
    """Count the Gaussian weights, m."""
    return sum(weight.numel() for weight in part.weights.values())


@dataclass(frozen=True)
class Whole:
    """All layers."""

    network: Network
    weights: Mapping[str, Tensor]

    def gauss_newton(self, likelihood: Likelihood, inputs: Tensor, full: bool) -> Tensor:
        """As `Part` says."""
        m = self.network.size
        total = inputs.new_zeros((m, m) if full else (m,), dtype=torch.float64)
        for rows in self._split_rows(inputs):
            outputs, slopes = self.jacobians(rows)
            J = slopes.double()
            bent = curvature_of_outputs(likelihood, outputs) @ J  # (n, outputs, m)
            total += J.flatten(0, 1).T @ bent.flatten(0, 1) if full else (J * bent).sum((0, 1))
        return total

    def variances(self, around: Gaussian, inputs: Tensor) -> Tensor:
        """As `Part` says."""
        each = [around.along(self.jacobians(rows)[1]) for rows in self._split_rows(inputs)]
        return torch.cat([along.square().sum(2)[:, 0] for along in each])

    def changes(self, around: Gaussian, inputs: Tensor, noise: Tensor) -> Tensor:
        """As `Part` says."""
        drawn = around.weights(noise)
        each = [self.jacobians(rows)[1] @ drawn.T for rows in self._split_rows(inputs)]  # (n, outputs, T)
        return torch.cat(each).movedim(2, 0)

    def jacobians(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (N, outputs) of rows (N, ...), and their derivatives by the weights, (N, outputs, m)."""
        with torch.enable_grad():
            lanes = {name: weight.expand(len(rows), *weight.shape[1:]) for name, weight in self.weights.items()}
            leaves = [weight.requires_grad_() for weight in lanes.values()]
            outputs = networks.apply(self.network, lanes, rows[:, None])[:, 0]  # (N, outputs)
            each = [torch.autograd.grad(one.sum(), leaves, retain_graph=True) for one in outputs.unbind(1)]
        flat = [torch.cat([slope.flatten(1) for slope in slopes], 1) for slopes in each]
        return outputs.detach(), torch.stack(flat, 1)

    def _split_rows(self, inputs: Tensor) -> tuple[Tensor, ...]:
        return inference.split(inputs, self.network.architecture.readout[0] * self.network.size)


@dataclass(frozen=True)
class Last:
    """The last layer, in closed form."""

    network: Network
    held: Mapping[str, Tensor]

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """As `Part` says."""
        return {name: weight for name, weight in self.held.items() if name.startswith("readout.")}

    @torch.no_grad()
    def gauss_newton(self, likelihood: Likelihood, inputs: Tensor, full: bool) -> Tensor:
        """As `Part` says."""
        matrix = torch.cat([weight[0].view(-1, likelihood.outputs) for weight in self.weights.values()])
        features, outputs = matrix.shape
        shape = (features, outputs, features, outputs) if full else (features, outputs)
        total = inputs.new_zeros(shape, dtype=torch.float64)
        for rows in self._split_rows(inputs):
            phi = self.features(rows)
            bent, phi = curvature_of_outputs(likelihood, phi @ matrix), phi.double()
            if not full:
                total += phi.square().T @ bent.diagonal(dim1=1, dim2=2)
                continue
            for output in range(outputs):
                seen = phi[:, :, None] * bent[:, output, None]  # (n, features, outputs)
                total[:, output] += (phi.T @ seen.flatten(1)).view(features, features, outputs)
        return total.reshape(matrix.numel(), -1) if full else total.flatten()

    @torch.no_grad()
    def variances(self, around: Gaussian, inputs: Tensor) -> Tensor:
        """As `Part` says."""
        return torch.cat([around.along(self.features(rows)).square().sum(1) for rows in self._split_rows(inputs)])

    @torch.no_grad()
    def changes(self, around: Gaussian, inputs: Tensor, noise: Tensor) -> Tensor:
        """As `Part` says."""
        drawn = around.weights(noise).unflatten(1, (-1, self.network.architecture.readout[0]))  # (T, features, outputs)
        return torch.cat([self.features(rows) @ drawn for rows in self._split_rows(inputs)], 1)

    def features(self, rows: Tensor) -> Tensor:
        """Phi of rows (N, ...), (N, features)."""

        def linear(name: str, x: Tensor, stride: int) -> Tensor:
            if name == "readout":
                return x
            return affine(x, self.held[f"{name}.weight"], self.held.get(f"{name}.bias"), stride)

        seen = networks.forward(self.network, rows[None], linear)[0]
        return torch.cat([seen, seen.new_ones(len(seen), 1)], 1) if self.network.bias else seen

    def _split_rows(self, inputs: Tensor) -> tuple[Tensor, ...]:
        return inference.split(inputs, max(count_weights(self), prediction.widest_layer(self.network)))
