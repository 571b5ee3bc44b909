"""One trial, from its description to its record: load, train, profile, score.

The harness owns the loop, the order of the batches, the budget and the clock; no files but the trained arrays, no
printing. Whatever a plugin raises becomes the status of the record.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness import names, options
from harness.catalog import Catalog, Settings, load_catalog, resolve
from harness.data.array_digests import digest_array, digest_rows, digest_splits
from harness.data.joining import join_validation
from harness.data.soundness import require_sound
from harness.data.subset import take_subset
from harness.data.trainable import require_float32, require_trainable
from harness.errors import HarnessError, is_interrupt
from harness.metrics.headline import find_headline
from harness.records import environment, trained_arrays
from harness.seeds import derive, derive_split_seed
from harness.trials import answers, carrying, excerpts
from harness.trials.bench import Bench
from harness.trials.course import Course
from harness.trials.learner_start import Started
from harness.trials.loop import look_at_parts, train_learner
from harness.trials.points import Points
from harness.trials.profiling import look_at_trained, profile_update, waiting_instruments, watched_training
from harness.trials.record_notes import DATA, Notes
from harness.trials.sizes import count_sizes
from harness.types import Array, Backend, Data, Method, Progress, Record, RunContext, Trial

FURTHER = ("views", "describe", "save")  # optional parts of a trained learner


def run_trial(
    catalog: Catalog,
    trial: Trial,
    data_folder: Path | None = None,
    base: Path | None = None,
    report: Callable[[Progress], None] = lambda _: None,
    weights: Path | None = None,
    base_prediction: Path | None = None,
    prediction: Path | None = None,
    examples: Path | None = None,
    earlier: Sequence[Record] = (),
    columns: Sequence[str] = (),
    off_curve: Mapping[str, str] = MappingProxyType({}),
    memory: int | None = None,
) -> Record:
    """Run one trial and return its record, whatever happens; only an interrupt passes.

    base: the arrays of the trial that this one starts from. weights: where the trained arrays are kept, if anywhere.
    base_prediction, prediction: likewise the base's test prediction, and its own. examples: likewise the scores of its
    single test examples.
    earlier: records of the same configuration with other seeds that ended ok, of which readings may be taken over.
    columns: metrics that are asked for, for instruments that measure on request.
    off_curve: metrics that have ended this trial on the curve, and how; they are computed at the end alone.
    memory: the most bytes that this process may hold, which is told to the learner.
    A trial that is trained and scored reports the record so far before anything else of it is looked at or profiled.
    """
    backend: Backend = resolve(catalog.backends.values()[0].factory)()
    course = Course(catalog, trial, backend, report)
    try:
        drop_from_curve(catalog, trial, off_curve)
        bench = set_up(catalog, trial, backend, data_folder, base, report, course.notes, course.tell_trained)
        bench.carried.update(carrying.find_carried(catalog, earlier, backend.environment(trial.terms.device)))
        bench = dataclasses.replace(bench, base_prediction=base_prediction, prediction=prediction, examples=examples)
        _run_bench(dataclasses.replace(bench, columns=tuple(columns), off_curve=off_curve, memory=memory), weights)
    except BaseException as error:
        if is_interrupt(error):
            raise
        return course.end_record(error)
    return course.end_record()


def _run_bench(bench: Bench, weights: Path | None) -> None:
    note_data(bench)
    bench.report(Progress("prepare", 0.0))
    # A learner that draws from a global generator against the rules shall at least depend on the seed, and on it alone.
    with bench.backend.isolated(bench.derive_seed("global")), watched_training(bench) as watching:
        trained = train_learner(bench)
        _say_off_curve(bench)
        carrying.carry_over(bench.notes, bench.carried, bench.note_readings)
        score_and_tell(bench, trained)
        look_at_parts(bench, trained)
    keep_trained(bench, trained, weights)
    with bench.notes.timing("profile"):
        gauges = look_at_trained(bench, trained, watching)
        del trained, watching  # their memory is not the profiled pass's
        profile_update(bench, gauges)


def note_data(bench: Bench) -> None:
    """Note the readings of the data set, and how many rows there are."""
    bench.note_readings(f"{DATA}{bench.trial.dataset.name}", bench.data.readings)
    bench.notes.measured |= excerpts.count_rows(bench.data)


def score_and_tell(bench: Bench, trained: Started) -> None:
    """The scores of a trained learner, told before anything else of it is looked at."""
    bench.pending[:] = [*(part for part in FURTHER if part in trained.parts.offered), *waiting_instruments(bench)]
    bench.report(Progress("evaluate", 1.0))
    with bench.evaluation_phase():
        Points(bench, trained).score_test(trained.state)
    bench.tell(tuple(bench.pending))


def drop_from_curve(catalog: Catalog, trial: Trial, off_curve: Mapping[str, str]) -> None:
    """Raises HarnessError for the one that decides which point is the best."""
    if not off_curve:
        return
    kind = catalog.datasets.get(trial.dataset.name, trial.dataset.provider).kind
    deciding = find_headline(catalog.metrics.values(), kind, trial.terms.headline)
    if deciding is not None and deciding.name in off_curve:
        raise HarnessError(f"{off_curve[deciding.name]}, which decides the best point")
    catalog.take_off_curve(off_curve)


def _say_off_curve(bench: Bench) -> None:
    for name, why in bench.off_curve.items():
        for view in ("best", "valid-best", *(["start"] if bench.weights is not None else [])):
            bench.notes.add_hole(f"{name}@{view}", f"computed at the end alone; on the way, {why}")


def set_up(
    catalog: Catalog,
    trial: Trial,
    backend: Backend,
    data_folder: Path | None,
    base: Path | None,
    report: Callable[[Progress], None],
    notes: Notes,
    tell: Callable[[tuple[str, ...]], None] = lambda _: None,
) -> Bench:
    """This process made ready for a trial, with the data on its device: all that the loop works with."""
    report(Progress("load", 0.0))
    backend.setup(trial)
    notes.environment |= {**environment.describe_machine(), **backend.environment(trial.terms.device)}
    data = place_data(catalog, trial, backend, data_folder, notes)
    if base is not None and trial.base is not None:
        notes.provenance[trained_arrays.BASE] = {"key": trial.base.key, **trained_arrays.state_file(base)}
    bench = make_bench(catalog, trial, backend, data, notes, report, tell)
    return dataclasses.replace(bench, weights=backend.load(base) if base else None)


def make_bench(
    catalog: Catalog,
    trial: Trial,
    backend: Backend,
    data: Data,
    notes: Notes,
    report: Callable[[Progress], None],
    tell: Callable[[tuple[str, ...]], None],
) -> Bench:
    """The bench of a trial that starts from no other."""
    method, config = configure_method(catalog, trial)
    return Bench(catalog, trial, backend, data, lambda: resolve(method.factory)(config), None, notes, report, tell)


def configure_method(catalog: Catalog, trial: Trial) -> tuple[Method, Any]:
    """The method of a trial, and its config."""
    method = catalog.methods.get(trial.method.name, trial.method.provider)
    return method, options.build(method.config, trial.method.options, method.name)


def place_data(catalog: Catalog, trial: Trial, backend: Backend, data_folder: Path | None, notes: Notes) -> Data:
    """The data of a trial on its device; the notes have their digests."""
    with notes.timing("load"):
        loaded = _load_data(catalog, trial, data_folder, notes)
    notes.provenance["data"], notes.test_rows = digest_splits(loaded), digest_rows(loaded.test)
    with notes.timing("load"):
        return require_float32(trial.dataset.label, backend.place(loaded, trial.terms.device))


def _load_data(catalog: Catalog, trial: Trial, folder: Path | None, notes: Notes) -> Data:
    """The data set of a trial, the same for every method: split and subset depend on seed and data set alone."""
    dataset = catalog.datasets.get(trial.dataset.name, trial.dataset.provider)
    config = options.build(dataset.config, trial.dataset.options, dataset.name)
    split, seed = derive_split_seed(trial.seed, dataset.name, dataset.folds), derive(trial.seed, dataset.name, "split")
    own = trial.refit and dataset.refit is not None and config.train is None and config.valid is None
    load = resolve(dataset.refit if own and dataset.refit is not None else dataset.load)
    data = _drop_misnamed_splits(require_sound(trial.dataset.label, load(config, split, folder or Path())), notes)
    data = take_subset(data, config.train, config.valid, config.test, seed)
    return require_trainable(
        trial.dataset.label, join_validation(data) if trial.refit and not own else data, trial.terms.batch_size
    )


def look_at_data(trial: Trial, context: RunContext, report: Callable[[Progress], None]) -> Record:
    """An executor's task: load the data of a trial, and say in the record no more than what they are."""
    del report
    catalog = load_catalog(Settings(plugins=context.plugins, disabled=context.disabled))
    found = digest_splits(_load_data(catalog, trial, context.data, Notes()))
    return Record(trial, "ok", provenance={"data": found}, finished=environment.current_time())


