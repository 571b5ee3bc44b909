"""Library of the spiking family: neurons, surrogates, networks, the LIF inference path; and the command that tells
whether two of its methods agree. Registers no method.

Importing this package imports no torch: `config` and `architectures` are plain Python, the other modules are imported
inside a trial or when the command is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def harness_commands(cli: click.Group) -> None:
    from harness_torch.agree_command import agree

    cli.add_command(agree)
