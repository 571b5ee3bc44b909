"""Data sets, in their official files and splits. Importing this package reads nothing and imports nothing heavy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from harness import Budget, Dataset, Folder, Recipe, hookimpl
from harness_data import citations, registry, series, tables
from harness_data.options import (
    Cifar10DvsOptions,
    Cifar10Options,
    CifarOptions,
    EventOptions,
    GestureOptions,
    MnistShiftedOptions,
)

harness_interface = 2

DIGITS = Recipe(Budget("epochs", 8), batch_size=32, families={"spiking": {"steps": 4}})
MNIST = Recipe(Budget("epochs", 3), batch_size=128, families={"spiking": {"steps": 4}})
MNIST_ROWS = {"train": 55_000, "valid": 5_000, "test": 10_000}
# The protocols of the published OTTT code; the frames of a recording are an option of the data set.
CIFAR = Recipe(Budget("epochs", 300), batch_size=128, families={"spiking": {"steps": 6, "loss_lambda": 0.05}})
CIFAR10_DVS = Recipe(
    Budget("epochs", 300), batch_size=128, families={"spiking": {"loss_lambda": 0.001, "dropout": 0.1}}
)
DVS_GESTURE = Recipe(
    Budget("epochs", 300), batch_size=16, families={"spiking": {"loss_lambda": 0.001, "optimiser": "adam"}}
)
NMNIST = Recipe(Budget("epochs", 5), batch_size=128, families={"spiking": {"loss_lambda": 0.05}})

NO_LICENCE = "none stated, for research (unchecked)"


@hookimpl
def harness_datasets() -> Iterator[Dataset]:
    yield Dataset(
        "digits",
        "1,797 handwritten digits of 8x8 pixels, part of scikit-learn: nothing to download",
        kind="classification",
        load="harness_data.digits:load",
        recipe=DIGITS,
        licence="CC BY 4.0",
        citation=citations.ALPAYDIN,
        requires=("sklearn",),
        default=True,
        rows={"train": 1079, "valid": 359, "test": 359},
    )
    yield Dataset(
        "mnist",
        "70,000 handwritten digits of 28x28 pixels",
        kind="classification",
        load="harness_data.mnist:load",
        recipe=MNIST,
        licence="CC BY-SA 3.0",
        citation=citations.LECUN,
        files=registry.MNIST,
        rows=MNIST_ROWS,
        fixed_test=True,
    )
    yield Dataset(
        "fashion-mnist",
        "70,000 pictures of clothes of 28x28 pixels",
        kind="classification",
        load="harness_data.mnist:load_fashion",
        recipe=MNIST,
        licence="MIT",
        citation=citations.XIAO,
        files=registry.FASHION_MNIST,
        rows=MNIST_ROWS,
        fixed_test=True,
    )
    yield from _offer_cifar()
    yield from _offer_shifted()
    yield from _offer_events()
    yield from tables.offer_tables()
    yield from series.offer_digits()
    yield from series.offer_mnist()
    yield from series.offer_texts()


def _offer_cifar() -> Iterator[Dataset]:
    yield Dataset(
        "cifar10",
        "60,000 photographs of 32x32 pixels, 10 classes",
        kind="classification",
        load="harness_data.cifar:load10",
        config=Cifar10Options,
        recipe=CIFAR,
        licence=NO_LICENCE,
        citation=citations.KRIZHEVSKY,
        files=lambda config: registry.cifar10(config.batches),
        fixed_test=True,
    )
    yield Dataset(
        "cifar100",
        "60,000 photographs of 32x32 pixels, 100 classes",
        kind="classification",
        load="harness_data.cifar:load100",
        config=CifarOptions,
        recipe=CIFAR,
        licence=NO_LICENCE,
        citation=citations.KRIZHEVSKY,
        files=registry.CIFAR100,
        fixed_test=True,
    )


def _offer_shifted() -> Iterator[Dataset]:
    yield Dataset(
        "digits-shifted",
        "digits 0 to 4, and as shifted splits digits-5-9 and noise, which belong to none of the five classes",
        kind="classification",
        load="harness_data.shifted:load_digits",
        refit="harness_data.shifted:refit_digits",
        recipe=DIGITS,
        licence="CC BY 4.0",
        citation=citations.ALPAYDIN,
        requires=("sklearn",),
        rows={"train": 541, "valid": 180, "test": 180},
    )
    yield Dataset(
        "mnist-shifted",
        "MNIST, and as shifted splits noise, rotated and, with fashion=yes, the test images of Fashion-MNIST",
        kind="classification",
        load="harness_data.shifted:load_mnist",
        config=MnistShiftedOptions,
        recipe=MNIST,
        licence="CC BY-SA 3.0 (MNIST), MIT (Fashion-MNIST)",
        citation=citations.LECUN + citations.XIAO,
        files=lambda config: (*registry.MNIST, *(registry.FASHION_MNIST[2:] if config.fashion else ())),
        rows=MNIST_ROWS,
        fixed_test=True,
    )


def _offer_events() -> Iterator[Dataset]:
    yield Dataset(
        "nmnist",
        "70,000 recordings of MNIST digits by an event camera, 34x34 pixels",
        kind="classification",
        load="harness_data.nmnist:load",
        config=EventOptions,
        recipe=NMNIST,
        licence="CC BY-SA 4.0",
        citation=citations.ORCHARD,
        files=_allow_partial(registry.NMNIST),
        fixed_test=True,
    )
    yield Dataset(
        "cifar10-dvs",
        "10,000 recordings of CIFAR-10 photographs by an event camera, resized to 48x48 (tonic's copy: extra events)",
        kind="classification",
        load="harness_data.dvs:load_cifar10",
        config=Cifar10DvsOptions,
        recipe=CIFAR10_DVS,
        licence="CC BY 4.0 (unchecked)",
        citation=citations.LI,
        files=_allow_partial(registry.CIFAR10_DVS),
        fixed_test=True,
    )
    yield Dataset(
        "dvs-gesture",
        "1,341 recordings of 11 hand gestures by an event camera, 128x128 pixels",
        kind="classification",
        load="harness_data.dvs:load_gesture",
        config=GestureOptions,
        recipe=DVS_GESTURE,
        licence="CC BY 4.0",
        citation=citations.AMIR,
        files=_allow_partial(registry.DVS_GESTURE),
        fixed_test=True,
    )


def _allow_partial(folders: tuple[Folder, ...]) -> Callable[[EventOptions], tuple[Folder, ...]]:
    """Allow folders of a data set to be incomplete where the options say so."""

    def declared(config: EventOptions) -> tuple[Folder, ...]:
        if not config.partial:
            return folders
        return tuple(dataclasses.replace(folder, partial=True, hint="") for folder in folders)

    return declared
