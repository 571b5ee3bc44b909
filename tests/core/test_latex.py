"""Tables for papers: they compile, are no wider than a column or a page, and nothing in a name is a command."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from example_records import METRICS, comparison, record

from harness.report import render, summarise
from harness.report.formats.tex import escape, escape_name

HOSTILE = r"""\input{/etc/passwd}%$&#_^~{}<|>"'`"""
PDFLATEX = shutil.which("pdflatex")
compiles = pytest.mark.skipif(PDFLATEX is None, reason="pdflatex is not installed")


def shown(records, page=False, **asked) -> str:
    return render(summarise(records, METRICS, **asked), "latex", page=page)


def compiled(folder, *tables: str, columns: str = "twocolumn") -> str:
    """The log of a document of these tables, which has no error."""
    body = "\n\\clearpage\n".join(tables)
    head = f"\\documentclass[{columns}]{{article}}\n\\usepackage{{booktabs}}\n"
    source = f"{head}\\begin{{document}}\n{body}\n\\end{{document}}\n"
    (folder / "paper.tex").write_text(source, encoding="utf-8")
    call = [PDFLATEX, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"]
    done = subprocess.run(call, cwd=folder, capture_output=True, timeout=120)
    log = (folder / "paper.log").read_text(encoding="latin-1")
    assert done.returncode == 0, re.findall(r"^!.*(?:\n.*){3}", log, re.M)
    return log


def longed(count: int):
    """Methods with names of 80 letters and more, of which some fail."""
    names = [f"method_{place}[architecture={'very' * 15},rate=0.{place}]" for place in range(count)]
    records = [
        record(
            name,
            seed,
            scores={"accuracy": 0.9 + seed / 100, "nll": 0.1},
            readings={"update_seconds": 1e-3 + seed / 1e4},
        )
        for name in names
        for seed in range(2)
    ]
    return [*records, record(names[0], 2, status="failed", reason=f"no such file /{'folder/' * 30}")]


def test_a_table_has_a_caption_a_label_and_names_in_typewriter():
    text = shown(comparison(), columns=["accuracy", "forward_macs"])
    assert r"\caption{\texttt{digits}: 10 epochs, batch 128, cpu, fp32, 1 thread. Mean $\pm$ standard deviation" in text
    assert r"\label{tab:digits}" in text
    assert r"\texttt{saf} & 3 & 0.9820 $\pm$ 0.0010" in text
    assert "update" not in text, "columns are those of --metrics"


def test_tables_of_one_data_set_have_labels_of_their_own():
    text = shown([record(scores={"accuracy": 0.5}), record(scores={"accuracy": 0.5}, device="cuda")])
    assert re.findall(r"\\label\{(.*)\}", text) == ["tab:digits", "tab:digits-2"]


def test_holes_and_failures_are_notes_below_the_table():
    text = shown(comparison(), columns=["accuracy", "activation_bytes"])
    assert r"\texttt{bptt} & 2/3\textsuperscript{a} &" in text
    assert r"& -\textsuperscript{b} \\" in text
    assert r"\textsuperscript{a}\,bptt seed 2: timeout after 60 s\par" in text
    assert r"\textsuperscript{b}\,RuntimeError: no storage\par" in text


def test_counts_have_no_deviation():
    text = shown(comparison(), columns=["forward_macs"])
    assert r"18.56 (1.60x)" in text
    assert "without a deviation: counts" in text


def test_texts_are_escaped():
    assert escape(r"\a{b}_%") == r"\textbackslash{}a\{b\}\_\%"
    assert escape("é±中‮") == r"é$\pm$[U+4E2D][U+202E]"
    assert escape_name("saf[a=1]") == r"\texttt{saf\allowbreak{}[\allowbreak{}a=\allowbreak{}1]}"


@compiles
@pytest.mark.parametrize("page", [False, True])
def test_tables_compile_and_fit(tmp_path, page):
    tables = [shown(comparison(), page), shown(comparison(), page, columns=["accuracy"]), shown(longed(30), page)]
    log = compiled(tmp_path, *tables, columns="onecolumn" if page else "twocolumn")
    assert "Overfull" not in log
    assert "Float too large" not in log


@compiles
def test_hostile_names_and_reasons_are_shown_and_not_run(tmp_path):
    records = [
        record(
            f"{HOSTILE}[x={HOSTILE}]", dataset=HOSTILE, scores={"accuracy": 0.5}, holes={"nll": f"{HOSTILE} 中é\u202e"}
        ),
        record(HOSTILE, 1, dataset=HOSTILE, status="failed", reason=HOSTILE),
    ]
    log = compiled(tmp_path, shown(records, columns=["accuracy", "nll"]))
    assert "passwd" not in re.sub(r"\\textbackslash.*", "", log)
