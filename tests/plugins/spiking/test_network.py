import copy

import pytest
import tiny_problems
import torch
import torch.nn.functional as F
from tiny_problems import terms

from harness import Problem, Unsupported
from harness_bptt import BPTTOptions
from harness_bptt.learner import build as build_bptt
from harness_ottt import OTTTOptions
from harness_ottt.learner import build as build_ottt
from harness_saf import SAFOptions
from harness_saf.learner import build as build_saf
from harness_spiking import lif
from harness_spiking.standardisation import standardise
from harness_spiking.surrogates import SURROGATES
from harness_spiking.weights import effective
from harness_torch.training import inference

DIGITS = Problem("classification", (1, 8, 8), 10, 1000)
LEARNERS = {
    "saf": lambda **options: build_saf(SAFOptions(**options)),
    "ottt": lambda **options: build_ottt(OTTTOptions(**options)),
    "bptt": lambda **options: build_bptt(BPTTOptions(**options)),
}


def training(seed=0, updates=None):
    return terms(updates, "fp32", seed=seed)


def rows(count=8):
    return tiny_problems.rows(DIGITS, count, dtype=torch.float32)


def test_all_methods_start_from_the_same_weights_and_a_seed_decides_them():
    torch.manual_seed(1)
    first, *others = [LEARNERS[name]().init(DIGITS, training(), None).network.parameters for name in LEARNERS]
    torch.manual_seed(2)
    again = LEARNERS["saf"]().init(DIGITS, training(), None).network.parameters
    for parameters in (*others, again):
        assert all(torch.equal(first[name], parameters[name]) for name in first)
    different = LEARNERS["saf"]().init(DIGITS, training(seed=1), None).network.parameters
    assert not torch.equal(first["layers.0.weight"], different["layers.0.weight"])


def test_initial_weights_are_kaiming_normal_and_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    parameters = LEARNERS["saf"](architecture="64C3-64C3-FC").init(DIGITS, training(), None).network.parameters
    assert torch.equal(before, torch.get_rng_state())
    assert parameters["layers.1.weight"].std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    assert parameters["readout.weight"].std().item() == pytest.approx(0.01, rel=0.02)
    assert not parameters["layers.1.bias"].any()
    assert (parameters["layers.1.gain"] == 1).all()


def test_standardised_weights_have_unit_variance_over_their_fan_in():
    weight, gain = torch.randn(5, 4, 3, 3, dtype=torch.float64) + 2, torch.rand(5, dtype=torch.float64)
    found = standardise(weight, gain, 2.0)
    for row, g, expected in zip(found, gain, weight, strict=True):
        spread = (expected.var(unbiased=True) * 36 + 1e-4).sqrt()
        torch.testing.assert_close(row, 2 * g * (expected - expected.mean()) / spread)


def test_output_scale_is_part_of_every_layer_but_the_first():
    network = LEARNERS["saf"]().init(DIGITS, training(), None).network
    maps = effective(network)
    first, second, *_ = maps.layers
    unit = network.neuron.surrogate.scale
    assert (first[0][0].var() * 9).item() == pytest.approx(unit**2, rel=0.01)
    assert (second[0][0].var() * 288).item() == pytest.approx((unit * 2.74) ** 2, rel=0.01)
    assert maps.readout.scale == 2.74
    assert torch.equal(maps.readout.weight, network.parameters["readout.weight"])


@pytest.mark.parametrize("scale", [4.0, 2.5])
def test_sigmoid_surrogate_is_the_derivative_of_a_sigmoid(scale):
    surrogate = SURROGATES["sigmoid"](scale)
    z = torch.linspace(-2, 2, 41, dtype=torch.float64)
    weight = torch.linspace(1, 3, 41, dtype=torch.float64)
    found = scale * surrogate.backward_(weight, surrogate.save_(z * scale))
    s = torch.sigmoid(scale * z)
    torch.testing.assert_close(found, weight * scale * s * (1 - s))
    numeric = (torch.sigmoid(scale * (z + 1e-6)) - torch.sigmoid(scale * (z - 1e-6))) / 2e-6
    torch.testing.assert_close(found, weight * numeric, rtol=1e-7, atol=1e-9)
    assert found[20] == pytest.approx(2 * scale / 4)


@pytest.mark.parametrize("name", LEARNERS)
def test_prediction_is_repeatable_and_leaves_the_training_state_alone(name):
    learner = LEARNERS[name](steps=3)
    state, _ = learner.update(learner.init(DIGITS, training(), None), rows())
    kept = copy.deepcopy((state.network.parameters, state.optimiser.state_dict()))
    first, second = learner.predict(state, rows().inputs), learner.predict(state, rows().inputs)
    assert torch.equal(first.log_probs, second.log_probs)
    assert all(torch.equal(kept[0][key], state.network.parameters[key]) for key in kept[0])
    momentum = state.optimiser.state_dict()["state"]
    assert all(
        torch.equal(kept[1]["state"][key]["momentum_buffer"], momentum[key]["momentum_buffer"]) for key in momentum
    )


def test_prediction_in_chunks_is_prediction_at_once(monkeypatch):
    learner = LEARNERS["saf"](steps=3)
    state = learner.init(DIGITS, training(), None)
    at_once = learner.predict(state, rows(20).inputs).log_probs
    assert at_once.shape == (1, 20, 10)
    assert at_once.exp().sum(-1).allclose(torch.ones(1, 20))
    monkeypatch.setattr(inference, "ELEMENTS", 3 * 64 * 64 * 7)
    torch.testing.assert_close(learner.predict(state, rows(20).inputs).log_probs, at_once)


