"""Citations that ship: every method with a paper and every data set that others collected has sound BibTeX."""

from __future__ import annotations

import re

import pytest

from harness.catalog import Settings, load_catalog
from harness.citations import describe_citation, parse_citation

CATALOG = load_catalog(Settings(strict=True, only=None))
OFFERS = [*CATALOG.methods.values(), *CATALOG.datasets.values()]
CITED = [offer for offer in OFFERS if offer.citation]
REQUIRED = {
    "article": {"author", "title", "journal", "year"},
    "book": {"author", "title", "publisher", "year"},
    "inproceedings": {"author", "title", "booktitle", "year"},
    "techreport": {"author", "title", "institution", "year"},
    "misc": {"author", "title", "year"},
}


def test_what_has_a_paper_says_how_to_cite_it():
    assert [method.name for method in CATALOG.methods.values() if bool(method.paper) != bool(method.citation)] == []
    assert {each.name for each in CATALOG.datasets.values() if not each.citation} == {"toy-gap", "toy-2d"}


@pytest.mark.parametrize("offer", CITED, ids=lambda offer: offer.name)
def test_entries_are_complete_and_called_by_author_and_year(offer):
    for entry in parse_citation(offer.citation):
        assert REQUIRED[entry.kind] <= entry.fields.keys()
        assert all("," in author or author == "others" for author in entry.fields["author"].split(" and "))
        assert re.fullmatch(rf"[a-z]+{entry.fields['year']}[a-z0-9]+", entry.key)
        assert re.fullmatch(r"\d{4}\.\d{4,5}", entry.fields.get("eprint", "2310.02772"))
    assert "{" not in describe_citation(offer.citation)


def test_a_key_means_one_entry():
    entries: dict = {}
    for offer in CITED:
        for entry in parse_citation(offer.citation):
            assert entries.setdefault(entry.key, entry) == entry


def test_papers_and_citations_name_the_same():
    """Of a method's paper, as a line names it, the first author and the year are those of an entry."""
    for method in CATALOG.methods.values():
        entries = parse_citation(method.citation)
        years = set(re.findall(r"\b(?:19|20)\d\d\b(?!\.)", re.sub(r"arXiv \S+", "", method.paper)))
        assert years <= {entry.fields["year"] for entry in entries}, method.name
        first = re.match(r"([A-Z]\w+)(?: et al\.|,| and )", method.paper)
        if first and "et al" in method.paper:
            assert any(entry.fields["author"].startswith(first[1]) for entry in entries), method.name
