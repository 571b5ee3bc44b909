"""Data sets, in their official files and splits. Importing this package reads nothing and imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

from harness import Budget, Dataset, Recipe, hookimpl
from harness_data import registry


@hookimpl
def harness_datasets() -> Iterator[Dataset]:
    yield Dataset(
        "digits",
        "1,797 handwritten digits of 8x8 pixels, part of scikit-learn: nothing to download",
        kind="classification",
        load="harness_data.digits:load",
        recipe=Recipe(Budget("epochs", 8), batch_size=32, options={"steps": 4}),
        licence="CC BY 4.0",
        citation="Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI ML Repository, 1998",
        requires=("sklearn",),
        default=True,
    )
    yield Dataset(
        "mnist",
        "70,000 handwritten digits of 28x28 pixels",
        kind="classification",
        load="harness_data.mnist:load",
        recipe=Recipe(Budget("epochs", 3), batch_size=128, options={"steps": 4}),
        licence="CC BY-SA 3.0",
        citation="LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition, "
        "Proceedings of the IEEE 86(11), 1998",
        files=registry.MNIST,
    )
