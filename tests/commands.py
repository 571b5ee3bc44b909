"""`harness` in a process of its own that starts at once: a fork of the tests, where it has been imported already."""

from __future__ import annotations

import gc
import multiprocessing
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import harness.cli.report
import harness.cli.run
import harness.executors.local
import harness.report.formats.terminal
import harness.trials.trial  # what every run imports


def forked(
    arguments: Sequence[str], env: Mapping[str, str], cwd: Path | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run `python -m harness` with these arguments and this environment, in a fork.

    Where PYTHONPATH, signals or the interpreter itself matter, start that instead. Raises TimeoutExpired.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = multiprocessing.get_context("fork").Process(
            target=_call, args=(arguments, env, cwd, out.fileno(), err.fileno())
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads: those of xdist hold nothing that it needs
            process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(["harness", *arguments], timeout)
        said = [_text(file, _coding(env)[0]) for file in (out, err)]
    return subprocess.CompletedProcess(["harness", *arguments], process.exitcode, *said)


def _call(arguments: Sequence[str], env: Mapping[str, str], cwd: Path | None, out: int, err: int) -> None:
    gc.freeze()  # what the tests hold is no garbage of the command's
    for stream, descriptor in ((1, out), (2, err)):
        os.dup2(descriptor, stream)
    encoding, errors = _coding(env)
    sys.stdout, sys.stderr = (
        os.fdopen(stream, "w", 1, encoding=encoding, errors=errors, closefd=False) for stream in (1, 2)
    )
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["harness", *arguments]
    if cwd is not None:
        os.chdir(cwd)
    sys.exit(harness.cli.main())


def _coding(env: Mapping[str, str]) -> tuple[str, str]:
    """As the interpreter reads it: encoding and error handler."""
    encoding, _, errors = env.get("PYTHONIOENCODING", "utf-8").partition(":")
    return encoding, errors or "strict"


def _text(file: tempfile._TemporaryFileWrapper[bytes], encoding: str) -> str:
    file.seek(0)
    return file.read().decode(encoding, "surrogateescape")  # click writes UTF-8 where it is told ASCII
