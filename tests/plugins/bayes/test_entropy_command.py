"""`harness entropy-error`: what it tabulates is what the theory says, and what it draws is where it stands."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from pathlib import Path

import pytest
import torch

from harness.cli import main
from harness_bayes.bounds import general_bound, probabilistic_bound
from harness_bayes.entropy import approximate_entropy
from harness_bayes.entropy_command import entropy_error
from harness_bayes.entropy_report import as_text, draw_chart
from harness_bayes.entropy_study import Question, Row, draw_mixtures, study_dimensions

DOCS = (Path(__file__).parents[3] / "docs" / "entropy.md").read_text(encoding="utf-8")
QUICK = ("--draws", "4", "--samples", "50")
KINDS = ("tied", "isotropic", "diag", "full")


def question(dimensions=(1, 10, 100), components=2, spread=2.0, covariance="tied", draws=6, samples=200, seed=0):
    return Question(dimensions, components, spread, covariance, draws, samples, 0.01, seed)


@pytest.fixture
def harness(capsys):
    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(["entropy-error", *arguments])
        return (code, *capsys.readouterr())

    return call


# --- what is tabulated ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance", KINDS)
@pytest.mark.parametrize("components", [2, 3])
def test_the_error_vanishes_between_its_bounds(covariance, components):
    rows = study_dimensions(question(components=components, covariance=covariance))
    for row in rows:
        slack = 5 * row.standard_error
        assert row.lower * (1 - 1e-9) <= row.error + slack
        for bound in (row.kolchinsky_tracey, row.overlaps, row.weight_entropy, row.theorem_1):
            assert row.error - slack <= bound * (1 + 1e-9)
        assert row.weight_entropy == pytest.approx(math.log(components))
        assert row.sqrt_dimension == math.sqrt(row.dimension)
    errors = [row.error for row in rows]
    assert errors[0] > 0.05 > 1e-3 > errors[1] > 1e-20 > errors[2] > 0
    assert rows[2].alpha > rows[2].sqrt_dimension
    assert [row.theorem_1 < row.weight_entropy for row in rows] == [False, True, True]


def test_with_one_covariance_two_components_are_integrated_and_theorem_3_holds():
    rows = study_dimensions(question(draws=40))
    assert [row.standard_error for row in rows] == [0, 0, 0]
    assert [row.theorem_3 for row in rows] == [probabilistic_bound(2, m, 2.0, 0.01) for m in (1, 10, 100)]
    assert all(row.exceeding <= row.theorem_3 for row in rows)
    assert rows[0].exceeding > 0.5
    assert rows[2].exceeding == 0


@pytest.mark.parametrize("covariance", ["isotropic", "diag", "full"])
def test_with_others_it_is_sampled_and_theorem_3_is_silent(covariance):
    (row,) = study_dimensions(question((3,), covariance=covariance))
    assert row.theorem_3 is None
    assert 0 < row.standard_error < 0.1 * row.error


def test_the_error_of_one_dimension_is_what_the_entropy_lacks():
    """Of the very mixtures that are drawn, with the entropy from many points of each."""
    asked = question((2,), components=3, spread=1.0, covariance="diag", draws=3, samples=20_000)
    (row,) = study_dimensions(asked)
    drawn = {}

    def normal(*shape: int) -> torch.Tensor:
        drawn.setdefault("source", torch.Generator().manual_seed(seed_of(2)))
        return torch.randn(shape, generator=drawn["source"], dtype=torch.float64)

    components = draw_mixtures("diag", 3, 3, 2, 1.0, normal)
    log_weights = torch.full((3, 3), -math.log(3), dtype=torch.float64)
    torch.manual_seed(0)
    family = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=log_weights),
        torch.distributions.Independent(torch.distributions.Normal(*components), 1),
    )
    surprise = -family.log_prob(family.sample((100_000,)))
    error = (approximate_entropy(log_weights, components) - surprise.mean(0)).mean()
    uncertain = (surprise.var(0).sum() / len(surprise)).sqrt() / 3
    assert abs(row.error - error) < 5 * math.hypot(row.standard_error, uncertain)


def seed_of(m: int) -> int:
    from harness import derive

    return derive(0, "entropy-error", "mixtures", str(m))


def test_a_row_is_the_same_whatever_else_is_asked_for():
    one = {row.dimension: row for row in study_dimensions(question((2, 5), components=3))}
    assert study_dimensions(question((5,), components=3)) == [one[5]]
    assert study_dimensions(question((5,), components=3, seed=1)) != [one[5]]
    (more,) = study_dimensions(question((5,), components=3, samples=400))
    assert (more.alpha, more.kolchinsky_tracey) == (one[5].alpha, one[5].kolchinsky_tracey)


def test_mixtures_whose_means_are_one_err_by_the_entropy_of_their_weights():
    (row,) = study_dimensions(question((4,), components=3, spread=0.0))
    for value in (row.lower, row.error, row.kolchinsky_tracey, row.weight_entropy):
        assert value == pytest.approx(math.log(3), rel=1e-9)
    assert (row.alpha, row.exceeding) == (0, 1)
    apart = torch.zeros(3, 3, dtype=torch.float64).fill_diagonal_(math.inf)
    expected = general_bound(torch.full((3,), -math.log(3), dtype=torch.float64), apart, 4)
    assert row.theorem_1 == pytest.approx(expected.item()) == pytest.approx(4.0)


# --- how it is printed ------------------------------------------------------------------------------------------------


def test_the_output_in_the_docs_is_what_the_command_prints(harness, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    ((command, shown),) = re.findall(
        r"<!-- output: harness entropy-error (.*?) -->\n```text\n(.*?)^```$", DOCS, re.M | re.S
    )
    code, out, err = harness(*command.split())
    assert code == 0, err
    assert out == shown


def test_every_command_in_the_docs_is_understood():
    lines = re.findall(r"^harness entropy-error (.*)$", DOCS, re.M)
    assert len(lines) > 2
    for line in lines:
        with entropy_error.make_context("entropy-error", line.split()) as context:
            assert context.params["dim"]


def test_json_and_csv_hold_the_rows_unrounded(harness, tmp_path):
    arguments = ("--dim", "1,3", "--covariance", "diag", *QUICK)
    code, out, _ = harness(*arguments, "--format", "json")
    assert code == 0
    content = json.loads(out)
    asked = question([1, 3], covariance="diag", draws=4, samples=50)
    rows = study_dimensions(asked)
    assert [Row(**row) for row in content.pop("rows")] == rows
    assert Question(**content) == asked
    path = tmp_path / "errors.csv"
    assert harness(*arguments, "--format", "csv", "--output", str(path)) == (0, "", "")
    lines = list(csv.DictReader(io.StringIO(path.read_text())))
    assert [float(line["error"]) for line in lines] == [row.error for row in rows]
    assert [line["theorem_3"] for line in lines] == ["", ""]


def row_of(m: int, **values: float) -> Row:
    fields = dict(alpha=1.0, lower=1e-5, error=1e-3, standard_error=0.0, kolchinsky_tracey=1e-2, overlaps=0.02)
    fields |= dict(weight_entropy=0.7, theorem_1=2.0, exceeding=0.0, theorem_3=None)
    return Row(dimension=m, sqrt_dimension=math.sqrt(m), **(fields | values))


def test_the_chart_places_values_by_their_powers_of_ten():
    (line, scale, _) = draw_chart([row_of(7)], 100)
    inside = line[line.index("|") + 1 : line.rindex("|")]
    assert line.startswith("m = 7 |")
    assert len(line) <= 100
    decades = len(inside) - 1
    for mark, value in dict(L=1e-5, o=1e-3, K=1e-2, B=0.02, H=0.7, T=2.0).items():  # from 1e-5 to 1e1
        assert inside.index(mark) == round((math.log10(value) + 5) / 6 * decades)
    start = line.index("|") + 1
    assert scale.index("1", scale.index("0") + 1) == start + decades
    assert scale.index("-5") == start


def test_the_chart_marks_what_is_too_small_for_it_and_draws_the_error_over_bounds():
    (line, other, _, _) = draw_chart([row_of(7, lower=0.0, error=1e-200), row_of(100, kolchinsky_tracey=1e-3)], 80)
    assert line.count("<") == 1
    assert line.index("<") == line.index("|") + 1
    assert "o" not in line
    assert "L" not in line
    assert "o" in other
    assert "K" not in other


@pytest.mark.parametrize("rows", [[row_of(1)], [row_of(1, **dict.fromkeys(("lower", "error", "overlaps"), 0.7))]])
def test_a_chart_of_little_still_has_a_scale(rows):
    lines = draw_chart(rows, 10)
    assert re.search(r"\d", lines[1])


def test_the_text_says_whether_the_error_falls_and_where_theorem_1_speaks():
    falls = [row_of(1), row_of(9, alpha=4.0, error=1e-4, theorem_1=0.3)]
    text = " ".join(as_text(question(), falls, 100, False).split())
    assert "The error falls with the dimension: 1.0e-03 at m = 1, 1.0e-04 at m = 9." in text
    assert "alpha exceeds sqrt(m) at m = 9, and T1 says more than H(pi) at m = 9." in text
    text = " ".join(as_text(question(), falls[::-1], 100, False).split())
    assert "The error does not fall with the dimension" in text
    text = " ".join(as_text(question(), [row_of(4)], 100, False).split())
    assert "alpha exceeds sqrt(m) nowhere here, and T1 says more than H(pi) nowhere here." in text
    assert "The error" not in text


@pytest.mark.parametrize(("width", "tables"), [(120, 1), (80, 2), (60, 2)])
def test_no_cell_is_cut_and_where_there_is_little_room_there_are_two_tables(width, tables):
    sizes = dict(lower=1e-280, error=1e-270, standard_error=1e-272, kolchinsky_tracey=1e-268, overlaps=1e-268)
    rows = [row_of(1, theorem_1=1e-100, theorem_3=395.0), row_of(1000, **sizes, theorem_3=4.1e-3)]
    text = as_text(question(), rows, width, False)
    assert "…" not in text
    assert len(re.findall(r"^─+$", text, re.M)) == tables
    assert len(re.findall(r"^1000 ", text, re.M)) == tables
    for shown in ("1e-280", "1e-270", "1e-272", "1e-268", "1.0e-05", "395", "4.1e-03"):
        assert shown in text


def test_what_float64_cannot_hold_is_not_said_to_be_nothing():
    text = as_text(question(), [row_of(1), row_of(1000, lower=0.0, error=0.0)], 100, False)
    assert re.search(r"^1000 .* <1e-307 +<1e-307 ", text, re.M)
    assert "The error falls with the dimension: 1.0e-03 at m = 1, <1e-307 at m = 1000." in text


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--dim", "1,x"), "--dim 1,x: expected whole numbers of at least 1, such as 1,10,100, not 'x'"),
        (("--dim", ""), "not ''"),
        (("--dim", "0,3"), "not '0'"),
        (("--dim", "2.5"), "not '2.5'"),
        (("--dim", "3,,4"), "not ''"),
        (("--components", "1"), "at least 2"),
        (("--components", "two"), "two"),
        (("--spread", "-1"), "--spread -1: expected a number of at least 0"),
        (("--spread", "nan"), "--spread nan: expected"),
        (("--spread", "inf"), "--spread inf: expected"),
        (("--spread", "wide"), "--spread wide: expected"),
        (("--epsilon", "0"), "--epsilon 0: expected a number above 0"),
        (("--epsilon", "-0.1"), "--epsilon -0.1: expected a number above 0"),
        (("--covariance", "ful"), "--covariance ful: unknown; known: tied, isotropic, diag, full"),
        (("--format", "xml"), "--format xml: unknown; known: text, json, csv"),
        (("--samples", "1"), "at least 2"),
        (("--draws", "0"), "at least 1"),
        (("--seed", "-1"), "at least 0"),
        (
            ("--dim", "5000", "--covariance", "full"),
            "50,000,000 numbers; with as many components --dim may be at most 724",
        ),
        (("--dim", "1000000", "--covariance", "diag"), "1,000,000,000 numbers"),
        (("--dim", "99999999999"), "numbers, of at most"),
        (("--output", "no/such/folder/file"), "--output no/such/folder/file: not written"),
    ],
)
def test_mistakes_are_answered_with_what_was_expected(harness, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    code, out, err = harness(*arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_dimensions_may_repeat_and_come_in_any_order(harness):
    code, out, _ = harness("--dim", "10, 2,10", *QUICK, "--format", "json")
    assert code == 0
    assert [row["dimension"] for row in json.loads(out)["rows"]] == [2, 10]
