"""Networks in the notation of the papers: `64C3-128C3-AP2-256C3-GAP-FC`. Plain Python, no torch.

`64C3`: 3x3 convolution to 64 channels, then the family's neurons; `64C3/2` with stride 2. `256`: dense layer of 256
neurons. `AP2`: 2x2 average pooling of the output of the layer before it; `GAP`: over the whole map. `FC`: the readout,
always last, no neuron. `64R3`, `64R3/2`: a residual block of two 3x3 convolutions, each followed by neurons, after
normalizer-free ResNets (Brock et al. 2021): the second adds 0.2 of its output to the current that the block started
from.

A text is one network in every family. A family refuses networks that it cannot train, with its reason (`Family`).

`residual34` has the stages, widths and depth of a ResNet-34, and is not the NF-ResNet-34 of OTTT's published code.
There, currents are pooled (3x3, stride 2) before the first neurons answer, the first block's shortcut is the identity,
the other stages' is a 1x1 convolution with stride and bias, each block's output has a learned gain that starts at
zero, and the readout, which does too, sees the last block's current. Here the stem's neurons answer before 2x2 pooling,
shortcuts between stages, the first included, pool before their 1x1 convolution, which has no bias, the share of 0.2 is
all of a block's gain, and there are neurons once more behind the last block.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod, sqrt
from typing import NamedTuple

from harness import Unsupported, UsageError

DIGITS_NET = "32C3-64C3-AP2-128C3-128C3-AP2-FC"
SMALL_NET = "16C3-AP2-32C3-AP2-64C3-FC"
HALF_VGG = "32C3-64C3-AP2-128C3-128C3-AP2-256C3-256C3-AP2-256C3-256C3-GAP-FC"
VGG11 = "64C3-128C3-AP2-256C3-256C3-AP2-512C3-512C3-AP2-512C3-512C3-GAP-FC"
RESIDUAL34 = "-".join(
    [
        "64C7/2-AP2",
        *["64R3"] * 3,
        "128R3/2",
        *["128R3"] * 3,
        "256R3/2",
        *["256R3"] * 5,
        "512R3/2",
        *["512R3"] * 2,
        "GAP-FC",
    ]
)
MLP = "256-256-FC"
NAMED = {
    "digits": DIGITS_NET,
    "small": SMALL_NET,
    "half-vgg": HALF_VGG,
    "vgg11": VGG11,
    "residual34": RESIDUAL34,
    "mlp": MLP,
}
RENAMED = {
    "nf-resnet34": "residual34, which is no NF-ResNet-34: its neurons, shortcuts and gains lie elsewhere than in the "
    "published one, as harness_torch.training.architectures says"
}

BRANCH = 0.2  # share of a block's output that joins the residual stream

DIVISIBLE = 2520  # by every window and stride that can be written
CONVOLUTION = re.compile(r"([1-9]\d*)([CR])([1-9]\d*)(?:/([1-9]))?")


@dataclass(frozen=True)
class Family:
    """The notation in a family: its name for its networks, and the words and weights that it refuses, with reasons.

    words: by the regular expression of a whole word, in any case, known to the notation or not. weight: of a weight's
    shape (outputs, inputs, ...), empty where it is welcome.
    """

    networks: str = "networks"
    words: Mapping[str, str] = field(default_factory=dict)
    weight: Callable[[tuple[int, ...]], str] = lambda _: ""


PLAIN = Family()


class Skip(NamedTuple):
    """An addition to a population's current: the current of an earlier one, or a 1x1 convolution of its pooled output.

    factor: ratio of the two populations' units, for a current. projection: shape of the convolution's weight, None for
    a current. window: average pooling before it.
    """

    source: int
    factor: float = 1.0
    projection: tuple[int, ...] | None = None
    window: tuple[int, int] | None = None


class Layer(NamedTuple):
    """A linear map into a population of neurons and the pooling of their output.

    weight: shape of its weight. map: shape of the population, without the batch. pool: window of the average pooling
    that follows, None without one. factor: on weight and bias; the addition through `skip` is in these units, too.
    stream, branch: whether its current, and its output, joins a later population.
    """

    weight: tuple[int, ...]
    map: tuple[int, ...]
    pool: tuple[int, int] | None = None
    stride: int = 1
    factor: float = 1.0
    skip: Skip | None = None
    stream: bool = False
    branch: bool = False

    @property
    def output(self) -> tuple[int, ...]:
        """Shape of the next layer's input."""
        if self.pool is None:
            return self.map
        channels, height, width = self.map
        return channels, height // self.pool[0], width // self.pool[1]


class Architecture(NamedTuple):
    """The layers of neurons in order, and the readout's weight shape (outputs, inputs)."""

    text: str
    layers: tuple[Layer, ...]
    readout: tuple[int, int]

    @property
    def neurons(self) -> int:
        """Number of neurons per row."""
        return sum(prod(layer.map) for layer in self.layers)


def standard(shape: tuple[int, ...]) -> str:
    """Choose the network for rows of `shape`, (features,) or (channels, height, width), if none is given. The only
    table.
    """
    if len(shape) == 1:
        return MLP
    side = min(shape[1:])
    for largest, text in ((15, DIGITS_NET), (31, SMALL_NET), (159, VGG11)):
        if side <= largest:
            return text
    return RESIDUAL34


def check(text: str, family: Family = PLAIN) -> Architecture:
    """Resolve an architecture for an input that is large enough, and divisible often enough, for anything. Raises
    UsageError for mistakes that do not depend on the input.
    """
    side = DIVISIBLE ** len(tokens(text, family))
    try:
        return resolve(text, (DIVISIBLE, side, side), 1, family)
    except Unsupported as error:
        raise UsageError(str(error)) from error


