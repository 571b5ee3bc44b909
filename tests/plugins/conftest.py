"""Fixtures of the tests that plan the suites and trials of plugins."""

import pytest

from harness.catalog import Settings, load_catalog


@pytest.fixture(scope="session")
def catalog():
    """All plugins that are installed."""
    return load_catalog(Settings())


@pytest.fixture
def no_files_needed(monkeypatch):
    """Planning, on a machine that has neither the data nor the modules that read them."""
    monkeypatch.setattr("harness.data.files.require_files", lambda *_: None)
    monkeypatch.setattr("harness.planning.plan._refuse_unavailable", lambda _: None)
