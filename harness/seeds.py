"""Seeds by hashing: the same names give the same seed, everywhere and for ever."""

from __future__ import annotations

import hashlib


def derive_split_seed(seed: int, dataset: str, folds: int) -> int:
    """The seed for a data set's `load` in a trial of this seed: of one with official splits the number of the split."""
    return seed if folds else derive(seed, dataset, "split")


def derive(seed: int, *names: str) -> int:
    """A seed in [0, 2**63) for one purpose of one trial.

    A method's name is never among the names, so that all methods share split, initial weights and order.

    >>> derive(0, "digits", "order") == derive(0, "digits", "order") != derive(1, "digits", "order")
    True
    """
    text = "\x00".join([str(seed), *names])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