def _drop_misnamed_splits(data: Data, notes: Notes) -> Data:
    """Without the shifted splits whose names will not do; each leaves a hole."""
    flaws = {name: names.find_view_flaw(name) for name in data.shifted}
    for name, flaw in flaws.items():
        if flaw:
            notes.add_hole(f"shifted.{names.show_name(name)}", f"the name {flaw}")
    return dataclasses.replace(data, shifted={name: data.shifted[name] for name, flaw in flaws.items() if not flaw})


def keep_trained(bench: Bench, trained: Started, weights: Path | None) -> None:
    """Save what is wanted of a trained learner, and note how large it is; if that fails it is a hole."""
    with bench.measured_part("save"):
        if "save" not in trained.parts.offered:
            if bench.trial.keep:
                raise TypeError(f"{bench.trial.method.name} has no save(state), and another method starts from it")
            if weights is not None:
                raise TypeError(f"{bench.trial.method.name} has no save(state): there are no arrays to keep")
            return
        saved = answers.check_arrays(trained.parts.save(trained.state))
        if weights is not None:
            bench.backend.save(saved, weights)
            bench.notes.provenance[trained_arrays.ARRAYS] = trained_arrays.state_file(weights)
        bench.notes.measured |= count_sizes(saved)
        with bench.hole_on_error("predict"):
            _warn_of_prediction(bench, trained, saved)


def _warn_of_prediction(bench: Bench, trained: Started, saved: Mapping[str, Array]) -> None:
    """One more batch is predicted, which shall leave the arrays that are saved as they are."""
    before = _digest_arrays(saved)
    with bench.backend.isolated(bench.derive_seed("global")), bench.backend.evaluating():
        trained.learner.predict(trained.state, excerpts.repeat_inputs(bench.data, bench.trial.terms.batch_size))
    if _digest_arrays(answers.check_arrays(trained.parts.save(trained.state))) != before:
        bench.notes.warnings["predict"] = "predict changed what is saved: it trains, or counts"


def _digest_arrays(arrays: Mapping[str, Array]) -> dict[str, str]:
    return {name: digest_array(array) for name, array in arrays.items()}
