"""Any words that are typed, any files in a results folder: a line or two, exit code 0, 1 or 2, and no traceback."""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main

TINY = Path(__file__).with_name("tiny.py")
FORMATS = ("text", "markdown", "latex", "csv", "json", "html")

# A flag stands twice at the end: an option that a mutation has left without its value takes the first one for it.
QUICK = ["--here", "--here", "--updates=2", "--seeds=1"]
PLANNED = ["--dry-run", "--dry-run"]

LINES: list[tuple[list[str], list[str]]] = [
    (["run", "--methods", "counts,starts", "--seeds", "3", "--epochs", "2", "--batch-size", "5"], PLANNED),
    (["run", "--methods", "counts[strength=[1,2.5]],waits(strength=3)", "--seeds", "[0,7]", "--seconds", "2"], PLANNED),
    (["run", "--methods", "counts", "--datasets", "coins[train=10,valid=5]", "--device", "cpu"], PLANNED),
    (["run", "--methods", "counts", "--timeout", "2", "--memory", "8GiB", "--workers", "2", "--threads", "1"], PLANNED),
    (["run", "--suite", "suite.toml", "--target", "0.5", "--select", "nll@valid", "--patience", "3"], PLANNED),
    (["run", "--methods", "counts[(strength)=[(1),(2)]]", "--results", "out", "--metrics", "accuracy,nll"], QUICK),
    (["run", "--methods", "starts,breaks", "--results", "out", "--precision", "fp32", "--target", "0.4"], QUICK),
    (["report", "--results", "kept", "--format", "json", "--metrics", "accuracy@best,length", "--target", "0.5"], []),
    (["report", "--results", "kept", "--methods", "counts[strength=2]", "--datasets", "coins", "--output", "-"], []),
    (["report", "--results", "kept", "--select", "nll@valid", "--suite", "suite.toml", "--format", "latex"], []),
    (["show", "counts/coins/0", "--results", "kept", "--format", "json"], []),
    (["list", "methods", "--format", "json"], []),
    (["list", "counts"], []),
    (["data", "verify", "coins", "--data-dir", "data"], []),
    (["plugins", "--problems"], []),
    (["env", "--device", "cpu", "--format", "json"], []),
]
SUITE = """
summary = "a tiny comparison"
methods = ["counts", "waits"]
seeds = 1
updates = 2
[[claims]]
text = "no longer"
left = "waits.length"
over = "counts.length"
at_most = 1.0
"""

CHARACTERS = "a0 ,=[]()'\"-_:;@#*?%$&!|<>{}\t\n\0\u00e9\u4e2d\U0001f600\u202e\udc80"
WORDS = ["", " ", "-1", "0", "9" * 400, "1e999", "nan", "-inf", "1e-320", "\0", "\udcff", "none", "[" * 200, "--", "-"]
WORDS += [
    "--seeds",
    "--methods",
    "--results",
    "--format",
    "counts",
    "fits",
    "\u0663",
    "0x10",
    "1_000",
    "x" * 5000,
    "%s",
]


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A working directory with a plugin, a suite and some records; nothing that a line names lies outside of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics,executors")
    for name in ("HOME", "XDG_CACHE_HOME", "HARNESS_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    modules = set(sys.modules)
    shutil.copy(TINY, "tiny.py")
    Path("suite.toml").write_text(SUITE)
    code, said = call(["run", "-p", "tiny.py", "--methods", "counts,counts[strength=2]", "--results", "kept", *QUICK])
    assert code == 0, said
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("harness_file_") and name not in modules]:
        del sys.modules[name]


