"""Text of plugins and servers, before it reaches a record or a terminal."""

import pytest

from harness.words import LONGEST, clean, clean_line


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
    assert clean(text) == expected


def test_line_breaks_stay_unless_one_line_is_asked_for():
    assert clean("one\r\ntwo\rthree") == "one\ntwo\nthree"
    assert clean_line("  one\r\n\ttwo ") == "one two"


@pytest.mark.parametrize("shorten", [clean, clean_line])
def test_length_is_bounded_whatever_comes(shorten):
    found = shorten("x" * 5_000_000)
    assert len(found) <= LONGEST
    assert found.endswith(" …")
    assert shorten("y" * LONGEST) == "y" * LONGEST


@pytest.mark.parametrize("shorten", [clean, clean_line])
def test_what_is_cut_keeps_the_place_of_an_error_at_its_end(shorten):
    place = "(my_package/method.py line 31, in update)"
    found = shorten(f"ValueError: {'x' * 5_000_000} {place}")
    assert len(found) <= LONGEST
    assert found.startswith("ValueError: xxx")
    assert found.endswith(f"x … {place}")
    assert shorten("y" * 600 + f"({'z' * 300}.py line 3, in f)").endswith(" …")
