"""AEDAT 2, the format in which the authors of CIFAR10-DVS publish it: recordings of a DVS128, of 128x128 pixels.

Lines that begin with # stand first, `#!AER-DAT2.0` on top. Then an address and a time in microseconds for each event,
unsigned, of four bytes each, the highest first. Of an address (jAER's layout for this camera): bit 0 is 0 where a pixel
became brighter, bits 1 to 7 count along one side of the chip and 8 to 14 along the other, from the far corner and with
the camera on its side; bit 15 marks what is no event of a pixel. As in the readers that others publish (SpikingJelly
and what follows it), pictures stand upright: x is 127 less bits 8 to 14, y 127 less bits 1 to 7.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from harness import HarnessError, Part
from harness_data.events import Events

VERSION = re.compile(rb"#!AER-DAT(\d+)")
EVENT_BYTES = 8
LAST = 127
SPECIAL = 0x8000


def read(part: Part) -> Events:
    """Read the events of a recording, in the order of the file. Raises HarnessError for anything else."""
    content = part.read()
    body = content[_find_events(content) :]
    if len(body) % EVENT_BYTES:
        raise HarnessError(f"truncated: {len(body)} bytes of events, expected a multiple of {EVENT_BYTES}")
    pairs = np.frombuffer(body, ">u4").reshape(-1, 2).astype(np.int64)
    return _decode_events(pairs[:, 0], pairs[:, 1])


def _find_events(content: bytes) -> int:
    """Find the byte at which the events begin. Raises HarnessError for another format."""
    version = VERSION.match(content)
    if version is None or version[1] != b"2":
        found = content[:16].decode("ascii", "replace")
        raise HarnessError(f"not an AEDAT 2 file: begins with {found!r}, expected '#!AER-DAT2.0'")
    place = 0
    while content[place : place + 1] == b"#":
        place = content.find(b"\n", place) + 1 or len(content)
    return place


def _decode_events(address: NDArray[np.int64], time: NDArray[np.int64]) -> Events:
    wide = np.flatnonzero(address > 0xFFFF)
    if wide.size:
        raise HarnessError(
            f"an address of {int(address[wide[0]]):#x} at event {wide[0]}, expected the 16 bits of a DVS128"
        )
    pixel = (address & SPECIAL) == 0
    address, time = address[pixel], time[pixel]
    return Events(LAST - (address >> 8 & LAST), LAST - (address >> 1 & LAST), 1 - (address & 1), time)
