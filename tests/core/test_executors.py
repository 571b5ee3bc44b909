"""Executors: order, isolation, dependencies, parallel slots, limits of the run itself."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import faulty
import numpy as np
import pytest
from faulty import context, gone, told, trial, wait_for

import harness.executors
import harness_torch
from harness.catalog import Catalog, resolve
from harness.errors import HarnessError
from harness.executors.here import HereExecutor
from harness.executors.local import LocalExecutor
from harness.records.store import Store
from harness.types import Budget, Choice, RunContext, TrainingTerms, Trial

both = pytest.mark.parametrize("executor", [LocalExecutor("faulty:task"), HereExecutor("faulty:task")])


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(Path(faulty.__file__).parent)


def run(folder, *trials, executor=None, progress=lambda trial, progress: None, **limits):
    executor = executor or LocalExecutor("faulty:task")
    return list(executor.run(trials, context(folder, **limits), progress))


def outcomes(records):
    return {record.trial.key: (record.status, record.reason) for record in records}


# --- one after the other ------------------------------------------------------------------------------------------


def test_both_are_offered_and_listing_them_loads_neither():
    offers = Catalog.of(harness.executors).executors.values()
    assert {offer.name: type(resolve(offer.factory)()) for offer in offers} == {
        "local": LocalExecutor,
        "here": HereExecutor,
    }
    code = "import sys, harness.executors; print([m for m in sys.modules if m.startswith('harness.executors.')])"
    listed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert listed.stdout == "[]\n"


@both
def test_records_come_in_the_order_of_the_trials_as_each_ends(tmp_path, executor):
    trials = [trial("good", key) for key in "cab"]
    told = []
    seen = []
    for record in executor.run(trials, context(tmp_path), lambda trial, news: told.append((trial.key, news))):
        seen.append([(record.trial.key, record.status), *[(key, news.phase) for key, news in told]])
        assert told[-1][1].point.valid == {"accuracy": 0.5}
        told.clear()
    assert seen == [[(key, "ok"), (key, "start"), (key, "train")] for key in "cab"]


def test_every_trial_has_a_fresh_process(tmp_path):
    first, spoiler, second = run(tmp_path, trial("good", "1"), trial("spoils-its-process"), trial("good", "2"))
    assert spoiler.status == "ok"
    assert len({os.getpid(), first.facts["pid"], second.facts["pid"]}) == 3
    assert first.facts["server"] == second.facts["server"] != os.getpid()
    assert first.facts["cwd"] == second.facts["cwd"] == str(Path.cwd())
    assert second.facts["threads"] == 1


def test_the_record_is_of_the_very_trial_that_was_handed_in(tmp_path):
    handed = replace(trial("good"), parts={"tuple": (1, 2)})
    assert run(tmp_path, handed)[0].trial is handed


def test_here_means_in_this_process(tmp_path):
    record = run(tmp_path, trial("good"), executor=HereExecutor("faulty:task"))[0]
    assert record.facts["pid"] == os.getpid()


@pytest.mark.parametrize(
    ("act", "status", "reason"),
    [
        ("raises", "failed", "ValueError: the weights are"),
        ("calls-exit", "failed", "called sys.exit(3)"),
        ("runs-out-of-memory", "oom", "MemoryError: no room for 3 tensors"),
        ("returns-a-list", "failed", "faulty:task returned list, not a Record"),
    ],
)
def test_here_what_is_raised_is_a_record_too(tmp_path, act, status, reason):
    records = run(tmp_path, trial(act), trial("good"), executor=HereExecutor("faulty:task"))
    assert outcomes(records) == {act: (status, reason), "good": ("ok", "")}


def test_here_an_interrupt_ends_the_run(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, trial("interrupts-itself"), executor=HereExecutor("faulty:task"))


# --- memory -------------------------------------------------------------------------------------------------------


def test_a_trial_is_told_the_limit_that_it_runs_under(tmp_path, monkeypatch):
    asked = run(tmp_path, trial("memory"), memory=5 * 2**30)[0]
    assert asked.facts == {"memory": 5 * 2**30}
    monkeypatch.setattr("harness.executors.linux.available_bytes", lambda: 10 * 2**30)
    assert run(tmp_path, trial("memory"), workers=2)[0].facts == {"memory": 4 * 2**30}
    monkeypatch.setattr("harness.executors.linux.available_bytes", lambda: None)
    assert run(tmp_path, trial("memory"))[0].facts == {"memory": None}


# --- dependencies -------------------------------------------------------------------------------------------------


@both
def test_what_starts_from_a_trial_that_failed_is_skipped(tmp_path, executor):
    base = trial("raises", "base")
    middle = trial("good", "middle", base)
    records = run(tmp_path, base, middle, trial("good", "last", middle), trial("good", "other"), executor=executor)
    assert outcomes(records) == {
        "base": ("failed", "ValueError: the weights are"),
        "middle": ("skipped", "starts from raises, which failed: ValueError: the weights are"),
        "last": (
            "skipped",
            "starts from good, which was skipped: starts from raises, which failed: ValueError: the weights are",
        ),
        "other": ("ok", ""),
    }


@both
def test_a_trial_waits_for_its_base_but_nobody_else_does(tmp_path, executor):
    base = trial("good", "base")
    trials = [trial("good", "tuned", base), trial("good", "other"), base]
    assert [r.trial.key for r in run(tmp_path, *trials, executor=executor)] == ["other", "base", "tuned"]


@both
def test_a_base_that_ran_before_is_not_waited_for(tmp_path, executor):
    assert outcomes(run(tmp_path, trial("good", "tuned", trial("good", "base")), executor=executor)) == {
        "tuned": ("ok", "")
    }


@both
def test_a_planned_skip_needs_no_process(tmp_path, executor):
    skipped = trial("good", "no", skip="takes no regression")
    records = run(tmp_path, skipped, trial("good", "on-it", skipped), executor=executor)
    assert outcomes(records) == {
        "no": ("skipped", "takes no regression"),
        "on-it": ("skipped", "starts from good, which was skipped: takes no regression"),
    }


# --- several at a time --------------------------------------------------------------------------------------------


def test_workers_run_at_the_same_time(tmp_path):
    os.mkfifo(tmp_path / "meeting")
    records = run(
        tmp_path, trial("writes-to-the-other"), trial("reads-from-the-other"), trial("good"), workers=2, timeout=60
    )
    assert sorted(record.status for record in records) == ["ok", "ok", "ok"]


def test_a_dependent_waits_while_the_other_worker_goes_on(tmp_path):
    base = trial("hangs", "base")
    others = [trial("good", name) for name in "abc"]
    records = run(tmp_path, base, trial("good", "tuned", base), *others, workers=2, timeout=1)
    assert [record.trial.key for record in records] == ["a", "b", "c", "base", "tuned"]
    assert records[-1].reason.startswith("starts from hangs, which was stopped at its time limit: ")


@pytest.mark.parametrize(
    ("visible", "device", "workers", "seen"),
    [
        (None, "cuda", 2, {"0", "1"}),
        ("5,GPU-7", "cuda", 2, {"5", "GPU-7"}),
        ("5,7", "cuda", 1, {"5,7"}),
        ("5,7", "cpu", 2, {"5,7"}),
    ],
)
def test_each_worker_has_a_gpu_of_its_own(tmp_path, monkeypatch, visible, device, workers, seen):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    trials = [trial("environment", key, device=device) for key in "ab"]
    records = run(tmp_path, *trials, workers=workers)
    assert {record.facts["CUDA_VISIBLE_DEVICES"] for record in records} == seen


# --- the run and its server -----------------------------------------------------------------------------------------


def test_closing_the_iterator_ends_what_runs(tmp_path):
    trials = [trial("hangs-and-ignores-sigterm"), trial("good")]
    records = LocalExecutor("faulty:task").run(trials, context(tmp_path, workers=2), lambda *_: None)
    assert next(records).trial.key == "good"
    wait_for(lambda: len(told(tmp_path)) == 2)
    records.close()
    assert all(gone(pid, seconds=0) for pid in told(tmp_path))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_the_listener_raises_ends_the_run_and_is_no_record(tmp_path, error):
    def listener(trial, news):
        if news.phase == "train":
            wait_for(lambda: told(tmp_path))
            raise error

    with pytest.raises(error):
        run(tmp_path, trial("hangs"), progress=listener)
    assert all(gone(pid, seconds=0) for pid in told(tmp_path))


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
@pytest.mark.xdist_group("processes")
def test_a_run_leaves_no_descriptor_open(tmp_path):
    def descriptors():
        return len(list(Path("/proc/self/fd").iterdir()))

    before = descriptors()
    run(tmp_path, trial("good"), trial("segfaults"), trial("kills-the-server"), trial("hangs"), timeout=0.5)
    assert descriptors() == before


def test_modules_are_imported_once_before_the_trials(tmp_path, monkeypatch):
    (tmp_path / "heavy.py").write_text("open(__file__ + '.seen', 'a').write('x')")
    monkeypatch.syspath_prepend(tmp_path)
    records = run(tmp_path, trial("modules", "1"), trial("modules", "2"), preload=("heavy", "no_such_module"))
    assert all("heavy" in record.facts["modules"] for record in records)
    assert (tmp_path / "heavy.py.seen").read_text() == "x"


def test_a_server_that_cannot_live_ends_the_run_with_a_reason(tmp_path, monkeypatch):
    (tmp_path / "deadly.py").write_text("import os\nos._exit(9)")
    monkeypatch.syspath_prepend(tmp_path)
    assert run(tmp_path, trial("good", skip="no need"), preload=("deadly",))[0].status == "skipped"
    with pytest.raises(HarnessError, match="forked from ended with code 9 before it started one"):
        run(tmp_path, trial("good"), preload=("deadly",))


SCRIPT = """
print("once")
from pathlib import Path
from faulty import context, trial
from harness.executors.local import LocalExecutor
trials = [trial("good", key) for key in "ab"]
print([record.status for record in LocalExecutor("faulty:task").run(trials, context(Path.cwd()), lambda *_: None)])
"""


@pytest.mark.parametrize("arguments", [["script.py"], ["-"], ["-c", SCRIPT], ["-m", "script"], ["-m", "package"]])
def test_a_script_without_a_guard_runs_once(tmp_path, arguments):
    (tmp_path / "package").mkdir()
    for path in (tmp_path / "script.py", tmp_path / "package" / "__main__.py"):
        path.write_text(SCRIPT)
    path = os.pathsep.join([str(Path(faulty.__file__).parent), *sys.path])
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        input=SCRIPT if arguments == ["-"] else "",
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("once\n['ok', 'ok']\n", "")


# --- the real task --------------------------------------------------------------------------------------------------

PLUGIN = '''
"""Two methods on four points: `mean` learns a number, `tuned` starts from it."""
import numpy as np
import torch
from harness import Batch, ClassLogProbs, Data, Dataset, Method, Problem, hookimpl


class Learner:
    def __init__(self, config): pass

    def init(self, problem, training, base):
        return {"weight": base["weight"].clone() + 1 if base else torch.tensor([41.0])}

    def update(self, state, batch): return state, {"loss": state["weight"].sum()}

    def predict(self, state, inputs):
        return ClassLogProbs(torch.log_softmax(torch.stack([inputs[:, 0], -inputs[:, 0]], 1), 1)[None], torch.zeros(1))

    def describe(self, state): return {"weight": float(state["weight"])}

    def save(self, state): return state


class Hopeless(Learner):
    def update(self, state, batch): raise RuntimeError("never learns")


def load(config, seed, folder):
    split = Batch(np.array([[1.0], [-1.0]] * 2, dtype=np.float32), np.array([0, 1] * 2))
    return Data(Problem("classification", (1,), 2, 4), split, split, split)


@hookimpl
def harness_methods():
    kinds = ("classification",)
    yield Method("mean", "", Learner, kinds)
    yield Method("hopeless", "", Hopeless, kinds)
    yield Method("tuned", "", Learner, kinds, starts_from="mean")


@hookimpl
def harness_datasets():
    yield Dataset("points", "", "classification", load)
'''


def real(method, base=None, **rest):
    dataset = Choice("points", {}, {"train": None, "valid": None, "test": None}, "points")
    key = f"{method}-key"
    choice = Choice(method, {}, {}, method)
    terms = TrainingTerms(Budget("updates", 3), 2, "cpu", "fp32", 1)
    return Trial(choice, dataset, 0, terms, base=base, key=key, **rest)


@pytest.fixture
def real_context(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    (tmp_path / "points.py").write_text(PLUGIN)
    store = Store(tmp_path / "results")
    store.prepare()
    plugins = ("harness_torch", "harness.metrics", str(tmp_path / "points.py"))
    (backend,) = Catalog.of(harness_torch).backends.values()
    return RunContext(store.folder, None, plugins=plugins, preload=backend.preload)


@pytest.mark.parametrize("executor", [LocalExecutor(), HereExecutor()])
def test_trained_arrays_pass_from_base_to_dependent(real_context, executor):
    mean = real("mean", keep=True)
    hopeless = real("hopeless", keep=True)
    tuned = replace(real("tuned", hopeless), key="tuned-hopeless")
    records = list(executor.run([mean, real("tuned", mean), hopeless, tuned], real_context, lambda *_: None))
    assert [(record.status, record.reason) for record in records] == [
        ("ok", ""),
        ("ok", ""),
        ("failed", "RuntimeError: never learns (points.py line 25, in update)"),
        ("skipped", "starts from hopeless, which failed: RuntimeError: never learns (points.py line 25, in update)"),
    ]
    assert [record.facts["weight"] for record in records[:2]] == [41.0, 42.0]
    assert [record.scores["accuracy"] for record in records[:2]] == [1.0, 1.0]
    assert np.isfinite(records[0].curve[-1].scalars["loss"])
    kept = {path.name for path in (real_context.results / "trials").iterdir()}
    examples = {"mean-key.examples.npz", "tuned-key.examples.npz"}
    assert kept == {"mean-key.safetensors", "mean-key.predictions.npz", *examples}


def test_missing_arrays_of_a_base_are_named(real_context):
    record = next(HereExecutor().run([real("tuned", real("mean", keep=True))], real_context, lambda *_: None))
    assert record.status == "failed"
    assert record.reason.startswith("starts from mean, whose trained arrays are gone: ")
