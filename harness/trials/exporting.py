"""A trained network written to a file of another format, which is run and held against what the trial predicted."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harness.catalog import Catalog, Offer, explain_unavailable, resolve
from harness.data import files
from harness.errors import HarnessError, Unsupported, UsageError, is_interrupt
from harness.records import trained_arrays
from harness.records.store import Store
from harness.trials import answers, excerpts, prediction_files
from harness.trials.bench import Bench
from harness.trials.code_places import plugin_code
from harness.trials.distances import Distance, measure_distance
from harness.trials.predicting import Predict, predict_rows
from harness.trials.record_notes import Notes
from harness.trials.trial import configure_method, set_up
from harness.types import Array, Backend, Export, Kept, Prediction, Record, Trial, Written
from harness.words import clean_line, describe_error

EXAMPLES = 8  # rows that a format may look at
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM}
AGAIN = "run it again with --rerun METHOD --keep-weights"


@dataclass(frozen=True)
class Exported:
    """A file that has been written: its size in bytes, how far its predictions are from the trial's, how to load it,
    what ran it.
    """

    path: Path
    size: int
    distance: Distance
    tolerance: float
    load: str
    reader: str


def require_place(path: Path, force: bool) -> None:
    """Raises UsageError for a path at which no file can be written, or is already."""
    if path.is_dir():
        raise UsageError(f"{path}: a folder; name the file that is to be written")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}; make it, or name another file")
    if not force and (path.exists() or path.is_symlink()):
        raise UsageError(f"{path}: is there already; --force replaces it, once the new file has been checked")


def export_network(
    catalog: Catalog,
    record: Record,
    store: Store,
    offer: Offer[Export],
    path: Path,
    *,
    data: Path | None = None,
    tolerance: float | None = None,
) -> Exported:
    """Write the network of a trial and hold the file against it. data: the folder with data sets.

    tolerance: instead of the format's own. The file is at `path`, whole, or what was there before is. Raises UsageError
    for a trial or a network that cannot be exported, HarnessError for a file that predicts something else.
    """
    _require_kept(record, store)
    bench = _set_up_bench(catalog, record.trial, data)
    wanted = _read_kept_prediction(bench, record, store)
    allowed = offer.value.tolerance if tolerance is None else tolerance
    with _temporary_beside(path) as temporary:
        written = _write_format(offer, _make_kept(bench, store.locate_weights(record.trial.key)), temporary, path)
        found = _compare_file(bench, offer, written, wanted, allowed)
        _require_within_tolerance(offer.value, found, allowed, path)
        size = _flush_file(temporary, path.parent)
        temporary.replace(path)
    return Exported(
        path, size, found, allowed, written.load.replace("PATH", repr(str(path))), clean_line(written.reader)
    )


# --- the trial ----------------------------------------------------------------------------------------------------


def _require_kept(record: Record, store: Store) -> None:
    """Raises UsageError for a trial without a trained network."""
    label = f"trial {record.trial.key}"
    if record.status != "ok":
        raise UsageError(f"{label}: it ended {record.status}; only a trial that ended ok has a trained network")
    if why := trained_arrays.describe_fault(store.locate_weights(record.trial.key), record):
        raise UsageError(f"{label}: its trained arrays {why}; {AGAIN}")


def _set_up_bench(catalog: Catalog, trial: Trial, data: Path | None) -> Bench:
    """The data of the trial, as it had them, on the CPU. Raises UsageError where they are not to be had."""
    offer = catalog.datasets.offer(trial.dataset.name, trial.dataset.provider)
    if reason := explain_unavailable(offer) or explain_unavailable(
        catalog.methods.offer(trial.method.name, trial.method.provider)
    ):
        raise UsageError(f"{trial.method.label} on {trial.dataset.label}: {reason}")
    folder = files.resolve_folder(data)
    files.require_files(offer.value.name, files.list_declared(offer.value, trial.dataset.options), folder)
    backend: Backend = resolve(catalog.backends.values()[0].factory)()
    here = replace(trial, terms=replace(trial.terms, device="cpu"))
    return set_up(catalog, here, backend, folder, None, lambda _: None, Notes())


def _read_kept_prediction(bench: Bench, record: Record, store: Store) -> Prediction:
    """Read the prediction of the trial's test rows, which are those of now. Raises UsageError."""
    try:
        return prediction_files.read_prediction(store.locate_prediction(record.trial.key), bench.test_rows)
    except Unsupported as error:
        raise UsageError(f"trial {record.trial.key}: {error}; an export is held against it: {AGAIN}") from error


