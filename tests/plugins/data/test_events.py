"""Frames of events: counted by hand, and against a loop over events."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from event_files import random_events, slow_frames

from harness import HarnessError
from harness_data.events import Events, build_data, convert_counts, count_frames, read_label, stack_frames
from harness_data.events import Split as EventSplit


def recording(*events: tuple[int, int, int, int]) -> Events:
    return Events(*(np.array(column) for column in zip(*events, strict=True)))


# x, y, polarity, microseconds
FIVE = recording((0, 0, 1, 10), (1, 0, 0, 20), (1, 0, 0, 30), (2, 1, 1, 90), (2, 1, 1, 110))


def test_by_number_the_last_frame_takes_what_is_left():
    found = count_frames(FIVE, 2, "number", (2, 3))
    assert found.shape == (2, 2, 2, 3)
    # Two events each, N // T; the fifth goes into the last frame.
    assert found[0].tolist() == [[[0, 1, 0], [0, 0, 0]], [[1, 0, 0], [0, 0, 0]]]
    assert found[1].tolist() == [[[0, 1, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 2]]]


def test_by_time_a_frame_is_a_share_of_the_recording():
    found = count_frames(FIVE, 2, "time", (2, 3))
    # 100 microseconds in two frames: from 10 to below 60, and on.
    assert found[0].tolist() == [[[0, 2, 0], [0, 0, 0]], [[1, 0, 0], [0, 0, 0]]]
    assert found[1].tolist() == [[[0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 2]]]
    # (110 - 10) // 3 = 33: the last frame begins at 76 and takes the rest.
    assert count_frames(FIVE, 3, "time", (2, 3)).sum((1, 2, 3)).tolist() == [3, 0, 2]


@pytest.mark.parametrize("by", ["number", "time"])
@pytest.mark.parametrize("steps", [1, 3, 10])
def test_as_a_loop_over_events_would(by, steps):
    events = random_events(257, steps, side=5)
    assert np.array_equal(count_frames(recording(*events), steps, by, (5, 5)), slow_frames(events, steps, by, 5))


@pytest.mark.parametrize("by", ["number", "time"])
def test_no_event_is_lost_in_the_smallest_recordings(by):
    none = Events(*(np.zeros(0, np.int64) for _ in range(4)))
    assert count_frames(none, 4, by, (2, 2)).tolist() == np.zeros((4, 2, 2, 2)).tolist()
    assert count_frames(recording((1, 1, 0, 5)), 4, by, (2, 2)).sum((1, 2, 3)).tolist() == [1, 0, 0, 0]
    at_once = recording((1, 1, 0, 5), (1, 1, 0, 5), (0, 0, 1, 5))
    assert count_frames(at_once, 2, by, (2, 2)).sum() == 3


@pytest.mark.parametrize("event", [(3, 0, 0, 2), (0, 2, 1, 2), (-1, 0, 0, 2), (0, -1, 0, 2), (0, 0, 2, 2)])
def test_an_event_beside_the_camera_is_refused(event):
    x, y, polarity, _ = event
    said = f"an event at x={x}, y={y} of polarity {polarity}, expected x below 3, y below 2, and 0 or 1"
    with pytest.raises(HarnessError, match=said):
        count_frames(recording((2, 1, 1, 1), event, (0, 0, 0, 3)), 1, "number", (2, 3))


def test_counts_are_bytes_until_one_of_them_needs_more():
    small, large, larger = (np.full((1, 2, 1, 1), value) for value in (255, 256, 70_000))
    assert stack_frames([small, small], 2).dtype == np.uint8
    wide = stack_frames([small, large, small], 3)
    assert wide.dtype == np.uint16
    assert wide[:, 0, 0, 0, 0].tolist() == [255, 256, 255]
    assert stack_frames([small, larger], 2)[1].max() == 70_000
    for stack in (stack_frames([small], 1), wide, stack_frames([larger], 1)):
        found = convert_counts(torch.as_tensor(stack))
        assert (found.dtype, found.max().item()) == (torch.float32, stack.max())


@pytest.mark.parametrize("text", ["10", "x", "-1", ""])
def test_what_is_no_class_is_refused(text, tmp_path):
    with pytest.raises(HarnessError, match=f"{text!r} is no class, expected 0 to 9"):
        read_label(tmp_path, text, 10)


def test_time_is_the_first_axis_of_the_problem():
    split = EventSplit(np.zeros((40, 6, 2, 4, 5), np.uint8), np.arange(40) % 2)
    found = build_data(split, split, 2, seed=0)
    assert (found.problem.time_axis, found.problem.input_shape) == (True, (6, 2, 4, 5))
    assert (len(found.train.inputs), len(found.valid.inputs), len(found.test.inputs)) == (36, 4, 40)
    assert found.problem.train_size == 36
    assert sorted(found.valid.targets) == [0, 0, 1, 1]
    assert found.readings == {}
