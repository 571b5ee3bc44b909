"""One steady update under torch's profiler: a trace, and the cost of each operator.

Phases come from ranges that torch itself writes into the trace: the engine's node around each backward function, the
range around the `step` of a torch.optim optimiser; everything else is forward. A backward or step written by hand is
shown as forward here. Kernels that no operator launches, those of a captured CUDA graph above all, are shown one by
one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from tabulate import tabulate
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity

from harness import Rehearsal

WARMUP_UPDATES = 5
ENGINE = "autograd::engine::evaluate_function: "
OPTIMIZER = "Optimizer.step#"
STEP = "ProfilerStep"
BETWEEN = "between operators (Python)"
MEMORY = "[memory]"
ALLOCATING = ("aten::empty", "aten::new_empty", "aten::resize_")

LONGEST_NAME = 80  # of a kernel, whose name in full is a paragraph of C++

Phase: TypeAlias = Literal["forward", "backward", "optimizer", "kernels", ""]


@dataclass
class Cost:
    """Cost of all calls of one operator in one phase by themselves, without the operators that they call.

    bytes: all that it allocates, whenever that is freed, through the operators that only allocate too.
    """

    phase: Phase
    operator: str
    calls: int = 0
    cpu_seconds: float = 0.0
    device_seconds: float = 0.0
    bytes: int = 0


@dataclass(frozen=True)
class Profile:
    """One update: `seconds` on the host's clock, `warmup` updates before it, costs with the greatest first.

    On a GPU time is that of its kernels, on a CPU that of the host.
    """

    costs: tuple[Cost, ...]
    seconds: float
    warmup: int
    on_gpu: bool

    def time(self, cost: Cost) -> float:
        """Seconds on the device where the trial computes."""
        return cost.device_seconds if self.on_gpu else cost.cpu_seconds


def profile_update(rehearsal: Rehearsal, path: Path) -> Profile:
    """Run a few updates, profile one, and write its trace to `path` in Chrome's format."""
    device = torch.device(rehearsal.trial.terms.device)
    state = rehearsal.state
    for _ in range(WARMUP_UPDATES):
        state, _ = rehearsal.learner.update(state, next(rehearsal.batches))
    # The profiler's own first steps are slow as well: one more update goes by before it records.
    schedule = torch.profiler.schedule(wait=0, warmup=1, active=1, repeat=1)
    with torch.profiler.profile(
        activities=_list_activities(device), schedule=schedule, profile_memory=True, acc_events=True
    ) as profiler:
        for _ in range(2):
            batch = next(rehearsal.batches)
            state, _ = rehearsal.learner.update(state, batch)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            profiler.step()
    profiler.export_chrome_trace(str(path))
    return _summarise_events(list(profiler.events() or ()), device)


def format_table(found: Profile, rows: int) -> str:
    """Format the costliest operators as text, the cost of the others together, and the sums by phase."""
    shown, others = found.costs[:rows], found.costs[rows:]
    lines = [_format_line(found, cost.phase, cost.operator, [cost]) for cost in shown]
    lines += [_format_line(found, "", f"{len(others)} other operators", others)] if others else []
    for phase in ("forward", "backward", "optimizer", "kernels"):
        costs = [cost for cost in found.costs if cost.phase == phase]
        lines += [_format_line(found, phase, "all", costs)] if costs or phase != "kernels" else []
    heads = ["phase", "operator", "calls", "self time [ms]", "share", "allocated [KiB]"]
    aligned = ("left", "left", *["right"] * 4)
    return tabulate(lines, heads, "simple", disable_numparse=True, colalign=aligned) + "\n"


def _list_activities(device: torch.device) -> list[ProfilerActivity]:
    return [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]


def _summarise_events(events: list[FunctionEvent], device: torch.device) -> Profile:
    on_gpu = device.type == "cuda"
    on_host, on_device = ([each for each in events if each.device_type.name == kind] for kind in ("CPU", "CUDA"))
    found = [*_sum_costs(on_host), *launched_by_no_operator(on_host, on_device)]
    costs = sorted(found, key=lambda cost: cost.device_seconds if on_gpu else cost.cpu_seconds, reverse=True)
    seconds = sum(event.cpu_time_total for event in on_host if event.name.startswith(STEP)) / 1e6
    return Profile(tuple(costs), seconds, WARMUP_UPDATES + 1, on_gpu)


def _sum_costs(events: Iterable[FunctionEvent]) -> Iterable[Cost]:
    summed: dict[tuple[Phase, str], Cost] = {}

    def cost(event: FunctionEvent) -> Cost:
        key = _find_phase(event), _name_operator(event)
        return summed.setdefault(key, Cost(*key))

    for event in events:
        if event.name == MEMORY:  # memory that is freed between operators
            continue
        own = cost(event)
        own.calls += not event.name.startswith(ENGINE)
        own.cpu_seconds += event.self_cpu_time_total / 1e6
        own.device_seconds += event.self_device_time_total / 1e6
        allocated = event.self_cpu_memory_usage + event.self_device_memory_usage
        cost(_find_allocating(event)).bytes += max(0, allocated)
    return summed.values()


def launched_by_no_operator(on_host: Iterable[FunctionEvent], on_device: Iterable[FunctionEvent]) -> Iterator[Cost]:
    """Find kernels that no operator launched. Ranges of the host, which the device mirrors, are no kernels."""
    ranges = {event.name for event in on_host}
    costs: dict[str, Cost] = {}
    for event in on_device:
        if event.name not in ranges and not event.name.startswith(STEP):
            cost = costs.setdefault(event.name, Cost("kernels", _shorten_name(event.name)))
            cost.calls += 1
            cost.device_seconds += event.device_time_total / 1e6
    for kernel in (kernel for event in on_host for kernel in event.kernels):
        if kernel.name in costs:
            costs[kernel.name].calls -= 1
            costs[kernel.name].device_seconds -= kernel.duration / 1e6
    yield from (cost for cost in costs.values() if cost.calls > 0)


def _shorten_name(kernel: str) -> str:
    name = kernel.removeprefix("void ")
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _find_allocating(event: FunctionEvent) -> FunctionEvent:
    """Find the operator on whose behalf another one allocates."""
    around = event
    while around.name.startswith(ALLOCATING) and around.cpu_parent is not None:
        around = around.cpu_parent
    return around


def _find_phase(event: FunctionEvent) -> Phase:
    """Find the phase by the nearest range around an operator that names one; the range of an update has none."""
    if event.name.startswith(STEP):
        return ""
    for name in _walk_names(event):
        if name.startswith(ENGINE):
            return "backward"
        if name.startswith(OPTIMIZER):
            return "optimizer"
    return "forward"


def _walk_names(event: FunctionEvent) -> Iterator[str]:
    around: FunctionEvent | None = event
    while around is not None:
        yield around.name
        around = around.cpu_parent


def _name_operator(event: FunctionEvent) -> str:
    """Name an operator: the engine's node as the backward function in it; the whole update's range as Python's time."""
    return BETWEEN if event.name.startswith(STEP) else event.name.removeprefix(ENGINE)


def _format_line(found: Profile, phase: str, operator: str, costs: tuple[Cost, ...] | list[Cost]) -> list[str]:
    whole = sum(map(found.time, found.costs))
    own = sum(map(found.time, costs))
    share = f"{own / whole:.1%}" if whole else "-"
    calls = sum(cost.calls for cost in costs)
    return [phase, operator, str(calls), f"{own * 1e3:.3f}", share, f"{sum(cost.bytes for cost in costs) / 1024:,.0f}"]
