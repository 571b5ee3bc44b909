"""The published JSON Schema of records is the one that the code writes, and committed records keep it."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from harness.records.format import from_json, to_json
from harness.records.schema import record_schema

jsonschema = pytest.importorskip("jsonschema")

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "docs/record.schema.json"
VALIDATOR = jsonschema.Draft202012Validator(record_schema())
MOST = 50  # records of a suite that are looked at
FOLDERS = sorted(ROOT.glob("results/*/trials"))


def faults(value):
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in VALIDATOR.iter_errors(value)]


def records_of(folder):
    """The records of a suite; of one that has hundreds, some from all over it."""
    paths = sorted(folder.glob("*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths[:: max(1, len(paths) // MOST)]]


def test_the_published_schema_is_the_one_that_the_code_writes():
    again = "python -m harness.records.schema > docs/record.schema.json"
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == record_schema(), again
    jsonschema.Draft202012Validator.check_schema(record_schema())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_committed_records_keep_the_schema_that_they_name(folder):
    own = [each for each in records_of(folder) if each["schema"] == 2]
    assert {each["key"]: found for each in own if (found := faults(each))} == {}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_a_record_of_any_schema_is_written_as_the_published_one_says(folder):
    first, *_ = records_of(folder)
    assert faults(to_json(from_json(first))) == []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("status",), "fine"),
        (("schema",), 1),
        (("trial", "seed"), "0"),
        (("trial", "terms", "budget", "unit"), "hours"),
        (("trial", "method", "sweep"), [["rate"]]),
        (("scores", "accuracy"), "high"),
        (("curve",), [[1, 0.5]]),
        (("warnings", "memory"), 3),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_no_record_does_not_keep_it(place, value):
    broken = copy.deepcopy(records_of(FOLDERS[-1])[0])
    assert faults(broken) == []
    *outer, last = place
    within = broken
    for name in outer:
        within = within[name]
    within[last] = value
    assert faults(broken) != []
    del within[last]
    assert len(faults(broken)) == (last not in ("accuracy", "memory"))  # every field is written, of whatever has names
