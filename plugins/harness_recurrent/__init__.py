"""What methods that train and compress recurrent networks share; this package registers none."""

from __future__ import annotations

harness_interface = 2
