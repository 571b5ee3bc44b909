"""Intrinsic sparse structures: whole nodes removed by group lasso."""

from __future__ import annotations

harness_interface = 2
