"""The tables of a suite's file: `[[published]]` values of others, and `[[claims]]` as comparisons of two quantities."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import UsageError
from harness.words import suggest

Kinds = Mapping[str, type | tuple[type, ...]]

NUMBER = (int, float)
LARGEST = 1e300
METRIC = re.compile(r"[A-Za-z]\w*(@[\w-]+)?")


@dataclass(frozen=True)
class Quantity:
    """A metric of a method, written `mymethod[steps=4].forward_macs`."""

    method: str
    metric: str

    def __str__(self) -> str:
        return f"{self.method}.{self.metric}"


@dataclass(frozen=True)
class Published:
    """A value that a source reports for a method, in its own setting; never mixed with what was measured here.

    sd: standard deviation over n runs, from the standard error `se` where that is given instead. by_seed: the value of
    each run, seed 0 first; they are paired with the seeds (or splits) of the same number.
    """

    method: str
    dataset: str
    metric: str
    value: float
    source: str
    sd: float | None = None
    n: int | None = None
    setting: str = ""
    se: float | None = None
    by_seed: tuple[float, ...] = ()

    @property
    def origin(self) -> str:
        """The source of the value and how it was obtained."""
        return "; ".join(part for part in (self.source, self.setting) if part)


@dataclass(frozen=True)
class Claim:
    """A statement about `left`, about the ratio left / over, or about the difference left - minus.

    text: the claim in words. at_least, at_most: within these bounds it holds. dataset: where; anywhere if None.
    published: what `source` reports for the same comparison; setting: in which way, where that is another quantity,
    such as the memory of a whole process beside the bytes of activations.
    """

    text: str
    left: Quantity
    over: Quantity | None = None
    minus: Quantity | None = None
    at_least: float | None = None
    at_most: float | None = None
    dataset: str | None = None
    published: float | None = None
    source: str = ""
    setting: str = ""

    @property
    def origin(self) -> str:
        """The source of the published value and how it was obtained."""
        return "; ".join(part for part in (self.source, self.setting) if part)

    @property
    def right(self) -> Quantity | None:
        return self.over or self.minus

    @property
    def expression(self) -> str:
        """`first.forward_macs / second.forward_macs`."""
        if self.right is None:
            return str(self.left)
        return f"{self.left} {'/' if self.over else '-'} {self.right}"

    @property
    def bounds(self) -> str:
        """`1.9 to 2`, `exactly 1`, `at least 0.9`, `at most 1`."""
        if self.at_least is not None and self.at_least == self.at_most:
            return f"exactly {self.at_least:g}"
        if self.at_least is not None and self.at_most is not None:
            return f"{self.at_least:g} to {self.at_most:g}"
        return f"at most {self.at_most:g}" if self.at_least is None else f"at least {self.at_least:g}"


PUBLISHED: Kinds = {
    "method": str,
    "dataset": str,
    "metric": str,
    "value": NUMBER,
    "source": str,
    "sd": NUMBER,
    "se": NUMBER,
    "n": int,
    "by_seed": list,
    "setting": str,
}
CLAIM: Kinds = {
    "text": str,
    "left": str,
    "over": str,
    "minus": str,
    "at_least": NUMBER,
    "at_most": NUMBER,
    "dataset": str,
    "published": NUMBER,
    "source": str,
    "setting": str,
}


def read_published(where: str, tables: object) -> tuple[Published, ...]:
    """The `[[published]]` tables. Raises UsageError that names the file, the entry and the word."""
    return tuple(_make_published(entry, values) for entry, values in _number_tables(where, "published", tables))


def read_claims(where: str, tables: object) -> tuple[Claim, ...]:
    """The `[[claims]]` tables. Raises UsageError that names the file, the entry and the word."""
    return tuple(_make_claim(entry, values) for entry, values in _number_tables(where, "claims", tables))


def check_keys(where: str, values: Mapping[str, Any], kinds: Kinds, required: Sequence[str] = ()) -> None:
    """Raises UsageError for a key that is unknown or missing, and for a value of the wrong type."""
    for name, value in values.items():
        if name not in kinds:
            raise UsageError(f"{where}: unknown key {name!r}{suggest(name, kinds)}; known are {', '.join(kinds)}")
        if not _fits_kind(value, kinds[name]):
            raise UsageError(f"{where}: {name} = {value!r} is of the wrong type; expected {_name_kinds(kinds[name])}")
    for name in required:
        if name not in values or values[name] == "":
            raise UsageError(f"{where}: {name} is missing")


def _fits_kind(value: object, kind: type | tuple[type, ...]) -> bool:
    """Python takes a bool for an int; NaN, an infinity or what no float can hold is nothing that anyone can mean."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, kind) and (not isinstance(value, NUMBER) or -LARGEST < value < LARGEST)


