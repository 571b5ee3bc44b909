"""`harness agree` for a family of two small methods that has nothing to do with any other, and no spikes."""

from functools import partial

import agreeing
import pytest

# A line through rows, fitted by its derivative, by autograd's, by one that is wrong; noise that both sides draw alike.
PLUGIN = """
    from contextlib import contextmanager
    from types import SimpleNamespace
    import numpy as np
    import torch
    from harness import *

    class Written:
        "By the derivative as it is written down: dL/dw = 2/N X' (X w + b - y), dL/db = 2/N sum (X w + b - y)."

        steps, wrong, double = 1, 1.0, True

        def __init__(self, config):
            pass

        def init(self, problem, training, base):
            if training.precision == "fp64" and not self.double:
                raise Unsupported("single precision only")
            dtype = {"fp64": torch.float64, "fp32": torch.float32}[training.precision]
            draw = torch.Generator().manual_seed(training.seed)
            weight = torch.randn(problem.input_shape[0], generator=draw).to(dtype).requires_grad_()
            parameters = {"slope.weight": weight, "offset": torch.zeros((), dtype=dtype, requires_grad=True)}
            optimiser = torch.optim.SGD(parameters.values(), lr=0.1)
            return SimpleNamespace(parameters=parameters, optimiser=optimiser, noise=0.01)

        def update(self, state, batch):
            w, b = state.parameters.values()
            for _ in range(self.steps):
                x, y = batch.inputs + state.noise * torch.randn(batch.inputs.shape).to(w), batch.targets.to(w)
                with torch.no_grad():
                    residual = x @ w + b - y
                    w.grad = 2 / len(x) * self.wrong * x.T @ residual
                    b.grad = 2 / len(x) * residual.sum()
                state.optimiser.step()
            return state, {"loss": residual.square().mean()}

    class Plain(Written):
        "By autograd."

        def update(self, state, batch):
            w, b = state.parameters.values()
            for _ in range(self.steps):
                x, y = batch.inputs + state.noise * torch.randn(batch.inputs.shape).to(w), batch.targets.to(w)
                state.optimiser.zero_grad()
                loss = (x @ w + b - y).square().mean()
                loss.backward()
                state.optimiser.step()
            return state, {"loss": loss.detach()}

    class Referred(Written):
        def reference(self, state, batch):
            assert state.parameters["offset"].dtype == torch.float64
            return Plain(None).update(state, batch)

    class Wrong(Referred):
        wrong = 1.5

    class Uncovered(Written):
        def reference(self, state, batch):
            raise Unsupported("noise=gaussian: the reference draws none; use noise=none")

    class Single(Written):
        double = False

    class Thrice(Referred):
        steps = 3

        def reference(self, state, batch):
            return type("Three", (Plain,), {"steps": 3})(None).update(state, batch)

    class Offsets:
        "A column of this family: how far the offsets lie apart."

        head, key, legend = "offsets", "offset_distance", "offsets: how far they lie apart."
        remarks, moving = ("Offsets are exact.",), "Three steps move the line."

        def facts(self, learner, state):
            return {"noise": state.noise}

        @contextmanager
        def noting(self, state):
            yield lambda: {"offset": state.parameters["offset"].item()}

        def difference(self, found, expected, layer):
            return abs(found["offset"] - expected["offset"]) if layer in ("offset", None) else None

    class Told(Thrice):
        agreement = Offsets()

    class Noisy(Told):
        def init(self, problem, training, base):
            state = super().init(problem, training, base)
            state.noise = 0.5
            return state

    def load(config, seed, folder):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(40, 3)).astype(np.float32)
        y = x @ np.array([1.0, 2.0, 3.0], dtype=np.float32) + rng.normal(size=40).astype(np.float32)
        split = Batch(x, y)
        return Data(Problem("regression", (3,), 1, 40, target_mean=0.0, target_scale=1.0), split, split, split)

    @hookimpl
    def harness_methods():
        for each in (Written, Plain, Referred, Wrong, Uncovered, Single, Thrice, Told, Noisy):
            yield Method(each.__name__.lower(), "x", each, ("regression",))

    @hookimpl
    def harness_datasets():
        recipe = Recipe(Budget("updates", 5), 10)
        yield Dataset("line", "x", "regression", load, recipe=recipe, default=True)
    """


@pytest.fixture
def harness(tmp_path, monkeypatch, capfd):
    return agreeing.command(PLUGIN, tmp_path, monkeypatch, capfd)


@pytest.fixture
def told(harness):
    return partial(agreeing.as_json, harness)


@pytest.mark.parametrize("arguments", [("written", "plain"), ("referred", "--reference")])
def test_two_ways_to_one_gradient_agree_and_draw_the_same_noise(told, arguments):
    said = told(*arguments)
    assert list(said) == ["methods", "dataset", "seed", "batch_size", "device", "losses", "float64", "float32"]
    assert said["float64"]["max_relative_difference"] < 1e-14
    assert list(said["float64"]["layers"]) == ["slope", "offset"]
    assert set(said["float64"]["layers"]["slope"]) == {"relative_difference", "cosine"}
    assert said["losses"][0] == pytest.approx(said["losses"][1], rel=1e-12)


def test_a_method_that_is_not_its_reference_is_found_where_it_is_wrong(told):
    said = told("wrong", "--reference")["float64"]["layers"]
    assert said["slope"]["relative_difference"] == pytest.approx(0.5)
    assert said["offset"]["relative_difference"] < 1e-14


def test_without_a_column_there_is_none(harness):
    code, out, err = harness("written", "plain")
    assert (code, err) == (0, "")
    assert " ".join(out.splitlines()[2:4][1].split()) == "layer difference cosine difference cosine"
    assert "spikes" not in out
    assert "float64 tells whether the methods agree" in " ".join(out.split())


def test_several_steps_in_an_update_are_told_from_one(told, harness):
    assert "one_online_update" not in told("referred", "--reference")
    assert told("thrice", "--reference")["one_online_update"]["apart_over_way"] < 1e-12
    assert "each of the optimiser's steps within a mini-batch moves them" in " ".join(
        harness("thrice", "--reference")[1].split()
    )


def test_a_family_adds_a_column_of_its_own(told, harness):
    said = told("told", "--reference")["float64"]
    assert [layer["offset_distance"] for layer in said["layers"].values()] == [None, 0]
    assert said["offset_distance"] == 0
    words = " ".join(harness("told", "--reference")[1].split())
    assert "difference cosine offsets" in words
    assert "offsets: how far they lie apart. Offsets are exact." in words
    assert "Three steps move the line. After this one mini-batch" in words
    assert "offset_distance" not in told("told", "thrice")["float64"]  # whose learner has no such column


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["told", "noisy"], ["told and noisy train different networks: noise 0.01 and 0.5"]),
        (
            ["written", "--reference"],
            ["written: no reference", "have one: noisy, referred, thrice, told, uncovered, wrong"],
        ),
        (["uncovered", "--reference"], ["uncovered: noise=gaussian: the reference draws none; use noise=none"]),
        (["single", "plain"], ["single on line: single precision only"]),
    ],
)
def test_a_mistake_is_said_in_a_line(harness, arguments, words):
    code, out, err = harness(*arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) <= 2
    assert all(word in err for word in words)
