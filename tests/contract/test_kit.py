"""The kit finds what it is there to find: for each check, something sound that passes and something that breaks it."""

from __future__ import annotations

import dataclasses
import random
import re

import mutants
import numpy as np
import pytest
import torch
from mutants import DATASETS, DECLARED, METHODS, METRICS, Bigrams, Line, Sound

import harness.checks
from harness import (
    NO_CLASS,
    Batch,
    Check,
    Data,
    Dataset,
    Method,
    Metric,
    NoOptions,
    Problem,
    Reading,
    UsageError,
    hookimpl,
)
from harness.catalog import Catalog, Settings, load_catalog
from harness.testing import Result, cases, cases_of_plugin


class Backend:
    """The torch backend and its checks."""

    @hookimpl
    def harness_backends(self):
        import harness_torch

        yield from harness_torch.harness_backends()

    @hookimpl
    def harness_checks(self):
        import harness_torch

        yield from harness_torch.harness_checks()


def offering(**offers):
    """A plugin with some hooks."""
    hooks = {
        f"harness_{shelf}": staticmethod(hookimpl(lambda values=values: values)) for shelf, values in offers.items()
    }
    return type("Plugin", (), hooks)()


def catalog(*plugins):
    return Catalog.of(harness.checks, Backend(), *plugins)


def method(learner, kinds=("classification",), config=NoOptions, name="subject", **facts):
    return offering(methods=[Method(name, "a method", factory=learner, kinds=kinds, config=config, **facts)])


def outcomes(plugin, name="subject", only=None):
    found = cases(catalog(plugin), name)
    return {case.check.name: case.run() for case in found if only in (None, case.check.name)}


def named(rows):
    return [
        f"{check}-{getattr(thing, '__name__', type(thing).__name__)}-{number}"
        for number, (check, thing, *_) in enumerate(rows)
    ]


# --- methods ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("learner", "kind"), [(Sound, "classification"), (Line, "regression"), (Bigrams, "language")])
def test_a_sound_learner_of_each_kind_passes(learner, kind):
    found = outcomes(method(learner, (kind,)))
    assert {name: result for name, result in found.items() if result.status == "broken"} == {}
    if learner is Sound:
        assert {name for name, result in found.items() if result.status != "ok"} == {"cohort-as-alone"}


@pytest.mark.parametrize(("check", "learner", "reason", "config"), METHODS, ids=named(METHODS))
def test_a_method_that_breaks_a_promise_is_caught(check, learner, reason, config):
    (result,) = outcomes(method(learner, config=config), only=check).values()
    assert result.status == "broken", result
    assert reason in result.reason


def test_what_is_made_once_is_no_leak():
    class MakesABuffer(Sound):
        def update(self, state, batch):
            state, scalars = super().update(state, batch)
            state["updates"] = state.get("updates", 0) + 1
            if state["updates"] == 5:
                state["buffer"] = torch.zeros(100)
            return state, scalars

    (result,) = outcomes(method(MakesABuffer), only="no-leak").values()
    assert result.status == "ok", result


class Bf16(Sound):
    """Products in bf16 where it is asked for, weights in fp32."""

    def init(self, problem, training, base):
        self.dtype = torch.bfloat16 if training.precision == "bf16" else torch.float32
        return super().init(problem, training, base)

    def loss(self, state, batch):
        logits = batch.inputs.flatten(1).to(self.dtype) @ state["weight"].to(self.dtype)
        return torch.nn.functional.cross_entropy(logits.float(), batch.targets)

    def logits(self, state, inputs):
        return (inputs.flatten(1).to(self.dtype) @ state["weight"].detach().to(self.dtype)).float()


class KeepsHalves(Bf16):
    def save(self, state):
        return {"weight": state["weight"].detach().half()}


@pytest.mark.parametrize(
    ("learner", "reason"),
    [
        (Bf16, ""),
        (Sound, "no product is taken in torch.bfloat16 but in torch.float32; training.precision is bf16"),
        (KeepsHalves, "the saved array 'weight' is torch.float16"),
    ],
)
def test_every_precision_that_is_offered_is_honoured(learner, reason):
    offered = method(learner, precisions=("fp32", "tf32", "bf16"))
    (result,) = outcomes(offered, only="device-and-precision").values()
    assert (result.status, result.reason) == ("broken" if reason else "ok", result.reason)
    assert reason in result.reason


