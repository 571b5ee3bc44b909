"""`harness export` of recurrent networks: torch's own modules with safetensors, an exported program, ONNX.

An exported program and ONNX take rows of any number to logits. Of a language they take one token of each text, with the
states that the one before has left, as a generator of text does.
"""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from harness import ClassLogProbs, Kept, Prediction, Problem, TokenLogProbs, Unsupported, Written
from harness_recurrent import network, portable
from harness_recurrent.network import Network
from harness_recurrent.portable import Classifier, Part, Step
from harness_torch.training import inference

Run = Callable[..., Any]  # rows to logits; or tokens and states to logits and states

TORCH = """\
{said}from safetensors.torch import load_file
from torch import nn
net = nn.ModuleDict({{{parts}}})
net.load_state_dict(load_file(PATH))
{run}
"""
CLASSES = '{layers}\nlogits = net["readout"](h[:, -1])  # (B, {outputs})'
TEXT = '{layers}\nlogits = net["readout"](h)  # (B, T, {outputs}): of the token that follows each'
PT2 = """\
{said}import torch
net = torch.export.load(PATH).module()
{call}
"""
ONNX = """\
{said}import onnxruntime
net = onnxruntime.InferenceSession(PATH)
{call}
"""


class Portable(NamedTuple):
    """A trained network as modules. said: a line on what its weights were, if not dense."""

    net: Network
    parts: dict[str, Part]
    weights: dict[str, Tensor]
    said: str


def write_torch(kept: Kept, path: Path) -> Written:
    """Write a state dict of torch's modules. Raises Unsupported where torch has none for the cell."""
    found = _build_portable(kept)
    if found.net.cell == "mingru":
        raise Unsupported("cell=mingru: torch has no such layer; write pt2 or onnx")
    load = _write_torch_lines(found, kept.problem)
    save_file(found.weights, path, {"python": load, "modules": json.dumps(found.parts)})

    def predict(inputs: NDArray[Any]) -> Prediction:
        with safe_open(path, "pt") as file:
            parts = {name: Part(*each) for name, each in json.loads(file.metadata()["modules"]).items()}
        return _predict_rows(kept.problem, parts, _build_module(parts, load_file(path), kept.problem), inputs)

    return Written(predict, load, f"torch {torch.__version__}")


def write_pt2(kept: Kept, path: Path) -> Written:
    """Write a program of `torch.export`, with its weights."""
    found, buffer = _build_portable(kept), io.BytesIO()
    with torch.no_grad(), _silence_torch():
        model, example, dynamic = _build_example(found, kept)
        torch.export.save(torch.export.export(model, example, dynamic_shapes=dynamic), buffer)
    path.write_bytes(buffer.getvalue())

    def predict(inputs: NDArray[Any]) -> Prediction:
        with _silence_torch():
            program = torch.export.load(io.BytesIO(path.read_bytes())).module()
        return _predict_rows(kept.problem, found.parts, program, inputs)

    call = _write_call("net({0})", "logits, *states = net(token, *states)", found, kept.problem)
    return Written(predict, PT2.format(said=found.said, call=call), f"torch {torch.__version__}")


def write_onnx(kept: Kept, path: Path) -> Written:
    """Write the network as ONNX, whose inputs and outputs have names."""
    import onnxruntime

    found = _build_portable(kept)
    with torch.no_grad(), _silence_torch():
        model, example, dynamic = _build_example(found, kept)
        states = [str(at) for at in range(len(example) - 1)]
        ours, theirs = (
            ["token" if states else "rows", *(f"state{at}" for at in states)],
            ["logits", *(f"next{at}" for at in states)],
        )
        program = torch.onnx.export(
            model, example, dynamo=True, dynamic_shapes=dynamic, input_names=ours, output_names=theirs, verbose=False
        )
        assert program is not None
        program.save(path, external_data=False)

    def predict(inputs: NDArray[Any]) -> Prediction:
        session = onnxruntime.InferenceSession(path.read_bytes())

        def run(*given: Tensor) -> Any:
            named = {name: each.numpy() for name, each in zip(ours, given, strict=True)}
            logits, *left = map(torch.from_numpy, session.run(None, named))
            return (logits, *left) if left else logits

        return _predict_rows(kept.problem, found.parts, run, inputs)

    step = 'logits, *states = net.run(None, {"token": token, "state0": states[0]%s})'
    more = "".join(f', "state{at}": states[{at}]' for at in states[1:])
    call = _write_call('(logits,) = net.run(None, {{"rows": {0}}})', step % more, found, kept.problem)
    return Written(predict, ONNX.format(said=found.said, call=call), f"onnxruntime {onnxruntime.__version__}")


# --- the network ----------------------------------------------------------------------------------------------------


