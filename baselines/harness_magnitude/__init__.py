"""Weights kept by their magnitude."""

from __future__ import annotations

harness_interface = 2
