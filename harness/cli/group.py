"""The group of commands: ours by name, imported when one is called, and those that plugins add."""

from __future__ import annotations

import contextlib
import importlib
from typing import NamedTuple

import click

from harness.cli.help import summarise_command, write_commands
from harness.cli.session import session_of, with_global_options
from harness.errors import HarnessError
from harness.words import clean_line, list_names, suggest


class Own(NamedTuple):
    """A command of ours: where it is, and the line that --help shows without importing it."""

    reference: str
    summary: str


OWN = {
    "run": Own("harness.cli.run:run", "Run methods on data sets, or go on with a run, and compare them."),
    "report": Own("harness.cli.report:report", "Print the comparison from the records of a results folder."),
    "compare": Own("harness.cli.compare:compare", "Hold methods against each other: how sure each difference is."),
    "plot": Own("harness.cli.plot:plot", "Draw a figure for a paper from the records of a results folder."),
    "show": Own("harness.cli.report:show_record", "Show everything that is known of one trial."),
    "why": Own("harness.cli.again:why", "Say what has changed since a record was taken, and by which commit."),
    "replay": Own("harness.cli.again:replay", "Run records again, and hold them against what they say."),
    "merge": Own("harness.cli.again:merge", "Copy the records of several results folders into one."),
    "export": Own("harness.cli.export:export_", "Write a trained network to a file, and hold the file against it."),
    "check": Own("harness.cli.check:check", "Test whether methods, data sets and metrics keep the contract."),
    "new": Own("harness.cli.new:new", "Write the beginning of a plugin: a package that can be installed, or one file."),
    "list": Own("harness.cli.listing:list_all", "List methods, data sets, metrics and more, or describe one of them."),
    "plugins": Own("harness.cli.listing:list_plugins", "List the plugins, and what is wrong with those that failed."),
    "data": Own("harness.cli.data:data_group", "List, fetch and verify the files of data sets."),
    "env": Own(
        "harness.cli.env:env", "Show the machine, the versions and the device that records taken here would name."
    ),
}


class Commands(click.Group):
    """A click group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*OWN, *session_of(ctx).plugin_commands(OWN)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in OWN:
            module, _, attribute = OWN[cmd_name].reference.partition(":")
            command: click.Command | None = getattr(importlib.import_module(module), attribute)
        else:
            command = session_of(ctx).plugin_commands(OWN).get(cmd_name)
        return with_global_options(command) if command else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            known = self.list_commands(ctx)
            close = suggest(name, known)
            ctx.fail(
                f"unknown command {name!r}{f'{close} Known' if close else '; known'} commands: {list_names(known)}"
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        summaries = {name: own.summary for name, own in OWN.items()}
        # Help is given even where a misspelt plugin keeps everything else from working.
        with contextlib.suppress(HarnessError):
            foreign = {name: each for name, each in session_of(ctx).plugin_commands(OWN).items() if not each.hidden}
            summaries |= {clean_line(name): clean_line(summarise_command(each)) for name, each in foreign.items()}
        write_commands(formatter, summaries)
