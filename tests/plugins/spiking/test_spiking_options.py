"""Options of the family: optimisers, rates, what a data set's recipe fills in, and what is refused with its reason."""

import pytest
import torch
from spiking_methods import METHODS, assert_is_reference, assert_refused, learner_of, prepared
from spiking_setups import SETUPS, batch, lif_of, of_reference, problem, start, step_gradients
from tiny_problems import largest_difference

import harness_bptt
import harness_ottt
import harness_saf
from harness import Batch, Budget, Data, Dataset, Problem, Recipe, Unsupported, UsageError, hookimpl
from harness.catalog import Settings, load_catalog
from harness.cli import main
from harness.options import build, describe
from harness.planning.plan import plan_trials
from harness.suites.suite import Request
from harness_bptt import BPTTOptions
from harness_spiking.config import TraceOptions

OFFICIAL = ["saf", "ottt", "bptt"]


# --- optimisers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adam_is_torchs_own_on_the_same_gradients(method, weight_decay):
    """AdamW, as in the official code, where weights decay; its steps without are those of Adam."""
    options = {"optimiser": "adam", "learning_rate": 0.003, "weight_decay": weight_decay}
    learner, state = prepared(method, steps=3, **options)
    assert learner.describe(state)["optimiser"] == ("adamw" if weight_decay else "adam")
    mine = {name: tensor.detach().clone().requires_grad_() for name, tensor in state.network.parameters.items()}
    by_torch = torch.optim.AdamW(mine.values(), lr=0.003, weight_decay=weight_decay)
    for seed in range(3):
        for gradients in step_gradients(learner, state, batch("conv", seed=seed)):
            for name, gradient in gradients.items():
                mine[name].grad = gradient
            by_torch.step()
    assert largest_difference(dict(state.network.parameters), mine) < 1e-12


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_weights_without_a_gradient_decay_as_each_optimiser_has_it(optimiser):
    """adam shrinks them by rate * decay at every step, whatever its moments; sgd by that and by its momentum."""
    options = {"optimiser": optimiser, "learning_rate": 0.01, "weight_decay": 0.5, "steps": 1, "threshold": 1e9}
    learner, state = prepared("saf", **options)  # no neuron fires, no error passes: only the readout's bias is taught
    before = state.network.parameters["readout.weight"].detach().clone()
    for seed in range(2):
        learner.update(state, batch("conv", seed=seed))
    shrunk = (1 - 0.005) ** 2 if optimiser == "adam" else (1 - 0.005) * (1 - 0.005) - 0.9 * 0.005
    torch.testing.assert_close(state.network.parameters["readout.weight"].detach(), before * shrunk)


@pytest.mark.parametrize("method", OFFICIAL)
def test_adam_learns_at_its_own_rate(method):
    learner = learner_of(method, steps=3, optimiser="adam", learning_rate=0.01, architecture=SETUPS["conv"][0])
    state, rows = start(learner, problem("conv")), batch("conv")
    losses = [learner.update(state, rows)[1]["loss"].item() for _ in range(20)]
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize(
    ("options", "rate"),
    [
        ({}, 0.1),
        ({"optimiser": "sgd"}, 0.1),
        ({"optimiser": "adam"}, 0.001),
        ({"optimiser": "adam", "learning_rate": 0.1}, 0.1),
        ({"learning_rate": 0.02}, 0.02),
    ],
)
def test_every_optimiser_has_a_rate_of_its_own(options, rate):
    learner = learner_of("saf", steps=1, architecture="4C3-FC", **options)
    state = start(learner, problem("conv"))
    assert learner.options.resolved_rate == rate
    for _ in range(2):
        learner.update(state, batch("conv"))
        assert state.optimiser.param_groups[0]["lr"] == rate


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_any_optimisers_rate_follows_the_cosine(optimiser):
    learner = learner_of("saf", steps=1, architecture="4C3-FC", optimiser=optimiser, learning_rate=0.1)
    state, seen = start(learner, problem("conv"), updates=2), []
    for _ in range(2):
        learner.update(state, batch("conv"))
        seen.append(state.optimiser.param_groups[0]["lr"])
    assert seen == pytest.approx([0.1, 0.05])


# --- recipes ------------------------------------------------------------------------------------------------------


def maps(config, seed, folder):
    rows = Batch(torch.zeros(4, 1, 8, 8), torch.zeros(4, dtype=torch.int64))
    return Data(Problem("classification", (1, 8, 8), 2, 4), rows, rows, rows)


