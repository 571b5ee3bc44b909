"""docs/trackers.md: its command logs trials to a real MLflow store, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from harness.cli import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "trackers.md").read_text(encoding="utf-8")
(COMMAND,) = re.findall(r"^```sh\n(.*?)\n```$", PAGE, re.M | re.S)
FEW = ["--updates", "2", "--batch-size", "8", "--threads", "1", "--here"]


def test_the_command_logs_its_trials(tmp_path, monkeypatch, capsys):
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed: pip install 'harness-bench[mlflow]'")
    pytest.importorskip("alembic", reason="MLflow's local store needs sqlalchemy and alembic")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    command = shlex.split(COMMAND.replace("examples/", f"{ROOT}/examples/"))[1:]
    assert main([*command, *FEW]) == 0, capsys.readouterr().err
    assert "harness_mlflow" not in capsys.readouterr().err, "no hook failed"
    client = mlflow.tracking.MlflowClient("sqlite:///mlflow.db")
    experiment = client.get_experiment_by_name("digits")
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.info.run_name for run in runs) == [
        f"{method}, seed {seed}" for method in ("ottt", "saf") for seed in (0, 1)
    ]
    for run in runs:
        assert run.info.status == "FINISHED"
        assert (Path("results/trials") / f"{run.data.tags['key']}.json").is_file()
        assert {"seed", "budget", "option.steps"} <= run.data.params.keys()
        assert {"accuracy", "accuracy/best", "update_seconds", "accuracy/curve"} <= run.data.metrics.keys()
    assert len(client.get_metric_history(runs[0].info.run_id, "accuracy/curve")) > 1


def test_the_hooks_are_those_that_there_are():
    from harness import hookspecs

    assert all(hasattr(hookspecs, name) for name in re.findall(r"`(harness_\w+)\(", PAGE))


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGE):
        assert "://" in target or (ROOT / "docs" / target).exists(), target