class RoundsOtherwise(Sound):
    """As a compiled update may."""

    def init(self, problem, training, base):
        return super().init(problem, training, base) | {"eager": training.eager}

    def loss(self, state, batch):
        if state["eager"]:
            return super().loss(state, batch)
        logits = batch.inputs.flatten(1).double() @ state["weight"].double()
        return torch.nn.functional.cross_entropy(logits * (1 + 1e-4), batch.targets).float()


class DrawsOtherwise(RoundsOtherwise):
    """A compiled update may have another stream of random numbers."""

    def loss(self, state, batch):
        noise = state.setdefault("noise", torch.Generator().manual_seed(int(state["eager"])))
        keep = torch.rand(batch.inputs.shape, generator=noise) < 0.9
        return super().loss(state, batch._replace(inputs=batch.inputs * keep / 0.9))


class DrawsAndIdles(DrawsOtherwise):
    def update(self, state, batch):
        return (
            super().update(state, batch) if not state["eager"] else (state, {"loss": self.loss(state, batch).detach()})
        )


class NeverLearns(Sound):
    def update(self, state, batch):
        return state, {"loss": self.loss(state, batch).detach()}


@pytest.mark.parametrize(
    ("learner", "status"),
    [(RoundsOtherwise, "ok"), (DrawsOtherwise, "ok"), (DrawsAndIdles, "broken"), (NeverLearns, "not applicable")],
)
def test_a_profiled_update_may_round_and_draw_otherwise_but_does_its_work(learner, status):
    (result,) = outcomes(method(learner), only="profiled-as-timed").values()
    assert result.status == status, result


def test_a_stream_that_starts_anew_must_drop_what_was_carried():
    (result,) = outcomes(method(mutants.CarriesAcrossStreams, ("language",)), only="batches-apart").values()
    assert "something of the batch before is carried over" in result.reason


def test_the_kind_that_is_broken_is_named():
    found = outcomes(method(Sound, ("classification", "regression")), only="kinds-taken")
    assert found["kinds-taken"] == Result(
        "broken", "regression: it declares the kind 'regression', but refuses all data of it: not regression"
    )


def test_a_kind_that_the_kit_has_no_data_of_is_not_applicable():
    found = outcomes(method(Sound, ("speech",)), only="kinds-taken")
    assert found["kinds-taken"] == Result("not applicable", "there is no tiny data of kind 'speech'")


def test_what_is_optional_may_be_left_out():
    found = outcomes(method(Line, ("regression",)))
    for check in ("arrays-kept", "arrays-safe"):
        assert found[check] == Result("not applicable", "it has no save(state), which is optional")
    assert found["seed-decides"] == Result("not applicable", "it draws no random numbers from torch")


def test_noise_for_each_row_is_no_state_that_is_carried():
    class Noisy(Sound):
        def loss(self, state, batch):
            noise = state.setdefault("noise", torch.Generator().manual_seed(0))
            return super().loss(
                state, batch._replace(inputs=batch.inputs + torch.randn(batch.inputs.shape, generator=noise))
            )

    (result,) = outcomes(method(Noisy), only="batches-apart").values()
    assert result.status == "not applicable"
    assert "already depends on the order of the rows" in result.reason


def test_a_method_starts_from_the_arrays_of_its_base():
    class Starts(Sound):
        def init(self, problem, training, base):
            assert set(base) == {"weight"}
            return super().init(problem, training, None) | {"weight": base["weight"].clone().requires_grad_()}

    plugin = offering(
        methods=[
            Method("base", "a base", factory=Sound, kinds=("classification",)),
            Method("starts", "starts", factory=Starts, kinds=("classification",), starts_from="base"),
        ]
    )
    found = outcomes(plugin, "starts")
    assert found.pop("seed-decides") == Result("not applicable", "it starts from the weights of another method")
    assert found.pop("cohort-as-alone").status == "not applicable"
    assert {result.status for result in found.values()} == {"ok"}


def test_the_caller_s_generators_and_the_data_of_other_checks_are_left_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state(), random.getstate()
    outcomes(method(mutants.SeedsGlobally), only="deterministic")
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    outcomes(method(mutants.ChangesSettings), only="global-state-untouched")
    assert torch.is_grad_enabled()


def test_every_check_of_ours_is_broken_by_something_here():
    tested = {check for check, *_ in (*METHODS, *DATASETS, *METRICS)}
    assert set(catalog().checks.names()) == tested | {"splits-as-declared", "cohort-as-alone"}  # tested elsewhere


