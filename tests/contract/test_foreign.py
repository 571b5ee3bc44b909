"""The contract's verdicts on our plugins do not depend on other plugins that are installed."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

from harness.catalog import Settings, load_catalog

METRIC = """
from harness import Metric, hookimpl

@hookimpl
def harness_metrics():
    yield Metric("foreign_score", "breaks", "", "higher", ("classification",), lambda outcome: 1 / 0)
"""
SAMPLE = "accuracy-metric or tested_here or sound_metric or reading_has or every_promise"


def test_the_contract_s_tests_pass_with_a_foreign_metric_installed(tmp_path, monkeypatch):
    described = tmp_path / "foreign_metric-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign-metric\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text("[harness]\nforeign_metric = foreign_metric_of_tests\n")
    (tmp_path / "foreign_metric_of_tests.py").write_text(METRIC)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    assert "foreign_score" in load_catalog(Settings(only=("metrics", "foreign_metric"))).metrics.names()
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "pytest", "-q", "-n0", str(Path(__file__).parent), "-k", SAMPLE]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
