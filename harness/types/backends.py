"""The backend: the core's questions to a tensor library, and how one is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.types.learning import Array, Batch, Data, Prediction
from harness.types.running import Trial


class Clock(Protocol):
    """Times updates on the device. seconds() reads all laps at once; on CUDA that is the only synchronisation."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def seconds(self) -> Sequence[float]: ...


class LaneMeter(Protocol):
    """Keeps named scalars (L,) on the device; read() returns all that were added since the last read, by name
    (updates, L), in numpy: the only synchronisation. Of a trial alone scalars are () or (1,), and come back as such.
    """

    def add(self, scalars: Mapping[str, Array]) -> None: ...
    def read(self) -> Mapping[str, Array]: ...


class Backend(Protocol):
    """All that the core needs of a tensor library, inside a trial's process."""

    def setup(self, trial: Trial) -> None: ...
    def place(self, data: Data, device: str) -> Data: ...
    def arrays(self, named: Mapping[str, Array], device: str) -> Mapping[str, Array]:
        """Copies on the device."""
        ...

    def batches(self, data: Data, batch_size: int, seed: int) -> Iterator[Batch]: ...
    def lane_batches(self, data: Sequence[Data], batch_size: int, seeds: Sequence[int]) -> Iterator[Batch]:
        """Batches of several trials as one, inputs (L, B, ...): lane l gets those of batches(data[l], ., seeds[l]).

        The training splits have the same shape. Training inputs that are one object are on the device once.
        """
        ...

    def clock(self, device: str) -> Clock: ...
    def lane_meter(self) -> LaneMeter: ...
    def numpy(self, prediction: Prediction) -> Prediction: ...
    def isolated(self, seed: int) -> AbstractContextManager[None]: ...
    def evaluating(self) -> AbstractContextManager[None]:
        """Around predictions between and after the updates."""
        ...

    def inference(self) -> AbstractContextManager[None]:
        """Around what instruments do with a trained network: no gradient is recorded."""
        ...

    def save(self, named: Mapping[str, Array], path: Path) -> None: ...
    def load(self, path: Path) -> Mapping[str, Array]: ...
    def environment(self, device: str) -> Mapping[str, Any]: ...
    def out_of_memory(self, error: BaseException) -> bool: ...


@dataclass(frozen=True)
class BackendOffer:
    """How the core finds a backend. check(device, precision, workers) -> resolved device; it runs while planning, and
    raises UsageError. preload: modules that the fork server imports once for all trials. operators: libraries of
    operators whose work is known, so that no plugin offers a formula for one of them.
    """

    name: str
    factory: str | Callable[[], Backend]
    check: str | Callable[[str, str, int], str]
    preload: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