def call(words: list[str]) -> tuple[object, str]:
    """The exit code, and all that was said, on streams as strict as a terminal's."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    err = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code: object = main(words)
        except SystemExit as stop:
            code = stop.code
    out.flush()
    err.flush()
    return code, (out.buffer.getvalue() + err.buffer.getvalue()).decode()


def clean(words: list[str]) -> str:
    """Describe what is wrong with how the program took these words; empty if nothing is."""
    try:
        code, said = call(words)
    except BaseException as error:
        return f"{words!r}: {type(error).__name__}: {error}"
    asked = "--problems" in words  # shows the tracebacks of plugins that are broken
    fine = code in (0, 1, 2) and ("Traceback" not in said or asked) and "internal error" not in said
    return "" if fine else f"{words!r}: {code}: {said[-600:]}"


# --- command lines ------------------------------------------------------------------------------------------------


def groups(count: int, every_time: int) -> pytest.MarkDecorator:
    """Parametrises a test by the number of a group of mutations, of which the later ones are slow."""
    slow = [pytest.param(number, marks=pytest.mark.slow) for number in range(every_time, count)]
    return pytest.mark.parametrize("group", [*range(every_time), *slow])


@groups(10, every_time=2)
def test_50_mutated_command_lines_end_with_a_line_or_two(place, group):
    problems = [clean([*words, *pinned]) for words, pinned in _lines(random.Random(group), 50)]
    assert [problem for problem in problems if problem] == []


def _lines(rng: random.Random, count: int) -> Iterator[tuple[list[str], list[str]]]:
    """Mutated lines that stay in the working directory."""
    made = 0
    while made < count:
        line, pinned = LINES[made % len(LINES)]
        words = ["-p", "tiny.py", *line]
        for _ in range(rng.randint(1, 3)):
            words = rng.choice(LINE_MUTATIONS)(words, rng)
        if not any(word.lstrip().startswith(("/", "~")) or ".." in word or "=/" in word for word in words):
            yield words, pinned
            made += 1


def _drop_word(words: list[str], rng: random.Random) -> list[str]:
    at = rng.randrange(len(words) + 1)
    return words[:at] + words[at + 1 :]


def _repeat_word(words: list[str], rng: random.Random) -> list[str]:
    at = rng.randrange(len(words) + 1)
    return words[:at] + words[at : at + 1] + words[at:]


def _swap_words(words: list[str], rng: random.Random) -> list[str]:
    return _swapped(words, rng) if len(words) > 1 else words


def _insert_word(words: list[str], rng: random.Random) -> list[str]:
    at = rng.randrange(len(words) + 1)
    return [*words[:at], rng.choice(WORDS), *words[at:]]


def _replace_word(words: list[str], rng: random.Random) -> list[str]:
    at = rng.randrange(len(words) + 1)
    return [*words[:at], rng.choice(WORDS), *words[at + 1 :]]


def _in_word(words: list[str], rng: random.Random) -> list[str]:
    if not words:
        return words
    at = rng.randrange(len(words))
    return [*words[:at], rng.choice(TEXT_MUTATIONS)(words[at], rng), *words[at + 1 :]]


def _drop_character(word: str, rng: random.Random) -> str:
    at = rng.randrange(len(word) + 1)
    return word[:at] + word[at + 1 :]


def _repeat_part(word: str, rng: random.Random) -> str:
    first, last = sorted(rng.randrange(len(word) + 1) for _ in range(2))
    return word[:last] + word[first:last] + word[last:]


def _swap_characters(word: str, rng: random.Random) -> str:
    return "".join(_swapped(list(word), rng)) if len(word) > 1 else word


def _insert_character(word: str, rng: random.Random) -> str:
    at = rng.randrange(len(word) + 1)
    return word[:at] + rng.choice(CHARACTERS) + word[at:]


def _insert_word_inside(word: str, rng: random.Random) -> str:
    at = rng.randrange(len(word) + 1)
    return word[:at] + rng.choice(WORDS) + word[at:]


def _swapped(items: list[str], rng: random.Random) -> list[str]:
    one, other = rng.sample(range(len(items)), 2)
    items = list(items)
    items[one], items[other] = items[other], items[one]
    return items


TEXT_MUTATIONS = (_drop_character, _repeat_part, _swap_characters, _insert_character, _insert_word_inside)
LINE_MUTATIONS: tuple[Callable[[list[str], random.Random], list[str]], ...] = (
    _drop_word,
    _repeat_word,
    _swap_words,
    _insert_word,
    _replace_word,
    _in_word,
    _in_word,
    _in_word,
    _in_word,
)


# --- record files -------------------------------------------------------------------------------------------------

JUNK: list[Any] = [None, True, 0, -1, 10**40, 1e308, -1e308, float("nan"), float("inf"), "", "\0", "x" * 3000]
JUNK += [
    "\udc80",
    "[bold]",
    "\x1b[31m",
    "\n\n",
    "\\end{tabular} & % _",
    "|",
    [],
    {},
    [[[]]],
    {"": {"": [None]}},
    ["\ud800"],
]
JUNK += [
    {"accuracy": "high"},
    {"accuracy": 10**400},
    {"\ud800": 1},
    [None] * 50,
    "9" * 5000,
    {"accuracy": None, "nll": []},
]


@groups(20, every_time=2)
def test_25_mutated_record_files_cost_nothing_but_themselves(place, group):
    rng = random.Random(group)
    (text,) = [path.read_text() for path in Path("kept/trials").glob("*.json") if "strength=2" not in path.read_text()]
    good = text.replace('"label": "counts"', '"label": "waits[strength=9]"').replace(
        '"name": "counts"', '"name": "waits"'
    )
    trials = Path("records/trials")
    trials.mkdir(parents=True)
    (trials / "good.json").write_text(good)
    keys = [f"{number:016}" for number in range(25)]
    for number, key in enumerate(keys):
        value = json.loads(text) | {"key": key}
        value["trial"] |= {"key": key, "seed": 1 + number}
        (trials / f"{key}.json").write_bytes(_mutated(value, rng))
    assert _read_by_all(trials.parent, keys) == []


def _read_by_all(results: Path, keys: list[str]) -> list[str]:
    problems = [clean(["-p", "tiny.py", "report", "--results", str(results), "--format", each]) for each in FORMATS]
    for number, key in enumerate(keys):
        problems.append(
            clean(["show", key, "-p", "tiny.py", "--results", str(results), "--format", ("text", "json")[number % 2]])
        )
    code, said = call(
        ["-p", "tiny.py", "report", "--results", str(results), "--methods", "waits[*]", "--format", "json"]
    )
    if code != 0 or '"waits[strength=9]"' not in said:
        problems.append(f"{results}: the good record is not reported: {code}: {said[-600:]}")
    return [problem for problem in problems if problem]


def _mutated(value: dict[str, Any], rng: random.Random) -> bytes:
    """One record with something wrong with it: most often a field of another type, else its bytes."""
    if rng.random() < 0.7:
        for _ in range(rng.randint(1, 2)):
            _spoil(value, rng)
        return json.dumps(value, indent=1).encode()
    data = bytearray(json.dumps(value, indent=1).encode())
    for _ in range(rng.randint(0, 4)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data[: rng.randrange(len(data))] if rng.random() < 0.3 else data)


def _spoil(value: dict[str, Any], rng: random.Random) -> None:
    """Drop, add, or give junk to one of the fields, at any depth."""
    holder, name = rng.choice(list(_fields(value)))
    kind = rng.random()
    if kind < 0.15:
        del holder[name]
    elif kind < 0.25 and isinstance(holder, dict):
        holder[rng.choice(["", "accuracy", "nll@best", "\ud800", "x"])] = rng.choice(JUNK)
    else:
        holder[name] = rng.choice(JUNK)


def _fields(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in nested JSON, as its holder and its name or index there."""
    for name, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, name
        if isinstance(inner, (dict, list)):
            yield from _fields(inner)
