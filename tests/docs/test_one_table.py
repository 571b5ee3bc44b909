"""Families that have nothing in common but the harness stand in one table, under one budget."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from harness import cli

ASKING = (Path(__file__).parents[2] / "docs" / "asking.md").read_text(encoding="utf-8")
COMMAND = re.search(r"^harness run --methods (\S*saf\S*spectral\S*) --datasets digits$", ASKING, re.MULTILINE)
FEW = "digits[train=64,valid=32,test=32]"
COLUMNS = "accuracy,nll,update_seconds,total_seconds,total_with_base_seconds,tensor_peak_bytes,total_macs,parameters"


@pytest.mark.xdist_group("readme")
def test_the_families_of_the_page_share_a_table(tmp_path, capsys):
    assert COMMAND
    shared = ["--results", str(tmp_path), "--metrics", COLUMNS]
    budget = ["--updates", "2", "--seeds", "1", "--threads", "1", "--batch-size", "32"]
    code = cli.main(["run", "--methods", COMMAND[1], "--datasets", FEW, *budget, *shared, "--here"])
    assert code == 0, capsys.readouterr().err
    capsys.readouterr()
    assert cli.main(["report", *shared, "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len({(row["dataset"], row["budget"], row["batch_size"]) for row in rows}) == 1
    by = {(row["method"], row["metric"]): row for row in rows}
    methods = {method for method, _ in by}
    assert methods == {*COMMAND[1].split(","), "dense-rnn"}
    assert all(by[method, metric]["mean"] for method in methods for metric in ("accuracy", "nll", "total_macs"))
    base, pruned = (
        [float(by[method, name]["mean"]) for name in ("total_seconds", "total_with_base_seconds")]
        for method in ("dense-rnn", "spectral-pruning")
    )
    assert pruned[1] == pytest.approx(pruned[0] + base[0])