def _build_portable(kept: Kept) -> Portable:
    net = network.build(kept.problem, kept.training, kept.config)
    tensors, forms = portable.to_dense(net, {name: torch.as_tensor(each) for name, each in kept.arrays.items()})
    said = f"# weights that were {' and '.join(forms)} are dense here: equal, and no smaller\n" if forms else ""
    return Portable(net, portable.list_parts(net, tensors), portable.build_state_dict(net, tensors), said)


def _build_module(parts: Mapping[str, Part], weights: Mapping[str, Tensor], problem: Problem) -> nn.Module:
    kind = Step if problem.kind == "language" else Classifier
    model = kind({name: part.build() for name, part in parts.items()})
    model.parts.load_state_dict(dict(weights))
    return model.eval()


def _build_example(found: Portable, kept: Kept) -> tuple[nn.Module, tuple[Tensor, ...], Any]:
    """Build the model, inputs of two rows, and the names of their sizes that may vary."""
    model, batch = _build_module(found.parts, found.weights, kept.problem), torch.export.Dim("batch")
    rows = torch.as_tensor(np.resize(kept.rows, (2, *kept.rows.shape[1:])))
    if not found.net.tokens:
        return model, (rows.float(),), ({0: batch},)
    states = portable.build_start(found.parts, 2)
    return model, (rows[:, 0].long(), *states), ({0: batch}, tuple({1: batch} for _ in states))


@contextmanager
def _silence_torch() -> Iterator[None]:
    """Silence torch's warnings about its own insides."""
    logger, level = logging.getLogger("torch.onnx"), logging.getLogger("torch.onnx").level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)


# --- predictions ----------------------------------------------------------------------------------------------------


@torch.no_grad()
def _predict_rows(problem: Problem, parts: Mapping[str, Part], run: Run, inputs: NDArray[Any]) -> Prediction:
    rows = torch.as_tensor(inputs)
    if problem.kind == "language":
        return _predict_following(run, portable.build_start(parts, len(rows)), rows)
    widest = max(part.sizes[1] for part in parts.values()) * rows[0].numel()

    def classes(some: Tensor) -> ClassLogProbs:
        return inference.classes(run(some.float()))

    return inference.in_parts(classes, rows, widest)


def _predict_following(step: Run, states: tuple[Tensor, ...], tokens: Tensor) -> TokenLogProbs:
    """Log probability (N, L - 1) of each token of rows (N, L), given those before it in its row."""
    found = torch.empty(len(tokens), tokens.shape[1] - 1)
    for at, (token, following) in enumerate(zip(tokens.T[:-1], tokens.T[1:], strict=True)):
        logits, *states = step(token.long().contiguous(), *states)
        found[:, at] = logits.gather(1, following[:, None].long())[:, 0] - logits.logsumexp(1)
    return TokenLogProbs(found[None], torch.zeros(1))


# --- how they are loaded --------------------------------------------------------------------------------------------


def _write_torch_lines(found: Portable, problem: Problem) -> str:
    parts = ", ".join(f'"{name}": {part}' for name, part in found.parts.items())
    names = [name for name in found.parts if name.startswith("rnn")]
    text = problem.kind == "language"
    shape = f"  # {_describe_shape(problem)}"
    if text:
        read = ['net["embedding"](tokens)', *["h"] * len(names)]
        lines = [f'h, {name}_state = net["{name}"]({x}, {name}_state)' for name, x in zip(names, read, strict=False)]
        lines[0] += "  # tokens (B, T); states are None at first"
    else:
        read = [_write_steps(problem), *["h"] * len(names)]
        lines = [f'h, _ = net["{name}"]({x})' for name, x in zip(names, read, strict=False)]
        lines[0] += shape
    run = (TEXT if text else CLASSES).format(layers="\n".join(lines), outputs=found.net.outputs)
    return TORCH.format(said=found.said, parts=parts, run=run)


def _write_steps(problem: Problem) -> str:
    if len(problem.input_shape) == 2:
        return "rows"
    return "rows.flatten(2)" if problem.time_axis else "rows.transpose(1, 2).flatten(2)"


def _describe_shape(problem: Problem) -> str:
    return f"rows (B, {', '.join(map(str, problem.input_shape))}) of float32"


def _write_call(rows: str, step: str, found: Portable, problem: Problem) -> str:
    """Write the line that runs the loaded network."""
    if problem.kind != "language":
        return f"{'logits = ' if rows.startswith('net') else ''}{rows.format('rows')}  # {_describe_shape(problem)}"
    shapes = ", ".join(f"({each.shape[0]}, B, {each.shape[2]})" for each in portable.build_start(found.parts, 1))
    return f"{step}  # token (B,), int64; states, zeros at first, of {shapes}"
