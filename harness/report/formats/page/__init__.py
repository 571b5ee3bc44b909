"""The report as one HTML file that needs nothing else: no network, no build step, and with scripts off no script.

`template.html` says what stands where, `page.css` how it looks, `page.js` what moves. `figures` makes plots as plain
values, `svg` draws them, `sections` fills the template, `payload` is what the script works on.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.report.formats.page.figures import list_keys
from harness.report.formats.page.payload import write_payload
from harness.report.formats.page.sections import list_sections
from harness.report.rows.machines import list_machines
from harness.report.rows.table import Summary
from harness.report.wording import answers, published
from harness.report.wording.captions import GROUPS
from harness.version import __version__

HERE = Path(__file__).parent


def render_page(summary: Summary) -> str:
    """The summary as a page. Every text of it is escaped; only the page's own script may run."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    keys = list_keys(summary.tables)
    sources = published.Footnotes()
    script = (HERE / "page.js").read_text(encoding="utf-8")
    records = {id(record): record for table in summary.tables for row in table.rows for record in row.records}
    sections = list_sections(summary, keys)
    plots = [plot for section in sections for _, several in section.sweeps for plot in several]
    swept = [plot.figure for plot in plots if plot.figure is not None]
    return environment.get_template("template.html").render(
        title=answers.title_page(summary),
        sections=sections,
        groups=GROUPS,
        glossary={name: metric.summary for name, metric in summary.metrics.items() if metric.summary},
        heads=published.list_heads(summary),
        published=published.list_published(summary, sources),
        claims=list(published.list_claims(summary, sources)),
        sources=sources.numbered,
        machines=list_machines(records.values()),
        notes=summary.notes,
        citations=summary.citations,
        payload=Markup(write_payload(summary, keys, swept)),  # noqa: S704 (escaped there)
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),  # noqa: S704 (the package's own)
        script=Markup(script),  # noqa: S704 (likewise)
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        version=__version__,
    )
