"""Texts as streams of tokens: what is trained on is one row, what is predicted several rows side by side.

Penn Treebank as Mikolov prepared it: tokens, words or in his files of characters characters, stand between spaces; the
end of each line is the token `<eos>`. Shakespeare: every character is a token, line ends too; the first nine tenths of
the characters are for training, half of the others for validation, the rest for testing. `shakespeare` is the
first 200,000 characters of that text, which lie in this package.

The vocabulary is that of the training text, sorted. A text that is predicted is cut into `streams` rows, each of which
begins with the token that the one before it ends with: apart from fewer than `streams` tokens at its end all of it is
predicted once, the first token of all excepted. With `streams=1` it is read as a whole, as for published scores.
"""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness import Batch, Data, File, HarnessError, Problem, located
from harness_data import text_files
from harness_data.options import ShakespeareOptions, TextOptions

EOS = "<eos>"
GZIP = b"\x1f\x8b"
BUNDLED = Path(__file__).with_name("shakespeare.txt.xz")

Tokens = NDArray[np.int64]


class Text(NamedTuple):
    """The tokens of one split. place: what errors call it. line: the number of its first line; `end` ends each."""

    place: str
    tokens: Sequence[str]
    end: str
    line: int = 1


@dataclass(frozen=True)
class Corpus:
    """Loads a text that comes in three parts, here by how they are read. The seed decides nothing."""

    token: Literal["character", "word"]
    read: Callable[[TextOptions, Path], list[Text]]

    def load(self, config: TextOptions, seed: int, folder: Path) -> Data:
        """train.inputs (1, L) int64, valid and test (streams, L). Raises HarnessError naming a bad text."""
        del seed
        train, valid, test = self._number_texts(config, folder)
        return self._build_data(config, train, _cut_streams(valid, config.streams), _cut_streams(test, config.streams))

    def refit(self, config: TextOptions, seed: int, folder: Path) -> Data:
        """The same with training and validation text as one, and no validation row."""
        del seed
        train, valid, test = self._number_texts(config, folder)
        held_out = _cut_streams(valid, config.streams)
        none = Batch(held_out.inputs[:0], held_out.targets[:0])
        return self._build_data(config, np.concatenate([train, valid]), none, _cut_streams(test, config.streams))

    def _number_texts(self, config: TextOptions, folder: Path) -> list[Tokens]:
        texts = self.read(config, folder)
        for text, streams in zip(texts, (1, config.streams, config.streams), strict=True):
            self._require_long(text, streams, config.window)
        vocabulary = {token: number for number, token in enumerate(sorted(set(texts[0].tokens)))}
        return [self._number_tokens(text, vocabulary) for text in texts]

    def _number_tokens(self, text: Text, vocabulary: Mapping[str, int]) -> Tokens:
        try:
            return np.fromiter(map(vocabulary.__getitem__, text.tokens), np.int64, len(text.tokens))
        except KeyError as error:
            (token,) = error.args
        before = text.tokens[: text.tokens.index(token)]
        raise HarnessError(
            f"{text.place}, line {text.line + before.count(text.end)}: the {self.token} {token!r} is not in the "
            f"training text, whose {len(vocabulary):,} {self.token}s are the vocabulary; take more text to train on"
        )

    def _require_long(self, text: Text, streams: int, window: int) -> None:
        expected = streams * window + 1  # the first is predicted from nothing, and not at all
        if len(text.tokens) >= expected:
            return
        found = f"{len(text.tokens):,} {self.token}s" if text.tokens else "empty"
        where = f"{streams:,} streams with a window of {window:,} each" if streams > 1 else f"a window of {window:,}"
        raise HarnessError(
            f"{text.place}: {found}, expected at least {expected:,} for {where}; "
            f"take more text, a smaller window{' or fewer streams' if streams > 1 else ''}"
        )

    def _build_data(self, config: TextOptions, train: Tokens, valid: Batch, test: Batch) -> Data:
        size = 1 + int(train.max())  # sorted, and all of them are there
        problem = Problem(
            "language", (), size, len(train) - 1, order="contiguous", window=config.window, token=self.token
        )
        return Data(problem, Batch(train[None], train[None, 1:]), valid, test)


def _cut_streams(tokens: Tokens, streams: int) -> Batch:
    """Cut tokens (N,) into rows (streams, S + 1), targets (streams, S): S = (N - 1) // streams, the rest left out."""
    steps = (len(tokens) - 1) // streams
    inputs = tokens[np.arange(streams)[:, None] * steps + np.arange(steps + 1)]
    return Batch(inputs, inputs[:, 1:])


def _read_lines(files: Sequence[File], folder: Path) -> list[Text]:
    """Read texts of lines of tokens between spaces."""
    places = [located(file, folder) for file in files]
    return [Text(str(place), _split_tokens(_read_text(place)), EOS) for place in places]


def _split_tokens(text: str) -> list[str]:
    """Split a text into tokens, line by line; a last one without end counts if it holds any (Mikolov's: a space)."""
    *lines, last = text.split("\n")
    lines += [last] if last.strip() else []
    return [token for line in lines for token in (*line.split(), EOS)]


def _split_parts(text: str, place: str) -> list[Text]:
    """Split a text into its first nine tenths, half of the rest, and the other half."""
    edges = [0, len(text) * 9 // 10, len(text) * 19 // 20, len(text)]
    return [
        Text(f"{place} ({name} part)", text[low:high], "\n", 1 + text.count("\n", 0, low))
        for name, low, high in zip(("training", "validation", "test"), edges, edges[1:], strict=False)
    ]


def _read_text(place: Path) -> str:
    """Read the text in a file, which may be compressed with gzip. Raises HarnessError where it holds none."""
    try:
        content = place.read_bytes()
        return (gzip.decompress(content) if content.startswith(GZIP) else content).decode()
    except UnicodeDecodeError as error:
        raise HarnessError(f"{place}: byte {error.start} is no UTF-8 ({error.reason}), expected a text") from error
    except (OSError, EOFError, zlib.error) as error:
        raise HarnessError(f"{place}: cannot be read: {error}; harness data verify checks it") from error


def _read_shakespeare(config: TextOptions, folder: Path) -> list[Text]:
    del config, folder
    return _split_parts(lzma.decompress(BUNDLED.read_bytes()).decode(), BUNDLED.name)


def _read_tiny_shakespeare(config: TextOptions, folder: Path) -> list[Text]:
    place = located(text_files.TINY_SHAKESPEARE, folder)
    assert isinstance(config, ShakespeareOptions)
    return _split_parts(_read_text(place)[: config.characters], str(place))


shakespeare = Corpus("character", _read_shakespeare)
tiny_shakespeare = Corpus("character", _read_tiny_shakespeare)
ptb = Corpus("word", lambda _, folder: _read_lines(text_files.PTB, folder))
ptb_char = Corpus("character", lambda _, folder: _read_lines(text_files.PTB_CHAR, folder))
