"""The second stage of --refit: what validation chose is trained anew on training and validation rows together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.planning.refit import refitted, with_bases
from harness.records import plans
from harness.types import Record, Trial

if TYPE_CHECKING:
    from harness.report.choosing import Choosing
    from harness.report.planned import Plan

ANEW = "trained anew on training and validation rows together"
NONE = "no second stage: validation chose nothing, so nothing is trained anew; the notes of the table say why"


def require_budget(trials: Sequence[Trial]) -> None:
    """Raises UsageError where the second stage would stop by validation scores, which it does not have."""
    if any(trial.terms.patience is not None for trial in trials):
        raise UsageError(
            "--refit: --patience stops training by validation scores, and what is trained on training and validation "
            "rows together has none; leave one of the two out"
        )


def second_stage(trials: Sequence[Trial], records: Sequence[Record], how: Choosing) -> list[Trial]:
    """The trials of what was chosen, each after its base. records: how the trials of the first stage ended."""
    from harness.report.planned import Plan

    planned = {_identity(trial): trial for trial in trials}
    chosen = [planned[key] for key in _chosen(records, how, Plan(plans.planned(trials))) if key in planned]
    order = {trial.key: place for place, trial in enumerate(trials)}
    return with_bases(map(refitted, sorted(chosen, key=lambda trial: order[trial.key])))


def _chosen(records: Sequence[Record], how: Choosing, plan: Plan) -> Iterator[tuple[Any, ...]]:
    for selection in how.of(records, plan):
        for record in selection.records:
            if record.status == "ok" and record.trial.method.label in selection.chosen:
                yield _identity(record.trial)


def _identity(trial: Trial) -> tuple[Any, ...]:
    """What a record of a trial has in common with it, whatever its row is called and its source was."""
    method = trial.method
    return method.name, method.provider, repr(sorted(method.options.items())), trial.dataset.label, trial.seed


def outlook(trials: Sequence[Trial], how: Choosing) -> str:
    """What a plan says of a second stage before the first one has ended."""
    runs = [trial for trial in trials if not trial.skip]
    score = how.by.name if how.by else ""
    return (
        f"then, when these have ended, --refit: for each seed what {score} chooses of these {len(runs)} trials is "
        "trained anew on training and validation rows together, and scored on test rows"
    )
