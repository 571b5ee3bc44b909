"""Readings that are added to a record after its trial: they stand there like others, and take no other's place."""

import pytest
from example_records import record

from harness import HarnessError, add_readings, read_records
from harness.records.store import Store


@pytest.fixture
def ended(tmp_path):
    """A results folder with one record, and that record's key."""
    store = Store(tmp_path)
    store.prepare()
    return tmp_path, store.write(record("dense", scores={"accuracy": 0.5}, readings={"macs": 7})).trial.key


def test_what_is_added_stands_in_the_record_like_other_readings(ended):
    folder, key = ended
    returned = add_readings(folder, key, {"distance": 0.25, "distance_to": "elsewhere"})
    (found,) = read_records(folder)
    assert found == returned
    assert found.readings == {"macs": 7, "distance": 0.25, "distance_to": "elsewhere"}
    assert found.scores == {"accuracy": 0.5}


def test_what_was_added_before_gives_way(ended):
    folder, key = ended
    add_readings(folder, key, {"distance": 0.25})
    add_readings(folder, key, {"distance": 0.5, "further": 1.0})
    assert add_readings(folder, key, {"further": 2.0}).readings == {"macs": 7, "distance": 0.5, "further": 2.0}


@pytest.mark.parametrize("name", ["macs", "accuracy", "train_seconds"])
def test_what_was_measured_in_the_trial_stays(ended, name):
    folder, key = ended
    with pytest.raises(HarnessError, match=f"reading {name}: trial {key} has measured something of that name"):
        add_readings(folder, key, {name: 1.0})


def test_names_that_none_may_have_and_trials_that_are_not_there_are_said(ended):
    folder, key = ended
    with pytest.raises(HarnessError, match="reading distance@best: the name has an @"):
        add_readings(folder, key, {"distance@best": 1.0})
    with pytest.raises(HarnessError, match="trial nowhere has no record that ended ok"):
        add_readings(folder, "nowhere", {"distance": 1.0})