def _make_kept(bench: Bench, weights: Path) -> Kept:
    config = configure_method(bench.catalog, bench.trial)[1]
    named = bench.backend.arrays(bench.backend.load(weights), "cpu")
    few = np.asarray(excerpts.repeat_inputs(bench.data, min(EXAMPLES, len(bench.data.test.inputs))))
    return Kept(config, bench.data.problem, bench.training_setup(eager=True), named, few, bench.build())


# --- the file -----------------------------------------------------------------------------------------------------


@contextmanager
def _temporary_beside(path: Path) -> Iterator[Path]:
    """A path of the same name in a folder of its own beside it, which goes with all that is left there."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise _unwritten_error(path, error) from error
    try:
        yield folder / path.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_format(offer: Offer[Export], kept: Kept, temporary: Path, path: Path) -> Written:
    """The one file that the format has written. Raises UsageError with the format's reason not to."""
    with _blame_format(offer, path):
        written = resolve(offer.value.write, f"format {offer.value.name}")(kept, temporary)
    if not isinstance(written, Written):
        raise HarnessError(f"format {offer.value.name}: write returned {type(written).__name__}; expected a Written")
    left = sorted(each.name for each in temporary.parent.iterdir())
    if left != [temporary.name] or not temporary.is_file():
        found = ", ".join(left) or "nothing"
        raise HarnessError(f"format {offer.value.name}: write left {found}; expected one file, {temporary.name}")
    return written


def _compare_file(bench: Bench, offer: Offer[Export], written: Written, wanted: Prediction, allowed: float) -> Distance:
    """The predictions of the file, of all test rows, held against those of the trial."""
    data, backend = bench.data, bench.backend
    seed = bench.derive_seed("global")
    with _blame_format(offer), backend.isolated(seed), backend.evaluating(), backend.inference():
        found, _ = predict_rows(np.asarray(data.test.inputs), _ask_in_numpy(written.predict), data.problem, folded=True)
        return measure_distance(found, wanted, data.problem, allowed)


def _ask_in_numpy(predict: Predict) -> Predict:
    """The same predictions, in numpy whatever they were in."""

    def asked(inputs: Array) -> Prediction:
        prediction = answers.check_prediction(predict(inputs))
        return type(prediction)._make(map(np.asarray, prediction))

    return asked


def _require_within_tolerance(format_: Export, found: Distance, tolerance: float, path: Path) -> None:
    if found.beyond <= format_.strays * found.rows:
        return
    raise HarnessError(
        f"format {format_.name}: the file predicts something else than the trial did: it differs by up to "
        f"{found.largest:.3g}, by more than {tolerance:g} in {found.beyond} of {found.rows} test rows; nothing was "
        f"written to {path}; --tolerance lets more pass, as where the trial ran in a lower precision"
    )


def _flush_file(path: Path, folder: Path) -> int:
    """The size of a file that is on the disk, as readable as its folder whatever wrote it."""
    try:
        path.chmod(folder.stat().st_mode & 0o666)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        return path.stat().st_size
    except OSError as error:
        raise _unwritten_error(path, error) from error


@contextmanager
def _blame_format(offer: Offer[Export], path: Path | None = None) -> Iterator[None]:
    """Name the format in what it raises; only an interrupt passes. path: where it writes, if it does."""
    try:
        yield
    except Unsupported as error:
        raise UsageError(f"format {offer.value.name}: {error}") from error
    except BaseException as error:
        if is_interrupt(error) or isinstance(error, UsageError):
            raise
        if path is not None and isinstance(error, OSError) and error.errno in FULL:
            raise _unwritten_error(path, error) from error
        doing = "write" if path is not None else "predict"
        said = describe_error(error, plugin_code(offer))
        if isinstance(error, ImportError) and offer.value.requires:
            said += f"; it needs {', '.join(offer.value.requires)}, of which one does not load: install them anew"
        raise HarnessError(f"format {offer.value.name}: {doing}: {said}") from error


def _unwritten_error(path: Path, error: OSError) -> HarnessError:
    said = os.strerror(error.errno) if error.errno else str(error)
    return HarnessError(f"{path}: not written ({said}); name a file in a folder that can be written and has room")
