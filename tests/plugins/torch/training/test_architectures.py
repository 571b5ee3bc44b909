"""The notation of networks, the same in every family, and the words that a family refuses."""

from math import prod

import pytest

from harness import Unsupported, UsageError
from harness_torch.training.architectures import (
    DIGITS_NET,
    HALF_VGG,
    MLP,
    NAMED,
    RESIDUAL34,
    SMALL_NET,
    VGG11,
    Family,
    check,
    resolve,
    standard,
)

# A family that has no words for residual blocks, and no use for a single output.
PICKY = Family(
    "picky networks",
    {r"\d+R\d.*": "blocks are not for us", r"dropout[\d.]*": "the option dropout is"},
    lambda shape: "has one output" if shape[0] == 1 else "",
)


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((20,), MLP),
        ((1, 8, 8), DIGITS_NET),
        ((1, 15, 15), DIGITS_NET),
        ((1, 16, 16), SMALL_NET),
        ((1, 28, 28), SMALL_NET),
        ((2, 34, 31), SMALL_NET),
        ((3, 32, 32), VGG11),
        ((2, 34, 34), VGG11),
        ((2, 48, 48), VGG11),
        ((2, 128, 128), VGG11),
        ((3, 160, 160), RESIDUAL34),
        ((3, 224, 224), RESIDUAL34),
    ],
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


def test_a_name_stands_for_its_layers():
    assert resolve("vgg11", (3, 32, 32), 10) == resolve(VGG11, (3, 32, 32), 10)


def test_global_pooling_covers_the_whole_map():
    architecture = resolve("4C3-GAP-FC", (1, 9, 6), 3)
    assert architecture.layers[0].pool == (9, 6)
    assert architecture.readout == (3, 4)
    assert architecture.neurons == 4 * 54


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("8C4-FC", "8C4: the kernel must be odd"),
        ("8C3-x-FC", "unknown word 'x'; known are 64C3"),
        ("0C3-FC", "unknown word '0C3'"),
        ("8C3-AP2", "the readout FC as the last word"),
        ("FC", "the readout FC as the last word"),
        ("AP2-8C3-FC", "AP2 pools a layer's output"),
        ("", "the readout FC"),
        ("8C3-AvgPool2-FC", "unknown word 'AvgPool2'; known are .* AP2 or GAP"),
        ("8C3-complex-FC", "unknown word 'complex'"),
        ("8R3-FC", "8R3 adds to a layer's current, so a layer must come before it"),
        ("8C3-8R4-FC", "8R4: the kernel must be odd"),
        ("8C2-FC", "8C2: the kernel must be odd"),
        ("8C3/0-FC", "unknown word '8C3/0'; known are 64C3"),
        ("8C3-R3-FC", "unknown word 'R3'; known are .* 64R3"),
        ("GAP-FC", "GAP pools a layer's output"),
        ("8C3-MP2-FC", "unknown word 'MP2'"),
        ("8C3-FC-8C3-FC", "unknown word 'FC'"),
        ("nf-resnet34", "now called residual34, which is no NF-ResNet-34"),
        ("vgg", "one of digits, small, half-vgg, vgg11, residual34, mlp"),
    ],
)
def test_words_that_cannot_be_read_are_named_while_planning(text, reason):
    with pytest.raises(UsageError, match=reason) as caught:
        check(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("8C3-AP2-AP2-FC", "AP2 needs a convolution right before it"),
        ("256-GAP-FC", "GAP needs a convolution right before it"),
        ("256-8C3-FC", r"8C3 needs a map \(channels, height, width\), but gets \(256,\)"),
        ("256-8R3-FC", "8R3 needs a map"),
        ("8C3-GAP-8C3-AP2-FC", "AP2 needs a larger map than 1x1"),
        ("8C3-GAP-8R3/2-FC", r"8R3/2 needs a map whose sides 2 divides, not \(1, 1\)"),
    ],
)
def test_words_that_fit_no_input_are_named_while_planning(text, reason):
    with pytest.raises(UsageError, match=reason) as caught:
        check(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    "text", [*NAMED, "1C1-FC", "8C3-AP9-8C3/9-8R3/8-AP7-8R5/6-GAP-FC", "-".join(["8C3/9"] * 40 + ["FC"])]
)
def test_what_fits_some_input_is_for_its_data_to_decide(text):
    assert check(text).layers


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("8C3-8R3-FC", "'8C3-8R3-FC': 8R3 is refused: blocks are not for us"),
        ("8C3-Dropout0.5-FC", "Dropout0.5 is refused: the option dropout is"),
        ("8C3-8C3-1C3-FC", r"a weight of shape \(1, 8, 3, 3\) has one output"),
    ],
)
def test_what_a_family_refuses_is_said_in_its_words(text, reason):
    with pytest.raises(UsageError, match=reason):
        check(text, PICKY)


def test_a_family_refuses_and_changes_nothing_else():
    text, shape = "8C3-AP2-30-FC", (1, 8, 8)
    assert resolve(text, shape, 3, PICKY) == resolve(text, shape, 3)
    with pytest.raises(Unsupported, match=r"^picky networks take rows of shape"):
        resolve(text, (2, 3), 3, PICKY)


