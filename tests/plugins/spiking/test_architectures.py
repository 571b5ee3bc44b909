import pytest

from harness import Unsupported, UsageError
from harness_saf import SAFOptions
from harness_spiking.architectures import DIGITS_NET, MLP, SMALL_NET, VGG11, resolve, standard


@pytest.mark.parametrize(
    ("shape", "text"),
    [((20,), MLP), ((1, 8, 8), DIGITS_NET), ((1, 28, 28), SMALL_NET), ((3, 32, 32), VGG11), ((2, 48, 48), VGG11)],
)
def test_one_table_leads_from_input_to_architecture(shape, text):
    assert standard(shape) == text
    assert resolve(text, shape, 10).readout[0] == 10


def test_words_become_layers_with_shapes():
    first, second, third = resolve("4C3-6C5-AP2-30-FC", (2, 9, 8), 3).layers
    assert first[:3] == ((4, 2, 3, 3), (4, 9, 8), None)
    assert second[:3] == ((6, 4, 5, 5), (6, 9, 8), (2, 2))
    assert second.output == (6, 4, 4)
    assert third[:3] == ((30, 96), (30,), None)


def test_global_pooling_covers_the_whole_map():
    architecture = resolve("4C3-GAP-FC", (1, 9, 6), 3)
    assert architecture.layers[0].pool == (9, 6)
    assert architecture.readout == (3, 4)
    assert architecture.neurons == 4 * 54


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("8C3-MP2-FC", "MP2 is refused: max-pooling is not linear"),
        ("8C3-BN-FC", "BN is refused: batch statistics"),
        ("8C3-DP0.5-FC", "dropout"),
        ("8C4-FC", "8C4: the kernel must be odd"),
        ("8C3-x-FC", "unknown word 'x'; known are 64C3"),
        ("0C3-FC", "unknown word '0C3'"),
        ("8C3-AP2", "the readout FC as the last word"),
        ("FC", "the readout FC as the last word"),
        ("AP2-8C3-FC", "AP2 pools spikes"),
        ("", "the readout FC"),
    ],
)
def test_words_that_cannot_be_read_are_named_while_planning(text, reason):
    with pytest.raises(UsageError, match=reason) as caught:
        SAFOptions(architecture=text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shape", "reason"),
    [
        ("8C3-AP2-AP2-FC", (1, 8, 8), "AP2 needs a convolution right before it"),
        ("8-GAP-FC", (6,), "GAP needs a convolution"),
        ("8C3-AP4-FC", (1, 3, 3), "AP4 needs a larger map than 3x3"),
        ("8-4C3-FC", (1, 8, 8), r"4C3 needs a map"),
        ("8-FC", (2, 3), "rows of shape"),
    ],
)
def test_architectures_that_do_not_fit_the_input_are_unsupported(text, shape, reason):
    with pytest.raises(Unsupported, match=reason):
        resolve(text, shape, 10)
