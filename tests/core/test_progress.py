"""Progress of a run: plain lines for logs, bars for terminals, and a sensible time left."""

from __future__ import annotations

import dataclasses
import itertools
import re
import threading

import pytest
from example_records import record

from harness.results import progress
from harness.results.progress import Bars, Forecast, Lines
from harness.types import Point, Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves only when it is told to."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def forward(seconds: float) -> None:
        now[0] += seconds

    return forward


def trials(*labels: str, seeds: int = 1):
    made = [record(label, seed=seed).trial for seed, label in itertools.product(range(seeds), labels)]
    return [dataclasses.replace(trial, key=f"k{number}") for number, trial in enumerate(made)]


def ended(trial, status="ok", **more):
    return dataclasses.replace(record(), trial=trial, status=status, **more)


def test_nothing_is_known_before_the_first_update(clock):
    assert Forecast(trials("a", "b"), [], 1).seconds_left() is None


def test_a_running_trial_is_judged_by_its_own_pace_and_the_others_by_it(clock):
    first, second = trials("a", "b")
    forecast = Forecast([first, second], [], 1)
    forecast.started(first)
    clock(10)
    forecast.progressed(first, Progress("train", 0.25))
    assert forecast.seconds_left() == pytest.approx(30 + 40)


def test_what_follows_training_does_not_look_like_a_new_beginning(clock):
    (only,) = trials("a")
    forecast = Forecast([only], [], 1)
    forecast.started(only)
    clock(10)
    forecast.progressed(only, Progress("train", 1.0))
    clock(1)
    forecast.progressed(only, Progress("profile", 1.0))
    assert forecast.seconds_left() == pytest.approx(0.0)


def test_a_trial_of_a_new_kind_is_judged_by_all_that_ended(clock):
    slow, quick, new = trials("slow", "quick", "new")
    forecast = Forecast([slow, quick, new], [], 1)
    for trial, seconds in ((slow, 70), (quick, 30)):
        forecast.started(trial)
        clock(seconds)
        forecast.finished(trial)
    assert forecast.seconds_left() == pytest.approx(50)


def test_workers_share_what_is_left(clock):
    first, *rest = trials("a", seeds=5)
    forecast = Forecast([first, *rest], [], 2)
    forecast.started(first)
    clock(10)
    forecast.finished(first)
    assert forecast.seconds_left() == pytest.approx(20)


def test_a_skipped_trial_took_no_time_and_says_nothing_of_the_others(clock, capsys):
    skipped, other = trials("a", "b")
    lines = Lines(Forecast([skipped, other], [], 1))
    lines.finished(skipped, ended(skipped, "skipped", reason="a takes regression"))
    assert capsys.readouterr().err == "[1/2] a on digits, seed 0: skipped: a takes regression\n"


def test_why_a_method_is_skipped_is_told_for_its_first_seed_alone(clock, capsys):
    made = trials("a", "b", seeds=3)
    lines = Lines(Forecast(made, [], 1))
    for trial in made:
        lines.finished(trial, ended(trial, "skipped", reason="the map is too small"))
    said = [line.partition(": ")[2] for line in capsys.readouterr().err.splitlines()]
    assert said == ["skipped: the map is too small"] * 2 + ["skipped like seed 0"] * 4
    lines.finished(made[2], ended(made[2], "skipped", reason="another"))
    assert "skipped: another" in capsys.readouterr().err


def test_lines_say_what_starts_what_ends_and_what_is_left(clock, capsys):
    first, second = trials("a[steps=4]", "b")
    lines = Lines(Forecast([first, second], [], 1))
    lines.started(first)
    clock(90)
    lines.finished(first, ended(first, scores={"accuracy": 0.975}))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "[1/2] a[steps=4] on digits, seed 0: started",
        "[1/2] a[steps=4] on digits, seed 0: accuracy 0.975, 90 s, about 90 s left",
    ]


def test_trials_that_are_trained_as_one_start_in_one_line_and_share_their_time(clock, capsys):
    first, second, third = trials("a", "b", "c")
    lines = Lines(Forecast([first, second, third], [], 1))
    for place, trial in enumerate((first, second)):
        lines.started(trial, (place, 2))
        lines.progressed(trial, Progress("start", 0.0, cohort=(place, 2)))
    clock(60)
    for trial in (first, second):
        lines.finished(trial, ended(trial, scores={"accuracy": 0.5}))
    assert capsys.readouterr().err.splitlines() == [
        "[1/3] a on digits, seed 0: started, trained as one with 1 other",
        "[1/3] a on digits, seed 0: accuracy 0.5, 30 s, about 60 s left",
        "[2/3] b on digits, seed 0: accuracy 0.5, 30 s, about 30 s left",
    ]


def test_one_that_runs_again_alone_has_its_own_time(clock, capsys):
    (only,) = trials("a")
    lines = Lines(Forecast([only], [], 1))
    lines.started(only, (0, 4))
    lines.progressed(only, Progress("start", 0.0, cohort=(0, 4)))
    clock(60)
    lines.progressed(only, Progress("start", 0.0))
    clock(20)
    lines.finished(only, ended(only))
    assert capsys.readouterr().err.splitlines()[-1] == "[1/1] a on digits, seed 0: ok, 20 s"


