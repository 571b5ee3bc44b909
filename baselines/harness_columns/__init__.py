"""Columns of recurrent weights kept."""

from __future__ import annotations

harness_interface = 2