class Maps:
    @hookimpl
    def harness_datasets(self):
        protocol = {"steps": 3, "loss_lambda": 0.001, "dropout": 0.1, "learning_rate": 0.02, "optimiser": "adam"}
        recipe = Recipe(Budget("epochs", 2), 2, {"spiking": protocol})
        yield Dataset("maps", "a protocol", "classification", maps, recipe=recipe, default=True)
        yield Dataset("plain", "no protocol", "classification", maps)


def options_of(catalog_of, methods, datasets="maps"):
    catalog = catalog_of(harness_saf, harness_ottt, harness_bptt, Maps())
    trials = plan_trials(catalog, Request(methods=methods, datasets=datasets, seeds="1", device="cpu"))
    return [
        build(catalog.methods.get(trial.method.name).config, trial.method.options, trial.method.name)
        for trial in trials
    ]


def test_a_recipe_fills_what_was_left_unset(catalog_of):
    for options in options_of(catalog_of, "saf,ottt,bptt"):
        assert (options.steps, options.loss_lambda, options.dropout) == (3, 0.001, 0.1)
        assert (options.optimiser, options.learning_rate, options.shared_loss) == ("adam", 0.02, 0.001)


def test_what_is_given_stands(catalog_of):
    (options,) = options_of(catalog_of, "saf[steps=5,dropout=0,loss_lambda=0,optimiser=sgd,learning_rate=0.3]")
    assert (options.steps, options.dropout, options.shared_loss) == (5, 0, 0)
    assert (options.optimiser, options.resolved_rate) == ("sgd", 0.3)


def test_what_does_not_go_with_a_recipe_is_refused_while_planning(catalog_of):
    """momentum is sgd's, and this recipe asks for adam: left at its default it is nobody's."""
    with pytest.raises(UsageError, match=r"^saf: momentum=0.3: the momentum of sgd, .* leave momentum out, or use"):
        options_of(catalog_of, "saf[momentum=0.3]")
    assert [options.momentum for options in options_of(catalog_of, "saf[momentum=[0.3,0.9]]", "plain")] == [0.3, 0.9]
    assert [options.momentum for options in options_of(catalog_of, "saf[momentum=0.3,optimiser=sgd]")] == [0.3]
    assert [options.optimiser for options in options_of(catalog_of, "saf[momentum=0.9]")] == ["adam"]


def test_without_a_recipe_the_familys_own_values_hold(catalog_of):
    for options in options_of(catalog_of, "saf,ottt,bptt", "plain"):
        assert (options.steps, options.dropout, options.optimiser) == (None, None, None)
        assert (options.shared_loss, options.resolved_rate, options.scale) == (0.05, 0.1, 4.0)


# --- hard reset ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("detach_reset", [True, False])
@pytest.mark.parametrize(("network", "settings"), [("conv", {}), ("mlp", {"leak": 0.9, "threshold": 0.8})])
def test_bptt_with_a_hard_reset_is_its_reference(network, settings, detach_reset, varying):
    options, rows = {"detach_reset": detach_reset, **settings}, batch(network, 6 if varying else None)
    (learner, state), (_, same) = (prepared("bptt", network, 6, varying, reset="hard", **options) for _ in range(2))
    (found,) = assert_is_reference(learner, state, same, rows)
    plain, soft = prepared("bptt", network, 6, varying, **options)
    assert largest_difference(found, step_gradients(of_reference(plain), soft, rows)[0]) > 1e-3


def test_the_deployed_network_resets_as_the_trained_one_does():
    rows, found = batch("conv"), {}
    for reset in ("soft", "hard"):
        learner, state = prepared("bptt", reset=reset)
        _, outputs = lif_of(state, rows)
        found[reset] = learner.predict(state, rows.inputs).log_probs
        expected = outputs.mean(0).log_softmax(-1)[None].detach()
        torch.testing.assert_close(found[reset], expected, rtol=0, atol=1e-12)
    assert (found["soft"] - found["hard"]).abs().max() > 1e-3


@pytest.mark.parametrize("method", [name for name in METHODS if name != "bptt"])
def test_traces_do_not_survive_a_hard_reset(method):
    assert_refused(method, "reset=hard: .* not linear in the spikes.*; use reset=soft.*, or bptt", reset="hard")


# --- what does not go together ------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"feedback": True}, {"reset": "hard"}])
def test_packed_bptt_goes_layer_by_layer(options):
    assert_refused(
        "bptt", "saved=packed goes layer by layer, without feedback and with reset=soft", saved="packed", **options
    )
    assert BPTTOptions(saved="packed").saved == "packed"


