"""The posterior as referee: what a reference has to be, how it is kept, and what `harness posterior` makes of it."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import click
import numpy as np
import pytest
from scipy.special import erf

from harness import RegressionMixture, UsageError, option, read_records
from harness.cli import main
from harness_bayes import posteriors
from harness_bayes.calibrate_command import calibrate
from harness_bayes.posterior_command import posterior
from harness_bayes.posterior_request import SharedModel
from harness_bayes.posterior_trials import share_model, split_list
from harness_bayes.posteriors import Reference

pytest.importorskip("arviz_stats", reason="extra bayes")

SHIPPED = Path(__file__).parents[3] / "results" / "posteriors" / "toy-gap.npz"
DOCS = (Path(__file__).parents[3] / "docs" / "posterior.md").read_text(encoding="utf-8")

# Methods whose functions are one normal number for all rows: by chains, or moved by a shift.
PLUGIN = """
from dataclasses import dataclass
import math
import torch
from harness import Method, RegressionMixture, hookimpl, option

@dataclass(frozen=True)
class Chains:
    chains: int = option(8, "chains", low=2)
    apart: float = option(0.0, "deviation of their means", low=0)
    noise: float | None = option(None, "of targets", above=0)

@dataclass(frozen=True)
class Moved:
    shift: float = option(0.0, "of functions", low=0)
    noise: float | None = option(None, "of targets", above=0)
    likelihood: str = option("heteroscedastic", "as deep ensembles have it")

class Learner:
    def __init__(self, config):
        self.config = config
    def init(self, problem, training, base):
        return {"weight": torch.zeros(1)}
    def update(self, state, batch):
        return state, {"loss": state["weight"].sum()}
    def predict(self, state, inputs):
        z = self.functions(torch.Generator().manual_seed(len(type(self.config).__name__)))
        means = z[:, None].expand(-1, len(inputs))
        weights = torch.full_like(z, -math.log(len(z)))
        return RegressionMixture(means, torch.full_like(means, self.config.noise**2), weights)

class Sampler(Learner):
    def functions(self, generator):
        z = torch.randn(self.config.chains, 400, generator=generator)
        return (z + self.config.apart * torch.linspace(-1, 1, self.config.chains)[:, None]).flatten()

class Mover(Learner):
    def functions(self, generator):
        assert self.config.likelihood == "gaussian"
        return torch.randn(2000, generator=generator) + self.config.shift

@hookimpl
def harness_methods():
    yield Method("sampler", "chains", Sampler, ("regression", "classification"), config=Chains)
    yield Method("mover", "a shift", Mover, ("regression",), config=Moved)
