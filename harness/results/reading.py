"""Results as Python reads them: tables, values, comparisons and figures, of the same code as the command line's."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from harness.catalog import Catalog
from harness.errors import UsageError
from harness.results.picking import keep_plans, select_records
from harness.results.summaries import Gathered, parse_columns, summarise_records
from harness.types import Record
from harness.words import suggest

if TYPE_CHECKING:
    import pandas

    from harness.report import Summary
    from harness.report.figures.canvas import Asked
    from harness.report.formats.versus_table import Found
    from harness.report.rows.versus import Comparison, Versus

WIDTH = 100  # characters of a table as text


class Results:
    """Results of a run or of results folders: the newest record of every trial, and what a report says of them.

    A notebook shows them as a table; `print` does so as text.
    """

    def __init__(self, catalog: Catalog, gathered: Gathered) -> None:
        self._catalog = catalog
        self._gathered = gathered

    @property
    def records(self) -> list[Record]:
        """Every record, of trials that did not end ok, too."""
        return list(self._gathered.records)

    def only(self, methods: str | Sequence[str] | None = None, datasets: str | Sequence[str] | None = None) -> Results:
        """Results of these methods and data sets alone, written as for `harness report`."""
        records = select_records(self._gathered.records, join_names(methods), "--methods")
        records = select_records(records, join_names(datasets), "--datasets")
        planned = keep_plans(self._gathered.planned, records)
        return Results(self._catalog, replace(self._gathered, records=records, planned=planned))

    def table(self, format: str = "text") -> str:  # noqa: A002
        """The table in a format of `harness report`: text, markdown, latex, csv, json or html (a whole page)."""
        from harness.report import render

        return render(self._summarise(), format, WIDTH)

    def to_pandas(self, per: Literal["trial", "row", "point"] = "trial") -> pandas.DataFrame:
        """A line per trial, per row and metric of the table, or per point of a learning curve and quantity; in SI
        units, bytes and counts, never rounded (docs/values.md).
        """
        import pandas

        from harness.report.formats import csv_json, trials

        make = {"trial": trials.tabulate_trials, "row": csv_json.tabulate_rows, "point": trials.tabulate_curves}
        _require_known("per", per, make)
        lines, columns = make[per](self._summarise_clean())
        return pandas.DataFrame([{name: line.get(name) for name in columns} for line in lines], columns=list(columns))

    def compare(self, *methods: str, all_pairs: bool = False, detect: float | None = None) -> Comparisons:
        """Hold these methods, by default all, against the first of them by seed, as `harness compare` does."""
        from harness.results.comparing import compare_gathered

        own = self.only(methods) if methods else self
        return Comparisons(compare_gathered(self._catalog, own._gathered, all_pairs, detect))

    def plot(
        self,
        kind: str = "tradeoff",
        *,
        score: str | None = None,
        cost: str | Sequence[str] | None = None,
        x: str = "update",
        over: str | None = None,
        width: str = "column",
    ) -> Figure:
        """A figure of `harness plot` (extra `plot`): tradeoff, curves, sweep or costs; `.save(FILE)` writes it."""
        from harness.report.figures import KINDS
        from harness.report.figures.canvas import INCHES, Asked
        from harness.report.rows.curves import Axis

        for name, value, known in (("kind", kind, KINDS), ("x", x, get_args(Axis)), ("width", width, INCHES)):
            _require_known(name, value, known)
        costs = parse_columns(self._catalog, join_names(cost), "cost") if kind != "costs" else _split_names(cost)
        names = parse_columns(self._catalog, score, "score")
        asked = Asked(width, names[0] if names else None, tuple(costs or ()), x, over)  # type: ignore[arg-type]
        every = replace(self._gathered.shown, columns=None)
        return Figure(kind, Results(self._catalog, replace(self._gathered, shown=every))._summarise(), asked)

    def __len__(self) -> int:
        return len(self._gathered.records)

    def __repr__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        from harness.report.formats.fragment import render_fragment

        return render_fragment(self._summarise_clean())

    def _summarise(self) -> Summary:
        found = self._gathered
        return summarise_records(self._catalog, found.records, found.shown, found.planned)

    def _summarise_clean(self) -> Summary:
        from harness.report.wording.cleaning import clean_summary

        return clean_summary(self._summarise())


@dataclass(frozen=True, repr=False)
class Comparisons:
    """Methods held against each other, table by table; `print` says it as `harness compare` does."""

    found: Found

    @property
    def tables(self) -> Sequence[Comparison]:
        """The comparisons of each table."""
        return self.found.tables

    @property
    def pairs(self) -> list[Versus]:
        """Every pair on every metric."""
        return [pair for table in self.tables for pair in table.found]

    def to_pandas(self) -> pandas.DataFrame:
        """A line per pair and metric, with the data set."""
        import pandas

        lines = [
            {"dataset": table.table.dataset, **vars(pair), "apart": pair.apart}
            for table in self.tables
            for pair in table.found
        ]
        return pandas.DataFrame(lines)

    def __repr__(self) -> str:
        from harness.report.formats.versus_table import render_comparisons

        return render_comparisons(self.found, WIDTH, colour=False)

    def _repr_html_(self) -> str:
        from markupsafe import Markup

        return str(Markup("<pre>{}</pre>").format(repr(self)))


class Figure:
    """A figure with its caption, drawn as SVG; a notebook shows both."""

    def __init__(self, kind: str, summary: Summary, asked: Asked) -> None:
        self._kind, self._summary, self._asked = kind, summary, asked
        self.svg, self.caption = self._draw("svg")

    def save(self, path: str | Path) -> None:
        """Write the figure as SVG, PDF or PNG, by the ending. Raises UsageError where that cannot be."""
        from harness.records.store import write_atomically
        from harness.report.figures.canvas import FORMATS

        path = Path(path).expanduser()
        ending = path.suffix.removeprefix(".").lower()
        _require_known(f"{path}, ending", ending, FORMATS)
        content, _ = self._draw(ending)
        try:
            write_atomically(path, content)
        except OSError as error:
            raise UsageError(f"{path}: not written ({error.strerror})") from error

    def __repr__(self) -> str:
        return f"Figure({self._kind}: {self.caption})"

    def _repr_html_(self) -> str:
        from markupsafe import Markup

        image = base64.b64encode(self.svg).decode()
        return str(Markup('<img src="data:image/svg+xml;base64,{}"><p>{}</p>').format(image, self.caption))

    def _draw(self, format_: str) -> tuple[bytes, str]:
        from harness.report.figures import draw

        return draw(self._kind, self._summary, self._asked, format_)


def join_names(names: str | Iterable[str] | None) -> str | None:
    """A selection as it is written on the command line. Raises UsageError for what is neither a text nor texts."""
    if names is None or isinstance(names, str):
        return names
    given = list(names) if isinstance(names, Iterable) else [names]
    if not given or not all(isinstance(each, str) for each in given):
        raise UsageError(f"{names!r}: expected a text such as 'saf,ottt', or a list of texts")
    return ",".join(given)


def _require_known(name: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        raise UsageError(f"{name} {value!r}: unknown{suggest(str(value), known)}; known: {', '.join(known)}")


def _split_names(names: str | Iterable[str] | None) -> list[str]:
    from harness.selections import selection

    text = join_names(names)
    return selection.parse_names(text, "cost") if text else []
