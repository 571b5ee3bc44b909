"""A sound learner for each kind, and for each check one that breaks it."""

from __future__ import annotations

import copy
import gc
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import _get_current_dispatch_mode

from harness import (
    Batch,
    ClassLogProbs,
    Data,
    DataOptions,
    File,
    NoOptions,
    Problem,
    RegressionMixture,
    TokenLogProbs,
    Unsupported,
    option,
)

POINT = torch.zeros(1)
FILE = File("subject/rows.bin", ("https://example.org/rows.bin",), sha256="0" * 64)


class Sound:
    """Softmax regression with momentum from random weights; nothing is wrong with it."""

    rate = 0.1

    def __init__(self, config):
        self.config = config
        self.views = {"sharper": lambda state, inputs: self.predict(state, 2 * inputs)}

    def generator(self, training):
        return torch.Generator().manual_seed(training.seed)

    def init(self, problem, training, base):
        if problem.kind != "classification":
            raise Unsupported(f"not {problem.kind}")
        features = int(np.prod(problem.input_shape))
        weight = torch.randn(features, problem.output_size, generator=self.generator(training)) * 0.1
        return {"weight": weight.requires_grad_(), "speed": torch.zeros_like(weight), "planned": training.updates}

    def loss(self, state, batch):
        return cross_entropy(batch.inputs.flatten(1) @ state["weight"], batch.targets)

    def update(self, state, batch):
        loss = self.loss(state, batch)
        (gradient,) = torch.autograd.grad(loss, state["weight"])
        with torch.no_grad():
            state["speed"].mul_(0.9).add_(gradient)
            state["weight"].sub_(self.rate * state["speed"])
        return state, {"loss": loss.detach()}

    def logits(self, state, inputs):
        return inputs.flatten(1) @ state["weight"].detach()

    def predict(self, state, inputs):
        return ClassLogProbs(self.logits(state, inputs).log_softmax(-1)[None], POINT)

    def save(self, state):
        return {"weight": state["weight"].detach().clone()}


class Line:
    """The mean and variance of the targets, each seen as often as the last."""

    def __init__(self, config):
        pass

    def init(self, problem, training, base):
        return {"mean": torch.zeros(()), "updates": 0}

    def update(self, state, batch):
        mean = state["mean"] + 0.1 * (batch.targets.mean() - state["mean"])
        return {"mean": mean, "updates": state["updates"] + 1}, {"error": (batch.targets - mean).square().mean()}

    def predict(self, state, inputs):
        means = state["mean"].expand(2, len(inputs))
        return RegressionMixture(means, torch.ones_like(means), torch.tensor([0.5, 0.5]).log())


class Bigrams:
    """Counts which token follows which, across windows of one stream: the last token of each is carried."""

    drops = True

    def __init__(self, config):
        pass

    def init(self, problem, training, base):
        return {"counts": torch.ones(problem.output_size, problem.output_size), "last": None}

    def update(self, state, batch):
        tokens = batch.inputs
        if state["last"] is not None and not (batch.first and self.drops):
            tokens = torch.cat([state["last"], tokens], dim=1)
        state["counts"].index_put_((tokens[:, :-1].flatten(), tokens[:, 1:].flatten()), POINT + 1, accumulate=True)
        seen = state["counts"].square().mean()
        return state | {"last": batch.inputs[:, -1:]}, {"seen": seen}

    def predict(self, state, inputs):
        log_probs = (state["counts"] / state["counts"].sum(1, keepdim=True)).log()
        return TokenLogProbs(log_probs[inputs[:, :-1], inputs[:, 1:]][None], POINT)


class CarriesAcrossStreams(Bigrams):
    drops = False


# --- each breaks one promise of a method ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Nameless:
    steps: int = option(4, "")


@dataclass(frozen=True)
class Refused:
    steps: int = option(4, "time steps", low=1)

    def __post_init__(self):
        if self.steps == 4:
            raise ValueError("not four")


@dataclass(frozen=True)
class Shifting:
    steps: int = option(4, "time steps", low=1)

    def __post_init__(self):
        object.__setattr__(self, "steps", self.steps + 1)


