"""Write docs/reference from the code: `python docs/write_reference.py`. A test holds the pages against what this says.

Hooks, nouns, the catalogue, the contract kit, the keys of a suite, the fields of a record, the command line.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import json
import os
import re
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click

import harness
import harness.executing
import harness.testing
from harness import cli, hookspecs
from harness.catalog import Catalog, Shelf
from harness.suites import entries, suite

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "reference"
WIDTH = 100
MARK = "<!-- Written by docs/write_reference.py: change the code that it reads, and run it again. -->"


def compose_pages() -> dict[str, str]:
    """All pages, by the names of their files."""
    pages = {
        "hooks.md": _compose_hooks(),
        "nouns.md": _compose_names("Nouns", "What a plugin may import from `harness`.", harness),
        "catalogue.md": _compose_catalogue(),
        "testing.md": _compose_names("The contract kit", _first_line(harness.testing), harness.testing),
        "executing.md": _compose_names("Executors", _first_line(harness.executing), harness.executing),
        "suite.md": _compose_suite(),
        "record.md": _compose_record(),
        "commands.md": _compose_commands(),
    }
    return {name: f"{MARK}\n\n" + re.sub(r"\n{3,}", "\n\n", text).strip() + "\n" for name, text in pages.items()}


# --- pages --------------------------------------------------------------------------------------------------------


def _compose_hooks() -> str:
    said = "\n\n".join(
        f"## {name}\n\n{_show_signature(name, spec)}\n\n{_list_shelf(name, spec)}{_say(spec)}"
        for name, spec in _list_hooks().items()
    )
    return f"# Hooks\n\n{_say(hookspecs)}\n\n`harness.INTERFACE` is {harness.INTERFACE}.\n\n{said}"


def _list_hooks() -> dict[str, Callable[..., Any]]:
    return {name: spec for name, spec in vars(hookspecs).items() if name.startswith("harness_")}


def _name_offers(spec: Callable[..., Any]) -> str:
    """The type of what a hook lists; empty for one that is told something."""
    offered = re.fullmatch(r"Iterable\[(\w+)\]", str(inspect.signature(spec).return_annotation))
    return offered[1] if offered else ""


def _list_shelf(hook: str, spec: Callable[..., Any]) -> str:
    if not (offered := _name_offers(spec)):
        return ""
    where = f"[`{offered}`](nouns.md#{offered.lower()})"
    return f"Offers are of type {where}; the catalogue has them on the shelf `{hook.removeprefix('harness_')}`.\n\n"


def _compose_names(title: str, lead: str, module: Any) -> str:
    names = [name for name in module.__all__ if not name.startswith("_")]
    return f"# {title}\n\n{lead}\n\n" + "\n\n".join(_describe_name(name, getattr(module, name)) for name in names)


def _compose_catalogue() -> str:
    """The objects that a command gets: the session, its catalogue, and a shelf of that."""
    shelves = [
        (f"`{hook.removeprefix('harness_')}`", f"`Shelf[{offered}]`")
        for hook, spec in _list_hooks().items()
        if (offered := _name_offers(spec))
    ]
    lead = (
        "A command that a plugin adds (hook [`harness_commands`](hooks.md#harness_commands)) gets the session of the "
        "program by `@click.pass_obj`; `session.catalog` has what all loaded plugins offer, a shelf for each kind."
    )
    return "\n\n".join(
        [
            f"# Session and catalogue\n\n{lead}",
            f"## Session\n\n{_say(cli.Session)}\n\n{_list_methods(cli.Session)}",
            f"## Catalog\n\n{_say(Catalog)}\n\n{_tabulate(('shelf', 'type'), shelves)}",
            f"## Shelf\n\n{_say(Shelf)}\n\n{_list_methods(Shelf)}",
        ]
    )


def _compose_suite() -> str:
    """The keys of a suite's file, by their tables; what they mean stands in docs/plugins.md."""
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^#{2,3} (.*?)\n(.*?)(?=^#{2,3} |\Z)", page, re.MULTILINE | re.DOTALL))
    tables = {
        "Keys": ("Keys of a suite's file", suite.KINDS, suite.LOWEST),
        "`[[published]]`": ("`[[published]]`", entries.PUBLISHED, {}),
        "`[[claims]]`": ("`[[claims]]`", entries.CLAIM, {}),
    }
    parts = []
    for title, (section, kinds, lowest) in tables.items():
        meanings = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", sections[section], re.MULTILINE))
        rows = [(f"`{key}`", _say_kind(kind, lowest.get(key)), meanings[key]) for key, kind in kinds.items()]
        parts.append(f"## {title}\n\n{_tabulate(('key', 'type', 'meaning'), rows)}")
    example = re.search(r"\n((?: {4}.*\n|\n)+)", inspect.getsource(suite))
    shown = inspect.cleandoc(example[1]) if example else ""
    lead = "A suite is a comparison in a TOML file: `harness run --suite NAME|FILE`, `harness new suite NAME`."
    return "\n\n".join([f"# Keys of a suite\n\n{lead}\n\n```toml\n{shown}\n```", *parts])


