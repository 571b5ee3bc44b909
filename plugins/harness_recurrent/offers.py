"""The offer that all compressions share, so that a package states its own part alone. Plain Python, no torch."""

from __future__ import annotations

from typing import Literal

from harness import Method
from harness_recurrent.config import FAMILY, KINDS, PRECISIONS, ROW_OPTIONS, SizeOptions, name_base, refuse_on_dataset


def offer_compression(
    name: str,
    summary: str,
    factory: str,
    config: type,
    paper: str = "",
    citation: str = "",
    role: Literal["proposed", "baseline"] = "baseline",
    sizes: tuple[str, ...] = (),
) -> Method:
    """A method that starts from a `dense-rnn` with the network's options of its config, and may fine-tune it.

    sizes: options of its own that say how much is left. As those of `SizeOptions`, where its config has them, they stay
    rows of their own where validation chooses.
    """
    shared = ROW_OPTIONS if issubclass(config, SizeOptions) else ()
    return Method(
        name,
        summary,
        factory=factory,
        kinds=KINDS,
        config=config,
        paper=paper,
        citation=citation,
        role=role,
        precisions=PRECISIONS,
        starts_from=name_base,
        epochs_option="finetune",
        row_options=(*shared, *sizes),
        family=FAMILY,
        refuse=refuse_on_dataset,
    )
