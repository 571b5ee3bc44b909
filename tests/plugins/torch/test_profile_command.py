"""`harness profile`: the trace, the table, and both for an update whose costs are known."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace

import pytest

from harness import UsageError, rehearse
from harness.catalog import Settings, load_catalog
from harness.cli import main
from harness_torch.profiling import operator_trace
from harness_torch.profiling.profile_command import QUIET

PLUGIN = """
    import torch
    from dataclasses import dataclass
    from harness import *
    import numpy as np

    @dataclass(frozen=True)
    class Config:
        optimizer: bool = True
        path: str = "plain"

    class Linear:
        "One linear layer of 8 inputs and 3 classes, cross entropy, SGD."

        def __init__(self, config):
            self.config = config

        def init(self, problem, training, base):
            if problem.input_shape != (8,):
                raise Unsupported("eight numbers are needed")
            weight = torch.zeros(3, 8) if base is None else base["weight"].clone()
            self.updates, self.seed = 0, training.seed
            weight.requires_grad_()
            return weight, torch.optim.SGD([weight], 0.1)

        def update(self, state, batch):
            self.updates += 1
            weight, optimizer = state
            loss = torch.nn.functional.cross_entropy(batch.inputs @ weight.T, batch.targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return state, {"loss": loss.detach()}

        def save(self, state):
            return {"weight": state[0].detach()}

    class Wide(Linear):
        def update(self, state, batch):
            torch.zeros(1024, 256)  # a mebibyte
            return super().update(state, batch)

    def load(config, seed, folder):
        rng = np.random.default_rng(seed)
        split = Batch(rng.normal(size=(40, 8)).astype(np.float32), rng.integers(0, 3, 40))
        return Data(Problem("classification", (8,), 3, 40), split, split, split)

    def load_other(config, seed, folder):
        split = Batch(np.zeros((4, 2), np.float32), np.zeros(4, np.int64))
        return Data(Problem("classification", (2,), 3, 4), split, split, split)

    @hookimpl
    def harness_methods():
        yield Method("linear", "x", Linear, ("classification",), config=Config)
        yield Method("wide", "x", Wide, ("classification",), config=Config)
        yield Method("after", "x", Linear, ("classification",), config=Config, starts_from="linear")
        yield Method("other", "x", Linear, ("regression",))

    @hookimpl
    def harness_datasets():
        recipe = Recipe(Budget("updates", 5), 10)
        yield Dataset("eight", "x", "classification", load, recipe=recipe, default=True)
        yield Dataset("two", "x", "classification", load_other, recipe=recipe)
    """


@pytest.fixture
def plugin(tmp_path, monkeypatch) -> str:
    monkeypatch.setenv("HARNESS_PLUGINS", "torch,metrics,executors")
    for name, level in QUIET.items():  # else the command would leave them behind
        monkeypatch.setenv(name, level)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "plugin.py"
    path.write_text(dedent(PLUGIN))
    return str(path)


@pytest.fixture
def harness(plugin, capfd):
    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(["profile", *arguments, "-p", plugin, "--device", "cpu"])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call


@pytest.fixture
def profiled(plugin, tmp_path):
    """The costs of one update by phase and operator, and the trace as it was written."""

    def go(method: str) -> tuple[operator_trace.Profile, dict[tuple[str, str], operator_trace.Cost], list[dict]]:
        catalog = load_catalog(Settings(plugins=(plugin,)))
        found = operator_trace.profile_update(
            rehearse(catalog, method, device="cpu", threads=1), tmp_path / "trace.json"
        )
        events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
        return found, {(cost.phase, cost.operator): cost for cost in found.costs}, events

    return go


def test_calls_are_those_of_one_update_in_their_phases(profiled):
    found, costs, _ = profiled("linear")
    assert costs["forward", "aten::matmul"].calls == 1
    assert costs["forward", "aten::cross_entropy_loss"].calls == 1
    assert costs["backward", "MmBackward0"].calls == 1
    assert costs["backward", "aten::mm"].calls == 1
    assert costs["optimizer", "Optimizer.step#SGD.step"].calls == 1
    assert ("forward", "aten::mm") in costs
    assert found.warmup == operator_trace.WARMUP_UPDATES + 1


def test_self_times_add_up_to_the_update(profiled):
    found, costs, _ = profiled("linear")
    assert sum(cost.cpu_seconds for cost in costs.values()) == pytest.approx(found.seconds, rel=0.02)
    assert [found.time(cost) for cost in found.costs] == sorted(map(found.time, found.costs), reverse=True)


def test_what_an_operator_allocates_is_its_own_even_through_another(profiled):
    _, costs, _ = profiled("wide")
    assert costs["forward", "aten::zeros"].bytes == 1024 * 256 * 4
    assert costs["forward", "aten::empty"].bytes == 0
    assert costs["backward", "aten::mm"].bytes == 3 * 8 * 4


def test_the_trace_holds_one_update_in_chromes_format(profiled):
    _, _, events = profiled("linear")
    names = [event.get("name", "") for event in events if event.get("ph") == "X"]
    assert sum(name.startswith("ProfilerStep") for name in names) == 1
    assert names.count("aten::cross_entropy_loss") == 1
    assert names.count("Optimizer.step#SGD.step") == 1


def test_the_command_writes_the_trace_and_prints_a_table(harness):
    code, out, err = harness(
        "linear[path='a/b:c']", "--seed", "3", "--batch-size", "4", "--rows", "4", "--threads", "1"
    )
    assert code == 0, err
    (path,) = Path("profile").iterdir()
    assert path.name == "linear[path=a_b_c]-eight.json"
    assert json.loads(path.read_text())["traceEvents"]
    assert str(path) in out
    assert "on eight: seed 3, batch 4, cpu, fp32, 1 thread" in out
    for word in ("phase", "operator", "calls", "self time [ms]", "share", "allocated [KiB]", "other operators"):
        assert word in out
    table = out.splitlines()[3:-2]
    assert len(table) == 2 + 4 + 1 + 3  # heads, operators, the others, phases


def test_the_output_goes_where_it_is_told(harness, tmp_path):
    code, out, _ = harness("linear", "--output", "deep/er/trace.json", "--datasets", "eight[train=20]")
    assert code == 0
    assert "on eight[train=20]" in out
    assert json.loads((tmp_path / "deep/er/trace.json").read_text())["traceEvents"]


def test_a_method_that_starts_from_another_is_profiled_from_arrays_of_a_few_updates(harness):
    code, out, err = harness("after")
    assert code == 0, err
    assert "linear, which it starts from, has had a few updates alone" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["linear[optimizer=[yes,no]]"], ["one method", "linear on eight", "linear[optimizer=False] on eight"]),
        (["linear,wide"], ["one method", "linear on eight", "wide on eight"]),
        (["linear,after"], ["one method"]),
        (["linear", "--datasets", "eight,two"], ["one data set"]),
        (["linaer"], ["linaer", "did you mean 'linear'"]),
        (["other"], ["other takes regression"]),
        (["linear", "--datasets", "two"], ["linear on two: eight numbers are needed"]),
        (["linear", "--precision", "fp4"], ["--precision fp4"]),
        (["linear", "--output", "plugin.py/x.json"], ["--output plugin.py/x.json"]),
    ],
)
def test_a_mistake_is_said_in_a_line_and_leaves_no_trace(harness, arguments, words):
    code, out, err = harness(*arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) <= 2
    assert all(word in err for word in words)
    assert not Path("profile").exists()


def test_weights_and_order_are_those_of_the_seed(plugin):
    catalog = load_catalog(Settings(plugins=(plugin,)))
    first, second = (rehearse(catalog, "linear", seed=seed, device="cpu") for seed in (0, 1))
    assert first.learner.seed != second.learner.seed
    assert not next(first.batches).inputs.equal(next(second.batches).inputs)
    with pytest.raises(UsageError):
        rehearse(catalog, "linear", seed=-1)


def test_the_profiler_says_nothing_of_its_own(plugin):
    command = [sys.executable, "-m", "harness", "profile", "linear", "-p", plugin, "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("linear on eight")


def test_the_command_is_listed_without_torch():
    listing = "import sys; from harness.cli import main; main(['--help']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "profile" in done.stdout


def test_kernels_that_no_operator_launched_are_told_by_name():
    def on_host(name, **kernels):
        named = [SimpleNamespace(name=kernel, duration=took) for kernel, took in kernels.items()]
        return SimpleNamespace(name=name, kernels=named)

    def on_device(name, microseconds):
        return SimpleNamespace(name=name, device_time_total=microseconds)

    host = [
        on_host("aten::mul", scale=7.0),
        on_host("aten::add", add=1.0),
        on_host("Optimizer.step#SGD.step"),
        on_host("cudaGraphLaunch"),
    ]
    long = "void neurons<" + "float, " * 40 + ">"
    device = [
        on_device("scale", 5.0),  # in a graph
        on_device("scale", 7.0),  # for the operator
        on_device("add", 1.0),
        on_device(long, 2.0),
        on_device(long, 4.0),
        on_device("Optimizer.step#SGD.step", 900.0),  # a range, as the device mirrors it
        on_device("ProfilerStep#1", 900.0),
    ]
    costs = operator_trace.launched_by_no_operator(host, device)
    found = {cost.operator: (cost.phase, cost.calls, cost.device_seconds) for cost in costs}
    name = next(name for name in found if name.startswith("neurons<float"))
    assert len(name) == operator_trace.LONGEST_NAME
    assert found == {"scale": ("kernels", 1, pytest.approx(5e-6)), name: ("kernels", 2, pytest.approx(6e-6))}


@pytest.mark.gpu
def test_a_captured_update_is_shown_kernel_by_kernel(tmp_path):
    method = "saf[architecture=8C3-GAP-FC,steps=2]"
    found = operator_trace.profile_update(
        rehearse(load_catalog(Settings()), method, device="cuda"), tmp_path / "trace.json"
    )
    kernels = [cost for cost in found.costs if cost.phase == "kernels"]
    assert {"accumulate", "differentiate"} <= {cost.operator for cost in kernels}
    assert sum(cost.device_seconds for cost in kernels) > sum(map(found.time, found.costs)) / 2
    assert "kernels" in operator_trace.format_table(found, 5)
