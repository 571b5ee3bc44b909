"""Hidden units of networks brought into the order of another network: a network does not know the order of its units.

Layer by layer, from the input on: each unit's incoming weights (and, in the last hidden layer, its outgoing ones) are
compared with those of the first network's units, and units are paired by the least sum of squared differences
(Hungarian method). Incoming weights are in the order that the layer before was given. Signs are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from harness_bayes.gaussians import Components, Diagonal, Full
from harness_bayes.networks import Network, flatten, unflatten


def match_components(network: Network, components: Components) -> Components:
    """Bring the units of Gaussians (K, m) into the order of the first one's, by their means."""
    means = components.means
    orders = torch.stack([match_units(network, means[0], mean) for mean in means])  # (K, m)
    if isinstance(components, Full):
        factors = components.spread.gather(1, orders[..., None].expand_as(components.spread))  # rows in another order
        return Full(means.gather(1, orders), torch.linalg.cholesky(factors @ factors.mT))
    return Diagonal(means.gather(1, orders), components.spread.gather(1, orders))


def match_units(network: Network, first: Tensor, other: Tensor) -> Tensor:
    """Places (m,) from which the numbers (m,) of another network are taken, so that its units match the first's."""
    mine, theirs = unflatten(network, first[None]), unflatten(network, other[None])
    places = unflatten(network, torch.arange(network.size, device=first.device)[None])
    layers, found = list(network.layers), {}
    before = torch.arange(layers[0][1][1], device=first.device)  # inputs stay
    for index, (name, weight) in enumerate(layers):
        units = torch.arange(weight[0], device=first.device)  # as outputs do
        if index < len(layers) - 1:
            after = layers[-1][0] if index == len(layers) - 2 else None
            own = _collect_features(mine, name, torch.arange(len(before), device=first.device), after)
            units = _pair_units(own, _collect_features(theirs, name, before, after))
        taken = _group_by_unit(places, name, len(before))[units][:, before].flatten(1)
        found[f"{name}.weight"] = (taken if len(weight) > 2 else taken.T).reshape(1, -1)
        if network.bias:
            found[f"{name}.bias"] = places[f"{name}.bias"][:, units]
        before = units
    return flatten(found)[0]


def _group_by_unit(parameters: Mapping[str, Tensor], name: str, before: int) -> Tensor:
    """The weight of a layer as (units, units before, numbers between two of them)."""
    weight = parameters[f"{name}.weight"][0]
    return (weight.T if weight.dim() == 2 else weight).flatten(1).unflatten(1, (before, -1))


def _collect_features(parameters: Mapping[str, Tensor], name: str, before: Tensor, after: str | None) -> Tensor:
    """Numbers by which the units of a layer are told apart, (units, features)."""
    parts = [_group_by_unit(parameters, name, len(before))[:, before].flatten(1)]
    if f"{name}.bias" in parameters:
        parts.append(parameters[f"{name}.bias"][0, :, None])
    if after is not None:
        parts.append(_group_by_unit(parameters, after, len(parts[0])).transpose(0, 1).flatten(1))
    return torch.cat(parts, 1)


def _pair_units(mine: Tensor, theirs: Tensor) -> Tensor:
    """Pair each of the first units with one of the others, (units,)."""
    distances = torch.cdist(mine, theirs, compute_mode="donot_use_mm_for_euclid_dist").square()
    return torch.as_tensor(linear_sum_assignment(distances.cpu().numpy())[1], device=mine.device)
