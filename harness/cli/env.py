"""`harness env`: this machine as a record would describe it."""

from __future__ import annotations

import json
from typing import Any

import click

from harness.words import clean_line


@click.command()
@click.option(
    "--device", default="auto", metavar="auto|cpu|cuda|cuda:N", help="The device to describe.", show_default=True
)
@click.option(
    "--format", "style", type=click.Choice(["text", "json"]), default="text", help="How to print it.", show_default=True
)
@click.pass_obj
def env(session: Any, device: str, style: str) -> None:
    """Show the machine, the versions and the device that records taken here would name."""
    from harness.catalog import resolve
    from harness.records import environment

    facts = environment.describe_machine()
    for offer in session.catalog.backends.values():
        resolved = resolve(offer.check)(device, "fp32", 1)
        facts |= {"device": resolved} | resolve(offer.factory)().environment(resolved)
    if style == "json":
        click.echo(json.dumps(facts, indent=1, default=str))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        click.echo(f"{name:<{width}}  {clean_line(str(value))}")
