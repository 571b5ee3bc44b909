"""Recurrent networks trained as they are: what compressions start from, and the small network from scratch."""

from __future__ import annotations

from collections.abc import Iterator

from harness import Method, hookimpl
from harness_recurrent.config import FAMILY, KINDS, PRECISIONS, RecurrentOptions, refuse_on_dataset

harness_interface = 2

CITATION = """
@misc{le2015irnn,
  author = {Le, Quoc V. and Jaitly, Navdeep and Hinton, Geoffrey E.},
  title = {A Simple Way to Initialize Recurrent Networks of Rectified Linear Units},
  year = {2015},
  eprint = {1504.00941},
  archiveprefix = {arXiv},
}
@misc{feng2024mingru,
  author = {Feng, Leo and Tung, Frederick and Ahmed, Mohamed Osama and Bengio, Yoshua and Hajimirsadeghi, Hossein},
  title = {Were {RNNs} All We Needed?},
  year = {2024},
  eprint = {2410.01201},
  archiveprefix = {arXiv},
}
"""


@hookimpl
def harness_methods() -> Iterator[Method]:
    yield Method(
        "dense-rnn",
        "a recurrent network as it is: the base of every compression, and with fewer nodes their rival from scratch",
        factory="harness_dense_rnn.learner:build",
        kinds=KINDS,
        config=RecurrentOptions,
        paper="Le, Jaitly and Hinton, A Simple Way to Initialize Recurrent Networks of Rectified Linear Units, 2015",
        citation=CITATION,
        role="baseline",
        precisions=PRECISIONS,
        family=FAMILY,
        refuse=refuse_on_dataset,
        row_options=("hidden",),
    )
