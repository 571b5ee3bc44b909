"""Options of recurrent networks, of their training and of their compression. Plain Python, no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from harness import Dataset, UsageError, option
from harness_torch.training.options import OptimiserOptions

FAMILY = "recurrent"  # whose recipes the methods follow
PRECISIONS = ("fp32", "tf32", "bf16")
KINDS = ("classification", "language")

Cell = Literal["irnn", "elman", "gru", "lstm", "mingru"]
GATES: Mapping[str, int] = {"irnn": 1, "elman": 1, "gru": 3, "lstm": 4, "mingru": 2}  # G, of a cell with m nodes
OF_IRNN = {"cell": (None, "irnn")}  # what options of that cell need
UNBOUNDED = "its state is unbounded on a stream without end"

LEARNING_RATE = 3e-3  # of Adam, for a network from scratch
TUNING_RATE = 1e-3  # for one that has been trained and made smaller
SGD_RATE = 1.0  # of sgd, in both
SHARE = 0.33  # of nodes that are kept where nothing else is said


@dataclass(frozen=True)
class NetworkOptions:
    """A recurrent network: its class comes from the last step, or the next token from each."""

    cell: Cell | None = option(
        None,
        "irnn (ReLU, starts from the identity), elman (tanh), gru, lstm or mingru (gates see the input alone); lstm "
        "for language, on whose long streams a ReLU network's state is not bounded, else irnn by default",
    )
    hidden: int = option(128, "nodes of each layer", low=1)
    layers: int = option(1, "layers, each reading the one below at every step", low=1)
    gain: float = option(
        1.0, "of irnn: the recurrent weights start at this much of the identity", above=0, needs=OF_IRNN
    )
    input_scale: float = option(
        0.05, "of irnn: standard deviation that input weights start with", above=0, needs=OF_IRNN
    )
    embedding: int | None = option(None, "of language: numbers of a token; as many as hidden by default", low=1)
    tied: bool = option(False, "of language: whether the readout's weights are the embedding's")
    dropout: float = option(
        0.0,
        "share of nodes left out between layers and before the readout, and of numbers of embedded tokens",
        low=0,
        below=1,
    )

    def __post_init__(self) -> None:
        if self.tied and self.embedding not in (None, self.hidden):
            raise UsageError(
                f"tied=yes: the readout has hidden={self.hidden} columns and the embedding={self.embedding}; "
                "leave embedding out"
            )

    def resolve_cell(self, kind: str) -> Cell:
        """`cell`, resolved for data of a kind."""
        return self.cell or ("lstm" if kind == "language" else "irnn")

    def refuse_on(self, dataset: Dataset) -> None:
        """Refuse options that do not go with a data set, or do nothing there. Raises UsageError."""
        where = f"{dataset.name} is {dataset.kind}"
        if dataset.kind != "language":
            require_defaults(self, ("embedding", "tied"), f"of language, and {where}")
            return
        if self.cell == "irnn":
            raise UsageError(f"cell=irnn: {UNBOUNDED}, and {where}; use cell=lstm, gru, elman or mingru")
        if self.cell is None:
            require_defaults(self, ("gain", "input_scale"), f"of cell=irnn, and {where}, where cell is lstm")


def refuse_on_dataset(options: NetworkOptions, dataset: Dataset, given: Mapping[str, Any]) -> None:
    """`Method.refuse` of all methods of the family."""
    options.refuse_on(dataset)
    if isinstance(options, TuningOptions):
        options.refuse_untrained(given)


def write_options(options: NetworkOptions) -> str:
    """The network's options that differ from their defaults, as a selection says them: `cell=gru,hidden=64`."""
    values = {field.name: getattr(options, field.name) for field in dataclasses.fields(NetworkOptions)}
    return ",".join(
        f"{name}={format_value(value)}" for name, value in values.items() if value != getattr(NetworkOptions, name)
    )


def require_defaults(options: Any, names: Iterable[str], reason: str, instead: str = "") -> None:
    """Raises UsageError for the first of these options that is not at its default, with the reason and the remedy.

    For options without effect on a data set, or where several options decide together; where the value of another one
    decides, `option(needs=...)` says so.
    """
    for name in names:
        value = getattr(options, name)
        if value != getattr(type(options), name):
            raise UsageError(f"{name}={format_value(value)}: {reason}; leave {name} out{instead}")


def format_value(value: object) -> str:
    """Format a value as in a selection."""
    return "none" if value is None else ("no", "yes")[value] if isinstance(value, bool) else str(value)


def _describe_rate(adam: float) -> str:
    return f"learning rate that the schedule is a share of; {SGD_RATE} for sgd and {adam} for adam by default"


@dataclass(frozen=True)
class TrainingOptions(OptimiserOptions):
    """Options of training: Adam, one-cycle and clipped gradients by default."""

    optimiser: Literal["sgd", "adam"] | None = option(None, "sgd or adam; the data set's recipe, else adam, by default")
    learning_rate: float | None = option(None, _describe_rate(LEARNING_RATE), above=0)
    schedule: Literal["cosine", "constant", "one-cycle", "stairs"] = option(
        "one-cycle",
        "the learning rate over the budget: half a cosine down to final_rate; one-cycle, which climbs for its first "
        "30 %; or stairs, which stay for the first steps and then fall by decay at each; constant under a budget of "
        "seconds, whose number of updates is unknown",
    )
    clip: float | None = option(
        1.0, "largest norm of all gradients together: longer ones are scaled down to it", above=0
    )

    @property
    def resolved_optimiser(self) -> Literal["sgd", "adam"]:
        """`optimiser`, resolved."""
        return self.optimiser or "adam"

    @property
    def resolved_rate(self) -> float:
        """`learning_rate`, resolved."""
        return self.learning_rate or (self._rate if self.resolved_optimiser == "adam" else SGD_RATE)

    @property
    def _rate(self) -> float:
        return LEARNING_RATE


