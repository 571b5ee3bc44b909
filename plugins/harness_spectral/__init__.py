"""Spectral pruning of recurrent networks (arXiv 2105.10832)."""

from __future__ import annotations

harness_interface = 2
