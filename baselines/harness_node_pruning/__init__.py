"""Hidden nodes kept by a score of each."""

from __future__ import annotations

harness_interface = 2
