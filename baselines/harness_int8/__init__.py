"""Weights of eight bits."""

from __future__ import annotations

harness_interface = 2
