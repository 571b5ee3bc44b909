"""A summary as tables in HTML that stand within another page, as in a notebook: no script, no style, all escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from markupsafe import Markup

from harness.report.formats.markup import list_body, list_footer, write_head
from harness.report.rows.table import Summary, Table
from harness.report.wording.captions import title


def render_fragment(summary: Summary) -> str:
    """Render a heading, a table and its notes, for each data set and protocol."""
    parts = [part for table in summary.tables for part in _render_table(table, summary)]
    return str(Markup("\n").join([*parts, _render_lines(summary.notes)]))


def _render_table(table: Table, summary: Summary) -> Iterator[Markup]:
    heads = ["method", "n", *(write_head(table, name, summary) for name in table.columns)]
    rows = list_body(table, summary, str, Markup("<b>{}</b>").format)
    head = Markup("").join(Markup("<th>{}</th>").format(each) for each in heads)
    yield Markup("<p><b>{}</b> {}</p>").format(table.dataset, title(table))
    yield Markup("<table><thead><tr>{}</tr></thead><tbody>").format(head)
    for name, *cells in rows:
        shown = Markup("").join(Markup("<td>{}</td>").format(each) for each in cells)
        yield Markup("<tr><th>{}</th>{}</tr>").format(name, shown)
    yield Markup("</tbody></table>")
    yield _render_lines(list_footer(table))


def _render_lines(lines: Iterable[str]) -> Markup:
    items = Markup("").join(Markup("<li>{}</li>").format(line) for line in lines)
    return Markup("<ul>{}</ul>").format(items) if items else Markup("")
