"""Planning is pure and finds every mistake before anything is trained."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import harness
from harness import (
    Batch,
    Budget,
    Data,
    DataOptions,
    Dataset,
    File,
    Method,
    Problem,
    Recipe,
    UsageError,
    hookimpl,
    option,
)
from harness.planning import fingerprints
from harness.planning.plan import changed_parts, plan_trials
from harness.suites.suite import Request


@dataclass(frozen=True)
class Knobs:
    rate: float = option(0.1, "learning rate", above=0)
    steps: int | None = option(None, "time steps, the data set's recipe by default", low=1)


@dataclass(frozen=True)
class Dials(DataOptions):
    noise: float = option(0.0, "standard deviation of the noise", low=0)


def load(config, seed, folder):
    split = Batch(np.zeros((4, 1), np.float32), np.zeros(4, int))
    return Data(Problem("classification", (1,), 2, 4), split, split, split)


ROWS = {"train": 10**6, "valid": 4}


def never(config):
    raise AssertionError("planning must not build a learner")


class Plugin:
    @hookimpl
    def harness_methods(self):
        yield Method("fast", "a", factory=never, kinds=("classification",), config=Knobs, family="ticking")
        yield Method("slow", "b", factory=never, kinds=("classification", "regression"))
        yield Method("thin", "c", factory=never, kinds=("classification",), starts_from="fast[rate=0.5]")
        yield Method("half", "d", factory=never, kinds=("classification",), precisions=("fp32", "tf32", "bf16"))
        yield Method("gone", "e", factory=never, kinds=("classification",), requires=("no_such_module",))

    @hookimpl
    def harness_datasets(self):
        recipe = Recipe(Budget("epochs", 3), 16, {"ticking": {"steps": 4, "unknown": 1}, "other": {"rate": 5.0}})
        yield Dataset("dots", "a", "classification", load, config=Dials, recipe=recipe, default=True, rows=ROWS)
        yield Dataset("lines", "b", "regression", load)
        yield Dataset(
            "stored", "c", "classification", load, files=(File("stored/x.gz", ("https://x/x.gz",), sha256="0" * 64),)
        )


@pytest.fixture
def planned(catalog_of):
    catalog = catalog_of(Plugin())

    def make(methods: str | None = "fast", **asked):
        return plan_trials(catalog, Request(methods=methods, device="cpu", **asked))

    return make


def test_seeds_are_outermost_so_that_methods_are_interleaved(planned):
    trials = planned("fast,slow", seeds="2")
    assert [(trial.seed, trial.method.label) for trial in trials] == [
        (0, "fast"),
        (0, "slow"),
        (1, "fast"),
        (1, "slow"),
    ]


def test_three_seeds_and_the_default_data_set_are_used_when_nothing_is_said(planned):
    trials = planned("slow")
    assert {trial.seed for trial in trials} == {0, 1, 2}
    assert {trial.dataset.name for trial in trials} == {"dots"}


def test_the_recipe_fills_what_is_left_unset_and_only_that(planned):
    (default,) = planned("fast", seeds="1")
    (given,) = planned("fast[steps=8]", seeds="1", batch_size=5, budget=Budget("updates", 7))
    assert default.method.options == {"rate": 0.1, "steps": 4}
    assert (default.terms.batch_size, default.terms.budget) == (16, Budget("epochs", 3))
    assert given.method.options == {"rate": 0.1, "steps": 8}
    assert (given.terms.batch_size, given.terms.budget) == (5, Budget("updates", 7))
    assert default.method.label == "fast"


def test_sweeps_of_methods_and_data_sets_multiply(planned):
    trials = planned("fast[rate=[0.1,0.2]]", datasets="dots[noise=[0,1,2]]", seeds="[5]")
    assert len({trial.key for trial in trials}) == len(trials) == 6


def test_a_base_is_planned_once_before_what_starts_from_it_and_keeps_its_weights(planned):
    trials = planned("thin,fast[rate=0.5]", seeds="1", budget=Budget("epochs", 9))
    base, thin, asked = trials
    assert (base.method.label, base.keep, base.terms.budget.amount) == ("fast[rate=0.5]", True, 3)
    assert thin.base == dataclasses.replace(base)
    assert (asked.keep, asked.terms.budget.amount) == (False, 9)


@pytest.mark.parametrize(
    ("bases", "said"),
    [
        ({"one": "two", "two": "one"}, "in a circle, one -> two -> one"),
        ({"one": "fast[rate=[0.1,0.2]]"}, "one value for each option"),
        ({"one": "fast,slow"}, "one method"),
        ({"one": "fsat"}, "fast"),
    ],
)
def test_a_base_that_is_none_is_refused_by_name(catalog_of, bases, said):
    class Wrong:
        @hookimpl
        def harness_methods(self):
            for name, base in bases.items():
                yield Method(name, "x", factory=never, kinds=("classification",), starts_from=base)

    with pytest.raises(UsageError, match=said):
        plan_trials(catalog_of(Plugin(), Wrong()), Request(methods="one", seeds="1", device="cpu"))


def test_a_base_that_was_asked_for_too_is_one_trial(planned):
    trials = planned("fast[rate=0.5],thin", seeds="1")
    assert [(trial.method.name, trial.keep) for trial in trials] == [("fast", True), ("thin", False)]


def test_what_does_not_fit_is_planned_as_skipped_with_its_reason(planned):
    by_name = {trial.method.name: trial for trial in planned("fast,slow,gone", datasets="lines", seeds="1")}
    assert by_name["fast"].skip == "fast takes classification, lines is regression"
    assert by_name["slow"].skip is None
    assert "no_such_module" in planned("fast,gone", seeds="1")[1].skip


class Needy:
    """Methods that start from one that cannot run, and one that cannot run itself."""

    @hookimpl
    def harness_methods(self):
        yield Method("after-gone", "a", factory=never, kinds=("classification",), starts_from="gone")
        yield Method("lost", "b", factory=never, kinds=("classification",), starts_from="fast", requires=("no_module",))


class Twin:
    """Another plugin's method of a name that is taken."""

    @hookimpl
    def harness_methods(self):
        yield Method("slow", "x", factory=never, kinds=("classification",))


