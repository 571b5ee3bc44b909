"""Facts for records, saved arrays, and types and layouts of parameters."""

import pytest
import torch
from tiny_learner import CLASSES, FEATURES, PROBLEM, started

from harness import Training, Unsupported
from harness_torch.training import facts, layout, precision


def test_a_record_names_size_optimiser_and_rate():
    learner, state = started(optimiser="adam", weight_decay=0.1)
    assert learner.describe(state) == {
        "parameters": 7 * FEATURES + 7 * CLASSES,
        "captured": False,
        "optimiser": "adamw",
        "learning_rate": 0.001,
    }
    assert started()[0].describe(started()[1])["optimiser"] == "sgd"


def test_numbers_and_bytes_are_counted_by_type():
    tensors = [torch.zeros(3, 5), torch.zeros(4, dtype=torch.float64), torch.zeros(6, dtype=torch.int16)]
    assert facts.numbers(tensors) == 15 + 4 + 6
    assert facts.size_in_bytes(tensors) == 60 + 32 + 12


def test_what_is_saved_starts_another_learner_where_this_one_is():
    learner, state = started()
    saved = learner.save(state)
    assert all(not tensor.requires_grad for tensor in saved.values())
    copied = {name: tensor.clone() for name, tensor in saved.items()}
    other = learner.init(PROBLEM, Training(9, "cpu", "fp64", 12, None), copied)
    assert all(torch.equal(other.parameters[name], tensor) for name, tensor in saved.items())
    assert all(tensor.requires_grad and tensor.is_leaf for tensor in other.parameters.values())


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("fp32", (torch.float32, torch.float32)),
        ("tf32", (torch.float32, torch.float32)),
        ("bf16", (torch.float32, torch.bfloat16)),
        ("fp64", (torch.float64, torch.float64)),
    ],
)
def test_a_precision_is_two_types(name, types):
    assert precision.types(name) == types


def test_an_unknown_precision_is_refused_in_the_familys_words():
    with pytest.raises(Unsupported, match=r"^tiny networks compute in fp32, tf32, bf16, fp64, not int8$"):
        precision.types("int8", "tiny networks")


@pytest.mark.parametrize("shape", [(4, 3, 5, 6), (4, 1, 5, 6), (1, 1, 1, 1)])
def test_maps_lie_with_their_channels_last(shape):
    _, channels, height, width = shape
    strides = (channels * height * width, 1, width * channels, channels)
    values = torch.randn(shape)
    found = layout.channels_last(values)
    assert torch.equal(found, values)
    assert found.stride()[1:] == strides[1:]
    assert layout.empty(shape, values, torch.float64).is_contiguous(memory_format=torch.channels_last)


def test_each_lane_of_maps_lies_with_its_channels_last():
    values = torch.randn(2, 4, 3, 5, 6)
    for found in (layout.channels_last(values), layout.empty((2, 4, 3, 5, 6), values).copy_(values)):
        assert torch.equal(found, values)
        assert all(lane.is_contiguous(memory_format=torch.channels_last) for lane in found)


def test_other_tensors_are_contiguous():
    assert layout.channels_last(torch.randn(3, 4).T).is_contiguous()
    assert layout.empty((3, 4), torch.ones(1, dtype=torch.float64)).dtype == torch.float64


def test_leaves_are_laid_out_typed_and_collect_gradients():
    named = {"kernel": torch.randn(4, 3, 2, 2), "bias": torch.zeros(4)}
    found = layout.leaves(named, "cpu", torch.float64)
    assert list(found) == list(named)
    for name, tensor in found.items():
        assert tensor.is_leaf
        assert tensor.requires_grad
        assert tensor.dtype == torch.float64
        torch.testing.assert_close(tensor.detach(), named[name].double(), rtol=0, atol=0)
    assert found["kernel"].is_contiguous(memory_format=torch.channels_last)
