"""Library of the spiking family: neurons, surrogates, networks, the LIF inference path. It offers no method of its own,
but the format in which those of the family are exported.

Importing this package imports no torch: `config` and `architectures` are plain Python, the other modules are imported
inside a trial.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness import Export, hookimpl

harness_interface = 2


@hookimpl
def harness_exports() -> Iterator[Export]:
    yield Export(
        "nir",
        "a graph of the Neuromorphic Intermediate Representation, which simulators of spiking networks read",
        write="harness_spiking.exporting:write",
        families=("spiking",),
        strays=0.02,  # of a row in which rounding at a threshold changes a spike, all that follows is another
        requires=("nir",),
    )
