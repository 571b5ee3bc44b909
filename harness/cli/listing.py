"""`harness list` and `harness plugins`: offers, their providers, and problems of plugins."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from harness import options
from harness.catalog import Catalog, Offer, PluginProblem, explain_unavailable
from harness.catalog.loading import Plugin
from harness.catalog.shelves import select_provided
from harness.cli import views
from harness.cli.group import OWN
from harness.cli.session import Session
from harness.cli.tables import fold, output_width, tabulate
from harness.errors import PluginError, UsageError
from harness.words import escape_controls, list_names, suggest

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
def list_all(session: Session, what: str | None, style: str) -> None:
    catalog = session.catalog
    found = _find_offers(catalog, what)
    if style == "json":
        shelves = {shelf: [_list_facts(shelf, offer) for offer in offers] for shelf, offers in found.items()}
        click.echo(
            escape_controls(json.dumps({"schema": SCHEMA, **shelves}, indent=1, ensure_ascii=False, default=str))
        )
    elif what is None:
        click.echo("\n\n".join([*(_tabulate_offers(shelf, offers) for shelf, offers in found.items()), _say_more()]))
    else:
        alone = what not in views.SHELVES
        click.echo("\n\n".join(_describe_offers(shelf, offers, alone) for shelf, offers in found.items()))


def _say_more() -> str:
    return "\n".join(fold(MORE, output_width()))


def _find_offers(catalog: Catalog, what: str | None) -> dict[str, list[Offer[Any]]]:
    """The offers to list, by shelf."""
    if what is not None and what in views.SHELVES:
        return {what: catalog.shelf(views.SHELVES[what].hook).offers()}
    offers = {shelf: catalog.shelf(view.hook).offers() for shelf, view in views.SHELVES.items()}
    return offers if what is None else _select_named(offers, what, catalog.hint)


def _select_named(offers: Mapping[str, list[Offer[Any]]], what: str, hint: str) -> dict[str, list[Offer[Any]]]:
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
    called = offer.value.name == name and (not provider or bool(select_provided([offer], provider)))
    return called or offer.value.name == what  # an operator has colons of its own


def _tabulate_offers(shelf: str, offers: Sequence[Offer[Any]]) -> str:
    view = views.SHELVES[shelf]
    rows = [[views.format_fact(fact(offer)) for fact in view.brief.values()] for offer in offers]
    return f"{shelf}\n{tabulate(list(view.brief), rows, output_width())}"


def _describe_offers(shelf: str, offers: Sequence[Offer[Any]], alone: bool) -> str:
    """A table where a line holds all that there is to say, a paragraph for each offer elsewhere."""
    view = views.SHELVES[shelf]
    if not (view.has_options or view.detail or alone):
        return _tabulate_offers(shelf, offers)
    return "\n\n".join(_describe_offer(shelf, offer, alone) for offer in offers) or f"{shelf}\n  (none)"


def _describe_offer(shelf: str, offer: Offer[Any], alone: bool) -> str:
    view = views.SHELVES[shelf]
    facts = {name: views.format_fact(fact(offer)) for name, fact in view.full.items()}
    facts |= {"available": explain_unavailable(offer) or "yes", "plugin": str(offer.plugin)}
    facts |= {name: views.format_fact(fact(offer)) for name, fact in view.detail.items()} if alone else {}
    lines = [_fold_fact(name.ljust(max(map(len, facts))), fact) for name, fact in facts.items() if fact]
    parameters = ["  parameters", _tabulate_options(offer)] if view.has_options else []
    summary = getattr(offer.value, "summary", "")
    head = fold(f"{view.noun} {offer.value.name}" + (f": {summary}" if summary else ""), output_width(), "", "    ")
    return "\n".join([*head, *lines, *parameters])


def _fold_fact(label: str, fact: str) -> str:
    """A fact beside its name, or, where it has several lines, below it."""
    width, indent = output_width(), " " * (len(label) + 4)
    first, *others = fact.split("\n")
    lines = fold(first, width, f"  {label}  ", indent)
    return "\n".join(lines + [line for other in others for line in fold(other.strip(), width, " " * 4, " " * 6)])


def _tabulate_options(offer: Offer[Any]) -> str:
    rows = options.rows(offer.value.config)
    return tabulate(options.HEADINGS, rows, output_width()) if rows else "  (no parameters)"


def _list_facts(shelf: str, offer: Offer[Any]) -> dict[str, Any]:
    view = views.SHELVES[shelf]
    facts = {"name": offer.value.name, "summary": getattr(offer.value, "summary", "")}
    facts |= {name.replace(" ", "_"): views.as_json(fact(offer)) for name, fact in {**view.full, **view.detail}.items()}
    facts |= {"unavailable": explain_unavailable(offer), "plugin": views.as_json(offer.plugin)}
    if view.has_options:
        facts["options"] = [views.as_json(option) for option in options.describe(offer.value.config)]
    return facts


@click.command("plugins")
@click.option("--problems", is_flag=True, help="Show what is wrong with those that failed, with tracebacks.")
@FORMAT
@click.pass_obj
def list_plugins(session: Session, problems: bool, style: str) -> None:
    """List the plugins: where they come from, what they offer, which failed and which are switched off."""
    catalog = session.tolerant_catalog()
    catalog.fill_shelves()
    catalog.add_commands(click.Group(), reserved=OWN)
    if style == "json":
        described = {"schema": SCHEMA, **_describe_plugins(catalog)}
        click.echo(escape_controls(json.dumps(described, indent=1, ensure_ascii=False, default=str)))
    else:
        click.echo(_show_problems(catalog.problems) if problems else _tabulate_plugins(catalog))
    if session.strict and catalog.problems:
        names = list_names({problem.plugin for problem in catalog.problems})
        raise PluginError(f"--strict-plugins: broken: {names}")


def _describe_plugins(catalog: Catalog) -> dict[str, Any]:
    return {
        "plugins": [views.as_json(plugin) | {"hooks": catalog.list_hooks(plugin)} for plugin in catalog.plugins],
        "same_module": [views.as_json(twin) | {"as": str(plugin)} for twin, plugin in catalog.twins],
        "switched_off": views.as_json(catalog.switched_off),
        "problems": views.as_json(catalog.problems),
    }


def _tabulate_plugins(catalog: Catalog) -> str:
    rows = [[plugin.name, _name_origin(plugin), _list_offered(catalog, plugin)] for plugin in catalog.plugins]
    rows += [
        [twin.name, _name_origin(twin), f"(the same module as {plugin}, which serves both)"]
        for twin, plugin in catalog.twins
    ]
    rows += [[plugin.name, _name_origin(plugin), "(switched off)"] for plugin in catalog.switched_off]
    failed = [problem for problem in catalog.problems if problem.stage in ("import", "registration")]
    rows += [[each.plugin, f"{each.distribution} {each.version}".strip(), "(failed)"] for each in failed]
    lines = [tabulate(["plugin", "from", "offers"], rows, output_width())]
    if catalog.problems:
        lines += ["", *map(str, catalog.problems), "harness plugins --problems shows the tracebacks"]
    return "\n".join(lines)


def _name_origin(plugin: Plugin) -> str:
    return f"{plugin.distribution} {plugin.version}".strip() or plugin.file or plugin.module


def _list_offered(catalog: Catalog, plugin: Plugin) -> str:
    """List the offers of a plugin, by name, and the other hooks that it answers."""
    parts = []
    for shelf, view in views.SHELVES.items():
        names = [offer.value.name for offer in catalog.shelf(view.hook).offers() if offer.plugin == plugin]
        if names:
            parts.append(f"{shelf}: {', '.join(names)}")
    listing = {view.hook for view in views.SHELVES.values()}
    others = [hook for hook in catalog.list_hooks(plugin) if hook not in listing]
    broken = ["(failed)" for problem in catalog.problems if problem.is_of(plugin)][:1]
    return "; ".join([*parts, *others, *broken]) or "nothing"


def _show_problems(problems: Sequence[PluginProblem]) -> str:
    return "\n\n".join(f"{problem}\n{problem.traceback}".rstrip() for problem in problems) or "no problems"