def test_a_plugin_adds_a_promise_of_its_own():
    def polite(subject):
        assert subject.method.summary == "please", "it does not say please"

    plugin = offering(
        checks=[Check("polite", "says please", "method", polite)],
        methods=[Method("subject", "a method", factory=Sound, kinds=("classification",))],
    )
    result = outcomes(plugin, only="polite")["polite"]
    assert result.status == "broken"
    assert re.fullmatch(
        r"raised AssertionError: it does not say please \(test_kit\.py line \d+, in polite\)", result.reason
    )
    assert "in polite" in result.traceback


# --- data sets and metrics --------------------------------------------------------------------------------------------


def dataset(load, config=mutants.DataOptions, **declared):
    return offering(datasets=[Dataset("subject", "a data set", "classification", load, config=config, **declared)])


def test_a_sound_data_set_passes():
    assert {result.status for result in outcomes(dataset(mutants.sound_data)).values()} == {"ok"}


def test_rows_of_a_shifted_split_may_belong_to_no_class():
    def load(config, seed, folder):
        data = mutants.sound_data(config, seed, folder)
        far = data.test._replace(targets=np.full_like(data.test.targets, NO_CLASS))
        return dataclasses.replace(data, shifted={"far": far})

    assert {result.status for result in outcomes(dataset(load)).values()} == {"ok"}


def test_a_data_set_may_say_something_with_a_warning():
    def load(config, seed, folder):
        partial = Reading(12, warning="12 of 40 files")
        return dataclasses.replace(mutants.sound_data(config, seed, folder), readings={"files": partial})

    assert {result.status for result in outcomes(dataset(load)).values()} == {"ok"}


def test_what_the_source_repeats_is_no_leak():
    """Pairs of equal rows, of which the training split holds one as often as two."""

    def load(config, seed, folder):
        random = np.random.default_rng(seed)
        rows = np.repeat(random.normal(size=(80, 5)).astype(np.float32), 2, axis=0)[random.permutation(160)]
        targets = np.arange(160) % 4
        train, valid, test = (Batch(rows[part], targets[part]) for part in np.split(np.arange(160), [80, 120]))
        return Data(Problem("classification", (5,), 4, 80), train, valid, test)

    (result,) = outcomes(dataset(load), only="splits-apart").values()
    assert result.status == "ok", result


def test_a_data_set_of_few_rows_can_be_asked_for_half_of_them():
    def load(config, seed, folder):
        data = mutants.sound_data(config, seed, folder)
        few = Batch(data.train.inputs[:12], data.train.targets[:12])
        return dataclasses.replace(data, train=few, problem=dataclasses.replace(data.problem, train_size=12))

    (result,) = outcomes(dataset(load, rows={"train": 12}), only="sizes-honoured").values()
    assert result.status == "ok", result


@pytest.mark.parametrize(("check", "load", "reason", "config"), DATASETS, ids=named(DATASETS))
def test_a_data_set_that_breaks_a_promise_is_caught(check, load, reason, config):
    (result,) = outcomes(dataset(load, config), only=check).values()
    assert result.status == "broken", result
    assert reason in result.reason


@pytest.mark.parametrize(("load", "declared", "reason"), DECLARED)
def test_a_data_set_whose_splits_are_not_as_it_says_is_caught(load, declared, reason):
    (result,) = outcomes(dataset(load, **declared), only="splits-as-declared").values()
    assert result.status == "broken", result
    assert reason in result.reason


@pytest.mark.parametrize(
    ("mean", "deviation", "statement", "status"),
    [
        (0.0, 1.0, {"target_mean": 5.0, "target_scale": 3.0}, "ok"),
        (0.3, 1.5, {"target_mean": 5.0, "target_scale": 3.0}, "broken"),
        (0.3, 1.5, {}, "ok"),  # a toy on its own scale
        (152.0, 77.0, {}, "broken"),  # nobody has standardised these
        (0.0, 0.0147, {}, "broken"),
        (0.9, 1.0, {}, "broken"),
    ],
)
def test_targets_are_standardised_or_about_so_on_their_own_scale(mean, deviation, statement, status):
    def load(config, seed, folder):
        random = np.random.default_rng(seed)
        inputs, targets = random.normal(size=(120, 2)), random.normal(size=120)
        targets[:40] = (targets[:40] - targets[:40].mean()) / targets[:40].std()
        rows = Batch(inputs.astype(np.float32), (mean + deviation * targets).astype(np.float32))
        train, valid, test = (Batch(*(part[start : start + 40] for part in rows[:2])) for start in (0, 40, 80))
        return Data(Problem("regression", (2,), 1, 40, **statement), train, valid, test)

    plugin = offering(datasets=[Dataset("subject", "a data set", "regression", load)])
    (result,) = outcomes(plugin, only="data-as-stated").values()
    assert result.status == status, result
    assert status == "ok" or f"and deviation {deviation:.3g} in train; expected 0 and 1" in result.reason


