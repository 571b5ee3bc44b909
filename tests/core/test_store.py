"""Records on disk: whole or not at all, and never in each other's way."""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import socket
from pathlib import Path

import example_records
import pytest

from harness import Budget, HarnessError, Record, Trial
from harness.records.format import SCHEMA, from_json, to_json
from harness.records.store import Store
from harness.types import Choice


def trial(label: str = "a[steps=4]", seed: int = 0, key: str = "k0", **changes) -> Trial:
    made = example_records.record("a", seed, "d", budget=Budget("epochs", 1.5), threads=2, key=key).trial
    method = Choice("a", {"steps": 4}, {"steps": 4, "sizes": [1, 2]}, label)
    dataset = Choice("d", {}, {"train": None}, "d")
    made = dataclasses.replace(made, method=method, dataset=dataset, parts={"core": "x"})
    return dataclasses.replace(made, **changes)


def record(of: Trial | None = None, **changes) -> Record:
    made = example_records.record(
        scores={"accuracy": 0.5, "nll": math.inf},
        measured={"update_seconds": 1e-3, "rows": {"train": 20}},
        readings={"uncovered": [{"operator": "aten::x", "count": 2}]},
        facts={"neurons": 5},
        valid=[0.9],
        seconds={"train": 1.0},
        holes={"energy": "no GPU"},
        provenance={"method": {"version": "1"}},
        environment={"cpu": "x"},
        finished="2026-01-01T00:00:00.000+00:00",
    )
    return dataclasses.replace(made, trial=of or trial(), **changes)


@pytest.fixture
def store(tmp_path) -> Store:
    made = Store(tmp_path)
    made.prepare()
    return made


def test_a_record_comes_back_as_it_was(store):
    base = trial("wide", key="k1", keep=True)
    written = record(trial(base=base), scores={"accuracy": 0.5})
    store.write(written)
    (found,), problems = store.read_newest()
    assert found == written
    assert problems == []
    assert store.find_ok("k0") == written


def test_an_older_record_which_has_all_that_was_measured_among_its_readings_is_read(store):
    value = to_json(record(scores={}, readings={"update_seconds": 1e-3}))
    del value["measured"]
    found = from_json(value)
    assert (found.measured, found.readings) == ({}, {"update_seconds": 1e-3})


def test_the_file_is_strict_json_with_a_schema_number(store):
    store.write(record())
    value = json.loads(
        store.locate_record("k0").read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON")
    )
    assert (value["schema"], value["key"], value["scores"]["nll"]) == (SCHEMA, "k0", None)
    assert math.isnan(store.find_ok("k0").scores["nll"])


def test_only_ok_records_count_as_done(store):
    store.write(record(status="timeout", reason="after 2 s"))
    assert store.find_ok("k0") is None
    assert [found.status for found in store.read_newest()[0]] == ["timeout"]


def test_the_newest_record_of_a_trial_counts_when_only_the_code_changed(store):
    store.write(record(trial(key="old"), finished="2026-01-01T00:00:00"))
    store.write(record(trial(key="new", parts={"core": "y"}), finished="2026-01-02T00:00:00"))
    store.write(record(trial(key="other", seed=1), finished="2026-01-01T12:00:00"))
    records, _ = store.read_newest()
    assert [found.trial.key for found in records] == ["other", "new"]


