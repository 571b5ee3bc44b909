"""Transforms on the device: normalisation by hand, augmentation against a slow loop over rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness_data.augment import Augment, Draws, Normalise

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
CIFAR = Normalise(MEAN, STD)
FULL = Augment(CIFAR, 4, flip=True, cutout=True)


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=shape, dtype=np.uint8)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def reference(images: np.ndarray, draws: Draws, padding: int) -> np.ndarray:
    """Bytes (B, ..., C, H, W), image by image and in the order of the published code: pad, crop, cut out, flip."""
    height, width = images.shape[-2:]
    out = np.empty_like(images)
    for number, image in enumerate(images):
        down, right, flip, top, left, tall, wide, value = (each[number].item() for each in draws)
        padded = np.zeros((*image.shape[:-2], height + 2 * padding, width + 2 * padding), np.uint8)
        padded[..., padding : padding + height, padding : padding + width] = image
        y, x = padding + down, padding + right
        window = padded[..., y : y + height, x : x + width].copy()
        window[..., top : top + tall, left : left + wide] = value
        out[number] = window[..., ::-1] if flip else window
    return out


def test_normalisation_by_hand():
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).expand(2, 1, 3)[:, :, :, None].permute(0, 2, 1, 3)
    found = CIFAR(images)  # (2, 3, 1, 1): the channels are 0, 51 and 255
    assert found.dtype == torch.float32
    expected = [(0 - 0.4914) / 0.2023, (0.2 - 0.4822) / 0.1994, (1 - 0.4465) / 0.2010]
    assert found[1, :, 0, 0].tolist() == pytest.approx(expected, rel=1e-6)
    frames = CIFAR(images[:, None].expand(2, 4, 3, 1, 1))  # with time
    assert torch.equal(frames[1, 2], found[1])


@pytest.mark.parametrize(
    ("augment", "shape"),
    [
        (FULL, (64, 3, 32, 32)),
        (Augment(CIFAR, 4), (16, 3, 32, 32)),
        (Augment(CIFAR, 0, flip=True), (16, 3, 32, 32)),
        (Augment(CIFAR, 2, flip=True, cutout=True), (16, 3, 9, 13)),
        (Augment(Normalise((0.2728, 0.1295), (0.2225, 0.1290)), 4), (16, 5, 2, 48, 48)),
        (FULL, (16, 5, 3, 12, 12)),
    ],
)
def test_as_a_loop_over_rows_would(augment, shape):
    images = pixels(*shape)
    inputs = augment.normalise(torch.from_numpy(images))
    draws = augment.draw(inputs, generator())
    found = augment.apply(inputs, draws)
    assert (found.shape, found.dtype) == (inputs.shape, torch.float32)
    expected = augment.normalise(torch.from_numpy(reference(images, draws, augment.padding)))
    # The grey that is cut out is normalised in another order of operations.
    assert torch.allclose(found, expected, rtol=0, atol=1e-6)
    assert not torch.equal(found, inputs)


def test_the_same_generator_gives_the_same_images_and_another_one_others():
    inputs = CIFAR(torch.from_numpy(pixels(8, 3, 32, 32)))
    first, same, other = FULL(inputs, generator(1)), FULL(inputs, generator(1)), FULL(inputs, generator(2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(inputs, CIFAR(torch.from_numpy(pixels(8, 3, 32, 32))))  # not changed in place


def test_nothing_waits_for_the_host():
    """Tensors without values: whatever asked for one would raise."""
    inputs = torch.empty(8, 3, 32, 32, device="meta")
    assert FULL(inputs, None).shape == inputs.shape
    assert CIFAR(torch.empty(8, 3, 32, 32, dtype=torch.uint8, device="meta")).dtype == torch.float32


@pytest.fixture(scope="module")
def many() -> Draws:
    return FULL.draw(torch.empty(100_000, 1, 32, 32), generator())


def test_windows_and_flips_are_all_as_likely(many):
    for moved in (many.down, many.right):
        shares = torch.bincount(moved + 4, minlength=9) / len(moved)
        assert len(shares) == 9
        assert shares.numpy() == pytest.approx(np.full(9, 1 / 9), abs=0.005)
    assert many.flip.float().mean().item() == pytest.approx(0.5, abs=0.01)
    # No two draws go together.
    table = np.corrcoef(torch.stack([each.double() for each in (many.down, many.right, many.flip, many.value)]).numpy())
    assert np.abs(table - np.eye(4)).max() < 0.02


def test_cutout_is_that_of_the_published_code(many):
    cut = many.height > 0
    assert cut.float().mean().item() == pytest.approx(0.5, abs=0.01)
    tall, wide = many.height[cut], many.width[cut]
    area = (tall * wide).double() / 32**2
    assert area.max() <= 0.4
    # Uniform from 2 % to 40 % before both sides are rounded down, by half a pixel each in the mean.
    assert area.mean().item() == pytest.approx(0.21 - (tall + wide).double().mean().item() / 2 / 32**2, abs=0.005)
    ratio = tall.double() / wide
    assert ratio[area > 0.3].mean().item() == pytest.approx(1.45, abs=0.05)  # the mean of 0.4 to 2.5
    assert ((many.top >= 0) & (many.top + many.height <= 32)).all()
    assert ((many.left >= 0) & (many.left + many.width <= 32)).all()
    large = tall > 20
    assert many.top[cut][large].min() == 0
    assert (many.top + many.height)[cut][large].max() == 32
    assert many.value.float().mean().item() == pytest.approx(127.5, abs=1)
    assert (many.value.min(), many.value.max()) == (0, 255)


def test_what_is_switched_off_does_not_happen():
    draws = Augment(CIFAR, 0).draw(torch.empty(1000, 1, 32, 32), generator())
    assert not any(each.any() for each in (draws.down, draws.right, draws.flip, draws.height))
    inputs = CIFAR(torch.from_numpy(pixels(8, 3, 32, 32)))
    assert torch.equal(Augment(CIFAR, 0)(inputs, generator()), inputs)


@pytest.mark.gpu
def test_on_a_gpu_nothing_waits_either():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")
    images = pixels(32, 3, 32, 32)
    inputs = CIFAR(torch.from_numpy(images).cuda())
    random = torch.Generator("cuda").manual_seed(0)
    FULL(inputs, random)  # the constants are made once
    torch.cuda.set_sync_debug_mode("error")
    try:
        draws = FULL.draw(inputs, random)
        found = FULL.apply(inputs, draws)
        FULL(inputs, random)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = CIFAR(torch.from_numpy(reference(images, Draws(*(each.cpu() for each in draws)), 4)))
    assert torch.allclose(found.cpu(), expected, rtol=0, atol=1e-5)
