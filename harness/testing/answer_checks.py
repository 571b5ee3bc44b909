"""Checks of what a learner answers: its form, and the names of what it says."""

from __future__ import annotations

from harness import names
from harness.testing.subjects import Subject, broken, require_sound_value
from harness.trials import answers


def answers_well_formed(subject: Subject) -> None:
    """Check the answers of two updates, and of all that is optional."""
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
    for fact, value in subject.answered(answers.check_facts, run.parts.describe(run.state)).items():
        require_sound_value("describe:", fact, value)
