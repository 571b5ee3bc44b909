"""`harness export --to nir`: the deployed network as a file that simulators read, held against it spike by spike."""

from __future__ import annotations

import io
from pathlib import Path
from typing import cast

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness import ClassLogProbs, HarnessError, Kept, Unsupported, Written
from harness_spiking import lif, nir_graphs, nir_readers
from harness_spiking.kernels import eager
from harness_spiking.learner import State
from harness_spiking.network import Network
from harness_spiking.nir_readers import Ran
from harness_spiking.spikes import recorded
from harness_spiking.weights import effective
from harness_torch.training import inference

UNLIKE = 0.01  # share of spikes that rounding at a threshold may change, with all that follows from these

LOAD = """\
from spikingjelly.activation_based import neuron
from spikingjelly.activation_based.nir_exchange import import_from_nir
net, state = import_from_nir(PATH), None
{soft}readout, state = net(frame, state)  # at each of {steps} steps, {frames}
"""
SOFT = """\
for each in net.modules():
    if isinstance(each, neuron.BaseNode):
        each.v_reset = None  # a spike subtracts the threshold, which NIR does not tell from a reset to zero
"""


def write(kept: Kept, path: Path) -> Written:
    """One `.nir` file. Raises Unsupported for a network that NIR cannot say."""
    network, over_time = _trained(kept)
    nir_graphs.refuse(network)
    shape = kept.problem.input_shape[1:] if network.time_axis else kept.problem.input_shape
    content = io.BytesIO()  # on a full disk HDF5 ends the process
    nir.write(content, nir_graphs.graph(network, shape, over_time))
    path.write_bytes(content.getvalue())
    name, run = nir_readers.best(network.neuron.leak)
    said = _held_against(network, torch.as_tensor(kept.rows), run(nir_readers.read(path), torch.as_tensor(kept.rows)))

    def predict(inputs: NDArray[np.float32]) -> ClassLogProbs:
        file = nir_readers.read(path)
        readouts = run(file, torch.as_tensor(inputs)).readouts
        return inference.classes(torch.tensordot(file.over_time, readouts, dims=1))

    frames = "one frame each" if network.time_axis else "the same frame each time"
    soft = "" if network.hard_reset else SOFT
    return Written(predict, LOAD.format(soft=soft, steps=network.steps, frames=frames), f"{name} ({said})")


def _trained(kept: Kept) -> tuple[Network, Tensor]:
    """The network with its trained parameters, and what the readout of each step counts (T,)."""
    if not hasattr(kept.learner, "over_time"):
        raise Unsupported(
            "the method deploys neurons of its own, and NIR has the leaky integrate-and-fire neuron alone"
        )
    network = cast(State, kept.learner.init(kept.problem, kept.training, None)).network
    if network.parameters.keys() != kept.arrays.keys():
        raise Unsupported(
            f"its arrays ({', '.join(kept.arrays)}) are not those of its network: was it another version?"
        )
    with torch.no_grad():
        for name, parameter in network.parameters.items():
            parameter.copy_(kept.arrays[name])
    return network, kept.learner.over_time(network)


@torch.no_grad()
def _held_against(network: Network, inputs: Tensor, ran: Ran) -> str:
    """How many spikes of some rows are others than those of the network itself. Raises HarnessError for too many."""
    network = network._replace(kernels=eager)  # which tell what they fire
    with recorded(network) as spikes:
        lif.run(network, effective(network), network.frames(inputs))
    ours, theirs = spikes.by_layer().values(), ran.spikes.values()
    differing = sum(int((one != (other > 0)).sum()) for one, other in zip(ours, theirs, strict=True))
    fired, places = sum(int(one.sum()) for one in ours), sum(one.numel() for one in ours)
    if differing > UNLIKE * max(fired, 1):
        raise HarnessError(f"the file fires otherwise: {differing:,} of {places:,} spikes or silences differ")
    return f"{fired:,} spikes of {len(inputs)} rows: {differing or 'none'} other than ours"
