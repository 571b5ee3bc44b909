"""Arguments of `compress`, checked: a misfit raises a TypeError or a ValueError of one line with a remedy."""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from harness_recurrent.config import SHARE
from harness_recurrent.layers import GATES, count_ways, get_weight, list_suffixes

NUMBERS = 2**22  # of states of all layers that are held at a time
SEEDS = 2**63  # below it and down to its negative torch takes any


# --- the module and its readers -------------------------------------------------------------------------------------


def require_module(module: Any) -> None:
    """Refuse a module that is none of torch's own recurrent layers."""
    if type(module) not in GATES:
        said = f"module is a {_name_type(module)}; expected a torch.nn.RNN, GRU or LSTM itself"
        raise TypeError(f"{said}{_suggest_module(module)}")
    if module.proj_size:
        raise ValueError(f"module has proj_size={module.proj_size}, whose output is no node's; train one with 0")
    _require_numbers("module", get_weight(module, "weight_ih_l0"))


def _suggest_module(module: Any) -> str:
    """Suggest how to replace a module of another type."""
    if isinstance(module, type):
        return "; pass the trained module, not its class"
    if not isinstance(module, nn.Module):
        return ""
    if hasattr(module, "parametrizations"):
        return "; take its parametrizations off first, torch.nn.utils.parametrize.remove_parametrizations"
    own = next((name for name, each in module.named_modules() if type(each) in GATES), "")
    return f"; pass its layer, `.{own}`" if own else ""


def collect_readers(module: nn.RNNBase, readers: Any) -> list[nn.Linear]:
    """Collect the readers. Refuses a reader that is no linear map of the module's output."""
    if isinstance(readers, nn.Module) and not isinstance(readers, nn.ModuleList):
        raise TypeError(f"readers is one module, a {_name_type(readers)}; pass a list: readers=[linear]")
    if isinstance(readers, str | Mapping | Tensor) or not isinstance(readers, Iterable):
        raise TypeError(f"readers is a {_name_type(readers)}; expected a list of torch.nn.Linear, or leave it out")
    found = list(readers)
    for at, each in enumerate(found):
        _require_reader(module, f"readers[{at}]", each)
        if any(each is earlier for earlier in found[:at]):
            raise ValueError(f"readers[{at}] is given twice; give each once, and use its one answer in both places")
    return found


def _require_reader(module: nn.RNNBase, name: str, reader: Any) -> None:
    if type(reader) is not nn.Linear:
        raise TypeError(f"{name} is a {_name_type(reader)}; expected a torch.nn.Linear itself; train others anew")
    size, beside = module.hidden_size * count_ways(module), " of both directions" if module.bidirectional else ""
    if reader.in_features != size:
        raise ValueError(
            f"{name} reads {reader.in_features} numbers; the module's output has {size}{beside}; pass what reads that"
        )
    _require_numbers(name, reader.weight)
    there, own = get_weight(module, "weight_ih_l0").device, reader.weight.device
    if own != there:
        raise ValueError(f"{name} is on {own} and the module on {there}; move one to the other")


def _require_numbers(name: str, given: Tensor) -> None:
    if given.is_meta:
        raise ValueError(f"{name} is on the device meta, which holds no numbers; load its trained weights first")


# --- how much is left, and how it is chosen -------------------------------------------------------------------------


def count_nodes(module: nn.RNNBase, nodes: Any, share: Any) -> int:
    """Count the nodes to keep of each layer and direction."""
    if nodes is not None and share is not None:
        raise ValueError(f"nodes={nodes} and share={share} both say how much is left; give one of them")
    m = module.hidden_size
    if nodes is None:
        share = SHARE if share is None else share
        if not 0 < require_number("share", share) <= 1:
            raise ValueError(f"share={share}: expected more than 0, and 1 at most")
        return max(1, round(float(share) * m))
    count = require_whole("nodes", nodes, "; all of torch's layers have one hidden_size" if _is_list(nodes) else "")
    if not 1 <= count <= m:
        raise ValueError(f"nodes={nodes}: the module has hidden_size={m}; give from 1 to {m}")
    return count


