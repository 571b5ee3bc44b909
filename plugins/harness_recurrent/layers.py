"""Torch's recurrent layers by their parts: names of weights, one layer alone, other sizes, rows; what is refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

Layers = TypeVar("Layers", nn.RNN, nn.GRU, nn.LSTM)

GATES: Mapping[type, int] = {nn.RNN: 1, nn.GRU: 3, nn.LSTM: 4}
NUMBERS = 2**22  # of states of all layers that are held at a time


def ways(module: nn.RNNBase) -> int:
    """Directions in which each layer reads."""
    return 2 if module.bidirectional else 1


def suffixes(module: nn.RNNBase) -> list[str]:
    """What torch's names of weights end in: of each layer and direction, in the order of h_n."""
    ends = ["", "_reverse"][: ways(module)]
    return [f"l{layer}{end}" for layer in range(module.num_layers) for end in ends]


def names(module: nn.RNNBase, suffix: str) -> list[str]:
    """Of all weights of a layer and direction."""
    kinds = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if module.bias else [])]
    return [f"{kind}_{suffix}" for kind in kinds]


def weight(module: nn.Module, name: str) -> Tensor:
    """The weight of that name, as it is."""
    found = getattr(module, name)
    assert isinstance(found, Tensor)
    return found


def exact(name: str, given: Tensor) -> Tensor:
    """In float64. Raises ValueError where it is not finite."""
    if not given.isfinite().all():
        raise ValueError(f"{name} holds numbers that are not finite: its training has diverged; take an earlier state")
    return given.double()


# --- modules --------------------------------------------------------------------------------------------------------


def one(module: nn.RNNBase, layer: int) -> nn.RNNBase:
    """One layer in all its directions, as a module of its own."""
    inputs = module.hidden_size * ways(module) if layer else module.input_size
    ends = suffixes(module)[layer * ways(module) :][: ways(module)]
    own = {name.replace(f"_l{layer}", "_l0"): weight(module, name) for suffix in ends for name in names(module, suffix)}
    return _built(module, own, inputs, module.hidden_size, 1)


def narrower(module: Layers, hidden: int, weights: Mapping[str, Tensor]) -> Layers:
    """The module with so many nodes and these weights; what is trained of it and its mode are the same."""
    found = _built(module, weights, module.input_size, hidden, module.num_layers, dropout=module.dropout)
    return _alike(found, module)


def linear(reader: nn.Linear, given: Tensor) -> nn.Linear:
    """A reader with this weight and its own bias."""
    bias, like = reader.bias is not None, reader.weight
    found = nn.Linear(given.shape[1], len(given), bias, "meta", like.dtype).to_empty(device=like.device)
    found.load_state_dict({"weight": given, **({"bias": reader.bias} if bias else {})})
    return _alike(found, reader)


def _built(module: nn.RNNBase, weights: Mapping[str, Tensor], *sizes: int, dropout: float = 0.0) -> Any:
    """A module like this one of other sizes; the process' random numbers stay where they are."""
    like = weight(module, "weight_ih_l0")
    settings: dict[str, Any] = {name: getattr(module, name) for name in ("bias", "batch_first", "bidirectional")}
    if isinstance(module, nn.RNN):
        settings["nonlinearity"] = module.nonlinearity
    build: Any = type(module)
    found = build(*sizes, dropout=dropout, device="meta", dtype=like.dtype, **settings)
    found.to_empty(device=like.device)
    found.load_state_dict(dict(weights))
    return found


def _alike(found: Any, module: nn.Module) -> Any:
    for name, parameter in found.named_parameters():
        parameter.requires_grad_(weight(module, name).requires_grad)
    return found.train(module.training)


# --- rows -----------------------------------------------------------------------------------------------------------


def parts(module: nn.RNNBase, rows: Tensor | Iterable[Tensor]) -> Iterator[Tensor]:
    """Inputs some sequences at a time, of the module's type and on its device. Raises TypeError or ValueError."""
    several = not isinstance(rows, Tensor | PackedSequence | Mapping) and isinstance(rows, Iterable)
    for x in rows if several else [rows]:
        require_inputs(module, x)
        for part in _few(module, x):
            yield part.to(weight(module, "weight_ih_l0"))


def _few(module: nn.RNNBase, x: Any) -> Sequence[Tensor]:
    """Pieces of a batch whose states fit; one sequence at least in each, and none of what is empty."""
    if not x.numel():
        return []
    if x.dim() == 2:
        return [x]
    batch, steps = (0, 1) if module.batch_first else (1, 0)
    states = x.shape[steps] * module.hidden_size * len(suffixes(module))
    return x.split(max(1, NUMBERS // states), batch)


# --- checks ---------------------------------------------------------------------------------------------------------


def require_module(module: Any) -> None:
    """Raises TypeError or ValueError for what is none of torch's recurrent layers as they are."""
    if type(module) not in GATES:
        inner = module.named_modules() if isinstance(module, nn.Module) else ()
        own = next((name for name, each in inner if type(each) in GATES), "")
        hint = f"; pass its layer, `.{own}`" if own else ""
        raise TypeError(f"module is a {type(module).__name__}; expected a torch.nn.RNN, GRU or LSTM itself{hint}")
    if module.proj_size:
        raise ValueError(f"module has proj_size={module.proj_size}, whose output is no node's; train one with 0")


def require_readers(module: nn.RNNBase, readers: Sequence[Any]) -> None:
    """Raises TypeError or ValueError for what is no linear map of the module's output."""
    size = module.hidden_size * ways(module)
    if isinstance(readers, nn.Module):
        raise TypeError("readers is one module; pass a list: readers=[linear]")
    for at, each in enumerate(readers):
        if not isinstance(each, nn.Linear):
            raise TypeError(f"readers[{at}] is a {type(each).__name__}; expected a torch.nn.Linear")
        if each.in_features != size:
            raise ValueError(f"readers[{at}] reads {each.in_features} numbers; the module's output has {size}")


def require_inputs(module: nn.RNNBase, x: Any) -> None:
    """Raises TypeError or ValueError for what the module does not read."""
    layout = "batch, steps" if module.batch_first else "steps, batch"
    wanted = f"({layout}, {module.input_size}) or (steps, {module.input_size})"
    if isinstance(x, PackedSequence):
        raise TypeError(f"rows: packed sequences are not read; pass a list of tensors {wanted}, each without padding")
    if not isinstance(x, Tensor):
        raise TypeError(f"rows: expected tensors {wanted}, and there is a {type(x).__name__}; of pairs pass the inputs")
    if x.dim() not in (2, 3) or x.shape[-1] != module.input_size or not x.is_floating_point():
        raise ValueError(f"rows: expected floats {wanted}, and there are {x.dtype} {tuple(x.shape)}")
    if not x.isfinite().all():
        raise ValueError("rows: some numbers are not finite; leave those sequences out")
