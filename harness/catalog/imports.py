"""What a source file imports and which files it names, in any spelling, found without running it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

_IMPORTERS = ("import_module", "__import__")
_RUNNERS = ("spec_from_file_location", "run_path", "run_module", "SourceFileLoader")
_JOINERS = ("joinpath", "join", "with_name", "open", "glob", "rglob", "iglob")
_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,11}$")
_TELLING = frozenset({ast.Import, ast.ImportFrom, ast.Call, ast.Constant, ast.BinOp, ast.JoinedStr})
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_LONGEST_NAME = 200


class Imports(NamedTuple):
    """modules: dotted names that may be modules or names within them. files: names or patterns of files, as written.

    unknown: what is imported by a name that is only known when it runs, with its line; that name may be one of the
    texts in the source that look like one, `candidates`.
    """

    modules: frozenset[str]
    files: frozenset[str]
    unknown: tuple[str, ...] = ()
    candidates: frozenset[str] = frozenset()


NOTHING = Imports(frozenset(), frozenset())


@lru_cache(maxsize=4096)
def imports(source: bytes, package: str = "") -> Imports:
    """All that a Python source imports, nothing where it is none. package: what its relative imports start from."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return NOTHING
    nodes = list(_walk(tree))
    called = _importers(nodes)
    named = [(node, _named(node, package)) for node in nodes if _calls(node, called)]
    lost = [node for node, name in named if name is None]
    lost += [node for node in nodes if _calls(node, _RUNNERS) and not any(_texts(node))]
    return Imports(
        modules=frozenset([*(name for node in nodes for name in _stated(node, package)), *(n for _, n in named if n)]),
        files=frozenset(name for node in nodes for name in _files(node)),
        unknown=tuple(f"{ast.unparse(node)[:_LONGEST_NAME]} in line {node.lineno}" for node in _calls_of(lost)),
        candidates=frozenset(name for node in nodes for name in _module_like(node)) if lost else frozenset(),
    )


def _walk(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node that may say something, but those of a function that only lists suites, which decide no result."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if type(node) is ast.FunctionDef and node.name == "harness_suites":
            continue
        if type(node) in _TELLING:
            yield node
        for value in vars(node).values():  # quicker than ast.iter_child_nodes
            if isinstance(value, list):
                waiting += (each for each in value if isinstance(each, ast.AST))
            elif isinstance(value, ast.AST):
                waiting.append(value)


# --- modules ------------------------------------------------------------------------------------------------------


def _stated(node: ast.AST, package: str) -> Iterator[str]:
    """The names of an import statement: of `from a import b` both a and a.b, since b may be a module."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = _absolute("." * node.level + (node.module or ""), package)
        if base:
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")


def _absolute(name: str, package: str) -> str | None:
    """A name with leading dots from the package that it stands in; None where it leaves that."""
    level = len(name) - len(name.lstrip("."))
    if not level:
        return name
    parts = package.split(".") if package else []
    kept = parts[: len(parts) - level + 1]
    return ".".join([*kept, *filter(None, [name[level:]])]) if level <= len(parts) else None


def _importers(nodes: list[ast.AST]) -> tuple[str, ...]:
    """What import_module and __import__ are called in this source."""
    renamed = (
        alias.asname for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names
        if alias.name in _IMPORTERS and alias.asname
    )  # fmt: skip
    return (*_IMPORTERS, *renamed)


def _calls(node: ast.AST, names: tuple[str, ...]) -> bool:
    return isinstance(node, ast.Call) and _name(node.func) in names


def _calls_of(nodes: list[ast.AST]) -> Iterator[ast.Call]:
    return (node for node in nodes if isinstance(node, ast.Call))


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _named(node: ast.AST, package: str) -> str | None:
    """The module that a call of import_module names; None where that is decided as it runs."""
    assert isinstance(node, ast.Call)
    given = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "name")]
    if len(given) != 1 or not isinstance(given[0], ast.Constant) or not isinstance(given[0].value, str):
        return None
    return _absolute(given[0].value, package)


def _module_like(node: ast.AST) -> Iterator[str]:
    """A text that could name a module, and of `f"package.{name}"` the package."""
    text = _text(node) or ""
    name = text.partition("*")[0].rpartition(".")[0] if isinstance(node, ast.JoinedStr) else text
    if _MODULE.fullmatch(name):
        yield name


# --- files --------------------------------------------------------------------------------------------------------


def _files(node: ast.AST) -> Iterator[str]:
    """Names of files: texts with a suffix, and the texts that are joined to a path."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        if len(node.value) <= _LONGEST_NAME and _SUFFIX.search(node.value) and "*" not in node.value:
            yield node.value
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        yield from filter(None, ["/".join(_divided(node))])
    elif isinstance(node, ast.Call) and _name(node.func) in _JOINERS:
        yield from filter(None, ["/".join(_texts(node))])


def _divided(node: ast.AST) -> list[str]:
    """The texts at the end of `folder / "a" / f"{name}.json"`: a, *.json."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        last = _text(node.right)
        return [] if last is None else [*_divided(node.left), last]
    if isinstance(node, ast.Call) and _name(node.func) in _JOINERS:
        return list(_texts(node))
    return []


def _texts(node: ast.AST) -> Iterator[str]:
    """The texts among the arguments of a call, after those of the path whose method it is."""
    assert isinstance(node, ast.Call)
    if isinstance(node.func, ast.Attribute):
        yield from _divided(node.func.value)
    for argument in node.args:
        text = _text(argument)
        yield from _divided(argument) if text is None else [text]


def _text(node: ast.AST) -> str | None:
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
