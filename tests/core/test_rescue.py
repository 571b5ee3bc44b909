"""A trial that is trained and scored keeps that, whatever its process dies of over the rest."""

from __future__ import annotations

import textwrap
from functools import cache, partial
from pathlib import Path

import pytest
import tiny

from harness.catalog import Settings, load_catalog
from harness.executors.here import HereExecutor
from harness.executors.local import LocalExecutor
from harness.planning.plan import plan_trials
from harness.records.store import Store
from harness.suites.suite import Request
from harness.types import RunContext

pytestmark = pytest.mark.xdist_group("processes")

PLUGIN = """
    import ctypes, os, signal, sys, threading
    import tiny
    from harness import *

    ACTS = {
        "hangs": lambda: threading.Event().wait(),
        "exits-at-once": lambda: os._exit(7),
        "segfaults": lambda: ctypes.string_at(0),
        "kills-itself": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "interrupts": lambda: raises(KeyboardInterrupt()),
        "eats-memory": lambda: eat(),
        "exits": lambda: sys.exit(3),
    }

    def raises(error):
        raise error

    def eat():
        food = []
        while True:
            food.append(b"x" * 2**24)

    def instrument(name, act):
        class Gauge(tiny.Ruler):
            def readings(self):
                return {f"{name}_depth": 1, **(act() or {})}
        return Gauge

    class Counts(tiny.Counts):
        def __init__(self, config):
            super().__init__(tiny.Prior())

    class Starts(tiny.Starts):
        def __init__(self, config):
            super().__init__(tiny.Prior())

    class Spoilt(Counts):
        def save(self, state):
            raise ValueError("no room")

    @hookimpl
    def harness_methods():
        yield Method("counting", "a method", Counts, ("classification",))
        yield Method("starting", "starts from it", Starts, ("classification",), starts_from="counting")
        yield Method("spoilt", "cannot be saved", Spoilt, ("classification",))
        yield Method("hindered", "starts from that", Starts, ("classification",), starts_from="spoilt")

    calls = []

    def sharpness(outcome):
        calls.append(len(outcome.targets))
        if len(calls) == CALL:
            ACTS[ACT]()
        return 0.5

    @hookimpl
    def harness_metrics():
        for name in ("sharpness", "width") if CALL else ():
            compute = sharpness if name == "sharpness" else lambda outcome: 0.25
            yield Metric(name, "of a plugin", "", "higher", ("classification",), compute, curve=CURVE)

    @hookimpl
    def harness_instruments():
        if CALL:
            return
        yield Instrument("first", "reads", instrument("first", lambda: None), intrusive=INTRUSIVE)
        if ACT:
            yield Instrument("deadly", "ends it", instrument("deadly", ACTS[ACT]), intrusive=INTRUSIVE)
        yield Instrument("last", "reads", instrument("last", lambda: None), intrusive=INTRUSIVE)
"""


def trials_of(
    folder, act, methods, intrusive=True, executor=None, call=0, curve=False, more=(), headline=None, **limits
):
    """The store and the records of a run. call: of the metric that acts; where it is 0, instruments do."""
    source = f"ACT = {act!r}\nINTRUSIVE = {intrusive}\nCALL = {call}\nCURVE = {curve}\n{textwrap.dedent(PLUGIN)}"
    path = folder / f"mine_{act}_{intrusive}.py".replace("-", "_")
    path.write_text(source)
    plugins = ("harness.metrics", "tiny", str(path), *more)
    store = Store(folder / "results")
    store.prepare()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_PLUGINS", "")
        patch.syspath_prepend(Path(tiny.__file__).parent)
        trials = plan_trials(load_catalog(Settings(plugins)), Request(methods=methods, seeds="[0]", headline=headline))
        context = RunContext(store.folder, None, plugins=plugins, **limits)
        return store, list((executor or LocalExecutor()).run(trials, context, lambda *_: None))


@pytest.fixture
def run(tmp_path):
    return partial(trials_of, tmp_path)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """The record of a trial that nothing ends, made once for each way to ask for it."""

    @cache
    def make(**asked):
        _, (record,) = trials_of(tmp_path_factory.mktemp("sound"), None, "counting", **asked)
        return record

    return make


DEATHS = [
    ("hangs", {"timeout": 3.0}, "profiling: stopped at its time limit of 3 s (--timeout)"),
    ("exits-at-once", {}, "profiling: exited with code 7 before it returned a record"),
    ("segfaults", {}, "profiling: killed by SIGSEGV"),
    ("kills-itself", {}, "profiling: killed by SIGKILL, not by this run"),
    ("interrupts", {}, "KeyboardInterrupt (mine_interrupts_"),
    ("eats-memory", {"memory": 2**29}, "profiling: held "),
    ("exits", {}, "called sys.exit(3) (mine_exits_"),
]


