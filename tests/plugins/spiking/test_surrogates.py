"""The surrogate derivatives: closed forms, antiderivatives, and what they make of every method's gradient."""

import math

import pytest
import torch
from spiking_methods import METHODS, assert_as_written, prepared
from spiking_setups import batch, step_gradients

from harness import Unsupported, UsageError
from harness_saf import SAFOptions
from harness_spiking import reference
from harness_spiking.config import SCALES
from harness_spiking.surrogates import SURROGATES

# With z = u - V_th and a scale k: the derivative phi(z), and an antiderivative of it.
CLOSED = {
    "sigmoid": lambda z, k: k * torch.exp(-k * z) / (1 + torch.exp(-k * z)) ** 2,
    "rectangle": lambda z, k: k * (z.abs() <= 1 / k).to(z),
    "triangle": lambda z, k: k * torch.maximum(torch.zeros_like(z), 1 - k * z.abs()),
    "arctan": lambda z, k: k / (2 * (1 + (math.pi * k * z / 2) ** 2)),
}
AREAS = {
    "sigmoid": lambda z, k: 1 / (1 + torch.exp(-k * z)),
    "rectangle": lambda z, k: (k * z).clamp(-1, 1),
    "triangle": lambda z, k: (k * z).clamp(-1, 1) - (k * z).clamp(-1, 1) * (k * z).clamp(-1, 1).abs() / 2,
    "arctan": lambda z, k: torch.atan(math.pi * k * z / 2) / math.pi,
}
DEFAULTS = {"sigmoid": 4.0, "rectangle": 1.0, "triangle": 1.0, "arctan": 2.0}
AREA = {"sigmoid": 1.0, "rectangle": 2.0, "triangle": 1.0, "arctan": 1.0}
SCALES_HERE = [0.5, 1.0, 2.5, 4.0]


def derivative(name, z, scale, gradient=None):
    """phi(z) as the library computes it, times a gradient."""
    shape = SURROGATES[name](scale)
    into = torch.ones_like(z) if gradient is None else gradient
    return scale * shape.backward_(into, shape.save_(z * scale))


@pytest.mark.parametrize("scale", SCALES_HERE)
@pytest.mark.parametrize("name", SURROGATES)
def test_each_is_its_closed_form_and_multiplies_the_gradient(name, scale):
    z = torch.linspace(-3, 3, 240, dtype=torch.float64)
    gradient = torch.linspace(-2, 5, 240, dtype=torch.float64)
    torch.testing.assert_close(derivative(name, z, scale, gradient), gradient * CLOSED[name](z, scale))


@pytest.mark.parametrize("scale", SCALES_HERE)
@pytest.mark.parametrize("name", SURROGATES)
def test_each_is_the_derivative_of_its_area(name, scale):
    z = torch.linspace(-3, 3, 240, dtype=torch.float64)
    z = z[(z.abs() - 1 / scale).abs() > 1e-3]  # where rectangle and triangle have their edges
    numeric = (AREAS[name](z + 1e-6, scale) - AREAS[name](z - 1e-6, scale)) / 2e-6
    torch.testing.assert_close(derivative(name, z, scale), numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", SURROGATES)
def test_the_area_under_each_is_the_same_at_every_scale(name):
    for scale in SCALES_HERE:
        z = torch.linspace(-200, 200, 400_001, dtype=torch.float64) / scale
        area = torch.trapezoid(derivative(name, z, scale), z).item()
        assert area == pytest.approx(AREA[name], rel=3e-3)  # the arctan's tails reach far


@pytest.mark.parametrize("name", SURROGATES)
def test_save_and_backward_overwrite_what_they_are_given(name):
    shape, x = SURROGATES[name](1.0), torch.randn(7, dtype=torch.float64)
    saved = shape.save_(x)
    assert saved.data_ptr() == x.data_ptr()
    assert shape.backward_(torch.ones_like(x), saved).data_ptr() == x.data_ptr()


@pytest.mark.parametrize("name", SURROGATES)
def test_a_gradient_of_one_number_broadcasts(name):
    z = torch.linspace(-2, 2, 9, dtype=torch.float64)
    torch.testing.assert_close(derivative(name, z, 2.0, z.new_full((), 3.0)), 3 * CLOSED[name](z, 2.0))


@pytest.mark.parametrize("name", SURROGATES)
def test_the_default_scale_is_the_papers(name):
    assert SAFOptions(surrogate=name).scale == SCALES[name] == DEFAULTS[name]
    assert SAFOptions(surrogate=name, surrogate_scale=3.0).scale == 3.0


@pytest.mark.parametrize("scale", [None, 2.5])
@pytest.mark.parametrize("name", [name for name in SURROGATES if name != "sigmoid"])
@pytest.mark.parametrize("method", METHODS)
def test_gradients_of_every_method_are_its_references_with_that_surrogate(method, name, scale):
    assert_as_written(method, surrogate=name, surrogate_scale=scale)


@pytest.mark.parametrize("method", METHODS)
def test_a_sigmoid_of_another_scale_and_threshold(method):
    assert_as_written(method, surrogate_scale=1.5, threshold=0.7)


@pytest.mark.parametrize("detach_reset", [True, False])
@pytest.mark.parametrize("name", SURROGATES)
def test_bptt_through_the_reset_with_every_surrogate(name, detach_reset):
    assert_as_written("bptt", surrogate=name, detach_reset=detach_reset)


@pytest.mark.parametrize("scale", SCALES_HERE)
@pytest.mark.parametrize("name", SURROGATES)
def test_the_references_derivative_is_that_of_the_area_too(name, scale):
    z = torch.linspace(-3, 3, 240, dtype=torch.float64)
    z = z[(z.abs() - 1 / scale).abs() > 1e-3]
    numeric = (AREAS[name](z + 1e-6, scale) - AREAS[name](z - 1e-6, scale)) / 2e-6
    torch.testing.assert_close(reference.derivative(name, z, scale), numeric, rtol=1e-6, atol=1e-8)


def test_a_surrogate_that_the_reference_does_not_know_is_refused_in_words():
    with pytest.raises(Unsupported, match=r"surrogate=parabola: the reference knows sigmoid, .*arctan; use one"):
        reference.derivative("parabola", torch.zeros(1), 1.0)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", SURROGATES)
def test_no_surrogate_makes_a_gradient_that_is_not_finite(name, precision):
    learner, state = prepared("bptt", precision=precision, surrogate=name)
    (found,) = step_gradients(learner, state, batch("conv", dtype=torch.float32))
    assert all(tensor.isfinite().all() for tensor in found.values())


def test_clamp_belongs_to_the_final_variant():
    assert SAFOptions(surrogate="clamp", variant="final").scale == 1.0
    with pytest.raises(UsageError, match="surrogate=clamp is the derivative of the rates at the end; it needs variant"):
        SAFOptions(surrogate="clamp")