class RefusesItsKind(Sound):
    def init(self, problem, training, base):
        raise Unsupported("only on Sundays")


class Nondeterministic(Sound):
    def generator(self, training):
        generator = torch.Generator()
        generator.seed()
        return generator


class KeepsInLearner(Sound):
    """The momentum belongs to the learner, not to the state."""

    speed = None

    def update(self, state, batch):
        self.speed = state["speed"] if self.speed is None else self.speed
        return super().update(state | {"speed": self.speed}, batch)


class DrawsGlobally(Sound):
    def generator(self, training):
        return None


class DrawsFromNumpy(Sound):
    def init(self, problem, training, base):
        state = super().init(problem, training, base)
        with torch.no_grad():
            state["weight"].add_(float(np.random.rand()))  # noqa: NPY002
        return state


class CarriesPotentials(Sound):
    """Like a membrane that is not reset between mini-batches."""

    def loss(self, state, batch):
        potential = self.logits(state, batch.inputs)
        before, state["potential"] = state.get("potential", 0.0), potential
        return cross_entropy(batch.inputs.flatten(1) @ state["weight"] + before, batch.targets)


class NeedsAPlan(Sound):
    def update(self, state, batch):
        self.rate = 0.1 / state["planned"]
        return super().update(state, batch)


class DividesByWhatIsLeft(Sound):
    def update(self, state, batch):
        state["planned"] = None if state["planned"] is None else state["planned"] - 1
        if state["planned"] is not None:
            self.rate = 0.1 / (state["planned"] + 1)
        return super().update(state, batch)


class OverwritesItsBatch(Sound):
    def update(self, state, batch):
        batch.inputs.mul_(0.5)
        return super().update(state, batch)


class OverwritesItsInputs(Sound):
    def predict(self, state, inputs):
        return super().predict(state, inputs.sub_(inputs.mean()))


class SavesNested(Sound):
    def save(self, state):
        return {"layers": {"weight": state["weight"].detach()}}


class SavesSomethingElse(Sound):
    saves = 0

    def save(self, state):
        self.saves += 1
        return {"weight": state["weight"].detach() + self.saves}


class Unnormalised(Sound):
    def predict(self, state, inputs):
        return ClassLogProbs(self.logits(state, inputs)[None], POINT)


class WrongKind(Sound):
    def predict(self, state, inputs):
        return RegressionMixture(*3 * [self.logits(state, inputs)[None, :, 0]])


class WrongShape(Sound):
    def predict(self, state, inputs):
        return ClassLogProbs(super().predict(state, inputs).log_probs[0], POINT)


class HeavyWeights(Sound):
    def predict(self, state, inputs):
        return super().predict(state, inputs)._replace(log_weights=POINT + 1)


class NotANumber(Sound):
    def predict(self, state, inputs):
        return ClassLogProbs((self.logits(state, inputs) / 0).log_softmax(-1)[None], POINT)


class BrokenView(Sound):
    def __init__(self, config):
        self.views = {"other": lambda state, inputs: ClassLogProbs(self.logits(state, inputs)[None], POINT)}


class BrokenGlance(Sound):
    def glance(self, state, inputs):
        return ClassLogProbs(self.logits(state, inputs)[None], POINT)


class LearnsWhileGlancing(Sound):
    def glance(self, state, inputs):
        with torch.no_grad():
            state["speed"].add_(0.01)
        return self.predict(state, inputs)


class Samples(Sound):
    """Each prediction goes on where the noise of the last one ended."""

    def logits(self, state, inputs):
        noise = state.setdefault("noise", torch.Generator().manual_seed(0))
        return super().logits(state, inputs) + torch.randn(len(inputs), 3, generator=noise)


class NormalisesOverRows(Sound):
    def logits(self, state, inputs):
        return super().logits(state, inputs - inputs.mean(0))


class SqueezesRows(Sound):
    """A single row loses its axis."""

    def logits(self, state, inputs):
        return super().logits(state, inputs).squeeze()


