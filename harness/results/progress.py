"""The progress of a run: bars with the time left on a terminal, one line per event elsewhere."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol

import click

from harness.types import Point, Progress, Record, Trial
from harness.words import clean_label, clean_line

BAR_WIDTH = 8  # the least; a bar takes what the terminal has left
NOTE_WIDTH = 32
EVERY = 30.0  # seconds between lines of what runs, where there is no terminal
PHASES = {
    "start": "starting",
    "load": "loading",
    "prepare": "preparing",
    "train": "training",
    "evaluate": "evaluating",
    "profile": "profiling",
}


class View(Protocol):
    """A listener with a beginning and an end."""

    def __enter__(self) -> View: ...
    def __exit__(self, *details: Any) -> None: ...
    def started(self, trial: Trial, cohort: tuple[int, int] = (0, 1)) -> None: ...
    def progressed(self, trial: Trial, progress: Progress) -> None: ...
    def finished(self, trial: Trial, record: Record) -> None: ...


def open_view(trials: Sequence[Trial], done: Sequence[Record], workers: int, terminal: bool) -> View:
    """Bars where there is a terminal, lines where there is none."""
    forecast = Forecast(trials, done, workers)
    return Bars(forecast) if terminal else Lines(forecast)


class Forecast:
    """A forecast of the time left, from the time that trials took: the median of the same method and data set, of
    anything else where there is none yet.
    """

    def __init__(self, trials: Sequence[Trial], done: Sequence[Record], workers: int) -> None:
        self.total = len(trials)
        self.ended = 0
        self._workers = workers
        self._left = {trial.key: trial for trial in trials}
        self._fractions: dict[str, float] = {}
        self._started: dict[str, float] = {}
        self._sizes: dict[str, int] = {}
        self._durations: dict[str, list[float]] = {}
        self._skipped: dict[tuple[str, str], int] = {}
        for record in done:
            self._add_duration(record.trial, sum(record.seconds.values()))

    def started(self, trial: Trial, size: int = 1) -> None:
        """size: so many trials are trained with it as one, itself among them: its time is a share."""
        self._started[trial.key] = time.monotonic()
        self._sizes[trial.key] = size

    def progressed(self, trial: Trial, progress: Progress) -> None:
        if progress.phase == "start":  # perhaps once more, and with others
            self.started(trial, progress.cohort[1])
        # What follows training is short: it must not look as if the trial began again.
        self._fractions[trial.key] = progress.fraction

    def finished(self, trial: Trial) -> float | None:
        """Seconds that the trial took; None for one that never started, which says nothing of the others."""
        self.ended += 1
        self._left.pop(trial.key, None)
        self._fractions.pop(trial.key, None)
        if trial.key not in self._started:
            return None
        seconds = (time.monotonic() - self._started[trial.key]) / self._sizes[trial.key]
        self._add_duration(trial, seconds)
        return seconds

    def tell_end(self, record: Record) -> str:
        """Tell the end of a trial; the reason why one was skipped is told for the first seed alone."""
        said = describe_outcome(record)
        first = self._skipped.setdefault((_identify_kind(record.trial), said), record.trial.seed)
        return said if record.status != "skipped" or first == record.trial.seed else f"skipped like seed {first}"

    def seconds_left(self) -> float | None:
        """Seconds left; None while nothing is known."""
        shares = [self._expect_duration(trial) for trial in self._left.values()]
        known = [share for share in shares if share is not None]
        known += [seconds for durations in self._durations.values() for seconds in durations]
        if not known:
            return None if self._left else 0.0
        typical = statistics.median(known)
        total = sum(
            (typical if share is None else share) * (1 - self._fractions.get(key, 0.0))
            for key, share in zip(self._left, shares, strict=True)
        )
        return total / self._workers

    def _add_duration(self, trial: Trial, seconds: float) -> None:
        self._durations.setdefault(_identify_kind(trial), []).append(seconds)

    def _expect_duration(self, trial: Trial) -> float | None:
        """Seconds for one whole trial: by its own pace where it runs, else by those that ended."""
        fraction = self._fractions.get(trial.key, 0.0)
        if fraction > 0.02 and trial.key in self._started:
            return (time.monotonic() - self._started[trial.key]) / fraction / self._sizes[trial.key]
        ended = self._durations.get(_identify_kind(trial))
        return statistics.median(ended) if ended else None


class Running:
    """A trial that runs: what it does, since when."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self._started = self._since = time.monotonic()
        self._progress = Progress("start", 0.0)
        self._point: Point | None = None

    def progressed(self, progress: Progress) -> None:
        if progress.phase != self._progress.phase:
            self._since = time.monotonic()
        self._progress, self._point = progress, progress.point or self._point

    def seconds(self) -> float:
        """Seconds since the trial started."""
        return time.monotonic() - self._started

    def describe(self) -> str:
        """`60%, loss 2.04, valid 0.7772` in training, else what it does and for how long: `loading, 3 s`."""
        phase = self._progress.phase
        if phase != "train":
            took = time.monotonic() - self._since
            return PHASES.get(phase, phase) + (f", {took:.0f} s" if took >= 1 else "")
        scalars = [f"{key} {value:.3g}" for key, value in list(self._point.scalars.items())[:1]] if self._point else []
        scores = [f"valid {value:.4g}" for value in list(self._point.valid.values())[:1]] if self._point else []
        return ", ".join([f"{self._progress.fraction:.0%}", *scalars, *scores])