@pytest.mark.parametrize("declared", [{"folds": 4}, {"folds": 1}, {}])
def test_a_data_set_gets_the_number_of_the_split_only_where_it_has_some(declared):
    seeds = []

    def load(config, seed, folder):
        seeds.append(seed)
        return mutants.sound_data(config, seed, folder)

    results = outcomes(dataset(load, **declared))
    assert {result.status for result in results.values()} == {"ok"}
    assert set(seeds) == {4: {0, 3}, 1: {0}}.get(declared.get("folds"), set(seeds) - {0, 1})


def test_a_data_set_without_its_files_cannot_be_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_DATA_DIR", str(tmp_path))
    file = mutants.FILE
    plugin = offering(datasets=[Dataset("subject", "s", "classification", mutants.sound_data, files=(file,))])
    for result in outcomes(plugin).values():
        assert result.status == "not applicable"
        assert "harness data fetch subject" in result.reason


@pytest.mark.parametrize(("check", "compute", "better", "reason"), METRICS, ids=named(METRICS))
def test_a_metric_that_breaks_a_promise_is_caught(check, compute, better, reason):
    metric = Metric("subject", "a metric", "", better, kinds=("classification",), compute=compute)
    (result,) = outcomes(offering(metrics=[metric]), only=check).values()
    assert result.status == "broken", result
    assert reason in result.reason


def test_a_metric_that_looks_at_samples_and_says_that_it_does_not_is_caught():
    def accuracy_of_the_mean_sample(outcome):
        right = outcome.prediction.log_probs.argmax(-1) == outcome.targets
        return float(mutants.np.exp(outcome.prediction.log_weights) @ right.mean(1))

    kinds = ("classification",)
    metric = Metric("subject", "s", "", "higher", kinds, compute=accuracy_of_the_mean_sample, mixture=True)
    (result,) = outcomes(offering(metrics=[metric]), only="metric-of-mixture").values()
    assert (result.status, "yet it says mixture=True" in result.reason) == ("broken", True), result


def test_a_reading_has_nothing_to_check():
    results = outcomes(offering(metrics=[Metric("subject", "a reading", "B", "lower")])).values()
    assert set(results) == {Result("not applicable", "it names a reading and computes nothing")}


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_selection_is_checked_with_its_parameters():
    @mutants.dataclass(frozen=True)
    class Config:
        rate: float = mutants.option(0.1, "the learning rate")

    found = cases(catalog(method(Sound, config=Config)), "subject[rate=[0.2,0.3]]")
    assert list(dict.fromkeys(case.label for case in found)) == ["subject[rate=0.2]", "subject[rate=0.3]"]


def test_an_unknown_name_is_a_usage_error():
    with pytest.raises(UsageError, match="no method, data set or metric 'subjct'; did you mean 'subject'"):
        cases(catalog(method(Sound)), "subjct")


def test_a_method_that_needs_what_is_not_installed_is_a_usage_error():
    with pytest.raises(UsageError, match="needs absent_module, not installed"):
        cases(catalog(method(Sound, requires=("absent_module",))), "subject")


def test_what_needs_an_absent_library_is_not_applicable_among_all_that_a_plugin_offers():
    methods = [
        Method("here", "x", Sound, ("classification",)),
        Method("away", "x", Sound, ("classification",), requires=("nowhere",)),
    ]
    found = cases_of_plugin(catalog(offering(methods=methods)), offering.__module__)
    results = {(case.label, case.run()) for case in found if case.check.name == "deterministic"}
    assert results == {("here", Result("ok")), ("away", Result("not applicable", "needs nowhere, not installed"))}


def test_the_checks_of_a_plugin_are_those_of_all_that_it_offers():
    loaded = load_catalog(Settings(plugins=("harness.checks",)))
    found = cases_of_plugin(loaded, "harness_saf")
    assert {(case.of, case.label) for case in found} == {("method", "saf")}
    assert {case.of for case in cases_of_plugin(loaded, "harness_data")} == {"dataset"}
    with pytest.raises(UsageError, match="'nothing' offers no method"):
        cases_of_plugin(loaded, "nothing")