def test_what_starts_from_a_skipped_trial_is_skipped_with_its_reason(catalog_of):
    trials = plan_trials(catalog_of(Plugin(), Needy()), Request(methods="slow,after-gone", seeds="1", device="cpu"))
    (trial,) = (trial for trial in trials if trial.method.name == "after-gone")
    assert trial.skip == f"starts from gone, which is skipped: {trial.base.skip}"
    assert "no_such_module" in trial.base.skip


def test_no_base_is_trained_for_what_is_skipped(catalog_of):
    trials = plan_trials(catalog_of(Plugin(), Needy()), Request(methods="slow,lost", seeds="1", device="cpu"))
    assert [trial.method.name for trial in trials] == ["slow", "lost"]


def test_methods_of_one_name_from_two_plugins_are_run_side_by_side(catalog_of):
    catalog = catalog_of(Plugin(), Twin())
    one, other = plan_trials(catalog, Request(methods="Plugin:slow,Twin:slow", seeds="1", device="cpu"))
    assert (one.method.label, other.method.label) == ("Plugin:slow", "Twin:slow")
    assert (one.method.provider, other.method.provider) == ("Plugin", "Twin")
    assert one.key != other.key


@pytest.mark.parametrize(
    "spelling", ["fast[]", "fast(rate=0.1)", "fast[rate=.1,steps=none]", "Plugin:fast", "Plugin:fast[rate=1e-1]"]
)
def test_a_trial_is_named_and_keyed_by_the_values_of_its_options_however_they_are_written(planned, spelling):
    (plain,), (spelt,) = planned("fast", seeds="1"), planned(spelling, seeds="1")
    assert (spelt.method.label, spelt.method.given, spelt.key) == ("fast", {}, plain.key)


def test_an_option_that_is_given_what_the_recipe_says_is_the_same_trial(planned):
    (plain,), (spelt,) = planned("fast", seeds="1"), planned("fast[steps=4]", seeds="1")
    assert (spelt.key, spelt.method.label) == (plain.key, "fast[steps=4]")