class Lines:
    """One line per event, for logs, and one every half minute for each trial that runs."""

    def __init__(self, forecast: Forecast) -> None:
        self._forecast = forecast
        self._running: dict[str, Running] = {}
        self._over = threading.Event()
        self._clock = threading.Thread(target=self._tell_now_and_then, daemon=True)

    def __enter__(self) -> Lines:
        self._clock.start()
        return self

    def __exit__(self, *details: Any) -> None:
        self._over.set()

    def _tell_now_and_then(self) -> None:
        while not self._over.wait(EVERY):
            self.tell_running()

    def tell_running(self) -> None:
        """Print a line for each trial that runs: what it does, for how long, and how much is left of the run."""
        for each in tuple(self._running.values()):
            said = ", ".join(filter(None, [each.describe(), f"{say_duration(each.seconds())} so far"]))
            place = f"[{self._forecast.ended + 1}/{self._forecast.total}]"
            click.echo(f"{place} {name_trial(each.trial)}: {said}{self._tail()}", err=True)

    def started(self, trial: Trial, cohort: tuple[int, int] = (0, 1)) -> None:
        place, size = cohort
        self._forecast.started(trial, size)
        if not place:
            self._running[trial.key] = Running(trial)
            as_one = f", trained as one with {count_others(size)}" if size > 1 else ""
            click.echo(
                f"[{self._forecast.ended + 1}/{self._forecast.total}] {name_trial(trial)}: started{as_one}", err=True
            )

    def progressed(self, trial: Trial, progress: Progress) -> None:
        self._forecast.progressed(trial, progress)
        if trial.key in self._running:
            self._running[trial.key].progressed(progress)

    def finished(self, trial: Trial, record: Record) -> None:
        self._running.pop(trial.key, None)
        seconds = self._forecast.finished(trial)
        place = f"[{self._forecast.ended}/{self._forecast.total}]"
        said = f"{self._forecast.tell_end(record)}{_say_took(seconds)}{self._tail()}"
        click.echo(f"{place} {name_trial(trial)}: {said}", err=True)

    def _tail(self) -> str:
        left = self._forecast.seconds_left()
        return f", about {say_duration(left)} left" if left else ""