@pytest.mark.parametrize(
    ("text", "shape", "reason"),
    [
        ("8C3-AP2-AP2-FC", (1, 8, 8), "AP2 needs a convolution right before it"),
        ("8-GAP-FC", (6,), "GAP needs a convolution"),
        ("8C3-AP4-FC", (1, 3, 3), "AP4 needs a larger map than 3x3"),
        ("8-4C3-FC", (1, 8, 8), r"4C3 needs a map"),
        ("8-FC", (2, 3), "rows of shape"),
        ("8C3-8R3/2-FC", (1, 9, 8), r"8R3/2 needs a map whose sides 2 divides, not \(9, 8\)"),
        ("8C3-AP2-8R3/4-FC", (1, 12, 12), r"8R3/4 needs a map whose sides 4 divides, not \(6, 6\)"),
        ("8-6R3-FC", (1, 8, 8), "6R3 needs a map"),
    ],
)
def test_architectures_that_do_not_fit_the_input_are_unsupported(text, shape, reason):
    with pytest.raises(Unsupported, match=reason):
        resolve(text, shape, 10)


def parameters(architecture):
    """Count weights, biases, gains, projections with gains, and the readout."""
    layers = sum(prod(layer.weight) + 2 * layer.weight[0] for layer in architecture.layers)
    skips = [layer.skip.projection for layer in architecture.layers if layer.skip and layer.skip.projection]
    return (
        layers + sum(prod(shape) + shape[0] for shape in skips) + prod(architecture.readout) + architecture.readout[0]
    )


@pytest.mark.parametrize(
    ("name", "text", "shape", "count", "neurons"),
    [
        ("vgg11", VGG11, (3, 32, 32), 9_228_362, 409_600),  # as published
        ("half-vgg", HALF_VGG, (3, 32, 32), 2_310_186, 204_800),
        ("digits", DIGITS_NET, (1, 8, 8), 245_738, 64 * 96 + 16 * 256),
        ("small", SMALL_NET, (1, 28, 28), 54_778, 784 * 16 + 196 * 32 + 49 * 64),
        ("mlp", MLP, (20,), 20 * 256 + 256 * 256 + 4 * 256 + 2570, 512),
    ],
)
def test_networks_have_names_and_sizes(name, text, shape, count, neurons):
    architecture = resolve(name, shape, 10)
    assert architecture[1:] == resolve(text, shape, 10)[1:]
    assert (parameters(architecture), architecture.neurons) == (count, neurons)


def test_residual_34_has_its_stages_maps_and_parameters():
    architecture = resolve(RESIDUAL34, (3, 224, 224), 1000)
    maps = [layer.map for layer in architecture.layers]
    stages = [(64, 56, 56, 6), (128, 28, 28, 8), (256, 14, 14, 12), (512, 7, 7, 6)]
    assert maps == [(64, 112, 112)] + [stage[:3] for stage in stages for _ in range(stage[3])]
    assert len(maps) + 1 == 34  # with the readout
    assert architecture.readout == (1000, 512)
    pooled, joins = architecture.layers[0], [layer.skip is not None for layer in architecture.layers]
    assert (pooled.stride, pooled.pool, pooled.output) == (2, (2, 2), (64, 56, 56))
    assert joins == [False] + [False, True] * 16
    kernels = 3 * 49 * 64 + 9 * (6 * 64**2 + 64 * 128 + 7 * 128**2 + 128 * 256 + 11 * 256**2 + 256 * 512 + 5 * 512**2)
    projections = [64 * 64, 64 * 128, 128 * 256, 256 * 512]  # the first one of the stem's pooled output
    channels = 7 * 64 + 8 * 128 + 12 * 256 + 6 * 512
    assert parameters(architecture) == (
        kernels + 2 * channels + sum(projections) + 64 + 128 + 256 + 512 + 512 * 1000 + 1000
    )


def test_strides_and_blocks_become_layers_that_say_what_joins_them():
    stem, a, b, c, d = resolve("4C5/2-4R3-6R3/2-FC", (2, 16, 15), 3).layers
    assert (stem.weight, stem.map, stem.stride) == ((4, 2, 5, 5), (4, 8, 8), 2)
    assert (a.weight, a.map, a.skip) == ((4, 4, 3, 3), (4, 8, 8), None)
    assert (b.skip.source, b.skip.projection, b.skip.window) == (0, None, None)
    assert (c.weight, c.map, c.stride, c.skip) == ((6, 4, 3, 3), (6, 4, 4), 2, None)
    assert (d.skip.source, d.skip.projection, d.skip.window) == (2, (6, 4, 1, 1), (2, 2))
    assert [(layer.stream, layer.branch) for layer in (stem, a, b, c, d)] == [
        (True, False),
        (False, False),
        (False, True),
        (False, False),
        (False, False),
    ]


def test_a_blocks_share_is_measured_in_the_streams_expected_deviation():
    layers = resolve("4C3-4R3-4R3-4R3-8R3/2-8R3-FC", (2, 8, 8), 3).layers
    variances = [
        1 + 0.04,
        1 + 0.08,
        1 + 0.12,
        1 + 0.04,
        1 + 0.08,
    ]  # each block adds 0.2 squared, a projection starts anew
    assert [layer.factor for layer in layers[2::2]] == pytest.approx([0.2 / v**0.5 for v in variances])
    assert [layer.factor for layer in layers[1::2]] == [1] * 5
    before = [1, 1.04, 1.08, 1, 1.04]
    assert [layer.skip.factor for layer in layers[2::2]] == pytest.approx(
        [(old / new) ** 0.5 for old, new in zip(before, variances, strict=True)]
    )
