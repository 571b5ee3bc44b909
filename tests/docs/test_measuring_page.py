"""docs/measuring.md says what each quantity of the catalogue is, and its constants are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.catalog import Settings, load_catalog
from harness.metrics.scores import CALIBRATION_BINS
from harness.report.rows import parts
from harness.trials.pace import MOST_POINTS, WARMUP_UPDATES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "measuring.md").read_text(encoding="utf-8")
LINES = re.findall(r"^\| `(\w+)` \| (.+?) \| (.*?) ?\|$", PAGE, re.MULTILINE)
CATALOG = load_catalog(Settings(strict=True, only=None))


def test_every_metric_has_a_line_and_every_line_a_metric():
    ours = [each.value.name for each in CATALOG.metrics.offers() if each.plugin.distribution == "harness-bench"]
    assert sorted(name for name, _, _ in LINES) == sorted(ours)


def test_every_reading_of_an_instrument_that_is_a_metric_is_there():
    named = {name for name, _, _ in LINES}
    assert {each.name for each in CATALOG.instruments.values() if each.name in CATALOG.metrics.names()} <= named


@pytest.mark.parametrize("unit", ["s", "B", "J"])
def test_a_quantity_with_a_unit_stands_under_its_heading(unit):
    heading = {"s": "Time", "B": "(Memory|Size|Operations)", "J": "Energy and the device"}[unit]
    under = "".join(re.findall(rf"^## {heading}\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)[0])
    if unit == "B":
        under = PAGE[PAGE.index("## Memory") : PAGE.index("## Energy")]
    named = re.findall(r"^\| `(\w+)` \|", under, re.MULTILINE)
    assert {each.name for each in CATALOG.metrics.values() if each.unit == unit} <= set(named)


def test_constants_are_those_of_the_code():
    joules = (parts.MAC_JOULES, parts.AC_JOULES, parts.SRAM_JOULES, parts.DRAM_JOULES)
    said = [float(each) * 1e-12 for each in re.findall(r"([\d.]+) pJ", PAGE)]
    assert said == pytest.approx(joules)
    assert parts.SOURCE in PAGE.replace("\n", " ")
    assert f"over {CALIBRATION_BINS} equal-width bins" in PAGE
    assert f"At most {MOST_POINTS} points" in PAGE
    assert WARMUP_UPDATES == 5
    assert "Five updates of warm-up" in PAGE


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGE):
        assert "://" in target or (ROOT / "docs" / target).exists(), target