class Bars:
    """A bar for the run and one for each trial that runs."""

    def __init__(self, forecast: Forecast) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
        from rich.progress import Progress as RichProgress
        from rich.table import Column
        from rich.text import Text

        class _NoteColumn(ProgressColumn):
            """The note behind a bar, asked for each time it is drawn: a phase has no news, and takes its time."""

            def render(self, task: Task) -> Text:
                return Text(task.fields["note"]())

        self._forecast = forecast
        console = Console(stderr=True)
        self._width = max(24, console.width - BAR_WIDTH - NOTE_WIDTH - 2)
        # Labels hold square brackets, which are no markup.
        self._bars = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(None, table_column=Column(ratio=1, min_width=BAR_WIDTH)),
            _NoteColumn(table_column=Column(no_wrap=True)),
            console=console,
            transient=True,
            expand=True,
        )
        self._run = self._bars.add_task("run", total=forecast.total, note=self._describe_run)
        self._tasks: dict[str, Any] = {}
        self._bar_of: dict[str, str] = {}
        self._lanes: dict[str, list[str]] = {}  # trials of each bar that are not over
        self._first = ""
        self._running: dict[str, Running] = {}  # by the trial of their bar

    def __enter__(self) -> Bars:
        self._bars.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.__exit__(kind, error, trace)

    def started(self, trial: Trial, cohort: tuple[int, int] = (0, 1)) -> None:
        """Trials that are trained as one have one bar, and its first that is not over moves it."""
        place, size = cohort
        self._forecast.started(trial, size)
        if not place:
            label = name_trial(trial) if size == 1 else f"{name_trial(trial)} and {count_others(size)}"
            self._running[trial.key] = Running(trial)
            fitted = fit_text(label, self._width)
            self._tasks[trial.key] = self._bars.add_task(fitted, total=1.0, note=self._running[trial.key].describe)
            self._first = trial.key
        self._bar_of[trial.key] = self._first
        self._lanes.setdefault(self._first, []).append(trial.key)

    def progressed(self, trial: Trial, progress: Progress) -> None:
        self._forecast.progressed(trial, progress)
        bar = self._bar_of[trial.key]
        if self._lanes[bar][0] != trial.key:
            return
        self._running[bar].progressed(progress)
        self._bars.update(self._tasks[bar], completed=progress.fraction)
        self._refresh()

    def finished(self, trial: Trial, record: Record) -> None:
        seconds = self._forecast.finished(trial)
        if (bar := self._bar_of.pop(trial.key, None)) is not None:
            self._lanes[bar].remove(trial.key)
            if not self._lanes[bar]:
                del self._lanes[bar]
                self._bars.remove_task(self._tasks.pop(bar))
        colour = "green" if record.status == "ok" else "yellow" if record.status == "skipped" else "red"
        said = escape_markup(self._forecast.tell_end(record))
        self._bars.console.print(
            f"[{colour}]{record.status:>8}[/] {escape_markup(name_trial(trial))}: {said}{_say_took(seconds)}",
            highlight=False,
        )
        self._refresh()

    def _describe_run(self) -> str:
        left = self._forecast.seconds_left()
        return f"{self._forecast.ended}/{self._forecast.total} trials" + (
            f", {say_duration(left)} left" if left else ""
        )

    def _refresh(self) -> None:
        shares = {bar: self._bars.tasks[self._bars.task_ids.index(task)].completed for bar, task in self._tasks.items()}
        running = sum(share * len(self._lanes[bar]) for bar, share in shares.items())
        self._bars.update(self._run, completed=self._forecast.ended + running)


def name_trial(trial: Trial) -> str:
    """A trial in a few words."""
    return f"{clean_label(trial.method.label)} on {clean_label(trial.dataset.label)}, seed {trial.seed}"


def count_others(size: int) -> str:
    """`1 other`, `11 others`: of so many, all but one."""
    return "1 other" if size == 2 else f"{size - 1} others"


def describe_outcome(record: Record) -> str:
    """Describe the end of a trial, with its first score."""
    if record.status != "ok":
        return clean_line(f"{record.status}: {record.reason}")
    scores = [f"{clean_line(metric)} {value:.4g}" for metric, value in record.scores.items() if "@" not in metric]
    return scores[0] if scores else "ok"


def _say_took(seconds: float | None) -> str:
    return "" if seconds is None else f", {say_duration(seconds)}"


def say_duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds >= 0.1 or not seconds else f"{seconds:.1g} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{seconds / 3600:.1f} h"


def fit_text(text: str, width: int) -> str:
    """A text cut in the middle, since the beginning and the end of a label tell most.

    >>> fit_text("saf[steps=4] on digits, seed 0", 20)
    'saf[steps…ts, seed 0'
    """
    if len(text) <= width:
        return text
    end = (width - 1) // 2 + (width - 1) % 2
    return f"{text[: width - 1 - end]}…{text[-end:]}"


def escape_markup(text: str) -> str:
    """Text in which rich sees no markup: labels hold square brackets."""
    return text.replace("[", r"\[")


def _identify_kind(trial: Trial) -> str:
    return f"{trial.method.label} {trial.dataset.label} {trial.terms.budget}"