@pytest.mark.parametrize("spelling", ["fast[rate=0.1]", "Plugin:fast", "fast[steps=4]"])
def test_what_is_selected_under_two_spellings_is_refused_in_words(planned, spelling):
    with pytest.raises(
        UsageError, match=rf"--methods: {re.escape(spelling)} is selected twice; it is the same as fast$"
    ):
        planned(f"fast,{spelling}")


def test_a_sweep_holds_what_its_options_come_to_on_the_data_set(planned):
    trials = planned("fast[steps=[none,8],rate=[0.1,0.2]]", seeds="1")
    assert [trial.method.label for trial in trials] == [
        "fast",
        "fast[rate=0.2]",
        "fast[steps=8]",
        "fast[rate=0.2,steps=8]",
    ]
    assert {trial.method.sweep for trial in trials} == {((("rate",), ((0.1,), (0.2,))), (("steps",), ((4,), (8,))))}


def test_a_precision_that_a_method_does_not_offer_is_skipped(planned):
    slow, half = planned("slow,half", seeds="1", precision="bf16")
    assert slow.skip == "slow offers fp32, tf32, not bf16"
    assert half.skip is None


def test_planning_is_pure_and_keys_follow_content(planned):
    first, again = planned("fast", seeds="1"), planned("fast", seeds="1")
    assert first == again
    (base,) = first
    different = {
        "seed": planned("fast", seeds="[1]"),
        "method": planned("fast[rate=0.2]", seeds="1"),
        "budget": planned("fast", seeds="1", budget=Budget("epochs", 4)),
        "threads": planned("fast", seeds="1", threads=base.terms.threads + 1),
        "batch_size": planned("fast", seeds="1", batch_size=3),
        "deterministic": planned("fast", seeds="1", deterministic=True),
    }
    for part, (other,) in different.items():
        assert other.key != base.key, part
        assert changed_parts(base.parts, other.parts) == [part]


@pytest.mark.parametrize("pattern", fingerprints.CORE)
def test_the_files_of_the_core_that_keys_follow_are_there(pattern):
    assert list(Path(harness.__file__).parent.glob(pattern))


