"""Texts of plugins, trials and files are bounded and clean, wherever it is shown or kept."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from pathlib import Path

import faulty
import pytest
from example_records import record
from faulty import context, trial

from harness import Dataset, Method, hookimpl
from harness.catalog import Catalog
from harness.cli import main, streams
from harness.executors.here import HereExecutor
from harness.executors.local import LocalExecutor
from harness.records.format import from_json, to_json
from harness.records.store import Store, Unreadable, read_record
from harness.results import progress
from harness.results.progress import Bars, Forecast, Lines
from harness.running import runner
from harness.words import clean_ends, clean_label

NASTY = "\x1b[31mred\x1b[0m\x07 \x1b]0;title\x07\x9b1m\x00\u202egnihton\r\n"
LONG = "very long " * 500_000


def is_clean(text: str) -> bool:
    return not any(char in text for char in "\x1b\x07\x9b\x00\u202e\r")


# --- records --------------------------------------------------------------------------------------------------------


def nasty_record(text: str):
    value = to_json(record("saf", reason="because"))
    value |= {"reason": text, "holes": {text: text}, "traceback": text, "finished": text}
    for name in ("facts", "readings", "measured", "provenance", "environment"):
        value[name] = {text: [text, {"deep": text}]}
    value["scores"] = {text: 1.0}
    value["trial"]["method"] |= {"name": text, "label": text}
    return value


@pytest.mark.parametrize("text", [NASTY, LONG, LONG + NASTY])
def test_what_is_read_of_a_record_is_bounded_and_clean(text):
    found = from_json(nasty_record(text))
    kept = json.dumps(to_json(dataclasses.replace(found, traceback="")), ensure_ascii=False)
    assert is_clean(kept)
    assert "\\u00" not in kept
    assert len(kept) < 20_000
    assert len(found.reason) <= 500
    assert len(found.traceback) <= 20_000
    assert is_clean(found.traceback)
    assert len(found.trial.method.label) <= 500


def test_of_a_long_traceback_both_ends_are_kept():
    found = clean_ends("the first frame\n" + "x" * 10**6 + "\nValueError: the last word", 20_000)
    assert found.startswith("the first frame\n")
    assert found.endswith("\nValueError: the last word")
    assert "characters cut here" in found
    assert len(found) <= 20_000


def test_long_labels_that_differ_late_stay_apart():
    one, other = (clean_label("saf[" + "x" * 1000 + end) for end in "ab")
    assert one != other
    assert len(one) <= 500


def nested(depth: int):
    value = "leaf"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("depth", [60, 490, 900])
def test_a_record_nested_too_deep_is_set_aside(tmp_path, depth):
    path = tmp_path / "deep.json"
    path.write_text(
        json.dumps(to_json(record())).replace('"facts": {', f'"facts": {{"deep": {json.dumps(nested(depth))}, ', 1)
    )
    with pytest.raises(Unreadable, match=r"damaged|not JSON"):
        read_record(path)


# --- what a trial sends -----------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(Path(faulty.__file__).parent)


def run(folder, *trials):
    return list(LocalExecutor("faulty:task").run(trials, context(folder, timeout=60), lambda trial, progress: None))


NO_TRIAL_SENDS = {
    "sends-no-json": "sent a message that cannot be read: JSONDecodeError",
    "sends-no-object": "sent a message that cannot be read: TypeError",
    "sends-a-false-point": "sent a message that cannot be read: ValueError",
    "sends-a-deep-record": "its record cannot be read: ValueError: nested more than 50 deep",
    "sends-a-bottomless-message": "sent a message that cannot be read: RecursionError",
    "sends-the-record-of-another": "its record cannot be read: ValueError: it is of another trial, 'other'",
    "sends-two-records": "sent two records",
    "sends-an-empty-record": "its record cannot be read: KeyError",
}


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    """The record of each, and of a good trial after it, of one run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(faulty.__file__).parent)
        trials = [each for act in NO_TRIAL_SENDS for each in (trial(act), trial("good", f"after-{act}"))]
        return {found.trial.key: found for found in run(tmp_path_factory.mktemp("sent"), *trials)}


@pytest.mark.parametrize("act", NO_TRIAL_SENDS)
def test_a_message_that_no_trial_sends_is_a_failed_record(sent, tmp_path, act):
    found, good = sent[act], sent[f"after-{act}"]
    assert (found.status, good.status) == ("failed", "ok")
    assert found.reason.startswith(NO_TRIAL_SENDS[act])
    Store(tmp_path).prepare()
    Store(tmp_path).write(found)


