"""The errors that the harness raises on purpose, each with the exit code that it ends the program with."""

from __future__ import annotations

import signal


class HarnessError(Exception):
    """Something a user can mend. The message names the thing, what was expected, what came and what to do next."""

    exit_code = 1


class UsageError(HarnessError):
    """A mistake in what was asked for: found in planning, before anything is trained."""

    exit_code = 2


class PluginError(HarnessError):
    """A plugin could not be loaded and --strict-plugins was given."""

    exit_code = 3


class Broken(Exception):
    """Raised by a check: the method, data set or metric does not keep its promise, for this reason."""


class Unsupported(Exception):
    """Raised by a learner or a data set for a problem that it cannot take: the trial is skipped with this reason."""


class Diverged(Exception):
    """Raised by a learner whose training has left what is finite or of any use: the trial's record says so."""


def is_interrupt(error: BaseException) -> bool:
    """Whether an error is Ctrl-C. Where that is ignored, as in a trial's own process, a plugin has raised it."""
    return isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
