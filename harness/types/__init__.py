"""The nouns of the harness: what plugins offer, what the core asks of them, what a run leaves behind.

Everything here is plain data or a Protocol; nothing imports a numerical library. `Array` is a tensor of the
backend (torch on a device) while a learner works with it and a numpy array once the harness scores it.

Shapes: N rows, B rows of a mini-batch, S samples or mixture components, C classes, L tokens. Time first, batch
second, features last, wherever time is an axis of its own.
"""

from harness.types.backends import Backend, BackendOffer, Clock, LaneMeter
from harness.types.data_files import File, Folder
from harness.types.learning import (
    NO_CLASS,
    Array,
    Batch,
    ClassLogProbs,
    Cohort,
    Data,
    Facts,
    Fit,
    Learner,
    Order,
    Prediction,
    Problem,
    Reading,
    RegressionMixture,
    Scalar,
    State,
    TokenLogProbs,
    Trained,
    Training,
)
from harness.types.measuring import Formula, Gauge, Instrument, Metric, Outcome
from harness.types.offers import (
    UNITS,
    Budget,
    Check,
    DataOptions,
    Dataset,
    Export,
    Kept,
    Method,
    NoOptions,
    Recipe,
    Suite,
    Unit,
    Written,
)
from harness.types.running import (
    STATUSES,
    Choice,
    Executor,
    ExecutorOffer,
    Point,
    Progress,
    Record,
    RunContext,
    Status,
    Sweep,
    Trial,
)
from harness.types.terms import TrainingTerms
