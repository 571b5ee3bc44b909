"""The options of a config: described from its dataclass, and checked before anything is built from them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field
from typing import Any, ClassVar, Literal

import pytest

from harness import options
from harness.cli.tables import tabulate
from harness.conversion import type_text
from harness.errors import HarnessError, UsageError
from harness.options import option


@dataclass(frozen=True)
class Config:
    variant: Literal["every", "final"] = option("every", "which steps the loss sees")
    steps: int | None = option(None, "time steps", low=1, high=64)
    rate: float = option(1, "learning rate", above=0, below=10)
    hidden: tuple[int, ...] = option((64, 32), "widths", low=1)
    fused: bool = option(False, "one linear operation")
    note: str | None = option(None, "anything")

    def __post_init__(self) -> None:
        if self.variant == "final" and self.fused:
            raise ValueError("the final variant cannot be fused")


@dataclass(frozen=True)
class Foreign:
    """As a stranger writes it: no metadata, a required field, a factory, a field that cannot be set."""

    size: int
    shape: tuple[int, float] = (1, 2.0)
    names: list[str] = field(default_factory=lambda: ["a"])
    levels: Sequence[int] = ()
    anything: Any = None
    derived: int = field(default=7, init=False)


@dataclass(frozen=True)
class Words:
    norm: Literal["none", "batch"] = "batch"
    bits: Literal[8, 16] = 8
    codec: Literal["8", "16"] = "8"
    switch: Literal["auto", True, False] = "auto"
    either: int | tuple[float, ...] = 1
    number: float | int = 1
    level: Literal[1, "1"] = 1


def refused(config: type, given: dict[str, object]) -> str:
    with pytest.raises(UsageError) as caught:
        options.build(config, given, "saf")
    return str(caught.value)


def test_describe_states_name_type_default_meaning_and_limits():
    described = {each.name: each for each in options.describe(Config)}
    assert list(described) == ["variant", "steps", "rate", "hidden", "fused", "note"]
    assert described["variant"] == options.Option("variant", "every|final", "every", "which steps the loss sees", "")
    assert described["steps"] == options.Option("steps", "int or none", None, "time steps", ">= 1, <= 64")
    assert described["rate"] == options.Option("rate", "float", 1.0, "learning rate", "> 0, < 10")
    assert described["hidden"] == options.Option("hidden", "(int,...)", [64, 32], "widths", ">= 1")
    assert [described[name].type for name in ("fused", "note")] == ["bool", "str or none"]


def test_describe_works_on_a_plain_dataclass():
    size, shape, names, levels, anything = options.describe(Foreign)
    assert size == options.Option("size", "int", None, "", "", required=True)
    assert [each.type for each in (shape, names, levels, anything)] == ["(int,float)", "(str,...)", "(int,...)", "any"]
    assert [each.default for each in (shape, names, levels)] == [[1, 2.0], ["a"], []]


def test_a_union_of_literals_is_one_list():
    assert type_text(Literal["sigmoid", "arctan"] | Literal["clamp"]) == "sigmoid|arctan|clamp"
    assert type_text(Literal["a"] | None | Literal["b"]) == "a|b or none"
    assert type_text(int | Literal["auto"] | None) == "int or auto or none"


def test_table_aligns_its_columns_and_leaves_out_the_empty_ones():
    lines = tabulate(options.HEADINGS, options.rows(Config)).splitlines()
    assert lines[0].split() == ["name", "type", "default", "limits", "meaning"]
    assert len(lines) == 7
    for line, meaning in zip(lines[1:], [each.meaning for each in options.describe(Config)], strict=True):
        assert line.index(meaning) == lines[0].index("meaning")
    assert "(64,32)" in lines[4]
    assert tabulate(options.HEADINGS, options.rows(Foreign)).splitlines()[0].split() == ["name", "type", "default"]
    assert "required" in tabulate(options.HEADINGS, options.rows(Foreign)).splitlines()[1]


def test_no_parameters():
    @dataclass(frozen=True)
    class Nothing:
        pass

    assert options.values(options.build(Nothing, {}, "saf")) == {}
    assert "parameters of saf: none" in refused(Nothing, {"steps": 4})


@pytest.mark.parametrize(
    "given, expected",
    [
        ({}, Config()),
        ({"rate": 2}, Config(rate=2.0)),
        ({"steps": 4}, Config(steps=4)),
        ({"steps": None}, Config(steps=None)),
        ({"steps": "none"}, Config(steps=None)),
        ({"fused": "yes"}, Config(fused=True)),
        ({"fused": "True"}, Config(fused=True)),
        ({"fused": "no"}, Config(fused=False)),
        ({"fused": "false"}, Config(fused=False)),
        ({"hidden": [8, 4]}, Config(hidden=(8, 4))),
        ({"hidden": ()}, Config(hidden=())),
        ({"note": "none"}, Config(note="none")),
        ({"note": "yes"}, Config(note="yes")),
    ],
)
def test_build_converts(given, expected):
    assert options.build(Config, given, "saf") == expected


def test_an_int_becomes_a_float_where_a_float_is_wanted():
    assert isinstance(options.build(Config, {"rate": 2}, "saf").rate, float)
    size, measure = options.build(Foreign, {"size": 1, "shape": [3, 4]}, "saf").shape
    assert (type(size), type(measure)) == (int, float)


@pytest.mark.parametrize(
    "given, name, value",
    [
        ({"norm": None}, "norm", "none"),
        ({"bits": 16}, "bits", 16),
        ({"bits": "16"}, "bits", 16),
        ({"codec": 16}, "codec", "16"),
        ({"switch": "yes"}, "switch", True),
        ({"switch": False}, "switch", False),
        ({"switch": "auto"}, "switch", "auto"),
        ({"either": (1, 2)}, "either", (1.0, 2.0)),
        ({"either": 3}, "either", 3),
        ({"number": 3}, "number", 3),
        ({"number": 3.0}, "number", 3.0),
        ({"level": "1"}, "level", "1"),
    ],
)
def test_choices_are_matched_as_they_are_written(given, name, value):
    found = getattr(options.build(Words, given, "saf"), name)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    "given, expected, came",
    [
        ({"steps": 4.0}, "steps must be int or none", "the float 4.0"),
        ({"steps": True}, "steps must be int or none", "the bool True"),
        ({"steps": "four"}, "steps must be int or none", "'four'"),
        ({"rate": True}, "rate must be float", "the bool True"),
        ({"rate": float("nan")}, "rate must be float", "nan"),
        ({"rate": float("inf")}, "rate must be float", "inf"),
        ({"rate": 10**400}, "rate must be float", "the int 1000"),
        ({"rate": "0.1"}, "rate must be float", "'0.1'"),
        ({"rate": None}, "rate must be float", "none"),
        ({"fused": 1}, "fused must be bool", "the int 1 (yes or no)"),
        ({"fused": "maybe"}, "fused must be bool", "'maybe' (yes or no)"),
        ({"hidden": 64}, "hidden must be (int,...)", "the int 64"),
        ({"hidden": (64, 1.5)}, "hidden must be (int,...)", "(64,1.5)"),
        ({"note": 16}, "note must be str or none", "the int 16 (in quotes it is a string)"),
        ({"variant": "finale"}, "variant must be every|final", "'finale'; did you mean 'final'?"),
    ],
)
def test_a_wrong_type_is_refused(given, expected, came):
    message = refused(Config, given)
    first, *rest = message.splitlines()
    assert first.startswith(f"saf: {expected}, not ")
    assert came in first
    names = ", ".join(field.name for field in dataclasses.fields(Config))
    assert rest == [f"parameters of saf: {names}; harness list saf says more"]


@pytest.mark.parametrize(
    "given, expected",
    [
        ({"steps": 0}, "saf: steps must be >= 1, <= 64, not 0"),
        ({"steps": 65}, "saf: steps must be >= 1, <= 64, not 65"),
        ({"rate": 0}, "saf: rate must be > 0, < 10, not 0.0"),
        ({"rate": 10}, "saf: rate must be > 0, < 10, not 10.0"),
        ({"hidden": (4, 0)}, "saf: hidden must be >= 1, not (4,0)"),
    ],
)
def test_a_value_out_of_range_is_refused(given, expected):
    assert refused(Config, given).splitlines()[0] == expected


@pytest.mark.parametrize("given", [{"steps": 1}, {"steps": 64}, {"rate": 1e-300}, {"rate": 9.999}, {"hidden": (1,)}])
def test_a_value_at_its_limit_is_taken(given):
    assert options.build(Config, given, "saf") == Config(**given)


def test_an_unknown_parameter_is_refused_with_the_nearest_name():
    message = refused(Config, {"stpes": 4})
    assert message.splitlines()[0] == "saf: there is no parameter 'stpes'; did you mean 'steps'?"
    assert "parameters of saf: variant, steps, " in message
    assert "did you mean" not in refused(Config, {"zzz": 4})
    assert "there is no parameter 'derived'" in refused(Foreign, {"size": 1, "derived": 2})


def test_a_required_parameter_is_demanded():
    assert refused(Foreign, {}).startswith("saf: size must be given")
    assert options.build(Foreign, {"size": 2}, "saf").size == 2


def test_a_tuple_of_fixed_width_takes_just_as_many():
    assert "shape must be (int,float), not the tuple (1)" in refused(Foreign, {"size": 1, "shape": (1,)})
    assert "names must be (str,...)" in refused(Foreign, {"size": 1, "names": ("a", 1)})
    assert options.build(Foreign, {"size": 1, "names": ("a", "b")}, "saf").names == ["a", "b"]


def test_what_the_config_itself_refuses_is_a_usage_error():
    message = refused(Config, {"variant": "final", "fused": True})
    assert message.startswith("saf: the final variant cannot be fused\nparameters of saf: variant, ")


def test_values_are_json_in_the_order_of_the_config_and_build_the_same_config():
    config = options.build(Config, {"hidden": (3, 4), "steps": 4, "fused": "yes"}, "saf")
    resolved = options.values(config)
    assert json.dumps(resolved) == (
        '{"variant": "every", "steps": 4, "rate": 1.0, "hidden": [3, 4], "fused": true, "note": null}'
    )
    assert options.build(Config, json.loads(json.dumps(resolved)), "saf") == config


def test_values_are_equal_whether_a_default_was_given_or_not():
    default, given = options.build(Config, {}, "saf"), options.build(Config, {"rate": 1}, "saf")
    assert json.dumps(options.values(default)) == json.dumps(options.values(given))


def test_option_refuses_a_default_out_of_its_own_range():
    with pytest.raises(ValueError, match=r"default 0 .*time steps.* >= 1"):
        option(0, "time steps", low=1)


def test_option_can_be_required():
    @dataclass(frozen=True)
    class Required:
        size: int = option(MISSING, "rows", low=1)

    assert options.describe(Required)[0].required
    assert "size must be >= 1" in refused(Required, {"size": 0})
    assert "size must be given" in refused(Required, {})


def test_a_config_that_is_no_dataclass_or_has_unknown_types_is_named():
    with pytest.raises(HarnessError, match="int is not a dataclass"):
        options.describe(int)
    unresolved = dataclasses.make_dataclass("Unresolved", [("size", "Tensor", 1)])
    with pytest.raises(HarnessError, match="Unresolved cannot be resolved: name 'Tensor'"):
        options.describe(unresolved)


@dataclass(frozen=True, kw_only=True)
class Derived(Config):
    """A config with an option of its own, and another default of one that it inherits."""

    depth: int = option(2, "its own")
    rate: float = option(0.5, "inherited", above=0)


def test_the_keyword_only_options_that_a_config_adds_come_first():
    inherited = list(options.values(Config()))
    assert list(options.values(Derived())) == [each.name for each in options.describe(Derived)] == ["depth", *inherited]
    assert options.defaults(Derived)["rate"] == 0.5


# --- what a config refuses in its own words -----------------------------------------------------------------------


@dataclass(frozen=True)
class Refusing:
    absent_options: ClassVar = {"norm": "there is nothing to normalise"}
    steps: int = option(4, "time steps")

    def __post_init__(self) -> None:
        if self.steps == 0:
            raise UsageError("saf: steps=0 is no time")


def test_what_a_config_refuses_names_its_owner_once():
    assert refused(Refusing, {"steps": 0}) == "saf: steps=0 is no time"


def test_a_config_says_why_it_lacks_an_option():
    first, names = refused(Refusing, {"norm": "none"}).splitlines()
    assert first == "saf: there is no parameter 'norm': there is nothing to normalise; leave norm out"
    assert names.startswith("parameters of saf: steps; ")
    assert [each.name for each in options.describe(Refusing)] == ["steps"]


# --- an option that needs another ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Needing:
    schedule: Literal["cosine", "stairs", "ramp"] = option("cosine", "the learning rate over the budget")
    decay: float = option(0.5, "factor of each stair", needs={"schedule": "stairs"})
    length: int | None = option(None, "updates of a part", needs={"schedule": ("stairs", "ramp")})


@pytest.mark.parametrize(
    "given", [{}, {"decay": 0.5}, {"schedule": "stairs", "decay": 0.1}, {"schedule": "ramp", "length": 2}]
)
def test_an_option_is_taken_beside_what_it_needs_or_at_its_default(given: dict[str, Any]):
    assert options.build(Needing, given, "saf") == Needing(**given)


def test_an_option_without_effect_is_refused_with_what_it_needs():
    decay, length = refused(Needing, {"decay": 0.1}), refused(Needing, {"length": 2})
    assert decay == "saf: decay=0.1: without effect where schedule=cosine; leave decay out, or give schedule=stairs"
    assert length.endswith("where schedule=cosine; leave length out, or give schedule=stairs or ramp")
