"""Refusals by spiking networks of the notation of networks, which tests/plugins/torch/training has tests of."""

import pytest

from harness import Unsupported, UsageError
from harness_saf import SAFOptions
from harness_spiking.architectures import resolve
from harness_torch.training import architectures


@pytest.mark.parametrize(("text", "shape"), [("8C1-FC", (1, 8, 8)), ("4-FC", (1,)), ("1C3-8R3/2-FC", (2, 8, 8))])
def test_one_input_cannot_be_standardised(text, shape):
    with pytest.raises(Unsupported, match=r"of shape .* has one input per output"):
        resolve(text, shape, 10)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("8C3-MP2-FC", "MP2 is refused: max-pooling is not linear"),
        ("8C3-BN-FC", "BN is refused: batch statistics"),
        ("8C3-DP0.5-FC", "dropout"),
        ("8C3-GMP-FC", "GMP is refused: max-pooling is not linear"),
        ("8C3-MaxPool2-FC", "MaxPool2 is refused: max-pooling is not linear"),
        ("8C3-maxpool-FC", "maxpool is refused: max-pooling is not linear"),
        ("8C3-MaxPool2d-FC", "MaxPool2d is refused: max-pooling is not linear"),
        ("32C3MP2-64C3-FC", "32C3MP2 is refused: max-pooling is not linear"),
        ("8C3-BatchNorm-FC", "BatchNorm is refused: batch statistics"),
        ("8C3/2bn-FC", "8C3/2bn is refused: batch statistics"),
        ("8C3-Dropout0.5-FC", "Dropout0.5 is refused: dropout with a new mask at every step"),
        ("8C3-dropout-FC", "dropout is refused: dropout with a new mask"),
        ("8C3-D-FC", "D is refused: dropout with a new mask at every step .* the option dropout"),
        ("8C3-AvgPool2-FC", "unknown word 'AvgPool2'; known are .* AP2 or GAP"),
        ("8C3-AP2-AP2-FC", "AP2 needs a convolution right before it"),
        ("1C3-8C1-FC", r"a weight of shape \(8, 1, 1, 1\) has one input per output"),
        ("1-8-FC", r"a weight of shape \(8, 1\) has one input per output"),
    ],
)
def test_words_that_cannot_be_trained_are_named_while_planning(text, reason):
    with pytest.raises(UsageError, match=reason) as caught:
        SAFOptions(architecture=text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", [*architectures.NAMED, "1C1-FC", "-".join(["8C3/9"] * 40 + ["FC"])])
def test_what_fits_some_input_is_for_its_data_to_decide(text):
    assert SAFOptions(architecture=text).architecture == text


def test_what_is_welcome_is_the_network_of_every_family():
    text = "4C5/2-4R3-6R3/2-GAP-FC"
    assert resolve(text, (2, 16, 16), 3) == architectures.resolve(text, (2, 16, 16), 3)
    with pytest.raises(Unsupported, match=r"^spiking networks take rows of shape"):
        resolve("8-FC", (2, 3), 10)
