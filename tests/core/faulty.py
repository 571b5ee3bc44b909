"""Tasks for executors that do what plugins must not do. A trial's method names the one that it does."""

from __future__ import annotations

import ctypes
import itertools
import json
import mmap
import os
import re
import select
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from harness.records.format import to_json
from harness.types import Budget, Choice, Point, Progress, Record, RunContext, TrainingTerms, Trial


def trial(act, key=None, base=None, device="cpu", **rest):
    choice = Choice(act, {}, {}, act)
    terms = TrainingTerms(Budget("updates", 1), 1, device, "fp32", 1)
    return Trial(choice, choice, 0, terms, base=base, key=key or act, **rest)


def context(folder, **limits):
    return RunContext(folder, None, **limits)


def task(trial, context, report):
    """Do what the method's name says, then be well."""
    report(Progress("train", 0.5, Point(1, 0.5, 0.1, {"loss": 2.0}, {"accuracy": 0.5})))
    facts = globals()[trial.method.name.replace("-", "_")](trial, context)
    return facts if isinstance(facts, (Record, list)) else Record(trial, "ok", facts=facts or {}, finished="now")


def tell(context, *pids):
    """Leave word of processes for the test."""
    for pid in pids:
        (context.results / f"pid-{pid}").touch()


def told(folder):
    return [int(path.name.removeprefix("pid-")) for path in folder.glob("pid-*")]


def gone(pid, seconds=20.0):
    """Whether a process ends within that time. A zombie has ended."""
    if not hasattr(os, "pidfd_open"):
        return wait_for(lambda: not _exists(pid), seconds)
    try:
        sentinel = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([sentinel], [], [], seconds)[0])
    finally:
        os.close(sentinel)


def _exists(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition, seconds=30.0):
    """Look again until it holds."""
    poll = select.poll()
    for _ in range(1 + int(seconds * 100)):
        if condition():
            return True
        poll.poll(10)
    raise AssertionError("waited in vain")


def forever():
    threading.Event().wait()


def child(action):
    """Fork a child that does something for ever."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
        finally:
            os._exit(0)
    return pid


# --- well-behaved -------------------------------------------------------------------------------------------------


def good(trial, context):
    return {"pid": os.getpid(), "server": os.getppid(), "cwd": str(Path.cwd()), "threads": threading.active_count()}


def memory(trial, context):
    return {"memory": context.memory}


def environment(trial, context):
    return {name: os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "SPOILED")}


def modules(trial, context):
    return {"modules": sorted(sys.modules)}


def writes_to_the_other(trial, context):
    """Wait until the other one reads."""
    os.close(os.open(context.results / "meeting", os.O_WRONLY))


def reads_from_the_other(trial, context):
    """Wait until the other one writes."""
    os.close(os.open(context.results / "meeting", os.O_RDONLY))


def spoils_its_process(trial, context):
    """Changes all that a process has of its own."""
    os.chdir("/")
    os.environ["SPOILED"] = "yes"
    sys.path.clear()
    sys.modules["faulty"].good = None
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


# --- ends badly ---------------------------------------------------------------------------------------------------


def raises(trial, context):
    raise ValueError("the weights are\nall wrong")


def calls_exit(trial, context):
    sys.exit(3)


def exits_at_once(trial, context):
    os._exit(7)


def interrupts_itself(trial, context):
    raise KeyboardInterrupt


def recurses(trial, context):
    recurses(trial, context)


def segfaults(trial, context):
    ctypes.string_at(0)


def aborts(trial, context):
    os.abort()


def kills_itself(trial, context):
    os.kill(os.getpid(), signal.SIGKILL)


def ends_by_a_nameless_signal(trial, context):
    os.kill(os.getpid(), signal.SIGRTMIN + 3)


def kills_its_group(trial, context):
    tell(context, child(forever))
    os.killpg(0, signal.SIGTERM)
    forever()


def kills_the_server(trial, context):
    tell(context, os.getpid(), os.getppid(), child(forever))
    os.kill(os.getppid(), signal.SIGKILL)
    forever()


def hangs_the_first_time(trial, context):
    mark = context.results / "waited"
    if not mark.exists():
        mark.touch()
        forever()


def kills_the_server_of_another(trial, context):
    wait_for((context.results / "waited").exists)
    os.kill(os.getppid(), signal.SIGKILL)
    forever()


def reads_the_terminal(trial, context):
    input("your name? ")


def closes_everything(trial, context):
    os.closerange(0, 256)


def closes_everything_and_goes_on(trial, context):
    tell(context, os.getpid())
    os.closerange(0, 256)
    forever()


# --- does not end -------------------------------------------------------------------------------------------------


def hangs(trial, context):
    tell(context, os.getpid())
    forever()


def hangs_in_c(trial, context):
    """Holds the interpreter's lock: no thread of this process runs any more."""
    tell(context, os.getpid())
    re.match(r"(a+)+$", "a" * 64 + "b")


def hangs_and_ignores_sigterm(trial, context):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    tell(context, os.getpid(), child(forever))
    forever()


def stops_itself(trial, context):
    tell(context, os.getpid())
    os.kill(os.getpid(), signal.SIGSTOP)


def stops_its_server(trial, context):
    os.kill(os.getppid(), signal.SIGSTOP)
    tell(context, os.getpid(), os.getppid())


def stops_its_server_and_hangs(trial, context):
    os.kill(os.getppid(), signal.SIGSTOP)
    tell(context, os.getpid())
    forever()


def stops_its_server_again_and_again(trial, context):
    """By a process that has run away from it, so that only the end of the server ends it."""
    server = os.getppid()

    def stop():
        while True:
            os.kill(server, signal.SIGSTOP)

    tell(context, server, _detached(stop))


