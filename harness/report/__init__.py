"""From records to tables: pure functions of records and metric descriptors; nothing here reads or writes a file."""

from harness.report.record import render_record
from harness.report.render import FORMATS, render
from harness.report.rows import Cell, Row, Summary, Table
from harness.report.suites import with_suite
from harness.report.summary import summarise

__all__ = ["FORMATS", "Cell", "Row", "Summary", "Table", "render", "render_record", "summarise", "with_suite"]