"""


def mixture(means, noise=0.5):
    return RegressionMixture(means, np.full_like(means, noise**2), np.full(len(means), -math.log(len(means))))


def drawn(chains=8, draws=300, rows=3, apart=0.0, seed=0):
    """Independent draws of chains whose means may lie apart (chains * draws, rows)."""
    means = np.random.default_rng(seed).normal(size=(chains, draws, rows))
    return mixture((means + apart * np.linspace(-1, 1, chains)[:, None, None]).reshape(-1, rows))


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    path = tmp_path_factory.mktemp("plugin") / "referees.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture
def call(plugin, tmp_path, capsys, monkeypatch):
    """`harness posterior` in an empty folder: its exit code, and what it printed."""
    monkeypatch.chdir(tmp_path)

    def called(*arguments):
        code = main(["posterior", *arguments, "-p", str(plugin)])
        return code, capsys.readouterr()

    return called


RUN = ["toy-gap", "--noise", "0.5", "--trajectories", "2", "--epochs", "1", "--threads", "1"]


# --- the reference ------------------------------------------------------------------------------------------------


def test_independent_chains_are_a_reference():
    found = posteriors.diagnose(Reference({"test": drawn(), "gap": drawn(rows=2, seed=1)}, 8))
    assert found.faults == ()
    assert 0.99 < found.rhat < 1.02
    assert found.ess > 1500
    assert 0.01 < found.error < 0.04
    assert found.apart < 0.15


def test_the_worst_split_decides():
    found = posteriors.diagnose(Reference({"test": drawn(), "gap": drawn(apart=2.0)}, 8))
    assert [fault.split()[0] for fault in found.faults[:2]] == ["R-hat", "effective"]
    assert found.rhat > 1.1
    assert found.ess < 400


def test_too_few_draws_are_no_reference():
    found = posteriors.diagnose(Reference({"test": drawn(chains=4, draws=50)}, 4))
    assert any(fault.startswith("effective sample size") for fault in found.faults)


def test_distances_are_means_over_the_rows_of_each_split():
    reference = Reference({"test": drawn(), "gap": drawn(rows=2, seed=1)}, 8)
    moved = {name: each._replace(means=each.means + 1.0) for name, each in reference.splits.items()}
    found = posteriors.measure_splits({**moved, "another": drawn()}, reference)
    assert set(found) == {"test", "gap"}
    for each in found.values():
        assert each.wasserstein == pytest.approx(1.0, abs=0.05)
        assert each.spread == pytest.approx(1.0)
        assert each.total_variation == pytest.approx(erf(1 / math.sqrt(8 * 1.25)), abs=0.03)
    below = posteriors.measure_floor(reference)
    assert all(each.wasserstein < 0.15 and each.total_variation < 0.05 for each in below.values())


def test_predictions_of_other_rows_are_refused():
    with pytest.raises(UsageError, match="of 4 rows; the reference is of 3"):
        posteriors.measure_splits({"test": drawn(rows=4)}, Reference({"test": drawn()}, 8))


def test_a_reference_comes_back_from_its_file(tmp_path):
    path = tmp_path / "posteriors" / "toy.npz"
    reference = Reference({"test": drawn(), "gap": drawn(rows=2, seed=1)}, 8)
    posteriors.write_reference(path, reference, {"dataset": "toy"})
    found, about = posteriors.read_reference(path)
    assert (found.chains, about["dataset"]) == (8, "toy")
    assert list(found.splits) == ["test", "gap"]
    for name, split in reference.splits.items():
        for one, two in zip(found.splits[name], split, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-6, atol=0.5 / 1000 * 0.5)


def test_the_reference_that_comes_along_is_one():
    reference, about = posteriors.read_reference(SHIPPED)
    found = posteriors.diagnose(reference)
    assert found.faults == ()
    assert about["ess"] == pytest.approx(found.ess, rel=0.01)
    assert about["rhat"] == pytest.approx(found.rhat, abs=1e-3)
    assert {name: split.means.shape for name, split in reference.splits.items()} == {
        "test": (3200, 200),
        "gap": (3200, 200),
    }


def test_a_reference_whose_numbers_have_changed_is_refused(tmp_path):
    path = tmp_path / "toy.npz"
    posteriors.write_reference(path, Reference({"test": drawn()}, 8), {})
    with np.load(path) as file:
        arrays = dict(file)
    arrays["test/means"][0, 0] += 1
    np.savez(path, **arrays)
    with pytest.raises(UsageError, match="not those that were written"):
        posteriors.read_reference(path)


def test_predictions_of_other_libraries_may_broadcast_and_leave_weights_out(tmp_path):
    means = drawn().means
    np.savez(tmp_path / "mine.npz", means=means, variances=0.25)
    found = posteriors.read_predictions(tmp_path / "mine.npz")["test"]
    assert found.variances.shape == means.shape
    assert np.exp(found.log_weights).sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"variances": np.ones(3)}, r"has no means; expected means \(S, N\)"),
        ({"means": np.ones((2, 3))}, "has no variances"),
        ({"means": np.ones(3), "variances": np.ones(3)}, r"means has shape \(3,\)"),
        ({"means": np.ones((2, 3)), "variances": np.ones(2)}, "do not broadcast"),
    ],
)
def test_files_that_are_no_predictions_say_what_is_missing(tmp_path, arrays, says):
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(UsageError, match=says):
        posteriors.read_predictions(tmp_path / "mine.npz")


def test_what_is_no_file_of_arrays_is_said(tmp_path):
    (tmp_path / "mine.npz").write_text("no archive")
    with pytest.raises(UsageError, match="cannot be read"):
        posteriors.read_predictions(tmp_path / "mine.npz")


# --- the same for all ---------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Gaussian:
    noise: float | None = option(None, "noise")
    architecture: str | None = option(None, "network")
    prior_scale: float = option(1.0, "prior")


@dataclasses.dataclass(frozen=True)
class Dropout:
    tau: float | None = option(None, "precision")
    architecture: str | None = option(None, "network")


CATALOG = SimpleNamespace(
    methods=SimpleNamespace(
        names=lambda: ["gaussian", "dropout"],
        get=lambda name: SimpleNamespace(config={"gaussian": Gaussian, "dropout": Dropout}[name]),
    )
)


@pytest.mark.parametrize(
    ("methods", "selection"),
    [
        ("gaussian", "gaussian[architecture=9-FC,noise=0.1]"),
        ("gaussian[prior_scale=2]", "gaussian[prior_scale=2,architecture=9-FC,noise=0.1]"),
        (
            "gaussian[noise=[0.1,0.2]],dropout",
            "gaussian[noise=[0.1,0.2],architecture=9-FC],dropout[architecture=9-FC,tau=100.0]",
        ),
        ("./file.py,gaussian[architecture=5-FC]", "./file.py,gaussian[architecture=5-FC,noise=0.1]"),
    ],
)
def test_network_and_noise_are_given_to_every_method_that_has_them(methods, selection):
    assert share_model(CATALOG, methods, SharedModel(0.1, "9-FC", None)) == selection


def test_what_is_not_said_stays_as_it_is():
    assert share_model(CATALOG, "gaussian,dropout", SharedModel(None, None, None)) == "gaussian,dropout"


def test_items_of_a_list_keep_their_brackets():
    assert split_list("a,b[c=[1,2],d=3],e[(x,y)=[(1,2),(3,4)]]") == ["a", "b[c=[1,2],d=3]", "e[(x,y)=[(1,2),(3,4)]]"]


# --- the command --------------------------------------------------------------------------------------------------


def test_methods_are_held_against_the_posterior_and_their_records_say_how_far(call, tmp_path):
    code, said = call(*RUN, "--reference", "sampler", "--methods", "mover[shift=[0,1]]", "--format", "json")
    assert code == 0, said.err
    found = json.loads(said.out)
    assert found["converged"]
    (still,), (moved,) = (rows for label, rows in found["rows"].items() if label.startswith("mover"))
    for split in ("test", "gap"):
        assert moved[split]["wasserstein"] == pytest.approx(1.0, abs=0.1)
        assert moved[split]["total_variation"] == pytest.approx(erf(1 / math.sqrt(8 * 1.25)), abs=0.03)
        assert still[split]["wasserstein"] < 0.1
    records = {record.trial.method.name: record for record in read_records(tmp_path / "results")}
    assert records["mover"].readings["posterior_wasserstein_shifted"] > 0
    assert records["mover"].readings["posterior_reference"] == records["sampler"].trial.key
    assert records["sampler"].readings["posterior_rhat"] == found["diagnoses"][0]["rhat"]

    # What has run does not run again; other libraries are measured against what is kept.
    means = np.random.default_rng(5).normal(2.0, 1.0, (1000, 1)) + np.zeros((1, 200))
    np.savez(tmp_path / "mine.npz", means=means, variances=0.25)
    code, said = call("toy-gap", "--predictions", "mine.npz", "--format", "json")
    assert code == 0
    (mine,) = json.loads(said.out)["rows"]["mine.npz"]
    assert mine["test"]["wasserstein"] == pytest.approx(2.0, abs=0.1)
    assert set(mine) == {"test"}


@pytest.mark.slow
def test_a_reference_that_has_not_converged_is_none(call, tmp_path):
    code, said = call(*RUN, "--reference", "sampler[apart=3.0]", "--methods", "mover")
    assert code == 1
    assert re.search(r"no reference: R-hat of functions is \d", said.out)
    assert "give --trajectories more" in said.out
    (mover,) = (each for each in read_records(tmp_path / "results") if each.trial.method.name == "mover")
    assert not any(name.startswith("posterior") for name in mover.readings)


@pytest.mark.slow
def test_a_table_has_a_column_for_each_distance_and_split(call):
    code, said = call(*RUN, "--reference", "sampler", "--methods", "mover")
    assert code == 0, said.err
    assert re.search(r"toy-gap against sampler\[noise=0\.5\]\nR-hat of functions at most 1\.0", said.out)
    assert said.out.count("total variation") == 2
    assert "one half of the chains" in said.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["toy-gap"], "Missing option '--methods'"),
        (["toy-gap", "--predictions", "mine.npz"], "no reference there; harness posterior toy-gap --methods"),
        (["breast-cancer", "--reference", "sampler", "--noise", "1", "--methods", "mover"], "breast-cancer"),
        (["toy-gap", "--methods", "mover", "--format", "xml"], "--format xml: unknown; known: text, json"),
        ([*RUN, "--reference", "mover", "--methods", "mover"], "has no option chains"),
        ([*RUN, "--reference", "sampler", "--methods", "saf"], "saf takes classification"),
    ],
)
def test_what_cannot_be_compared_is_said_before_anything_runs(call, tmp_path, arguments, says):
    code, said = call(*arguments)
    assert code not in (0, 1)
    assert says in said.err
    assert not (tmp_path / "results").exists()


def test_help_names_every_option():
    with click.Context(posterior, info_name="posterior") as context:
        shown = posterior.get_help(context)
    assert "--trajectories" in shown
    assert "exit 1" in shown


@pytest.mark.parametrize("line", re.findall(r"^harness (?:posterior|calibrate) .*$", DOCS, re.M))
def test_commands_of_the_page_can_be_given(line):
    _, name, *arguments = shlex.split(line)
    with {"posterior": posterior, "calibrate": calibrate}[name].make_context(name, arguments) as context:
        assert context.params["dataset" if name == "posterior" else "method"]


def test_nothing_is_sampled_of_which_nothing_could_be_said(call, monkeypatch, tmp_path):
    monkeypatch.setattr("harness_bayes.posterior_command.find_spec", lambda _: None)
    code, said = call("toy-gap", "--methods", "gm-vi", "--results", str(tmp_path / "none"))
    assert (code, said.out) == (2, "")
    assert "arviz-stats, which is missing: pip install 'harness-bench[bayes]'" in said.err
    assert not (tmp_path / "none").exists()
