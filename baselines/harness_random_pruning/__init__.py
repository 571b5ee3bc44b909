"""Hidden nodes kept at random."""

from __future__ import annotations

harness_interface = 2
