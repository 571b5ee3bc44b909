"""The terms under which a trial is trained, each with how it is compared and shown: a new term is one line here.

Plans, keys, records, the protocols of tables and texts go by these fields, whatever they are. A run, a data set's
recipe or the core sets a term that has the same name there (see `harness.planning.trial_making`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.types.offers import Budget
from harness.words import format_count

Say = Callable[[Any], str]


def term(
    default: Any = dataclasses.MISSING, *, heading: Say = str, compared: Callable[[Any], Any] | None = None
) -> Any:
    """A field of TrainingTerms.

    default: what it is where nobody says; then it is left out of protocols and texts. heading: how the title of a table
    says what is compared. compared: what must agree before numbers may be compared, a text or a number; by default the
    value itself.
    """
    return field(default=default, metadata={"heading": heading, "compared": compared or (lambda value: value)})


@dataclass(frozen=True)
class TrainingTerms:
    """The terms under which a trial is trained.

    device: such as "cpu" or "cuda:1"; GPUs of one machine compare as one. patience: validation points without
    improvement after which training stops; None: the budget alone decides. headline: the score that decides the best
    point; None: the metric that is the headline of the data set's kind.
    """

    budget: Budget = term(compared=str)
    batch_size: int = term(heading="batch {}".format)
    device: str = term(compared=lambda device: device.partition(":")[0])
    precision: str = term()
    threads: int = term(heading=lambda number: format_count(number, "thread"))
    deterministic: bool = term(False, heading=lambda _: "deterministic")
    patience: int | None = term(None, heading="patience {}".format)
    headline: str | None = term(None, heading="best by {}".format)

    def stated(self) -> dict[str, Any]:
        """By name, without those that are at their default."""
        values = {each.name: (getattr(self, each.name), each.default) for each in dataclasses.fields(self)}
        return {name: value for name, (value, default) in values.items() if value != default}

    def protocol(self) -> dict[str, Any]:
        """The protocol: texts and numbers by name that must agree before numbers may be averaged or compared."""
        compared = {each.name: each.metadata["compared"] for each in dataclasses.fields(self)}
        return {name: compared[name](value) for name, value in self.stated().items()}


def make_heading(protocol: Mapping[str, Any]) -> str:
    """A protocol as the title of a table says it: `10 epochs, batch 128, cpu, fp32, 1 thread`."""
    known = {each.name: each.metadata["heading"] for each in dataclasses.fields(TrainingTerms)}
    said = [say(protocol[name]) for name, say in known.items() if name in protocol]
    return ", ".join([*said, *(["trained on training and validation rows"] if protocol.get("refit") else [])])
