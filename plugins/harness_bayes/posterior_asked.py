"""What `harness posterior` is asked for."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

FORMATS = ("text", "json")


class Model(NamedTuple):
    """What all methods have in common; None for what each decides by itself."""

    noise: float | None
    architecture: str | None
    prior_scale: float | None


@dataclasses.dataclass(frozen=True)
class Asked:
    """The options of the command, as click hands them over."""

    dataset: str
    methods: str | None
    reference: str
    noise: float | None
    architecture: str | None
    prior_scale: float | None
    trajectories: int
    epochs: float | None
    seeds: str
    device: str | None
    threads: int | None
    data_dir: Path | None
    results: Path
    predictions: Path | None
    format_: str

    @property
    def model(self) -> Model:
        return Model(self.noise, self.architecture, self.prior_scale)
