"""Trials may do anything: there is one record of it, the others go on, and nothing of it is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import faulty
import pytest
from faulty import context, gone, told, trial, wait_for

from harness.executors import cgroup, forkserver, linux, process, trial_news
from harness.executors.local import LocalExecutor
from harness.running.lock import hold_lock

pytestmark = pytest.mark.xdist_group("processes")

only_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(Path(faulty.__file__).parent)


def run(folder, *trials, **limits):
    return list(LocalExecutor("faulty:task").run(trials, context(folder, **limits), lambda trial, progress: None))


def run_among_good(folder, act, **limits):
    """The record of a fault; those before and after it must be well, and what it told of must be gone."""
    before, record, after = run(folder, trial("good", "before"), trial(act), trial("good", "after"), **limits)
    assert (before.status, after.status) == ("ok", "ok")
    assert record.trial.key == act
    assert record.finished
    for pid in told(folder):
        assert gone(pid), f"process {pid} is left behind"
    return record


PORTABLE = [
    ("raises", "failed", "ValueError: the weights are"),
    ("calls-exit", "failed", "called sys.exit(3)"),
    ("exits-at-once", "failed", "exited with code 7 before it returned a record"),
    ("interrupts-itself", "failed", "KeyboardInterrupt"),
    ("recurses", "failed", "RecursionError"),
    ("segfaults", "killed", "killed by SIGSEGV"),
    ("aborts", "killed", "killed by SIGABRT"),
    ("kills-itself", "killed", "killed by SIGKILL, not by this run"),
    ("kills-its-group", "killed", "killed by SIGTERM"),
    ("kills-the-server", "killed", "the process that trials are forked from died"),
    ("reads-the-terminal", "failed", "EOFError"),
    ("closes-everything", "failed", "exited with code 1"),
    ("closes-everything-and-goes-on", "failed", "closed its connection to this run and went on"),
    ("runs-out-of-memory", "oom", "MemoryError: no room for 3 tensors"),
    ("returns-a-list", "failed", "faulty:task returned list, not a Record"),
    ("returns-what-cannot-be-told", "failed", "its record cannot be handed over: RuntimeError: freed"),
    ("returns-too-much", "failed", "its record cannot be handed over: ValueError"),
    ("returns-a-false-status", "failed", "its record cannot be read: ValueError: status 'splendid'"),
    ("talks-out-of-turn", "failed", "sent a message that cannot be read"),
    ("never-ends-a-line", "failed", "sent a message of more than"),
]


ENDS_BADLY = [*PORTABLE, ("ends-by-a-nameless-signal", "killed", "killed by signal ")]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """The records by key of one run of faults, each followed by a trial that is well.

    Nothing may be left of them. pids: how many processes they tell of at least.
    """

    def go(acts, pids, **limits):
        folder = tmp_path_factory.mktemp("together")
        trials = [each for act in acts for each in (trial(act), trial("good", f"after-{act}"))]
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(Path(faulty.__file__).parent)
            records = run(folder, trial("good", "before"), *trials, **limits)
        assert [record.trial.key for record in records] == ["before", *(each.key for each in trials)]
        assert {record.status for record in records if record.trial.method.name == "good"} == {"ok"}
        assert [pid for pid in told(folder) if not gone(pid)] == []
        assert len(told(folder)) >= pids
        return {record.trial.key: record for record in records}

    return go


@pytest.fixture(scope="module")
def ended_badly(together):
    return together([act for act, *_ in ENDS_BADLY], pids=5)


@pytest.mark.parametrize(("act", "status", "reason"), [*PORTABLE, pytest.param(*ENDS_BADLY[-1], marks=only_linux)])
def test_what_ends_badly_is_a_record_with_status_and_reason(ended_badly, act, status, reason):
    record = ended_badly[act]
    assert (record.status, record.reason) == (status, record.reason)
    assert reason in record.reason
    assert "\n" not in record.reason
    assert record.finished
    assert [point.scalars for point in record.curve] == [{"loss": 2.0}]


def test_a_curve_without_end_is_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(trial_news, "LONGEST_CURVE", 1000)
    record = run_among_good(tmp_path, "never-ends-its-curve")
    assert (record.status, record.reason) == ("failed", "sent a curve of more than 1000 points")


@pytest.mark.parametrize(
    ("act", "words"),
    [
        ("raises", "in raises"),
        ("calls-exit", "in calls_exit"),
        ("interrupts-itself", "in interrupts_itself"),
        ("segfaults", "in segfaults"),
        ("aborts", "in aborts"),
    ],
)
def test_the_traceback_shows_where_it_happened(ended_badly, act, words):
    assert words in ended_badly[act].traceback


ENDLESS = ["hangs", "hangs-in-c", "hangs-and-ignores-sigterm", "stops-itself", "talks-for-ever"]


@pytest.fixture(scope="module")
def endless(together):
    return together(ENDLESS, pids=len(ENDLESS) + 1, timeout=0.5)


@pytest.mark.parametrize("act", ENDLESS)
def test_what_does_not_end_is_stopped_at_its_time_limit(endless, act):
    record = endless[act]
    assert (record.status, record.reason) == ("timeout", "stopped at its time limit of 0.5 s (--timeout)")
    assert record.curve[-1].valid == {"accuracy": 0.5}


def test_a_hang_tells_where_it_was(endless):
    assert "in hangs" in endless["hangs"].traceback


def test_a_server_that_a_trial_stops_is_woken(tmp_path):
    assert run_among_good(tmp_path, "stops-its-server", timeout=60).status == "ok"


def test_a_limit_holds_where_the_server_is_stopped(tmp_path):
    record = run_among_good(tmp_path, "stops-its-server-and-hangs", timeout=0.5)
    assert (record.status, record.reason) == ("timeout", "stopped at its time limit of 0.5 s (--timeout)")


@only_linux
def test_a_server_that_is_stopped_for_good_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(forkserver, "SECONDS_TO_ANSWER", 0.3)
    monkeypatch.setattr(forkserver, "SECONDS_TO_END", 1.0)
    assert run_among_good(tmp_path, "stops-its-server-again-and-again", timeout=60).status == "ok"


def test_who_kills_the_server_costs_nobody_but_itself(tmp_path):
    trials = [
        trial("hangs-the-first-time"),
        trial("kills-the-server-of-another"),
        *(trial("good", key) for key in "ab"),
    ]
    records = run(tmp_path, *trials, workers=2, timeout=60)
    assert {record.trial.key: record.status for record in records} == {
        "hangs-the-first-time": "ok",
        "kills-the-server-of-another": "killed",
        "a": "ok",
        "b": "ok",
    }
    assert len(records) == 4


@only_linux
def test_what_ran_away_ends_even_if_the_server_was_killed(tmp_path):
    act = "leaves-a-daemon-and-kills-the-server"
    for record in LocalExecutor("faulty:task").run([trial(act), trial("good")], context(tmp_path), lambda *_: None):
        assert record.status == ("killed" if record.trial.key == act else "ok")
        assert len(told(tmp_path)) == 3
        assert all(gone(pid, seconds=0) for pid in told(tmp_path)), "it must be gone by the time of the record"


@only_linux
def test_what_is_orphaned_after_the_orphans_were_listed_ends(tmp_path, monkeypatch):
    """As of a run that the system lets wait between the list and a look at what is on it."""

    def list_and_be_late(pid):
        found = children(pid)
        leaders = [each for each in found if each in told(tmp_path) and os.getsid(each) == each]
        assert pid != os.getpid() or all(gone(each) for each in leaders)
        return found

    children = linux.list_children
    monkeypatch.setattr(linux, "list_children", list_and_be_late)
    assert run_among_good(tmp_path, "leaves-a-daemon-and-kills-the-server").status == "killed"


@pytest.mark.parametrize(
    "act", ["leaves-children", "leaves-a-thread", pytest.param("leaves-a-daemon", marks=only_linux)]
)
def test_what_a_good_trial_leaves_behind_ends_with_it(tmp_path, act):
    assert run_among_good(tmp_path, act).status == "ok"
    assert all(gone(pid, seconds=0) for pid in told(tmp_path)), "it must be gone by the time of the record"


def test_a_fork_that_returns_is_not_the_trial(tmp_path):
    assert run_among_good(tmp_path, "comes-back-twice").facts == {"child": False}


@only_linux
@pytest.mark.parametrize("act", ["eats-memory", "has-children-that-eat", "has-a-daemon-that-eats"])
def test_memory_without_bound_is_stopped_at_the_limit(tmp_path, act):
    limit = 2**29
    record = run_among_good(tmp_path, act, memory=limit, timeout=60)
    assert record.status == "oom"
    assert "the limit is 0.50 GiB (--memory)" in record.reason
    assert limit < record.measured["bytes_at_death"] < 4 * limit


@only_linux
def test_a_limit_that_no_process_keeps_is_told_in_units_that_show_it(tmp_path):
    (record,) = run(tmp_path, trial("hangs"), memory=2**20, timeout=60)
    assert (record.status, record.reason.partition(", ")[2]) == ("oom", "the limit is 1.0 MiB (--memory)")


def test_the_record_says_whether_memory_was_bounded(tmp_path, monkeypatch):
    bounds = [run(tmp_path, trial(act))[0].environment["memory_limit"] for act in ("good", "raises", "exits-at-once")]
    monkeypatch.setattr(linux, "PROC", tmp_path)
    bounds.append(run(tmp_path, trial("good"), memory=2**30)[0].environment["memory_limit"])
    assert bounds == [*(["watched"] * 3 if sys.platform == "linux" else ["none"] * 3), "none"]


# --- control groups ---


@pytest.fixture
def delegation(tmp_path, monkeypatch):
    """A file system of control groups as far as plain files can be one: a group with this process alone in it."""
    own = tmp_path / "groups" / "user" / "scope"
    own.mkdir(parents=True)
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text("1:name=systemd:/\n0::/user/scope\n")
    (own / "cgroup.procs").write_text(f"{os.getpid()}\n")
    (own / "cgroup.controllers").write_text("cpu memory pids\n")
    monkeypatch.setattr(linux, "PROC", tmp_path / "proc")
    monkeypatch.setattr(linux, "CGROUPS", tmp_path / "groups")
    return own


def test_a_run_alone_in_its_group_makes_groups_below_it(delegation):
    assert cgroup.find_delegated() == delegation
    assert (delegation / "harness-run" / "cgroup.procs").read_text() == str(os.getpid())
    assert (delegation / "cgroup.subtree_control").read_text() == "+memory"
    (linux.PROC / "self" / "cgroup").write_text("0::/user/scope/harness-run\n")
    assert cgroup.find_delegated() == delegation, "the second run of a process finds the first one's"


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("cgroup.procs", f"{os.getpid()}\n1\n"),  # a shell beside it: no controller would be handed on
        ("cgroup.procs", ""),
        ("cgroup.controllers", "cpu pids\n"),
    ],
    ids=["shared", "left", "without memory"],
)
def test_a_group_that_is_not_the_run_s_own_is_left_alone(delegation, file, content):
    (delegation / file).write_text(content)
    assert cgroup.find_delegated() is None
    assert not (delegation / "harness-run").exists()
    assert cgroup.enclose_process(None, 1, "key", 2**30) is None


def test_a_refusal_leaves_everything_as_it_was(delegation):
    (delegation / "cgroup.subtree_control").mkdir()  # which cannot be written
    assert cgroup.find_delegated() is None
    assert (delegation / "cgroup.procs").read_text() == str(os.getpid())


def test_a_trial_in_a_group_is_bounded_by_the_system(tmp_path, monkeypatch):
    monkeypatch.setattr(cgroup, "find_delegated", lambda: tmp_path)

    def strike(trial, news):
        if news.phase == "train":
            (group,) = tmp_path.glob("harness-*")
            assert (group / "memory.max").read_text() == str(2**33)
            (group / "memory.events").write_text("oom 1\noom_kill 1\n")
            (group / "memory.peak").write_text(f"{2**33}\n")

    executor = LocalExecutor("faulty:task")
    (record,) = executor.run([trial("kills-itself")], context(tmp_path, memory=2**33), strike)
    assert (record.status, record.reason) == ("oom", "killed by the system at the limit of 8.00 GiB (--memory)")
    assert (record.environment["memory_limit"], record.measured["bytes_at_death"]) == ("cgroup", 2**33)


@pytest.mark.parametrize("act", ["shares-memory", "reads-a-large-file"])
def test_pages_that_are_shared_or_of_a_file_do_not_count(tmp_path, monkeypatch, act):
    """The trial ends when it has been weighed exactly, because the quick weighing found it over its limit."""

    def weigh_and_release(pid):
        weight = held_bytes(pid)
        with contextlib.suppress(OSError):  # it is not waiting yet
            os.close(os.open(tmp_path / "weighed", os.O_WRONLY | os.O_NONBLOCK))
        return weight

    held_bytes = linux.held_bytes
    monkeypatch.setattr(linux, "held_bytes", weigh_and_release)
    os.mkfifo(tmp_path / "weighed")
    assert run_among_good(tmp_path, act, memory=2**29, timeout=60).status == "ok"


V2 = "0::/job/step"
V1 = "4:cpu,memory:/job"
V1_JOB = "memory/job/memory"


@pytest.mark.parametrize(
    ("group", "files", "free"),
    [
        (V2, {}, 8192),
        (V2, {"job/memory.max": 5000, "job/memory.current": 2000}, 3000),
        (V2, {"job/memory.max": 5000, "job/memory.current": 2000, "job/step/memory.max": "max"}, 3000),
        (V2, {"job/memory.max": 5000, "job/memory.current": 4900, "job/memory.stat": "anon 9\nactive_file 23"}, 123),
        (V2, {"job/memory.max": 5000, "job/memory.current": 6000}, 0),
        (V1, {f"{V1_JOB}.limit_in_bytes": 5000, f"{V1_JOB}.usage_in_bytes": 1}, 4999),
        (V1, {f"{V1_JOB}.limit_in_bytes": 2**63, f"{V1_JOB}.usage_in_bytes": 1}, 8192),
    ],
)
def test_free_memory_respects_the_limits_of_control_groups(tmp_path, monkeypatch, group, files, free):
    files |= {"proc/meminfo": "MemTotal: 9 kB\nMemAvailable: 8 kB", "proc/self/cgroup": f"1:name=systemd:/\n{group}"}
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    monkeypatch.setattr(linux, "PROC", tmp_path / "proc")
    monkeypatch.setattr(linux, "CGROUPS", tmp_path)
    assert linux.available_bytes() == free


@only_linux
def test_the_limit_is_most_of_what_is_free_unless_given(tmp_path, monkeypatch):
    monkeypatch.setattr(linux, "available_bytes", lambda: 2**29)
    assert "the limit is 0.40 GiB" in run(tmp_path, trial("eats-memory"))[0].reason


@only_linux
def test_the_systems_own_killer_is_named(tmp_path, monkeypatch):
    strikes = iter([3, 4])
    monkeypatch.setattr(process.linux, "count_oom_kills", lambda: next(strikes))
    record = run(tmp_path, trial("kills-itself"))[0]
    assert record.status == "oom"
    assert "the system's out-of-memory killer" in record.reason


def test_megabytes_of_output_neither_block_nor_fill_the_disk(tmp_path):
    assert run_among_good(tmp_path, "prints-megabytes", timeout=60).status == "ok"
    log = (tmp_path / "logs" / "prints-megabytes.log").read_text()
    printed = len("first words\n") + 300 * (2**16 + 1) + len("last words")
    assert log.startswith("first words\n")
    assert log.endswith("x\nlast words")
    assert f"\n[{printed - 2**20} bytes cut here]\n" in log
    assert len(log) < 2**20 + 100


def test_output_is_kept_as_it_is(tmp_path):
    assert run_among_good(tmp_path, "prints-binary").status == "ok"
    assert (tmp_path / "logs" / "prints-binary.log").read_bytes() == bytes(range(256)) + b"\\udcff\n"


def test_a_trial_that_prints_nothing_leaves_no_log(tmp_path):
    run(tmp_path, trial("raises"), trial("good"))
    assert not (tmp_path / "logs").exists()


def test_a_log_that_cannot_be_written_costs_only_the_log(tmp_path):
    (tmp_path / "logs").write_text("a file where a folder should be")
    assert run_among_good(tmp_path, "prints-megabytes").status == "ok"


def test_a_score_that_is_no_number_arrives_as_such(tmp_path):
    assert str(run_among_good(tmp_path, "returns-nan").scores["accuracy"]) == "nan"


def test_a_clock_that_jumps_stops_nothing(tmp_path, monkeypatch):
    days = iter(range(10**6))
    monkeypatch.setattr("time.time", lambda: next(days) * 86400.0)
    assert run_among_good(tmp_path, "good", timeout=60).status == "ok"


def test_every_fault_in_one_run_and_two_at_a_time(tmp_path):
    acts = [act for act, _, _ in PORTABLE if act not in ("kills-the-server", "returns-too-much", "never-ends-a-line")]
    acts = [*acts, "hangs", "leaves-children"]
    goods = [f"good-{number}" for number in range(4)]
    expected = {act: status for act, status, _ in PORTABLE} | {"hangs": "timeout", "leaves-children": "ok"}
    records = run(tmp_path, *[trial(act) for act in acts], *[trial("good", key) for key in goods], workers=2, timeout=2)
    assert len(records) == len(acts) + len(goods)
    assert {r.trial.key: r.status for r in records} == {a: expected[a] for a in acts} | dict.fromkeys(goods, "ok")
    assert all(gone(pid) for pid in told(tmp_path))


# --- the run itself dies --------------------------------------------------------------------------------------------

SCRIPT = """
import sys
from pathlib import Path
from faulty import context, trial
from harness.executors.local import LocalExecutor
from harness.running.lock import hold_lock