def talks_for_ever(trial, context):
    tell(context, os.getpid())
    while True:
        print("still here")


# --- leaves something behind --------------------------------------------------------------------------------------


def leaves_children(trial, context):
    tell(context, *(child(forever) for _ in range(3)))


def leaves_a_daemon(trial, context):
    tell(context, _detached(forever))


def leaves_a_daemon_and_kills_the_server(trial, context):
    tell(context, os.getpid(), os.getppid(), _detached(forever))
    os.kill(os.getppid(), signal.SIGKILL)
    forever()


def _detached(action):
    """Fork twice, in a session of its own: in no group of the trial any more."""

    def detach():
        os.setsid()
        os.write(writer, json.dumps(child(action)).encode())

    reader, writer = os.pipe()
    os.waitpid(child(detach), 0)
    return json.loads(os.read(reader, 100))


def leaves_a_thread(trial, context):
    threading.Thread(target=forever).start()


def comes_back_twice(trial, context):
    """A forked child returns to the harness as if it were the trial."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
    return {"child": pid == 0}


# --- takes too much -----------------------------------------------------------------------------------------------


def eats_memory(trial, context):
    food = []
    while True:
        food.append(b"x" * 2**24)
        time.sleep(0.002)


def has_children_that_eat(trial, context):
    tell(context, child(lambda: eats_memory(trial, context)))
    forever()


def has_a_daemon_that_eats(trial, context):
    tell(context, _detached(lambda: eats_memory(trial, context)))
    forever()


def reads_a_large_file(trial, context):
    """A file mapped into memory: the system drops its pages when it wants them."""
    with (context.results / "large").open("wb+") as file:
        file.truncate(5 * 2**27)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pages:
            sum(pages[:: mmap.PAGESIZE])
            wait_for_release(context)


def shares_memory(trial, context):
    """Twenty processes that hold the same pages: much resident memory, little memory."""
    pages = b"x" * 2**26
    tell(context, *(child(lambda: (sum(pages[:: mmap.PAGESIZE]), forever())) for _ in range(20)))
    wait_for_release(context)


def wait_for_release(context):
    os.close(os.open(context.results / "weighed", os.O_RDONLY))


def runs_out_of_memory(trial, context):
    raise MemoryError("no room for 3 tensors")


def prints_megabytes(trial, context):
    print("first words")
    for _ in range(300):
        print("x" * 2**16)
    print("last words", end="")


def prints_binary(trial, context):
    os.write(1, bytes(range(256)))
    print("\udcff")


# --- answers badly ------------------------------------------------------------------------------------------------


def returns_a_list(trial, context):
    return [1, 2, 3]


def returns_nan(trial, context):
    return Record(trial, "ok", scores={"accuracy": float("nan")}, finished="now")


def returns_what_cannot_be_told(trial, context):
    class Tensor:
        def tolist(self):
            raise RuntimeError("freed")

    return {"tensor": Tensor()}


def returns_too_much(trial, context):
    return {"texts": ["x" * 400] * (65 * 2**20 // 400)}


def returns_a_false_status(trial, context):
    return Record(trial, "splendid")


def talks_out_of_turn(trial, context):
    _channel().sendall(b"hello\n")
    forever()


def never_ends_its_curve(trial, context):
    channel = _channel()
    for update in itertools.count(2):
        point = Point(update, 1.0, 1.0, {}, {})._asdict()
        channel.sendall(json.dumps({"progress": ["train", 0.5, point]}).encode() + b"\n")


def never_ends_a_line(trial, context):
    channel = _channel()
    while True:
        channel.sendall(b"x" * 2**20)


def sends_no_json(trial, context):
    _send(b"{'record': 1}")


def sends_no_object(trial, context):
    _send(b"17")


def sends_a_false_point(trial, context):
    point = {"update": "many", "epoch": 0, "seconds": 0, "scalars": {}, "valid": {}}
    _send(json.dumps({"progress": ["train", 0.5, point]}).encode())


def sends_a_deep_record(trial, context):
    _send_record(Record(trial, "ok", facts={"deep": None}), '"deep": null', '"deep": ' + "[" * 490 + "]" * 490)
    os._exit(0)


def sends_a_bottomless_message(trial, context):
    _send(b'{"record": ' + b"[" * 10**6)


def sends_the_record_of_another(trial, context):
    _send_record(Record(globals()["trial"]("good", "other"), "ok"))
    os._exit(0)


def sends_two_records(trial, context):
    _send_record(Record(trial, "ok", finished="now"))


def sends_an_empty_record(trial, context):
    _send(b'{"record": {"x": 1}}')
    os._exit(0)


def raises_megabytes(trial, context):
    raise ValueError("\x1b[31m" + "x" * 5_000_000 + "\x1b[0m\x07")


def states_megabytes(trial, context):
    return {"\x1b[31mname": "\x1b[31m" + "x" * 5_000_000, "list": ["\x07", ("y" * 5_000_000,)]}


def prints_escapes_and_dies(trial, context):
    print("\x1b[31mred\x1b[0m\x07\x1b]0;title\x07")
    os._exit(3)


def _send_record(record, *replacement):
    text = json.dumps({"record": to_json(record)})
    _send((text.replace(*replacement) if replacement else text).encode())


def _send(line):
    _channel().sendall(line + b"\n")


def _channel():
    for descriptor in range(3, 64):
        try:
            return socket.socket(fileno=os.dup(descriptor))
        except OSError:
            continue
    raise AssertionError("no socket")