def require_number(name: str, value: Any) -> float:
    """Require a number, which neither a text nor a truth value is."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}={_shorten(value)}: expected a number, not a {_name_type(value)}")
    return float(value)


def require_shares(**values: Any) -> None:
    """Refuse values other than numbers from 0 to 1."""
    for name, value in values.items():
        if not 0 <= require_number(name, value) <= 1:
            raise ValueError(f"{name}={value}: expected from 0 to 1")


def require_switch(**values: Any) -> None:
    """Refuse values other than truth values: a text, even "no", would count as true."""
    for name, value in values.items():
        if not isinstance(value, bool | np.bool_):
            raise TypeError(f"{name}={_shorten(value)}: expected True or False, not a {_name_type(value)}")


def require_choice(name: str, value: Any, known: Collection[str]) -> None:
    """Refuse a value that is none of the known names."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name}={_shorten(value)}: expected one of {', '.join(known)}")


def seed_generator(seed: Any) -> torch.Generator:
    """Random numbers on the CPU, by the seed."""
    if not -SEEDS <= require_whole("seed", seed) < SEEDS:
        raise ValueError(f"seed={seed}: expected less than 2^63 on either side of 0")
    return torch.Generator().manual_seed(operator.index(seed))


def require_whole(name: str, value: Any, why: str = "") -> int:
    """Require a whole number, of numpy or of Python."""
    if isinstance(value, bool | Tensor) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}={_shorten(value)}: expected a whole number, not a {_name_type(value)}{why}")
    return operator.index(value)


# --- rows -----------------------------------------------------------------------------------------------------------


def split_rows(module: nn.RNNBase, rows: Any) -> Iterator[Tensor]:
    """Yield the inputs, some sequences at a time, in the module's type and on its device."""
    several = isinstance(rows, Iterable) and not isinstance(rows, Tensor | PackedSequence | Mapping | np.ndarray | str)
    for x in rows if several else [rows]:
        require_inputs(module, x)
        for part in _split_batch(module, x):
            yield part.to(get_weight(module, "weight_ih_l0"))


def _split_batch(module: nn.RNNBase, x: Tensor) -> Sequence[Tensor]:
    """Split a batch into pieces whose states fit, one sequence at least in each; an empty batch into none."""
    if not x.numel():
        return []
    if x.dim() == 2:
        return [x]
    batch, steps = (0, 1) if module.batch_first else (1, 0)
    states = x.shape[steps] * module.hidden_size * len(list_suffixes(module))
    return x.split(max(1, NUMBERS // states), batch)


def require_inputs(module: nn.RNNBase, x: Any) -> None:
    """Refuse inputs that the module does not read."""
    layout = "batch, steps" if module.batch_first else "steps, batch"
    wanted = f"({layout}, {module.input_size}) or (steps, {module.input_size})"
    if not isinstance(x, Tensor):
        raise TypeError(f"rows: {_describe_other_type(x, wanted)}")
    if x.is_nested or x.layout != torch.strided:
        kind = "nested" if x.is_nested else "sparse"
        raise TypeError(
            f"rows: expected dense tensors {wanted}, and there is a {kind} one; pass {_suggest_dense(kind)}"
        )
    if x.dim() not in (2, 3) or x.shape[-1] != module.input_size or not x.is_floating_point():
        raise ValueError(f"rows: expected floats {wanted}, and there are {x.dtype} {tuple(x.shape)}")
    if x.is_meta:
        raise ValueError("rows are on the device meta, which holds no numbers; pass inputs that the module has read")
    if not x.isfinite().all():
        raise ValueError("rows: some numbers are not finite; leave those sequences out")


def _describe_other_type(x: Any, wanted: str) -> str:
    """Describe why rows of another type are refused, and how to convert them."""
    if isinstance(x, PackedSequence):
        return f"packed sequences are not read; pass a list of tensors {wanted}, each without padding"
    came = f"expected tensors {wanted}, and there is a {_name_type(x)}"
    if isinstance(x, np.ndarray):
        return f"{came}; pass torch.from_numpy of it, of the module's type"
    if isinstance(x, Mapping) or (_is_list(x) and any(isinstance(each, Tensor) for each in x)):
        return f"{came}; of {'dictionaries' if isinstance(x, Mapping) else 'pairs'} pass the inputs alone"
    return f"{came}; pass torch.tensor of it" if _is_list(x) else came


def _suggest_dense(kind: str) -> str:
    return "its rows as a list, rows.unbind()" if kind == "nested" else "rows.to_dense()"


# --- words ----------------------------------------------------------------------------------------------------------


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _name_type(value: Any) -> str:
    return f"class, {value.__name__}" if isinstance(value, type) else type(value).__name__


def _shorten(value: Any) -> str:
    """Show a value in one line, shortened to 40 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 40 else f"{text[:37]}..."
