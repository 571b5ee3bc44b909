"""Beside a trial's record in the results folder: the files that it leaves, and the records of its siblings."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.types import Record, RunContext, Trial

if TYPE_CHECKING:
    from harness.records.store import Store


class TrialFiles:
    """Files that a trial leaves beside its record: each appears under its name only when it is complete.

    weights, prediction: where to write them, None where they are not to be kept. Weights bring the prediction along, by
    which `harness export` knows that a file holds them. examples: where to write the scores of single test examples.
    """

    def __init__(self, trial: Trial, context: RunContext, store: Store) -> None:
        key = trial.key
        names = store.locate_weights(key), store.locate_prediction(key), store.locate_examples(key)
        self._parts = {path.with_name(f"{path.stem}.part"): path for path in names}
        weights, prediction, self.examples = self._parts
        self.weights = weights if trial.keep or context.keep_weights else None
        self.prediction = prediction if self.weights or context.keep_predictions else None
        self._earlier = [*names[1:]]  # of another run of this trial

    def publish_complete(self) -> None:
        """Give a file that is whole by now its name."""
        while self._earlier:
            self._earlier.pop().unlink(missing_ok=True)
        for part, whole in self._parts.items():
            if part.exists():
                part.replace(whole)

    def remove_partial(self) -> None:
        """Take away what has not become whole."""
        for each in self._parts:
            each.unlink(missing_ok=True)


def read_siblings(
    trial: Trial, context: RunContext, store: Store, known: Mapping[str, Record] = MappingProxyType({})
) -> list[Record]:
    """The records that are written by now of trials that differ from this one in their seed alone, and ended ok.

    known: such records by key, which need not be read.
    """
    keys = [key for group in context.siblings if trial.key in group for key in group if key != trial.key]
    found = (known.get(key) or store.find_ok(key) for key in keys)
    return [record for record in found if record is not None]