@pytest.fixture
def terminal(monkeypatch, capsys):
    """The screen of a terminal of 80 columns."""
    for name, value in {"COLUMNS": "80", "LINES": "25", "TERM": "xterm", "FORCE_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    return lambda: capsys.readouterr().err


def test_brackets_in_labels_and_reasons_are_no_markup(terminal):
    first, second = trials("a[steps=4]", "b[bold]")
    with Bars(Forecast([first, second], [], 1)) as bars:
        bars.started(first)
        bars.progressed(first, Progress("train", 0.5, Point(5, 0.5, 1.0, {"loss": 2.04}, {"accuracy": 0.75})))
        bars.progressed(first, Progress("train", 0.6))
        bars._bars.refresh()
        bars.finished(first, ended(first, "failed", reason="[red]no[/red] such [thing]"))
        bars.finished(second, ended(second))
    text = terminal()
    assert text.count("a[steps=4] on digits, seed 0") >= 2  # on the bar, and in the line that stays
    assert "60%, loss 2.04, valid 0.75" in text
    assert "[red]no[/red] such [thing]" in text
    assert "b[bold]" in text


def test_trials_that_are_trained_as_one_have_one_bar_until_the_last_is_over(terminal):
    first, second, third = trials("a", "b", "c")
    point = Point(5, 0.5, 1.0, {"loss": 2.04}, {"accuracy": 0.75})
    with Bars(Forecast([first, second, third], [], 1)) as bars:
        for place, trial in enumerate((first, second, third)):
            bars.started(trial, (place, 3))
        bars.progressed(first, Progress("train", 0.5, point))
        bars.progressed(second, Progress("train", 0.9, point))
        bars._bars.refresh()
        frame = terminal()
        assert "50%, loss 2.04" in frame
        assert "90%" not in frame
        assert "a on digits, seed 0 and 2 others" in frame
        bars.finished(first, ended(first, "diverged"))
        bars.progressed(second, Progress("train", 0.9, point))
        bars._bars.refresh()
        assert "90%, loss 2.04" in terminal()
        for trial in (second, third):
            bars.finished(trial, ended(trial))
        terminal()
        bars._bars.refresh()
        assert "2 others" not in terminal()


def test_a_long_label_keeps_its_beginning_and_its_seed(terminal):
    (only,) = trials("a[" + ",".join(f"parameter{n}={n}" for n in range(9)) + "]")
    with Bars(Forecast([only], [], 1)) as bars:
        bars.started(only)
        bars.progressed(only, Progress("train", 0.5, Point(5, 0.5, 1.0, {"loss": 2.04}, {"accuracy": 0.75})))
        bars._bars.refresh()
        frame = terminal()
    assert "a[parameter0" in frame
    assert "seed 0" in frame
    assert "50%, loss 2.04, valid 0.75" in frame


@pytest.mark.parametrize("width", [60, 80, 160])
def test_a_bar_is_as_wide_as_the_terminal_and_says_what_happens(terminal, clock, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    (only,) = trials("a")
    with Bars(Forecast([only], [], 1)) as bars:
        bars.started(only)
        bars.progressed(only, Progress("load", 0.0))
        clock(3)
        bars._bars.refresh()
        frame = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal()).replace("\r", "\n")
        lines = [line for line in frame.splitlines() if line.startswith("a on digits")]
    assert "loading, 3 s" in lines[-1]
    assert width - 2 <= len(lines[-1]) <= width


def test_without_a_terminal_a_line_says_what_runs(clock, capsys):
    first, second = trials("a", "b")
    lines = Lines(Forecast([first, second], [], 1))
    lines.started(first)
    clock(30)
    lines.tell_running()
    lines.progressed(first, Progress("prepare", 0.0))
    clock(30)
    lines.tell_running()
    lines.progressed(first, Progress("train", 0.5, Point(5, 0.5, 1.0, {"loss": 2.04}, {"accuracy": 0.75})))
    lines.tell_running()
    lines.finished(first, ended(first))
    lines.tell_running()
    assert capsys.readouterr().err.splitlines()[1:-1] == [
        "[1/2] a on digits, seed 0: starting, 30 s, 30 s so far",
        "[1/2] a on digits, seed 0: preparing, 30 s, 60 s so far",
        "[1/2] a on digits, seed 0: 50%, loss 2.04, valid 0.75, 60 s so far, about 3 min left",
    ]


def test_that_line_comes_by_itself(monkeypatch, capsys):
    monkeypatch.setattr(progress, "EVERY", 0.01)
    told = threading.Event()
    monkeypatch.setattr(Lines, "tell_running", lambda self: told.set())
    with Lines(Forecast(trials("a"), [], 1)):
        assert told.wait(20)


def test_a_short_time_never_reads_as_none():
    assert [progress.say_duration(seconds) for seconds in (0.0, 0.004, 0.04, 0.5, 12.0)] == [
        "0.0 s",
        "0.004 s",
        "0.04 s",
        "0.5 s",
        "12 s",
    ]
