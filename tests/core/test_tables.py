"""Tables and paragraphs of a listing, no wider than the terminal."""

from __future__ import annotations

import pytest

from harness.cli.tables import fold, output_width, tabulate

HEADING = ("name", "unit", "summary")
ROWS = [("saved_bytes", "B", "peak of live tensors saved for the backward pass"), ("ece", "", "calibration")]


def test_without_a_terminal_no_line_is_broken():
    assert tabulate(HEADING, ROWS).splitlines() == [
        "  name         unit  summary",
        "  saved_bytes  B     peak of live tensors saved for the backward pass",
        "  ece                calibration",
    ]


def test_words_of_the_last_column_stand_below_each_other():
    assert tabulate(HEADING, ROWS, 50).splitlines() == [
        "  name         unit  summary",
        "  saved_bytes  B     peak of live tensors saved",
        "                     for the backward pass",
        "  ece                calibration",
    ]


def test_where_little_room_is_left_they_stand_on_lines_of_their_own_in_every_row():
    assert tabulate(HEADING, ROWS, 40).splitlines() == [
        "  name         unit",
        "      summary",
        "  saved_bytes  B",
        "      peak of live tensors saved for the",
        "      backward pass",
        "  ece",
        "      calibration",
    ]


def test_alternatives_stand_below_each_other_before_the_last_column_moves():
    rows = [("shape", "sigmoid|rectangle|triangle|arctan", "of the derivative, seen from above"), ("leak", "float", "")]
    assert tabulate(("name", "type", "meaning"), rows, 60).splitlines() == [
        "  name   type                meaning",
        "  shape  sigmoid|rectangle|  of the derivative, seen from",
        "         triangle|arctan     above",
        "  leak   float",
    ]


@pytest.mark.parametrize("width", range(30, 120, 7))
def test_no_line_is_wider_than_asked_and_no_word_is_lost(width):
    lines = tabulate(HEADING, ROWS, width).splitlines()
    assert max(map(len, lines)) <= width
    assert sorted(" ".join(lines).split()) == sorted(" ".join(map(" ".join, [HEADING, *ROWS])).split())
    assert [line.split()[0] for line in lines if line[2] != " "] == ["name", "saved_bytes", "ece"]


def test_text_is_folded_after_commas_but_neither_within_numbers_nor_within_words():
    assert fold("saf[steps=[2,8]],bptt has 60,000 rows", 20, "of ", "   ") == [
        "of saf[steps=[2,8]],",
        "   bptt has 60,000",
        "   rows",
    ]
    assert fold("in /a/long/path/of/a/file.toml", 10) == ["in", "/a/long/path/of/a/file.toml"]


def test_where_there_is_no_terminal_the_width_is_fixed_unless_columns_says_otherwise(monkeypatch):
    monkeypatch.setattr("os.get_terminal_size", lambda _: (_ for _ in ()).throw(OSError))
    monkeypatch.delenv("COLUMNS", raising=False)
    assert output_width() == 100
    monkeypatch.setenv("COLUMNS", "72")
    assert output_width() == 72


def test_a_column_in_which_nobody_says_anything_is_left_out():
    assert tabulate(("name", "unit"), [("ece", ""), ("nll", "")]) == "  name\n  ece\n  nll"
    assert tabulate(("name",), []) == "  (none)"
