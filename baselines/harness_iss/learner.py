"""Intrinsic sparse structures (Wen et al., arXiv 1709.05027): group lasso on whole nodes, cut, train on.

    minimise  loss(w) + lambda sum_j |w_j|,   w_j all weights into and out of node j

lambda = penalty mean_j |w_j| / sum of the rates of those updates, of the base's weights: what a lambda does depends on
how long it is at work, and a fixed one that is good on a small data set leaves nothing of any node on a large one.

The paper adds the penalty to the loss of SGD. Here it is a proximal step after each of the optimiser's,
w_j <- w_j max(0, 1 - rate lambda / |w_j|): Adam would divide the penalty's gradient by the size of the loss's, so that
what the penalty weighs would be another for each weight; and groups reach zero, not only its neighbourhood. A recurrent
weight is in two groups and is multiplied by both factors, which is the step of both to first order in the rate.

The cut network is what would be deployed, before the cut, too; so every prediction is made with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from harness import Batch, Fit
from harness_iss import IssOptions, groups, reference
from harness_recurrent import nodes, training
from harness_recurrent import reference as plainly
from harness_recurrent.compression import Base, Smaller, build_base
from harness_recurrent.training import Scalars
from harness_torch.training.optimiser import share_of_rate

UPDATES = 1000  # assumed under a budget of seconds, which no fine-tuning has


@dataclass(kw_only=True)
class State(training.State):
    """A network that is not cut yet. smaller: makes the network that a cut would leave. weight: lambda."""

    smaller: Callable[[training.State], Smaller]
    weight: float


class ISS(nodes.NodePruning):
    """Makes nodes small, keeps the largest."""

    options: IssOptions

    def prepare(self, state: training.State, fit: Fit) -> training.State:
        """The whole network, with parameters of its own: the base stays as it is."""
        return self._begin_whole(
            state, lambda whole: self.compress(build_base(whole, fit)), self._compute_lambda(state)
        )

    def reference_prepare(self, state: training.State, fit: Fit) -> training.State:
        """Prepare by the plain equations: the cut is made node by node, and by least squares on the states."""
        weight = reference.compute_lambda(reference.copy_weights(state), self.options.penalty, self._list_rates(state))
        return self._begin_whole(
            state, partial(plainly.make_smaller, self, fit=fit, compress=reference.compress), weight
        )

    def _begin_whole(
        self, state: training.State, smaller: Callable[[training.State], Smaller], weight: float
    ) -> training.State:
        teacher = {name: tensor.detach() for name, tensor in state.parameters.items()}
        whole = {name: tensor.clone() for name, tensor in teacher.items()}
        taught = teacher if self.options.teacher else {}
        begun = training.begin(state.network, whole, state.terms, self.options, teacher=taught)
        return State(**vars(begun), smaller=smaller, weight=weight)

    def update(self, state: training.State, batch: Batch) -> tuple[training.State, Scalars]:
        state = self._cut_when_due(state)
        scalars = training.update(state, batch)
        if isinstance(state, State):
            with torch.no_grad():
                groups.shrink_groups(state.parameters, _compute_shrinkage(state))
        return state, scalars

    def reference(self, state: training.State, batch: Batch) -> tuple[training.State, Scalars]:
        """Update by the plain equations: groups shrink weight by weight."""
        state, scalars = super().reference(self._cut_when_due(state), batch)
        if isinstance(state, State):
            reference.shrink_state(state, float(_compute_shrinkage(state)))
        return state, scalars

    def finish(self, state: training.State, fit: Fit) -> training.State:
        """Cut what has not been cut on the way."""
        del fit
        return self._cut_nodes(state) if isinstance(state, State) else state

    def choose(self, base: Base, layer: int, count: int, S: Tensor, tau: Tensor) -> Sequence[int]:
        del S, tau
        order = groups.compute_norms(base.tensors, layer).sort(descending=True, stable=True).indices
        return order[:count].tolist()

    def deployed(self, state: training.State) -> Mapping[str, Tensor]:
        """Tensors of the network that is deployed: of one that is not cut yet, those that a cut would leave."""
        if not isinstance(state, State):
            return state.tensors
        like = state.parameters["readout.bias"]
        return {name: tensor.to(like) for name, tensor in state.smaller(state).tensors.items()}

    def describe(self, state: training.State) -> Mapping[str, object]:
        """Describe the network; one that is not cut yet as if it were cut now."""
        return super().describe(self._cut_nodes(state) if isinstance(state, State) else state)

    def _list_rates(self, state: training.State) -> list[float]:
        """Learning rates of the updates that nodes are made small in."""
        count = round(self.options.sparse * (state.planned or UPDATES))
        shares = (share_of_rate(self.options, update, state.planned) for update in range(count))
        return [self.options.resolved_rate * share for share in shares]

    def _compute_lambda(self, state: training.State) -> float:
        """Lambda."""
        mean = torch.cat(
            [groups.compute_norms(state.parameters, layer) for layer in range(state.network.layers)]
        ).mean()
        return self.options.penalty * float(mean.detach()) / (sum(self._list_rates(state)) or 1.0)

    def _count_vanished(self, state: State) -> int:
        """Nodes whose weights are all zero."""
        return sum(
            int((groups.compute_norms(state.parameters, layer) == 0).sum()) for layer in range(state.network.layers)
        )

    def _cut_is_due(self, state: State) -> bool:
        """Whether it is time to cut; where the number of updates is unknown, that is after the last."""
        return state.planned is not None and state.updates >= round(self.options.sparse * state.planned)

    def _cut_when_due(self, state: training.State) -> training.State:
        """Return the network that the next update trains: the cut one from the update on at which a cut is due."""
        return self._cut_nodes(state) if isinstance(state, State) and self._cut_is_due(state) else state

    def _cut_nodes(self, state: State) -> training.State:
        """The smaller network, which goes on where the whole one was, with moments of its own; streams start anew."""
        smaller = state.smaller(state)
        told = {
            "penalty_weight": state.weight,
            "sparse_updates": state.updates,
            "vanished": self._count_vanished(state),
        }
        said = {**smaller.said, **told}
        cut = training.begin(
            state.network, smaller.tensors, state.terms, self.options, said=said, teacher=state.teacher
        )
        cut.updates = state.updates
        cut.generator.set_state(state.generator.get_state())
        return cut


def _compute_shrinkage(state: State) -> Tensor | float:
    """Compute how far each group's norm falls, at the learning rate of the update that was made."""
    amount: Tensor | float = state.optimiser.param_groups[0]["lr"] * state.weight
    return amount


def build(options: IssOptions) -> ISS:
    return ISS(options)