def _say_kind(kind: type | tuple[type, ...], lowest: int | None) -> str:
    words = {str: "text", list: "list", int: "whole number", float: "number", bool: "true or false"}
    kinds = kind if isinstance(kind, tuple) else (kind,)
    said = "number" if set(kinds) == {int, float} else " or ".join(words[each] for each in kinds)
    return said if lowest is None else f"{said}, at least {lowest}"


def _compose_record() -> str:
    schema = json.loads((ROOT / "docs" / "record.schema.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8").partition("### Record")[2]
    meanings = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", page, re.MULTILINE))
    lead = (
        "Each trial is a file `trials/KEY.json` of a results folder. [`record.schema.json`](../record.schema.json) is "
        f"its JSON Schema; `schema` is {schema['$defs']['Record']['properties']['schema']['const']}."
    )
    parts = [f"# Fields of a record\n\n{lead}"]
    for name in ("Record", *(each for each in schema["$defs"] if each != "Record")):
        rows = [
            (f"`{key}`", _say_schema(value), *([meanings.get(key, "")] if name == "Record" else []))
            for key, value in schema["$defs"][name]["properties"].items()
        ]
        head = ("field", "type", "meaning")[: len(rows[0])]
        parts.append(f"## {name}\n\n{_tabulate(head, rows)}")
    return "\n\n".join(parts)


def _say_schema(value: Mapping[str, Any]) -> str:
    """The type of a JSON Schema in words."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{each}`" for each in value["enum"])
    if "anyOf" in value:
        return " or ".join(map(_say_schema, value["anyOf"]))
    kinds = value.get("type", "anything")
    said = " or ".join(kinds) if isinstance(kinds, list) else kinds
    if said == "array" and "items" in value:
        return f"array of {_say_schema(value['items'])}"
    if said == "object" and "additionalProperties" in value:
        return f"object of {_say_schema(value['additionalProperties'])} by name"
    return str(said)


def _compose_commands() -> str:
    """The help of every command, ours and those of our plugins, as `--help` prints it."""
    own = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]["harness"]
    with patch.dict(os.environ, HARNESS_PLUGINS=",".join(own)):
        return _describe_commands()


def _describe_commands() -> str:
    context = click.Context(
        cli.cli, info_name="harness", obj=cli.Session(), terminal_width=WIDTH, help_option_names=["-h", "--help"]
    )
    parts = [f"# The command line\n\n```text\n{_read_help(cli.cli, context)}\n```"]
    for name in cli.cli.list_commands(context):
        command = cli.cli.get_command(context, name)
        if command is not None and not command.hidden:
            parts += _describe_command(command, name, context, "harness")
    return "\n\n".join(parts)


def _describe_command(command: click.Command, name: str, parent: click.Context, path: str) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent, terminal_width=WIDTH)
    yield f"## {path} {name}\n\n```text\n{_read_help(command, context)}\n```"
    if isinstance(command, click.Group):
        for each, sub in command.commands.items():
            yield from _describe_command(sub, each, context, f"{path} {name}")


def _read_help(command: click.Command, context: click.Context) -> str:
    context.max_content_width = context.terminal_width = WIDTH
    return "\n".join(line.rstrip() for line in click.unstyle(command.get_help(context)).splitlines())


# --- parts of pages -----------------------------------------------------------------------------------------------


def _describe_name(name: str, value: Any) -> str:
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return f"## {name}\n\n`{_shorten(value)}`"
    parts = [f"## {name}", _say(value)]
    if not inspect.isclass(value):
        parts.insert(1, _show_signature(name, value))
    elif dataclasses.is_dataclass(value):
        parts.append(_tabulate(("field", "type", "default", *_heads(value)), list(_list_fields(value))))
    elif hasattr(value, "_fields"):
        defaults = value._field_defaults
        rows = [
            (f"`{each}`", f"`{_name_type(kind)}`", _default(defaults, each))
            for each, kind in value.__annotations__.items()
        ]
        parts.append(_tabulate(("field", "type", "default"), rows))
    if inspect.isclass(value) and not issubclass(value, (BaseException, enum.Enum)):
        parts.append(_list_methods(value))
    return "\n\n".join(filter(None, parts))


def _heads(kind: type) -> tuple[str, ...]:
    """A config says what its options mean."""
    return ("meaning",) if any("harness" in each.metadata for each in dataclasses.fields(kind)) else ()


def _list_fields(kind: Any) -> Iterator[tuple[str, ...]]:
    for each in dataclasses.fields(kind):
        if each.name.startswith("_"):
            continue
        default = "" if each.default is dataclasses.MISSING else f"`{_shorten(each.default)}`"
        if each.default_factory is not dataclasses.MISSING:
            default = f"`{_shorten(each.default_factory())}`"
        rule = each.metadata.get("harness")
        yield (f"`{each.name}`", f"`{each.type}`", default, *([rule.meaning] if _heads(kind) else []))


def _default(defaults: Mapping[str, Any], name: str) -> str:
    return f"`{_shorten(defaults[name])}`" if name in defaults else ""


def _shorten(value: object) -> str:
    return re.sub(r"<(?:function |class )?'?([\w.]+).*?>", r"\1", repr(value))


def _list_methods(kind: type) -> str:
    """The public methods of a class, in its order, each with what it says."""
    found = []
    for name, each in vars(kind).items():
        if name.startswith("_") or not (inspect.isfunction(each) or isinstance(each, property)):
            continue
        function = each.fget if isinstance(each, property) else each
        shown = f"{name}: {inspect.signature(function).return_annotation}" if isinstance(each, property) else ""
        said = _say(function).replace("\n", "\n  ")
        line = f"- `{shown or _sign(name, function)}`"
        found.append(f"{line}: {said}" if said else line)
    return "\n".join(found)


def _sign(name: str, function: Callable[..., Any]) -> str:
    """Names, types and defaults, without `self`."""
    signature = inspect.signature(function)
    given = [_sign_parameter(each) for each in signature.parameters.values() if each.name not in ("self", "cls")]
    answer = signature.return_annotation
    return f"{name}({', '.join(given)})" + ("" if answer is signature.empty else f" -> {_name_type(answer)}")


def _sign_parameter(parameter: inspect.Parameter) -> str:
    kind = "" if parameter.annotation is parameter.empty else f": {_name_type(parameter.annotation)}"
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    plain = isinstance(parameter.default, (str, int, float, tuple, type(None)))
    default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}" if plain else " = ..."
    return f"{stars}{parameter.name}{kind}{default}"


def _name_type(kind: object) -> str:
    """An annotation as it was written."""
    return getattr(kind, "__forward_arg__", None) or (
        kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))
    )


def _show_signature(name: str, function: Callable[..., Any]) -> str:
    return f"```python\n{_sign(name, function)}\n```"


def _first_line(module: Any) -> str:
    return _say(module)


def _say(thing: Any) -> str:
    """A docstring as Markdown: paragraphs as they are, examples as code."""
    text = vars(thing).get("__doc__") if inspect.isclass(thing) else inspect.getdoc(thing)
    if not text or text.startswith(f"{getattr(thing, '__name__', '')}("):  # made by NamedTuple or dataclass
        return ""
    blocks = re.split(r"\n\n+", inspect.cleandoc(text))
    said: list[str] = []
    for block in blocks:
        code = block.startswith(("@", "    ", ">>>", "def "))
        if code and said and said[-1].endswith("\n```") and block.startswith(" "):
            said[-1] = said[-1].removesuffix("\n```") + "\n\n" + textwrap.dedent(block) + "\n```"
        else:
            said.append(
                f"```{'toml' if '[project' in block else 'python'}\n{textwrap.dedent(block)}\n```"
                if code
                else _escape(block)
            )
    return "\n\n".join(said)


def _escape(text: str) -> str:
    """Text in which Markdown finds nothing to format but what stands in backticks."""
    parts = text.split("`")
    return "`".join(re.sub(r"([*<\[])", r"\\\1", part) if place % 2 == 0 else part for place, part in enumerate(parts))


def _tabulate(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(heads), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    cells = [[re.sub(r"(?<!\\)\|", r"\\|", cell.replace("\n", " ")) for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def main() -> None:
    PAGES.mkdir(exist_ok=True)
    for name, text in compose_pages().items():
        (PAGES / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
