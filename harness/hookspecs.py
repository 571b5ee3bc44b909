"""Every question that the core asks its plugins. A plugin answers any of them with a function marked `@hookimpl`.

A plugin is a module or an object named by an entry point in the group `harness`:

    [project.entry-points.harness]
    mymethod = "harness_mymethod"

The hooks that return descriptors are asked once, when a command first needs the shelf; they must import nothing heavy.
The life-cycle hooks are notifications: what they return is ignored, what they raise is reported and changes no result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pluggy

from harness.types import (
    BackendOffer,
    Check,
    Dataset,
    ExecutorOffer,
    Export,
    Formula,
    Instrument,
    Method,
    Metric,
    Record,
    Suite,
    Trial,
)

if TYPE_CHECKING:
    import click

INTERFACE = 2
"""The number of what stands here and in `harness.types`. It rises where a name goes or means something else;
CHANGELOG.md says which. A plugin may say which one it was written for: `harness_interface = 2`, above its imports.
"""

hookspec = pluggy.HookspecMarker("harness")
hookimpl = pluggy.HookimplMarker("harness")


@hookspec
def harness_methods() -> Iterable[Method]:  # type: ignore[empty-body]
    """The methods that this plugin offers.

    @hookimpl
    def harness_methods():
        yield Method("mymethod", "one line", factory="harness_mymethod.learner:build", kinds=("classification",))
    """


@hookspec
def harness_datasets() -> Iterable[Dataset]:  # type: ignore[empty-body]
    """The data sets that this plugin offers. Their files are declared, checked while planning, and read in `load`."""


@hookspec
def harness_metrics() -> Iterable[Metric]:  # type: ignore[empty-body]
    """The metrics that this plugin offers: functions of an Outcome, or names for what its instruments read."""


@hookspec
def harness_instruments() -> Iterable[Instrument]:  # type: ignore[empty-body]
    """The instruments that this plugin offers. Every reading that is to be shown needs a Metric of the same name."""


@hookspec
def harness_formulas() -> Iterable[Formula]:  # type: ignore[empty-body]
    """The formulas that this plugin offers for operators of its own, so that their work is counted.

    @hookimpl
    def harness_formulas():
        yield Formula("mylib::scan", macs="mylib.formulas:scan_macs")
    """


@hookspec
def harness_exports() -> Iterable[Export]:  # type: ignore[empty-body]
    """The formats in which this plugin writes trained networks, see `harness export`.

    @hookimpl
    def harness_exports():
        yield Export("onnx", "one line", write="harness_mymethod.exporting:write", methods=("mymethod",))
    """


@hookspec
def harness_suites() -> Iterable[Suite]:  # type: ignore[empty-body]
    """The named comparisons that this plugin offers, as TOML files."""


@hookspec
def harness_executors() -> Iterable[ExecutorOffer]:  # type: ignore[empty-body]
    """The ways to run trials that this plugin offers, such as a queue of a cluster."""


@hookspec
def harness_checks() -> Iterable[Check]:  # type: ignore[empty-body]
    """The promises that this plugin tests of every method, data set or metric, see `harness check`."""


@hookspec
def harness_backends() -> Iterable[BackendOffer]:  # type: ignore[empty-body]
    """The tensor libraries that this plugin offers. Exactly one must be left when a run is planned."""


@hookspec
def harness_run_started(trials: Sequence[Trial]) -> None:
    """Called once, before the first of the trials that will be run."""


@hookspec
def harness_trial_started(trial: Trial) -> None:
    """Called in the process of the command, before the trial is handed to the executor."""


@hookspec
def harness_trial_finished(trial: Trial, record: Record) -> None:
    """Called in the process of the command, after the record has been written."""


@hookspec
def harness_run_finished(records: Sequence[Record]) -> None:
    """Called once, after the last trial or an interrupt, with the records of this run."""


@hookspec
def harness_commands(cli: click.Group) -> None:
    """Add commands to the command line: `cli.add_command(my_click_command)`. Called before a command is looked up.

    By `@click.pass_obj` a command gets the session of the program, whose `catalog` has what all plugins offer. What it
    returns is the exit code; a HarnessError that it raises is said in a line.

    @hookimpl
    def harness_commands(cli):
        @cli.command("count")
        @click.pass_obj
        def count(session):
            click.echo(len(session.catalog.methods.names()))
    """
