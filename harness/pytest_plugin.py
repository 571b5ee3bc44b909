"""A pytest plugin: `pytest --harness-plugin NAME` adds one test for each promise that the offers of NAME have to keep.

NAME is a plugin, a module, a .py file or a distribution; the option may be given several times, or once for all in
pyproject.toml:

    [tool.pytest.ini_options]
    addopts = "--harness-plugin harness_mymethod"

pytest loads this module wherever the harness is installed, so that it imports nothing of weight until it is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.catalog import Catalog
    from harness.testing import Case

OPTION = "--harness-plugin"
CHECKS = "harness.checks"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("harness", "contracts of harness plugins")
    meaning = "test what this harness plugin, module, .py file or distribution offers; may be repeated"
    group.addoption(OPTION, action="append", default=[], metavar="NAME", dest="harness_plugins", help=meaning)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Before -k and -m choose among all items, ours among them."""
    names = config.getoption("harness_plugins")
    if names:
        items += _make_items(session, list(dict.fromkeys(names)))


def _make_items(session: pytest.Session, names: list[str]) -> Iterator[pytest.Item]:
    """Raises pytest.UsageError for a name that offers nothing to test."""
    from harness.errors import HarnessError
    from harness.testing import cases_of_plugin

    try:
        catalog = _load_with_checks(names)
        found = {name: cases_of_plugin(catalog, name) for name in names}
    except HarnessError as error:
        raise pytest.UsageError(f"{OPTION}: {error}") from error
    for name, cases in found.items():
        parent = Contracts.from_parent(session, name=f"{OPTION}={name}", nodeid=name)
        for case in cases:
            yield Promise.from_parent(parent, name=f"{case.label}::{case.check.name}", case=case)


def _load_with_checks(names: list[str]) -> Catalog:
    """The catalogue of installed plugins, of others by module or file, and the checks whatever HARNESS_PLUGINS says."""
    from harness.catalog import Settings, load_catalog

    catalog = load_catalog(Settings(plugins=(CHECKS,)))
    missing = [name for name in names if not any(plugin.answers_to([name]) for plugin in catalog.plugins)]
    return load_catalog(Settings(plugins=(CHECKS, *missing))) if missing else catalog


class Contracts(pytest.Collector):
    """The node above the promises of one plugin."""

    def collect(self) -> Iterator[pytest.Item]:
        yield from ()


class Promise(pytest.Item):
    """One check as a test: fails where the promise is broken, is skipped where it does not apply."""

    def __init__(self, *, case: Case, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.case = case

    def runtest(self) -> None:
        result = self.case.run()
        if result.status == "not applicable":
            pytest.skip(result.reason)
        if result.status == "broken":
            where = f"\n\n{result.traceback}" if result.traceback else ""
            pytest.fail(f"{self.case.check.summary}: {result.reason}{where}", pytrace=False)

    def reportinfo(self) -> tuple[str, None, str]:
        return self.path.name, None, f"{self.case.of} {self.case.label}: {self.case.check.name}"