@pytest.mark.parametrize("method", OFFICIAL)
def test_feedback_needs_maps(method):
    reason = "feedback needs maps, and the last spiking layer is dense"
    for text in ("8C3-12-FC", "mlp"):
        assert_refused(method, f"'{text}': {reason}", architecture=text, feedback=True)
    by_shape = learner_of(method, feedback=True)  # of a problem without maps: nothing but its data tells
    with pytest.raises(Unsupported, match=f"'256-256-FC': {reason}"):
        start(by_shape, problem("mlp"))
    start(learner_of(method, architecture="8C3-AP2-12C3-FC", feedback=True), problem("conv"))


MISTAKES = {
    "saf[reset=hard]": "a hard reset is not linear in the spikes",
    "ottt[reset=hard]": "a hard reset is not linear in the spikes",
    "saf[surrogate=clamp]": "it needs variant=final",
    "saf[variant=final,update=online]": "update=online needs variant=every",
    "saf[chunk=2,update=online]": "use update=accumulated",
    "ottt[chunk=2,update=online]": "use update=accumulated",
    "saf[chunk=2,feedback=yes]": "use chunk=1",
    "ottt[chunk=2,feedback=yes]": "use chunk=1",
    "saf[micro_batch=8,update=online]": "use update=accumulated",
    "ottt[micro_batch=8,update=online]": "use update=accumulated",
    "bptt[saved=packed,feedback=yes]": "saved=packed goes layer by layer",
    "bptt[recompute=2,saved=packed]": "recompute and chunk need saved=exact",
    "bptt[recompute=3,chunk=2]": "expected a multiple of chunk=2",
    "saf[architecture=8C3-MP2-FC]": "max-pooling is not linear",
    "saf[architecture=8C3-GMP-FC]": "max-pooling is not linear",
    "saf[architecture=8C3-BN-FC]": "weights are standardised instead",
    "saf[architecture=8C3-DP0.5-FC]": "the option dropout draws one mask for all steps",
    "bptt[architecture=8R3-FC]": "a layer must come before it",
    "bptt[architecture=8C4-FC]": "the kernel must be odd",
    "bptt[architecture=8C3-8R2-FC]": "the kernel must be odd",
    "saf[architecture=32C3-AP2-AP2-FC]": "AP2 needs a convolution right before it",
    "ottt[architecture=mlp,feedback=yes]": "feedback needs maps, and the last spiking layer is dense",
    "saf[variant=final,surrogate=clamp,surrogate_scale=3]": "a clamped rate's slope, with no steepness",
    "saf[variant=final,surrogate=clamp,surrogate_scale=1]": "leave surrogate_scale out",
    "saf[variant=final,surrogate=clamp,feedback=yes]": "needs an equilibrium solve; use feedback=no, or another surrog",
    "saf[variant=final,convention=official]": "convention=official: variant=final has one loss, at the last step, so",
    "saf[variant=final,surrogate=clamp,convention=official]": "leave convention out, for theory, or use variant=every",
    "ottt[presynaptic=spike,convention=official]": "no gradient sees a trace; leave convention out",
    "spike-representation[reset=hard]": "a hard reset is not linear in the spikes",
    "ottt[presynaptic=spike,convention=theory]": "no gradient sees a trace; leave convention out",
    "ottt[presynaptic=spike,forward=fused]": "without effect where presynaptic=spike; leave forward out",
    "saf[optimiser=adam,momentum=0.3]": "momentum=0.3: the momentum of sgd",
    "saf,ottt[momentum=0.5,optimiser=adam],bptt": "or use optimiser=sgd",
}

EQUILIBRIUM = (
    "with feedback, rates are the solution of an equation in themselves, and their gradient needs an equilibri"
)

ABSENT = {
    "bptt[convention=theory]": "bptt follows the equations through time, which leave nothing to a convention",
    "bptt[convention=official]": "bptt follows the equations through time, which leave nothing to a convention",
    "spike-representation[surrogate=arctan]": "no spike is differentiated; leave surrogate out",
    "spike-representation[surrogate_scale=3]": "no spike is differentiated; leave surrogate_scale out",
    "spike-representation[form=dsr,surrogate=arctan]": "no spike is differentiated",
    "spike-representation[convention=official]": "there is one gradient, of means over time, and it is the same",
    "spike-representation[form=dsr,convention=theory]": "there is one gradient, of means over time",
    "spike-representation[feedback=yes]": EQUILIBRIUM,
    "spike-representation[form=dsr,feedback=no]": EQUILIBRIUM,
}


