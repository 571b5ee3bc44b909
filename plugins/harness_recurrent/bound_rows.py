"""The rows of `harness bound`: each number with its equation, bounds beside measurements, in float64."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness import Batch
from harness_recurrent import bound_bias, bound_risk, bounds, network, nodes, reconstruction, selection, theory
from harness_recurrent.bounds import Layer, Row, explain_underived, norm
from harness_recurrent.network import Network, Tensors
from harness_recurrent.statistics import ROWS, Statistics
from harness_torch.training import precision

STREAM = "refused: tokens of a stream are not independent"


@dataclass(frozen=True)
class Compressed:
    """A base and the network made of it. base, smaller: their tensors; smaller is deployed, fine-tuned or not.

    kept: nodes of each layer. lam_rel, reconstruct, last_step: how A was made. batch_size: of training, which lays out
    a stream.
    """

    network: Network
    base: Tensors
    smaller: Tensors
    kept: Sequence[Sequence[int]]
    lam_rel: float
    reconstruct: bool
    last_step: bool
    tuned: bool
    batch_size: int


def list_rows(found: Compressed, train: Batch, test: Batch, bits: Sequence[int], delta: float) -> Iterator[Row]:
    """Yield all rows, in float64: sizes, approximation, bias, risk."""
    net = dataclasses.replace(found.network, types=precision.types("fp64"))
    base, smaller = ({name: each.double() for name, each in own.items()} for own in (found.base, found.smaller))
    statistics = Statistics(net, base, train, found.batch_size)
    layers = [_build_layer(found, base, statistics, index) for index in range(net.layers)]
    yield from _label_part("sizes", _list_sizes(net, base, smaller, train, statistics.steps))
    for index, layer in enumerate(layers):
        yield from _label_part(
            "approximation", _label_layer(_list_approximation(layer), index if net.layers > 1 else None)
        )
    if net.tokens:
        yield Row("bias_bound", "bias bound", note=explain_underived(net), part="bias")
        risks = Row("variance_term", "variance term", note=STREAM), Row("occam_bound", "Occam bound", note=STREAM)
        yield from _label_part("risk", risks)
        return
    whole = nodes.keep_nodes(net, base, found.kept, [layer.A for layer in layers])
    seen = bound_bias.Distances(net, base, [whole, *([smaller] if found.tuned else [])], statistics)
    yield from _label_part("bias", bound_bias.list_rows(net, layers[0], seen))
    yield from _label_part("risk", [bound_risk.build_variance_row(net, smaller, train, seen.steps, delta)])
    yield from _label_part("risk", bound_risk.list_errors(net, base, smaller, train, test, bits, delta))


def _label_part(name: str, own: Iterable[Row]) -> Iterator[Row]:
    return (dataclasses.replace(row, part=name) for row in own)


def _build_layer(found: Compressed, base: Tensors, statistics: Statistics, index: int) -> Layer:
    S, kept = statistics.time_mean[index], found.kept[index]
    chosen_by = statistics.last_step[index] if found.last_step else S
    tau = selection.regularisation(chosen_by, found.lam_rel, len(kept))
    A = reconstruction.matrix(chosen_by, kept, tau) if found.reconstruct else reconstruction.selector(len(S), kept)
    layer = bounds.build_layer(base, index, S, kept, tau, A, found.lam_rel)
    return dataclasses.replace(layer, regularised=found.reconstruct and not found.last_step)


def _list_sizes(net: Network, base: Tensors, smaller: Tensors, train: Batch, steps: int) -> Iterator[Row]:
    sequences, rows_of = ("tokens", train.inputs[0]) if net.tokens else ("sequences", train.inputs)
    few = f"lam to bias: of the first {ROWS:,}" if not net.tokens and len(rows_of) > ROWS else ""
    yield Row("n", f"training {sequences} n", value=len(rows_of), note=few)
    if steps:
        yield Row("steps", "steps T", value=steps)
    for index in range(net.layers):
        sizes = network.width(net, base, index), network.width(net, smaller, index)
        own = Row("nodes", "nodes m", value=sizes[0]), Row("kept_nodes", "nodes kept k", value=sizes[1])
        yield from _label_layer(own, index if net.layers > 1 else None)
    yield Row("parameters", "parameters left p", value=sum(each.numel() for each in smaller.values()))


def _label_layer(own: Iterable[Row], index: int | None) -> Iterator[Row]:
    """Put the layer into the names of rows, where there are several layers."""
    for row in own:
        if index is None:
            yield row
        else:
            yield dataclasses.replace(row, name=f"{row.name}_{index}", title=f"{row.title}, layer {index}")


def _list_approximation(layer: Layer) -> Iterator[Row]:
    S, k, m = layer.S, len(layer.nodes), len(layer.S)
    feasible, unit = theory.feasible_regularisation(S, k), selection.ridge(S, 1.0)
    yield Row("lam", "regularisation lam", f"{layer.lam_rel:g} Tr S / m", layer.lam)
    freedom = selection.degrees_of_freedom(S, layer.lam)
    yield Row("degrees_of_freedom", "degrees of freedom N(lam)", "Tr S (S + lam I)^-1", freedom)
    yield Row(
        "feasible_lam",
        "feasible regularisation lam(k)",
        "inf {lam: k >= 5 N(lam) log 80 N(lam)}",
        feasible,
        note=f"{feasible / unit:.3g} Tr S / m, at which N is {selection.degrees_of_freedom(S, feasible):.3g}",
    )
    yield from _list_losses(layer)
    note = f"of nodes as the theory samples them at most {theory.reconstruction_norm_bound(m):.3g}"
    yield Row("reconstruction_norm", "|A|", "largest singular value", norm(layer.A), note=note)


def _list_losses(layer: Layer) -> Iterator[Row]:
    """Yield losses of E; without reconstruction, or with that of the last step, of R, which has no penalty."""
    E, titles = "E" if layer.regularised else "R", ("input L_A", "readout L_Bo", "recurrent L_Bh")
    equations = f"Tr {E}", f"Tr Wo {E} Wo^T", f"Tr Wh {E} Wh^T"
    found = layer.losses(), layer.shares(layer.losses()), layer.shares(layer.read(layer.lost))
    for title, equation, loss, share, lost in zip(titles, equations, *found, strict=True):
        penalty = f"; {100 * lost:.2g} % without the penalty" if layer.regularised else ""
        name = f"{title.split()[0]}_loss"
        yield Row(name, f"information loss, {title}", equation, loss, note=f"{100 * share:.2g} % of all{penalty}")
