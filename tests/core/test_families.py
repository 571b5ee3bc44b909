"""The core carries what the families need, through the public door: mixtures, weights to start from, streams."""

from __future__ import annotations

import ast
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import harness
from harness import (
    Batch,
    Budget,
    ClassLogProbs,
    Data,
    Dataset,
    Fit,
    Method,
    Problem,
    Recipe,
    RegressionMixture,
    TokenLogProbs,
    hookimpl,
)
from harness.planning.plan import plan_trials
from harness.records.store import Store
from harness.suites.suite import Request
from harness.trials.trial import run_trial

POINT = torch.zeros(1)


def run_all(catalog, trials, store):
    """Every trial in this process, each from the weights of its base."""
    store.prepare()
    return [
        run_trial(
            catalog,
            trial,
            base=store.locate_weights(trial.base.key) if trial.base else None,
            weights=store.locate_weights(trial.key),
        )
        for trial in trials
    ]


# --- regression: a weighted mixture, scored on the original scale -------------------------------------------------


def load_heights(config, seed, folder):
    """Targets 50 + 20 * standardised, of which the learner sees only the standardised ones."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(90, 1)).astype(np.float32)
    y = (0.5 * x[:, 0]).astype(np.float32)
    split = [Batch(x[i : i + 30], y[i : i + 30]) for i in (0, 30, 60)]
    return Data(Problem("regression", (1,), 1, 30, target_mean=50.0, target_scale=20.0), *split)


class Mixture:
    """Predicts N(0.5 x - 1, 0.25) with weight 1/4 and N(0.5 x + 1, 1) with weight 3/4, whatever it is shown."""

    def __init__(self, config):
        pass

    def init(self, problem, training, base):
        return {"updates": 0}

    def update(self, state, batch):
        assert batch.inputs.shape == (10, 1)
        return {"updates": state["updates"] + 1}, {"loss": POINT.sum()}

    def predict(self, state, inputs):
        centre = 0.5 * inputs[:, 0]
        means = torch.stack([centre - 1, centre + 1])  # (2, N)
        variances = torch.tensor([[0.25], [1.0]]).expand_as(means)
        return RegressionMixture(means, variances, torch.tensor([0.25, 0.75]).log())


class RegressionPlugin:
    @hookimpl
    def harness_methods(self):
        yield Method("mixture", "a fixed mixture", factory=Mixture, kinds=("regression",))

    @hookimpl
    def harness_datasets(self):
        yield Dataset(
            "heights", "a line", "regression", load_heights, recipe=Recipe(Budget("epochs", 2), 10), default=True
        )


def test_a_regression_mixture_is_scored_on_the_original_scale(catalog_of):
    catalog = catalog_of(RegressionPlugin())
    (trial,) = plan_trials(catalog, Request(methods="mixture", seeds="1", device="cpu"))
    record = run_trial(catalog, trial)
    assert record.status == "ok", record.traceback
    # The mixture's mean is 0.5 x + 0.5, so every row is off by 0.5 standardised, 10 original units.
    assert record.scores["rmse"] == pytest.approx(10.0, rel=1e-5)
    left = 0.25 * math.exp(-0.5 * (20 / 10) ** 2) / 10
    right = 0.75 * math.exp(-0.5 * (20 / 20) ** 2) / 20
    assert record.scores["log_likelihood"] == pytest.approx(math.log((left + right) / math.sqrt(2 * math.pi)), rel=1e-5)


# --- compression: start from another method's trained weights -----------------------------------------------------


def load_blobs(config, seed, folder):
    rng = np.random.default_rng(seed)
    centres = np.array([[2.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 2.0, 0]])
    targets = np.arange(180) % 3
    inputs = (centres[targets] + 0.3 * rng.normal(size=(180, 4))).astype(np.float32)
    split = [Batch(inputs[i : i + 60], targets[i : i + 60]) for i in (0, 60, 120)]
    return Data(Problem("classification", (4,), 3, 60), *split)


class Dense:
    """Softmax regression by gradient descent."""

    rate = 1.0

    def __init__(self, config):
        pass

    def init(self, problem, training, base):
        return {"weight": torch.zeros(problem.output_size, *problem.input_shape), "updates": 0}

    def update(self, state, batch):
        weight = state["weight"].requires_grad_()
        loss = torch.nn.functional.cross_entropy(batch.inputs @ weight.T, batch.targets)
        (gradient,) = torch.autograd.grad(loss, weight)
        step = (weight - self.rate * gradient * state.get("mask", 1.0)).detach()
        return state | {"weight": step, "updates": state["updates"] + 1}, {"loss": loss.detach()}

    def predict(self, state, inputs):
        return ClassLogProbs((inputs @ state["weight"].detach().T).log_softmax(-1)[None], POINT)

    def save(self, state):
        return {"weight": state["weight"].detach()}


class Pruned(Dense):
    """Keeps the largest weight of each class, then fine-tunes what is left."""

    def init(self, problem, training, base):
        assert set(base) == {"weight"}
        return super().init(problem, training, base) | {"weight": base["weight"].clone()}

    def prepare(self, state, fit):
        assert isinstance(fit, Fit)
        mask = torch.nn.functional.one_hot(state["weight"].abs().argmax(1), state["weight"].shape[1]).float()
        return state | {"weight": state["weight"] * mask, "mask": mask}

    def describe(self, state):
        return {"nonzeros": int(state["weight"].count_nonzero())}


class CompressionPlugin:
    @hookimpl
    def harness_methods(self):
        yield Method("wide", "softmax regression", factory=Dense, kinds=("classification",), role="baseline")
        yield Method("prune", "largest weights", factory=Pruned, kinds=("classification",), starts_from="wide")
        yield Method("trim", "largest weights too", factory=Pruned, kinds=("classification",), starts_from="wide")

    @hookimpl
    def harness_datasets(self):
        yield Dataset(
            "blobs", "three blobs", "classification", load_blobs, recipe=Recipe(Budget("epochs", 5), 20), default=True
        )


def test_compression_starts_from_the_trained_weights_of_another_method(catalog_of, tmp_path):
    catalog = catalog_of(CompressionPlugin())
    trials = plan_trials(catalog, Request(methods="prune,trim", seeds="2", budget=Budget("epochs", 3), device="cpu"))
    assert [(trial.method.name, trial.seed) for trial in trials] == [
        ("wide", 0), ("prune", 0), ("trim", 0), ("wide", 1), ("prune", 1), ("trim", 1),
    ]  # fmt: skip
    # The base has its own budget: the data set's recipe, not what the run asks for fine-tuning.
    assert [trial.terms.budget.amount for trial in trials[:3]] == [5, 3, 3]
    records = run_all(catalog, trials, Store(tmp_path))
    assert [record.status for record in records] == ["ok"] * 6, records[-1].traceback
    wide, prune, trim = records[:3]
    assert prune.facts["nonzeros"] == 3
    assert prune.seconds["prepare"] > 0
    # Point 0 is the pruned network before fine-tuning; both compressions start from the very same weights.
    assert prune.curve[0].update == 0
    assert prune.curve[0].valid == trim.curve[0].valid
    assert prune.scores == trim.scores
    assert prune.scores["accuracy@start"] <= 1.0
    assert wide.scores["accuracy"] > 0.9


# --- language: contiguous batches with carried state --------------------------------------------------------------

PERIOD = 7


def load_cycle(config, seed, folder):
    """0 1 2 3 4 5 6 0 1 2 ...: after one token, the next is certain."""
    tokens = torch.arange(1001) % PERIOD
    train = Batch(tokens[None], tokens[None, 1:])
    rows = tokens[:200].reshape(2, 100)
    held_out = Batch(rows, rows[:, 1:])
    problem = Problem("language", (), PERIOD, 1000, order="contiguous", window=25)
    return Data(problem, train, held_out, held_out)


class Bigrams:
    """Counts which token follows which, also across windows: the last token of a stream is its carried state."""

    def __init__(self, config):
        pass

    def init(self, problem, training, base):
        counts = torch.full((PERIOD, PERIOD), 1e-6)
        return {"counts": counts, "carried": None, "firsts": 0, "joined": 0}

    def update(self, state, batch):
        assert batch.inputs.shape == batch.targets.shape == (4, 25)
        if batch.first:
            state["firsts"] += 1
        else:
            assert torch.equal((state["carried"] + 1) % PERIOD, batch.inputs[:, 0]), "windows are not contiguous"
            state["joined"] += 1
        pairs = (batch.inputs.flatten(), batch.targets.flatten())
        state["counts"].index_put_(pairs, torch.ones(batch.inputs.numel()), accumulate=True)
        return state | {"carried": batch.inputs[:, -1]}, {"loss": POINT.sum()}

    def predict(self, state, inputs):
        log_probs = (state["counts"] / state["counts"].sum(1, keepdim=True)).log()
        return TokenLogProbs(log_probs[inputs[:, :-1], inputs[:, 1:]][None], POINT)

    def describe(self, state):
        return {"firsts": state["firsts"], "joined": state["joined"]}


class LanguagePlugin:
    @hookimpl
    def harness_methods(self):
        yield Method("bigrams", "counts pairs", factory=Bigrams, kinds=("language",))

    @hookimpl
    def harness_datasets(self):
        yield Dataset("cycle", "a cycle", "language", load_cycle, recipe=Recipe(Budget("epochs", 3), 4), default=True)


def test_a_language_model_sees_contiguous_windows_and_carries_its_state(catalog_of, tmp_path):
    catalog = catalog_of(LanguagePlugin())
    (trial,) = plan_trials(catalog, Request(methods="bigrams", seeds="1", device="cpu"))
    record = run_trial(catalog, trial, examples=tmp_path / "kept")
    assert record.status == "ok", record.traceback
    assert not (tmp_path / "kept").exists()  # which a language has not
    assert "test examples" not in record.holes
    # 1000 tokens in 4 streams of 250, so 10 windows of 25 an epoch, of which the first starts anew.
    assert (record.facts["firsts"], record.facts["joined"]) == (3, 27)
    assert record.scores["perplexity"] == pytest.approx(1.0, abs=1e-3)


# --- and it does so without knowing them --------------------------------------------------------------------------


WORDS = [
    "saf",
    "ottt",
    "bptt",
    "dsr",
    "spike",
    "spikes",
    "spiking",
    "membrane",
    "surrogate",
    "bayes",
    "bayesian",
    "dropout",
    "ensemble",
    "variational",
    "pruning",
    "prune",
    "pruned",
    "recurrent",
    "rnn",
    "lstm",
    "spectral",
    "digits",
    "mnist",
    "cifar10",
    "ptb",
    "torch",
]


def test_the_core_names_no_method_family_or_data_set():
    """In its code: names and texts that a program compares. What it shows as an example to a user may name one."""
    pattern = re.compile(rf"(?<![a-z])({'|'.join(WORDS)})(?![a-z])", re.IGNORECASE)
    found = [
        f"{path.name}:{node.lineno}: {text}"
        for path in sorted(Path(harness.__file__).parent.rglob("*.py"))
        for node, text in _words_of_code(ast.parse(path.read_text()))
        if pattern.search(text)
    ]
    assert not found, "\n".join(found)


def _words_of_code(tree: ast.Module):
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node, node.id
        elif isinstance(node, ast.Attribute):
            yield node, node.attr
        elif isinstance(node, ast.arg):
            yield node, node.arg
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((node, name.name) for name in node.names)
        # A text of several words is for people: a help text, an example, an error.
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not re.search(r"\s", node.value):
            yield node, node.value
