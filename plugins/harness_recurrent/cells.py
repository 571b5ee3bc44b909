"""Recurrent cells over whole sequences: x (T, B, d) to h (T, B, m), with weights in any of the `forms`.

    irnn    h = relu(W x + U h + b)                                             (Le et al., arXiv 1504.00941)
    elman   h = tanh(W x + U h + b)
    gru     r, z = sigmoid(W x + U h + b), n = tanh(W x + b + r (U h + c)), h = (1 - z) n + z h
    lstm    i, f, o = sigmoid(W x + U h + b), g = tanh(W x + U h + b), c = f c + i g, h = o tanh(c)
    mingru  z = sigmoid(W x + b), n = W x + b, h = (1 - z) h + z n               (Feng et al., arXiv 2410.01201)

Gates lie one below the other in W (G m, d), U (G m, m) and b (G m,): r, z, n; i, f, g, o; z, n. The GRU is that of
torch and of cuDNN, which reset U h + c rather than h, and c is its `recurrent.bias`. Where two biases would be added,
there is one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

from harness_recurrent import forms
from harness_recurrent.forms import Map, Tensors
from harness_recurrent.scan import RELU, TANH, recur, recur_linearly

State = tuple[Tensor, ...]  # (h,), of an LSTM (h, c), each (B, m)
Step = Callable[[Tensor, Tensor, State], State]  # W x + b (B, G m), U h (B, G m), the state


def build_start(cell: str, batch: int, hidden: int, like: Tensor) -> State:
    """Where sequences start: zeros, of the type and on the device of `like`."""
    return tuple(like.new_zeros(batch, hidden) for _ in range(2 if cell == "lstm" else 1))


def run_cell(cell: str, x: Tensor, tensors: Tensors, start: State) -> tuple[Tensor, State]:
    """The outputs at all steps (T, B, m) and the state after the last.

    x: (T, B, d), one step at least. tensors: those of one cell, `input.weight`, `recurrent.weight` and so on.
    Differentiable, once.
    """
    inputs, bias = forms.bind(forms.select_under(tensors, "input")), tensors["input.bias"]
    if cell == "mingru":
        return _run_min_gru(_map_inputs(x, inputs, bias), start)
    recurrent, own_bias = forms.bind(forms.select_under(tensors, "recurrent")), tensors.get("recurrent.bias")
    if inputs.dense is None or recurrent.dense is None:
        return _run_steps(STEPS[cell], _map_inputs(x, inputs, bias), recurrent, own_bias, start)
    if cell in ACTIVATIONS:
        outputs, last = recur(x, inputs.dense, bias, recurrent.dense, start[0], ACTIVATIONS[cell])
        return outputs, (last,)
    return _run_kernel(cell, x, inputs.dense, recurrent.dense, _pair_biases(bias, own_bias), start)


def _map_inputs(x: Tensor, inputs: Map, bias: Tensor) -> Tensor:
    """Map the inputs of all steps, (T, B, G m), in one product."""
    return (inputs(x.flatten(0, 1)) + bias).unflatten(0, x.shape[:2])


# --- dense --------------------------------------------------------------------------------------------------------

ACTIVATIONS = {"irnn": RELU, "elman": TANH}


def _pair_biases(bias: Tensor, own: Tensor | None) -> tuple[Tensor, Tensor]:
    """The two biases that torch's kernels want: the second is zero but for the part inside a GRU's reset."""
    if own is None:
        return bias, torch.zeros_like(bias)
    return bias, F.pad(own, (len(bias) - len(own), 0))


def _run_kernel(
    cell: str, x: Tensor, weight: Tensor, recurrent: Tensor, biases: tuple[Tensor, Tensor], start: State
) -> tuple[Tensor, State]:
    """Torch's kernel of a whole layer."""
    weights = (weight, recurrent, *biases)
    settings = (True, 1, 0.0, torch.is_grad_enabled(), False, False)  # biases, layers, dropout, training, ways, order
    first = [each[None] for each in start]
    with _silence_cudnn(x.device):
        if cell == "lstm":
            outputs, *last = torch._VF.lstm(x, first, weights, *settings)
        else:
            outputs, *last = torch._VF.gru(x, first[0], weights, *settings)
    return outputs, tuple(each[0] for each in last)


@contextmanager
def _silence_cudnn(device: torch.device) -> Iterator[None]:
    """Silence cuDNN's warning, at every call, that it copies weights which do not lie one after the other."""
    if device.type != "cuda":
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "RNN module weights", UserWarning)
        yield


# --- step by step -------------------------------------------------------------------------------------------------


def _run_steps(
    step: Callable[..., State], driven: Tensor, recurrent: Map, own_bias: Tensor | None, start: State
) -> tuple[Tensor, State]:
    outputs, now = [], start
    for given in driven.unbind():
        fed_back = recurrent(now[0])
        now = step(given, fed_back, now) if own_bias is None else step(given, fed_back, now, own_bias)
        outputs.append(now[0])
    return torch.stack(outputs), now


def _step_irnn(given: Tensor, fed_back: Tensor, now: State) -> State:
    del now
    return (torch.relu(given + fed_back),)


def _step_elman(given: Tensor, fed_back: Tensor, now: State) -> State:
    del now
    return (torch.tanh(given + fed_back),)


def _step_gru(given: Tensor, fed_back: Tensor, now: State, own_bias: Tensor) -> State:
    (h,) = now
    size = 2 * len(own_bias)
    reset, keep = torch.sigmoid(given[:, :size] + fed_back[:, :size]).chunk(2, 1)
    new = torch.tanh(torch.addcmul(given[:, size:], reset, fed_back[:, size:] + own_bias))
    return (torch.lerp(new, h, keep),)


def _step_lstm(given: Tensor, fed_back: Tensor, now: State) -> State:
    _, c = now
    let_in, forget, new, let_out = (given + fed_back).chunk(4, 1)
    c = torch.sigmoid(forget) * c + torch.sigmoid(let_in) * torch.tanh(new)
    return torch.sigmoid(let_out) * torch.tanh(c), c


STEPS: Mapping[str, Callable[..., State]] = {
    "irnn": _step_irnn,
    "elman": _step_elman,
    "gru": _step_gru,
    "lstm": _step_lstm,
}


def _run_min_gru(driven: Tensor, start: State) -> tuple[Tensor, State]:
    """No product with h: all that is left of the recursion is linear, element by element."""
    update, new = driven.chunk(2, 2)
    outputs = recur_linearly(torch.sigmoid(-update), torch.sigmoid(update) * new, start[0])
    return outputs, (outputs[-1],)