def test_a_gpu_predicts_more_rows_at_once(monkeypatch):
    class OnGpu(torch.Tensor):
        is_cuda = True

    largest = 3 * 64 * 64
    monkeypatch.setattr(inference, "ELEMENTS", largest * 2)
    monkeypatch.setattr(inference, "ELEMENTS_ON_GPU", largest * 6)
    network = LEARNERS["saf"](steps=3).init(DIGITS, training(), None).network
    for inputs, sizes in (
        (rows(8).inputs, [2, 2, 2, 2]),
        (rows(7).inputs, [2, 2, 2, 1]),
        (rows(7).inputs[:0], [0]),
        (rows(8).inputs.as_subclass(OnGpu), [4, 4]),
    ):
        assert [len(part) for part in lif.chunks(network, inputs)] == sizes


@pytest.mark.parametrize("name", LEARNERS)
def test_learning_lowers_the_loss_and_the_scalar_stays_on_the_device(name):
    learner = LEARNERS[name](steps=3, learning_rate=0.05)
    state = learner.init(DIGITS, training(), None)
    losses = [learner.update(state, rows())[1]["loss"] for _ in range(15)]
    assert isinstance(losses[0], torch.Tensor)
    assert losses[-1] < losses[0] / 2


def test_learning_rate_follows_a_cosine_to_zero():
    learner = LEARNERS["saf"](steps=1, learning_rate=0.1, architecture="4C3-FC")
    state, seen = learner.init(DIGITS, training(updates=4), None), []
    for _ in range(4):
        learner.update(state, rows())
        seen.append(state.optimiser.param_groups[0]["lr"])
    assert seen == pytest.approx([0.1, 0.1 * (2 + 2**0.5) / 4, 0.05, 0.1 * (2 - 2**0.5) / 4])


def test_learning_rate_is_constant_without_a_planned_number_of_updates():
    learner = LEARNERS["saf"](steps=1, learning_rate=0.1, architecture="4C3-FC")
    state = learner.init(DIGITS, training(), None)
    for _ in range(3):
        learner.update(state, rows())
    assert state.optimiser.param_groups[0]["lr"] == 0.1


def test_vgg_11_has_the_published_number_of_parameters():
    learner = LEARNERS["saf"]()
    state = learner.init(Problem("classification", (3, 32, 32), 10, 50000), training(), None)
    facts = learner.describe(state)
    assert facts["parameters"] == 9_228_362
    assert facts["neurons"] == 409_600
    assert facts["steps"] == 6


def test_saved_arrays_are_the_parameters_by_name():
    learner = LEARNERS["ottt"](architecture="4C3-FC")
    saved = learner.save(learner.init(DIGITS, training(), None))
    assert list(saved) == ["layers.0.weight", "layers.0.bias", "layers.0.gain", "readout.weight", "readout.bias"]
    assert all(tensor.is_contiguous() and not tensor.requires_grad for tensor in saved.values())


def test_loss_mixes_cross_entropy_and_squared_error():
    learner = LEARNERS["bptt"](steps=1, loss_lambda=0.3, architecture="4C3-FC", learning_rate=0.1)
    state, batch = learner.init(DIGITS, training(), None), rows()
    with torch.no_grad():
        logits = lif.run(state.network, effective(state.network), state.network.frames(batch.inputs))[0]
    one_hot = F.one_hot(batch.targets, 10).float()
    expected = 0.7 * F.cross_entropy(logits, batch.targets) + 0.3 * F.mse_loss(logits, one_hot)
    torch.testing.assert_close(learner.update(state, batch)[1]["loss"], expected)


@pytest.mark.parametrize(
    ("problem", "options", "reason"),
    [
        (Problem("regression", (4,), 1, 10), {}, "classification, not regression"),
        (Problem("classification", (8, 8), 10, 10), {}, r"\(8, 8\)"),
        (Problem("classification", (5, 1, 8, 8), 10, 10, time_axis=True), {"steps": 4}, "5 frames"),
        (Problem("classification", (4,), 10, 10), {"architecture": "8C3-FC"}, "8C3 needs a map"),
    ],
)
def test_problems_that_it_cannot_take_are_named(problem, options, reason):
    with pytest.raises(Unsupported, match=reason):
        LEARNERS["saf"](**options).init(problem, training(), None)


def test_steps_come_from_the_data_where_time_is_an_axis():
    learner = LEARNERS["saf"]()
    state = learner.init(Problem("classification", (5, 1, 8, 8), 10, 10, time_axis=True), training(), None)
    assert learner.describe(state)["steps"] == 5


@pytest.mark.parametrize("name", LEARNERS)
def test_a_record_says_what_options_left_to_a_default_come_to(name):
    def told(**options):
        learner = LEARNERS[name](**options)
        facts = learner.describe(learner.init(DIGITS, training(), None))
        return {key: facts[key] for key in ("optimiser", "learning_rate", "loss_lambda", "dropout")}

    assert told() == {"optimiser": "sgd", "learning_rate": 0.1, "loss_lambda": 0.05, "dropout": 0.0}
    assert told(optimiser="adam")["learning_rate"] == 1e-3
    given = {"optimiser": "sgd", "learning_rate": 0.02, "loss_lambda": 0.0, "dropout": 0.25}
    assert told(**given) == given