@dataclass(frozen=True)
class RecurrentOptions(NetworkOptions, TrainingOptions):
    """A recurrent network that is trained from scratch."""

    def __post_init__(self) -> None:
        NetworkOptions.__post_init__(self)
        TrainingOptions.__post_init__(self)


@dataclass(frozen=True)
class SizeOptions:
    """Options for the size that is left, of which one is given."""

    nodes: int | None = option(
        None,
        "nodes left of each layer; for methods that keep single weights, as many recurrent weights as such a layer has",
        low=1,
    )
    share: float | None = option(None, f"share of the nodes left; {SHARE} where no size is given", above=0, high=1)
    parameters: int | None = option(None, "the largest network with at most so many numbers in all", low=1)

    @property
    def given_sizes(self) -> list[str]:
        """The sizes that are set, as a person writes them."""
        names = [field.name for field in dataclasses.fields(SizeOptions)]
        return [f"{name}={value}" for name in names if (value := getattr(self, name)) is not None]


@dataclass(frozen=True)
class TuningOptions(TrainingOptions):
    """Options of fine-tuning: the same for every method."""

    learning_rate: float | None = option(None, _describe_rate(TUNING_RATE), above=0)
    finetune: int = option(0, "epochs of training after it was made smaller", low=0)
    teacher: bool = option(
        False, "whether those epochs follow the base's predictions, too: the mean of both losses, the same for all"
    )

    @property
    def _rate(self) -> float:
        return TUNING_RATE

    def refuse_untrained(self, given: Mapping[str, Any]) -> None:
        """Refuse options given for fine-tuning where there is none; those of a recipe do no harm. Raises UsageError."""
        of_training = [field.name for field in dataclasses.fields(TuningOptions) if field.name in given]
        if not self.finetune:
            reason = "of training after it was made smaller, of which finetune=0 has none"
            require_defaults(self, of_training, reason, ", or give finetune=1 or more")


@dataclass(frozen=True)
class CompressionOptions(NetworkOptions, SizeOptions, TuningOptions):
    """Options of every compression: the network it starts from, the size that it leaves, and fine-tuning."""

    def __post_init__(self) -> None:
        NetworkOptions.__post_init__(self)
        TuningOptions.__post_init__(self)
        if len(self.given_sizes) > 1:
            raise UsageError(f"{' and '.join(self.given_sizes)} each say how much is left; give one of them")
        if self.nodes is not None and self.nodes > self.hidden:
            raise UsageError(f"nodes={self.nodes}: a layer has hidden={self.hidden}; give at most as many")

    @property
    def kept(self) -> int | None:
        """Nodes left of each layer; None where `parameters` decides, once the network is known."""
        if self.parameters is not None:
            return None
        return self.nodes or max(1, round((self.share or SHARE) * self.hidden))


def name_base(options: Any) -> str:
    """The network that a compression starts from: trained as it is, with the same options of the network."""
    given = write_options(options)
    return f"dense-rnn[{given}]" if given else "dense-rnn"


@dataclass(frozen=True)
class NodeOptions(CompressionOptions):
    """Options of methods that keep whole nodes.

    cuts_the_base: whether what is cut is the base as it was trained, which is kept.
    """

    cuts_the_base: ClassVar[bool] = True

    reconstruct: bool = option(
        True, "whether the weights that read the nodes left are rewritten to make up for those that are gone"
    )
    lam: float = option(1e-4, "regularisation of the reconstruction, as a share of a node's mean square", low=0, high=1)
    covariance: Literal["time-mean", "last-step"] = option(
        "time-mean", "states whose second moments say how well nodes are reconstructed: of all steps, or of the last"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.reconstruct:
            reason = "of the reconstruction, and reconstruct=no"
            require_defaults(self, self.reconstruction_options, reason, ", or give reconstruct=yes")

    @property
    def reconstruction_options(self) -> tuple[str, ...]:
        """Options that have a say in the reconstruction, and none in which nodes are kept."""
        return ("lam", "covariance")

    def refuse_on(self, dataset: Dataset) -> None:
        super().refuse_on(dataset)
        if dataset.kind == "language":
            reason = f"{dataset.name} is {dataset.kind}, a stream that has no last step"
            require_defaults(self, ("covariance",), reason)


@dataclass(frozen=True)
class WeightOptions(CompressionOptions):
    """Options of methods that keep single weights: as many as the layers with `nodes` nodes have of them."""

    weights: Literal["recurrent", "all"] = option(
        "recurrent",
        "weights that may be removed: recurrent ones, or those of the inputs and of the readout, too; never biases and "
        "embeddings",
    )
    scope: Literal["row", "layer", "global"] = option(
        "layer", "weights that compete: each row keeps the same share of its own, or each map does, or all are one list"
    )
    form: Literal["masked", "csr"] = option(
        "masked",
        "how it is deployed: dense with zeros, as fast as before; or as compressed sparse rows, which multiply with "
        "what is left alone",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cell == "mingru" and self.weights == "recurrent":
            raise UsageError("weights=recurrent: cell=mingru has no recurrent weights; give weights=all")


ROW_OPTIONS = ("nodes", "share", "parameters")  # sizes stay rows of their own where validation chooses
