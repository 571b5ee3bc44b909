"""One run at a time in a results folder, and none that is dead."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.running.lock import hold_lock

pytestmark = pytest.mark.xdist_group("processes")

HOLDER = """
import subprocess, sys
from pathlib import Path
from harness.running.lock import hold_lock
with hold_lock(Path(sys.argv[1])):
    child = "print('held', flush=True); input()"
    subprocess.run([sys.executable, "-c", child], close_fds=False)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of the folder, and has started a third one that lives as long as the test."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()
        process.stdin.close()


def test_a_second_run_is_refused_and_told_who_is_there(tmp_path, holder):
    with pytest.raises(UsageError) as refusal, hold_lock(tmp_path):
        pass
    who = f"(process {holder.pid} on {os.uname().nodename}, started 20"
    assert str(refusal.value).startswith(f"results folder {tmp_path}: another run {who}")
    assert str(refusal.value).endswith("is writing there; wait for it or choose another with --results DIR")
    assert refusal.value.exit_code == 2


def test_a_lock_ends_with_a_killed_holder_though_what_it_started_lives_on(tmp_path, holder):
    holder.kill()
    holder.wait()
    with hold_lock(tmp_path):
        pass


def test_a_lock_ends_with_the_block(tmp_path):
    with hold_lock(tmp_path):
        pass
    with pytest.raises(ZeroDivisionError), hold_lock(tmp_path):
        raise ZeroDivisionError
    with hold_lock(tmp_path):
        pass


def test_it_holds_within_one_process_too_and_for_the_first_only(tmp_path):
    with hold_lock(tmp_path):
        for _ in range(2):
            with pytest.raises(UsageError, match=f"process {os.getpid()} on "), hold_lock(tmp_path):
                pass
        with hold_lock(tmp_path / "another"):
            pass


def test_a_holder_that_has_not_said_who_it_is_yet(tmp_path):
    with (tmp_path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another run is writing there"), hold_lock(tmp_path):
            pass


def test_a_missing_folder_is_made(tmp_path):
    with hold_lock(tmp_path / "new" / "results"):
        assert (tmp_path / "new" / "results" / ".lock").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    message = r"file/results: cannot be written \(Not a directory\); choose another"
    with pytest.raises(UsageError, match=message), hold_lock(tmp_path / "file" / "results"):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder that even root cannot write")
def test_a_folder_that_cannot_be_written_is_named():
    message = r"results folder /proc/self: cannot be written \("
    with pytest.raises(UsageError, match=message), hold_lock(Path("/proc/self")):
        pass


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def flock(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(UsageError, match=r"has no locks \(No locks available\)"), hold_lock(tmp_path):
        pass
