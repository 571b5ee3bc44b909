"""Parts of data and of saved arrays that a trial looks at: sizes, a few batches to profile on, windows of streams."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from slope import ROWS, Slope, plugin_of, runner

from harness import (
    Batch,
    Budget,
    Data,
    Dataset,
    Instrument,
    Method,
    Problem,
    Recipe,
    TokenLogProbs,
    hookimpl,
)
from harness.planning.plan import plan_trials
from harness.records.store import Store
from harness.suites.suite import Request
from harness.trials.trial import run_trial
from harness_torch.backend.torch_backend import TorchBackend


@pytest.fixture
def run(catalog_of):
    return runner(catalog_of)


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_sizes_are_those_of_the_arrays_that_are_saved(run):
    class Saves(Slope):
        def save(self, state):
            weight = torch.tensor([[0.0, 1.5, 0.0], [2.0, -0.0, 3.0]])
            return {
                "weight": weight,
                "half": torch.tensor([0.0, 1.0], dtype=torch.bfloat16),
                "phases": torch.tensor([1j, 0j]),
                "quantised": torch.tensor([[0, 127], [-3, 0]], dtype=torch.int8),
                "levels": torch.tensor([0, 255], dtype=torch.uint8),
                "indices": torch.tensor([0, 7, 9]),
                "rows": torch.tensor([0, 2], dtype=torch.int32),
                "mask": torch.tensor([True, False]),
            }

    record = run(Saves)
    assert (record.measured["parameters"], record.measured["nonzeros"]) == (6 + 2 + 2 + 4 + 2, 3 + 1 + 1 + 2 + 1)
    assert record.measured["stored_bytes"] == 6 * 4 + 2 * 2 + 2 * 8 + 4 + 2 + 3 * 8 + 2 * 4 + 2


def test_what_saves_nothing_has_no_size(run):
    class Keeps(Slope):
        save = property()

    assert "parameters" not in run(Keeps).measured


# --- prepare ----------------------------------------------------------------------------------------------------------


class Steady:
    """Profiles an update."""

    @contextmanager
    def session(self):
        yield

    @contextmanager
    def measure(self, stage, examples):
        self.examples = examples
        yield

    def readings(self):
        return {f"examples{id(self) % 97}": self.examples}


class Deployed:
    def deployed(self, trained):
        trained.eager()

    def readings(self):
        return {}


def test_the_whole_data_are_prepared_on_once_a_trial_and_profiles_on_a_few_batches(run):
    seen = []

    class Prepares(Slope):
        def prepare(self, state, fit):
            seen.append((len(fit.train.inputs), len(fit.train.targets), len(fit.valid.inputs)))
            return state

    profilers = [Instrument(f"steady{number}", "x", Steady) for number in range(3)]
    record = run(Prepares, *profilers, Instrument("deployed", "x", Deployed))
    assert (record.status, record.holes) == ("ok", {})
    assert seen == [(ROWS["train"], ROWS["train"], ROWS["valid"]), *[(30, 30, 20)] * 3]


def test_the_arrays_of_a_base_are_copied_once_for_each_state_that_starts_from_them(catalog_of, tmp_path, monkeypatch):
    copies = []
    monkeypatch.setattr(TorchBackend, "arrays", lambda self, named, device: copies.append(named) or dict(named))

    class Plugin:
        @hookimpl
        def harness_methods(self):
            yield Method("tuned", "x", factory=Slope, kinds=("classification",), starts_from="tiny")

    catalog = catalog_of(plugin_of(Slope, Instrument("steady", "x", Steady)), Plugin())
    store = Store(tmp_path)
    store.prepare()
    trials = plan_trials(catalog, Request(methods="tuned", seeds="1", device="cpu", budget=Budget("updates", 20)))
    for trial in trials:
        base = store.locate_weights(trial.base.key) if trial.base else None
        record = run_trial(catalog, trial, base=base, weights=store.locate_weights(trial.key))
        assert record.status == "ok", record.traceback
    assert len(copies) == 2  # the one that is trained, and the one that is profiled


# --- streams ----------------------------------------------------------------------------------------------------------

VOCABULARY, WINDOW, STREAMS = 5, 10, 4


def load_stream(config, seed, folder):
    tokens = torch.arange(1001) % VOCABULARY
    train = Batch(tokens[None], tokens[None, 1:])
    rows = tokens[:150].reshape(2, 75)
    held_out = Batch(rows, rows[:, 1:])
    problem = Problem("language", (), VOCABULARY, 1000, order="contiguous", window=WINDOW, token=TOKEN[0])
    return Data(problem, train, held_out, held_out)


TOKEN = ["character"]
PREPARED: list = []
PREDICTED: list = []


class Bigrams:
    """One product a token; what it is given to predict and to prepare on is kept."""

    def __init__(self, config):
        pass

    def init(self, problem, training, base):
        return torch.ones(VOCABULARY, VOCABULARY)

    def prepare(self, state, fit):
        PREPARED.append([list(split.inputs.shape) for split in fit])
        return state

    def update(self, state, batch):
        return state, {"loss": torch.zeros(())}

    def predict(self, state, inputs):
        PREDICTED.append(list(inputs.shape))
        hot = torch.nn.functional.one_hot(inputs, VOCABULARY).float()
        log_probs = (hot[:, :-1] @ state).log_softmax(-1).gather(-1, inputs[:, 1:, None])[..., 0]
        return TokenLogProbs(log_probs[None], torch.zeros(1))


class Streams:
    @hookimpl
    def harness_methods(self):
        yield Method("bigrams", "x", factory=Bigrams, kinds=("language",))

    @hookimpl
    def harness_datasets(self):
        recipe = Recipe(Budget("updates", 3), STREAMS)
        yield Dataset("stream", "x", "language", load_stream, recipe=recipe, default=True)

    @hookimpl
    def harness_instruments(self):
        yield Instrument("steady", "x", Steady)
        yield Instrument("windows", "x", Windows)
        yield Instrument("inference_macs", "x", "harness_torch.instruments.operation_counts:Inference")


class Windows:
    def deployed(self, trained):
        rows = trained.rows(20)
        text = trained.data.test.inputs
        expected = [text[row, start : start + WINDOW + 1] for row in range(2) for start in range(0, 70, WINDOW)]
        expected = torch.stack([*expected, *expected[:6]])
        self.said = {"windows_right": torch.equal(rows, expected), "windows_tokens": trained.examples(rows)}

    def readings(self):
        return self.said


@pytest.fixture
def stream(catalog_of):
    def go(token="character"):
        PREPARED.clear()
        PREDICTED.clear()
        TOKEN[0] = token
        catalog = catalog_of(Streams())
        (trial,) = plan_trials(catalog, Request(methods="bigrams", seeds="1", device="cpu"))
        record = run_trial(catalog, trial)
        assert (record.status, record.holes) == ("ok", {}), record.traceback
        return record

    return go


def test_of_a_stream_one_window_a_row_is_profiled_and_counts_are_per_token(stream):
    record = stream()
    assert (record.readings["windows_right"], record.readings["windows_tokens"]) == (True, 20 * WINDOW)
    assert record.readings["inference_macs"] == VOCABULARY**2
    examples = [value for name, value in record.readings.items() if name.startswith("examples")]
    assert examples == [STREAMS * WINDOW]
    whole = [shape for shape in PREDICTED if shape[1] == 75]
    assert all(shape == [2, 75] for shape in whole)
    assert {tuple(shape) for shape in PREDICTED if shape not in whole} == {(4, WINDOW + 1), (32, WINDOW + 1)}


def test_a_stream_is_prepared_on_as_a_whole_once_and_else_on_a_few_windows(stream):
    stream()
    assert PREPARED == [[[1, 1001], [2, 75]], [[1, 3 * WINDOW * STREAMS + 1], [2, 3 * WINDOW + 1]]]


def test_tokens_are_counted_beside_rows(stream):
    measured = stream().measured
    assert measured["rows"] == {"train": 1, "valid": 2, "test": 2}
    assert measured["tokens"] == {"train": 1000, "valid": 148, "test": 148}


@pytest.mark.parametrize(("token", "has_bits"), [("character", True), ("", True), ("word", False)])
def test_words_have_no_bits_per_character(stream, token, has_bits):
    record = stream(token)
    assert ("bits_per_character" in record.scores) == has_bits
    assert "perplexity" in record.scores
