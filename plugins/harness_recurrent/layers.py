"""Torch's recurrent layers by their parts: names of weights, one layer alone, other sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from torch import Tensor, nn

Layers = TypeVar("Layers", nn.RNN, nn.GRU, nn.LSTM)

GATES: Mapping[type, int] = {nn.RNN: 1, nn.GRU: 3, nn.LSTM: 4}


def count_ways(module: nn.RNNBase) -> int:
    """Directions in which each layer reads."""
    return 2 if module.bidirectional else 1


def list_suffixes(module: nn.RNNBase) -> list[str]:
    """List the ends of torch's names of weights: of each layer and direction, in the order of h_n."""
    ends = ["", "_reverse"][: count_ways(module)]
    return [f"l{layer}{end}" for layer in range(module.num_layers) for end in ends]


def list_weights(module: nn.RNNBase, suffix: str) -> list[str]:
    """List the names of all weights of a layer and direction."""
    kinds = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if module.bias else [])]
    return [f"{kind}_{suffix}" for kind in kinds]


def get_weight(module: nn.Module, name: str) -> Tensor:
    """The weight of that name, as it is."""
    found = getattr(module, name)
    assert isinstance(found, Tensor)
    return found


def to_float64(name: str, given: Tensor) -> Tensor:
    """Convert a weight to float64. Raises ValueError where it is not finite."""
    if not given.isfinite().all():
        raise ValueError(f"{name} holds numbers that are not finite: its training has diverged; take an earlier state")
    return given.double()


# --- modules --------------------------------------------------------------------------------------------------------


def extract_layer(module: nn.RNNBase, layer: int) -> nn.RNNBase:
    """One layer in all its directions, as a module of its own."""
    inputs = module.hidden_size * count_ways(module) if layer else module.input_size
    ends = list_suffixes(module)[layer * count_ways(module) :][: count_ways(module)]
    own = {
        name.replace(f"_l{layer}", "_l0"): get_weight(module, name)
        for suffix in ends
        for name in list_weights(module, suffix)
    }
    return _build_module(module, own, inputs, module.hidden_size, 1)


def build_narrower(module: Layers, hidden: int, weights: Mapping[str, Tensor]) -> Layers:
    """The module with so many nodes and these weights; what is trained of it and its mode are the same."""
    found = _build_module(module, weights, module.input_size, hidden, module.num_layers, dropout=module.dropout)
    return _copy_mode(found, module)


def build_reader(reader: nn.Linear, given: Tensor) -> nn.Linear:
    """A reader with this weight and its own bias."""
    bias, like = reader.bias is not None, reader.weight
    found = nn.Linear(given.shape[1], len(given), bias, "meta", like.dtype).to_empty(device=like.device)
    found.load_state_dict({"weight": given, **({"bias": reader.bias} if bias else {})})
    return _copy_mode(found, reader)


def _build_module(module: nn.RNNBase, weights: Mapping[str, Tensor], *sizes: int, dropout: float = 0.0) -> Any:
    """A module like this one of other sizes; the process' random numbers stay where they are."""
    like = get_weight(module, "weight_ih_l0")
    settings: dict[str, Any] = {name: getattr(module, name) for name in ("bias", "batch_first", "bidirectional")}
    if isinstance(module, nn.RNN):
        settings["nonlinearity"] = module.nonlinearity
    build: Any = type(module)
    found = build(*sizes, dropout=dropout, device="meta", dtype=like.dtype, **settings)
    found.to_empty(device=like.device)
    found.load_state_dict(dict(weights))
    return found


def _copy_mode(found: Any, module: nn.Module) -> Any:
    for name, parameter in found.named_parameters():
        parameter.requires_grad_(get_weight(module, name).requires_grad)
    return found.train(module.training)
