"""Recurrent weights of low rank."""

from __future__ import annotations

harness_interface = 2
