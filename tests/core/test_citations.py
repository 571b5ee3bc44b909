"""BibTeX of citations is read, and said in a line; what is none is left as it is."""

from __future__ import annotations

import pytest

from harness.citations import describe_citation, parse_citation

TWO = """
@article{lecun1998,
  author = {LeCun, Yann and Bottou, Léon
    and Bengio, Yoshua and Haffner, Patrick},
  title = {Gradient-Based {L}earning}, journal = {Proceedings of the IEEE},
  volume = 86, number = {11}, year = 1998,
}
@misc{xiao2017, author = {Xiao, Han and others}, title = {{Fashion-MNIST}}, year = {2017}, eprint = {1708.07747}}
"""


def test_entries_are_read():
    first, second = parse_citation(TWO)
    assert (first.kind, first.key, second.key) == ("article", "lecun1998", "xiao2017")
    assert first.fields["author"] == "LeCun, Yann and Bottou, Léon and Bengio, Yoshua and Haffner, Patrick"
    assert (first.fields["volume"], second.fields["title"]) == ("86", "{Fashion-MNIST}")


def test_a_person_reads_a_line():
    assert describe_citation(TWO) == (
        "LeCun, Bottou, Bengio and Haffner, Gradient-Based Learning, Proceedings of the IEEE 86(11) 1998; "
        "Xiao et al., Fashion-MNIST, arXiv:1708.07747 2017"
    )
    assert describe_citation("@book{a, title={T}, author={One, A}}") == "One, T"


@pytest.mark.parametrize("text", ["", "Neal, Bayesian\n Learning, 1996", "@book{neal, year=", "@{}", "@a{b, c = {d}"])
def test_what_is_no_bibtex_stays(text):
    assert describe_citation(text) == " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("@misc{a, title = {T}} and more", "expected @KIND"),
        ("@misc{a, title = {T", "a brace is not closed"),
        ("@misc{a, title = {T} year = {1}}", "a: expected a field or the closing brace"),
        ("@misc{a, title = , year = {1}}", "expected a value"),
    ],
)
def test_a_mistake_is_located(text, said):
    with pytest.raises(ValueError, match=said):
        parse_citation(text)
