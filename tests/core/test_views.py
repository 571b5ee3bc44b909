"""Tables of a listing, as wide as the terminal."""

from __future__ import annotations

from harness.cli.views import table

HEADING = ("name", "unit", "summary")
ROWS = [("saved_bytes", "B", "peak of live tensors saved for the backward pass"), ("ece", "", "calibration")]


def test_without_a_terminal_no_line_is_broken():
    assert table(HEADING, ROWS).splitlines() == [
        "  name         unit  summary",
        "  saved_bytes  B     peak of live tensors saved for the backward pass",
        "  ece                calibration",
    ]


def test_words_of_the_last_column_stand_below_each_other():
    assert table(HEADING, ROWS, 50).splitlines() == [
        "  name         unit  summary",
        "  saved_bytes  B     peak of live tensors saved",
        "                     for the backward pass",
        "  ece                calibration",
    ]


def test_where_little_room_is_left_they_stand_on_lines_of_their_own():
    assert table(HEADING, ROWS, 40).splitlines() == [
        "  name         unit  summary",
        "  saved_bytes  B",
        "      peak of live tensors saved for the",
        "      backward pass",
        "  ece                calibration",
    ]


def test_a_column_in_which_nobody_says_anything_is_left_out():
    assert table(("name", "unit"), [("ece", ""), ("nll", "")]) == "  name\n  ece\n  nll"
    assert table(("name",), []) == "  (none)"