class LearnsWhilePredicting(Sound):
    def logits(self, state, inputs):
        logits = super().logits(state, inputs)
        with torch.no_grad():
            state["speed"].add_(0.01)
        return logits


class AdaptsToTestRows(Sound):
    """Keeps a running mean of all inputs that it ever saw, and centres by it."""

    def logits(self, state, inputs):
        state["mean"] = 0.9 * state.get("mean", 0.0) + 0.1 * inputs.mean(0)
        return super().logits(state, inputs - state["mean"])


class OneSeed(Sound):
    def generator(self, training):
        return torch.Generator().manual_seed(0)


class SeedsGlobally(Sound):
    def init(self, problem, training, base):
        torch.manual_seed(training.seed)
        return super().init(problem, training, base)


class ChangesSettings(Sound):
    def predict(self, state, inputs):
        torch.set_grad_enabled(False)
        return super().predict(state, inputs)


class KeepsLosses(Sound):
    def update(self, state, batch):
        state, scalars = super().update(state, batch)
        state.setdefault("losses", []).append(scalars["loss"])
        return state, scalars


class WiderThanAsked(Sound):
    def save(self, state):
        return {"weight": state["weight"].detach().double()}


class NarrowerThanAsked(Sound):
    def logits(self, state, inputs):
        return (inputs.flatten(1).bfloat16() @ state["weight"].detach().bfloat16()).float()


class OnAnotherDevice(Sound):
    def save(self, state):
        return {"weight": state["weight"].detach().to("meta")}


class WaitsForTheDevice(Sound):
    def update(self, state, batch):
        state, scalars = super().update(state, batch)
        return state, {"loss": scalars["loss"].item()}


class SavesTransposed(Sound):
    def save(self, state):
        return {"weight": state["weight"].detach().T}


class SavesShared(Sound):
    def save(self, state):
        weight = state["weight"].detach()
        return {"weight": weight, "first": weight[:2]}


class SavesWithGradient(Sound):
    def save(self, state):
        return {"weight": state["weight"]}


class IdleWhenSeen(Sound):
    """Does nothing in an update that it takes for a profiled one."""

    def seen(self, state):
        return state["eager"]

    def init(self, problem, training, base):
        return super().init(problem, training, base) | {"eager": training.eager}

    def update(self, state, batch):
        if self.seen(state):
            return state, {"loss": torch.zeros(())}
        return super().update(state, batch)


class IdleUnderModes(IdleWhenSeen):
    def seen(self, state):
        return _get_current_dispatch_mode() is not None or torch.overrides._is_torch_function_mode_enabled()


class IdleUnderHooks(IdleWhenSeen):
    def seen(self, state):
        return torch._C._autograd._top_saved_tensors_default_hooks(True) is not None


class IdleUnderProfiler(IdleWhenSeen):
    def seen(self, state):
        return torch.autograd._profiler_enabled()


class IdleWithoutCollector(IdleWhenSeen):
    def seen(self, state):
        return not gc.isenabled()


class HalfWhenEager(Sound):
    """Learns from half of the rows where operations are counted."""

    def init(self, problem, training, base):
        return super().init(problem, training, base) | {"eager": training.eager}

    def loss(self, state, batch):
        rows = len(batch.inputs) // (2 if state["eager"] else 1)
        return super().loss(state, batch._replace(inputs=batch.inputs[:rows], targets=batch.targets[:rows]))


class LearnsInAThread(Sound):
    def update(self, state, batch):
        learns = threading.Thread(target=super().update, args=[state, batch])
        learns.start()
        learns.join()
        return state, {"loss": torch.zeros(())}


class LearnsInAPool(Sound):
    """The thread is there from the beginning."""

    def init(self, problem, training, base):
        pool = ThreadPoolExecutor(1)
        pool.submit(int).result()
        return super().init(problem, training, base) | {"pool": pool}

    def update(self, state, batch):
        state["pool"].submit(super().update, state, batch).result()
        return state, {"loss": torch.zeros(())}


class Raises(Sound):
    def update(self, state, batch):
        raise IndexError("list index out of range")