@pytest.mark.sampled
@pytest.mark.parametrize("intrusive", [True, False])
@pytest.mark.parametrize(("act", "limits", "reason"), DEATHS, ids=[act for act, *_ in DEATHS])
def test_what_ends_the_process_in_an_instrument_leaves_a_hole_and_the_trial_whole(
    run, sound, act, limits, reason, intrusive
):
    sound = sound(intrusive=intrusive)
    _, (record,) = run(act, "counting", intrusive, **limits)
    assert (record.status, record.reason) == ("ok", "")
    assert record.holes["deadly"].startswith(reason)
    assert record.scores == sound.scores
    assert [point.valid for point in record.curve] == [point.valid for point in sound.curve]
    assert record.measured.keys() - {"bytes_at_death"} == sound.measured.keys()
    assert record.readings["first_depth"] == 1
    if act in ("exits", "interrupts"):
        assert record.readings["last_depth"] == 1
    else:
        assert record.holes["last"] == "not reached: deadly ended the trial"
    if act == "segfaults":
        assert "in readings" in record.traceback


MET = [
    (act, limits, f"{reason}, in metric sharpness")
    for act, limits, reason in [
        ("hangs", {"timeout": 3.0}, "profiling: stopped at its time limit of 3 s (--timeout)"),
        ("exits-at-once", {}, "profiling: exited with code 7 before it returned a record"),
        ("segfaults", {}, "profiling: killed by SIGSEGV (Segmentation fault)"),
    ]
]


@pytest.mark.parametrize(("act", "limits", "reason"), MET, ids=[act for act, *_ in MET])
def test_what_ends_the_process_in_a_plugin_s_metric_leaves_the_harness_s_own_scores(run, sound, act, limits, reason):
    sound = sound(call=99)
    _, (record,) = run(act, "counting", call=1, **limits)
    assert (record.status, record.reason) == ("ok", "")
    assert record.holes["sharpness"] == reason
    assert record.holes["width"] == "not reached: sharpness ended the trial"
    of_plugin = {name for name in sound.scores if name.partition("@")[0] in ("sharpness", "width")}
    assert of_plugin == {"sharpness", "sharpness@valid", "width", "width@valid"}
    assert record.scores == {name: value for name, value in sound.scores.items() if name not in of_plugin}


@pytest.mark.parametrize(("act", "limits", "reason"), MET, ids=[act for act, *_ in MET])
def test_on_the_curve_it_costs_what_the_metric_would_have_said_there(run, sound, act, limits, reason):
    sound = sound(call=99, curve=True)
    _, (record,) = run(act, "counting", call=3, curve=True, **limits)  # at the end it is called twice
    assert (record.status, record.reason) == ("ok", "")
    lost = {"sharpness@best", "sharpness@valid-best"}
    assert record.scores == {name: value for name, value in sound.scores.items() if name not in lost}
    why = f"computed at the end alone; on the way, {reason.removeprefix('profiling: ')}"
    assert record.holes == dict.fromkeys(lost, why)
    assert len(record.curve) == len(sound.curve)


def test_where_it_ends_the_process_wherever_it_is_asked_the_trial_is_whole_but_for_it(run):
    _, (record,) = run("exits-at-once", "counting", call=1, curve=True)
    assert (record.status, record.reason) == ("ok", "")
    assert record.holes["sharpness"].endswith("exited with code 7 before it returned a record, in metric sharpness")
    assert "accuracy@best" in record.scores


def test_one_that_decides_the_best_point_costs_the_trial(run):
    _, (record,) = run("exits-at-once", "counting", call=3, curve=True, headline="sharpness")
    assert record.status == "failed"
    why = "exited with code 7 before it returned a record, in metric sharpness, which decides the best point"
    assert record.reason == why


def test_the_reason_names_an_instrument_that_ends_the_process_while_it_accompanies_training(run, tmp_path):
    path = tmp_path / "pausing.py"
    path.write_text(
        "import os\nimport tiny\nfrom harness import Instrument, hookimpl\n"
        "class Gauge(tiny.Ruler):\n    def pause(self):\n        os._exit(9)\n"
        "@hookimpl\ndef harness_instruments():\n    yield Instrument('looker', 'looks on', Gauge, intrusive=False)\n"
    )
    _, (record,) = run(None, "counting", more=(str(path),))
    assert record.reason == "exited with code 9 before it returned a record, in instrument looker"


def test_trained_arrays_are_kept_and_what_starts_from_them_goes_on(run):
    store, (base, record) = run("exits-at-once", "starting")
    assert (base.status, record.status) == ("ok", "ok")
    assert store.locate_weights(base.trial.key).exists()
    assert not list(store.trials.glob("*.part"))
    assert "accuracy@start" in record.scores


@pytest.mark.parametrize("executor", [LocalExecutor(), HereExecutor()])
def test_arrays_that_cannot_be_saved_cost_what_starts_from_them_and_it_says_why(run, executor):
    _, (base, record) = run(None, "hindered", executor=executor)
    assert base.status == "ok"
    assert base.scores
    assert base.holes["save"].startswith("ValueError: no room (mine_None_True.py line ")
    assert record.status == "skipped"
    assert record.reason == f"starts from spoilt, whose trained arrays were not saved: {base.holes['save']}"


def test_here_a_trial_that_ends_itself_is_whole_too(run):
    _, (record,) = run("exits", "counting", executor=HereExecutor())
    assert (record.status, record.holes["deadly"].startswith("called sys.exit(3)")) == ("ok", True)
