"""Checks of what a learner predicts, and of what predicting leaves alone."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from harness.errors import Unsupported
from harness.testing.subjects import Arrays, Run, Subject, are_close, broken, require_same
from harness.trials.predicting import find_flaw
from harness.types import Array, Data, Prediction, RegressionMixture

ALONE = 1e-3  # between a row among others and on its own: kernels choose their order of summation by the shape


# --- form -------------------------------------------------------------------------------------------------------------


def prediction_well_formed(subject: Subject) -> None:
    """Check predictions of all views, untrained and trained, for several rows and for one."""
    run = subject.start()
    for _ in range(2):
        for view in run.predictors:
            for inputs in (run.data.valid.inputs, run.data.valid.inputs[:1]):
                _check_form(view, run.predict(inputs, view), inputs, subject)
        run.updates(2)


def _check_form(view: str, prediction: Prediction, inputs: Array, subject: Subject) -> None:
    """The form without which no score is taken, and finite numbers besides."""
    if found := find_flaw(prediction, inputs, subject.data.problem):
        broken(f"{view}: {found}")
    for name, field in zip(type(prediction)._fields, prediction, strict=True):
        if np.isnan(field).any() or (name != "log_weights" and not np.isfinite(field).all()):
            broken(f"{view}: {name} is not finite")


# --- what it depends on -----------------------------------------------------------------------------------------------


def prediction_repeatable(subject: Subject) -> None:
    """The same rows before and after others."""
    run = subject.start()
    run.updates(2)
    for view in run.predictors:
        first = _copy_fields(run, run.data.valid.inputs, view)
        run.predict(run.data.test.inputs, view)
        again = _copy_fields(run, run.data.valid.inputs, view)
        require_same(f"{view} of the same rows before and after other rows", first, again, subject.exact)


def prediction_by_rows(subject: Subject) -> None:
    """All rows at once, in parts, and the last one alone."""
    run = subject.start()
    run.updates(2)
    if run.data.problem.order == "contiguous":
        raise Unsupported("a contiguous stream is given whole")
    inputs = run.data.valid.inputs
    for view in run.predictors:
        whole = _compute_densities(run.predict(inputs, view))
        cuts = [0, len(inputs) // 2, len(inputs) - 1, len(inputs)]
        parts = [_compute_densities(run.predict(inputs[start:stop], view)) for start, stop in itertools.pairwise(cuts)]
        joined = np.concatenate(parts, axis=-1)
        if whole.shape != joined.shape or not are_close(whole, joined, ALONE):
            away = f"by up to {np.abs(whole - joined).max():.3g}" if whole.shape == joined.shape else "in shape"
            broken(f"{view}: a row predicted among {len(inputs)} rows differs from the same row among fewer, {away}")


def _compute_densities(prediction: Prediction) -> NDArray[np.float64]:
    """Numbers of order one, rows last: probabilities, or means and standard deviations."""
    if isinstance(prediction, RegressionMixture):
        return np.stack(np.broadcast_arrays(prediction.means, np.sqrt(prediction.variances)))
    return np.moveaxis(np.exp(prediction.log_probs), 1, -1)


def _copy_fields(run: Run, inputs: Array, view: str) -> Arrays:
    prediction = run.predict(inputs, view)
    return {name: np.array(field) for name, field in zip(type(prediction)._fields, prediction, strict=True)}


# --- what it leaves alone ---------------------------------------------------------------------------------------------


def training_undisturbed(subject: Subject) -> None:
    """Training with predictions in between, against training without."""
    quiet, watched = subject.start(), subject.start()
    for _ in range(2):
        quiet.updates(2)
        watched.updates(2)
        before = _copy_saved(watched)
        for view in watched.predictors:
            watched.predict(watched.data.valid.inputs, view)
        require_same("what is saved before and after a prediction", before, _copy_saved(watched), exact=True)
    require_same("training with and without predictions on the way", quiet.seen(), watched.seen(), subject.exact)


def _copy_saved(run: Run) -> Arrays:
    if not run.saves:
        return {}
    return {f"saved array {name!r}": run.subject.numpy(array) for name, array in run.saved().items()}


def test_rows_unused(subject: Subject) -> None:
    """The harness predicts test rows during training, too: trained twice, with those and with poisoned ones."""
    true = _train_with_test_rows(subject, subject.data)
    for name, poison in _poison_test_rows(subject).items():
        require_same(
            f"training with the test rows and with {name}", true, _train_with_test_rows(subject, poison), subject.exact
        )


def _poison_test_rows(subject: Subject) -> Mapping[str, Data]:
    data = subject.data
    inputs = subject.numpy(data.test.inputs)
    turned = data.test._replace(inputs=data.train.inputs[: len(inputs)], targets=data.train.targets[: len(inputs)])
    others = {"others": dataclasses.replace(data, test=turned)}
    if subject.kind == "language":
        return others
    return others | {"nan": dataclasses.replace(data, test=data.test._replace(inputs=data.test.inputs * np.nan))}


def _train_with_test_rows(subject: Subject, data: Data) -> Arrays:
    run = Run(subject, data)
    for _ in range(2):
        run.updates(2)
        for view in run.predictors:
            run.predict(data.test.inputs, view)
    run.finish()
    return run.seen()
