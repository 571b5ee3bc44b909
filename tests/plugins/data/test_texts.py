"""Texts as streams of tokens: tiny generated files, the text that comes with the harness, and the real files."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from harness import HarnessError, UsageError
from harness.data.files import check_files, identify_files, located
from harness.data.soundness import require_sound
from harness.options import build
from harness_data import texts
from harness_data.options import ShakespeareOptions, TextOptions, WordOptions
from harness_data.text_files import PTB, PTB_CHAR, TINY_SHAKESPEARE

WORDS = {
    "ptb.train.txt": " the cat <unk> the mat \n a cat sat \n",
    "ptb.valid.txt": " the mat sat \n",
    "ptb.test.txt": " a mat \n <unk> cat \n",
}
NAMES = ("<eos>", "<unk>", "a", "cat", "mat", "sat", "the")


def write(folder: Path, files: dict[str, str]) -> Path:
    (folder / "ptb").mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / "ptb" / name).write_text(text)
    return folder


def words(folder: Path, window: int = 2, streams: int = 1):
    return texts.ptb.load(WordOptions(window=window, streams=streams), 0, folder)


def shakespeare(folder: Path, text: str, **options: int):
    (folder / "tinyshakespeare").mkdir(exist_ok=True)
    (folder / "tinyshakespeare/input.txt").write_text(text)
    return texts.tiny_shakespeare.load(ShakespeareOptions(**options), 0, folder)


def real(*files) -> Path:
    """The data folder, if it has these files."""
    if not os.environ.get("HARNESS_DATA_DIR"):
        pytest.skip("HARNESS_DATA_DIR is not set")
    folder = Path(os.environ["HARNESS_DATA_DIR"])
    if absent := [file.path for file in files if not located(file, folder).exists()]:
        pytest.skip(f"HARNESS_DATA_DIR={folder} has no {absent[0]}")
    return folder


# --- words and lines --------------------------------------------------------------------------------------------------


def test_words_are_numbered_by_the_training_text_and_lines_end_with_a_token(tmp_path):
    data = require_sound("ptb", words(write(tmp_path, WORDS)))
    assert " ".join(NAMES[token] for token in data.train.inputs[0]) == "the cat <unk> the mat <eos> a cat sat <eos>"
    assert " ".join(NAMES[token] for token in data.valid.inputs[0]) == "the mat sat <eos>"
    assert " ".join(NAMES[token] for token in data.test.targets[0]) == "mat <eos> <unk> cat <eos>"
    problem = data.problem
    assert (problem.kind, problem.input_shape, problem.output_size, problem.train_size) == ("language", (), 7, 9)
    assert (problem.order, problem.window, problem.token) == ("contiguous", 2, "word")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("ptb.valid.txt", " the mat \n\n a dog sat \n", "ptb.valid.txt, line 3: the word 'dog' is not in the training"),
        ("ptb.test.txt", " a mat <UNK> \n", "ptb.test.txt, line 1: the word '<UNK>' is not in the training text"),
        ("ptb.test.txt", "", "ptb.test.txt: empty, expected at least 3 for a window of 2"),
        ("ptb.train.txt", " a \n", "ptb.train.txt: 2 words, expected at least 3 for a window of 2"),
    ],
)
def test_a_text_that_nothing_can_be_made_of_is_named(tmp_path, name, text, said):
    with pytest.raises(HarnessError) as caught:
        words(write(tmp_path, WORDS | {name: text}))
    assert f"{tmp_path}/ptb/{said}" in str(caught.value)


def test_bytes_that_are_no_text_and_files_that_broke_are_named(tmp_path):
    write(tmp_path, WORDS)
    path = tmp_path / "ptb/ptb.valid.txt"
    path.write_bytes(b"the \xff mat\n")
    with pytest.raises(HarnessError, match=f"{path}: byte 4 is no UTF-8"):
        words(tmp_path)
    path.write_bytes(gzip.compress(b"the mat\n" * 99)[:-9])
    with pytest.raises(HarnessError, match=f"{path}: cannot be read"):
        words(tmp_path)
    path.unlink()
    with pytest.raises(HarnessError, match=f"{path}: cannot be read: .*No such file"):
        words(tmp_path)


def test_files_of_characters_are_taken_compressed_or_not_wherever_they_lie(tmp_path):
    content = {"train": " t h e _ c a t \n t e a \n ", "valid": " c a t \n", "test": " h a t"}
    found = []
    for number, place in enumerate(("ptb/char/{}", "ptb/char/{}.gz", "ptb/{}", "ptb/simple-examples/data/{}")):
        folder = tmp_path / str(number)
        for name, text in content.items():
            path = folder / place.format(f"ptb.char.{name}.txt")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
        found.append(require_sound("ptb-char", texts.ptb_char.load(TextOptions(window=2, streams=1), 0, folder)))
    names = ["<eos>", *sorted("the_ca")]
    for data in found:
        assert [names[token] for token in data.train.inputs[0]] == [*"the_cat", "<eos>", *"tea", "<eos>"]
        assert [names[token] for token in data.test.inputs[0]] == [*"hat", "<eos>"]
        assert (data.problem.token, data.problem.output_size) == ("character", 7)


# --- parts and streams ------------------------------------------------------------------------------------------------


def generated(length: int) -> str:
    """Lines of letters, all of which are in each tenth of the text."""
    letters = np.random.default_rng(0).choice([*"abcd \n"], length)
    return "".join(letters)


def test_every_character_is_a_token_and_parts_follow_each_other(tmp_path):
    text = generated(1000)
    data = require_sound("tiny-shakespeare", shakespeare(tmp_path, text, window=5, streams=1))
    names = sorted(set(text))
    parts = ["".join(names[token] for token in getattr(data, name).inputs[0]) for name in ("train", "valid", "test")]
    assert [len(part) for part in parts] == [900, 50, 50]
    assert "".join(parts) == text
    assert (data.problem.output_size, data.problem.train_size, data.problem.token) == (6, 899, "character")


def test_the_first_characters_are_the_data_set_of_so_many(tmp_path):
    text = generated(1000)
    part = shakespeare(tmp_path, text, window=5, streams=1, characters=400)
    whole = shakespeare(tmp_path, text[:400], window=5, streams=1)
    for name in ("train", "valid", "test"):
        assert np.array_equal(getattr(part, name).inputs, getattr(whole, name).inputs)


@pytest.mark.parametrize("streams", [1, 2, 3, 7])
def test_every_token_but_the_last_few_is_predicted_once(tmp_path, streams):
    text = generated(1000)
    whole, cut = (shakespeare(tmp_path, text, window=5, streams=number) for number in (1, streams))
    for name in ("valid", "test"):
        tokens, split = getattr(whole, name).inputs[0], getattr(cut, name)
        steps = 49 // streams
        assert split.inputs.shape == (streams, steps + 1)
        assert np.array_equal(split.targets, split.inputs[:, 1:])
        assert np.array_equal(split.targets.ravel(), tokens[1 : 1 + streams * steps])
        assert np.array_equal(split.inputs[1:, 0], split.inputs[:-1, -1])
    assert np.array_equal(whole.train.inputs, cut.train.inputs)


def test_a_character_that_is_new_is_named_with_its_line_in_the_whole_text(tmp_path):
    text = generated(1000)
    changed = text[:960] + "Q" + text[961:]
    with pytest.raises(HarnessError) as caught:
        shakespeare(tmp_path, changed, window=5, streams=1)
    line = 1 + changed[:960].count("\n")
    assert f"input.txt (test part), line {line}: the character 'Q' is not in the training text" in str(caught.value)


def test_a_text_that_is_too_short_for_all_its_streams_says_what_to_do(tmp_path):
    with pytest.raises(HarnessError) as caught:
        shakespeare(tmp_path, generated(1000), window=5, streams=10)
    said = "input.txt (validation part): 50 characters, expected at least 51 for 10 streams with a window of 5 each; "
    assert said + "take more text, a smaller window or fewer streams" in str(caught.value)


@pytest.mark.parametrize("given", [99, 1_115_395])
def test_more_characters_than_there_are_and_too_few_are_refused_while_planning(given):
    with pytest.raises(UsageError, match="characters"):
        build(ShakespeareOptions, {"characters": given}, "tiny-shakespeare")


def test_refit_trains_on_training_and_validation_text_as_one(tmp_path):
    text = generated(1000)
    (tmp_path / "tinyshakespeare").mkdir()
    (tmp_path / "tinyshakespeare/input.txt").write_text(text)
    config = ShakespeareOptions(window=5, streams=3)
    data = require_sound("tiny-shakespeare", texts.tiny_shakespeare.refit(config, 0, tmp_path))
    usual = texts.tiny_shakespeare.load(config, 0, tmp_path)
    names = sorted(set(text))
    assert "".join(names[token] for token in data.train.inputs[0]) == text[:950]
    assert (len(data.valid.inputs), data.problem.train_size) == (0, 949)
    assert np.array_equal(data.test.inputs, usual.test.inputs)


# --- the texts themselves ---------------------------------------------------------------------------------------------


def test_the_text_that_comes_with_the_harness_needs_no_file(tmp_path):
    data = require_sound("shakespeare", texts.shakespeare.load(TextOptions(), 0, tmp_path))
    assert data.train.inputs.shape == (1, 180_000)
    assert data.valid.inputs.shape == data.test.inputs.shape == (20, 9_999 // 20 + 1)
    assert (data.problem.output_size, data.problem.window) == (62, 50)


def test_it_is_the_beginning_of_the_official_file(tmp_path):
    folder = real(TINY_SHAKESPEARE)
    assert check_files([TINY_SHAKESPEARE], folder) == []
    ours = texts.shakespeare.load(TextOptions(), 0, tmp_path)
    official = texts.tiny_shakespeare.load(ShakespeareOptions(characters=200_000), 0, folder)
    assert ours.problem == official.problem
    for name in ("train", "valid", "test"):
        assert np.array_equal(getattr(ours, name).inputs, getattr(official, name).inputs)


def test_the_official_shakespeare():
    data = texts.tiny_shakespeare.load(ShakespeareOptions(streams=1), 0, real(TINY_SHAKESPEARE))
    sizes = [getattr(data, name).inputs.size for name in ("train", "valid", "test")]
    assert (sizes, sum(sizes), data.problem.output_size) == ([1_003_854, 55_770, 55_770], 1_115_394, 65)


@pytest.mark.parametrize(
    ("files", "corpus", "vocabulary", "sizes"),
    [
        (PTB, texts.ptb, 10_000, [929_589, 73_760, 82_430]),
        (PTB_CHAR, texts.ptb_char, 50, [4_975_414 + 42_068, 389_672 + 3_370, 438_662 + 3_761]),
    ],
    ids=["words", "characters"],
)
def test_the_official_penn_treebank(files, corpus, vocabulary, sizes):
    folder = real(*files)
    assert check_files(files, folder) == []
    data = corpus.load(TextOptions(streams=1), 0, folder)
    assert [getattr(data, name).inputs.size for name in ("train", "valid", "test")] == sizes
    assert data.problem.output_size == vocabulary


def test_official_files_in_other_clothes_are_official(tmp_path):
    folder = real(*PTB_CHAR)
    for file in PTB_CHAR:
        packed = located(file, folder).read_bytes()
        path = tmp_path / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.decompress(packed) if packed.startswith(b"\x1f\x8b") else packed)
    assert check_files(PTB_CHAR, tmp_path) == []
    assert identify_files(PTB_CHAR, tmp_path) == identify_files(PTB_CHAR, folder)
