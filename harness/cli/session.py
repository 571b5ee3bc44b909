"""The options of one call of the program, and the catalogue of plugins that its commands share."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from copy import copy
from functools import partial
from typing import Any, TypeVar

import click

from harness.catalog import Catalog, PluginProblem, Settings, in_place, load_catalog
from harness.cli.help import WIDEST, format_group_help, word_limits

Command = TypeVar("Command", bound=click.Command)


class Session:
    """The object of every command's context: `@click.pass_obj def run(session, ...)`.

    debug: show tracebacks. The catalogue is loaded when it is first used, after all options have been read.
    """

    def __init__(self) -> None:
        self.plugins: list[str] = []
        self.disabled: list[str] = []
        self.strict = False
        self.debug = False
        self.arguments: tuple[str, ...] = ()  # as the program was called
        self._loaded: tuple[Settings, Catalog] | None = None
        self._group: tuple[Catalog, click.Group] | None = None
        self._warned = 0

    @property
    def settings(self) -> Settings:
        """The plugins to load."""
        return Settings(tuple(dict.fromkeys(self.plugins)), tuple(dict.fromkeys(self.disabled)), self.strict)

    @property
    def catalog(self) -> Catalog:
        """The plugins of the settings. Raises PluginError under --strict-plugins for one that is broken."""
        if self._loaded is None or self._loaded[0] != self.settings:
            with in_place():
                self._loaded, self._warned = (self.settings, load_catalog(self.settings)), 0
            self.warn()
        return self._loaded[1]

    def plugin_commands(self, reserved: Collection[str]) -> Mapping[str, click.Command]:
        """The commands that plugins add; none of them takes a reserved name."""
        catalog = self.catalog
        if self._group is None or self._group[0] is not catalog:
            self._group = (catalog, click.Group())
            catalog.add_commands(self._group[1], reserved)
            self.warn()
        return self._group[1].commands

    def tolerant_catalog(self) -> Catalog:
        """A catalogue that keeps its problems to itself, for a command that shows them."""
        return load_catalog(dataclasses.replace(self.settings, strict=False))

    def warn(self) -> None:
        """Say on stderr, in one line, which plugins have failed since the last warning."""
        problems = self._loaded[1].problems[self._warned :] if self._loaded else []
        self._warned += len(problems)
        # A notification that fails is warned of at once, by the catalogue.
        shown = [problem for problem in problems if problem.stage != "notification"]
        if shown:
            click.echo(f"harness: {_summarise_problems(shown)}", err=True)


def _summarise_problems(problems: list[PluginProblem]) -> str:
    plugins = [plugin for plugin, _ in dict.fromkeys((problem.plugin, problem.distribution) for problem in problems)]
    if len(plugins) == 1:
        return f"{problems[0]}; harness plugins --problems shows more"
    return f"{len(plugins)} plugins failed ({', '.join(plugins)}): harness plugins --problems says why"


def session_of(context: click.Context) -> Session:
    """The session of this call, made where a command is called without `main`."""
    return context.find_root().ensure_object(Session)


def with_global_options(command: Command) -> Command:
    """A copy of the command (and of its subcommands) that takes the global options too, unless it has such ones.

    Its help cuts no sentence and says limits in words. Of an option that takes one value it refuses a second one, of
    which click would take the last without a word.
    """
    copied = copy(command)
    copied.parse_args = partial(_parse_once, copied, type(command))  # type: ignore[method-assign]
    taken = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    own = map(word_limits, command.params)
    copied.params = [*own, *(option for option in _make_global_options() if taken.isdisjoint(option.opts))]
    copied.context_settings = {"max_content_width": WIDEST, **command.context_settings}
    if isinstance(copied, click.Group):
        if type(copied).format_commands is click.Group.format_commands:
            copied.format_commands = partial(format_group_help, copied)  # type: ignore[method-assign]
        copied.commands = {name: with_global_options(each) for name, each in copied.commands.items()}
    return copied


def _parse_once(
    command: click.Command, kind: type[click.Command], context: click.Context, args: list[str]
) -> list[str]:
    given = list(args)
    try:
        rest = kind.parse_args(command, context, args)
    except click.UsageError as error:
        if type(error) is not click.UsageError:
            raise
        raise click.UsageError(error.message + _suggest_comma(command, error.message), error.ctx) from error
    if not context.resilient_parsing:
        _, _, order = command.make_parser(context).parse_args(given)
        single = [each for each in order if isinstance(each, click.Option) and not (each.multiple or each.count)]
        for option, times in Counter(each for each in single if not each.is_flag).items():
            if times > 1:
                name = max(option.opts, key=len)
                raise click.UsageError(f"{name} is given {times} times, it takes one value", context)
    return rest


def _suggest_comma(command: click.Command, message: str) -> str:
    """Suggest quotes for a word too many, where a blank in a list may have made it."""
    lists = [each for each in command.params if isinstance(each, click.Option) and each.metavar == "LIST"]
    if "unexpected extra argument" not in message or not lists:
        return ""
    return f"; a list is one word or stands in quotes: {lists[0].opts[0]} a,b"


def _make_global_options() -> list[click.Option]:
    """The options that stand before or after any command; eager, so that --help knows of the commands of a plugin."""
    plugin = "Load a plugin: a module, a .py file, or the name of an installed one; no:NAME switches one off."
    off = "Do not load this plugin; DISTRIBUTION:NAME where another has the same name."
    strict = "End with exit code 3 when a plugin is broken."
    return [
        _make_option(["-p", "--plugin"], _extend_setting("plugins"), plugin, metavar="NAME", multiple=True),
        _make_option(["--disable-plugin"], _extend_setting("disabled"), off, metavar="NAME", multiple=True),
        _make_option(["--strict-plugins"], _raise_flag("strict"), strict, is_flag=True),
        _make_option(["--debug"], _raise_flag("debug"), "Show the traceback of an error.", is_flag=True),
    ]


_Callback = Callable[[click.Context, click.Parameter, Any], None]


def _make_option(
    names: list[str],
    callback: _Callback,
    meaning: str,
    metavar: str | None = None,
    multiple: bool = False,
    is_flag: bool = False,
) -> click.Option:
    return click.Option(
        names,
        callback=callback,
        help=meaning,
        metavar=metavar,
        multiple=multiple,
        is_flag=is_flag,
        is_eager=True,
        expose_value=False,
    )


def _extend_setting(attribute: str) -> _Callback:
    def callback(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> None:
        if None in values:  # click's word for an option that another one follows
            raise click.BadParameter("a name is missing", context, parameter)
        getattr(session_of(context), attribute).extend(values)

    return callback


def _raise_flag(attribute: str) -> _Callback:
    def callback(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        del parameter
        if value:
            setattr(session_of(context), attribute, True)

    return callback
