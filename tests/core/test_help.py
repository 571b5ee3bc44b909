"""--help of every command, ours and those of plugins: nothing cut, nothing unexplained, no wider than the terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from harness.cli import cli, main
from harness.cli.help import describe_range, summarise_command
from harness.cli.session import Session
from harness.cli.views import SHELVES

PLUGIN = '''
    import click
    from harness import *

    @hookimpl
    def harness_commands(cli):
        @cli.command("draw")
        @click.option("--size", type=click.IntRange(1, 9), help="How large.")
        @click.option("--share", type=click.FloatRange(min=0, max=1, max_open=True), help="How much.")
        @click.option("--depth", type=click.IntRange(), help="How deep.")
        def draw(size, share, depth):
            """Draw a picture of everything that was measured, in colours that can be told apart by everyone who reads
            it, on paper too, and explain it. More is said here.

            And here.
            """

        @cli.group("paint")
        def paint():
            """Paint."""

        @paint.command("wall")
        def wall():
            """Paint a wall with the brightest of all colours that were on sale in the shop around the corner today.

            Twice.
            """
    '''
SENTENCE = "Draw a picture of everything that was measured, in colours that can be told apart by everyone who reads it,"
WALL = "Paint a wall with the brightest of all colours that were on sale in the shop around the corner today."


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below a group, with the words that call it."""
    yield path, group
    context = click.Context(group, obj=Session())
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        elif command is not None:
            yield (*path, name), command


ALL = list(commands(cli))


def shown(capsys, monkeypatch, *words: str, columns: int = 80) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main([*words, "--help"]) == 0
    return capsys.readouterr().out


def joined(text: str) -> str:
    """Folded text in one line; a fold may be behind a hyphen."""
    return re.sub(r"-\s+", "-", " ".join(text.split()))


def test_the_commands_of_plugins_are_among_them():
    assert {("data", "fetch"), ("run",), ("agree",), ("profile",), ()} <= {path for path, _ in ALL}


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("path", [path for path, _ in ALL], ids=" ".join)
def test_help_is_whole_and_clear(capsys, monkeypatch, path, columns):
    text = shown(capsys, monkeypatch, *path, columns=columns)
    assert not re.search(r"RANGE|x\s*[<>]=?|\bNone\b|INTEGER|FLOAT|TEXT|[a-z]\.\.\.$", text, re.MULTILINE)
    assert max(map(len, text.splitlines())) <= columns


@pytest.mark.parametrize(("path", "command"), ALL, ids=lambda value: " ".join(value) if type(value) is tuple else "")
def test_every_option_says_what_it_means(path, command):
    assert command.help
    for option in (each for each in command.params if isinstance(each, click.Option)):
        meaning = re.sub(r"\[.*?\]", "", option.help or "").strip()
        assert meaning, (path, option.opts)
        assert meaning.endswith("."), (path, option.opts, meaning)


@pytest.mark.parametrize(
    ("path", "group"), [(path, command) for path, command in ALL if isinstance(command, click.Group)]
)
def test_the_summary_of_a_command_is_its_first_sentence(capsys, monkeypatch, path, group):
    context = click.Context(group, obj=Session())
    text = joined(shown(capsys, monkeypatch, *path))
    for name in group.list_commands(context):
        said = re.search(rf" {name} ([A-Z][^.]*\.)", text)
        assert said, name
        own = joined(summarise_command(group.get_command(context, name)))
        assert said[1] == own or path == ()


def test_plugins_need_not_care(install, capsys, monkeypatch):
    install("acme", pictures=PLUGIN)
    monkeypatch.setenv("HARNESS_PLUGINS", "pictures")
    assert SENTENCE in joined(shown(capsys, monkeypatch))
    assert WALL in joined(shown(capsys, monkeypatch, "paint"))
    options = joined(shown(capsys, monkeypatch, "draw"))
    assert "--size N How large. [1 to 9]" in options
    assert "--share NUMBER How much. [at least 0, below 1]" in options
    assert "--depth N How deep. -" in options


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (click.IntRange(1), "at least 1"),
        (click.FloatRange(min=0, min_open=True), "above 0"),
        (click.FloatRange(max=2.5), "at most 2.5"),
        (click.FloatRange(0, 1, max_open=True), "at least 0, below 1"),
        (click.IntRange(), ""),
    ],
)
def test_limits_in_words(kind, words):
    assert describe_range(kind) == words


def test_list_names_every_shelf(capsys, monkeypatch):
    text = joined(shown(capsys, monkeypatch, "list"))
    assert f"A SHELF ({', '.join(SHELVES)}) is one kind" in text


def test_the_help_of_here_says_what_a_trial_may_end(capsys):
    assert main(["run", "--help"]) == 0
    assert "what ends the process ends the run" in " ".join(capsys.readouterr().out.split())
