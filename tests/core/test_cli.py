"""The command line: exit codes, messages and listings, through `main` as a user's shell calls it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys

import click
import pytest

import harness
from harness.cli import cli, main
from harness.cli.group import OWN

HEAVY = ("torch", "pandas", "scipy", "sklearn", "numpy", "rich")

# --- errors and exit codes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lst"], "unknown command 'lst'; did you mean 'list'? Known commands: check, code, compare, data"),
        (["list", "--fromat", "json"], "--format"),
        (["run", "--epochs", "-1"], "'--epochs': '-1': expected at least 0"),
        (["run", "--timeout", "0"], "'--timeout': '0': expected above 0"),
        (["run", "--epochs", "ten"], "'ten' is not a valid number"),
        (
            ["run", "--methods", "saf,", "ottt"],
            "argument (ottt); a list is one word or stands in quotes: --methods a,b",
        ),
        (["list", "--format", "xml"], "'xml' is not one of 'text', 'json'"),
        (["list", "methds"], "nothing is called 'methds'; did you mean 'methods'? Shelves: methods, datasets"),
        (["list", "zzz"], "nothing is called 'zzz'; shelves: methods, datasets"),
        (["list", "spiky", "toy"], "unexpected extra argument"),
        (["list", "--disable-plugin", "tin"], "--disable-plugin: no plugin 'tin'; did you mean 'tiny'"),
        (["list", "-p", "./gone.py"], "plugin ./gone.py: expected a .py file, found no such file"),
    ],
)
def test_a_mistake_in_the_call_is_exit_2_and_names_the_word(plugin, capsys, arguments, message):
    assert main(["-p", plugin, *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.startswith("harness: ")
    assert len(err.splitlines()) <= 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--results", "a", "--results", "b", "--methods", "spiky"],
        ["run", "--seeds", "3", "--methods=spiky", "--seeds=[0]"],
        ["report", "--format", "csv", "--format", "json"],
        ["data", "list", "--data-dir", "a", "--data-dir", "b"],
        ["paint", "--size", "1", "--size", "2"],
    ],
)
def test_a_second_value_of_an_option_that_takes_one_is_refused(plugin, capsys, arguments):
    assert main(["-p", plugin, *arguments]) == 2
    out, err = capsys.readouterr()
    option = next(word.partition("=")[0] for word in arguments if word.startswith("--"))
    assert out == ""
    assert err.splitlines()[0] == f"harness: {option} is given 2 times, it takes one value"


def test_options_that_take_several_values_and_flags_may_be_given_twice(plugin, capsys):
    assert main(["-p", plugin, "list", "methods", "-p", plugin, "--debug", "--debug"]) == 0
    assert "spiky" in capsys.readouterr().out
    assert main(["-p", plugin, "paint", "--size", "1", "--size", "2", "--help"]) == 0


@pytest.mark.parametrize(
    ("how", "code", "message"),
    [
        ("user", 1, "harness: mend this\n"),
        ("disk", 1, "harness: /full: No space\n"),
        ("output", 1, "harness: output: No space\n"),
        ("stop", 130, "harness: interrupted\n"),
        ("bug", 1, "harness: internal error, please report it at https://"),
    ],
)
def test_what_a_command_raises_becomes_a_line_and_an_exit_code(plugin, capsys, how, code, message):
    assert main(["-p", plugin, "fail", how]) == code
    err = capsys.readouterr().err.lstrip("\n")
    assert err.startswith(message)
    assert len(err.splitlines()) == 1
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [["--debug", "fail", "bug"], ["fail", "bug", "--debug"]])
def test_debug_shows_the_traceback_and_keeps_the_exit_code(plugin, capsys, arguments):
    assert main(["-p", plugin, *arguments]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "KeyError: 'lost'" in err


def test_a_command_s_own_exit_code_is_the_program_s(plugin):
    assert main(["-p", plugin, "code", "4"]) == 4
    assert main(["-p", plugin, "code", "0"]) == 0
    with pytest.raises(SystemExit, match="7"):
        main(["-p", plugin, "fail", "exit"])


@pytest.mark.parametrize("arguments", [["list"], ["--help"], ["draw"]])
def test_a_reader_that_goes_away_is_no_error(plugin, arguments):
    command = [sys.executable, "-c", "import sys; from harness.cli import main; sys.exit(main(sys.argv[1:]))"]
    process = subprocess.Popen(
        [*command, "-p", plugin, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 141


def test_windows_is_refused_with_a_reason(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "win32")
    assert main(["list"]) == 1
    assert "harness: Windows is not supported: " in capsys.readouterr().err


# --- plugins from the command line --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [["-p", "FILE", "list", "methods"], ["list", "-p", "FILE", "methods"], ["list", "methods", "--plugin=FILE"]],
)
def test_global_options_stand_before_and_after_the_command(plugin, capsys, arguments):
    assert main([argument.replace("FILE", plugin) for argument in arguments]) == 0
    assert capsys.readouterr().out.startswith("method spiky: a spiking method\n")


def test_a_plugin_can_be_switched_off_in_both_ways(plugin, capsys):
    for off in (["--disable-plugin", "tiny"], ["-p", "no:tiny"]):
        assert main(["list", "methods", "-p", plugin, *off]) == 0
        assert "spiky" not in capsys.readouterr().out


def test_plugins_add_commands_that_share_the_session(plugin, capsys):
    assert main(["-p", plugin, "paint", "--size", "3", "--debug"]) == 0
    assert capsys.readouterr().out == "3 True ['spiky']\n"
    assert main(["-p", plugin, "--help"]) == 0
    help_text = capsys.readouterr().out
    assert "Draw a picture." in help_text
    assert all(own.summary.split()[0] in help_text for own in OWN.values())


def test_a_broken_plugin_is_one_warning_and_the_command_works(install, capsys, monkeypatch):
    install("stranger", broken="raise ImportError('no luck')")
    monkeypatch.setenv("HARNESS_PLUGINS", "broken, metrics")
    assert main(["list", "metrics"]) == 0
    out, err = capsys.readouterr()
    assert "accuracy" in out
    assert err == (
        "harness: plugin broken (stranger 1.0) could not be loaded: ImportError: no luck; "
        "harness plugins --problems shows more\n"
    )


def test_several_broken_plugins_are_one_warning(install, capsys, monkeypatch):
    install("stranger", first="1 / 0", second="1 / 0")
    monkeypatch.setenv("HARNESS_PLUGINS", "stranger")
    assert main(["list", "metrics"]) == 0
    assert capsys.readouterr().err == "harness: 2 plugins failed (first, second): harness plugins --problems says why\n"


def test_what_fails_while_listing_is_warned_of_too(install, capsys, monkeypatch):
    install("stranger", late="@hookimpl\ndef harness_suites(): raise RuntimeError('late')")
    monkeypatch.setenv("HARNESS_PLUGINS", "late")
    assert main(["list", "suites"]) == 0
    assert (
        "plugin late (stranger 1.0) failed while listing what it offers: RuntimeError: late" in capsys.readouterr().err
    )


@pytest.mark.parametrize("command", [["list"], ["plugins"], ["--help"]])
def test_strict_makes_a_broken_plugin_exit_3(install, capsys, monkeypatch, command):
    install("stranger", broken="1 / 0")
    monkeypatch.setenv("HARNESS_PLUGINS", "broken")
    code = main(["--strict-plugins", *command])
    assert code == (0 if command == ["--help"] else 3)  # help is always given
    assert ("broken" in capsys.readouterr().err) == (code == 3)


def test_plugins_tells_what_is_loaded_off_and_broken(install, offers_method, capsys, monkeypatch):
    install("friend", good=offers_method("fine"), off="1 / 0")
    install("stranger", broken="import missing_module")
    monkeypatch.setenv("HARNESS_PLUGINS", "friend,stranger")
    assert main(["plugins", "--disable-plugin", "off"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    rows = {line.split()[0]: line for line in out.splitlines() if line.startswith("  ")}
    assert "friend 1.0" in rows["good"]
    assert rows["good"].endswith("methods: fine")
    assert rows["off"].endswith("(switched off)")
    assert rows["broken"].endswith("(failed)")
    assert main(["plugins", "--problems", "--disable-plugin", "off"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("plugin broken (stranger 1.0) could not be loaded: ModuleNotFoundError")
    assert "Traceback" in out
    assert main(["plugins", "--format", "json", "--disable-plugin", "off"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert [plugin["hooks"] for plugin in value["plugins"] if plugin["name"] == "good"] == [["harness_methods"]]
    assert [problem["stage"] for problem in value["problems"]] == ["import"]
    assert "off" in [plugin["name"] for plugin in value["switched_off"]]


def test_no_problems_are_said_to_be_none(plugin, capsys):
    assert main(["plugins", "--problems", "-p", plugin]) == 0
    assert capsys.readouterr().out == "no problems\n"


# --- help, version, speed -----------------------------------------------------------------------------------------


def test_version_and_help(capsys, monkeypatch):
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"harness {harness.__version__}\n"
    assert main(["-h"]) == 0
    assert "harness run --methods saf,ottt" in capsys.readouterr().out
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("Usage: harness")


def test_the_script_of_the_distribution_is_main():
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="harness")
    assert script.load() is main


def test_the_shell_can_complete_commands():
    environment = os.environ | {"_HARNESS_COMPLETE": "bash_complete", "COMP_WORDS": "harness plug", "COMP_CWORD": "1"}
    command = [sys.executable, "-c", "from harness.cli import main; main()"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.stdout == "plain,plugins\n"


@pytest.mark.parametrize("name", OWN)
def test_every_command_of_ours_exists_and_takes_the_global_options(name):
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert {"plugin", "disable_plugin", "strict_plugins", "debug"} <= {each.name for each in command.params}
    if isinstance(command, click.Group):
        for each in command.commands.values():
            assert "plugin" in {parameter.name for parameter in each.params}


@pytest.mark.parametrize("arguments", [["list"], ["list", "methods"], ["--help"], ["plugins"]])
def test_listing_imports_nothing_heavy(arguments):
    code = f"import sys; from harness.cli import main; main({arguments!r}); print('loaded', *sys.modules)"
    environment = {name: value for name, value in os.environ.items() if name != "HARNESS_PLUGINS"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    loaded = result.stdout.rpartition("loaded ")[2].split()
    assert "harness.metrics" in loaded
    assert not set(HEAVY) & set(loaded)
