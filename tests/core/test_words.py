"""Text of plugins and servers, before it reaches a record or a terminal."""

import pytest

from harness.words import LONGEST, cap_texts, clean_line, clean_text, describe_error, list_names, suggest


@pytest.mark.parametrize(
    "text, expected",
    [
        ("plain", "plain"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x9b31mred\x9b0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0;1;2\x1b\\picture", "picture"),
        ("\x1b(Bcharset\x1bc", "charset"),
        ("bell\x07 null\x00 delete\x7f", "bell null delete"),
        ("\u202eright to left\u202c", "right to left"),
        ("half a sequence \x1b[31", "half a sequence"),
        ("lone \ud800 surrogate", "lone \\ud800 surrogate"),
        ("ünïcödé ≤ 漢字", "ünïcödé ≤ 漢字"),
    ],
)
def test_what_a_terminal_would_obey_is_taken_out(text, expected):
    assert clean_text(text) == expected


def test_line_breaks_stay_unless_one_line_is_asked_for():
    assert clean_text("one\r\ntwo\rthree") == "one\ntwo\nthree"
    assert clean_line("  one\r\n\ttwo ") == "one two"


@pytest.mark.parametrize("shorten", [clean_text, clean_line])
def test_length_is_bounded_whatever_comes(shorten):
    found = shorten("x" * 5_000_000)
    assert len(found) <= LONGEST
    assert found.endswith(" …")
    assert shorten("y" * LONGEST) == "y" * LONGEST


@pytest.mark.parametrize("shorten", [clean_text, clean_line])
def test_what_is_cut_keeps_the_place_of_an_error_at_its_end(shorten):
    place = "(my_package/method.py line 31, in update)"
    found = shorten(f"ValueError: {'x' * 5_000_000} {place}")
    assert len(found) <= LONGEST
    assert found.startswith("ValueError: xxx")
    assert found.endswith(f"x … {place}")
    assert shorten("y" * 600 + f"({'z' * 300}.py line 3, in f)").endswith(" …")


def test_a_list_names_the_first_and_says_how_many_more_there_are():
    names = [f"n{number:02}" for number in range(22)]
    assert list_names(reversed(names)) == f"{', '.join(names[:20])} and 2 more"
    assert list_names([]) == "none"
    assert cap_texts(names[:20]) == names[:20]
    assert cap_texts(names) == [*names[:19], "and 3 more"]


def test_the_nearest_word_is_suggested_as_it_is_spelt():
    assert suggest("STEP", ["rate", "Steps"]) == "; did you mean 'Steps'?"
    assert suggest("variant", ["rate", "Steps"]) == ""


def test_an_error_is_one_line_whatever_it_says():
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    assert describe_error(ValueError("first\nsecond")) == "ValueError: first"
    assert describe_error(ValueError()) == "ValueError"
    assert describe_error(Mute()) == "Mute: (its message raised RuntimeError)"
    assert describe_error(SystemExit(3)) == "called sys.exit(3)"
