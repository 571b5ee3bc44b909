"""Every question of the core is documented, and answered here by a plugin through the public door."""

from __future__ import annotations

import inspect
from pathlib import Path

import click
import pytest

from harness import (
    BackendOffer,
    Check,
    Dataset,
    ExecutorOffer,
    Export,
    Formula,
    Instrument,
    Method,
    Metric,
    Suite,
    hookimpl,
    hookspecs,
)
from harness.catalog import Catalog

SPECS = {name: spec for name, spec in vars(hookspecs).items() if name.startswith("harness_")}


def nothing(*arguments: object) -> None:
    del arguments


OFFERED = {
    "harness_methods": Method("x", "s", factory=nothing, kinds=("classification",)),
    "harness_datasets": Dataset("x", "s", kind="classification", load=nothing),
    "harness_metrics": Metric("x", "s", unit="s", better="lower"),
    "harness_instruments": Instrument("x", "s", factory=nothing),
    "harness_formulas": Formula("mylib::x", macs=nothing),
    "harness_exports": Export("x", "s", write=nothing),
    "harness_suites": Suite("x", "s", Path("x.toml")),
    "harness_checks": Check("x", "s", of="method", function=nothing),
    "harness_executors": ExecutorOffer("x", "s", factory=nothing),
    "harness_backends": BackendOffer("x", factory=nothing, check=nothing),
}
NOTIFIED = {
    "harness_run_started": {"trials": ["a trial"]},
    "harness_trial_started": {"trial": "a trial"},
    "harness_trial_finished": {"trial": "a trial", "record": "a record"},
    "harness_run_finished": {"records": ["a record"]},
}


def plugin(hook: str, function: object) -> object:
    """A plugin with one hook."""
    return type("Plugin", (), {hook: staticmethod(hookimpl(function))})()


@pytest.mark.parametrize("name", SPECS)
def test_every_hook_is_documented(name):
    text = inspect.getdoc(SPECS[name])
    assert text, name
    assert text.partition("\n")[0].endswith("."), f"{name}: the first line is a sentence"


def test_every_hook_is_exercised_here():
    assert set(SPECS) == {*OFFERED, *NOTIFIED, "harness_commands"}


@pytest.mark.parametrize("hook", OFFERED)
def test_what_a_hook_yields_lies_on_its_shelf(hook):
    catalog = Catalog.of(plugin(hook, lambda: iter([OFFERED[hook]])))
    shelf = getattr(catalog, hook.removeprefix("harness_"))
    assert shelf.values() == [OFFERED[hook]]
    assert shelf.get(OFFERED[hook].name) is OFFERED[hook]
    assert [name for name in OFFERED if catalog.shelf(name).names()] == [hook]


@pytest.mark.parametrize("hook", NOTIFIED)
def test_a_notification_reaches_a_plugin_with_what_its_spec_names(hook):
    parameters = list(inspect.signature(SPECS[hook]).parameters)
    assert list(NOTIFIED[hook]) == parameters
    heard = []
    source = f"def {hook}({', '.join(parameters)}): heard.append(dict(locals()))"
    namespace = {"heard": heard}
    exec(source, namespace)
    Catalog.of(plugin(hook, namespace[hook])).notify(hook, NOTIFIED[hook])
    assert heard == [NOTIFIED[hook]]


def test_a_plugin_takes_only_the_arguments_that_it_wants():
    heard = []
    catalog = Catalog.of(plugin("harness_trial_finished", lambda record: heard.append(record)))
    catalog.notify("harness_trial_finished", NOTIFIED["harness_trial_finished"])
    assert heard == ["a record"]


def test_harness_commands_adds_a_command():
    command = click.Command("plot")
    cli = click.Group()
    Catalog.of(plugin("harness_commands", lambda cli: cli.add_command(command))).add_commands(cli)
    assert cli.commands == {"plot": command}
