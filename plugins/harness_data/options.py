"""Options of our data sets. Plain Python: it is imported to list them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness import DataOptions, option


@dataclass(frozen=True)
class CifarOptions(DataOptions):
    """Options of CIFAR-100."""

    augment: bool = option(True, "whether training images are cropped, partly cut out and flipped at random")


@dataclass(frozen=True)
class Cifar10Options(CifarOptions):
    """Options of CIFAR-10. Raises ValueError for batches that are none or not distinct."""

    batches: tuple[int, ...] = option(
        (1, 2, 3, 4, 5), "training files, of 10,000 images each: [1,2] is these two together", low=1, high=5
    )

    def __post_init__(self) -> None:
        if not self.batches or len(set(self.batches)) < len(self.batches):
            raise ValueError(f"batches must be distinct numbers from 1 to 5, such as [1,2], not {list(self.batches)}")


@dataclass(frozen=True)
class EventOptions(DataOptions):
    """Options of every data set of events."""

    steps: int = option(10, "frames of a recording, which are the time steps of a network", low=1)
    frames: Literal["number", "time"] = option("number", "what all frames have as much of: number of events, or time")
    partial: bool = option(False, "whether to take a folder with more or fewer files as it is; the report then says so")


@dataclass(frozen=True)
class Cifar10DvsOptions(EventOptions):
    """Options of CIFAR10-DVS."""

    augment: bool = option(True, "whether training recordings are cropped at random, all frames alike")


@dataclass(frozen=True)
class GestureOptions(EventOptions):
    """Options of DVS128 Gesture."""

    steps: int = option(20, "frames of a recording, which are the time steps of a network", low=1)


@dataclass(frozen=True)
class MnistShiftedOptions(DataOptions):
    """Options of MNIST with shifted test splits."""

    fashion: bool = option(False, "whether the test images of Fashion-MNIST, whose files this needs, are one of them")


@dataclass(frozen=True)
class GapOptions(DataOptions):
    """Options of the regression toy with a gap."""

    rows: int = option(80, "training rows, half of them on each side of the gap", low=2)
    noise: float = option(0.1, "standard deviation of the targets around the true function", low=0.0)


@dataclass(frozen=True)
class MnistPixelsOptions(DataOptions):
    """Options of MNIST pixel by pixel. Raises ValueError for a pool that does not divide 28."""

    pool: int = option(
        1, "side of the squares of pixels that are averaged to one step, a divisor of 28", low=1, high=28
    )
    permuted: bool = option(False, "whether the steps stand in a fixed random order, the same for all seeds")

    def __post_init__(self) -> None:
        if 28 % self.pool:
            raise ValueError(
                f"pool must be a divisor of 28, the side of an image: 1, 2, 4, 7, 14 or 28, not {self.pool}"
            )


@dataclass(frozen=True)
class TextOptions(DataOptions):
    """Options of texts of characters."""

    train: int | None = option(None, "tokens to train on, from the first on; all by default", low=1)
    valid: int | None = option(None, "streams of the validation text to use, or tokens if it is one stream", low=1)
    test: int | None = option(None, "streams of the test text to use, likewise", low=1)
    window: int = option(50, "steps of a training window, within which gradients go back in time", low=1)
    streams: int = option(20, "rows that validation and test text are each cut into; 1 reads them as a whole", low=1)


@dataclass(frozen=True)
class WordOptions(TextOptions):
    """Options of texts of words."""

    window: int = option(35, "steps of a training window, within which gradients go back in time", low=1)


@dataclass(frozen=True)
class ShakespeareOptions(TextOptions):
    """Options of the official file of tiny Shakespeare."""

    characters: int = option(
        1_115_394, "how many characters to use, from the first on; all by default", low=100, high=1_115_394
    )
