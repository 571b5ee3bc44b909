"""Of what --refit trains anew: the chosen, what they start from, and nothing else; and what it says where it cannot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import main
from harness.records.store import Store

HERE = Path(__file__).parent
PLUGIN = """
import os
import threading
from dataclasses import dataclass, replace

import folded
from harness import Batch, Dataset, Method, hookimpl, option


@dataclass(frozen=True)
class Options(folded.Options):
    less: float = option(0.0, "how far it shrinks")


class Shrinks(folded.Creeps):
    def init(self, problem, training, base):
        return float(base["mean"]) * (1 - self.options.less)


class Creeps(folded.Creeps):
    def update(self, state, batch):
        if "GATE" in os.environ and len(batch.inputs) > 20:  # the training rows of the first stage are no more
            gate = open(os.environ["GATE"], "w")
            threading.Event().wait()
        return super().update(state, batch)

    def save(self, state):
        import numpy as np
        return {"mean": np.array(state)}


def bare(config, seed, folder):
    data = folded.load(config, seed, folder)
    return replace(data, valid=Batch(data.valid.inputs[:0], data.valid.targets[:0]))


@hookimpl
def harness_methods():
    yield Method("walks", "to the mean", Creeps, ("regression",), config=folded.Options)
    base = lambda config: f"walks[rate={config.rate},size={config.size}]"
    yield Method("shrinks", "after it", Shrinks, ("regression",), config=Options, starts_from=base)


@hookimpl
def harness_datasets():
    yield Dataset("bare", "no validation", "regression", bare, recipe=folded.Recipe(folded.Budget("updates", 2), 4))
"""
CHOOSE = ("--seeds", "2", "--select", "rmse@valid", "--refit")


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Call `harness run` on the tiny plugins in this process: exit code, standard output, standard error."""
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics,executors")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(HERE)
    Path("based.py").write_text(PLUGIN)
    plugins = [str(HERE / "tiny.py"), str(HERE / "folded.py"), "based.py"]

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(["run", "--here", *arguments, *(word for plugin in plugins for word in ("-p", plugin))])
        return code, *capsys.readouterr()

    return call


def anew() -> list[str]:
    """The labels of what was trained anew, each with its seed."""
    found, _ = Store(Path("results")).read_newest()
    return sorted(f"{each.trial.method.label} {each.trial.seed}" for each in found if each.trial.refit)


def test_of_what_others_start_from_only_that_of_the_chosen_is_trained_anew(run):
    code, _, err = run("--methods", "shrinks[size=[1,2,3],less=[0.0,0.9]]", *CHOOSE)
    assert code == 0, err
    chosen = [label for label in anew() if label.startswith("shrinks")]
    bases = [label for label in anew() if label.startswith("walks")]
    assert len(chosen) == len(bases) == 2
    sizes = [label.partition("size=")[2].partition("]")[0].partition(",")[0] for label in (*chosen, *bases)]
    assert sizes[:2] == sizes[2:]


def test_one_that_is_asked_for_by_name_is_a_row_of_its_own(run):
    code, _, err = run("--methods", "walks,shrinks[size=2]", *CHOOSE)
    assert code == 0, err
    assert anew() == [
        *(f"shrinks[size=2] {seed}" for seed in (0, 1)),
        *(f"walks {seed}" for seed in (0, 1)),
        *(f"walks[size=2] {seed}" for seed in (0, 1)),
    ]


def test_the_only_configuration_is_trained_anew_and_that_is_said(run):
    code, out, err = run("--methods", "creeps,walks[rate=[0.1,0.5]]", *CHOOSE)
    assert code == 0, err
    assert "nothing to choose from, trained anew all the same: creeps\n" in err
    assert {label.partition("[")[0].partition(" ")[0] for label in anew()} == {"creeps", "walks"}
    _, out, _ = run("--methods", "creeps", *CHOOSE, "--dry-run")
    assert "nothing to choose from, trained anew all the same: creeps\n" in out


def test_where_nothing_can_be_chosen_the_run_has_not_done_what_was_asked(run):
    code, out, err = run("--methods", "creeps[rate=[0.1,0.5]]", "--datasets", "bare", *CHOOSE)
    assert (code, anew()) == (1, [])
    why = "creeps[rate=[0.1,0.5]] on bare: no trial ended with rmse@valid\n"
    assert (
        f"no second stage: validation chose nothing, so nothing is trained anew\nnothing is trained anew of {why}"
        in err
    )
    assert "creeps[rate=0.5]" in out


def test_a_data_set_without_validation_rows_is_named_beside_one_with(run):
    code, _, err = run("--methods", "creeps[rate=[0.1,0.5]]", "--datasets", "lines,bare", *CHOOSE)
    assert code == 1
    assert "second stage: 2 trials" in err
    assert "nothing is trained anew of creeps[rate=[0.1,0.5]] on bare: no trial ended with rmse@valid\n" in err


@pytest.mark.xdist_group("processes")
def test_a_second_stage_that_is_ended_goes_on_with_the_same_command(run, tmp_path, monkeypatch):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    asked = ["run", "--methods", "walks[rate=[0.1,0.5]]", "--batch-size", "25", *CHOOSE]
    plugins = [word for name in (HERE / "tiny.py", HERE / "folded.py", "based.py") for word in ("-p", str(name))]
    environment = os.environ | {"GATE": str(gate), "PYTHONPATH": str(HERE)}
    command = [sys.executable, "-m", "harness", *asked, *plugins]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        with gate.open() as pipe:
            process.send_signal(signal.SIGTERM)
            assert pipe.read() == ""  # until the process of the trial has ended
        _, err = process.communicate()
    assert process.returncode == 143, err
    assert "second stage: 2 trials" in err
    assert "0 of 2 trials ended and are kept in results; the same command goes on" in err
    assert (len(Store(Path("results")).read_newest()[0]), anew()) == (4, [])
    code, _, err = run(*asked[1:])
    assert code == 0, err
    assert "4 of 4 trials have a record; 0 to run\nsecond stage: 2 trials" in err
    assert [label.rpartition(" ")[2] for label in anew()] == ["0", "1"]


def test_the_only_record_is_named_where_another_is_asked_for(run, capsys):
    assert run("--methods", "creeps", "--seeds", "1")[0] == 0
    assert main(["show", "walks/lines/0"]) == 2
    assert "; the only record is creeps/lines/0\n" in capsys.readouterr().err
