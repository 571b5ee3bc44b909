"""`compress`: torch's own recurrent layers with fewer nodes, and their readers rewritten; no run is needed.

    from harness_recurrent import compress

    model.lstm, (model.head,), _ = compress(model.lstm, rows, nodes=42, readers=[model.head])

A layer keeps nodes J in each of its directions: their rows of every gate stay, and every weight that reads the state h
is multiplied by A, with which A h_J is nearest to h on the rows (`reconstruction`): those of its own recursion, of the
layer above, or the readers. Both of torch's biases stay, row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, Literal, NamedTuple

import torch
from torch import Tensor, nn

from harness_recurrent import arguments, layers, reconstruction, selection
from harness_recurrent.covariance import Covariance, find_dead
from harness_recurrent.layers import GATES, Layers

Choice = Literal["spectral", "backward", "random"]
Search = Callable[[Tensor, Tensor, int, Tensor], Sequence[int]]  # S (m, m), M (m, m), how many, tau (m,)


class Compressed(NamedTuple, Generic[Layers]):
    """The smaller module, its readers, and the nodes kept of each layer and direction, in the order of `h_n`."""

    module: Layers
    readers: list[nn.Linear]
    nodes: list[list[int]]


@torch.no_grad()
def compress(
    module: Layers,
    rows: Tensor | Iterable[Tensor],
    nodes: int | None = None,
    *,
    readers: Iterable[nn.Linear] = (),
    share: float | None = None,
    method: Choice = "spectral",
    theta: float = 0.5,
    lam: float = 1e-4,
    reconstruct: bool = True,
    seed: int = 0,
) -> Compressed[Layers]:
    """The module with `nodes` nodes in each layer and direction, or a share of them (a third); the given one stays.

    module: a trained torch.nn.RNN, GRU or LSTM. rows: inputs in its own layout, a tensor or several of any lengths,
    without padding, on whose states the reconstruction is fitted. readers: linear maps that read its output, or the
    part of `h_n` that is in the output: `h_n[-1]`, or of both directions `cat(h_n[-2:], -1)`. Whatever else reads the
    output has to be trained anew. `c_n`, and `h_n` of lower layers, are those of the kept nodes alone; a start state of
    your own has to be taken at `nodes`.

    method: "spectral" keeps the nodes that lose least of the states (theta) and of their readers (1 - theta),
    "backward" drops one after the other by the same, "random" keeps any, by seed. lam: regularisation of A, as a share
    of a node's mean square. reconstruct: whether weights are rewritten; False drops those of the nodes that go. Raises
    TypeError or ValueError, which say what was expected.
    """
    arguments.require_module(module)
    readers = arguments.collect_readers(module, readers)
    count, search = arguments.count_nodes(module, nodes, share), _find_search(method, seed)
    arguments.require_shares(theta=theta, lam=lam)
    arguments.require_switch(reconstruct=reconstruct)
    weights = _collect_weights(module, readers)
    kept, maps = [], []
    for at, S in enumerate(_measure_moments(module, rows)):
        tau = selection.regularisation(S, lam, count)
        M = selection.weight_matrix(S, _stack_readers(module, weights, len(readers), at), theta)
        J = sorted(search(S, M, count, tau))
        kept.append(J)
        maps.append(reconstruction.matrix(S, J, tau) if reconstruct else reconstruction.selector(len(S), J).to(S))
    smaller = layers.build_narrower(module, count, _rewrite_weights(module, weights, kept, maps))
    across = torch.block_diag(*maps[-layers.count_ways(module) :])  # (m, k), of both directions (2 m, 2 k)
    read = [layers.build_reader(each, weights[_name_reader(at)] @ across) for at, each in enumerate(readers)]
    return Compressed(smaller, read, kept)


# --- which nodes ----------------------------------------------------------------------------------------------------


def _find_search(method: str, seed: int) -> Search:
    generator = arguments.seed_generator(seed)

    def at_random(S: Tensor, M: Tensor, count: int, tau: Tensor) -> Sequence[int]:
        del M, tau
        return torch.randperm(len(S), generator=generator)[:count].tolist()

    found: dict[str, Search] = {
        "spectral": selection.greedy,
        "backward": selection.backward,
        "random": at_random,
    }
    arguments.require_choice("method", method, found)
    return found[method]


def _measure_moments(module: nn.RNNBase, rows: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """Second moments (m, m) of the states of each layer and direction. Raises ValueError where no node is active."""
    m, ways, ends = module.hidden_size, layers.count_ways(module), layers.list_suffixes(module)
    each = [layers.extract_layer(module, layer) for layer in range(module.num_layers)]
    sums = [Covariance(m, layers.get_weight(module, "weight_ih_l0").device) for _ in ends]
    for x in arguments.split_rows(module, rows):
        for layer, alone in enumerate(each):
            x, _ = alone(x)  # (..., m), or one direction beside the other (..., 2 m)
            for way, h in enumerate(x.split(m, -1)):
                sums[layer * ways + way].add(h)
    if not sums[0].rows:
        raise ValueError("rows: there are none; pass inputs of the module, such as those that it was trained on")
    return [_require_active(total, end) for total, end in zip(sums, ends, strict=True)]


def _require_active(total: Covariance, end: str) -> Tensor:
    """Take the mean. Raises ValueError for states that are not finite, or all zero."""
    try:
        S = total.mean()
    except ValueError as error:
        raise ValueError(f"{end}: {error}") from error
    if find_dead(S).all():
        raise ValueError(f"all nodes of {end} are zero for all rows: train the module, or pass other rows")
    return S


def _stack_readers(module: nn.RNNBase, weights: Mapping[str, Tensor], readers: int, at: int) -> Tensor:
    """Stack the weights that read the states of a layer in one direction: Z (rows, m)."""
    m, ways, ends = module.hidden_size, layers.count_ways(module), layers.list_suffixes(module)
    layer, way = divmod(at, ways)
    above = [f"weight_ih_{end}" for end in ends[(layer + 1) * ways :][:ways]]
    names = above or [_name_reader(each) for each in range(readers)]
    return torch.cat([weights[f"weight_hh_{ends[at]}"], *(weights[name][:, way * m :][:, :m] for name in names)])


# --- weights --------------------------------------------------------------------------------------------------------


def _collect_weights(module: nn.RNNBase, readers: Sequence[nn.Linear]) -> dict[str, Tensor]:
    """All weights in float64: of the module by torch's names, and of the readers. Raises ValueError if not finite."""
    own = [name for end in layers.list_suffixes(module) for name in layers.list_weights(module, end)]
    found = {name: layers.to_float64(f"module.{name}", layers.get_weight(module, name)) for name in own}
    for at, each in enumerate(readers):
        found[_name_reader(at)] = layers.to_float64(_name_reader(at), each.weight)
    return found


def _name_reader(at: int) -> str:
    return f"readers[{at}].weight"


def _rewrite_weights(
    module: nn.RNNBase, weights: Mapping[str, Tensor], kept: Sequence[Sequence[int]], maps: Sequence[Tensor]
) -> dict[str, Tensor]:
    """The module's weights with these nodes, whose readers are multiplied by A (m, k) of each."""
    found, m, ways = {}, module.hidden_size, layers.count_ways(module)
    for at, (end, J, A) in enumerate(zip(layers.list_suffixes(module), kept, maps, strict=True)):
        stays = torch.cat([gate * m + torch.tensor(J, device=A.device) for gate in range(GATES[type(module)])])
        for name in layers.list_weights(module, end):
            found[name] = weights[name][stays]
        found[f"weight_hh_{end}"] = found[f"weight_hh_{end}"] @ A
        if layer := at // ways:
            below = torch.block_diag(*maps[(layer - 1) * ways : layer * ways])
            found[f"weight_ih_{end}"] = found[f"weight_ih_{end}"] @ below
    return found
