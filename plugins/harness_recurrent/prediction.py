"""Predictions of classes from the last step, and of streams chunk by chunk, their states carried from one to the next.

Log probabilities of tokens go into one array that is there from the beginning, and the logits of a chunk are the only
large tensor: a list of small results between them would keep freed memory from being given back.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from harness import ClassLogProbs, Prediction, TokenLogProbs
from harness_recurrent import network
from harness_recurrent.config import GATES
from harness_recurrent.network import Network, Tensors
from harness_torch.training import inference


@torch.no_grad()
def predict(net: Network, tensors: Tensors, inputs: Tensor) -> Prediction:
    """Classes of rows (N, ...), or the tokens (N, L) that follow each other."""
    tensors = network.cast_tensors(net, tensors)
    if net.tokens:
        return TokenLogProbs(
            predict_following(net, tensors, inputs)[None], inputs.new_zeros(1, dtype=net.types.parameters)
        )
    widest = max(network.width(net, tensors, layer) for layer in range(net.layers))
    steps = inputs.shape[2] if inputs.dim() == 4 else inputs.shape[1]
    per_row = steps * widest * GATES[net.cell]
    return inference.in_parts(partial(_predict_classes, net, tensors), inputs, per_row)


def _predict_classes(net: Network, tensors: Tensors, inputs: Tensor) -> ClassLogProbs:
    x = network.split_steps(net, tensors, inputs)
    found, _ = network.hidden_states(net, tensors, x, network.build_start(net, tensors, len(inputs)))
    return inference.classes(network.read_out(tensors, found[-1][-1]).to(net.types.parameters))


def predict_following(net: Network, tensors: Tensors, inputs: Tensor) -> Tensor:
    """Log probability (N, L - 1) of each token of rows (N, L), given those before it in its row."""
    rows, length = inputs.shape[0], inputs.shape[1] - 1
    found = torch.empty((rows, length), dtype=net.types.parameters, device=inputs.device)
    carried = network.build_start(net, tensors, rows)
    size = inference.count_rows(inputs, rows * net.outputs)
    for start in range(0, length, size):
        stop = min(start + size, length)
        x = network.split_steps(net, tensors, inputs[:, start:stop])
        states, carried = network.hidden_states(net, tensors, x, carried)
        logits = network.read_out(tensors, states[-1]).to(found)  # (T, N, V)
        said = logits.gather(-1, inputs[:, start + 1 : stop + 1].T[..., None])[..., 0]
        found[:, start:stop] = (said - logits.logsumexp(-1)).T
    return found
