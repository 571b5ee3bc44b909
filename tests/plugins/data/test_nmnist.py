"""N-MNIST from its official files: generated ones, and the real ones where they are, complete or not."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from event_files import bin_bytes, random_events, slow_frames, write_nmnist

from harness import HarnessError, UsageError, rehearse
from harness.catalog import Settings, load_catalog
from harness.cli import main
from harness.data.files import check_files, identify_files, require_files
from harness_data.nmnist import load
from harness_data.options import EventOptions
from harness_data.registry import NMNIST

METHOD = str(Path(__file__).parent / "mean_method.py")
PARTIAL = EventOptions(steps=4, partial=True)


def test_the_bits_of_an_event():
    # x = 1, y = 33, polarity 1, 2^22 + 258 microseconds, by hand.
    assert bin_bytes([(1, 33, 1, 2**22 + 258)]) == bytes([1, 33, 0b1100_0000, 1, 2])


@pytest.mark.parametrize("by", ["number", "time"])
def test_recordings_become_frames_with_the_label_of_their_folder(tmp_path, by):
    written = write_nmnist(tmp_path)
    data = load(EventOptions(steps=4, frames=by, partial=True), 0, tmp_path)
    assert (data.problem.input_shape, data.problem.output_size) == ((4, 2, 34, 34), 10)
    assert data.problem.time_axis
    assert [len(split.targets) for split in (data.train, data.valid, data.test)] == [18, 2, 10]
    found = {
        image.tobytes(): int(target)
        for split in (data.train, data.valid, data.test)
        for image, target in zip(split.inputs, split.targets, strict=True)
    }
    expected = {
        slow_frames(events, 4, by, 34).astype(np.uint8).tobytes(): int(path.split("/")[2])
        for path, events in written.items()
    }
    assert found == expected
    assert set(data.test.targets.tolist()) == set(range(10))


def test_an_incomplete_folder_says_so_in_the_record(tmp_path):
    write_nmnist(tmp_path)
    warning = load(PARTIAL, 0, tmp_path).readings["partial"].warning
    assert warning == "nmnist is a part of the data set: 20 of 60,000 in nmnist/Train and 10 of 10,000 in nmnist/Test"


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        (
            "nmnist/Train/3/00003.bin",
            bin_bytes(random_events(5, 0))[:-1],
            "truncated: 24 bytes, expected a multiple",
        ),
        ("nmnist/Test/3/00003.bin", bin_bytes([(34, 0, 0, 1)]), "an event at x=34, y=0 of polarity 0"),
        ("nmnist/Train/ten/1.bin", b"", "'ten' is no class, expected 0 to 9"),
        ("nmnist/Train/10/1.bin", b"", "'10' is no class"),
    ],
)
def test_a_bad_file_is_named(tmp_path, path, content, said):
    write_nmnist(tmp_path)
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_bytes(content)
    with pytest.raises(HarnessError, match=f"{path}: {said}"):
        load(PARTIAL, 0, tmp_path)


def test_strange_recordings_are_refused_by_name_or_taken_as_they_are_with_a_word(tmp_path):
    write_nmnist(tmp_path)
    backwards = bin_bytes([(1, 1, 1, 100), (2, 2, 0, 300), (3, 3, 1, 200)])
    for content, kind, said, told in (
        (b"", "empty", "holds no events, expected some", "hold no events"),
        (backwards, "order", "times go back: from 300 to 200 microseconds at event 2", "have times that go back"),
    ):
        path = tmp_path / "nmnist/Test/0/00000.bin"
        path.write_bytes(content)
        with pytest.raises(HarnessError, match=f"{path}: {said}.*; the option partial=yes takes such recordings"):
            load(EventOptions(), 0, tmp_path)
        data = load(PARTIAL, 0, tmp_path)
        assert data.readings[f"{kind}_recordings"].warning == f"recordings that {told}: 1, the first is {path}"
        assert data.test.inputs[0].sum() == len(content) // 5


def test_what_the_camera_cannot_have_seen_is_named(tmp_path):
    write_nmnist(tmp_path)
    path = tmp_path / "nmnist/Train/3/00003.bin"
    path.write_bytes(bin_bytes([(1, 1, 1, 100), (34, 2, 0, 300)]))
    with pytest.raises(HarnessError, match=f"{path}: an event at x=34, y=2 of polarity 0, expected x below 34"):
        load(PARTIAL, 0, tmp_path)


# --- planning -----------------------------------------------------------------------------------------------------


def rehearsed(dataset: str, folder: Path):
    return rehearse(load_catalog(Settings(plugins=(METHOD,))), "mean", dataset, batch_size=4, data=folder)


def test_an_incomplete_folder_is_found_while_planning(tmp_path):
    write_nmnist(tmp_path)
    with pytest.raises(UsageError) as caught:
        rehearsed("nmnist", tmp_path)
    said = str(caught.value)
    assert f"nmnist: {tmp_path}/nmnist/Train: 20 files, expected 60000 files */*.bin" in said
    for fact in (NMNIST[0].urls[0], NMNIST[0].md5, "harness data fetch nmnist", "partial=yes"):
        assert fact in said


@pytest.mark.parametrize("asked", ["nmnist", "nmnist[partial=yes]"])
def test_files_without_events_are_found_while_planning(tmp_path, monkeypatch, asked):
    few = tuple(dataclasses.replace(folder, count=count) for folder, count in zip(NMNIST, (20, 10), strict=True))
    monkeypatch.setattr("harness_data.registry.NMNIST", few)
    written = write_nmnist(tmp_path)
    for name in written:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UsageError, match=r"nmnist: .*Train: 20 of 20 files empty, the first 0/00000.bin") as caught:
        rehearsed(asked, tmp_path)
    assert "partial" not in str(caught.value)  # it would not help
    for name, events in written.items():
        (tmp_path / name).write_bytes(bin_bytes(events))
    (tmp_path / "nmnist/Test/7/00007.bin").write_bytes(bytes(13))
    said = r"Test: 1 of 10 files of a size that is no multiple of 5 bytes, the first 7/00007.bin \(13 bytes\)"
    with pytest.raises(UsageError, match=said):
        rehearsed(asked, tmp_path)


@pytest.mark.parametrize("place", ["NMNIST", "nmnist/NMNIST"])
def test_tonics_folder_holds_the_same_data(tmp_path, monkeypatch, place):
    few = tuple(
        dataclasses.replace(
            folder,
            count=count,
            instead=tuple(dataclasses.replace(each, count=count) for each in folder.instead),
        )
        for folder, count in zip(NMNIST, (20, 10), strict=True)
    )
    monkeypatch.setattr("harness_data.registry.NMNIST", few)
    ours, tonics = tmp_path / "ours", tmp_path / "tonics"
    write_nmnist(ours)
    write_nmnist(tonics)
    (tonics / place).parent.mkdir(exist_ok=True)
    (tonics / "nmnist").rename(tonics / "moved")
    (tonics / place).parent.mkdir(exist_ok=True)
    (tonics / "moved").rename(tonics / place)
    assert check_files(few, ours) == check_files(few, tonics) == []
    assert identify_files(few, ours) == identify_files(few, tonics)
    one, other = (load(EventOptions(), 0, folder) for folder in (ours, tonics))
    assert np.array_equal(one.train.inputs, other.train.inputs)
    assert np.array_equal(one.test.inputs, other.test.inputs)


def test_an_empty_folder_is_no_part_of_one(tmp_path):
    for folder, found in ((tmp_path / "elsewhere", "missing"), (tmp_path, "no files")):
        (tmp_path / "nmnist/Train").mkdir(parents=True, exist_ok=True)
        for asked, expected in (("nmnist", "60000 files"), ("nmnist[partial=yes]", "some of 60000 files")):
            with pytest.raises(UsageError, match=rf"nmnist/Train: {found}, expected {expected} \*/\*.bin") as caught:
                rehearsed(asked, folder)
            assert "partial" not in str(caught.value)


def test_what_is_wrong_with_steps_of_another_number_names_both_ways_out(tmp_path):
    write_nmnist(tmp_path)
    said = r"steps=5, but the data set has 3 frames per example; leave steps out, or have .* nmnist\[steps=5\]"
    with pytest.raises(UsageError, match=said):
        rehearse(load_catalog(Settings()), "saf[steps=5]", "nmnist[partial=yes,steps=3]", data=tmp_path)


def test_more_files_than_published_are_taken_as_they_are_where_that_is_asked_for(tmp_path, monkeypatch):
    few = tuple(dataclasses.replace(folder, count=count) for folder, count in zip(NMNIST, (15, 10), strict=True))
    monkeypatch.setattr("harness_data.registry.NMNIST", few)
    write_nmnist(tmp_path)
    assert check_files([dataclasses.replace(folder, partial=True) for folder in few], tmp_path) == []
    with pytest.raises(UsageError, match="Train: 20 files, 5 too many, expected 15 files") as caught:
        require_files("nmnist", few, tmp_path)
    assert str(caught.value).splitlines()[-1] == "or take the folder as it is: partial=yes, an option of the data set"
    assert load(PARTIAL, 0, tmp_path).readings["partial"].warning == (
        "nmnist is not the data set as published: 20 instead of 15 in nmnist/Train and 10 instead of 10 in nmnist/Test"
    )


def test_frames_reach_a_learner_as_float32_counts(tmp_path):
    written = write_nmnist(tmp_path)
    inputs = rehearsed("nmnist[partial=yes,steps=3]", tmp_path).data.test.inputs
    assert (str(inputs.dtype), inputs.shape) == ("torch.float32", (10, 3, 2, 34, 34))
    first = slow_frames(written["nmnist/Test/0/00000.bin"], 3, "number", 34)
    assert np.array_equal(inputs[0].numpy(), first)


def test_a_run_on_a_part_tells_so_below_its_table_and_runs_again_when_the_part_grows(tmp_path, capsys):
    write_nmnist(tmp_path)

    def run() -> str:
        words = ["-p", METHOD, "run", "--methods", "mean", "--datasets", "nmnist[partial=yes]", "--here"]
        words += ["--data-dir", str(tmp_path), "--results", str(tmp_path / "results")]
        assert main([*words, "--seeds", "1", "--updates", "1"]) == 0
        return " ".join("".join(capsys.readouterr()).split())

    warning = "nmnist is a part of the data set: 20 of 60,000 in nmnist/Train and 10 of 10,000 in nmnist/Test"
    assert f"{warning} (mean seed 0)" in run()
    assert len(list((tmp_path / "results/trials").glob("*.json"))) == 1
    run()
    assert len(list((tmp_path / "results/trials").glob("*.json"))) == 1
    (tmp_path / "nmnist/Train/0/99999.bin").write_bytes(bin_bytes(random_events(50, 1)))
    assert "21 of 60,000" in run()
    assert len(list((tmp_path / "results/trials").glob("*.json"))) == 2


# --- the real ones ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> Path:
    folder = Path(os.environ.get("HARNESS_DATA_DIR", ""))
    if not os.environ.get("HARNESS_DATA_DIR"):
        pytest.skip("HARNESS_DATA_DIR is not set")
    if not all((folder / entry.path).is_dir() for entry in NMNIST):
        pytest.skip(f"HARNESS_DATA_DIR={folder} has no N-MNIST")
    return folder


def test_official_recordings(real):
    data = load(EventOptions(partial=True), 0, real)
    assert data.problem.input_shape == (10, 2, 34, 34)
    classes = Counter(data.train.targets.tolist())
    assert classes.keys() == set(range(10))
    assert max(classes.values()) < 2 * min(classes.values())
    # A recording is 3 saccades of 100 ms with some thousand events, which are spread evenly over frames by number.
    counts = data.train.inputs[:100].astype(np.int64).sum((2, 3, 4))  # (N, T)
    assert 1000 < counts.sum(1).mean() < 10_000
    assert (counts[:, 1:-1] == counts[:, :1]).all()
    assert (counts[:, -1] - counts[:, 0]).max() < 10
    assert "partial" in data.readings or len(data.train.inputs) == 54000
