"""Training steps on a GPU: our spiking methods beside SpikingJelly 2.0 on the papers' VGG-11, over the number of steps.

    pip install --no-deps spikingjelly==2.0.0 loguru
    python -m tests.speed.peers.gpu_steps --output steps.json
    python -m tests.speed.peers.gpu_steps --precision bf16 --steps 6 --output steps-bf16.json

One static batch of 128 images of 3x32x32. Every contender runs whole training steps: forward, backward, SGD. Ours run
as they would in a trial: fused neurons, the update captured as one CUDA graph, channels_last; --kernels eager shows
them without. SpikingJelly runs what it chooses on this machine (the record says which), with our standardised weights
folded in, and under autocast where the precision is bf16.

Rounds are interleaved; a time is the median over rounds of the mean of ten steps between two CUDA events. Memory is the
peak of what the allocator gave out over a step, parameters, gradients and momentum included. Of ours that is the step
which is captured: a replay allocates nothing. One contender is alive at a time, because a graph keeps its memory.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import statistics
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from harness import Batch, Problem, Training
from harness.records.environment import read_commit
from harness_torch.training.architectures import VGG11
from harness_torch.training.graphs import WARMUP_UPDATES

LEARNING_RATE, ROWS, REPEATS, SETTLING = 1e-4, 128, 10, 4
OURS = {
    "saf": ("saf", {}),
    "saf[chunk=T]": ("saf", {"chunk": None}),
    "saf[variant=final]": ("saf", {"variant": "final"}),
    "saf[variant=final,chunk=T]": ("saf", {"variant": "final", "chunk": None}),
    "ottt": ("ottt", {}),
    "ottt[forward=fused]": ("ottt", {"forward": "fused"}),
    "ottt[forward=fused,chunk=T]": ("ottt", {"forward": "fused", "chunk": None}),
    "spike-representation": ("spike-representation", {}),
    "spike-representation[chunk=T]": ("spike-representation", {"chunk": None}),
    "bptt": ("bptt", {}),
}
TARGETS = {  # least speed-up at T = 6
    ("saf[variant=final]", "sj bptt"): 2.3,
    ("saf[variant=final]", "sj ottt"): 4.0,
    ("saf", "sj ottt"): 1.7,
    ("ottt[forward=fused]", "sj ottt"): 1.7,
}


def builder(method: str) -> tuple[type, Callable[[Any], Any]]:
    if method == "saf":
        from harness_saf import SAFOptions
        from harness_saf.learner import build

        return SAFOptions, build
    if method == "ottt":
        from harness_ottt import OTTTOptions
        from harness_ottt.learner import build as build_ottt

        return OTTTOptions, build_ottt
    if method == "bptt":
        from harness_bptt import BPTTOptions
        from harness_bptt.learner import build as build_bptt

        return BPTTOptions, build_bptt
    from harness_spike_representation import SpikeRepresentationOptions
    from harness_spike_representation.learner import build as build_sr

    return SpikeRepresentationOptions, build_sr


class Ours:
    """One of our learners on one batch."""

    def __init__(self, label: str, steps: int, batch: Batch, precision: str, kernels: str) -> None:
        method, given = OURS[label]
        options, build = builder(method)
        chosen = {name: steps if value is None else value for name, value in given.items()}
        shared = {"steps": steps, "architecture": VGG11, "learning_rate": LEARNING_RATE, "kernels": kernels}
        self.learner, self.batch = build(options(**shared, **chosen)), batch
        problem = Problem("classification", tuple(batch.inputs.shape[1:]), 10, ROWS)
        self.state = self.learner.init(problem, Training(0, "cuda", precision, ROWS, None), None)

    def __call__(self) -> None:
        self.learner.update(self.state, self.batch)

    def facts(self) -> dict[str, Any]:
        return dict(self.learner.describe(self.state))


class Theirs:
    """SpikingJelly's OTTT or multi-step BPTT, from the CPU comparison, moved to the GPU."""

    def __init__(self, online: bool, steps: int, batch: Batch, precision: str) -> None:
        from tests.speed.peers import spikingjelly_steps as cpu

        cpu.STEPS = steps
        self.peer = cpu.Peer(Ours("ottt", steps, batch, "fp32", "eager").state.network, batch, online)
        del self.peer.network, self.peer.pairs  # ours, which would count as theirs
        self.peer.net.cuda().to(memory_format=torch.channels_last)
        self.narrow, self.online = precision == "bf16", online

    def __call__(self) -> None:
        with torch.autocast("cuda", torch.bfloat16) if self.narrow else contextlib.nullcontext():
            self.peer()

    def facts(self) -> dict[str, Any]:
        from spikingjelly.activation_based import functional

        if self.online:
            return {"implementation": "OTTTLIFNode, step by step"}
        return {"implementation": functional.neuron_implementation("lif", torch.device("cuda"))["implementation"]}


