"""`harness agree`: what it says of methods that agree, of those that do not, and of mistakes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import partial

import agreeing
import pytest
import torch
from spiking_setups import (
    NETWORKS,
    batch,
    lif_of,
    of_reference,
    parameters_of,
    problem,
    rates_of,
    start,
    step_gradients,
)
from tiny_problems import largest_difference

from harness_bptt import BPTTOptions
from harness_bptt.learner import build as build_bptt
from harness_ottt import OTTTOptions
from harness_ottt.learner import build as build_ottt
from harness_saf import SAFOptions
from harness_saf.learner import build as build_saf
from harness_spiking.agree import SPIKES
from harness_torch.agreement import comparison
from harness_torch.agreement.comparison import Observed

# A pair that disagrees on purpose, a method without spikes, and data with room for few neurons.
PLUGIN = """
    from dataclasses import dataclass, replace
    import numpy as np
    import torch
    from harness import *
    from harness_ottt import OTTTOptions
    from harness_ottt.learner import OTTT
    from harness_saf import SAFOptions
    from harness_saf.learner import SAF

    class Double(OTTT):
        "Twice the gradient of the readout's bias, and nothing else."

        def init(self, problem, training, base):
            state = super().init(problem, training, base)
            state.network.parameters["readout.bias"].register_hook(lambda gradient: 2 * gradient)
            return state

    class Deaf(SAF):
        "Fires at a lower threshold than its network says."

        def update(self, state, batch):
            neuron = state.network.neuron
            low = state.network._replace(neuron=neuron._replace(threshold=0.8 * neuron.threshold))
            _, scalars = super().update(replace(state, network=low), batch)
            return state, scalars

    class Endless(OTTT):
        def init(self, problem, training, base):
            state = super().init(problem, training, base)
            state.network.parameters["layers.0.bias"].register_hook(lambda gradient: gradient / 0)
            return state

    class Own(OTTT):
        "Initial weights of its own."

        def init(self, problem, training, base):
            return super().init(problem, replace(training, seed=training.seed + 1), base)

    class Single(OTTT):
        def init(self, problem, training, base):
            if training.precision == "fp64":
                raise Unsupported("single precision only")
            return super().init(problem, training, base)

    class Linear:
        def __init__(self, config):
            pass

        def init(self, problem, training, base):
            return {}

    @dataclass(frozen=True)
    class Small(OTTTOptions):
        architecture: str | None = "7-6-FC"

    @dataclass(frozen=True)
    class SmallSAF(SAFOptions):
        architecture: str | None = "7-6-FC"

    def load(config, seed, folder):
        rng = np.random.default_rng(seed)
        split = Batch(rng.normal(size=(40, 8)).astype(np.float32) * 2, rng.integers(0, 3, 40))
        return Data(Problem("classification", (8,), 3, 40), split, split, split)

    @hookimpl
    def harness_methods():
        for name, learner in {"mine": OTTT, "double": Double, "endless": Endless, "own": Own, "single": Single}.items():
            yield Method(name, "x", learner, ("classification",), config=Small)
        yield Method("deaf", "x", Deaf, ("classification",), config=SmallSAF)
        yield Method("accumulating", "x", SAF, ("classification",), config=SmallSAF)
        yield Method("linear", "x", Linear, ("classification",))
        yield Method("after", "x", OTTT, ("classification",), config=Small, starts_from="mine")

    @hookimpl
    def harness_datasets():
        recipe = Recipe(Budget("updates", 5), 10)
        yield Dataset("eight", "x", "classification", load, recipe=recipe, default=True)
    """


@pytest.fixture
def harness(tmp_path, monkeypatch, capfd):
    return agreeing.command(PLUGIN, tmp_path, monkeypatch, capfd, "saf", "ottt", "bptt", "spike-representation")


@pytest.fixture
def told(harness):
    """The JSON answer."""
    return partial(agreeing.as_json, harness)


LAYERS = ("layers.0", "layers.1", "readout")


def test_methods_that_agree_agree_in_both_precisions(told):
    said = told("accumulating", "mine")
    assert list(said)[-2:] == ["float64", "float32"]
    assert said["methods"] == ["accumulating", "mine"]
    assert (said["dataset"], said["batch_size"], said["seed"], said["device"]) == ("eight", 10, 0, "cpu")
    assert said["losses"][0] == pytest.approx(said["losses"][1], rel=1e-12)
    for precision, tolerance in (("float64", 1e-12), ("float32", 1e-5)):
        found = said[precision]
        assert set(found) == {"max_relative_difference", "spike_mismatch", "layers"}
        assert tuple(found["layers"]) == LAYERS
        assert found["max_relative_difference"] < tolerance
        assert found["max_relative_difference"] == max(
            layer["relative_difference"] for layer in found["layers"].values()
        )
        for layer in found["layers"].values():
            assert set(layer) == {"relative_difference", "cosine", "spike_mismatch"}
            assert layer["cosine"] == pytest.approx(1, abs=1e-6)
    assert said["float64"]["spike_mismatch"] == 0
    assert [layer["spike_mismatch"] for layer in said["float64"]["layers"].values()] == [0, 0, None]
    assert said["float32"]["max_relative_difference"] > said["float64"]["max_relative_difference"]


def test_a_gradient_that_is_wrong_is_found_where_it_is_wrong(told):
    said = told("double", "mine")["float64"]
    assert said["layers"]["readout"]["relative_difference"] == pytest.approx(1)
    assert said["layers"]["readout"]["cosine"] == pytest.approx(1)
    assert said["max_relative_difference"] == pytest.approx(1)
    assert [said["layers"][name]["relative_difference"] for name in LAYERS[:2]] == [0, 0]
    assert said["spike_mismatch"] == 0
    # The reference is the second one.
    assert told("mine", "double")["float64"]["max_relative_difference"] == pytest.approx(0.5)


def test_neurons_that_fire_otherwise_are_counted_by_layer(told):
    said = told("deaf", "mine")["float64"]
    shares = [said["layers"][name]["spike_mismatch"] for name in LAYERS[:2]]
    assert all(0.01 < share < 0.5 for share in shares)
    assert said["spike_mismatch"] == pytest.approx((7 * shares[0] + 6 * shares[1]) / 13)
    assert said["max_relative_difference"] > 0.01


def test_weights_are_the_same_even_where_a_method_starts_otherwise(told):
    assert told("own", "mine")["float64"]["max_relative_difference"] == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("accumulating[update=online]", "mine[update=online]"),
        ("mine[update=online,learning_rate=10,weight_decay=1]", "mine"),  # frozen weights: the rate does not matter
        ("accumulating[micro_batch=3]", "mine[micro_batch=10]"),
        ("accumulating[chunk=4]", "mine[forward=fused,chunk=3]"),
        ("accumulating[optimiser=adam,update=online]", "mine"),
        ("accumulating[variant=final,surrogate=clamp]", "spike-representation[architecture=7-6-FC]"),
        (
            "accumulating[leak=0.9,threshold=0.7,steps=12,dropout=0.3]",
            "mine[leak=0.9,threshold=0.7,steps=12,dropout=0.3]",
        ),
    ],
)
def test_how_the_work_is_cut_makes_no_difference(told, one, other):
    said = told(one, other)["float64"]
    assert said["max_relative_difference"] < 1e-12
    assert said["spike_mismatch"] == 0


def test_with_a_step_per_time_step_methods_of_equal_gradients_part_in_training(told):
    """In proportion to the learning rate, as what changes within a mini-batch does."""
    apart = {}
    for rate in ("1e-4", "1e-5"):
        said = told(*(f"{name}[update=online,learning_rate={rate}]" for name in ("accumulating", "mine")))
        assert said["float64"]["max_relative_difference"] < 1e-12
        apart[rate] = said["one_online_update"]
    assert apart["1e-4"]["apart_over_way"] == pytest.approx(10 * apart["1e-5"]["apart_over_way"], rel=0.05)
    assert 0 < apart["1e-4"]["apart_over_weights"] < 1e-3 * apart["1e-4"]["apart_over_way"]
    same = told("mine[update=online]", "mine[update=online,forward=fused]")["one_online_update"]
    assert same["apart_over_way"] < 1e-12


@pytest.mark.parametrize(("one", "other"), [("accumulating", "mine[update=online]"), ("accumulating", "mine")])
def test_nothing_is_said_of_it_where_not_both_take_such_steps(told, harness, one, other):
    assert "one_online_update" not in told(one, other)
    assert "update=online: above" not in harness(one, other)[1]


def test_weights_that_went_nowhere_finite_are_said_to_be_so(told, harness):
    pair = [f"{name}[update=online,learning_rate=1e300]" for name in ("accumulating", "mine")]
    assert told(*pair)["one_online_update"]["apart_over_way"] is None
    assert "the two methods' weights is not finite" in " ".join(harness(*pair)[1].split())


def test_the_seed_and_the_batch_decide_what_is_compared(told):
    losses = {tuple(told("mine", "mine", *more)["losses"]) for more in ([], ["--seed", "1"], ["--batch-size", "3"])}
    assert len(losses) == 3


def test_the_batch_is_said_to_be_as_large_as_it_is(told, harness):
    assert told("mine", "mine", "--batch-size", "1000")["batch_size"] == 40  # all the rows that there are
    assert "batch 40, cpu" in harness("mine", "mine", "--batch-size", "1000")[1]
    assert told("mine", "mine", "--batch-size", "3")["batch_size"] == 3


# --- a method and its reference -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method",
    [
        "accumulating[chunk=4,convention=theory,dropout=0.2]",
        "accumulating[variant=final]",
        "accumulating[variant=final,surrogate=clamp,threshold=0.7]",
        "accumulating[update=online]",
        "mine[forward=fused,surrogate=arctan,micro_batch=3]",
        "mine[presynaptic=spike]",
        "bptt[architecture=7-6-FC,reset=hard,recompute=2]",
        "bptt[architecture=7-6-FC,detach_reset=no]",
        "spike-representation[architecture=7-6-FC,leak=0.9]",
        "spike-representation[architecture=7-6-FC,form=dsr]",
        "spike-representation[architecture=7-6-FC,form=dsr,neuron=if,threshold=1]",
    ],
)
def test_every_method_is_its_reference(told, method):
    said = told(method, "--reference")
    assert said["methods"][1] == "its reference"
    assert said["float64"]["max_relative_difference"] < 1e-12
    assert said["float64"]["spike_mismatch"] == 0
    assert 1e-9 < said["float32"]["max_relative_difference"] < 1e-4
    assert said["losses"][0] == pytest.approx(said["losses"][1], rel=1e-12)


def test_a_method_that_is_not_is_found_where_it_is_wrong(told):
    said = told("deaf", "--reference")["float64"]
    assert said["layers"]["layers.0"]["relative_difference"] > 0.01
    assert 0.01 < said["layers"]["layers.0"]["spike_mismatch"] < 0.5


def test_online_updates_of_weights_that_move_are_the_references_too(told):
    said = told("accumulating[update=online,learning_rate=0.5]", "--reference")
    assert said["one_online_update"]["apart_over_way"] < 1e-10


def test_bits_for_gradients_are_told_from_exact_ones(told):
    """saved=packed approximates, and the reference does not."""
    said = told("bptt[architecture=7-6-FC,saved=packed]", "--reference")["float64"]
    assert 1e-6 < said["max_relative_difference"] < 0.1


def test_the_text_says_what_the_reference_computes_in(harness):
    code, out, err = harness("accumulating", "--reference")
    assert (code, err) == (0, "")
    assert out.startswith("accumulating against its reference on eight  seed 0, batch 10, cpu, 1 thread\n")
    assert "over the largest of its reference's" in " ".join(out.split())
    assert "The reference computes in float64 in both" in " ".join(out.split())


# --- text ---------------------------------------------------------------------------------------------------------


def test_the_text_is_a_table_with_what_it_means(harness, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = harness("accumulating", "mine")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[0] == "accumulating against mine on eight  seed 0, batch 10, cpu, 1 thread"
    heads = " ".join(lines[2:4]).split()
    assert heads == ["float64", "float32", "layer", *["difference", "cosine", "spikes"] * 2]
    rows = [line.split() for line in lines[5:10] if line]
    assert [row[0] for row in rows] == [*LAYERS, "all"]
    assert [len(row) for row in rows] == [7, 7, 5, 5]  # a readout has no neurons, and cosines have no sum
    words = out.replace("\n", " ")
    assert "over the largest of mine's" in words
    assert "within rounding of the threshold" in words
    assert "losses" not in out


def test_online_updates_are_said_to_part_beside_a_table_of_equal_gradients(harness):
    code, out, _ = harness("accumulating[update=online]", "mine[update=online]")
    assert code == 0
    words = " ".join(out.split())
    assert "a trace counts past spikes by the weights of now, a potential by those of their time" in words
    assert re.search(r"weights is 0\.\d+ of the way that mine\[update=online\]'s went, 0\.0\d+ of their size", words)


def test_methods_with_different_losses_are_said_to_have_them(harness):
    code, out, _ = harness("accumulating[variant=final]", "mine")
    assert code == 0
    words = " ".join(out.split())
    assert "losses: " in words
    assert "different functions, such as one at every step and one at the end" in words


def test_the_answer_goes_where_it_is_told(harness, tmp_path):
    for form in ("text", "json"):
        code, out, err = harness("accumulating", "mine", "--format", form, "--output", f"answer.{form}")
        assert (code, out, err) == (0, "", "")
    assert "accumulating against mine" in (tmp_path / "answer.text").read_text()
    assert json.loads((tmp_path / "answer.json").read_text())["methods"] == ["accumulating", "mine"]


# --- mistakes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mine"], ["Missing argument 'METHOD'", "--reference"]),
        (["mine", "own", "--reference"], ["compares mine with its own reference; leave out own"]),
        (
            ["linear", "--reference"],
            ["linear: no reference", "have one: accumulating, ", "bptt", "deaf", "mine", "ottt", "saf"],
        ),
        (["mine", "mnie"], ["'mnie'", "did you mean 'mine'"]),
        (["mine", "mine[steps=[2,3]]"], ["one method", "mine[steps=2]", "mine[steps=3]"]),
        (["mine,own", "mine"], ["one method"]),
        (["mine", "mine", "--datasets", "nine"], ["'nine'"]),
        (["mine", "mine", "--format", "xml"], ["--format xml", "text, json"]),
        (["mine", "mine", "--output", "nowhere/x.json"], ["--output nowhere/x.json"]),
        (["mine[steps=2]", "mine[steps=3]"], ["train different networks: steps 2 and 3"]),
        (["mine", "mine[architecture=5-FC]"], ["different networks: architecture 7-6-FC and 5-FC"]),
        (["mine[threshold=2]", "mine"], ["different networks: threshold 2.0 and 1.0"]),
        (["mine", "mine[leak=0.9]"], ["different networks: leak 0.5 and 0.9"]),
        (["mine", "mine[dropout=0.1]"], ["different networks: dropout 0.0 and 0.1"]),
        (["spike-representation[form=dsr,architecture=7-6-FC]", "mine"], ["different networks: neuron {", "and lif"]),
        (["bptt[reset=hard,architecture=7-6-FC]", "mine"], ["different networks: reset hard and soft"]),
        (["mine", "mine[architecture=8C3-FC]"], ["8C3 needs a map"]),
        (["linear", "mine"], ["linear: tells no gradients", "`parameters`", "`optimiser`"]),
        (["mine", "after"], ["after: starts from another method's weights"]),
        (["mine", "single"], ["single on eight: single precision only"]),
    ],
)
def test_a_mistake_is_said_in_a_line(harness, tmp_path, arguments, words):
    code, out, err = harness(*arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) <= 2
    assert all(word in err for word in words)
    assert [path.name for path in tmp_path.iterdir() if path.suffix not in (".py", "")] == []


def test_a_gradient_that_is_not_finite_is_named(harness):
    code, out, err = harness("endless", "mine")
    assert (code, out) == (1, "")
    assert "endless: in fp64, the gradient of layers.0.bias is not finite" in err


def test_the_command_is_listed_without_torch():
    listing = "import sys; from harness.cli import main; main(['--help']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "agree" in done.stdout


# --- what is observed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("update", ["accumulated", "online"])
def test_what_is_observed_is_the_gradient_and_weights_stay(update):
    learner = build_ottt(OTTTOptions(architecture=NETWORKS["conv"][0], update=update, learning_rate=0.1))
    state, rows = start(learner, problem("conv")), batch("conv")
    before = parameters_of(state)
    seen = comparison.observe(learner.update, state, rows)
    assert largest_difference(dict(state.network.parameters), before) == 0
    steps = step_gradients(of_reference(build_ottt(OTTTOptions(architecture=NETWORKS["conv"][0]))), state, rows)
    assert seen.steps == {"accumulated": 1, "online": 6}[update]
    expected = {name: sum(each[name] for each in steps) for name in before}
    assert largest_difference(dict(seen.gradients), expected) < 1e-12


BUILDERS = {
    "saf": lambda options: build_saf(SAFOptions(**options)),
    "saf-final": lambda options: build_saf(SAFOptions(**options, variant="final")),
    "ottt": lambda options: build_ottt(OTTTOptions(**options)),
    "bptt": lambda options: build_bptt(BPTTOptions(**options)),
}


@pytest.mark.parametrize("micro_batch", [None, 4])
@pytest.mark.parametrize("name", BUILDERS)
def test_spikes_are_those_of_the_lif_network_by_layer(name, micro_batch):
    learner = BUILDERS[name]({"architecture": NETWORKS["conv"][0], "micro_batch": micro_batch})
    state, rows = start(learner, problem("conv")), batch("conv")
    expected, _ = lif_of(state, rows)
    for update in (learner.update, learner.reference):
        found = comparison.observe(update, state, rows, SPIKES).noted
        assert list(found) == ["layers.0", "layers.1", "layers.2"]
        assert all(torch.equal(fired, expected[layer]) for layer, fired in found.items())
    assert all(0.02 < rate < 0.9 for rate in rates_of(expected))


def test_measures_of_tensors_by_hand():
    found, expected = torch.tensor([3.0, 4.0]), torch.tensor([4.0, 2.0])
    assert comparison.relative_difference(found, expected) == 2 / 4
    assert comparison.cosine(found, expected) == pytest.approx(20 / (5 * 20**0.5))
    nothing = torch.zeros(2)
    assert (comparison.relative_difference(nothing, nothing), comparison.cosine(nothing, nothing)) == (0, 1)
    assert (comparison.relative_difference(found, nothing), comparison.cosine(found, nothing)) == (1, 0)


def test_layers_hold_all_their_parameters_and_spikes_that_are_not_told_are_no_agreement():
    gradients = {
        "layers.0.weight": torch.ones(2),
        "layers.0.projection.gain": torch.ones(2),
        "readout.bias": torch.ones(1),
    }
    spikes = {"layers.0": torch.ones(2, 3, 4, dtype=torch.bool)}
    other = {**gradients, "layers.0.projection.gain": torch.tensor([1.0, -1.0])}
    found = comparison.compare_observed(Observed(other, {}, 1.0), Observed(gradients, spikes, None), SPIKES)
    assert list(found.layers) == ["layers.0", "readout"]
    assert found.layers["layers.0"] == (2.0, 0.0, None, "projection.gain")
    assert found.layers["readout"] == (0.0, 1.0, None, "bias")
    assert (found.max_relative_difference, found.column, found.losses) == (2.0, None, (1.0, None))