def test_what_a_trial_says_of_its_end_is_bounded_and_clean(tmp_path):
    for found in run(tmp_path, trial("raises-megabytes"), trial("prints-escapes-and-dies")):
        assert found.status == "failed"
        assert len(found.reason) <= 500
        assert len(found.traceback) <= 20_000
        assert is_clean(found.reason + found.traceback)


class Offers:
    """Methods and data sets of these tests' trials, by name."""

    @hookimpl
    def harness_methods(self):
        for name in ("raises-megabytes", "states-megabytes"):
            yield Method(name, "", factory="nowhere:build", kinds=("classification",))

    @hookimpl
    def harness_datasets(self):
        for name in ("raises-megabytes", "states-megabytes"):
            yield Dataset(name, "", "classification", "nowhere:load")


@pytest.mark.parametrize("here", [True, False])
def test_what_stands_on_disk_is_bounded_and_clean_whoever_ran_it(tmp_path, here):
    executor = HereExecutor("faulty:task") if here else LocalExecutor("faulty:task")
    store, trials = Store(tmp_path), [trial("raises-megabytes"), trial("states-megabytes")]
    store.prepare()
    view = Lines(Forecast(trials, [], 1))
    for found in runner.run_trials(Catalog.of(Offers()), trials, store, executor, context(tmp_path), view):
        written = store.locate_record(found.trial.key).read_text()
        assert len(written) < 25_000
        assert is_clean(json.dumps(json.loads(written), ensure_ascii=False))
        assert "\\u001b" not in written


# --- terminals, pipes and listings --------------------------------------------------------------------------------


def test_progress_is_bounded_and_clean(capsys, monkeypatch):
    for name, value in {"COLUMNS": "80", "LINES": "25", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    label = f"saf[name={NASTY}]"
    one = record(label, status="failed", reason=NASTY + LONG)
    with Lines(Forecast([one.trial], [], 1)) as lines:
        lines.started(one.trial)
        lines.finished(one.trial, one)
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 2
    assert len(said) < 2_000
    assert is_clean(said)
    with Bars(Forecast([one.trial], [], 1)) as bars:
        bars.started(one.trial)
        bars.progressed(one.trial, progress.Progress("train", 0.5))
        bars.finished(one.trial, one)
    said = capsys.readouterr().err
    assert len(said) < 3_000
    assert "\x07" not in said
    assert "\x1b]0" not in said


PLUGIN = """
    import click
    from harness import *
    NASTY = {nasty!r}

    @hookimpl
    def harness_methods():
        yield Method("rude", NASTY + "a method", factory="nowhere:build", kinds=("classification",), paper=NASTY)

    @hookimpl
    def harness_metrics():
        raise ValueError(NASTY + "x" * 5_000_000)

    @hookimpl
    def harness_commands(cli):
        @cli.command("boo")
        def boo():
            "{nasty_help}Frighten."
            raise HarnessError(NASTY + "y" * 5_000_000)
        @cli.command("bug")
        def bug():
            raise KeyError(NASTY + "y" * 5_000_000)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["list", "methods"],
        ["list", "methods", "--format", "json"],
        ["plugins"],
        ["plugins", "--problems"],
        ["plugins", "--format", "json"],
        ["--help"],
        ["boo"],
        ["bug"],
        ["bug", "--debug"],
        ["list", NASTY],
        [NASTY],
        ["list", f"--{NASTY}"],
    ],
)
def test_what_plugins_and_users_say_reaches_no_terminal_as_it_is(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    path = tmp_path / "rude.py"
    nasty = NASTY.replace("\x00", "")
    escaped = nasty.encode("unicode_escape").decode()
    path.write_text(textwrap.dedent(PLUGIN).format(nasty=nasty, nasty_help=escaped))
    main(["-p", str(path), *[argument.replace("\x00", "") for argument in arguments]])
    out, err = capsys.readouterr()
    assert out + err
    assert is_clean(out + err)
    assert len(out + err) < 60_000


@pytest.mark.parametrize(
    ("variables", "terminal", "wanted"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "0"}, True, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
    ],
)
def test_colour_goes_to_terminals_that_want_it(monkeypatch, variables, terminal, wanted):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    stream = type("Stream", (), {"isatty": lambda self: terminal})()
    assert streams.wants_colour(stream) is wanted
