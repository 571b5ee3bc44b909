"""Recurrent networks trained as they are: what compressions start from."""

from __future__ import annotations

harness_interface = 2
