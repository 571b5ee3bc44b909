"""Checks of what a learner answers: its form, and the names of what it says."""

from __future__ import annotations

from harness import names
from harness.testing.subjects import Subject, broken
from harness.trials import answers, json_values
from harness.types import Reading


def answers_well_formed(subject: Subject) -> None:
    """Of two updates, and of all that is optional."""
    run = subject.start()
    run.updates(2)
    for number, scalars in enumerate(run.scalars, 1):
        for name in scalars:
            if flaw := names.find_name_flaw(name):
                broken(f"a scalar of update {number}, {names.show_name(name)}: the name {flaw}")
    run.finish()
    for name, _, flaw in subject.answered(answers.list_views, run.learner):
        if flaw:
            broken(f"view {name}: {flaw}")
    if run.saves:
        run.saved()
    _check_facts(subject, run.parts.describe(run.state))


def _check_facts(subject: Subject, described: object) -> None:
    for name, value in subject.answered(answers.check_facts, described).items():
        if flaw := names.find_name_flaw(name):
            broken(f"describe: {names.show_name(name)}: the name {flaw}")
        try:
            json_values.fit_value(name, value.value if isinstance(value, Reading) else value)
        except json_values.Unfit as unfit:
            broken(f"describe: {name} {unfit}")