def tokens(text: str, family: Family = PLAIN) -> list[str]:
    """Split an architecture, or a named one, into words. Raises UsageError for one that is unknown or out of place."""
    if text in RENAMED:
        raise UsageError(f"architecture {text!r}: now called {RENAMED[text]}")
    words = NAMED.get(text, text).split("-")
    for word in words[:-1]:
        _check_word(word, text, family)
    if words[-1] != "FC" or len(words) < 2:
        raise UsageError(
            f"architecture {text!r}: expected layers, then the readout FC as the last word, "
            f"or one of {', '.join(NAMED)}"
        )
    if words[0].startswith(("AP", "GAP")):
        raise UsageError(f"architecture {text!r}: {words[0]} pools a layer's output, so a layer must come before it")
    if "R" in words[0]:
        raise UsageError(f"architecture {text!r}: {words[0]} adds to a layer's current, so a layer must come before it")
    return words


def _check_word(word: str, text: str, family: Family) -> None:
    for pattern, reason in family.words.items():
        if re.fullmatch(pattern, word, re.IGNORECASE):
            raise UsageError(f"architecture {text!r}: {word} is refused: {reason}")
    convolution = CONVOLUTION.fullmatch(word)
    if convolution and int(convolution[3]) % 2 == 0:
        raise UsageError(f"architecture {text!r}: {word}: the kernel must be odd, so that the map keeps its size")
    if not convolution and not re.fullmatch(r"[1-9]\d*|AP[2-9]|GAP", word):
        known = (
            "64C3 (convolution, 64C3/2 with stride), 64R3 (residual block), 256 (dense), AP2 or GAP (average pooling), "
            "FC (readout, last)"
        )
        raise UsageError(f"architecture {text!r}: unknown word {word!r}; known are {known}")


def resolve(text: str, shape: tuple[int, ...], outputs: int, family: Family = PLAIN) -> Architecture:
    """Resolve `text` to layers for rows of `shape`. Raises Unsupported where the two do not fit together."""
    if len(shape) not in (1, 3):
        raise Unsupported(f"{family.networks} take rows of shape (features,) or (channels, height, width), not {shape}")
    layers: list[Layer] = []
    variances: dict[int, float] = {}  # expected variance of the residual stream's current at a population
    words = tokens(text, family)
    for word in words[:-1]:
        before = layers[-1].output if layers else shape
        if word.startswith(("AP", "GAP")):
            layers[-1] = layers[-1]._replace(pool=_choose_window(word, layers[-1], text))
        elif "R" in word:
            _add_block(layers, variances, word, before, text)
        else:
            layers.append(_build_layer(word, before, text))
    for layer in layers:
        _refuse_weights(layer, text, family)
    return Architecture("-".join(words), tuple(layers), (outputs, prod(layers[-1].output)))


def _refuse_weights(layer: Layer, text: str, family: Family) -> None:
    for shape in [layer.weight, *([layer.skip.projection] if layer.skip and layer.skip.projection else [])]:
        if reason := family.weight(shape):
            raise Unsupported(f"architecture {text!r}: a weight of shape {shape} {reason}")


def _build_layer(word: str, before: tuple[int, ...], text: str) -> Layer:
    convolution = CONVOLUTION.fullmatch(word)
    if convolution is None:
        return Layer((int(word), prod(before)), (int(word),))
    if len(before) != 3:
        raise Unsupported(f"architecture {text!r}: {word} needs a map (channels, height, width), but gets {before}")
    channels, kernel, stride = int(convolution[1]), int(convolution[3]), int(convolution[4] or 1)
    size = (1 + (side - 1) // stride for side in before[1:])
    return Layer((channels, before[0], kernel, kernel), (channels, *size), stride=stride)


def _add_block(layers: list[Layer], variances: dict[int, float], word: str, before: tuple[int, ...], text: str) -> None:
    """Add two layers whose second joins the stream that the last population's current belongs to.

    The current itself joins where shapes agree, else a 1x1 convolution of the population's pooled output. Populations
    work in units of the stream's expected deviation, so that their thresholds mean the same everywhere.
    """
    source = len(layers) - 1
    first = _build_layer(word, before, text)
    channels, *kernel = first.weight[0], *first.weight[2:]
    second = Layer((channels, channels, *kernel), first.map)
    same = layers[source].pool is None and layers[source].map == second.map
    variance = (variances.get(source, 1.0) if same else 1.0) + BRANCH**2
    deviation = sqrt(variance)
    if same:
        skip = Skip(source, sqrt(variances.get(source, 1.0)) / deviation)
    else:
        stride = first.stride
        window = None if stride == 1 else (stride, stride)
        if any(side % stride for side in before[1:]):
            raise Unsupported(
                f"architecture {text!r}: {word} needs a map whose sides {stride} divides, not {before[1:]}"
            )
        skip = Skip(source, 1 / deviation, (channels, before[0], 1, 1), window)
    layers[source] = layers[source]._replace(stream=same, branch=not same)
    layers += [first, second._replace(factor=BRANCH / deviation, skip=skip)]
    variances[len(layers) - 1] = variance


def _choose_window(word: str, layer: Layer, text: str) -> tuple[int, int]:
    if len(layer.map) != 3 or layer.pool is not None:
        raise Unsupported(f"architecture {text!r}: {word} needs a convolution right before it")
    height, width = layer.map[1:]
    window = (height, width) if word == "GAP" else (int(word[2:]), int(word[2:]))
    if window[0] > height or window[1] > width:
        raise Unsupported(f"architecture {text!r}: {word} needs a larger map than {height}x{width}")
    return window