def _name_kinds(kind: type | tuple[type, ...]) -> str:
    if kind == NUMBER:
        return "a number"
    kinds = kind if isinstance(kind, tuple) else (kind,)
    names = {str: "a text", list: "a list", int: "a whole number", bool: "true or false"}
    return " or ".join(names[each] for each in kinds)


def _number_tables(where: str, key: str, tables: object) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each table with the words that name it in an error."""
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"{where}: {key} = {tables!r} is of the wrong type; write tables under [[{key}]]")
    for number, table in enumerate(tables, 1):
        yield f"{where}: {key} entry {number}", table


def _make_published(where: str, values: Mapping[str, Any]) -> Published:
    check_keys(where, values, PUBLISHED, ("method", "dataset", "metric", "value", "source"))
    for name, noun in (("sd", "deviation"), ("se", "error")):
        if name in values and values[name] < 0:
            raise UsageError(f"{where}: {name} = {values[name]:g}; a standard {noun} is at least 0")
    if "sd" in values and "se" in values:
        raise UsageError(f"{where}: both sd and se; give the standard deviation or the standard error")
    if "n" in values and values["n"] < 1:
        raise UsageError(f"{where}: n = {values['n']}; a value is of at least 1 run")
    runs = _read_runs(where, values)
    n = values.get("n", len(runs) or None)
    if "se" in values and n is None:
        raise UsageError(f"{where}: se = {values['se']:g} needs n: the standard deviation is se times the root of n")
    return Published(**{**values, "by_seed": runs, "n": n, "sd": _find_deviation(values, runs, n)})


def _read_runs(where: str, values: Mapping[str, Any]) -> tuple[float, ...]:
    """The values of `by_seed`. Raises UsageError for what is no number, and for another number of them than n."""
    runs = values.get("by_seed", [])
    if odd := [value for value in runs if isinstance(value, bool) or not _fits_kind(value, NUMBER)]:
        raise UsageError(f"{where}: by_seed has {odd[0]!r}; expected a number for each seed, that of seed 0 first")
    if "by_seed" in values and not runs:
        raise UsageError(f"{where}: by_seed is empty; expected a number for each seed, or leave it out")
    if runs and values.get("n", len(runs)) != len(runs):
        raise UsageError(f"{where}: n = {values['n']}, but by_seed has {_count_values(len(runs))}")
    return tuple(runs)


def _count_values(values: int) -> str:
    return "1 value" if values == 1 else f"{values} values"


def _find_deviation(values: Mapping[str, Any], runs: Sequence[float], n: int | None) -> float | None:
    """Find the standard deviation: as given, or from the standard error, or from the runs."""
    if "se" in values and n is not None:
        return float(values["se"]) * math.sqrt(n)
    return values["sd"] if "sd" in values else statistics.stdev(runs) if len(runs) > 1 else None


def _make_claim(where: str, values: Mapping[str, Any]) -> Claim:
    check_keys(where, values, CLAIM, ("text", "left"))
    if "over" in values and "minus" in values:
        raise UsageError(f"{where}: both over and minus; a claim is about a ratio or about a difference")
    low, high = values.get("at_least"), values.get("at_most")
    if low is None and high is None:
        raise UsageError(f"{where}: neither at_least nor at_most; say within which bounds the claim holds")
    if low is not None and high is not None and low > high:
        raise UsageError(f"{where}: at_least = {low:g} lies above at_most = {high:g}")
    if "published" in values and not values.get("source"):
        raise UsageError(f"{where}: published = {values['published']:g} needs its source")
    sides = {name: _parse_quantity(where, name, values[name]) for name in ("left", "over", "minus") if name in values}
    return Claim(**{**values, **sides})


def _parse_quantity(where: str, name: str, text: str) -> Quantity:
    """The last dot parts method and metric: an option's value, such as leak=0.5, may hold others."""
    method, _, metric = text.rpartition(".")
    if not method.strip() or not METRIC.fullmatch(metric):
        raise UsageError(f"{where}: {name} = {text!r}; expected METHOD.METRIC, such as mymethod[steps=4].accuracy")
    return Quantity(method.strip(), metric)
