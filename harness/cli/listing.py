"""`harness list` and `harness plugins`: what there is, who provides it, and what is wrong with the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from harness import options
from harness.catalog import Catalog, Offer, PluginProblem, available
from harness.catalog.loading import Plugin
from harness.catalog.shelves import provided
from harness.cli import views
from harness.cli.group import OWN
from harness.cli.session import Session
from harness.cli.tables import folded, output_width, table
from harness.errors import PluginError, UsageError
from harness.words import listed, suggest, visible

SCHEMA = 1
MORE = "harness list NAME tells all of one: the options of a method, the recipe of a data set, the claims of a suite"
FORMAT = click.option(
    "--format", "style", type=click.Choice(["text", "json"]), default="text", help="How to print it.", show_default=True
)


LIST_HELP = f"""List what can be run and measured.

Without an argument everything, a line each. A SHELF ({", ".join(views.SHELVES)}) is one kind with all that is known of
it, a NAME whatever has that name, as in `harness list digits`.
"""


@click.command("list", help=LIST_HELP)
@click.argument("what", required=False, metavar="[SHELF|NAME]")
@FORMAT
@click.pass_obj
def list_(session: Session, what: str | None, style: str) -> None:
    catalog = session.catalog
    found = _found(catalog, what)
    if style == "json":
        shelves = {shelf: [_facts(shelf, offer) for offer in offers] for shelf, offers in found.items()}
        click.echo(visible(json.dumps({"schema": SCHEMA, **shelves}, indent=1, ensure_ascii=False, default=str)))
    elif what is None:
        click.echo("\n\n".join([*(_brief(shelf, offers) for shelf, offers in found.items()), _more()]))
    else:
        click.echo(
            "\n\n".join(_full(shelf, offers, alone=what not in views.SHELVES) for shelf, offers in found.items())
        )


def _more() -> str:
    return "\n".join(folded(MORE, output_width()))


def _found(catalog: Catalog, what: str | None) -> dict[str, list[Offer[Any]]]:
    """The offers to list, by shelf."""
    if what is not None and what in views.SHELVES:
        return {what: catalog.shelf(views.SHELVES[what].hook).offers()}
    offers = {shelf: catalog.shelf(view.hook).offers() for shelf, view in views.SHELVES.items()}
    return offers if what is None else _named(offers, what, catalog.hint)


def _named(offers: Mapping[str, list[Offer[Any]]], what: str, hint: str) -> dict[str, list[Offer[Any]]]:
    """The offers of that name. Raises UsageError where there is none."""
    named = {shelf: [offer for offer in all_ if _is_called(offer, what)] for shelf, all_ in offers.items()}
    if any(named.values()):
        return {shelf: found for shelf, found in named.items() if found}
    names = {offer.value.name for all_ in offers.values() for offer in all_}
    close = suggest(what, [*views.SHELVES, *names])
    known = f"{' S' if close else '; s'}helves: {', '.join(views.SHELVES)}"
    raise UsageError(f"list: nothing is called {what!r}{close}{known}{hint}")


def _is_called(offer: Offer[Any], what: str) -> bool:
    """Whether an offer is meant by `name` or `provider:name`."""
    provider, _, name = what.rpartition(":")
    called = offer.value.name == name and (not provider or bool(provided([offer], provider)))
    return called or offer.value.name == what  # an operator has colons of its own


def _brief(shelf: str, offers: Sequence[Offer[Any]]) -> str:
    view = views.SHELVES[shelf]
    rows = [[views.text(fact(offer)) for fact in view.brief.values()] for offer in offers]
    return f"{shelf}\n{table(list(view.brief), rows, output_width())}"


def _full(shelf: str, offers: Sequence[Offer[Any]], alone: bool) -> str:
    """A table where a line holds all that there is to say, a paragraph for each offer elsewhere."""
    view = views.SHELVES[shelf]
    if not (view.has_options or view.detail or alone):
        return _brief(shelf, offers)
    return "\n\n".join(_paragraph(shelf, offer, alone) for offer in offers) or f"{shelf}\n  (none)"


def _paragraph(shelf: str, offer: Offer[Any], alone: bool) -> str:
    view = views.SHELVES[shelf]
    facts = {name: views.text(fact(offer)) for name, fact in view.full.items()}
    facts |= {"available": available(offer) or "yes", "plugin": str(offer.plugin)}
    facts |= {name: views.text(fact(offer)) for name, fact in view.detail.items()} if alone else {}
    lines = [_fact(name.ljust(max(map(len, facts))), fact) for name, fact in facts.items() if fact]
    parameters = ["  parameters", _parameters(offer)] if view.has_options else []
    summary = getattr(offer.value, "summary", "")
    head = folded(f"{view.noun} {offer.value.name}" + (f": {summary}" if summary else ""), output_width(), "", "    ")
    return "\n".join([*head, *lines, *parameters])


def _fact(label: str, fact: str) -> str:
    """A fact beside its name, or, where it has several lines, below it."""
    width, indent = output_width(), " " * (len(label) + 4)
    first, *others = fact.split("\n")
    lines = folded(first, width, f"  {label}  ", indent)
    return "\n".join(lines + [line for other in others for line in folded(other.strip(), width, " " * 4, " " * 6)])


def _parameters(offer: Offer[Any]) -> str:
    rows = options.rows(offer.value.config)
    return table(options.HEADINGS, rows, output_width()) if rows else "  (no parameters)"


def _facts(shelf: str, offer: Offer[Any]) -> dict[str, Any]:
    view = views.SHELVES[shelf]
    facts = {"name": offer.value.name, "summary": getattr(offer.value, "summary", "")}
    facts |= {name.replace(" ", "_"): views.plain(fact(offer)) for name, fact in {**view.full, **view.detail}.items()}
    facts |= {"unavailable": available(offer), "plugin": views.plain(offer.plugin)}
    if view.has_options:
        facts["options"] = [views.plain(option) for option in options.describe(offer.value.config)]
    return facts


@click.command("plugins")
@click.option("--problems", is_flag=True, help="Show what is wrong with those that failed, with tracebacks.")
@FORMAT
@click.pass_obj
def plugins(session: Session, problems: bool, style: str) -> None:
    """List the plugins: where they come from, what they offer, which failed and which are switched off."""
    catalog = session.tolerant_catalog()
    catalog.fill()
    catalog.commands(click.Group(), reserved=OWN)
    if style == "json":
        click.echo(
            visible(json.dumps({"schema": SCHEMA, **_state(catalog)}, indent=1, ensure_ascii=False, default=str))
        )
    else:
        click.echo(_problems(catalog.problems) if problems else _overview(catalog))
    if session.strict and catalog.problems:
        names = listed({problem.plugin for problem in catalog.problems})
        raise PluginError(f"--strict-plugins: broken: {names}")


def _state(catalog: Catalog) -> dict[str, Any]:
    return {
        "plugins": [views.plain(plugin) | {"hooks": catalog.implemented(plugin)} for plugin in catalog.plugins],
        "same_module": [views.plain(twin) | {"as": str(plugin)} for twin, plugin in catalog.twins],
        "switched_off": views.plain(catalog.switched_off),
        "problems": views.plain(catalog.problems),
    }


def _overview(catalog: Catalog) -> str:
    rows = [[plugin.name, _origin(plugin), _offered(catalog, plugin)] for plugin in catalog.plugins]
    rows += [
        [twin.name, _origin(twin), f"(the same module as {plugin}, which serves both)"]
        for twin, plugin in catalog.twins
    ]
    rows += [[plugin.name, _origin(plugin), "(switched off)"] for plugin in catalog.switched_off]
    failed = [problem for problem in catalog.problems if problem.stage in ("import", "registration")]
    rows += [[each.plugin, f"{each.distribution} {each.version}".strip(), "(failed)"] for each in failed]
    lines = [table(["plugin", "from", "offers"], rows, output_width())]
    if catalog.problems:
        lines += ["", *map(str, catalog.problems), "harness plugins --problems shows the tracebacks"]
    return "\n".join(lines)


def _origin(plugin: Plugin) -> str:
    return f"{plugin.distribution} {plugin.version}".strip() or plugin.file or plugin.module


def _offered(catalog: Catalog, plugin: Plugin) -> str:
    """What a plugin offers, by name, and which other hooks it answers."""
    parts = []
    for shelf, view in views.SHELVES.items():
        names = [offer.value.name for offer in catalog.shelf(view.hook).offers() if offer.plugin == plugin]
        if names:
            parts.append(f"{shelf}: {', '.join(names)}")
    listing = {view.hook for view in views.SHELVES.values()}
    others = [hook for hook in catalog.implemented(plugin) if hook not in listing]
    broken = ["(failed)" for problem in catalog.problems if problem.concerns(plugin)][:1]
    return "; ".join([*parts, *others, *broken]) or "nothing"


def _problems(problems: Sequence[PluginProblem]) -> str:
    return "\n\n".join(f"{problem}\n{problem.traceback}".rstrip() for problem in problems) or "no problems"
