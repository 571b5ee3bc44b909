"""Plugins as they are asked for, named and attempted: settings, a plugin's origin, its problem.

A plugin that fails is a problem with a name, never the end of the program.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

from harness.catalog.guard import guard_process, is_raised_by_plugin
from harness.errors import HarnessError
from harness.words import LONGEST, clean_ends, clean_line

VARIABLE = "HARNESS_PLUGINS"

Stage: TypeAlias = Literal["import", "registration", "listing", "notification"]
T = TypeVar("T")
LONGEST_TRACEBACK = 20_000


def as_word(text: str) -> str:
    """The text as one word of a selection, as which it may stand before a colon."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-")


def normalise_name(name: str) -> str:
    """The name of a distribution as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _read_variable() -> tuple[str, ...] | None:
    text = os.environ.get(VARIABLE)
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


@dataclass(frozen=True)
class Settings:
    """The plugins to load: those that -p, --disable-plugin, --strict-plugins and HARNESS_PLUGINS (`only`) ask for.

    Plain data, so that a trial's process loads the same plugins as the process that planned it.
    """

    plugins: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()
    strict: bool = False
    only: tuple[str, ...] | None = field(default_factory=_read_variable)

    @property
    def requested(self) -> tuple[str, ...]:
        """The names that -p asks to load."""
        return tuple(name for name in self.plugins if not name.startswith("no:"))

    @property
    def blocked(self) -> frozenset[str]:
        """The names that --disable-plugin and -p no:NAME switch off."""
        return frozenset(self.disabled) | {name[3:] for name in self.plugins if name.startswith("no:")}


@dataclass(frozen=True)
class Plugin:
    """Where an offer comes from. distribution and version are empty for a module or file that was not installed."""

    name: str
    distribution: str = ""
    version: str = ""
    module: str = ""
    file: str = ""

    @property
    def provider(self) -> str:
        """The word that qualifies its offers, as in `provider:saf`."""
        return self.distribution or self.name

    def __str__(self) -> str:
        origin = f"{self.distribution} {self.version}".strip() or self.file or self.module
        return f"{self.name} ({origin})" if origin and origin != self.name else self.name

    @property
    def folder_name(self) -> str:
        """A file's name with that of its folder: `version2.mymethod`; empty for what is no file."""
        folder = as_word(Path(self.file).parent.name)
        return f"{folder}.{self.name}" if self.file and folder else ""

    @property
    def full_name(self) -> str:
        """The name of this plugin and no other: `distribution:name`, or the file or module that it is."""
        return f"{self.distribution}:{self.name}" if self.distribution else self.file or self.module or self.name

    def is_called(self, name: str) -> bool:
        """Whether a name means this plugin and no other of its distribution."""
        distribution, colon, own = name.partition(":")
        if colon and self.distribution and normalise_name(distribution) == normalise_name(self.distribution):
            return own in (self.name, self.module)
        return bool(name) and name in (self.name, self.module, self.file)

    def answers_to(self, names: Collection[str]) -> bool:
        """Whether one of the names means this plugin or its whole distribution."""
        own = normalise_name(self.distribution)
        return any(self.is_called(name) or (own and normalise_name(name) == own) for name in names)


@dataclass(frozen=True)
class PluginProblem:
    """A failure of one plugin, and its stage."""

    plugin: str
    distribution: str
    version: str
    stage: Stage
    message: str
    traceback: str = ""

    @classmethod
    def of(cls, plugin: Plugin, stage: Stage, message: str, traceback: str = "") -> PluginProblem:
        return cls(plugin.name, plugin.distribution, plugin.version, stage, message, traceback)

    def is_of(self, plugin: Plugin) -> bool:
        return (self.plugin, self.distribution) == (plugin.name, plugin.distribution)

    def __str__(self) -> str:
        origin = f" ({self.distribution} {self.version})" if self.distribution else ""
        failed = {
            "import": "could not be loaded",
            "registration": "could not be registered",
            "listing": "failed while listing what it offers",
            "notification": "failed while being notified",
        }
        return clean_line(f"plugin {self.plugin}{origin} {failed[self.stage]}: {self.message}", 2 * LONGEST)


def try_action(plugin: Plugin, stage: Stage, action: Callable[[], T]) -> T | PluginProblem:
    """Return the answer of a plugin's code, or the problem that it makes: even SystemExit is one, only Ctrl-C passes.

    What it changes of the process as a whole is put back.
    """
    try:
        with guard_process():
            return action()
    except KeyboardInterrupt as interrupt:
        if not is_raised_by_plugin(interrupt):
            raise
        return _make_problem(plugin, stage, interrupt)
    except BaseException as error:
        return _make_problem(plugin, stage, error)


def run_off_stdout(action: Callable[[], T]) -> T:
    """Run a plugin's code with what it prints sent to stderr: standard output belongs to the command's own result."""
    with contextlib.redirect_stdout(sys.stderr):
        return action()


def _read_message(error: BaseException) -> str:
    """Its message, even where its `__str__` fails."""
    try:
        return str(error)
    except BaseException as another:
        return f"(its message raises {type(another).__name__})"


@contextlib.contextmanager
def in_place() -> Iterator[None]:
    """Import plugins and come back to the working directory, from which other paths of the command are seen."""
    try:
        here = os.open(".", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # it has been removed, or may not be read
        yield
        return
    try:
        yield
    finally:
        os.fchdir(here)
        os.close(here)


def _make_problem(plugin: Plugin, stage: Stage, error: BaseException) -> PluginProblem:
    from traceback import format_exception  # it loads linecache and tokenize, which a healthy run does not need

    kind = "" if isinstance(error, HarnessError) else f"{type(error).__name__}: "
    message = clean_line(f"{kind}{_read_message(error)}")
    text = clean_ends("".join(format_exception(error)), LONGEST_TRACEBACK)
    return PluginProblem.of(plugin, stage, message, text)
