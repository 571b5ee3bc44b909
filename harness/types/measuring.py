"""Offers of plugins that measure: metrics, formulas for the work of operators, instruments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from harness.types.learning import Array, Facts, Prediction, Problem


@dataclass(frozen=True)
class Outcome:
    """Outcome that a metric may look at, in numpy and on the original scale of the targets.

    base: what the trial that this one starts from predicted of the same rows, if that is known; where it is not, a
    metric that looks at it and returns None is a hole that says why. entropy: of class probabilities, the mean over
    samples of the entropy of each, (N,), nats: what disagreement is measured by. shifted_entropy: likewise of shifted
    splits, by name.
    """

    prediction: Prediction
    targets: Array
    problem: Problem
    shifted: Mapping[str, tuple[Prediction, Array]] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)
    base: Prediction | None = None
    entropy: Array | None = None
    shifted_entropy: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """A number per trial. compute: (Outcome) -> float or None where it does not apply; itself None for a reading of
    the same name that an instrument takes. per: what the number counts, such as "update" or "example". better:
    "neither" where no value is the best. headline: it decides which validation point is the best for its kinds. exact:
    a count that repeats exactly over seeds, so that one seed decides a claim; where values differ after all, the mark
    is dropped and that is said.

    measures: a "score" of predictions; a "cost", with a prefix of its unit and a ratio to the first row; a "quantity",
    of which a ratio means nothing. By default a score where there is `compute`, else a cost. Scores stand in every
    table, quantities where they are asked for. bounded_by: the reading whose incompleteness is this number's too: a
    list of operators that were not counted, or another number that is "at least". curve: False for what is computed at
    the end of training only, and so has no score at the best point. mixture: it looks at no single sample of class or
    token probabilities, but at their mixture and `Outcome.entropy`; where all metrics say so, predictions reach them
    as one sample, folded some rows at a time, so that many samples need no more memory than one. requires: modules
    that must be importable; they are imported once for all trials. shifted: it is of each shifted test split beside the
    test rows, `compute(outcome, other)` with an Outcome of each, at the end of training only: NAME@SPLIT.

    One that raises, or gives what is no finite number, is a hole in the record. No metric has the name of what the
    harness measures.
    """

    name: str
    summary: str
    unit: str
    better: Literal["higher", "lower", "neither"]
    kinds: tuple[str, ...] = ()
    compute: str | Callable[..., float | None] | None = None
    per: str = ""
    headline: bool = False
    exact: bool = False
    measures: Literal["score", "cost", "quantity"] = None  # type: ignore[assignment]  # set below
    bounded_by: str = ""
    curve: bool = True
    mixture: bool = False
    requires: tuple[str, ...] = ()
    shifted: bool = False

    def __post_init__(self) -> None:
        """Fill `measures`: a metric that is computed is a score by default, one that is read a cost."""
        if self.measures is None:
            object.__setattr__(self, "measures", "score" if self.compute is not None else "cost")


@dataclass(frozen=True)
class Formula:
    """How much work an operator does that a plugin brings along, for the instruments that count operations.

    operator: its library and name, as in "mylib::scan", for all of its overloads; its backward is an operator too, and
    has a formula of its own. macs: "module:function" or a callable that returns the multiply-accumulates of one call, a
    whole number, 0 or more. elementwise: likewise the operations on single elements; None for none.

    Both are called after the operator, by name, with those of its arguments that they take (as its schema names them,
    defaults filled in, tensors as they are) and its `result`:

        def macs(x, weight, steps):  # mylib::scan(Tensor x, Tensor weight, int steps=1) -> Tensor
            return steps * len(x) * weight.numel()  # x (B, I), weight (I, O)

    They leave tensors alone, and look at shapes rather than values, which a GPU would wait for. One that raises, or
    returns something else, leaves the operator without a formula, with the reason.
    """

    operator: str
    macs: str | Callable[..., int]
    elementwise: str | Callable[..., int] | None = None
    summary: str = ""

    @property
    def name(self) -> str:
        """The operator's."""
        return self.operator


class Gauge(Protocol):
    """Product of an instrument's factory. `session` spans the life of one fresh state, in which a few updates go
    before and `measure` spans a steady one; an intrusive gauge without `measure` gets no fresh state.

    Optional: `deployed(trained)`, called once with a `Trained`, after the final scores have left the worker and before
    any fresh state, without gradients. There a prediction is measured, and what depends on what was learnt. It reaches
    no score and no array that is kept, and shall leave the state as it is for the instruments after it. What it learns
    it says in `readings`, which are measured, not claimed: a claim may rest on them.

    Optional for one that is not intrusive: `pause()`, a context that spans each evaluation within the session, and
    `settle()`, called before the first update after those in which libraries try out their algorithms. For one that
    counts operations: `use_formulas(formulas)`, called first, with those that plugins offer for operators of their own.
    """

    def session(self) -> AbstractContextManager[None]:
        """Spans birth to death of one fresh state."""
        ...

    def measure(self, stage: Literal["update"], examples: int) -> AbstractContextManager[None]:
        """Spans one steady update, of that many examples: rows, of a stream tokens."""
        ...

    def readings(self) -> Mapping[str, Any]:
        """Numbers by metric name; other values (a coverage list) under further names: texts without an @, none of them
        that of a score, of what the harness measures (update_seconds and the like) or of another instrument's reading.
        At most 20 levels deep, 1 MB each. What breaks this is a hole, by its name, and the rest is kept.

        A `Reading` holds a value together with a warning, or with why the truth may be more than the number. Raises
        Unsupported, with the reason, for what cannot be measured here.
        """
        ...


@dataclass(frozen=True)
class Instrument:
    """A way to measure. factory: "module:attribute" called without arguments inside the trial.

    intrusive: it disturbs what it measures, so it gets a fresh state of its own after the timed pass. repeats: all that
    it reads is the same for every seed. Such an instrument measures two seeds of a configuration; where all its
    readings agree to the digit, the seeds after them take these over, and their records say from which. on_request: it
    takes long, so it measures only where a run asks for the column of its name, with --metrics or in a suite.
    """

    name: str
    summary: str
    factory: str | Callable[[], Gauge]
    intrusive: bool = True
    repeats: bool = False
    on_request: bool = False
