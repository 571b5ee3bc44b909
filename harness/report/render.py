"""One door to all formats, each imported when it is asked for."""

from __future__ import annotations

from harness.errors import UsageError
from harness.report.rows.table import Summary
from harness.report.wording.cleaning import clean_summary
from harness.words import suggest

FORMATS = ("text", "markdown", "latex", "csv", "json", "html")


def render(
    summary: Summary,
    format: str = "text",  # noqa: A002
    width: int | None = None,
    colour: bool = False,
    page: bool = False,
) -> str:
    """The summary in one of FORMATS, ending in a newline. width in characters and colour are for text; page is for
    latex: tables for the width of a page instead of a column.

    Raises UsageError for an unknown format.
    """
    summary = clean_summary(summary)
    if format == "text":
        from harness.report.formats.terminal import render_text

        return render_text(summary, width, colour)
    if format == "markdown":
        from harness.report.formats.markup import render_markdown

        return render_markdown(summary)
    if format == "latex":
        from harness.report.formats.latex import render_latex

        return render_latex(summary, page)
    if format in ("csv", "json"):
        from harness.report.formats import csv_json

        return csv_json.render_csv(summary) if format == "csv" else csv_json.render_json(summary)
    if format == "html":
        from harness.report.formats.page import render_page

        return render_page(summary)
    raise UsageError(f"unknown format {format!r}{suggest(format, FORMATS)} (formats: {', '.join(FORMATS)})")


def render_trials(summary: Summary, format: str = "csv", curves: bool = False) -> str:  # noqa: A002
    """The trials of a summary one by one, as csv or json; their learning curves, in csv instead of the other values.

    Raises UsageError for another format.
    """
    if format not in ("csv", "json"):
        raise UsageError(f"trials one by one are values for programs, not {format}; formats: csv, json")
    from harness.report.formats import trials

    summary = clean_summary(summary)
    if format == "json":
        return trials.render_trials_json(summary, curves)
    return trials.render_curves_csv(summary) if curves else trials.render_trials_csv(summary)
