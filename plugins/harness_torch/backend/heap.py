"""The C heap: blocks that an update frees stay with the process for the next one.

glibc gives back what is free at the heap's end when it is more than twice the largest block that was ever mapped apart
and freed, and maps blocks apart that are larger than that one; it learns sizes up to 32 MiB. Until it has seen such a
block, the tensors of hundreds of lanes are given back after each update and faulted in again, page by page, which takes
longer than the arithmetic.
"""

from __future__ import annotations

import torch

LARGEST = 2**25 - 2**16  # bytes, a little less than the most that glibc learns from


def keep_freed_blocks() -> None:
    """Free a block of that size, once and for all; elsewhere than with glibc this does nothing."""
    torch.empty(LARGEST, dtype=torch.uint8)
