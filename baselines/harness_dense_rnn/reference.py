"""A recurrent network by its cells' equations, for `harness agree dense-rnn --reference`; compressions share them."""

from __future__ import annotations

from harness_recurrent.equations import update

__all__ = ["update"]
