"""CIFAR10-DVS and DVS128 Gesture from tiny generated files in the layout of tonic's copies."""

from __future__ import annotations

import dataclasses
import functools
import re
import shutil
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from event_files import Event, random_events, slow_frames

from harness import Folder, HarnessError, Unsupported
from harness.catalog import Settings, explain_unavailable, load_catalog
from harness.data.files import check_files, check_sizes, identify_files, verify_files
from harness_data import registry
from harness_data.dvs import NAMES, NORMALISE, load_cifar10, load_gesture, render_picture
from harness_data.options import Cifar10DvsOptions, GestureOptions

GESTURE = GestureOptions(partial=True)
CIFAR = Cifar10DvsOptions(steps=2, partial=True)


# --- CIFAR10-DVS --------------------------------------------------------------------------------------------------


@pytest.fixture
def tonic(monkeypatch) -> dict[str, list[Event]]:
    """A stand-in for tonic's reader, with the fields of the real one; the recordings that it knows, by path."""
    known: dict[str, list[Event]] = {}

    def read_aedat4(path: str) -> np.ndarray:
        if path not in known:
            raise RuntimeError("the file does not contain a valid header")
        kinds = [("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")]
        return np.array([(t, x, y, p) for x, y, p, t in known[path]], kinds)

    module = types.ModuleType("tonic.io")
    module.read_aedat4 = read_aedat4
    monkeypatch.setitem(sys.modules, "tonic", types.ModuleType("tonic"))
    monkeypatch.setitem(sys.modules, "tonic.io", module)
    return known


def write_cifar10_dvs(folder: Path, known: dict[str, list[Event]], each: int = 20) -> None:
    for name in NAMES:
        (folder / "CIFAR10DVS" / name).mkdir(parents=True)
        for number in range(each):
            path = folder / "CIFAR10DVS" / name / f"cifar10_{name}_{number}.aedat4"
            path.touch()
            known[str(path)] = random_events(3000, len(known), side=128)


def test_the_first_nine_tenths_of_each_class_are_for_training(tmp_path, tonic):
    write_cifar10_dvs(tmp_path, tonic)
    data = load_cifar10(CIFAR, 0, tmp_path)
    assert (data.problem.input_shape, data.problem.output_size, data.problem.time_axis) == ((2, 2, 48, 48), 10, True)
    assert [len(split.targets) for split in (data.train, data.valid, data.test)] == [162, 18, 20]
    assert data.test.targets.tolist() == [label for label in range(10) for _ in range(2)]
    # By number: 18 and 19 are the last, though 9 comes after them in the order of names.
    for row, number in enumerate((18, 19)):
        path = tmp_path / "CIFAR10DVS/airplane" / f"cifar10_airplane_{number}.aedat4"
        expected = render_picture(slow_frames(tonic[str(path)], 2, "number", 128), 48)
        assert np.array_equal(data.test.inputs[row], expected)
    assert data.readings["partial"].warning == "cifar10-dvs is a part of the data set: 200 of 10,000 in CIFAR10DVS"


def test_pictures_are_normalised_and_cropped_with_all_frames_alike(tmp_path, tonic):
    write_cifar10_dvs(tmp_path, tonic, each=10)
    data = load_cifar10(CIFAR, 0, tmp_path)
    inputs = data.transform(torch.as_tensor(data.train.inputs))
    # (0 - 0.2728) / 0.2225 and (0 - 0.1295) / 0.1290 where nothing happened.
    dark = [float(each.min()) for each in (inputs[:, :, 0], inputs[:, :, 1])]
    assert dark == pytest.approx([-1.2260674, -1.0038760], abs=1e-6)
    twice = torch.stack([inputs[:, 0], inputs[:, 0]], dim=1)
    found = data.augment(twice, torch.Generator().manual_seed(0))
    assert torch.equal(found[:, 0], found[:, 1])
    assert not torch.equal(found, twice)
    assert load_cifar10(Cifar10DvsOptions(steps=2, partial=True, augment=False), 0, tmp_path).augment is None
    assert data.transform == NORMALISE


