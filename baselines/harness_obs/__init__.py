"""Weights removed by optimal brain surgeon."""

from __future__ import annotations

harness_interface = 2
