"""From records to tables: pure functions of records and metric descriptors; nothing here reads or writes a file."""

from harness.report.formats.one_record import render_record
from harness.report.render import FORMATS, render, render_trials
from harness.report.rows.suite_claims import with_suite
from harness.report.rows.summary import summarise
from harness.report.rows.table import Cell, Row, Summary, Table

__all__ = [
    "FORMATS",
    "Cell",
    "Row",
    "Summary",
    "Table",
    "render",
    "render_record",
    "render_trials",
    "summarise",
    "with_suite",
]
