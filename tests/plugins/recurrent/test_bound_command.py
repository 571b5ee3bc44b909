"""`harness bound`: its numbers are those of plain equations on the arrays, and it says of what there are none."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import forked
from safetensors.numpy import load_file

from harness import read_records, rehearse
from harness.catalog import Settings, load_catalog
from harness.cli import main
from harness_recurrent import bound_report
from harness_recurrent.bounds import Row

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "bound.md").read_text(encoding="utf-8")
FEW = ["--seeds", "1", "--threads", "1", "--keep-weights", "--here"]
METRICS = "accuracy,occam_bound,train_error_gap"
SMALL = "nodes=5,hidden=12"
TRIAL = f"spectral-pruning[{SMALL},cell=elman]/digits-rows/0"


def call(folder, *arguments):
    return forked(arguments, dict(os.environ), folder, timeout=240)


def ran(folder, methods, datasets, *more):
    """The folder with results of a run, here: what it has imported and read no call of a command does again."""
    run = ("run", "--methods", methods, "--datasets", datasets, *FEW, *more)
    assert main([*run, "--results", str(folder / "results")]) == 0
    return folder


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """Results of small networks of every kind that is told apart."""
    names = (
        f"spectral-pruning[{SMALL},cell=[elman,gru]]",
        f"spectral-pruning[{SMALL},cell=irnn,reconstruct=no,finetune=1]",
        f"spectral-pruning[{SMALL},layers=2,covariance=last-step]",
    )
    metrics = ("--epochs", "2", "--metrics", METRICS)
    return ran(tmp_path_factory.mktemp("desk"), ",".join(names), "digits-rows", *metrics)


def bound(desk, trial, *more):
    done = call(desk, "bound", trial, "--format", "json", *more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def values(found):
    return {name: row["value"] for name, row in found["rows"].items()}


def record(desk, beginning):
    (only,) = (each for each in read_records(desk / "results") if each.trial.method.label.startswith(beginning))
    return only


# --- against plain equations ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(desk):
    """States and outputs (n, T, .) of the base, by numpy, and what is known of the trial."""
    kept = record(desk, "spectral-pruning[nodes=5,cell=elman")
    arrays = [load_file(desk / "results" / "trials" / f"{key}.safetensors") for key in keys(kept)]
    base, smaller = ({name: each.astype(float) for name, each in own.items()} for own in arrays)
    data = rehearse(load_catalog(Settings()), "dense-rnn", "digits-rows", device="cpu").data
    return kept, base, smaller, data


def keys(kept):
    return kept.trial.base.key, kept.trial.key


def forward(tensors, x):
    """tanh(Wx x + Wh h + b) from rest, for x (n, T, d)."""
    W = {name.removeprefix("cells.0."): each for name, each in tensors.items()}
    h, states = np.zeros((len(x), len(W["input.bias"]))), []
    for step in range(x.shape[1]):
        h = np.tanh(x[:, step] @ W["input.weight"].T + h @ W["recurrent.weight"].T + W["input.bias"])
        states.append(h)
    states = np.stack(states, axis=1)
    return states, states @ W["readout.weight"].T + W["readout.bias"]


def rows_of(batch):
    return np.asarray(batch.inputs, dtype=float).reshape(len(batch.inputs), 8, 8), np.asarray(batch.targets)


def at_bits(tensors, bits):
    """Each tensor rounded to 2^(bits - 1) - 1 steps either side of zero."""
    levels = 2 ** (bits - 1) - 1
    scales = {name: float(np.float32(abs(each).max() / levels)) for name, each in tensors.items()}
    return {name: np.rint(each / scales[name]).clip(-levels, levels) * scales[name] for name, each in tensors.items()}


def errs(tensors, batch):
    x, targets = rows_of(batch)
    return float((forward(tensors, x)[1][:, -1].argmax(-1) != targets).mean())


def test_approximation_and_bias_are_those_of_plain_equations(desk, plain):
    kept, base, smaller, data = plain
    found, J = values(bound(desk, TRIAL)), kept.facts["nodes"]
    x, _ = rows_of(data.train)
    states, outputs = forward(base, x)
    m, k, h = 12, 5, states.reshape(-1, 12)
    S = h.T @ h / len(h)
    lam = 1e-4 * np.trace(S) / m
    share = S @ np.linalg.inv(S + lam * np.eye(m))
    tau = np.diag(lam * k * np.diag(share)[J] / np.trace(share))
    A = S[:, J] @ np.linalg.inv(S[np.ix_(J, J)] + tau)
    E = S - A @ S[J]
    Wo, Wh = base["readout.weight"], base["cells.0.recurrent.weight"]
    assert found["lam"] == pytest.approx(lam)
    assert found["degrees_of_freedom"] == pytest.approx(np.trace(share))
    assert found["input_loss"] == pytest.approx(np.trace(E))
    assert found["readout_loss"] == pytest.approx(np.trace(Wo @ E @ Wo.T))
    assert found["recurrent_loss"] == pytest.approx(np.trace(Wh @ E @ Wh.T))
    kappa = np.linalg.norm(Wh[J] @ A, 2)
    assert found["kappa"] == pytest.approx(kappa)
    assert found["reconstruction_norm"] == pytest.approx(np.linalg.norm(A, 2))

    r = states - states[..., J] @ A.T  # (n, T, m)
    through = np.sqrt(((r @ Wh[J].T) ** 2).sum(-1).mean(0))  # (T,)
    read = np.sqrt(((r @ Wo.T) ** 2).sum(-1).mean(0))
    growth = np.linalg.norm(Wo @ A, 2)
    carried = growth * sum(kappa**s for s in range(7)) * math.sqrt((through**2).mean())
    assert found["bias_bound"] == pytest.approx(math.sqrt((read**2).mean()) + carried)
    last = read[-1] + growth * sum(kappa ** (7 - 1 - s) * through[s] for s in range(7))
    assert found["bias_bound_last"] == pytest.approx(last)

    whole = {
        "cells.0.input.weight": base["cells.0.input.weight"][J],
        "cells.0.input.bias": base["cells.0.input.bias"][J],
        "cells.0.recurrent.weight": Wh[J] @ A,
        "readout.weight": Wo @ A,
        "readout.bias": base["readout.bias"],
    }
    apart = ((outputs - forward(whole, x)[1]) ** 2).sum(-1)
    assert found["bias"] == pytest.approx(math.sqrt(apart.mean()))
    assert found["bias_last"] == pytest.approx(math.sqrt(apart[:, -1].mean()))
    assert found["bias"] <= found["bias_bound"] <= found["bias_bound_a_priori"]
    assert found["bias_last"] <= found["bias_bound_last"]
    for name, each in whole.items():
        np.testing.assert_allclose(smaller[name], each, rtol=1e-3, atol=1e-3)  # what was deployed is what is bounded


def test_errors_and_occam_bounds_are_those_of_the_quantised_network(desk, plain):
    _, base, smaller, data = plain
    found = bound(desk, TRIAL, "--bits", "4,8", "--delta", "0.1")
    numbers = values(found)
    p = sum(each.size for each in smaller.values())
    assert numbers["parameters"] == p
    for name, tensors in {"base": base, "compressed": smaller, "quantised_4": at_bits(smaller, 4)}.items():
        assert numbers[f"{name}_train_error"] == pytest.approx(errs(tensors, data.train), abs=1e-12)
        assert numbers[f"{name}_test_error"] == pytest.approx(errs(tensors, data.test), abs=1e-12)
        assert numbers[f"{name}_gap"] == pytest.approx(errs(tensors, data.test) - errs(tensors, data.train))
    for bits in (4, 8):
        length = (bits * p + 32 * 5 + 64) * math.log(2) + math.log(10)
        expected = errs(at_bits(smaller, bits), data.train) + math.sqrt(length / (2 * len(data.train.inputs)))
        assert numbers[f"occam_bound_{bits}"] == pytest.approx(expected)
        assert found["rows"][f"occam_bound_{bits}"]["vacuous"] == (expected >= 1)


def test_the_variance_term_is_that_of_a_covering_by_the_norms(desk, plain):
    _, _, smaller, data = plain
    x, _ = rows_of(data.train)
    n, W = len(x), {name.removeprefix("cells.0."): each for name, each in smaller.items()}
    names = ("recurrent.weight", "input.weight", "input.bias", "readout.weight", "readout.bias")
    Rh, Ri, Rb, Ro, Rbo = (2.0 ** math.ceil(math.log2(np.linalg.norm(W[name], 2))) for name in names)
    largest, powers = np.linalg.norm(x, axis=-1).max(), sum(Rh**s for s in range(8))
    H = (Ri * largest + Rb) * powers
    slopes = [Rh * Ro * powers * H, Ri * Ro * powers * largest, Rb * Ro * powers, Ro * H, Rbo]
    log = sum(
        W[name].size * math.log(1 + 10 * math.sqrt(2) * n * each) for name, each in zip(names, slopes, strict=True)
    )
    expected = 2 / n + math.sqrt((log + 5 * math.log(64) + math.log(20)) / (2 * n))
    assert values(bound(desk, TRIAL))["variance_term"] == pytest.approx(expected)


def test_the_record_has_as_facts_and_readings_what_is_printed(desk):
    kept = record(desk, "spectral-pruning[nodes=5,cell=elman")
    found = bound(desk, kept.trial.key[:12])
    numbers = values(found)
    for name in ("lam", "degrees_of_freedom", "feasible_lam", "kappa", "reconstruction_norm"):
        assert kept.facts[name] == pytest.approx(numbers[name], rel=1e-3)
    assert kept.facts["log10_bias_bound"] == pytest.approx(found["rows"]["bias_bound"]["log10"], rel=1e-3)
    assert 0 < kept.facts["readout_information_loss"] < 1
    assert kept.readings["occam_bound"] == pytest.approx(numbers["occam_bound_8"], abs=5e-3)
    assert kept.readings["train_error_gap"] == pytest.approx(numbers["compressed_gap"], abs=5e-3)
    base = record(desk, "dense-rnn[cell=elman")
    assert base.readings["train_error_gap"] == pytest.approx(numbers["base_gap"], abs=5e-3)


def test_a_network_with_positions_has_a_gap_and_no_length(tmp_path):
    ran(tmp_path, "column-sparsification[nodes=5,hidden=12]", "digits-rows", "--updates", "2", "--metrics", METRICS)
    (kept,) = (each for each in read_records(tmp_path / "results") if each.trial.base)
    assert "parameters are all numbers" in kept.holes["occam_bound"]
    assert abs(kept.readings["train_error_gap"]) < 1


# --- what is said -----------------------------------------------------------------------------------------------------


def test_a_table_calls_vacuous_what_is(desk):
    done = call(desk, "bound", TRIAL)
    assert done.returncode == 0, done.stderr
    assert "spectral-pruning[nodes=5,cell=elman,hidden=12] on digits-rows, seed 0" in done.stdout
    assert re.search(
        r"^bias bound before J is known +\S+ .*\n.*\n? +vacuous: without any node it is \d", done.stdout, re.M
    )
    assert re.search(r"^information loss, input L_A +\S+  Tr E$", done.stdout, re.M)
    assert re.search(r"^training error, base +0\.\d+$", done.stdout, re.M)
    assert "\x1b" not in done.stdout


def test_a_line_of_csv_is_a_row_of_json(desk):
    done = call(desk, "bound", TRIAL, "--format", "csv")
    lines = {line["name"]: line for line in csv.DictReader(io.StringIO(done.stdout))}
    found = bound(desk, TRIAL)["rows"]
    assert list(lines) == list(found)
    assert float(lines["bias"]["value"]) == found["bias"]["value"]


def test_what_is_not_derived_says_so_and_the_rest_is_there(desk):
    gated = bound(desk, f"spectral-pruning[{SMALL},cell=gru]/digits-rows/0")["rows"]
    assert gated["bias_bound"]["value"] is None
    assert "not derived for gru" in gated["bias_bound"]["note"]
    assert "not derived for gru" in gated["variance_term"]["note"]
    assert gated["occam_bound_8"]["value"] > 0
    assert gated["bias"]["value"] > 0
    two = bound(desk, f"spectral-pruning[{SMALL},layers=2,covariance=last-step]/digits-rows/0")["rows"]
    assert "not derived for 2 layers" in two["bias_bound"]["note"]
    assert two["input_loss_1"]["equation"] == "Tr R"
    kept = record(desk, "spectral-pruning[nodes=5,hidden=12,layers=2")
    assert len(kept.facts["degrees_of_freedom"]) == 2
    assert "kappa" not in kept.facts


def test_a_network_without_reconstruction_that_was_fine_tuned_has_both_biases(desk):
    found = values(bound(desk, record(desk, "spectral-pruning[finetune=1").trial.key))
    assert found["reconstruction_norm"] == pytest.approx(1.0)
    assert found["bias"] <= found["bias_bound"]
    assert found["bias_tuned"] != found["bias"]


def test_what_exceeds_every_float_is_said_by_its_logarithm():
    rows = [Row("bias_bound", "bias bound", "..", math.inf, 2302.6, 1.0), Row("kappa", "kappa", value=2.0)]
    about = {"method": "m", "dataset": "d", "seed": 0, "base": "b", "trial": "t", "delta": 0.05, "precision": "fp32"}
    assert re.search(r"bias bound +1e1000 ", bound_report.as_text(about, rows, 80, False))
    assert "\x1b[2mbias bound" in bound_report.as_text(about, rows, 80, True)
    plain = json.loads(bound_report.as_json(about, rows))["rows"]
    assert plain["bias_bound"]["value"] is None
    assert plain["bias_bound"]["log10"] == pytest.approx(1000, abs=0.1)
    assert plain["kappa"] | {"log10": None, "vacuous": None} == plain["kappa"]


def test_a_trial_in_a_lower_precision_is_told_from_the_numbers_of_the_theory(tmp_path):
    ran(tmp_path, f"spectral-pruning[{SMALL}]", "digits-rows[train=100]", "--epochs", "1", "--precision", "bf16")
    trial = f"spectral-pruning[{SMALL}]/digits-rows[train=100]/0"
    assert "\nall is in float64; the trial ran in bf16, whose scores" in call(tmp_path, "bound", trial).stdout
    assert bound(tmp_path, trial)["precision"] == "bf16"


def test_tokens_of_a_stream_are_not_independent(tmp_path):
    ran(tmp_path, "spectral-pruning[nodes=2,hidden=4]", "shakespeare", "--updates", "2")
    (kept,) = (each for each in read_records(tmp_path / "results") if each.trial.base)
    found = bound(tmp_path, kept.trial.key)["rows"]
    for name in ("occam_bound", "variance_term"):
        assert found[name]["value"] is None
        assert found[name]["note"] == "refused: tokens of a stream are not independent"
    assert found["degrees_of_freedom"]["value"] > 0
    assert "stream" in found["bias_bound"]["note"]


def test_options_of_a_trial_may_stand_in_any_order(desk):
    named = bound(desk, "spectral-pruning(cell=elman,hidden=12,nodes=5)/digits-rows/0")
    assert named["trial"] == record(desk, "spectral-pruning[nodes=5,cell=elman").trial.key


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nosuch"], "trial 'nosuch': no such record; the 8 records are "),
        ([""], "trial '': no such record"),
        (["dense-rnn[cell=elman,hidden=12]/digits-rows/0"], "dense-rnn keeps no nodes of a recurrent network"),
        ([TRIAL, "--bits", "1"], "--bits 1: expected numbers from 2 to 32"),
        ([TRIAL, "--bits", "four"], "--bits four: expected numbers"),
        ([TRIAL, "--delta", "1"], "--delta 1: expected a chance above 0 and below 1"),
        ([TRIAL, "--format", "xml"], "--format xml: unknown; known: text, json, csv"),
        ([TRIAL, "--results", "elsewhere"], "elsewhere"),
        ([], "Missing argument 'TRIAL'"),
    ],
)
def test_mistakes_are_named(desk, arguments, says):
    done = call(desk, "bound", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_trial_of_another_family_is_refused(tmp_path):
    done = call(tmp_path, "run", "--methods", "saf", "--datasets", "digits", "--updates", "1", *FEW)
    assert done.returncode == 0, done.stderr
    done = call(tmp_path, "bound", "saf/digits/0")
    assert done.returncode == 2
    assert "saf keeps no nodes of a recurrent network" in done.stderr


def test_what_is_cut_after_more_training_is_refused(tmp_path):
    ran(tmp_path, "iss[hidden=8,nodes=3,finetune=1]", "digits-rows[train=64]", "--epochs", "1")
    (kept,) = (each for each in read_records(tmp_path / "results") if each.trial.method.name == "iss")
    done = call(tmp_path, "bound", kept.trial.key)
    assert done.returncode == 2
    assert "iss trains the base on before it cuts it, and what it cuts is not kept" in done.stderr


@pytest.mark.parametrize("whose", ["its", "its base's"])
@pytest.mark.parametrize("gone", [True, False])
def test_arrays_that_are_gone_or_others_are_refused(desk, tmp_path, whose, gone):
    shutil.copytree(desk / "results", tmp_path / "results")
    kept = record(desk, "spectral-pruning[nodes=5,cell=elman")
    path = tmp_path / "results" / "trials" / f"{keys(kept)[whose == 'its']}.safetensors"
    if gone:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    done = call(tmp_path, "bound", TRIAL)
    assert done.returncode == 2
    said = f"{whose} trained arrays are not {'there' if gone else 'those that its record speaks of'}"
    assert said in done.stderr
    assert "--keep-weights" in done.stderr


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_commands_of_the_page_work(tmp_path):
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.M | re.S)
    lines = [shlex.split(line)[1:] for block in blocks for line in block.splitlines()]
    few = ["--updates", "2", "--threads", "1", "--here"]
    for line in lines:
        done = call(tmp_path, *line, *(few if line[0] == "run" else []))
        assert done.returncode == 0, done.stderr
    assert {line[0] for line in lines} == {"run", "bound"}


def test_the_table_of_the_page_has_the_rows_and_equations_that_are_printed_now(desk):
    (shown,) = re.findall(r"^```text\n(.*?)^```$", PAGE, re.M | re.S)
    table = [" ".join(each.split()) for each in re.split(r"^(?=\S)", shown, flags=re.M)[3:]]  # below the title
    tuned = bound(desk, record(desk, "spectral-pruning[finetune=1").trial.key)["rows"]
    found = (tuned | bound(desk, TRIAL)["rows"]).values()  # the one is tuned, the other's nodes are reconstructed
    for line, row in zip(table, found, strict=True):
        assert line.startswith(row["title"] + " ")
        assert line.removeprefix(row["title"] + " ").partition(" ")[2].startswith(row["equation"])


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGE):
        assert "://" in target or (ROOT / "docs" / target).exists(), target