class Leaves(Sound):
    def update(self, state, batch):
        raise SystemExit(3)


def answering(**parts):
    """A sound learner that answers something else for some of its parts."""
    return type("Answers", (Sound,), parts)


def nested(depth):
    return [nested(depth - 1)] if depth else []


ANSWERS = [
    (answering(update=lambda *_: None), "update returned NoneType, expected (state, {name: scalar})"),
    (answering(update=lambda self, state, batch: (state, None)), "update returned tuple, expected (state, {name"),
    (
        answering(update=lambda self, state, batch: (state, {"loss": batch.inputs[:, 0, 0, 0]})),
        "update returned Tensor of shape (8,) as the scalar loss, expected one number",
    ),
    (answering(update=lambda self, state, batch: (state, {3: 1.0})), "a scalar of update 1, 3: the name is int"),
    (answering(init=lambda *_: None), "the state is None: did init, or the update before, return none?"),
    (
        answering(__init__=lambda self, config: setattr(self, "views", [len])),
        "views is list, expected {name: function}",
    ),
    (answering(save=lambda *_: [1]), "save returned list, expected {name: array}"),
    (answering(describe=lambda *_: [1]), "describe returned list, expected {name: value}"),
    (answering(describe=lambda *_: {"a@b": 1}), "describe: a@b: the name has an @"),
    (answering(describe=lambda *_: {"deep": nested(30)}), "describe: deep is nested deeper than 20 levels"),
]


def with_view(name):
    class Views(Sound):
        def __init__(self, config):
            self.views = {name: self.predict}

    return Views


VIEWS = [
    *((with_view(name), f"view {name}: the name is taken") for name in ("valid", "valid-best", "best", "start")),
    (with_view(""), "view '': the name is empty"),
    (with_view(3), "view 3: the name is int; expected a text"),
    (with_view("a@b"), "view a@b: the name has an @"),
]

