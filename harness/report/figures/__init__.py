"""Figures for papers, by matplotlib, which is imported when one is drawn (extra `plot`)."""

from __future__ import annotations

import warnings

from harness.report.figures import canvas, costs, curves, sweep, tradeoff
from harness.report.rows.table import Summary
from harness.report.wording.cleaning import clean_summary

KINDS = {
    "tradeoff": tradeoff.draw_tradeoff,
    "curves": curves.draw_curves,
    "sweep": sweep.draw_sweep,
    "costs": costs.draw_costs,
}


def draw(kind: str, summary: Summary, asked: canvas.Asked, format: str) -> tuple[bytes, str]:  # noqa: A002
    """The bytes of a figure of one of KINDS, in one of `canvas.FORMATS`, and its caption.

    Raises UsageError where matplotlib is not installed, or nothing can be drawn.
    """
    matplotlib = canvas.import_matplotlib()
    with warnings.catch_warnings(), matplotlib.rc_context(canvas.STYLE):
        warnings.simplefilter("ignore")  # a letter that the font lacks is a box
        figure, caption = KINDS[kind](clean_summary(summary), asked)
        return canvas.write_figure(figure, format), caption
