"""Records on disk: one JSON file per trial, `trials/<key>.json`, written whole or not at all.

Nothing else in a results folder is read as a record. A file that cannot be read is named and set aside, never a
reason to lose the others. Trained arrays lie beside it as `<key>.safetensors` where another trial starts from them.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.records.format import SCHEMA, from_json, to_json, to_plain
from harness.types import Record, Trial
from harness.words import clean_label

LONGEST_REASON = 200
LARGEST = 2**28
KINDS = {
    stat.S_IFDIR: "Is a directory",
    stat.S_IFIFO: "a named pipe, not a file",
    stat.S_IFSOCK: "a socket, not a file",
    stat.S_IFCHR: "a device, not a file",
    stat.S_IFBLK: "a device, not a file",
}


class Unreadable(HarnessError):
    """A file in `trials/` that is not a record this version can read."""


class Store:
    """The records of one results folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder  # as it was given, for messages; a plugin may change the working directory
        self._root = folder.absolute()
        self.trials = self._root / "trials"

    def locate_record(self, key: str) -> Path:
        return self.trials / f"{key}.json"

    def locate_weights(self, key: str) -> Path:
        """Where the trained arrays of a trial lie, if it keeps them."""
        return self.trials / f"{key}.safetensors"

    def locate_prediction(self, key: str) -> Path:
        """Where the test prediction of a trial lies, if it keeps that."""
        return self.trials / f"{key}.predictions.npz"

    def locate_examples(self, key: str) -> Path:
        """Where the scores of the single test examples of a trial lie."""
        return self.trials / f"{key}.examples.npz"

    def prepare(self) -> None:
        """Make the folder and see that it can be written. Raises HarnessError."""
        try:
            self.trials.mkdir(parents=True, exist_ok=True)
            probe = self.trials / f".probe-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise HarnessError(
                f"results folder {self.folder}: not writable ({error.strerror}); choose another with --results DIR"
            ) from error

    def find_ok(self, key: str) -> Record | None:
        """The record of a trial that ended ok; a file that cannot be read is no record."""
        record = self.find_any(key)
        return record if record is not None and record.status == "ok" else None

    def find_any(self, key: str) -> Record | None:
        """The record of a trial, however it ended; a file that cannot be read is no record."""
        try:
            return read_record(self.locate_record(key))
        except (Unreadable, FileNotFoundError):
            return None

    def explain_fault(self, key: str) -> str:
        """Why the file of a trial is no record; empty where it is one, and where there is none."""
        try:
            read_record(self.locate_record(key))
        except Unreadable as problem:
            return str(problem)
        except FileNotFoundError:
            pass
        return ""

    def locate_attempt(self, key: str) -> Path:
        """Where the record of a trial lies that ran again and did not end ok, while its ok record stays."""
        return self._root / "attempts" / f"{key}.json"

    def write(self, record: Record) -> Record:
        """Write a record atomically, and return it as it reads there. What could not be read there before is kept as
        `<key>.unreadable`.

        An ok record gives way to an ok one alone: how another attempt ended is in `attempts/<key>.json`, until one is
        ok. Raises HarnessError when the disk is full or the folder has gone, and what `to_json` raises where none can
        hold the record; nothing written before is touched.
        """
        key = record.trial.key
        aside = record.status != "ok" and self.find_ok(key) is not None
        path = self.locate_attempt(key) if aside else self.locate_record(key)
        values = to_json(record)
        written = from_json(values)
        try:
            path.parent.mkdir(exist_ok=True)
            _set_aside(path)
            write_atomically(path, json.dumps(values, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
        except OSError as error:
            raise HarnessError(
                f"record {path}: could not be written ({error.strerror}); the records before it are kept: "
                "mend this and run the same command again"
            ) from error
        if record.status == "ok":
            with contextlib.suppress(OSError):  # the record is there, which is what matters
                self.locate_attempt(key).unlink()
        return written

    def read_newest(self) -> tuple[list[Record], list[str]]:
        """The newest record of every trial, in the order in which they ended, and a line for each unreadable file.

        Trials that differ in nothing but versions or source code are one trial here: only the newest counts.
        """
        records, problems = self.read_all()
        return keep_newest(records), problems

    def read_all(self) -> tuple[list[Record], list[str]]:
        """Likewise all records, those of older source code too."""
        if not self.trials.is_dir():
            raise HarnessError(f"results folder {self.folder}: no records there (no folder {self.trials})")
        records, problems = [], []
        for path in sorted(self.trials.glob("*.json")):
            if path.name.startswith("."):  # of editors, of other systems' copies, or half written
                continue
            try:
                records.append(read_record(path))
            except Unreadable as problem:
                problems.append(str(problem))
        return records, problems


def keep_newest(records: Iterable[Record]) -> list[Record]:
    """The last record of each identity, in the order in which they ended."""
    last = {trial_identity(record.trial): record for record in sorted(records, key=lambda r: r.finished)}
    return sorted(last.values(), key=lambda record: record.finished)


def trial_identity(trial: Trial) -> tuple[Any, ...]:
    """The identity of a trial as a user sees it: everything but versions and source code."""
    base = trial_identity(trial.base) if trial.base else None
    labels = (clean_label(trial.method.label), clean_label(trial.dataset.label))
    return (*labels, trial.seed, trial.terms, trial.refit, base)


def read_record(path: Path) -> Record:
    """One record. Raises Unreadable, naming the file and what to do; FileNotFoundError where there is none."""
    try:
        text = read_text(path)
        # An escape may stand for a lone surrogate, which could not be printed.
        value = to_plain(json.loads(text)) if "\\ud" in text.lower() else json.loads(text)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unreadable(f"record {path}: cannot be read ({error.strerror or error}); set aside") from error
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"record {path}: not JSON or cut short ({error}); set aside, run its trial again") from error
    if not isinstance(value, dict) or not isinstance(value.get("schema"), int):
        raise Unreadable(f"record {path}: no record of this program (no schema number); set aside")
    if value["schema"] > SCHEMA:
        raise Unreadable(
            f"record {path}: schema {value['schema']}, this version reads 1 to {SCHEMA}: upgrade harness-bench"
        )
    try:
        return from_json(value)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        what = f"{type(error).__name__}: {error}"[:LONGEST_REASON]
        raise Unreadable(f"record {path}: damaged ({what}); set aside, run its trial again") from error


def read_text(path: Path) -> str:
    """The text of a file; one that is no file, such as a pipe that nobody writes to, is never waited for.

    Raises FileNotFoundError where nothing is there, and OSError for whatever else cannot be read as a file.
    """
    try:
        kind = path.stat()
    except FileNotFoundError:
        if path.is_symlink():
            raise OSError(f"a link to {path.readlink()}, which is not there") from None
        raise
    if not stat.S_ISREG(kind.st_mode):
        raise OSError(KINDS.get(stat.S_IFMT(kind.st_mode), "not a file"))
    if kind.st_size > LARGEST:
        raise OSError(f"{kind.st_size} bytes, more than any record has")
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # it may have become a pipe meanwhile
    with os.fdopen(descriptor, encoding="utf-8") as file:
        return file.read()


def _set_aside(path: Path) -> None:
    try:
        read_record(path)
    except FileNotFoundError:
        return
    except Unreadable:
        path.rename(_free_path(path.with_suffix(".unreadable")))


def _free_path(path: Path) -> Path:
    """The path, or the first of `path-2`, `path-3` ... at which nothing is."""
    names = (path if number == 1 else path.with_name(f"{path.name}-{number}") for number in itertools.count(1))
    return next(name for name in names if not (name.exists() or name.is_symlink()))


def write_atomically(path: Path, content: str | bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
