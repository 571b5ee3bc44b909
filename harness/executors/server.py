"""The fork server: it imports the tensor library once, so that a trial starts in milliseconds, and it runs no
plugin's code, so that nothing a trial does can keep it from ending that trial and all that the trial left behind.

The run asks for a process with one byte and three descriptors: a socket for the job and the messages, the write end
of a pipe for what the trial prints, the write end of a pipe for its fate. The fate is two numbers: the process id at
once, the exit code (negative: the signal) once no process of the trial is left. The control socket ends with the run,
by whatever means that dies, and every trial with the control socket.

Why not the fork server of `multiprocessing`: it imports the main module again in every child, unpickles what it is
sent, lives on while a child holds it, and leaves behind what a child has forked.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import selectors
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from harness.executors import linux, worker

NUMBER = struct.Struct("=q")


def main(control: int, preload: Sequence[str]) -> None:
    """Serve the run at the other end of the socket `control` until it ends."""
    import_ahead(preload)
    sys.stdout.flush()  # what stays in a buffer would come out of every trial
    gc.collect()
    gc.freeze()  # a collection in a trial would touch, and so copy, every page that it shares with this process
    linux.adopt_orphans()
    linux.wake_with_parents_death()  # a trial may have stopped it, and it is needed to end that trial
    Server(socket.socket(fileno=control)).serve()
    os._exit(0)  # taking the tensor library down in good order takes longer than most trials


def import_ahead(modules: Sequence[str]) -> None:
    """Import what every trial needs; a trial that needs a module which fails meets the error, and reports it."""
    for name in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(name)


class Server:
    """Forks trials and reaps them; one thread, one loop."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._open = True
        self._fates: dict[int, int] = {}  # process id of a running trial -> descriptor
        self._ended: list[tuple[int, int]] = []  # descriptor, exit code: to be told once nothing of the trial is left
        self._alarm, self._wakeup = os.pipe()
        self._selector = selectors.DefaultSelector()

    def serve(self) -> None:
        """Until the run has ended and nothing of any trial is left."""
        os.set_blocking(self._alarm, False)
        os.set_blocking(self._wakeup, False)
        signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(self._control, selectors.EVENT_READ, self._accept_request)
        self._selector.register(self._alarm, selectors.EVENT_READ, self._reap_ended)
        while self._open or self._fates or self._ended:
            for key, _ in self._selector.select():
                key.data()

    def _accept_request(self) -> None:
        try:
            request, descriptors, _, _ = socket.recv_fds(self._control, 1, 3)
        except ConnectionResetError:
            request = b""
        if request:
            self._fork_trial(*descriptors)
            return
        self._open = False
        self._selector.unregister(self._control)
        for pid in self._fates:
            kill_group(pid)

    def _fork_trial(self, channel: int, output: int, fate: int) -> None:
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_trial(server, channel, output, fate)
        os.close(channel)
        os.close(output)
        self._fates[pid] = fate
        _write_number(fate, pid)

    def _become_trial(self, server: int, channel: int, output: int, fate: int) -> NoReturn:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._selector.close()
            self._control.close()
            for descriptor in (self._alarm, self._wakeup, fate, *self._fates.values(), *(fd for fd, _ in self._ended)):
                os.close(descriptor)
            linux.adopt_orphans()  # what detaches itself from the trial is still weighed with it
            worker.do_work(server, socket.socket(fileno=channel), output)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def _reap_ended(self) -> None:
        """Bury the dead and kill what they left. What is killed here wakes this loop again, generation by generation;
        a trial's fate is told when none is left.
        """
        with contextlib.suppress(BlockingIOError):
            os.read(self._alarm, 4096)
        for pid, code in _wait_for_ended():
            if pid in self._fates:
                kill_group(pid)
                self._ended.append((self._fates.pop(pid), code))
        strays = [pid for pid in linux.list_children(os.getpid()) if self._is_stray(pid)] if self._ended else []
        for pid in strays:
            kill_process(pid)
        while self._ended and not strays:
            fate, code = self._ended.pop()
            _write_number(fate, code)
            os.close(fate)

    def _is_stray(self, pid: int) -> bool:
        """An adopted orphan that is of no running trial's session: its trial has ended, or it ran away from it."""
        try:
            return pid not in self._fates and os.getsid(pid) not in self._fates
        except ProcessLookupError:
            return False


def kill_group(pid: int, number: int = signal.SIGKILL) -> None:
    """Signal a trial's process group, or the trial alone if it has not come to found one yet."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        kill_process(pid, number)


def kill_process(pid: int, number: int = signal.SIGKILL) -> None:
    """Signal a process, if it is there and may be signalled."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _wait_for_ended() -> list[tuple[int, int]]:
    found = []
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            found.append((ended[0], os.waitstatus_to_exitcode(ended[1])))
    return found


def _write_number(fate: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(fate, NUMBER.pack(number))
