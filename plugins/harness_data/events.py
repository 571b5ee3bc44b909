"""Recordings of event cameras as frames: how often each pixel reported a change, apart for both polarities.

Two ways to cut a recording of N events into T frames, as SpikingJelly and the published OTTT code have them: by number,
N // T events each and the last frame takes what is left; by time, (last - first) // T microseconds each, likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from harness import Batch, Data, Folder, HarnessError, Part, Problem, Reading
from harness_data.options import EventOptions
from harness_data.splits import hold_out_tenth

if TYPE_CHECKING:
    from torch import Tensor

AS_IT_IS = "the option partial=yes takes such recordings as they are"

ODD = {"empty": "hold no events", "order": "have times that go back"}

By: TypeAlias = Literal["number", "time"]
Counts: TypeAlias = NDArray[np.unsignedinteger]


class Events(NamedTuple):
    """One recording: x, y, polarity (0 or 1) and time (microseconds) of each event, (N,) each, in order of time."""

    x: NDArray[np.integer]
    y: NDArray[np.integer]
    polarity: NDArray[np.integer]
    time: NDArray[np.integer]


class Odd(NamedTuple):
    """A recording that is taken as it is, and its oddity, one of ODD."""

    file: str
    kind: str


class Split(NamedTuple):
    """Frames (N, T, 2, H, W) of all recordings of a split, and their classes (N,)."""

    frames: Counts
    labels: NDArray[np.int64]


def count_frames(events: Events, steps: int, by: By, size: tuple[int, int]) -> NDArray[np.int64]:
    """Count the events of a recording from a camera of `size` (H, W) in frames (steps, 2, H, W).

    Raises HarnessError for an event outside of it.
    """
    height, width = size
    x, y, polarity = (np.asarray(each, np.int64) for each in events[:3])
    _require_inside(x, y, polarity, size)
    cell = ((_assign_frames(events, steps, by) * 2 + polarity) * height + y) * width + x
    return np.bincount(cell, minlength=steps * 2 * height * width).reshape(steps, 2, height, width)


def _require_inside(
    x: NDArray[np.int64], y: NDArray[np.int64], polarity: NDArray[np.int64], size: tuple[int, int]
) -> None:
    height, width = size
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (polarity >= 0) & (polarity < 2)
    if not inside.all():
        first = int(inside.argmin())
        raise HarnessError(
            f"an event at x={x[first]}, y={y[first]} of polarity {polarity[first]}, "
            f"expected x below {width}, y below {height}, and 0 or 1"
        )


def _assign_frames(events: Events, steps: int, by: By) -> NDArray[np.int64]:
    """Assign a frame to each event (N,)."""
    if not events.x.size:
        return np.zeros(0, np.int64)
    place = np.arange(events.x.size)
    if by == "time":
        place = np.asarray(events.time, np.int64) - int(events.time[0])
    each = (place.size if by == "number" else int(place[-1])) // steps
    return (place // max(each, 1)).clip(0, steps - 1)


def stack_frames(recordings: Iterable[NDArray[np.integer]], count: int) -> Counts:
    """Stack the frames (count, T, 2, H, W) of so many recordings, in the narrowest unsigned type that holds them."""
    stack: Counts = np.zeros(0, np.uint8)
    for number, each in enumerate(recordings):
        if not number:
            stack = np.zeros((count, *each.shape), np.uint8)
        if int(each.max()) > np.iinfo(stack.dtype).max:
            stack = stack.astype(np.min_scalar_type(int(each.max())))
        stack[number] = each
    return stack


def convert_counts(inputs: Tensor) -> Tensor:
    """Convert counts of any integer type to float32, on the device."""
    return inputs.float()


def read_each(
    found: Sequence[Part],
    decode: Callable[[Part], Events],
    config: EventOptions,
    size: tuple[int, int],
    odd: list[Odd],
) -> Iterator[NDArray[np.int64]]:
    """Read the frames (T, 2, H, W) of each recording.

    Raises HarnessError, naming the file, for one that cannot be read, or holds events that the camera cannot have seen.
    So it does for one without events and for times that go back, unless the options take the data as they are: then
    `odd` gets them.
    """
    for part in found:
        try:
            events = decode(part)
            if oddity := _find_oddity(events):
                odd.append(Odd(str(part), oddity))
                if not config.partial:
                    raise HarnessError(f"{_describe_oddity(events)}; {AS_IT_IS}")
            yield count_frames(events, config.steps, config.frames, size)
        except (OSError, BadZipFile) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise HarnessError(f"{part}: cannot be read: {why}") from error
        except HarnessError as error:
            raise HarnessError(f"{part}: {error}; remove the file and fetch the data set again") from None


def _find_oddity(events: Events) -> str:
    """Find the oddity of a recording, one of ODD; empty where it has none."""
    if not len(events.x):
        return "empty"
    time = np.asarray(events.time, np.int64)
    return "order" if (time[1:] < time[:-1]).any() else ""


def _describe_oddity(events: Events) -> str:
    """Describe the oddity of a recording that has one."""
    if not len(events.x):
        return "holds no events, expected some"
    time = np.asarray(events.time, np.int64)
    at = int((time[1:] < time[:-1]).argmax())
    return f"times go back: from {time[at]} to {time[at + 1]} microseconds at event {at + 1}, expected ascending ones"


def read_label(path: object, text: str, classes: int) -> int:
    """Read the class that a part of a file's path names. Raises HarnessError where it is none."""
    if not text.isdecimal() or int(text) >= classes:
        raise HarnessError(f"{path}: {text!r} is no class, expected 0 to {classes - 1}")
    return int(text)


def build_data(train: Split, test: Split, classes: int, seed: int, warning: str = "", odd: Sequence[Odd] = ()) -> Data:
    """Build a problem with time as the first axis of an input; a tenth of the training recordings is for validation.

    warning: of the number of recordings, for the report. odd: recordings that it warns of by themselves.
    """
    rows, held_out = hold_out_tenth(train.labels, seed)
    kept, valid = (Batch(train.frames[part], train.labels[part]) for part in (rows, held_out))
    problem = Problem("classification", train.frames.shape[1:], classes, len(rows), time_axis=True)
    readings: dict[str, Reading] = {"partial": Reading(True, warning=warning)} if warning else {}
    for kind, what in ODD.items():
        if files := [each.file for each in odd if each.kind == kind]:
            said = f"recordings that {what}: {len(files):,}, the first is {files[0]}"
            readings[f"{kind}_recordings"] = Reading(len(files), warning=said)
    return Data(problem, kept, valid, Batch(*test), transform=convert_counts, readings=readings)


def describe_incomplete(name: str, folders: Sequence[Folder], found: Sequence[int]) -> str:
    """Describe folders that have another number of files than is published, for the report; empty where none has."""
    numbers = [(number, folder.count, folder.path) for folder, number in zip(folders, found, strict=True)]
    if any(number > count for number, count, _ in numbers):
        listed = " and ".join(f"{number:,} instead of {count:,} in {path}" for number, count, path in numbers)
        return f"{name} is not the data set as published: {listed}"
    if all(number == count for number, count, _ in numbers):
        return ""
    listed = " and ".join(f"{number:,} of {count:,} in {path}" for number, count, path in numbers)
    return f"{name} is a part of the data set: {listed}"
