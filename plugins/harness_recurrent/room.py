"""Whether an update fits into memory: back-propagation through time keeps the states of all steps of all rows."""

from __future__ import annotations

from pathlib import Path

import torch

from harness import Problem, Training
from harness_recurrent.config import GATES, NetworkOptions
from harness_recurrent.network import Network
from harness_torch.backend.device_memory import free_bytes

SMAPS = Path("/proc/self/smaps_rollup")


def require_room(net: Network, problem: Problem, training: Training, options: NetworkOptions) -> None:
    """Require room for an update. Raises MemoryError where it keeps more than device or trial have left."""
    steps = problem.window if net.tokens else _count_steps(problem)
    rows = training.batch_size if net.tokens else min(training.batch_size, problem.train_size)
    each, (left, said, more) = count_row_bytes(net, steps, options.hidden), _find_limit(training)
    weights = 2 * count_weights(net, options) * net.types.parameters.itemsize  # and their gradients
    if weights + rows * each <= left:
        return
    fitting = max(0, int((left - weights) // each))
    instead = f"give --batch-size {fitting}" if fitting else "give fewer nodes, or shorter sequences"
    raise MemoryError(
        f"an update keeps {_format_size(weights + rows * each)} at least, "
        f"{_format_size(weights)} of weights and gradients and the states of {rows:,} rows over {steps:,} steps, "
        f"and {said}, "
        f"in which {fitting:,} rows have room; {instead}{more}"
    )


def _find_limit(training: Training) -> tuple[int, str, str]:
    """Bytes that are left, of the device or within the trial's own limit; in words; and a further remedy."""
    there = free_bytes(training.device)
    of_device = there, f"{_format_size(there)} of memory are free", ""
    if training.memory is None or torch.device(training.device).type == "cuda":
        return of_device
    # In a profiled pass the allocator still holds what the timed one has given back, and gives it again.
    left = max(0, training.memory - (0 if training.eager else count_held_bytes()))
    if there <= left:
        return of_device
    return (
        left,
        f"{_format_size(left)} are left of the {_format_size(training.memory)} that the trial may hold",
        ", or more --memory",
    )


def count_weights(net: Network, options: NetworkOptions) -> int:
    """Weights of a network before it is made smaller, without biases."""
    m, gates = options.hidden, GATES[net.cell]
    own = 0 if net.cell == "mingru" else m
    cells = gates * m * (net.inputs + (net.layers - 1) * m + net.layers * own)
    return cells + (0 if options.tied else net.outputs * m) + (net.outputs * net.inputs if net.tokens else 0)


def count_row_bytes(net: Network, steps: int, hidden: int) -> int:
    """The least that an update keeps of one row: inputs, states of each layer and the errors of one.

    Of gated cells the gates besides, of a language the logits.
    """
    gates = 0 if net.cell in ("irnn", "elman") else GATES[net.cell]
    numbers = net.inputs + (net.layers + 1 + gates * net.layers) * hidden
    numbers += net.outputs if net.tokens else 0
    return steps * numbers * net.types.compute.itemsize


def count_held_bytes() -> int:
    """Bytes that this process keeps from others, as its limit counts them; 0 of a system that does not say."""
    lines = SMAPS.read_text().splitlines() if SMAPS.exists() else []
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:")))


def _count_steps(problem: Problem) -> int:
    return problem.input_shape[0] if problem.time_axis else problem.input_shape[1]


def _format_size(number: float) -> str:
    return f"{number / 2**30:,.1f} GiB" if number >= 2**30 else f"{number / 2**20:,.1f} MiB"
