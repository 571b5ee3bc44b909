"""Output of `harness posterior`: its measurements as text, or as values for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tabulate import tabulate

from harness_bayes.posteriors import ASKED_RHAT, Diagnosis, Distance

Rows = Mapping[str, Sequence[Mapping[str, Distance]]]
"""By method, for each seed, distances by split."""

HEADINGS = {"total_variation": "total variation", "wasserstein": "Wasserstein / sd", "spread": "sd / sd"}


def as_text(dataset: str, method: str, diagnoses: Sequence[Diagnosis], rows: Rows) -> str:
    """A table with a column for each split and distance, means over seeds with their standard errors."""
    splits = list(next(iter(rows.values()))[0])
    headings = ["method", *(f"{title}\n{split}" for split in splits for title in HEADINGS.values())]
    cells = [
        [
            label,
            *(
                _format_cell([each[split] for each in found if split in each], field)
                for split in splits
                for field in HEADINGS
            ),
        ]
        for label, found in rows.items()
    ]
    lines = [
        _format_title(dataset, method, diagnoses),
        tabulate(cells, headings, disable_numparse=True, stralign="right"),
    ]
    faults = list(dict.fromkeys(fault for each in diagnoses for fault in each.faults))
    if faults:
        lines.append("no reference: " + "; ".join(faults))
        lines.append("its chains have not converged, so that distances to them say nothing: give --trajectories more")
    return "\n\n".join(lines)


def as_values(dataset: str, method: str, diagnoses: Sequence[Diagnosis], rows: Rows) -> dict[str, Any]:
    """The same as values for JSON: rows by method, for each seed."""
    return {
        "dataset": dataset,
        "reference": method,
        "converged": not any(each.faults for each in diagnoses),
        "diagnoses": [each._asdict() for each in diagnoses],
        "rows": {
            label: [{split: distance._asdict() for split, distance in each.items()} for each in found]
            for label, found in rows.items()
        },
    }


def _format_title(dataset: str, method: str, diagnoses: Sequence[Diagnosis]) -> str:
    worst = [max(each[index] for each in diagnoses) for index in (0, 2, 3)]
    least = min(each.ess for each in diagnoses)
    return (
        f"{dataset} against {method}\n"
        f"R-hat of functions at most {worst[0]:.3f} (the field asks {ASKED_RHAT}), effective sample size at least "
        f"{least:.0f},\nMonte Carlo error of the mean at most {worst[1]:.3f} and halves of the chains at most "
        f"{worst[2]:.2f} deviations apart"
    )


def _format_cell(distances: Sequence[Distance], field: str) -> str:
    values = np.array([getattr(each, field) for each in distances])
    if not len(values):
        return "-"
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{values.mean():.3f} ± {values.std(ddof=1) / len(values) ** 0.5:.3f}"
