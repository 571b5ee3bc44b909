"""Defaults of a run that leaves something out: data sets by kind, seeds by official splits; and nothing to run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from harness import Batch, Budget, Data, Dataset, Method, Problem, Recipe, RegressionMixture, UsageError, hookimpl
from harness.catalog.descriptors import check_answer
from harness.cli import main
from harness.planning.plan import plan_trials
from harness.report import summarise
from harness.seeds import derive
from harness.suites.suite import Request, read_suite
from harness.trials.trial import run_trial

TINY = Path(__file__).with_name("tiny.py")
FOLDS = 20


def never(config):
    raise AssertionError("planning must not build a learner")


def method(name, *kinds, **more):
    return Method(name, "x", never, kinds, **more)


def dataset(name, kind, **more):
    return Dataset(name, "x", kind, never, **more)


class Offers:
    """A plugin with these methods and data sets."""

    def __init__(self, *offers):
        self.offers = offers

    @hookimpl
    def harness_methods(self):
        yield from (offer for offer in self.offers if isinstance(offer, Method))

    @hookimpl
    def harness_datasets(self):
        yield from (offer for offer in self.offers if isinstance(offer, Dataset))


METHODS = (
    method("both", "classification", "regression"),
    method("turned", "regression", "classification"),
    method("sorts", "classification"),
    method("fits", "regression"),
    method("reads", "language"),
    method("needs", "regression", requires=("no_such_module",)),
)
DEFAULTS = (
    dataset("coins", "classification", default=True),
    dataset("line", "regression", default=True),
    dataset("book", "language"),
)


@pytest.fixture
def planned(catalog_of):
    """The planned pairs of method and data set, and the lines that say so."""

    def go(methods, offers=(*METHODS, *DEFAULTS), **asked):
        lines: list[str] = []
        request = Request(methods=methods, device="cpu", **{"seeds": "1", **asked})
        trials = plan_trials(catalog_of(Offers(*offers)), request, lines.append)
        return [(trial.method.name, trial.dataset.name, trial.seed) for trial in trials], lines

    return go


# --- data sets by kind --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("methods", "where"),
    [("sorts", "coins"), ("fits", "line"), ("both", "coins"), ("turned", "line"), ("both,fits", "line")],
)
def test_the_default_is_that_of_the_first_kind_that_all_methods_take(planned, methods, where):
    found, lines = planned(methods)
    assert found == [(name, where, 0) for name in methods.split(",")]
    assert lines == []


def test_methods_without_a_common_kind_are_each_run_on_the_default_of_their_own(planned):
    found, lines = planned("sorts,fits,turned", seeds="2")
    assert found == [
        (name, where, seed)
        for seed in (0, 1)
        for name, where in (("sorts", "coins"), ("fits", "line"), ("turned", "line"))
    ]
    assert lines == ["--datasets: no kind is common to all methods: sorts on coins, fits on line, turned on line"]


def test_a_common_kind_without_a_default_leaves_it_to_the_next(planned):
    found, lines = planned("both,turned", offers=(*METHODS, *DEFAULTS[1:]))
    assert {where for _, where, _ in found} == {"line"}
    assert lines == []


def test_a_kind_of_which_no_data_set_is_the_default_has_to_be_named(planned):
    with pytest.raises(UsageError) as caught:
        planned("sorts,reads")
    assert str(caught.value) == (
        "--datasets: say which; reads takes language, of which no data set is the default; known: coins, line, book"
    )
    assert planned("reads", datasets="book")[0] == [("reads", "book", 0)]


def test_two_defaults_of_one_kind_are_a_mistake_that_names_both_where_that_kind_is_meant(planned):
    offers = (*METHODS, *DEFAULTS, dataset("curve", "regression", default=True))
    with pytest.raises(UsageError, match=r"line \(Offers .*\) and curve \(Offers .*\) are both the default for"):
        planned("fits", offers=offers)
    assert planned("sorts", offers=offers)[0] == [("sorts", "coins", 0)]
    assert planned("fits", offers=offers, datasets="curve")[0] == [("fits", "curve", 0)]


def test_a_run_that_names_its_data_sets_is_told_nothing(planned):
    assert planned("both,fits", datasets="coins") == ([("both", "coins", 0), ("fits", "coins", 0)], [])


# --- nothing to run -----------------------------------------------------------------------------------------------


def test_a_plan_of_nothing_but_skipped_trials_is_a_mistake_with_the_reasons(planned):
    with pytest.raises(UsageError) as caught:
        planned("sorts,needs", datasets="line", seeds="3")
    assert str(caught.value) == (
        "there is nothing to run: sorts takes classification, line is regression; needs no_such_module, not installed"
    )
    assert len(planned("sorts,needs,fits", datasets="line")[0]) == 3


def test_many_reasons_are_cut(planned):
    offers = [method(f"m{number}", "language") for number in range(9)]
    with pytest.raises(UsageError, match=r"m5 takes language, line is regression; and 3 more$"):
        planned(",".join(each.name for each in offers), offers=(*offers, *DEFAULTS), datasets="line")


def test_the_command_ends_with_exit_code_2(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HARNESS_PLUGINS", "executors,metrics")
    arguments = ["run", "-p", str(TINY), "--results", str(tmp_path / "results"), "--methods", "fits"]
    assert main([*arguments, "--datasets", "coins"]) == 2
    assert "there is nothing to run: fits takes regression, coins is classification" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


# --- seeds by official splits -------------------------------------------------------------------------------------


SPLIT = (
    method("fits", "regression"),
    dataset("boston", "regression", folds=FOLDS),
    dataset("year", "regression", folds=1),
    dataset("line", "regression"),
)


def seeds_of(found, where):
    return [seed for _, name, seed in found if name == where]


def test_all_seeds_are_all_official_splits_of_each_data_set(planned):
    found, lines = planned("fits", offers=SPLIT, datasets="boston,year", seeds="all")
    assert seeds_of(found, "boston") == list(range(FOLDS))
    assert seeds_of(found, "year") == [0]
    assert lines == []


def test_all_seeds_of_a_data_set_without_splits_are_refused(planned):
    with pytest.raises(UsageError, match=r"^--seeds all: line has no official splits; say how many seeds, as in 3$"):
        planned("fits", offers=SPLIT, datasets="boston,line", seeds="all")


def test_another_word_is_no_number_of_seeds(planned):
    with pytest.raises(UsageError) as caught:
        planned("fits", offers=SPLIT, datasets="boston", seeds="every")
    assert str(caught.value) == "--seeds every: expected a number such as 3, a list such as [0,7], or all"
    assert len(planned("fits", offers=SPLIT, datasets="boston", seeds="ALL")[0]) == FOLDS


def test_a_number_of_seeds_is_cut_to_the_splits_that_there_are_and_that_is_said(planned):
    found, lines = planned("fits", offers=SPLIT, datasets="line,boston,year", seeds="25")
    assert [len(seeds_of(found, where)) for where in ("line", "boston", "year")] == [25, 20, 1]
    assert [seed for *_, seed in found] == sorted(seed for *_, seed in found)
    assert lines == ["--seeds 25: boston has 20 splits, 0 to 19, year has 1 split, seed 0, and gets no more"]
    assert planned("fits", offers=SPLIT, datasets="boston", seeds="20")[1] == []


def test_a_listed_seed_beyond_the_splits_is_refused(planned):
    with pytest.raises(UsageError, match=r"^--seeds \[3,20\]: boston has 20 splits, 0 to 19$"):
        planned("fits", offers=SPLIT, datasets="boston", seeds="[3,20]")
    assert seeds_of(planned("fits", offers=SPLIT, datasets="boston", seeds="[19,3]")[0], "boston") == [19, 3]


@pytest.mark.parametrize("folds", [-1, True, None, 2.0])
def test_a_number_of_splits_that_is_none_is_named_with_its_data_set(folds):
    with pytest.raises(TypeError, match="data set 'd': folds must be the number of official splits, 0 for none, got"):
        check_answer("harness_datasets", [dataset("d", "regression", folds=folds)])


def test_a_suite_takes_all_and_no_other_word(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('methods = "fits"\nseeds = "all"\n')
    assert read_suite(path).request.seeds == "all"
    path.write_text('methods = "fits"\nseeds = "every"\n')
    with pytest.raises(UsageError, match=r"""seeds = 'every'; expected a number, a list of seeds, or "all" official"""):
        read_suite(path)


# --- a regression data set with 20 splits -------------------------------------------------------------------------


def load_parts(config, seed, folder):
    """The mean of the targets of split i is i; `seed` is the number of the split."""
    inputs = np.arange(12, dtype=np.float32)[:, None]
    targets = np.tile([-1.0, 1.0], 6).astype(np.float32)
    split = Batch(inputs, targets)
    return Data(Problem("regression", (1,), 1, 12, target_mean=float(seed)), split, split, split)


class Constant:
    """Predicts one number on the original scale, far from the targets of later splits."""

    def __init__(self, offset):
        self.offset = offset

    def init(self, problem, training, base):
        self.mean, self.seed = problem.target_mean, training.seed
        return

    def update(self, state, batch):
        return state, {}

    def predict(self, state, inputs):
        means = torch.full((1, len(inputs)), self.offset * self.mean)
        return RegressionMixture(means, torch.ones_like(means), torch.zeros(1))

    def describe(self, state):
        return {"init_seed": self.seed}


class Split:
    @hookimpl
    def harness_methods(self):
        yield Method("right", "x", lambda _: Constant(0.0), ("regression",))
        yield Method("wrong", "x", lambda _: Constant(1.0), ("regression",))

    @hookimpl
    def harness_datasets(self):
        recipe = Recipe(Budget("updates", 1), 4)
        yield Dataset("parts", "x", "regression", load_parts, recipe=recipe, folds=FOLDS, default=True)


@pytest.fixture
def records(catalog_of):
    catalog = catalog_of(Split())
    trials = plan_trials(catalog, Request(methods="right,wrong", seeds="all", device="cpu"))
    return catalog, [run_trial(catalog, trial) for trial in trials]


def test_seed_i_loads_split_i_and_rows_and_paired_differences_are_over_all_of_them(records):
    catalog, found = records
    assert {record.status for record in found} == {"ok"}
    wrong = [record for record in found if record.trial.method.name == "wrong"]
    assert [record.trial.seed for record in wrong] == list(range(FOLDS))
    for record in wrong:  # off by the number of the split, and targets deviate by 1
        assert record.scores["rmse"] == pytest.approx(np.hypot(record.trial.seed, 1.0))
        assert record.facts["init_seed"] == derive(record.trial.seed, "parts", "init")
    (table,) = summarise(found, catalog.metrics.values()).tables
    first, second = table.rows
    assert (first.n, second.n, second.lacking_seeds) == (FOLDS, FOLDS, ())
    expected = [np.hypot(seed, 1.0) for seed in range(FOLDS)]
    assert second.cells["rmse"].mean == pytest.approx(np.mean(expected))
    assert second.cells["rmse"].sd == pytest.approx(np.std(expected, ddof=1))
    difference = second.against.difference
    assert (difference.n, difference.mean) == (FOLDS, pytest.approx(np.mean(expected) - 1))
    error = np.std(expected, ddof=1) / np.sqrt(FOLDS)
    assert (difference.high - difference.low) / 2 == pytest.approx(2.093 * error, rel=1e-3)  # Student's t, 19


def test_fewer_rows_of_a_split_can_be_asked_for(catalog_of):
    catalog = catalog_of(Split())
    (trial,) = plan_trials(catalog, Request(methods="right", datasets="parts[test=5]", seeds="[7]", device="cpu"))
    record = run_trial(catalog, trial)
    assert record.measured["rows"]["test"] == 5