WRONG = {
    "nothing asked": (dict(methods=None), "--methods"),
    "empty": (dict(methods=""), "nothing is selected"),
    "an empty name": (dict(methods="fast,"), "empty"),
    "unknown method": (dict(methods="fats"), "fast"),
    "unknown data set": (dict(datasets="dost"), "dots"),
    "unknown parameter": (dict(methods="fast[raet=1]"), "rate"),
    "wrong type": (dict(methods="fast[rate=high]"), "rate"),
    "out of range": (dict(methods="fast[steps=0]"), "steps"),
    "data option out of range": (dict(datasets="dots[train=0]"), "train"),
    "more rows than there are": (
        dict(datasets="dots[valid=[4,5]]"),
        r"dots\[valid=5\]: the valid split has only 4 rows",
    ),
    "no seeds": (dict(seeds="0"), "seeds"),
    "twice": (dict(methods="fast,fast"), "twice"),
    "twice by a sweep": (dict(methods="fast[rate=0.2],fast[rate=[0.2,0.3]]"), "twice"),
    "data set twice": (dict(datasets="dots,dots"), "twice"),
    "a missing device": (dict(device="cuda:99"), "cuda:99"),
    "an unknown device": (dict(device="tpu"), "tpu"),
    "missing data": (dict(datasets="stored"), "x.gz"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_mistake_is_one_clear_usage_error_that_names_it(catalog_of, what, tmp_path):
    asked, named = WRONG[what]
    request = Request(**{"methods": "fast", "device": "cpu", "data": tmp_path} | asked)
    with pytest.raises(UsageError, match=named):
        plan_trials(catalog_of(Plugin()), request)


def test_a_file_given_as_a_method_selects_what_it_offers(catalog_of, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from harness import Method, hookimpl\n"
        "@hookimpl\ndef harness_methods():\n"
        "    for name in ('one', 'two'):\n"
        "        yield Method(name, 'x', factory=lambda config: None, kinds=('classification',))\n"
    )
    trials = plan_trials(catalog_of(Plugin()), Request(methods=f"{file},slow", seeds="1", device="cpu"))
    assert [trial.method.label for trial in trials] == ["one", "two", "slow"]


# --- suites -------------------------------------------------------------------------------------------------------


def test_flags_override_the_values_of_a_suite(tmp_path):
    from harness.suites import suite

    file = tmp_path / "s.toml"
    file.write_text('summary = "x"\nmethods = ["fast[steps=2]", "slow"]\nseeds = [0, 7]\nepochs = 5\nbatch_size = 8\n')
    written = suite.read_suite(file).request
    said = {"seeds": "[0, 7]", "budget": Budget("epochs", 5), "batch_size": 8}
    assert written == Request(methods="fast[steps=2],slow", folder=tmp_path, **said)
    asked = Request(seeds="1", budget=Budget("updates", 3)).over(written)
    assert (asked.methods, asked.seeds, asked.budget, asked.batch_size) == (
        "fast[steps=2],slow", "1", Budget("updates", 3), 8,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("methods = ", "not TOML"),
        ("method = 'fast'", "unknown key 'method'"),
        ("seeds = 'three'", "seeds = 'three'; expected a number, a list of seeds, or"),
        ("epochs = true", "wrong type"),
        ("epochs = 1\nupdates = 2", "one budget, not epochs and updates"),
    ],
)
def test_a_suite_that_is_wrong_names_the_file_and_the_word(tmp_path: Path, text, said):
    from harness.suites import suite

    file = tmp_path / "s.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=rf"s\.toml.*{said}"):
        suite.read_suite(file)


# --- how many -----------------------------------------------------------------------------------------------------


HUNDRED = ",".join(f"{number}" for number in range(1, 101))
MANY = {
    "seeds": (dict(methods=f"fast[rate=[{HUNDRED}],steps=[{HUNDRED}]]", seeds="100"), "10,000 methods", "1,000,000"),
    "several selections": (
        dict(methods=f"fast[rate=[{HUNDRED}]],fast[rate=[{HUNDRED}],steps=[1,2]]", seeds="1000"),
        "300 methods on 1 data set with 1,000 seeds",
        "300,000",
    ),
    "data sets": (dict(datasets=f"dots[noise=[{HUNDRED}]],lines", seeds="2000"), "101 data sets", "202,000"),
    "combinations alone": (
        dict(methods=f"fast[rate=[{HUNDRED}],steps=[{HUNDRED}]]", datasets=f"dots[noise=[{HUNDRED}]]", seeds="1"),
        "10,000 methods on 100 data sets",
        "1,000,000",
    ),
    "bases": (
        dict(methods="thin", datasets=f"dots[noise=[{HUNDRED}]]", seeds="1001"),
        "1 method and 1 that they start from",
        "200,200",
    ),
}


@pytest.mark.parametrize("what", MANY)
def test_more_trials_than_can_be_planned_are_refused_before_any_is_made(planned, monkeypatch, what):
    asked, which, count = MANY[what]
    monkeypatch.setattr(hashlib, "sha256", None)  # no key can be made
    with pytest.raises(UsageError, match="at most 200,000 can be planned") as caught:
        planned(**asked)
    assert which in str(caught.value)
    assert f"make {count} trials" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_bound_itself_is_planned(planned, monkeypatch):
    monkeypatch.setattr("harness.planning.plan.MOST_TRIALS", 24)
    asked = dict(methods="thin,fast[rate=[0.1,0.2]]", datasets="dots[noise=[0,1]]")
    assert len(planned(**asked, seeds="3")) == 24
    with pytest.raises(UsageError, match="3 methods and 1 that they start from on 2 data sets with 4 seeds make 32"):
        planned(**asked, seeds="4")


def test_sources_are_followed_once_for_each_offer(planned, monkeypatch):
    followed: list[str] = []
    behind = fingerprints.follow_offer
    monkeypatch.setattr(
        fingerprints, "follow_offer", lambda offer, known: followed.append(offer.value.name) or behind(offer, known)
    )
    trials = planned("thin,fast[rate=[0.1,0.2]]", datasets="dots[noise=[0,1]]", seeds="3")
    assert sorted(followed) == ["dots", "fast", "thin", "torch"]
    assert len({trial.key for trial in trials}) == len(trials) == 24