def contenders(steps: int, batch: Batch, precision: str, kernels: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """By name, each made only when it is wanted."""
    for label in OURS:
        yield label, lambda label=label: Ours(label, steps, batch, precision, kernels)
    yield "sj bptt", lambda: Theirs(False, steps, batch, precision)
    yield "sj ottt", lambda: Theirs(True, steps, batch, precision)


def peak(step: Callable[[], None]) -> int:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated()


def milliseconds(step: Callable[[], None]) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(REPEATS):
        step()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / REPEATS


def measured(steps: int, batch: Batch, precision: str, kernels: str, rounds: int) -> dict[str, dict[str, Any]]:
    """Median milliseconds and peak bytes of each contender; the reason for one that failed."""
    makers = dict(contenders(steps, batch, precision, kernels))
    found: dict[str, dict[str, Any]] = {label: {} for label in makers}
    times: dict[str, list[float]] = {label: [] for label in makers}
    for index in range(rounds):
        for label in list(makers) if index % 2 else reversed(list(makers)):
            if "failed" in found[label]:
                continue
            try:
                found[label], took = run(makers[label])
                times[label].append(took)
            except Exception as error:
                found[label] = {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}
            gc.collect()
            torch.cuda.empty_cache()
    for label, row in found.items():
        if "failed" not in row:
            row["milliseconds"] = statistics.median(times[label])
    return found


def run(make: Callable[[], Any]) -> tuple[dict[str, Any], float]:
    """Peak bytes and facts of a fresh contender, and the milliseconds of a steady step."""
    # Each contender brings a stream, for which cuBLAS gets working space: let its own count for it, not those before.
    torch._C._cuda_clearCublasWorkspaces()
    before = torch.cuda.memory_allocated()
    step = make()
    for _ in range(WARMUP_UPDATES):
        step()
    peak_bytes = peak(step) - before
    for _ in range(SETTLING):
        step()
    took = milliseconds(step)
    return {"peak_bytes": peak_bytes, **step.facts()}, took


def show(steps: int, found: dict[str, dict[str, Any]]) -> None:
    print(f"\nT={steps}\n{'contender':32} {'ms/step':>9} {'peak MB':>9} {'/ sj bptt':>10} {'/ sj ottt':>10}  ran")
    bases = [found.get(name, {}).get("milliseconds") for name in ("sj bptt", "sj ottt")]
    for label, row in found.items():
        if "failed" in row:
            print(f"{label:32} {row['failed']}")
            continue
        speed = row["milliseconds"]
        ratios = " ".join(f"{speed / base:10.3f}" if base else f"{'':10}" for base in bases)
        ran = ", ".join(f"{name}={row[name]}" for name in ("kernels", "captured", "implementation") if name in row)
        print(f"{label:32} {speed:9.2f} {row['peak_bytes'] / 1e6:9.0f} {ratios}  {ran}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16"), default="tf32")
    parser.add_argument("--kernels", choices=("auto", "eager"), default="auto")
    parser.add_argument("--steps", default="2,4,6,8,16,32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("this compares training steps on a CUDA GPU, and there is none here", file=sys.stderr)
        return 2
    torch.set_float32_matmul_precision("highest" if arguments.precision == "fp32" else "high")
    torch.backends.cudnn.allow_tf32 = arguments.precision != "fp32"
    torch.backends.cudnn.benchmark = True
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(ROWS, 3, 32, 32, generator=generator).cuda()
    batch = Batch(inputs, torch.randint(0, 10, (ROWS,), generator=generator).cuda())
    record: dict[str, Any] = {
        "gpu": torch.cuda.get_device_name(),
        "commit": read_commit(),
        "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version(),
        "spikingjelly": version("spikingjelly"),
        "precision": arguments.precision,
        "kernels": arguments.kernels,
        "rows": ROWS,
        "rounds": arguments.rounds,
        "steps": {},
    }
    for steps in map(int, arguments.steps.split(",")):
        found = measured(steps, batch, arguments.precision, arguments.kernels, arguments.rounds)
        record["steps"][steps] = found
        show(steps, found)
        torch.cuda.empty_cache()
    for (ours, peer), least in TARGETS.items():
        six = record["steps"].get(6, {})
        if "milliseconds" in six.get(ours, {}) and "milliseconds" in six.get(peer, {}):
            speedup = six[peer]["milliseconds"] / six[ours]["milliseconds"]
            print(f"{ours} is {speedup:.2f} x as fast as {peer} at T=6; target {least}")
    if arguments.output:
        arguments.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
