"""Offers of sequences and texts. Plain Python: it is imported to list them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from harness import Budget, Dataset, Recipe
from harness_data import citations, registry, text_files
from harness_data.options import MnistPixelsOptions, ShakespeareOptions, TextOptions, WordOptions

RESEARCH = "free for research by its README, corpus LDC99T42 by the LDC's licence (unchecked)"


def offer_digits() -> Iterator[Dataset]:
    """Offer the digits of scikit-learn."""
    series = partial(
        Dataset,
        kind="classification",
        licence="CC BY 4.0",
        citation=citations.ALPAYDIN,
        requires=("sklearn",),
        rows={"train": 1079, "valid": 359, "test": 359},
    )
    yield series(
        "digits-rows",
        "digits as sequences: 8 steps, each a row of 8 pixels",
        load="harness_data.sequences:load_digit_rows",
        recipe=Recipe(Budget("epochs", 20), batch_size=32),
    )
    yield series(
        "digits-pixels",
        "digits as sequences: 64 steps of a pixel each",
        load="harness_data.sequences:load_digit_pixels",
        recipe=Recipe(Budget("epochs", 40), batch_size=32),
    )


def offer_mnist() -> Iterator[Dataset]:
    """Offer MNIST, as papers on recurrent networks have it."""
    series = partial(
        Dataset,
        kind="classification",
        licence="CC BY-SA 3.0",
        citation=citations.LECUN,
        files=registry.MNIST,
        rows={"train": 55_000, "valid": 5_000, "test": 10_000},
        fixed_test=True,
    )
    yield series(
        "mnist-rows",
        "MNIST as sequences: 28 steps, each a row of 28 pixels",
        load="harness_data.sequences:load_mnist_rows",
        recipe=Recipe(Budget("epochs", 3), batch_size=128),
    )
    yield series(
        "mnist-pixels",
        "MNIST as sequences: 784 steps of a pixel each, or means of pixels (pool); in a fixed random order (permuted)",
        load="harness_data.sequences:load_mnist_pixels",
        config=MnistPixelsOptions,
        recipe=Recipe(Budget("epochs", 100), batch_size=128),
    )


def offer_texts() -> Iterator[Dataset]:
    """Texts, whose next token is to be predicted."""
    text = partial(Dataset, kind="language", fixed_test=True)
    yield text(
        "shakespeare",
        "the first 200,000 characters of tiny-shakespeare, part of the harness: nothing to download",
        load="harness_data.texts:shakespeare.load",
        refit="harness_data.texts:shakespeare.refit",
        config=TextOptions,
        recipe=Recipe(Budget("epochs", 10), batch_size=32),
        licence="public domain",
        citation=citations.KARPATHY,
        default=True,
    )
    yield text(
        "tiny-shakespeare",
        "1,115,394 characters of Shakespeare's plays",
        load="harness_data.texts:tiny_shakespeare.load",
        refit="harness_data.texts:tiny_shakespeare.refit",
        config=ShakespeareOptions,
        recipe=Recipe(Budget("epochs", 10), batch_size=32),
        licence="public domain",
        citation=citations.KARPATHY,
        files=(text_files.TINY_SHAKESPEARE,),
    )
    yield text(
        "ptb",
        "Penn Treebank as Mikolov prepared it: 1,085,779 words of 10,000, ends of lines included",
        load="harness_data.texts:ptb.load",
        refit="harness_data.texts:ptb.refit",
        config=WordOptions,
        recipe=Recipe(Budget("epochs", 13), batch_size=20),
        licence=RESEARCH,
        citation=citations.MARCUS,
        files=text_files.PTB,
    )
    yield text(
        "ptb-char",
        "Penn Treebank as Mikolov prepared it: 5,852,947 characters of 50, ends of lines included",
        load="harness_data.texts:ptb_char.load",
        refit="harness_data.texts:ptb_char.refit",
        config=TextOptions,
        recipe=Recipe(Budget("epochs", 10), batch_size=32),
        licence=RESEARCH,
        citation=citations.MARCUS,
        files=text_files.PTB_CHAR,
    )