folder = Path(sys.argv[1])
with hold_lock(folder):
    for record in LocalExecutor("faulty:task").run([trial(sys.argv[2])], context(folder), lambda *_: None):
        print(record.status, flush=True)
"""


@contextlib.contextmanager
def script(folder, act):
    """A run in a process of its own, its trial on the way; yields it with the processes below it."""
    path = [str(Path(faulty.__file__).parent), *sys.path]
    command = [sys.executable, "-c", SCRIPT, str(folder), act]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": os.pathsep.join(path)}) as run:
        try:
            wait_for(lambda: told(folder))
            yield run
        finally:
            run.kill()


@only_linux
@pytest.mark.sampled
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("act", ["hangs-and-ignores-sigterm", "hangs-in-c", "stops-its-server-and-hangs"])
def test_nothing_outlives_the_run(tmp_path, act, number):
    with script(tmp_path, act) as run:
        wait_for(lambda: len(told(tmp_path)) == (2 if "ignores" in act else 1))
        pids = [*told(tmp_path), *linux.list_family(run.pid)[1:]]
        run.send_signal(number)
        assert gone(run.pid)
    assert len(pids) > 1
    assert all(gone(pid) for pid in pids)
    with hold_lock(tmp_path):
        pass


@only_linux
def test_nothing_outlives_the_run_and_the_server_killed_at_once(tmp_path):
    with script(tmp_path, "hangs-in-c") as run:
        server, *_ = linux.list_children(run.pid)
        trials = linux.list_children(server)
        os.kill(run.pid, signal.SIGSTOP)
        for pid in (server, run.pid):
            os.kill(pid, signal.SIGKILL)
        assert trials
        assert all(gone(pid) for pid in trials)