def test_a_file_that_tonic_cannot_read_is_named(tmp_path, tonic):
    write_cifar10_dvs(tmp_path, tonic, each=10)
    path = tmp_path / "CIFAR10DVS/cat/cifar10_cat_3.aedat4"
    del tonic[str(path)]
    with pytest.raises(HarnessError, match=f"{path}: not an AEDAT 4 file of events, or damaged: .*valid header"):
        load_cifar10(CIFAR, 0, tmp_path)


def test_without_tonic_its_copy_is_a_reason_to_skip_and_the_others_are_there(tmp_path, monkeypatch):
    catalog = load_catalog(Settings())
    assert explain_unavailable(catalog.datasets.offer("cifar10-dvs")) is None
    assert explain_unavailable(catalog.datasets.offer("dvs-gesture")) is None
    assert "tonic's copy: extra events" in catalog.datasets.get("cifar10-dvs").summary
    write_cifar10_dvs(tmp_path, {}, each=10)
    monkeypatch.setitem(sys.modules, "tonic.io", None)
    with pytest.raises(Unsupported, match=r'tonic.s copy .* pip install "harness-bench\[events\]"'):
        load_cifar10(CIFAR, 0, tmp_path)


# --- as the authors publish it ------------------------------------------------------------------------------------


def jaer(events: list[Event], head: bytes = b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n# a camera\r\n") -> bytes:
    """An AEDAT 2 file of a DVS128, bit by bit: the address of an upright pixel, then the time."""
    body = b""
    for x, y, polarity, time in events:
        address = f"{127 - x:07b}" + f"{127 - y:07b}" + ("0" if polarity else "1")
        body += int(address, 2).to_bytes(4, "big") + time.to_bytes(4, "big")
    return head + body


def authors(each: int) -> dict[str, list[Event]]:
    return {
        f"{name}/cifar10_{name}_{number}.aedat": random_events(60, 100 * label + number, side=128)
        for label, name in enumerate(NAMES)
        for number in range(each)
    }


def write_unpacked(folder: Path, recordings: dict[str, list[Event]]) -> None:
    for name, events in recordings.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(jaer(events))


def write_zips(folder: Path, recordings: dict[str, list[Event]], top: bool = True) -> None:
    folder.mkdir(parents=True)
    for label in NAMES:
        with zipfile.ZipFile(folder / f"{label}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, events in recordings.items():
                if name.startswith(f"{label}/"):
                    archive.writestr(name if top else name.split("/")[1], jaer(events))


LAYOUTS = [
    ("CIFAR10DVS", write_unpacked),
    ("CIFAR10DVS/extract", write_unpacked),
    ("CIFAR10DVS", write_zips),
    ("CIFAR10DVS/download", write_zips),
    ("cifar10-dvs", write_zips),
    ("CIFAR10DVS", functools.partial(write_zips, top=False)),
]


@pytest.fixture
def few(monkeypatch) -> tuple[Folder, ...]:
    """The data set as declared, of 5 recordings each instead of 1,000."""
    (entry,) = registry.CIFAR10_DVS
    instead = tuple(dataclasses.replace(each, count=50) for each in entry.instead)
    monkeypatch.setattr(registry, "CIFAR10_DVS", (dataclasses.replace(entry, count=50, instead=instead),))
    return registry.CIFAR10_DVS


def test_the_authors_files_in_any_layout_are_the_same_data_and_the_same_files(tmp_path, few, monkeypatch):
    monkeypatch.setitem(sys.modules, "tonic", None)
    recordings = authors(5)
    found = set()
    for number, (place, write) in enumerate(LAYOUTS):
        data = tmp_path / str(number)
        write(data / place, recordings)
        assert check_files(few, data) == check_sizes(few, data) == []
        loaded = load_cifar10(Cifar10DvsOptions(steps=2), 0, data)
        found.add((str(identify_files(few, data)), loaded.train.inputs.tobytes(), loaded.test.inputs.tobytes()))
        assert loaded.test.targets.tolist() == list(range(10))
        for label, name in enumerate(NAMES):
            events = recordings[f"{name}/cifar10_{name}_4.aedat"]
            assert np.array_equal(loaded.test.inputs[label], render_picture(slow_frames(events, 2, "number", 128), 48))
        assert loaded.readings == {}
    assert len(found) == 1


def test_a_byte_that_changed_in_a_zip_file_is_seen(tmp_path, few):
    recordings = authors(5)
    write_zips(tmp_path / "CIFAR10DVS", recordings)
    assert check_files(few, tmp_path) == []
    name = "dog/cifar10_dog_3.aedat"
    recordings[name][5] = (*recordings[name][5][:2], 1 - recordings[name][5][2], recordings[name][5][3])
    shutil.rmtree(tmp_path / "CIFAR10DVS")
    write_zips(tmp_path / "CIFAR10DVS", recordings)
    (problem,) = verify_files(few, tmp_path)
    assert "1 of 50 files changed or gone since they were first read on" in str(problem)
    assert f"the first {name}" in str(problem)


GOOD = [(0, 0, 1, 5), (127, 127, 0, 6), (3, 100, 1, 7)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not an AEDAT 2 file: begins with '', expected '#!AER-DAT2.0'"),
        (b"#!AER-DAT3.1\r\n", "not an AEDAT 2 file: begins with '#!AER-DAT3.1"),
        (jaer(GOOD)[:-3], "truncated: 21 bytes of events, expected a multiple of 8"),
        (jaer(GOOD) + b"\x00\x01\x00\x00" + bytes(4), "an address of 0x10000 at event 3, expected the 16 bits"),
        (jaer([]), "holds no events, expected some; the option partial=yes takes such recordings as they are"),
        (b"#!AER-DAT2.0", "holds no events"),
        (jaer([GOOD[1], GOOD[0]]), "times go back: from 6 to 5 microseconds at event 1, expected ascending ones"),
    ],
)
def test_a_bad_file_of_the_authors_is_named(tmp_path, few, content, said):
    write_unpacked(tmp_path / "CIFAR10DVS", authors(5))
    path = tmp_path / "CIFAR10DVS/cat/cifar10_cat_3.aedat"
    path.write_bytes(content)
    with pytest.raises(HarnessError, match=re.escape(f"{path}: {said}")):
        load_cifar10(Cifar10DvsOptions(steps=2), 0, tmp_path)


def test_what_is_no_event_of_a_pixel_is_passed_over(tmp_path, few):
    write_unpacked(tmp_path / "CIFAR10DVS", authors(5))
    path = tmp_path / "CIFAR10DVS/airplane/cifar10_airplane_4.aedat"
    before = load_cifar10(Cifar10DvsOptions(steps=1), 0, tmp_path).test.inputs[0]
    path.write_bytes(path.read_bytes() + b"\x00\x00\x80\x00\x00\x10\x00\x00")
    assert np.array_equal(load_cifar10(Cifar10DvsOptions(steps=1), 0, tmp_path).test.inputs[0], before)


# --- pictures -----------------------------------------------------------------------------------------------------


def counts(rate: float, side: int = 128) -> np.ndarray:
    return np.random.default_rng(int(rate * 10)).poisson(rate, size=(2, 2, side, side))


def test_a_picture_of_the_same_size_shows_events_where_both_polarities_are():
    frames = np.zeros((1, 2, 3, 3), np.int64)
    frames[0, 0] = [[1, 2, 256], [0, 1, 1], [0, 0, 0]]
    frames[0, 1] = [[1, 1, 1], [1, 1, 0], [0, 0, 2]]
    found = render_picture(frames, 3)[0]
    # 255 n modulo 256: 0, 255, 254; brightness needs opacity.
    assert found[0].tolist() == [[255, 254, 0], [0, 255, 0], [0, 0, 0]]
    assert found[1].tolist() == [[255, 255, 255], [255, 255, 0], [0, 0, 254]]


@pytest.mark.parametrize("rate", [0.05, 0.3, 1.0, 5.0])
def test_the_opacity_is_resized_as_torch_would(rate):
    frames = counts(rate)
    opacity = torch.as_tensor(frames[:, 1:] * 255 % 256).float()
    expected = torch.nn.functional.interpolate(opacity, (48, 48), mode="bilinear", antialias=True)[:, 0]
    assert np.abs(render_picture(frames, 48)[:, 1] - expected.numpy()).max() <= 1.01  # rounded twice


@pytest.mark.parametrize("rate", [0.05, 0.3, 1.0, 5.0, 100.0, 400.0])
def test_pictures_are_those_of_pillow_bit_by_bit(rate):
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    frames = counts(rate)
    for frame, found in zip(frames, render_picture(frames, 48), strict=True):
        plain = image.fromarray((frame * 255 % 256).astype(np.uint8).transpose(1, 2, 0), "LA")
        assert np.array_equal(np.asarray(plain.resize((48, 48), image.Resampling.BILINEAR)).transpose(2, 0, 1), found)


# --- DVS128 Gesture -----------------------------------------------------------------------------------------------


def write_gestures(folder: Path, train: int = 2, test: int = 1) -> dict[str, list[Event]]:
    """As many users in both folders, with a recording of each gesture; returns their events, in milliseconds."""
    written: dict[str, list[Event]] = {}
    for split, users in (("Train", train), ("Test", test)):
        for user in range(users):
            for gesture in range(11):
                path = f"DVSGesture/ibmGesture{split}/user{user:02}_lab/{gesture}.npy"
                written[path] = random_events(300, len(written), side=128)
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                np.save(folder / path, np.array(written[path], np.int64))
    return written


@pytest.mark.parametrize("by", ["number", "time"])
def test_gestures_become_frames_with_the_label_of_their_file(tmp_path, by):
    written = write_gestures(tmp_path)
    data = load_gesture(GestureOptions(frames=by, partial=True), 0, tmp_path)
    assert (data.problem.input_shape, data.problem.output_size, data.problem.time_axis) == ((20, 2, 128, 128), 11, True)
    assert [len(split.targets) for split in (data.train, data.valid, data.test)] == [20, 2, 11]
    found = dict(zip((row.tobytes() for row in data.test.inputs), data.test.targets.tolist(), strict=True))
    expected = {
        slow_frames([(x, y, p, t * 1000) for x, y, p, t in events], 20, by, 128).astype(np.uint8).tobytes(): int(
            Path(path).stem
        )
        for path, events in written.items()
        if "Test" in path
    }
    assert found == expected
    assert data.augment is None
    assert data.transform(torch.as_tensor(data.test.inputs[:1])).sum().item() == 300
    assert "22 of 1,077" in data.readings["partial"].warning


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (np.zeros((5, 3), np.int64), r"an array of int64 of shape \(5, 3\), expected numbers \(events, 4\)"),
        (np.array([["a", "b", "c", "d"]]), r"an array of <U1 of shape \(1, 4\), expected numbers"),
        (np.array([[1, 1, 1, np.nan]]), "an array that holds numbers that are not finite"),
        (np.zeros((0, 4), np.int64), "holds no events, expected some"),
        (np.array([[0, 0, 2, 1]]), "an event at x=0, y=0 of polarity 2"),
        (np.array([[0, 0, 1, 9], [0, 0, 1, 8]]), "times go back: from 9000 to 8000 microseconds at event 1"),
        (np.array([[200, 0, 0, 1]]), "an event at x=200, y=0 of polarity 0"),
        (np.array([[None]]), "not a numpy array of numbers, or damaged"),
        (b"nothing", "not a numpy array of numbers, or damaged"),
    ],
)
def test_a_bad_gesture_is_named(tmp_path, content, said):
    write_gestures(tmp_path)
    path = tmp_path / "DVSGesture/ibmGestureTrain/user01_lab/5.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(HarnessError, match=f"{path}: {said}"):
        load_gesture(GestureOptions(), 0, tmp_path)
