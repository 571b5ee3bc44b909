"""The command line: `harness COMMAND`. It parses, calls the library and prints; what fails is said in a line or two."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from harness import __version__
from harness.cli import signals, streams
from harness.cli.group import Commands
from harness.cli.leaving import leave_threads
from harness.cli.session import Session, session_of, with_global_options
from harness.errors import HarnessError
from harness.words import clean_ends, clean_line, clean_text

__all__ = ["Session", "cli", "main"]

REPORT_TO = "https://github.com/harness-bench/harness/issues"
BROKEN_PIPE = 141
NO_WINDOWS = "Windows is not supported: trials run in process groups that only Linux and macOS have; use WSL"
LONGEST_MESSAGE = 4_000
LONGEST_TRACEBACK = 20_000
COMPLETION = "_HARNESS_COMPLETE"

EPILOG = """\b
Examples:
  harness run --methods saf,ottt
  harness run --methods "saf[variant=final,steps=[4,8]],ottt" --seeds 5
  harness run --methods ./my_method.py --datasets digits
  harness report --format markdown
  harness list methods

\b
Exit codes: 0 all well, 1 some trials did not end well, 2 a mistake in what
was asked for, 3 a broken plugin under --strict-plugins, 130 interrupted, 143
and 129 ended by SIGTERM and SIGHUP (what had finished is kept).
"""


@with_global_options
@click.group(cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Compare ways to train or compress neural networks, fairly: accuracy, memory, time, operations."""
    session_of(context)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code. Nothing escapes but what ends the interpreter itself."""
    if sys.platform == "win32":
        return _print_error(NO_WINDOWS, 1)
    if COMPLETION in os.environ:
        cli.main(prog_name="harness")  # click answers the shell and exits
    code = _run_guarded(list(sys.argv[1:] if argv is None else argv), restore=argv is not None)
    if argv is None:
        leave_threads(code)
    return code


def _run_guarded(arguments: list[str], restore: bool) -> int:
    """The exit code of a command, which neither streams nor signals keep from giving one."""
    with streams.tolerate_failures(), signals.as_interrupts(restore) as handler:
        try:
            return _run_command(arguments)
        except (KeyboardInterrupt, click.Abort) as stop:
            handler.leaving = True
            streams.flush_or_drop()
            return _print_error(*signals.describe_stop(stop))


def _run_command(arguments: list[str]) -> int:
    """Run the command; what it raises becomes a message and an exit code, an interrupt and SystemExit pass."""
    session = Session()
    session.arguments = tuple(arguments)
    try:
        result = _invoke_command(arguments, session)
        session.warn()
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.Abort:
        raise
    except BrokenPipeError:
        streams.drop_output()
        return BROKEN_PIPE
    except SystemExit as stop:
        # rich turns a broken pipe into exit code 1, which would say that trials failed.
        if isinstance(stop.__context__, BrokenPipeError):
            streams.drop_output()
            return BROKEN_PIPE
        raise
    except Exception as error:
        streams.flush_or_drop()
        return _report_error(error, session)


def _invoke_command(arguments: list[str], session: Session) -> object:
    """Run the command and return its result or exit code. Not by `cli.main`: it has exit codes of its own."""
    if any("\0" in word for word in arguments):  # the system lets none pass, a program that calls `main` may
        raise click.UsageError("a word holds a null byte, which no name and no path can")
    try:
        with streams.keep_streams(), cli.make_context("harness", arguments, obj=session) as context:
            return cli.invoke(context)
    except click.exceptions.Exit as stop:
        return stop.exit_code


def _report_error(error: Exception, session: Session) -> int:
    """Say what went wrong, with the traceback under --debug."""
    session.warn()
    if session.debug:
        from traceback import format_exception

        click.echo(clean_ends("".join(format_exception(error)), LONGEST_TRACEBACK), err=True)
    if isinstance(error, HarnessError):
        return _print_error(str(error), error.exit_code)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return error.exit_code
    if isinstance(error, click.ClickException):
        return _print_error(error.format_message() + _point_to_help(error), error.exit_code)
    if isinstance(error, OSError) and error.strerror:
        return _print_error(f"{error.filename or 'output'}: {error.strerror}", 1)
    what = clean_line(f"{type(error).__name__}: {error}")
    return _print_error(f"internal error, please report it at {REPORT_TO}: {what} (--debug shows the traceback)", 1)


def _point_to_help(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"\nharness: {context.command_path} --help shows what it takes" if context else ""


def _print_error(message: str, code: int) -> int:
    click.echo(f"harness: {clean_text(message, LONGEST_MESSAGE)}", err=True)
    return code