METHODS = [
    *(("answers-well-formed", learner, reason, NoOptions) for learner, reason in (*ANSWERS, *VIEWS)),
    ("prediction-well-formed", answering(predict=lambda self, state, inputs: inputs), "returned Tensor of", NoOptions),
    ("options-described", Sound, "steps: no meaning", Nameless),
    ("options-described", Sound, "its defaults are refused", Refused),
    ("options-described", Sound, "read back as", Shifting),
    ("kinds-taken", RefusesItsKind, "declares the kind 'classification'", NoOptions),
    ("kinds-taken", Raises, "raised IndexError: list index out of range", NoOptions),
    ("kinds-taken", Leaves, "called sys.exit(3) (mutants.py line ", NoOptions),
    ("deterministic", Nondeterministic, "two states of the same seed: they differ in", NoOptions),
    ("states-apart", KeepsInLearner, "is something kept in the learner?", NoOptions),
    ("global-seeds-ignored", DrawsGlobally, "two seeds of the global generators", NoOptions),
    ("global-seeds-ignored", DrawsFromNumpy, "two seeds of the global generators", NoOptions),
    ("batches-apart", CarriesPotentials, "something of the batch before is carried over", NoOptions),
    ("any-budget", NeedsAPlan, "raised TypeError", NoOptions),
    ("any-budget", DividesByWhatIsLeft, "raised ZeroDivisionError", NoOptions),
    ("data-untouched", OverwritesItsBatch, "update 1 overwrote the batch", NoOptions),
    ("data-untouched", OverwritesItsInputs, "it overwrote the validation inputs", NoOptions),
    ("arrays-kept", SavesNested, "must be flat", NoOptions),
    ("arrays-kept", SavesSomethingElse, "two saves of one state", NoOptions),
    ("prediction-well-formed", Unnormalised, "a row's probabilities, exp(log_probs), sum to", NoOptions),
    ("prediction-well-formed", WrongKind, "returned RegressionMixture for classification", NoOptions),
    ("prediction-well-formed", WrongShape, "expected (S, 12, 3)", NoOptions),
    ("prediction-well-formed", HeavyWeights, "exp(log_weights), sum to 2.718", NoOptions),
    ("prediction-well-formed", NotANumber, "log_probs is not finite", NoOptions),
    ("prediction-well-formed", BrokenView, "other: a row's probabilities", NoOptions),
    ("prediction-well-formed", BrokenGlance, "glance: a row's probabilities", NoOptions),
    ("training-undisturbed", LearnsWhileGlancing, "differ in the ", NoOptions),
    ("prediction-repeatable", Samples, "before and after other rows", NoOptions),
    ("prediction-by-rows", NormalisesOverRows, "differs from the same row among fewer", NoOptions),
    ("prediction-by-rows", SqueezesRows, "", NoOptions),
    ("training-undisturbed", LearnsWhilePredicting, "with and without predictions on the way", NoOptions),
    ("test-rows-unused", AdaptsToTestRows, "training with the test rows and with", NoOptions),
    ("seed-decides", OneSeed, "two seeds give one training", NoOptions),
    ("global-state-untouched", SeedsGlobally, "init changed torch's global generator", NoOptions),
    ("global-state-untouched", DrawsFromNumpy, "init changed numpy's global generator", NoOptions),
    ("global-state-untouched", ChangesSettings, "predict changed torch's gradient mode", NoOptions),
    ("no-leak", KeepsLosses, "something is kept that should be freed", NoOptions),
    ("device-and-precision", WiderThanAsked, "is torch.float64", NoOptions),
    (
        "device-and-precision",
        NarrowerThanAsked,
        "products are taken in torch.bfloat16; training.precision is fp32",
        NoOptions,
    ),
    ("device-and-precision", OnAnotherDevice, "is on meta", NoOptions),
    ("no-synchronisation", WaitsForTheDevice, "1x aten::_local_scalar_dense", NoOptions),
    (
        "profiled-as-timed",
        IdleWhenSeen,
        "eager updates, which are counted, do not do what timed ones do: the",
        NoOptions,
    ),
    ("profiled-as-timed", IdleUnderModes, "where Operations measures the last", NoOptions),
    ("profiled-as-timed", IdleUnderHooks, "where SavedMemory measures the last", NoOptions),
    ("profiled-as-timed", IdleUnderProfiler, "where TensorPeak measures the last", NoOptions),
    ("profiled-as-timed", IdleWithoutCollector, "where ActivationMemory measures the last", NoOptions),
    ("profiled-as-timed", HalfWhenEager, "do not do what timed ones do", NoOptions),
    ("profiled-as-timed", LearnsInAThread, "an update works in a thread of its own", NoOptions),
    ("profiled-as-timed", LearnsInAPool, "an update works in a thread of its own", NoOptions),
    ("arrays-safe", SavesTransposed, "is not contiguous", NoOptions),
    ("arrays-safe", SavesShared, "safetensors does not take", NoOptions),
    ("arrays-safe", SavesWithGradient, "requires grad", NoOptions),
]


# --- data sets --------------------------------------------------------------------------------------------------------


def rows(seed=0, count=120):
    random = np.random.default_rng(seed)
    targets = np.arange(count) % 4
    return random.normal(size=(count, 5)).astype(np.float32), targets.astype(np.int64)


def sound_data(config, seed, folder):
    inputs, targets = rows(seed)
    train, valid, test = (Batch(inputs[i : i + 40], targets[i : i + 40]) for i in (0, 40, 80))
    return Data(Problem("classification", (5,), 4, 40), train, valid, test)


def changed(**parts):
    """`sound_data`, with some parts replaced by functions of them."""

    def load(config, seed, folder):
        data = copy.copy(sound_data(config, seed, folder))
        for name, change in parts.items():
            object.__setattr__(data, name, change(getattr(data, name)))
        return data

    return load


def problem_with(**changes):
    return changed(problem=lambda problem: Problem(**{**vars(problem), **changes}))


def unseeded(config, seed, folder):
    return sound_data(config, int(np.random.default_rng().integers(2**32)), folder)


def leaking(config, seed, folder):
    data = sound_data(config, seed, folder)
    inputs = np.concatenate([data.train.inputs[:5], data.test.inputs[5:]])
    return Data(data.problem, data.train, data.valid, Batch(inputs, data.test.targets))


