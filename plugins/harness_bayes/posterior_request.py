"""Options of `harness posterior`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

FORMATS = ("text", "json")


class SharedModel(NamedTuple):
    """Model options that all methods share; None where each method keeps its own."""

    noise: float | None
    architecture: str | None
    prior_scale: float | None


@dataclasses.dataclass(frozen=True)
class PosteriorRequest:
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
    def model(self) -> SharedModel:
        return SharedModel(self.noise, self.architecture, self.prior_scale)
