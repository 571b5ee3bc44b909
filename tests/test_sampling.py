"""Samples of products leave no value of any axis out."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

from sampling import covering

AXES = {"shape": ["dense", "map", "pairs", "global"], "steps": [1, 5], "masked": [True, False], "dtype": [float, int]}


def cases(axes):
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def test_a_sample_shows_every_value_of_every_axis_and_no_more_cases_than_the_longest_has():
    every = cases(AXES)
    sample = [every[place] for place in covering(every)]
    assert {axis: {case[axis] for case in sample} for axis in AXES} == {axis: set(AXES[axis]) for axis in AXES}
    assert len(sample) == 4


def test_a_sample_is_the_same_every_time():
    assert covering(cases(AXES)) == covering(cases(AXES))


def test_values_that_never_meet_others_are_shown_all_the_same():
    assert covering([{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 1}]) == [0, 1, 2]
    assert covering([{"a": 1, "b": 1}, {"a": 2, "b": 2}, {"a": 2, "b": 1}]) == [0, 1]


CONFTEST = """
from sampling import mark_left_out

def pytest_configure(config):
    config.addinivalue_line("markers", "sampled: a sample")
    config.addinivalue_line("markers", "slow: the rest")

def pytest_collection_modifyitems(items):
    mark_left_out(items)
"""
TESTS = """
import pytest

@pytest.mark.sampled
@pytest.mark.parametrize("a", [1, 2])
@pytest.mark.parametrize("b", "xyz")
def test_all(a, b): ...

@pytest.mark.sampled
@pytest.mark.parametrize("c", [3, 4])
@pytest.mark.parametrize("a, b", [(1, 1), (1, 2), (2, 2)])
def test_rows(a, b, c): ...

@pytest.mark.sampled("kind")
@pytest.mark.parametrize("kind, number", [("one", 1), ("one", 2), ("two", 3)])
def test_some_axes(kind, number): ...

@pytest.mark.parametrize("a", [1, 2])
def test_unmarked(a): ...
"""


def test_what_no_sample_needs_is_slow(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_these.py").write_text(TESTS)
    quiet = ("-q", "--collect-only", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *quiet, "-m", "not slow", str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert [line.partition("::")[2] for line in done.stdout.splitlines() if "::" in line] == [
        "test_all[x-1]",
        "test_all[y-2]",
        "test_all[z-1]",
        "test_rows[1-1-3]",
        "test_rows[1-2-4]",
        "test_rows[2-2-3]",
        "test_some_axes[one-1]",
        "test_some_axes[two-3]",
        "test_unmarked[1]",
        "test_unmarked[2]",
    ]