def cut(config, seed, folder):
    """Honours `test` itself, and badly."""
    data = sound_data(config, seed, folder)
    if config.test is None:
        return data
    test = Batch(data.test.inputs[: config.test - 1], data.test.targets[: config.test - 1])
    return Data(data.problem, data.train, data.valid, test)


@dataclass(frozen=True)
class NamelessData(DataOptions):
    noise: float = option(0.1, "")


DATASETS = [
    ("data-options-described", sound_data, "noise: no meaning", NamelessData),
    ("data-deterministic", unseeded, "two loads with the same seed", DataOptions),
    ("data-as-stated", problem_with(input_shape=(6,)), "problem.input_shape is (6,)", DataOptions),
    (
        "data-as-stated",
        problem_with(output_size=3),
        "the target of the train split, row 3, is 3, expected 0 to 2: problem.output_size is 3",
        DataOptions,
    ),
    (
        "data-as-stated",
        problem_with(train_size=39),
        "problem.train_size is 39, the train split has 40 rows",
        DataOptions,
    ),
    ("data-as-stated", problem_with(kind="ranking"), "its kind is classification", DataOptions),
    (
        "data-as-stated",
        changed(valid=lambda split: split._replace(targets=split.targets.astype(np.int32))),
        "the target of the valid split is int32, expected int64",
        DataOptions,
    ),
    (
        "data-as-stated",
        changed(test=lambda split: split._replace(inputs=split.inputs * np.float32(np.nan))),
        "the input of the test split, row 0, column 0, holds nan",
        DataOptions,
    ),
    (
        "data-as-stated",
        changed(transform=lambda _: torch.Tensor.double),
        "train: inputs are float64; expected float32",
        DataOptions,
    ),
    (
        "training-batches",
        changed(augment=lambda _: lambda inputs, generator: inputs + torch.rand(inputs.shape)),
        "training batches drawn twice with the same seed: they differ in the inputs of batch 1",
        DataOptions,
    ),
    (
        "training-batches",
        changed(augment=lambda _: lambda inputs, generator: inputs[:, 1:]),
        "augmented inputs of batch 1: rows have shape (4,); problem.input_shape is (5,)",
        DataOptions,
    ),
    ("splits-apart", leaking, "12.5% of the rows of test are in train too", DataOptions),
    ("sizes-honoured", cut, "the test split has only 19 rows", DataOptions),
]


DECLARED = [
    (
        sound_data,
        {"fixed_test": True},
        "fixed_test, and seeds 0 and 1 have other test rows: they differ in the test",
    ),
    (lambda *_: sound_data(None, 3, None), {"folds": 4}, "folds=4: splits 0 and 3 hold the same rows; load gets the"),
    (sound_data, {"folds": 4, "fixed_test": True}, "fixed_test, and seeds 0 and 3 have other test rows"),
]


# --- metrics ----------------------------------------------------------------------------------------------------------


def accuracy(outcome):
    return float(np.mean(outcome.prediction.log_probs[0].argmax(-1) == outcome.targets))


def infinite(outcome):
    return math.inf if np.ptp(outcome.prediction.log_probs) == 0 else 1.0


def first_component(outcome):
    return float(outcome.prediction.log_probs[-1].max())


def overwriting(outcome):
    outcome.prediction.log_probs[0] *= 0.9
    return 1.0


class Counting:
    calls = 0.0

    def __call__(self, outcome):
        self.calls += 1
        return self.calls


METRICS = [
    ("metric-finite", infinite, "higher", "it is inf for a uninformed prediction"),
    ("metric-direction", accuracy, "lower", "lower is better, yet it is 1 where the prediction is right and 0"),
    ("metric-of-mixture", lambda outcome: float(outcome.prediction.log_probs.sum()), "higher", "are log_weights left"),
    ("metric-pure", overwriting, "higher", "it overwrote the outcome"),
    ("metric-pure", Counting(), "higher", "of the same outcome again"),
]
