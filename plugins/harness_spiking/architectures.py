"""Networks in the notation of the papers: `64C3-128C3-AP2-256C3-GAP-FC`. Plain Python, no torch.

`64C3`: 3x3 convolution to 64 channels, same size, then LIF neurons. `256`: dense layer of 256 LIF neurons. `AP2`: 2x2
average pooling of what the layer before it fires; `GAP`: over the whole map. `FC`: the readout, always last, no neuron.
"""

from __future__ import annotations

import re
from math import prod
from typing import NamedTuple

from harness import Unsupported, UsageError

DIGITS_NET = "32C3-64C3-AP2-128C3-128C3-AP2-FC"
SMALL_NET = "16C3-AP2-32C3-AP2-64C3-FC"
VGG11 = "64C3-128C3-AP2-256C3-256C3-AP2-512C3-512C3-AP2-512C3-512C3-GAP-FC"
MLP = "256-256-FC"

# All methods of the family rest on everything between two layers of neurons being linear and the same at every step.
REFUSED = {
    r"MP\d*": "max-pooling is not linear, so it does not commute with the spike trace; use average pooling (AP2)",
    r"BN": "batch statistics differ from step to step, so they do not commute with the spike trace; "
    "weights are standardised instead",
    r"(DP|D)[\d.]*": "dropout with a new mask at every step breaks the spike trace",
}


class Layer(NamedTuple):
    """A linear map into a population of neurons and what pools their spikes.

    weight: shape of its weight. map: shape of the population, without the batch. pool: window of the average pooling
    that follows, None without one.
    """

    weight: tuple[int, ...]
    map: tuple[int, ...]
    pool: tuple[int, int] | None = None

    @property
    def output(self) -> tuple[int, ...]:
        """Shape of what the next layer sees."""
        if self.pool is None:
            return self.map
        channels, height, width = self.map
        return channels, height // self.pool[0], width // self.pool[1]


class Architecture(NamedTuple):
    """The spiking layers in order, and the readout's weight shape (classes, inputs)."""

    text: str
    layers: tuple[Layer, ...]
    readout: tuple[int, int]

    @property
    def neurons(self) -> int:
        """Spiking neurons per example."""
        return sum(prod(layer.map) for layer in self.layers)


def standard(shape: tuple[int, ...]) -> str:
    """The network of this family for rows of `shape`, (features,) or (channels, height, width). The only such table."""
    if len(shape) == 1:
        return MLP
    side = min(shape[1:])
    if side < 16:
        return DIGITS_NET
    return SMALL_NET if side < 32 else VGG11


def tokens(text: str) -> list[str]:
    """The words of an architecture. Raises UsageError for one that is unknown, refused or out of place."""
    words = text.split("-")
    for word in words[:-1]:
        _check(word, text)
    if words[-1] != "FC" or len(words) < 2:
        raise UsageError(f"architecture {text!r}: expected spiking layers, then the readout FC as the last word")
    if words[0].startswith(("AP", "GAP")):
        raise UsageError(f"architecture {text!r}: {words[0]} pools spikes, so a layer must come before it")
    return words


def _check(word: str, text: str) -> None:
    for pattern, reason in REFUSED.items():
        if re.fullmatch(pattern, word):
            raise UsageError(f"architecture {text!r}: {word} is refused: {reason}")
    convolution = re.fullmatch(r"[1-9]\d*C([1-9]\d*)", word)
    if convolution and int(convolution[1]) % 2 == 0:
        raise UsageError(f"architecture {text!r}: {word}: the kernel must be odd, so that the map keeps its size")
    if not convolution and not re.fullmatch(r"[1-9]\d*|AP[2-9]|GAP", word):
        known = "64C3 (convolution), 256 (dense), AP2 or GAP (average pooling), FC (readout, last)"
        raise UsageError(f"architecture {text!r}: unknown word {word!r}; known are {known}")


def resolve(text: str, shape: tuple[int, ...], classes: int) -> Architecture:
    """The layers of `text` for rows of `shape`. Raises Unsupported where the two do not fit together."""
    if len(shape) not in (1, 3):
        raise Unsupported(f"spiking networks take rows of shape (features,) or (channels, height, width), not {shape}")
    layers: list[Layer] = []
    for word in tokens(text)[:-1]:
        before = layers[-1].output if layers else shape
        if word.startswith(("AP", "GAP")):
            layers[-1] = layers[-1]._replace(pool=_window(word, layers[-1], text))
        else:
            layers.append(_layer(word, before, text))
    return Architecture(text, tuple(layers), (classes, prod(layers[-1].output)))


def _layer(word: str, before: tuple[int, ...], text: str) -> Layer:
    if "C" not in word:
        return Layer((int(word), prod(before)), (int(word),))
    if len(before) != 3:
        raise Unsupported(f"architecture {text!r}: {word} needs a map (channels, height, width), but gets {before}")
    channels, kernel = map(int, word.split("C"))
    return Layer((channels, before[0], kernel, kernel), (channels, *before[1:]))


def _window(word: str, layer: Layer, text: str) -> tuple[int, int]:
    if len(layer.map) != 3 or layer.pool is not None:
        raise Unsupported(f"architecture {text!r}: {word} needs a convolution right before it")
    height, width = layer.map[1:]
    window = (height, width) if word == "GAP" else (int(word[2:]), int(word[2:]))
    if window[0] > height or window[1] > width:
        raise Unsupported(f"architecture {text!r}: {word} needs a larger map than {height}x{width}")
    return window
