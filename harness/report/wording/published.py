"""Published values and claims as words: the same in every format, with sources numbered as notes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from harness.report.rows.comparison import Beside, Judged
from harness.report.rows.table import Cell, Summary
from harness.report.wording import numbers, paired
from harness.types import Metric

HEADS = ("method", "data set", "metric", "measured", "published")
DIFFERENCE = "less published, by seed"


@dataclass
class Footnotes:
    """Reasons and sources, numbered in the order of their appearance."""

    numbered: dict[str, int] = field(default_factory=dict)

    def mark(self, note: str) -> str:
        return f"[{self.numbered.setdefault(note, len(self.numbered) + 1)}]" if note else ""

    def list_lines(self) -> list[str]:
        return [f"[{number}] {note}" for note, number in self.numbered.items()]


def list_published(summary: Summary, sources: Footnotes) -> list[list[str]]:
    """A row under `heads` for each published value; measured is `-` where this data set or method was not run."""
    rows = [_make_published_row(each, summary.metrics[each.published.metric], sources) for each in summary.published]
    if DIFFERENCE not in list_heads(summary):
        return rows
    last = (paired.format_difference(each.difference) if each.difference else "-" for each in summary.published)
    return [[*row, difference] for row, difference in zip(rows, last, strict=True)]


def list_heads(summary: Summary) -> tuple[str, ...]:
    """The heads of the columns of published values: HEADS, and the paired difference where there is one."""
    return (*HEADS, *([DIFFERENCE] if any(each.difference for each in summary.published) else []))


def list_claims(summary: Summary, sources: Footnotes) -> Iterator[tuple[str, str, str]]:
    """List verdict, claim in words and finding for each claim; its place where there are several."""
    several = len({str((each.dataset, each.protocol)) for each in summary.claims if each.dataset}) > 1
    for each in summary.claims:
        claim = each.judgement.claim
        place = f" [on {_name_claim_place(each)}]" if several and each.dataset else ""
        yield each.judgement.verdict, f"{claim.text}{place}", f"{each.finding}{_cite_source(each, sources)}"


def _make_published_row(each: Beside, metric: Metric, sources: Footnotes) -> list[str]:
    entry = each.published
    cells = [Cell(entry.value, entry.sd, entry.n or 1)]
    if each.measured is not None:
        cells.insert(0, Cell(*each.measured))
    scale = numbers.scale(cells, metric)
    shown = [_format_estimate(cell, scale) for cell in cells]
    few = f" (n={entry.n})" if entry.n is not None else ""
    measured = f"{shown[0]}{_describe_survivors(each)}" if each.measured is not None else "-"
    published = f"{shown[-1]}{few} {sources.mark(entry.origin)}"
    return [entry.method, entry.dataset, entry.metric, measured, published]


def _format_estimate(cell: Cell, scale: numbers.Scale) -> str:
    if cell.mean is None:
        return "-"
    return f"{scale.mean(cell)}{scale.deviation(cell)} {scale.unit}".rstrip()


def _describe_survivors(each: Beside) -> str:
    """` (2 of 3 seeds)` where that is measured over survivors."""
    n = each.measured.n if each.measured is not None else each.planned
    return f" ({n} of {each.planned} seeds)" if n < each.planned else ""


def _cite_source(each: Judged, sources: Footnotes) -> str:
    claim = each.judgement.claim
    if not claim.source:
        return ""
    value = f"; published {claim.published:g}" if claim.published is not None else ""
    return f"{value} {sources.mark(claim.origin)}"


def _name_claim_place(each: Judged) -> str:
    terms = each.protocol or {}
    return ", ".join(map(str, (each.dataset, *(terms[name] for name in ("budget", "device") if name in terms))))
