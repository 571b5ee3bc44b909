"""Checks of what a method says of itself: its options, the kinds that it takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness import options
from harness.errors import Unsupported, UsageError
from harness.testing import tiny_data
from harness.testing.subjects import Subject, broken


def options_described(subject: Subject) -> None:
    """Check the options of a method, and that what it says of its options is of options that it has."""
    method = subject.method
    require_described(method.config, method.name)
    known = [option.name for option in options.describe(method.config)]
    for name in method.row_options:
        if name not in known:
            broken(f"row_options names {name!r}, which is none of its options: {', '.join(known) or 'none'}")


def kinds_taken(subject: Subject) -> None:
    """Learns and predicts; a learner that refuses a kind which its method declares is broken."""
    if not tiny_data.list_data_sets(subject.kind):
        raise Unsupported(f"there is no tiny data of kind {subject.kind!r}")
    try:
        run = subject.start()
    except Unsupported as error:
        broken(f"it declares the kind {subject.kind!r}, but refuses all data of it: {error}")
    run.updates(3)
    run.finish()
    for view in run.predictors:
        run.predict(run.data.valid.inputs, view)
    for index, scalars in enumerate(run.scalars, 1):
        if not all(np.isfinite(value) for value in scalars.values()):
            broken(f"its scalars after update {index} are not finite: {dict(scalars)}")


def require_described(config: type, owner: str) -> None:
    """Raises Broken for options without meaning, and for defaults that are refused or not read back as they are."""
    nameless = [option.name for option in options.describe(config) if not option.meaning.strip()]
    if nameless:
        broken(f"{' and '.join(nameless)}: no meaning; write `{nameless[0]}: int = option(4, 'what it is')`")
    try:
        default: Any = options.build(config, {}, owner)
        again = options.build(config, options.values(default), owner)
    except UsageError as error:
        first, _, _ = str(error).partition("\n")
        broken(f"its defaults are refused: {first}")
    if again != default:
        broken(f"the defaults {default} read back as {again}: is a value changed in __post_init__?")
