"""Keep whole nodes of each layer, which a method chooses; their readers are rewritten, and the others left out.

With J the nodes kept of a layer and A the reconstruction of its state h from h_J, every gate keeps the rows J of its
input weights, recurrent weights and biases, and every weight that reads h, the recurrent ones, the layer above or the
readout, is multiplied by A (W -> W A). Without reconstruction A selects: W -> W[:, J]. Of an lstm one J serves h and c,
which go together element by element; minGRU's recursion is diagonal, so that only the readers of h are rewritten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from harness import Reading, Unsupported
from harness_recurrent import bounds, network, reconstruction, selection
from harness_recurrent.compression import Base, Compression, Smaller
from harness_recurrent.config import GATES
from harness_recurrent.covariance import find_dead

ACTIVE = {"time-mean": "ever active", "last-step": "active after the last step of any row"}


class NodePruning(Compression):
    """Keeps the nodes that a method chooses: `choose(base, layer, count, S, tau)`, indices of `count` nodes."""

    def choose(self, base: Base, layer: int, count: int, S: Tensor, tau: Tensor) -> Sequence[int]:
        """Nodes to keep of a layer with second moments S (m, m), where tau (m,) regularises reconstruction."""
        raise NotImplementedError

    def compress(self, base: Base) -> Smaller:
        """Keep the chosen nodes of each layer. Raises Unsupported where all nodes of a layer are dead."""
        count = self.size(base)
        chosen, maps, lost, silent, layers = [], [], [], [], []
        for layer, S in enumerate(self.moments(base)):
            silent.append(_require_living(S, layer, self.options.covariance))
            tau = selection.regularisation(S, self.options.lam, count)
            nodes = sorted(self.choose(base, layer, count, S, tau))
            A = (
                reconstruction.matrix(S, nodes, tau)
                if self.options.reconstruct
                else reconstruction.selector(len(S), nodes)
            )
            chosen.append(nodes)
            maps.append(A)
            lost.append(float(reconstruction.error(S, nodes, A).trace() / S.trace()))
            layers.append(bounds.build_layer(base.tensors, layer, S, nodes, tau, A, self.options.lam))
        dead_nodes = Reading(
            network.unwrap_single(silent), _warn_of_dead(count, base.widths, silent, ACTIVE[self.options.covariance])
        )
        said = {
            "nodes": network.unwrap_single(chosen),
            "dead_nodes": dead_nodes,
            "information_loss": network.unwrap_single(lost),
        }
        steps = base.statistics.steps if self.options.covariance == "time-mean" else 0
        kept = keep_nodes(base.network, base.tensors, chosen, maps)
        return Smaller(kept, said, bounds.postpone_facts(base.network, layers, steps))

    def moments(self, base: Base) -> list[Tensor]:
        """Second moments of each layer by the options."""
        last = self.options.covariance == "last-step"
        return base.statistics.last_step if last else base.statistics.time_mean


def keep_nodes(
    net: Any, tensors: Mapping[str, Tensor], chosen: Sequence[Sequence[int]], maps: Sequence[Tensor]
) -> dict[str, Tensor]:
    """Tensors of the network with these nodes of each layer, whose readers are multiplied by A (m, k) of each."""
    kept = dict(tensors)
    for layer, (nodes, A) in enumerate(zip(chosen, maps, strict=True)):
        for name in network.list_readers(tensors, layer):
            kept[_name_untied(name)] = (kept[name] if _name_untied(name) == name else tensors[name]).to(A) @ A
        width = A.shape[0]
        rows = torch.cat([gate * width + torch.tensor(nodes, device=A.device) for gate in range(GATES[net.cell])])
        for part in ("input.weight", "input.bias", "recurrent.weight"):
            if (name := f"cells.{layer}.{part}") in kept:
                kept[name] = kept[name][rows]
        if (name := f"cells.{layer}.recurrent.bias") in kept:
            kept[name] = kept[name][list(nodes)]
    return kept


def stack_readers(base: Base, layer: int) -> Tensor:
    """All maps that read a layer's state, one below the other: Z (rows, m)."""
    return torch.cat([base.tensors[name] for name in network.list_readers(base.tensors, layer)])


def _name_untied(name: str) -> str:
    """Name the readout of its own that a tied one becomes: rewritten weights no longer embed tokens."""
    return "readout.weight" if name == "embedding.weight" else name


def _require_living(S: Tensor, layer: int, covariance: str) -> int:
    """Count the nodes that are zero in all states of S. Raises Unsupported where all are."""
    silent = int(find_dead(S).sum())
    if silent < len(S):
        return silent
    if covariance == "last-step":
        raise Unsupported(
            f"all {len(S)} nodes of layer {layer} are zero after the last step of every training row, which "
            "covariance=last-step looks at alone; give covariance=time-mean"
        )
    raise Unsupported(f"all {len(S)} nodes of layer {layer} are zero in every training row: the base is dead")


def _warn_of_dead(count: int, widths: Sequence[int], silent: Sequence[int], active: str) -> str:
    """Warn of nodes that are kept though they do nothing; empty where there are none."""
    living = min(width - gone for width, gone in zip(widths, silent, strict=True))
    if count <= living:
        return ""
    return f"{count} nodes are kept of a layer with {living} that are {active}: fewer would do the same"