@pytest.mark.parametrize(("methods", "reason"), ABSENT.items())
def test_an_option_that_a_method_lacks_is_refused_with_the_reason(methods, reason, capsys):
    assert main(["run", "--methods", methods, "--datasets", "digits", "--dry-run"]) == 2
    said = capsys.readouterr().err.splitlines()
    method, name = methods.partition("[")[0], methods.rpartition("=")[0].replace(",", "[").rpartition("[")[2]
    assert said[0].startswith(f"harness: {method}: there is no parameter '{name}': {reason}")
    assert said[0].endswith(f"; leave {name} out")
    assert said[1].startswith(f"parameters of {method}: ")


VALUES = {
    "ottt[surrogate=clamp]": "surrogate must be sigmoid|rectangle|triangle|arctan",
    "saf[micro_batch=0]": "micro_batch must be >= 1",
    "saf[chunk=0]": "chunk must be >= 1",
    "bptt[chunk=0]": "chunk must be >= 1",
    "bptt[recompute=0]": "recompute must be >= 1",
    "bptt[recompute=some]": "recompute must be int or auto or none",
    "saf[dropout=1]": "dropout must be >= 0, < 1",
    "saf[dropout=-0.1]": "dropout must be >= 0, < 1",
    "saf[surrogate_scale=0]": "surrogate_scale must be > 0",
    "saf[learning_rate=0]": "learning_rate must be > 0",
    "saf[optimiser=rmsprop]": "optimiser must be sgd|adam or none",
}


@pytest.mark.parametrize(("methods", "reason"), VALUES.items())
def test_a_value_out_of_range_is_named_before_the_parameters(methods, reason, capsys):
    assert main(["run", "--methods", methods, "--datasets", "digits", "--dry-run"]) == 2
    out, err = capsys.readouterr()
    method = methods.partition("[")[0]
    assert out == ""
    assert err.splitlines()[0].startswith(f"harness: {method}: {reason}")
    assert err.splitlines()[1].startswith(f"parameters of {method}: ")
    assert len(err.splitlines()) == 2


@pytest.mark.parametrize(("methods", "reason"), MISTAKES.items())
def test_a_mistake_is_one_line_and_exit_2_before_anything_runs(methods, reason, capsys):
    assert main(["run", "--methods", methods, "--datasets", "digits", "--dry-run"]) == 2
    out, err = capsys.readouterr()
    method = methods.removeprefix("saf,").partition("[")[0]
    assert out == ""
    assert err.startswith(f"harness: {method}: ")
    assert err.count(f"{method}: ") == 1
    assert len(err.splitlines()) == 1
    assert reason in err


@pytest.mark.parametrize(
    "methods",
    [
        "bptt[reset=hard]",
        "saf[variant=final,surrogate=clamp]",
        "saf[chunk=4,micro_batch=8]",
        "ottt[forward=fused,chunk=4,dropout=0.1]",
        "bptt[saved=packed,micro_batch=8]",
        "saf[surrogate=[sigmoid,rectangle,triangle,arctan],feedback=yes]",
        "saf[architecture=8C3/2-8R3-FC]",
        "spike-representation,bptt[surrogate=sigmoid,feedback=no]",
        "saf[convention=[official,theory]],saf[variant=final,convention=theory],ottt[convention=[official,theory]]",
        "saf[variant=final,surrogate=clamp,convention=theory,threshold=[0.6,1,2]]",
        "saf[optimiser=adam,momentum=0.9],saf[momentum=0.3]",
        "bptt[recompute=[1,2,auto,100]],bptt[recompute=auto,reset=hard],bptt[recompute=4,chunk=2,micro_batch=8]",
        "ottt[presynaptic=spike,forward=official,surrogate=arctan,surrogate_scale=3]",
        "saf[architecture=1C1-FC]",
    ],
)
def test_what_does_go_together_is_planned(methods):
    trials = plan_trials(load_catalog(Settings()), Request(methods=methods, datasets="digits", seeds="1", device="cpu"))
    assert trials
    assert not [trial.skip for trial in trials if trial.skip]


@pytest.mark.parametrize(
    ("method", "lacking"),
    [
        ("saf", set()),
        ("ottt", set()),
        ("bptt", {"convention", "update"}),
        ("spike-representation", {"surrogate", "surrogate_scale", "convention", "feedback", "update"}),
    ],
)
def test_a_method_has_no_option_that_it_would_always_refuse(method, lacking):
    config = load_catalog(Settings()).methods.get(method).config
    assert {each.name for each in describe(TraceOptions)} - {each.name for each in describe(config)} == lacking