BROKEN = {
    "truncated": (lambda text: text[: len(text) // 2], "not JSON or cut short"),
    "empty": (lambda text: "", "not JSON or cut short"),
    "not utf-8": (lambda text: b"\xff\xfe" + text.encode(), "not JSON or cut short"),
    "a list": (lambda text: "[1, 2]", "no schema number"),
    "newer": (lambda text: text.replace('"schema": 2', '"schema": 99'), "schema 99, this version reads 1 to 2"),
    "a field is gone": (lambda text: text.replace('"status"', '"state"'), "damaged"),
    "another status": (lambda text: text.replace('"status": "ok"', '"status": "fine"'), "fine"),
    "a wrong type": (lambda text: text.replace('"curve": [', '"curve": ["x",'), "damaged"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_file_that_cannot_be_read_is_named_and_set_aside_and_the_rest_is_there(store, how):
    breaks, said = BROKEN[how]
    store.write(record())
    store.write(record(trial(seed=1, key="k1")))
    broken = breaks(store.locate_record("k0").read_text())
    store.locate_record("k0").write_bytes(broken if isinstance(broken, bytes) else broken.encode())
    records, problems = store.read_newest()
    assert [found.trial.key for found in records] == ["k1"]
    assert len(problems) == 1
    assert "k0.json" in problems[0]
    assert said in problems[0]
    assert store.find_ok("k0") is None


def test_a_broken_file_is_kept_when_its_trial_is_written_again(store):
    store.locate_record("k0").write_text('{"schema": 99}')
    store.write(record())
    assert store.find_ok("k0") is not None
    assert store.locate_record("k0").with_suffix(".unreadable").read_text() == '{"schema": 99}'


def test_a_folder_with_the_name_of_a_record_is_named(store):
    store.locate_record("k0").mkdir()
    assert store.read_newest() == (
        [],
        [f"record {store.locate_record('k0')}: cannot be read (Is a directory); set aside"],
    )
    assert store.find_ok("k0") is None


def test_other_files_are_no_records(store):
    store.write(record())
    (store.folder / "notes.json").write_text("{}")
    (store.trials / "k0.safetensors").write_bytes(b"x")
    (store.trials / "README").write_text("hello")
    records, problems = store.read_newest()
    assert (len(records), problems) == (1, [])


def test_a_full_disk_in_the_middle_of_a_write_loses_nothing(store, monkeypatch):
    store.write(record(scores={"accuracy": 0.25}))

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HarnessError, match=r"k0\.json: could not be written \(No space left on device\)"):
        store.write(record(scores={"accuracy": 0.75}))
    assert store.find_ok("k0").scores == {"accuracy": 0.25}
    assert [path.name for path in store.trials.iterdir()] == ["k0.json"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(HarnessError, match="not writable"):
        Store(tmp_path / "results").prepare()


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "results").write_text("x")
    with pytest.raises(HarnessError, match=r"results.*--results DIR"):
        Store(tmp_path / "results").prepare()


def test_a_folder_without_records_says_so(tmp_path):
    with pytest.raises(HarnessError, match="no records there"):
        Store(tmp_path / "nothing").read_newest()


def test_a_text_without_encoding_is_spelt_out_and_costs_no_record(store):
    said = b"caf\xe9".decode(errors="surrogateescape")
    store.write(record(reason=said, holes={said: said}))
    (found,), problems = store.read_newest()
    assert (found.reason, found.holes, problems) == ("caf\\udce9", {"caf\\udce9": "caf\\udce9"}, [])


def test_an_escape_without_encoding_in_a_file_is_spelt_out(store):
    value = to_json(record()) | {"reason": "\ud800"}
    store.locate_record("k0").write_text(json.dumps(value))
    ((found,), _) = store.read_newest()
    assert found.reason == "\\ud800"


def test_trials_of_another_patience_are_other_trials(store):
    for key, patience in (("k0", None), ("k1", 3)):
        made = trial(key=key)
        store.write(record(dataclasses.replace(made, terms=dataclasses.replace(made.terms, patience=patience))))
    assert len(store.read_newest()[0]) == 2


def test_the_last_record_of_a_key_is_found_however_it_ended(store):
    assert store.find_any("k0") is None
    store.write(record(status="failed", reason="x"))
    assert store.find_any("k0").reason == "x"
    assert store.find_ok("k0") is None


def test_numbers_of_numerical_libraries_become_plain(store):
    class Scalar:
        def tolist(self):
            return 3

    value = to_json(record(readings={"macs": Scalar(), "pair": (1, 2)}))
    assert value["readings"] == {"macs": 3, "pair": [1, 2]}


# --- what is no file ----------------------------------------------------------------------------------------------


def listen_at(path):
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(path.parent)  # the names of sockets are short
        try:
            made.bind(path.name)
        finally:
            os.chdir(here)


ODD = {
    "a dangling link": (lambda path: path.symlink_to("nowhere"), "a link to nowhere, which is not there"),
    "a link to itself": (lambda path: path.symlink_to(path), "symbolic links"),
    "a pipe": (os.mkfifo, "a named pipe, not a file"),
    "a link to a pipe": (lambda path: (os.mkfifo(path.with_name("p")), path.symlink_to("p")), "a named pipe"),
    "a socket": (listen_at, "a socket, not a file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "a device, not a file"),
    "a folder": (lambda path: path.mkdir(), "Is a directory"),
    "a folder with a file": (lambda path: (path.mkdir(), (path / "x").touch()), "Is a directory"),
    "a sparse file of ages": (lambda path: (path.touch(), os.truncate(path, 2**34)), "more than any record has"),
}


@pytest.mark.parametrize("what", ODD)
def test_what_is_no_file_is_named_and_set_aside_and_nothing_waits_for_it(store, what):
    make, said = ODD[what]
    store.write(record(trial(seed=1, key="k1")))
    make(store.locate_record("k0"))
    records, problems = store.read_newest()
    assert [found.trial.key for found in records] == ["k1"]
    (problem,) = problems
    assert "k0.json" in problem
    assert said in problem
    assert store.find_ok("k0") is None
    store.write(record())
    assert store.find_ok("k0") is not None
    aside = store.locate_record("k0").with_suffix(".unreadable")
    assert aside.is_symlink() or aside.exists()


def test_what_was_set_aside_before_stays_when_more_is_set_aside(store):
    for text in ("first", "second", "third"):
        store.locate_record("k0").write_text(text)
        store.write(record())
    aside = sorted(path.read_text() for path in store.trials.glob("k0.unreadable*"))
    assert aside == ["first", "second", "third"]


def test_dot_files_are_passed_over(store):
    store.write(record())
    for name in (".x.json", "._k0.json", ".k0.json.123.json"):
        (store.trials / name).write_bytes(b"\x00\x05\x16\x07")
    os.mkfifo(store.trials / ".pipe.json")
    records, problems = store.read_newest()
    assert ([found.trial.key for found in records], problems) == (["k0"], [])


def test_a_store_stays_where_it_is_when_the_working_directory_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = Store(Path("results"))
    made.prepare()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    made.write(record())
    made.write(record(status="failed"))
    assert made.find_ok("k0") is not None
    assert (tmp_path / "results/trials/k0.json").is_file()
    assert (tmp_path / "results/attempts/k0.json").is_file()
