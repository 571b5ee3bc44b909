"""`harness agree METHOD --reference` of a method that makes something of another's arrays before it trains."""

import json

import agreeing
import pytest

# A line, fitted from nothing; and one that starts from it, with its larger weights halved.
PLUGIN = """
    from types import SimpleNamespace
    import numpy as np
    import torch
    from harness import *

    class Line:
        def __init__(self, config):
            pass

        def init(self, problem, training, base):
            dtype = {"fp64": torch.float64, "fp32": torch.float32}[training.precision]
            return self.begun((base["slope.weight"] if base else torch.zeros(4)).to(dtype), [])

        def begun(self, weight, halved):
            weight = weight.detach().requires_grad_()
            optimiser = torch.optim.SGD([weight], lr=0.1)
            return SimpleNamespace(parameters={"slope.weight": weight}, optimiser=optimiser, halved=halved)

        def update(self, state, batch):
            (w,) = state.parameters.values()
            state.optimiser.zero_grad()
            loss = (batch.inputs @ w - batch.targets).square().mean()
            loss.backward()
            state.optimiser.step()
            return state, {"loss": loss.detach()}

        def predict(self, state, inputs):
            raise NotImplementedError

        def save(self, state):
            return {name: each.detach() for name, each in state.parameters.items()}

    class Referred(Line):
        def reference(self, state, batch):
            (w,) = state.parameters.values()
            state.optimiser.zero_grad()
            w.grad = 2 / len(batch.inputs) * batch.inputs.T @ (batch.inputs @ w - batch.targets).detach()
            state.optimiser.step()
            return state, {"loss": (batch.inputs @ w - batch.targets).square().mean().detach()}

    class Halved(Referred):
        def init(self, problem, training, base):
            if not base["slope.weight"].any():
                raise Unsupported("the line is untrained")
            return super().init(problem, training, base)

        def prepare(self, state, fit):
            (w,) = state.parameters.values()
            assert fit.train.inputs.dtype == w.dtype
            halved = w.abs() > w.abs().mean()
            return self.begun(torch.where(halved, w / 2, w), halved.nonzero().flatten().tolist())

        def describe(self, state):
            return {"halved": state.halved, "share": Reading(len(state.halved) / 4, "a warning"), "own": "word"}

    class Right(Halved):
        def reference_prepare(self, state, fit):
            assert fit.train.inputs.dtype == torch.float64
            (w,) = state.parameters.values()
            mean = sum(abs(each) for each in w.tolist()) / len(w)
            halved = [j for j, each in enumerate(w) if abs(each) > mean]
            state = self.begun(torch.stack([each / 2 if j in halved else each for j, each in enumerate(w)]), halved)
            return state

    class Wrong(Halved):
        def reference_prepare(self, state, fit):
            (w,) = state.parameters.values()
            return self.begun(w / 2, [0, 1, 2, 3])

    class Other(Halved):
        def reference_prepare(self, state, fit):
            (w,) = state.parameters.values()
            return self.begun(w[:2], [])

    class Uncovered(Halved):
        def reference_prepare(self, state, fit):
            raise Unsupported("halves=no: the reference halves; use halves=yes")

    def load(config, seed, folder):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(40, 4)).astype(np.float32)
        y = x @ np.array([1.0, 2.0, 3.0, 4.0], dtype=np.float32)
        split = Batch(x, y)
        return Data(Problem("regression", (4,), 1, 40), split, split, split)

    @hookimpl
    def harness_methods():
        yield Method("line", "x", Line, ("regression",))
        yield Method("as-it-is", "x", Referred, ("regression",), starts_from="line")
        for each in (Halved, Right, Wrong, Other, Uncovered):
            yield Method(each.__name__.lower(), "x", each, ("regression",), starts_from="line")

    @hookimpl
    def harness_datasets():
        recipe = Recipe(Budget("updates", 5), 10)
        yield Dataset("rows", "x", "regression", load, recipe=recipe, default=True)
    """


@pytest.fixture
def harness(tmp_path, monkeypatch, capfd):
    return agreeing.command(PLUGIN, tmp_path, monkeypatch, capfd)


def test_what_is_prepared_is_compared_and_then_the_update_from_there(harness):
    code, out, err = harness("right", "--reference", "--format", "json")
    assert code == 0, err
    said = json.loads(out)["float64"]
    assert said["prepared"]["max_relative_difference"] == 0
    assert said["prepared"]["facts"] == {}
    assert list(said["prepared"]["layers"]) == ["slope"]
    assert said["max_relative_difference"] < 1e-14


def test_a_method_that_prepares_something_else_than_its_reference_is_found(harness):
    code, out, err = harness("wrong", "--reference", "--format", "json")
    assert code == 0, err
    said = json.loads(out)["float64"]
    assert said["prepared"]["max_relative_difference"] > 0.1
    mine, other = said["prepared"]["facts"].pop("halved")
    assert len(mine) < len(other) == 4
    assert list(said["prepared"]["facts"]) == ["share"]
    assert said["max_relative_difference"] < 1e-14  # both are then given the reference's weights


def test_a_method_that_only_trains_on_has_nothing_prepared(harness):
    code, out, err = harness("as-it-is", "--reference", "--format", "json")
    assert code == 0, err
    assert "prepared" not in out
    assert json.loads(out)["float64"]["max_relative_difference"] < 1e-14


def test_the_table_says_both_and_which_facts_differ(harness):
    words = " ".join(harness("wrong", "--reference")[1].split())
    assert words.index("prepared difference") < words.index("layer difference")
    assert "prepared: the arrays that each makes of those it starts from" in words
    assert "[0, 1, 2, 3] (its reference)" in words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["halved", "--reference"],
            [
                "halved: no reference: its learner has no reference_prepare(state, fit)",
                "one: as-it-is, other, right, unc",
            ],
        ),
        (["other", "--reference"], ["other: prepare leaves slope.weight (4,), and its reference (2,)"]),
        (["uncovered", "--reference"], ["uncovered: halves=no: the reference halves; use halves=yes"]),
        (["right", "line"], ["right: starts from another method's weights", "or of one with its --reference"]),
    ],
)
def test_a_mistake_is_said_in_a_line(harness, arguments, words):
    code, out, err = harness(*arguments)
    assert code != 0
    assert out == ""
    assert len(err.splitlines()) <= 2
    assert all(word in err for word in words), err
