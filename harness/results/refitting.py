"""The second stage of --refit: what validation chose is trained anew on training and validation rows together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.planning.refit import insert_bases, make_refit
from harness.records import plans
from harness.types import Record, Trial
from harness.words import format_count

if TYPE_CHECKING:
    from harness.report.rows.selecting import Choosing, Chosen, Selection

ANEW = "trained anew on training and validation rows together"
NONE = "no second stage: validation chose nothing, so nothing is trained anew"


def require_budget(trials: Sequence[Trial]) -> None:
    """Raises UsageError where the second stage would stop by validation scores, which it does not have."""
    if any(trial.terms.patience is not None for trial in trials):
        raise UsageError(
            "--refit: --patience stops training by validation scores, and what is trained on training and validation "
            "rows together has none; leave one of the two out"
        )


@dataclass(frozen=True)
class Second:
    """The trials of the second stage, each after its base. alone: rows of one configuration, which had no rival.
    unchosen: why nothing is trained anew, by row and data set.
    """

    trials: Sequence[Trial]
    alone: Sequence[str]
    unchosen: Sequence[str]

    def announce(self) -> list[str]:
        """Announce the stage in lines, before it starts."""
        started = f"second stage: {format_count(len(self.trials), 'trial')}, {ANEW}" if self.trials else NONE
        alone = f"nothing to choose from, trained anew all the same: {', '.join(self.alone)}"
        return [started, *([alone] if self.alone else []), *self.unchosen]


def plan_second(trials: Sequence[Trial], named: Sequence[Trial], records: Sequence[Record], how: Choosing) -> Second:
    """Plan a second stage: the trials chosen by validation of those asked for by name, each after its base.

    trials: of the first stage, bases included. records: how they ended.
    """
    from harness.report.rows.planned import Plan

    selections = how.select(records, Plan(plans.group_planned(trials)))
    asked, order = (
        {_find_key(trial): trial for trial in named},
        {trial.key: at for at, trial in enumerate(trials)},
    )
    chosen = {_find_key(record.trial): choice for each in selections for record, choice in _iterate_chosen(each)}
    found = sorted((asked[key] for key in chosen if key in asked), key=lambda trial: order[trial.key])
    alone = dict.fromkeys(trial.method.label for trial in found if chosen[_find_key(trial)].tried == 1)
    unchosen = [
        f"nothing is trained anew of {label} on {each.records[0].trial.dataset.label}: {why}"
        for each in selections
        for label, why in each.unchosen.items()
    ]
    return Second(insert_bases(map(make_refit, found)), list(alone), unchosen)


def _iterate_chosen(selection: Selection) -> Iterator[tuple[Record, Chosen]]:
    for record in selection.records:
        choice = selection.chosen.get(record.trial.method.label)
        if record.status == "ok" and choice is not None:
            yield record, choice


def _find_key(trial: Trial) -> tuple[Any, ...]:
    """Identify a trial and its record alike, whatever the row is called and the source was."""
    method = trial.method
    return method.name, method.provider, repr(sorted(method.options.items())), trial.dataset.label, trial.seed


def describe_outlook(trials: Sequence[Trial], how: Choosing) -> str:
    """Describe the second stage for a plan, before the first one has ended."""
    runs = format_count(sum(not trial.skip for trial in trials), "trial")
    score = how.by.name if how.by else ""
    return (
        f"then, when these have ended, --refit: for each seed what {score} chooses of these "
        f"{runs} is trained anew on training and validation rows together, and scored on test rows"
    )
