"""How often a compressed network errs on rows that it has not seen: the variance term, the Occam bound, and the gap."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from harness import Batch
from harness_recurrent import bounds, generalisation, network
from harness_recurrent.bounds import Row, build_row, explain_underived, norm
from harness_recurrent.generalisation import Blocks, Bound
from harness_recurrent.network import Network, Tensors
from harness_recurrent.statistics import ROWS

RECURRENT = ("recurrent.weight", "input.weight", "input.bias")
BLOCKS = (*(f"cells.0.{each}" for each in RECURRENT), "readout.weight", "readout.bias")  # in the order of `Blocks`


def build_variance_row(net: Network, smaller: Tensors, train: Batch, steps: int, delta: float) -> Row:
    """The variance term of all networks with norms of at most those of this one, taken to the next power of two."""
    title, equation = "variance term", "2 / n + sqrt((log N(1/n) + 5 log 64 + log 1/delta) / 2 n)"
    if why := explain_underived(net):
        return Row("variance_term", title, equation, note=why)
    W, n = [smaller[name] for name in BLOCKS], len(train.inputs)
    try:
        radii = Blocks(*(float(each.norm()) if each.dim() == 1 else norm(each) for each in W)).on_grid()
    except ValueError as error:
        return Row("variance_term", title, equation, note=str(error))
    sizes = Blocks(*(each.numel() for each in W))
    number = generalisation.log_covering_number(sizes, radii, _find_largest_input(net, train), steps, 1 / n)
    found = generalisation.variance_term(n, number, delta)
    return build_row("variance_term", title, equation, Bound("variance", math.log(found), 1.0), "a loss is 1 at most")


def _find_largest_input(net: Network, train: Batch) -> float:
    """RX >= |x_t|."""
    return max(float(network.split_steps(net, {}, part).norm(dim=-1).max()) for part in train.inputs.split(ROWS))


def list_errors(
    net: Network, base: Tensors, smaller: Tensors, train: Batch, test: Batch, bits: Sequence[int], delta: float
) -> Iterator[Row]:
    """Yield errors of base, compressed and quantised network on training and test rows, and the gap between."""
    equation = "training error + sqrt(((q p + 32 s + 64) ln 2 + ln 1/delta) / 2 n)"
    for each in bits:
        quantised = bounds.quantise_tensors(smaller, each)
        found = bounds.bound_error(bounds.measure_error(net, quantised, train), len(train.inputs), smaller, each, delta)
        yield build_row(
            f"occam_bound_{each}", f"Occam bound at q = {each} bits", equation, found, "an error is 1 at most"
        )
        yield from _list_errors_of_network(f"quantised_{each}", f"{each}-bit", net, quantised, train, test)
    yield from _list_errors_of_network("compressed", "compressed", net, smaller, train, test)
    yield from _list_errors_of_network("base", "base", net, base, train, test)


def _list_errors_of_network(
    name: str, title: str, net: Network, tensors: Tensors, train: Batch, test: Batch
) -> Iterator[Row]:
    errors = bounds.measure_error(net, tensors, train), bounds.measure_error(net, tensors, test)
    yield Row(f"{name}_train_error", f"training error, {title}", value=errors[0])
    yield Row(f"{name}_test_error", f"test error, {title}", value=errors[1])
    yield Row(f"{name}_gap", f"gap, {title}", "test error - training error", errors[1] - errors[0])
