"""The grammar of selections: what is selected, the normal form, and one clear error for every mistake."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import dataclass, make_dataclass
from typing import Any, Literal

import pytest

from harness.errors import UsageError
from harness.options import option
from harness.selections import expansion, matching, selection
from harness.selections.selection import Selected


@dataclass(frozen=True)
class Config:
    variant: Literal["every", "final", "none"] = option("every", "which steps")
    steps: int | None = option(None, "time steps", low=1)
    rate: float = option(0.1, "learning rate", above=0)
    hidden: tuple[int, ...] = option((64, 32), "widths", low=1)
    fused: bool = option(False, "one operation")
    note: str | None = option("", "anything")
    anything: Any = option(None, "whatever it is")  # noqa: RUF009 - ruff takes Any for a mutable type


def labels(text: str) -> list[str]:
    selected = selection.parse(text, "--methods")
    return [choice.label for each in selected for choice in expansion.expand(each, Config, each.name)]


def only(text: str) -> Any:
    """The one choice that the text selects."""
    (selected,) = selection.parse(text, "--methods")
    (choice,) = expansion.expand(selected, Config, selected.name)
    return choice


def refused(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        labels(text)
    return str(caught.value)


# --- what is selected ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, expected",
    [
        ("saf", ["saf"]),
        ("saf,ottt", ["saf", "ottt"]),
        ("saf[]", ["saf"]),
        ("saf()", ["saf"]),
        ("gm-vi[steps=4]", ["gm-vi[steps=4]"]),
        ("saf[variant=final,steps=4],ottt(fused=yes)", ["saf[variant=final,steps=4]", "ottt[fused=True]"]),
        (" saf [ steps = 4 , variant = final ] , ottt ", ["saf[variant=final,steps=4]", "ottt"]),
        ("saf[\n\tsteps=4]", ["saf[steps=4]"]),
        ("saf[steps=[4,8]]", ["saf[steps=4]", "saf[steps=8]"]),
        ("saf(steps=[4,8,])", ["saf[steps=4]", "saf[steps=8]"]),
        ("saf[steps=[none,8]]", ["saf", "saf[steps=8]"]),
        ("saf[hidden=(8,4)]", ["saf[hidden=(8,4)]"]),
        ("saf[hidden=(8)]", ["saf[hidden=(8)]"]),
        ("saf[hidden=[8,4]]", ["saf[hidden=(8,4)]"]),
        ("saf[hidden=8]", ["saf[hidden=(8)]"]),
        ("saf[hidden=(8,)]", ["saf[hidden=(8)]"]),
        ("saf[hidden=()]", ["saf[hidden=()]"]),
        ("saf[hidden=[(8,4),(2,)]]", ["saf[hidden=(8,4)]", "saf[hidden=(2)]"]),
        ("saf[hidden=[[8,4],[2]]]", ["saf[hidden=(8,4)]", "saf[hidden=(2)]"]),
        ("saf[(steps,rate)=[(4,0.1),(8,0.05)]]", ["saf[steps=4]", "saf[steps=8,rate=0.05]"]),
        ("saf[(steps,rate)=[[4,1],[8,2]]]", ["saf[steps=4,rate=1.0]", "saf[steps=8,rate=2.0]"]),
        ("saf[(hidden,steps)=[((8,4),2)]]", ["saf[steps=2,hidden=(8,4)]"]),
        ("saf[variant=every,steps=none,rate=.1,hidden=[(64,32)],fused=no,note='']", ["saf"]),
        ("saf[anything=[none,0,False]]", ["saf", "saf[anything=0]", "saf[anything=False]"]),
    ],
)
def test_labels_are_in_normal_form(text, expected):
    assert labels(text) == expected


def test_a_sweep_selects_every_combination_and_later_lists_vary_fastest():
    assert labels("saf[variant=[every,final],steps=[4,8]]") == [
        "saf[steps=4]",
        "saf[steps=8]",
        "saf[variant=final,steps=4]",
        "saf[variant=final,steps=8]",
    ]


def test_a_coupled_sweep_varies_as_one_beside_the_others():
    assert labels("saf[(steps,rate)=[(4,0.1),(8,0.2)],fused=[no,yes]]") == [
        "saf[steps=4]",
        "saf[steps=4,fused=True]",
        "saf[steps=8,rate=0.2]",
        "saf[steps=8,rate=0.2,fused=True]",
    ]


def test_a_choice_holds_what_was_given_and_what_it_resolves_to():
    choice = only("saf[rate=1,steps=4,fused=yes]")
    assert list(choice.given.items()) == [("steps", 4), ("rate", 1.0), ("fused", True)]
    assert choice.options == {
        "variant": "every",
        "steps": 4,
        "rate": 1.0,
        "hidden": [64, 32],
        "fused": True,
        "note": "",
        "anything": None,
    }
    assert choice.name == "saf"


@pytest.mark.parametrize(
    "word, value",
    [
        ("3", 3),
        ("-3", -3),
        ("+3", 3),
        ("1_000", 1000),
        ("0.5", 0.5),
        (".5", 0.5),
        ("2.", 2.0),
        ("1e-3", 0.001),
        ("-1.5E+2", -150.0),
        ("True", True),
        ("False", False),
        ("none", None),
        ("None", None),
        ("yes", "yes"),
        ("true", "true"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("final", "final"),
        ("1.2.3", "1.2.3"),
        ("3x", "3x"),
        ("a-b_c.d/e:f", "a-b_c.d/e:f"),
        ("'a, b'", "a, b"),
        ('"3"', "3"),
        (r"'it\'s\n'", "it's\n"),
        ("''", ""),
        ("(1, (a, none), [2.5])", [1, ["a", None], [2.5]]),
    ],
)
def test_values_are_read_as_in_python_and_bare_words_are_strings(word, value):
    found = only(f"saf[anything={word}]").options["anything"]
    assert (type(found), found) == (type(value), value)


def test_yes_and_no_are_booleans_only_where_the_field_is_one():
    choice = only("saf[fused=true,note=true]")
    assert (choice.options["fused"], choice.options["note"]) == (True, "true")


def test_a_name_may_name_its_distribution():
    assert selection.parse("harness-bench:saf[steps=4]", "--methods") == [
        Selected("saf", "harness-bench", None, ((("steps",), ((4,),)),))
    ]
    choice = only("harness-bench:saf[steps=4]")
    assert (choice.name, choice.label) == ("harness-bench:saf", "harness-bench:saf[steps=4]")


@pytest.mark.parametrize("name", ["./file.py", "path/to/file.py", "file.py", "../up/file", "~/mine.py", "/a:b/file.py"])
def test_a_file_is_told_from_a_name(name):
    (selected,) = selection.parse(f"{name}[steps=[4,8]]", "--methods")
    assert (selected.file, selected.provider) == (name, None)
    assert selected.sweeps == ((("steps",), ((4,), (8,))),)


def test_a_name_is_no_file():
    assert [each.file for each in selection.parse("saf,gm-vi,x.y", "--methods")] == [None, None, None]


# --- paths --------------------------------------------------------------------------------------------------------

PATHS = [
    ("My Drive/m.py", "My Drive/m.py"),
    ("~/My Drive/m.py", "~/My Drive/m.py"),
    ("/content/drive/My Drive/a  b/m.py", "/content/drive/My Drive/a  b/m.py"),
    ("./My Drive/m.py", "./My Drive/m.py"),
    ("../My Drive/m.py", "../My Drive/m.py"),
    ("my method.py", "my method.py"),
    ("'My Drive/m.py'", "My Drive/m.py"),
    ('"My Drive/m.py"', "My Drive/m.py"),
    ("'My Drive'/m.py", "My Drive/m.py"),
    ('~/"My Drive"/m.py', "~/My Drive/m.py"),
    (r"My\ Drive/m.py", "My Drive/m.py"),
    (r"~/My\ Drive/a\ \(1\)/m.py", "~/My Drive/a (1)/m.py"),
    (r"'My\ Drive/m.py'", "My Drive/m.py"),
    ("'runs (1), [x]/m.py'", "runs (1), [x]/m.py"),
    ("My Drive (1)/m y.py", "My Drive (1)/m y.py"),
    ("./m (1).py", "./m (1).py"),
    ("m[old copy].py", "m[old copy].py"),
    ('"it\'s/m.py"', "it's/m.py"),
    (r"it\'s/m.py", "it's/m.py"),
    ("'My Drive/methods'", "My Drive/methods"),
    ("/a&b;c#d%!/m.py", "/a&b;c#d%!/m.py"),
    ("./rate=0.1/m.py", "./rate=0.1/m.py"),
    ("Übung 日本/é.py", "Übung 日本/é.py"),
    ("C:/My Files/m.py", "C:/My Files/m.py"),
]


@pytest.mark.parametrize(("text", "path"), PATHS)
def test_a_path_is_understood_in_every_spelling_of_a_shell(text, path):
    sweeps = ((("rate",), ((0.1,),)),)
    assert selection.parse(text, "--methods") == [Selected(path, None, path)]
    for form in ("saf,{}[rate=0.1],ottt", " saf , {} [ rate = 0.1 ] , ottt ", "saf,{}(rate=0.1),ottt"):
        first, file, last = selection.parse(form.format(text), "--methods")
        assert (first.name, file, last.name) == ("saf", Selected(path, None, path, sweeps), "ottt")
    assert [each.file for each in selection.parse(f"{text},{text}", "--methods")] == [path, path]


@pytest.mark.parametrize(
    "text, message, place",
    [
        ("C:\\Users\\me\\m.py", "paths are written with '/' here", 2),
        ("saf,'..\\m.py'", "paths are written with '/' here", 7),
        ("saf ./m.py", "expected ',' or the end, not './m.py'", 4),
        ("./a.py ./b.py", "expected ',' or the end, not './b.py'", 7),
        ("a.py b.py", "expected ',' or the end, not 'b.py'", 5),
        ("My Drive/methods", "expected ',' or the end, not 'Drive/methods'", 3),
        ("./runs (1=2)/m.py", "a path with brackets, parentheses or commas in it stands in quotes", 12),
        ("./runs[a=1]\\ x/m.py", "a path with brackets, parentheses or commas in it stands in quotes", 11),
        ("./runs[1\\]/m.py", "a path with brackets, parentheses or commas in it stands in quotes", 8),
        ("./runs (1) 2/m.py", "expected '=' after the parameter '1', not ')'", 9),
        ("./it's/m.py", "begins a string that never ends", 4),
        ("'my method'", "expected a name", 0),
        ("saf,'./my method.py' x", "expected ',' or the end, not 'x'", 21),
    ],
)
def test_a_mistake_in_a_path_is_shown_in_its_place(text, message, place):
    first, shown, caret = refused(text).splitlines()
    assert message in first
    assert (shown, caret) == (f"  {text}", f"  {' ' * place}^")


# --- what has records ---------------------------------------------------------------------------------------------


def test_a_star_is_understood_where_records_are_read():
    found = selection.parse("saf[*],ottt(steps=4,*),*", "--methods", every=True)
    assert [(each.name, each.sweeps, each.every) for each in found] == [
        ("saf", (), True),
        ("ottt", ((("steps",), ((4,),)),), True),
        ("*", (), True),
    ]


@pytest.mark.parametrize("text, place", [("*", 0), ("saf[*]", 4), ("ottt,saf[steps=4,*]", 17), ("saf,*", 4)])
def test_a_star_is_refused_where_something_is_to_be_run(text, place):
    first, _, caret = refused(text).splitlines()
    assert "'*' stands for what has records, which report and show read; here say which" in first
    assert caret == f"  {' ' * place}^"


@pytest.mark.parametrize(
    "text", ["*[steps=4]", "saf*", "saf[**]", "saf[*,*]", "saf[steps=*]", "saf[*=4]", "saf[(*)=[1]]"]
)
def test_a_star_has_its_places(text):
    with pytest.raises(UsageError):
        selection.parse(text, "--methods", every=True)


# --- the normal form reads back -----------------------------------------------------------------------------------

NASTY = ["", " ", "none", "None", "True", "yes", "16", "1e5", "-1", "nan", "a,b", "a]b", "(a)", "it's", '"', "\\", "\n"]
NASTY += ["é", "ü/x", "a b", "=", "x=1", "\t", "'\"", "\x00", "1_0", "9" * 400, "#", "☃", "/", ":", "-", ".", "~", "@"]


@pytest.mark.parametrize("text", NASTY)
def test_a_string_reads_back_from_its_label(text):
    label = expansion.format_label("saf", {"note": text} if text else {})
    assert only(label).options["note"] == text
    assert only(label).label == label


DEFAULTS = {
    "variant": "every",
    "steps": None,
    "rate": 0.1,
    "hidden": [64, 32],
    "fused": False,
    "note": "",
    "anything": None,
}


def test_random_choices_read_back_from_their_labels():
    chance = random.Random(0)
    for _ in range(300):
        given = {
            "variant": chance.choice(["every", "final", "none"]),
            "steps": chance.choice([None, 1, 10**18]),
            "rate": chance.choice([1e-300, 0.1, 1 / 3, 1e22, 123456789.125]),
            "hidden": [chance.randrange(1, 99) for _ in range(chance.randrange(4))],
            "fused": chance.choice([True, False]),
            "note": chance.choice([*NASTY, None]),
            "anything": chance.choice([[], [[1], "a b"], -0.5, "(", False, None]),
        }
        kept = {name: value for name, value in given.items() if chance.random() < 0.6}
        choice = only(expansion.format_label("saf", kept))
        kept = {name: value for name, value in kept.items() if value != DEFAULTS[name]}
        assert choice.given == kept
        assert choice.label == expansion.format_label("saf", kept)
        again = only(choice.label)
        assert (again.label, json.dumps(again.options)) == (choice.label, json.dumps(choice.options))


# --- mistakes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, message, place",
    [
        ("saf,", "an empty name: expected one before the end", 4),
        (",saf", "an empty name: expected one before ','", 0),
        ("saf,,ottt", "an empty name", 4),
        ("saf[steps=4", "'[' is never closed", 3),
        ("saf(steps=4,", "expected the name of a parameter, not the end", 12),
        ("saf[", "'[' is never closed", 3),
        ("saf[hidden=(1,2", "'(' is never closed", 11),
        ("saf[steps=4)", "expected ',' or ']', not ')'", 11),
        ("saf[steps=4]x", "expected ',' or the end, not 'x'", 12),
        ("saf[steps=4][steps=4]", "expected ',' or the end, not '['", 12),
        ("saf ottt", "expected ',' or the end, not 'ottt'", 4),
        ("saf]", "expected ',' or the end, not ']'", 3),
        ("saf[steps=4,steps=5]", "'steps' is given twice", 12),
        ("saf[steps=4,(rate,steps)=[(1,2)]]", "'steps' is given twice", 18),
        ("saf[(steps,steps)=[(1,2)]]", "'steps' is given twice", 11),
        ("saf[steps=[]]", "the list for 'steps' is empty", 10),
        ("saf[steps]", "expected '=' after the parameter 'steps', not ']'", 9),
        ("saf[steps=]", "expected a value, not ']'", 10),
        ("saf[steps=,rate=1]", "expected a value, not ','", 10),
        ("saf[=4]", "expected the name of a parameter, not '='", 4),
        ("saf[steps=4,]", "expected the name of a parameter, not ']'", 12),
        ("saf[()=[(1,)]]", "expected the name of a parameter", 4),
        ("saf[(steps,rate)=[(4,0.1),(8,)]]", "expected 2 values for (steps,rate), not (8)", 26),
        ("saf[(steps,rate)=[4]]", "expected 2 values for (steps,rate), not 4", 18),
        ("saf[(steps,rate)=(4,0.1)]", "expected a list of tuples for (steps,rate)", 17),
        ("saf[note='x]", '"\'" begins a string that never ends', 9),
        (r"saf[note='\d']", "is not a string as in Python", 9),
        ("saf[steps=4;5]", "';' means nothing here", 11),
        ("'saf'", "expected a name", 0),
        (":saf", "':saf' is no name; expected distribution:name", 0),
        ("saf,a:b:c", "'a:b:c' is no name; expected distribution:name", 4),
        ("saf[rate=1e999]", "the number 1e999 is too large", 9),
        ("saf[steps=" + "9" * 5000 + "]", "is too large", 10),
        ("saf[anything=" + "(" * 5000, "brackets are nested more than 16 deep", 13 + 17),
    ],
)
def test_a_mistake_is_shown_in_its_place(text, message, place):
    first, shown, caret = refused(text).splitlines()
    assert first.startswith("--methods: ")
    assert message in first
    assert shown == f"  {text}"
    assert caret == f"  {' ' * place}^"


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_an_empty_selection_is_refused(text):
    assert refused(text) == "--methods: nothing is selected; at least one name was expected"


@pytest.mark.parametrize(
    "text, message",
    [
        ("saf[stpes=4]", "saf: there is no parameter 'stpes'; did you mean 'steps'?"),
        ("saf[steps=[4,0]]", "saf: steps must be >= 1, not 0"),
        ("saf[steps=4.0]", "saf: steps must be int or none, not the float 4.0"),
        ("saf[hidden=[8,.5]]", "saf: hidden must be (int,...), not the tuple (8,0.5)"),
        ("saf[steps=[4,4]]", "saf: saf[steps=4] is selected twice"),
        ("saf[rate=[1,1.0]]", "saf: saf[rate=1.0] is selected twice"),
    ],
)
def test_what_the_config_refuses_is_refused(text, message):
    assert refused(text).startswith(message)


def test_a_sweep_too_large_to_plan_is_refused_at_once():
    ten = ",".join(map(str, range(1, 11)))
    text = f"saf[steps=[{ten}],rate=[{ten}],note=[{ten}],fused=[{ten}],anything=[{ten}]]"
    assert "the sweeps make 100000 combinations" in refused(text)


def test_the_same_choice_cannot_be_selected_twice():
    def choices(text: str) -> list[Any]:
        items = selection.parse(text, "--methods")
        found = [choice for each in items for choice in expansion.expand(each, Config, each.name)]
        texts = [each for item in items for each in expansion.list_texts(item, Config)]
        return expansion.require_distinct(found, "--methods", texts)

    assert [choice.label for choice in choices("saf,ottt,saf[steps=4]")] == ["saf", "ottt", "saf[steps=4]"]
    with pytest.raises(UsageError, match=r"^--methods: saf is selected twice$"):
        choices("saf,ottt,saf")
    with pytest.raises(UsageError, match=r"saf\[variant=every\] is selected twice; it is the same as saf$"):
        choices("saf,saf[variant=every]")


# --- plain lists and seeds ----------------------------------------------------------------------------------------


def test_words():
    assert selection.parse_names("accuracy, nll,accuracy@best", "--metrics") == ["accuracy", "nll", "accuracy@best"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "nothing is selected"),
        ("accuracy,", "an empty name"),
        ("accuracy nll", "expected ',' or the end, not 'nll'"),
        ("accuracy,accuracy", "'accuracy' is given twice"),
        ("accuracy[4]", "expected ',' or the end, not '['"),
    ],
)
def test_words_refuses(text, message):
    with pytest.raises(UsageError, match=r"^--metrics: ") as caught:
        selection.parse_names(text, "--metrics")
    assert message in str(caught.value)


@pytest.mark.parametrize("text, expected", [("3", (0, 1, 2)), ("1", (0,)), ("[0,7]", (0, 7)), (" [ 5 ] ", (5,))])
def test_seeds(text, expected):
    assert selection.parse_seeds(text) == expected


@pytest.mark.parametrize(
    "text, message",
    [
        ("0", "not 0"),
        ("-2", "not -2"),
        ("3.0", "not 3.0"),
        ("True", "not True"),
        ("many", "not many"),
        ("1000000000000", "expected a number from 1 to 10000"),
        ("(0,7)", "or a list such as [0,7], not (0,7)"),
        ("0,7", "a list of seeds is written [0,7]"),
        ("", "nothing is given"),
        ("[]", "the list of seeds is empty"),
        ("[0,7", "'[' is never closed"),
        ("[0,-1]", "not -1"),
        ("[0.5]", "not 0.5"),
        ("[a]", "not a"),
        ("[True]", "not True"),
        ("[[1]]", "not (1)"),
        ("[1,2,1]", "the seed 1 is given twice"),
        (f"[{2**63}]", "a seed must be an int from 0 to 2**63-1"),
        ("3;", "';' means nothing here"),
    ],
)
def test_seeds_refuses(text, message):
    with pytest.raises(UsageError, match=r"^--seeds: ") as caught:
        selection.parse_seeds(text)
    assert message in str(caught.value)


# --- long texts: what grew with the square of the length would not end here -----------------------------------------

MANY = 20_000
VERY_MANY = 100_000


@pytest.mark.parametrize(
    "text",
    [
        f"saf[{','.join(f'option{n}={n}' for n in range(MANY))}]",
        f"saf[({','.join(f'option{n}' for n in range(MANY))})=[({','.join(map(str, range(MANY)))})]]",
        f"saf[steps=[{','.join(map(str, range(MANY)))}]]",
        f"saf[{','.join(f'option{n}=[1,(2,[3])]' for n in range(MANY))},*]",
        f"saf[note='{'x' * MANY * 10}']",
        f"saf[anything=({'(),' * MANY})]",
        ",".join(f"method{n}" for n in range(MANY)),
        ",".join(f"'a b/{n}.py',c d/{n}.py,\\ e/{n}.py" for n in range(MANY // 4)),
        "a b " * MANY + "c/m.py",
        "'a'b" * MANY + "/m.py",
    ],
    ids=lambda text: text[:20],
)
def test_a_long_selection_is_read_in_one_go(text):
    assert selection.parse(text, "--methods", every=True)


@pytest.mark.parametrize(
    "text",
    [
        "a b " * MANY + "[",
        "a 'b " * MANY,
        "\\ " * MANY,
        " " * MANY + "[",
        "saf" + "[" * MANY,
        "saf[steps=4]" * MANY,
        f"saf[{','.join(f'option{n}={n}' for n in range(MANY))},option7=1]",
        "x]" * MANY + "/",
        "saf[note=" + "'" * (2 * MANY + 1),
    ],
    ids=lambda text: text[:20],
)
def test_a_long_mistake_is_found_in_one_go_and_shown_in_part(text):
    with pytest.raises(UsageError) as caught:
        selection.parse(text, "--methods")
    assert len(str(caught.value)) < 1000


def test_long_lists_of_seeds_and_names_are_read_in_one_go():
    assert selection.parse_seeds(f"[{','.join(map(str, range(VERY_MANY)))}]") == tuple(range(VERY_MANY))
    with pytest.raises(UsageError, match="the seed 3 is given twice"):
        selection.parse_seeds(f"[{','.join(map(str, range(VERY_MANY)))},3]")
    assert len(selection.parse_names(",".join(f"metric{n}" for n in range(VERY_MANY)), "--metrics")) == VERY_MANY


def test_long_lists_of_labels_look_at_no_records_but_their_own(monkeypatch):
    labels = [f"saf[steps={n}]" for n in range(1, 2_001)]
    choices = [only(label) for label in labels]
    index = matching.Index(choices)
    compared = []
    monkeypatch.setattr(matching, "_fits_columns", lambda *given: compared.append(given) or False)
    found = [index.find_places(each) for each in selection.parse(",".join(labels), "--methods")]
    assert found == [[place] for place in range(len(labels))]
    assert compared == []


def test_a_choice_of_thousands_of_options_and_a_sweep_of_thousands_of_values_are_expanded():
    config = make_dataclass("Wide", [(f"o{n}", int, n) for n in range(2_000)], frozen=True)
    (selected,) = selection.parse(f"saf[{','.join(f'o{n}={n + 1}' for n in range(2_000))}]", "--methods")
    (choice,) = expansion.expand(selected, config, "saf")
    assert len(choice.given) == 2_000
    (selected,) = selection.parse(f"saf[steps=[{','.join(map(str, range(1, 10_001)))}]]", "--methods")
    assert len(expansion.expand(selected, Config, "saf")) == 10_000


# --- anything at all ----------------------------------------------------------------------------------------------

CORPUS = (
    "saf[variant=final,steps=[4,8]],ottt(fused=yes)",
    "harness-bench:saf[(steps,rate)=[(4,0.1),(8,0.05)]],./file.py",
    "saf[note='a, \\'b\\'',hidden=(64,32)],gm-vi[rate=1e-3]",
    'saf[anything=[(1,(2,x)),[none,"y"]],fused=[no,True]]',
    "a,b,c",
    "[0,7]",
)


def mutated(text: str, chance: random.Random) -> str:
    """The text with up to four characters dropped, doubled, swapped or replaced."""
    letters = list(text)
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(letters) - 1)
        match chance.randrange(4):
            case 0:
                del letters[at]
            case 1:
                letters.insert(at, letters[at])
            case 2:
                letters[at], letters[at + 1] = letters[at + 1], letters[at]
            case _:
                letters[at] = chance.choice("[](),='\"\\ :./-+e0x\n☃\x00\ud800")
    return "".join(letters)


def outcome(text: str) -> str:
    """Whether the text is refused, as it must be if it is not valid, or selects choices that read back."""
    try:
        found = labels(text)
    except UsageError:
        return "refused"
    assert [label for each in found for label in labels(each)] == found
    return "selected"


@pytest.mark.parametrize("seed", range(4))
def test_any_text_is_either_refused_or_selects_what_reads_back(seed):
    chance = random.Random(seed)
    outcomes = [outcome(mutated(chance.choice(CORPUS), chance)) for _ in range(400)]
    assert min(outcomes.count("refused"), outcomes.count("selected")) > 20


@pytest.mark.parametrize("read", [lambda text: selection.parse_names(text, "--metrics"), selection.parse_seeds])
def test_any_text_is_either_words_or_seeds_or_refused(read):
    chance = random.Random(7)
    for _ in range(400):
        try:
            found = read(mutated(chance.choice(CORPUS), chance))
        except UsageError:
            continue
        assert len(set(found)) == len(found) > 0


def test_selecting_imports_no_numerical_library():
    heavy = "{'torch', 'numpy', 'pandas', 'scipy', 'sklearn'}"
    code = f"import sys, harness.selections.selection; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- options that take a list whole -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Whole:
    parts: tuple[int, ...] = option((1, 2, 3), "what to use", low=1)
    rate: float = option(0.1, "how fast")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("m[parts=[1,2]]", ["m[parts=(1,2)]"]),
        ("m[parts=(1,2)]", ["m[parts=(1,2)]"]),
        ("m[parts=[[1,2]]]", ["m[parts=(1,2)]"]),
        ("m[parts=[3]]", ["m[parts=(3)]"]),
        ("m[parts=3]", ["m[parts=(3)]"]),
        ("m[parts=(3)]", ["m[parts=(3)]"]),
        ("m[parts=[(1,2),(3)]]", ["m[parts=(1,2)]", "m[parts=(3)]"]),
        ("m[parts=[1,2],rate=[1,2]]", ["m[parts=(1,2),rate=1.0]", "m[parts=(1,2),rate=2.0]"]),
        ("m[(parts,rate)=[((1,2),1),((3),2)]]", ["m[parts=(1,2),rate=1.0]", "m[parts=(3),rate=2.0]"]),
    ],
)
def test_a_list_for_an_option_that_takes_it_whole_is_one_value(text, expected):
    choices = expansion.expand(*selection.parse(text, "--datasets"), Whole, "m")
    assert [choice.label for choice in choices] == expected
    for choice in choices:
        (again,) = expansion.expand(*selection.parse(choice.label, "--datasets"), Whole, "m")
        assert again.options == choice.options
    assert {len(expansion.combine_sweep(choice.sweep)) for choice in choices} == {len(choices)}
