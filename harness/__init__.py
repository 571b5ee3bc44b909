"""harness: fair head-to-head comparisons of ways to train or compress neural networks.

These names are what a plugin may import; everything else is private to the core.
"""

import harness.starting  # noqa: F401  # isort: skip - before all that takes time
from typing import TYPE_CHECKING, Any

from harness.data.subset import stratified_rows
from harness.errors import Broken, Diverged, HarnessError, PluginError, Unsupported, UsageError
from harness.hookspecs import INTERFACE, hookimpl
from harness.options import option
from harness.seeds import derive
from harness.types import (
    NO_CLASS,
    Backend,
    BackendOffer,
    Batch,
    Budget,
    Check,
    ClassLogProbs,
    Clock,
    Cohort,
    Data,
    DataOptions,
    Dataset,
    Executor,
    ExecutorOffer,
    Export,
    File,
    Fit,
    Folder,
    Formula,
    Gauge,
    Instrument,
    Kept,
    LaneMeter,
    Learner,
    Method,
    Metric,
    NoOptions,
    Outcome,
    Point,
    Prediction,
    Problem,
    Progress,
    Reading,
    Recipe,
    Record,
    RegressionMixture,
    RunContext,
    Suite,
    TokenLogProbs,
    Trained,
    Training,
    TrainingTerms,
    Trial,
    Written,
)
from harness.version import __version__

if TYPE_CHECKING:
    from harness.catalog import resolve
    from harness.data.files import located, members
    from harness.data.folder_files import Part
    from harness.planning.plan import named
    from harness.records.folder_access import add_readings, read_records
    from harness.records.lookup import find_record
    from harness.results.interactive import read, run
    from harness.results.reading import Comparisons, Figure, Results
    from harness.suites.suite import Request
    from harness.trials.prediction_files import read_predictions
    from harness.trials.rehearsal import Rehearsal, rehearse

__all__ = [
    "INTERFACE",
    "NO_CLASS",
    "Backend",
    "BackendOffer",
    "Batch",
    "Broken",
    "Budget",
    "Check",
    "ClassLogProbs",
    "Clock",
    "Cohort",
    "Comparisons",
    "Data",
    "DataOptions",
    "Dataset",
    "Diverged",
    "Executor",
    "ExecutorOffer",
    "Export",
    "Figure",
    "File",
    "Fit",
    "Folder",
    "Formula",
    "Gauge",
    "HarnessError",
    "Instrument",
    "Kept",
    "LaneMeter",
    "Learner",
    "Method",
    "Metric",
    "NoOptions",
    "Outcome",
    "Part",
    "PluginError",
    "Point",
    "Prediction",
    "Problem",
    "Progress",
    "Reading",
    "Recipe",
    "Record",
    "RegressionMixture",
    "Rehearsal",
    "Request",
    "Results",
    "RunContext",
    "Suite",
    "TokenLogProbs",
    "Trained",
    "Training",
    "TrainingTerms",
    "Trial",
    "Unsupported",
    "UsageError",
    "Written",
    "__version__",
    "add_readings",
    "derive",
    "find_record",
    "hookimpl",
    "located",
    "members",
    "named",
    "option",
    "read",
    "read_predictions",
    "read_records",
    "rehearse",
    "resolve",
    "run",
    "stratified_rows",
]


_LATER = {
    "Comparisons": "harness.results.reading",
    "Figure": "harness.results.reading",
    "Part": "harness.data.folder_files",
    "Rehearsal": "harness.trials.rehearsal",
    "Request": "harness.suites.suite",
    "Results": "harness.results.reading",
    "add_readings": "harness.records.folder_access",
    "find_record": "harness.records.lookup",
    "located": "harness.data.files",
    "members": "harness.data.files",
    "named": "harness.planning.plan",
    "read": "harness.results.interactive",
    "read_predictions": "harness.trials.prediction_files",
    "read_records": "harness.records.folder_access",
    "rehearse": "harness.trials.rehearsal",
    "resolve": "harness.catalog",
    "run": "harness.results.interactive",
}


def __getattr__(name: str) -> Any:
    """Import names late that run a trial or read data or records: of no use to a plugin that is only listed."""
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module 'harness' has no attribute {name!r}")
