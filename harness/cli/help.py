"""The help of commands and options, ours and those of plugins: whole sentences, and limits in words."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from copy import copy
from functools import partial
from typing import Any, TypeAlias

import click

WIDEST = 100  # of help, on a terminal that has the room
SENTENCE = re.compile(r"(.+?[.!?])(?:\s|$)")

Range: TypeAlias = "click.IntRange | click.FloatRange"


def word_limits(parameter: click.Parameter) -> click.Parameter:
    """A copy of an option with a range that says its limits in words, not as `INTEGER RANGE` and `[x>=1]`."""
    if not isinstance(parameter, click.Option) or not isinstance(parameter.type, (click.IntRange, click.FloatRange)):
        return parameter
    copied = copy(parameter)
    copied.metavar = parameter.metavar or ("N" if isinstance(parameter.type, click.IntRange) else "NUMBER")
    copied.get_help_extra = partial(_extend_help, copied, describe_range(parameter.type))  # type: ignore[method-assign]
    copied.type = Worded(parameter.type)
    return copied


class Worded(click.ParamType[Any]):
    """A range whose answer to a value beyond it is in words."""

    def __init__(self, kind: Range) -> None:
        self.name, self._kind = kind.name, kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._kind.convert(value, param, ctx)
        except click.BadParameter as error:
            if "not in the range" not in error.message:
                raise
            self.fail(f"{value!r}: expected {describe_range(self._kind)}", param, ctx)


def _extend_help(option: click.Option, words: str, context: click.Context) -> Any:
    extra = type(option).get_help_extra(option, context)
    extra.pop("range", None)
    return {**extra, **({"range": words} if words else {})}


def describe_range(kind: Range) -> str:
    """`at least 1`, `above 0`, `0 to 9`; empty where there are none.

    >>> describe_range(click.IntRange(0, 9)), describe_range(click.FloatRange(min=0, min_open=True))
    ('0 to 9', 'above 0')
    """
    if kind.min is not None and kind.max is not None and not (kind.min_open or kind.max_open):
        return f"{kind.min:g} to {kind.max:g}"
    low = "" if kind.min is None else f"{'above' if kind.min_open else 'at least'} {kind.min:g}"
    high = "" if kind.max is None else f"{'below' if kind.max_open else 'at most'} {kind.max:g}"
    return ", ".join(filter(None, (low, high)))


def summarise_command(command: click.Command) -> str:
    """The first sentence of a command's help, whole however long it is; its short help where it has one."""
    text = command.short_help or command.help or ""
    paragraph = " ".join(inspect.cleandoc(text).partition("\f")[0].partition("\n\n")[0].replace("\b", "").split())
    sentence = SENTENCE.match(paragraph)
    return sentence[1] if sentence else paragraph


def write_commands(formatter: click.HelpFormatter, summaries: Mapping[str, str]) -> None:
    """Commands and their summaries, folded beside each other, by name."""
    if summaries:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(summaries.items()))


def format_group_help(group: click.Group, context: click.Context, formatter: click.HelpFormatter) -> None:
    """The section of a group's help that lists its commands."""
    commands = {name: group.get_command(context, name) for name in group.list_commands(context)}
    shown = {name: summarise_command(each) for name, each in commands.items() if each and not each.hidden}
    write_commands(formatter, shown)
