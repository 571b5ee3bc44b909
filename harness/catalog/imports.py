"""Imports of a source file and the files that it names, in any spelling, found without running it."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

_IMPORTERS = ("import_module", "__import__", "run_module", "resolve_name")
# By the place and the name of the argument that is the path of what they run.
_RUNNERS = {
    "run_path": (0, "path_name"),
    "spec_from_file_location": (1, "location"),
    "SourceFileLoader": (1, "path"),
    "SourcelessFileLoader": (1, "path"),
    "ExtensionFileLoader": (1, "path"),
}
_EXECUTORS = ("exec", "eval")
_JOINERS = ("joinpath", "join", "with_name", "open", "glob", "rglob", "iglob")
# Calls that leave a path, or what stands in its file, what their first argument, last argument or own object says.
_OF_FIRST = ("open", "compile", "str", "fspath", "abspath", "realpath")
_OF_LAST = ("join", "joinpath", "with_name", "Path")
_OF_OBJECT = ("open", "read", "read_text", "read_bytes", "resolve", "absolute", "as_posix")
_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,11}$")
_MENTIONS = frozenset({ast.Name, ast.Attribute})
_TELLING = frozenset({ast.Import, ast.ImportFrom, ast.Call, ast.Constant, ast.BinOp, ast.JoinedStr})
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_LONGEST_NAME = 200


class Imports(NamedTuple):
    """modules: dotted names that may be modules or names within them. files: names or patterns of files, as written.
    texts: others that may be the name of a file, of no folder.

    unknown: what is imported by a name that is only known when it runs, with its line; that name may be one of the
    texts in the source that look like one, `candidates`.
    """

    modules: frozenset[str]
    files: frozenset[str]
    unknown: tuple[str, ...] = ()
    candidates: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()


NOTHING = Imports(frozenset(), frozenset())


@lru_cache(maxsize=4096)
def find_imports(source: bytes, package: str = "") -> Imports:
    """All that a Python source imports, nothing where it is none. package: what its relative imports start from."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return NOTHING
    hot = any(word.encode() in source for word in (*_IMPORTERS, *_RUNNERS))
    every = _with_literals(list(_walk_telling_nodes(tree, _TELLING | _MENTIONS if hot else _TELLING)))
    nodes = [node for node in every if type(node) not in _MENTIONS]
    called = tuple(_map_local_names(nodes, _IMPORTERS))
    runners = {name: _RUNNERS[own] for name, own in _map_local_names(nodes, _RUNNERS).items()}
    named = [(node, _find_named_module(node, package)) for node in nodes if _is_call_of(node, called)]
    lost = [*(node for node, name in named if name is None), *_find_undecided(every, called, runners)]
    return Imports(
        modules=frozenset(
            [*(name for node in nodes for name in _list_stated(node, package)), *(n for _, n in named if n)]
        ),
        files=frozenset(name for node in nodes for name in _list_file_names(node)),
        unknown=tuple(f"{ast.unparse(node)[:_LONGEST_NAME]} in line {getattr(node, 'lineno', 0)}" for node in lost),
        candidates=frozenset(name for node in nodes for name in _find_module_like(node)) if lost else frozenset(),
        texts=frozenset(name for node in nodes if (name := _read_bare_name(node))),
    )


def _walk_telling_nodes(tree: ast.AST, telling: Collection[type[ast.AST]]) -> Iterator[ast.AST]:
    """Every node that may say something, but those of a function that only lists suites, which decide no result."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if type(node) is ast.FunctionDef and node.name == "harness_suites":
            continue
        if type(node) in telling:
            yield node
        for value in vars(node).values():  # quicker than ast.iter_child_nodes
            if isinstance(value, list):
                waiting += (each for each in value if isinstance(each, ast.AST))
            elif isinstance(value, ast.AST):
                waiting.append(value)


def _with_literals(nodes: list[ast.AST]) -> list[ast.AST]:
    """The nodes with those of the sources that stand in the file as a text, to be executed."""
    for node in list(nodes):
        if isinstance(node, ast.Call) and _is_exec(node) and node.args and not isinstance(node.args[0], ast.JoinedStr):
            try:
                nodes += _walk_telling_nodes(ast.parse(_read_literal(node.args[0]) or ""), _TELLING | _MENTIONS)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
    return nodes


# --- modules ------------------------------------------------------------------------------------------------------


def _list_stated(node: ast.AST, package: str) -> Iterator[str]:
    """The names of an import statement: of `from a import b` both a and a.b, since b may be a module."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = _resolve_relative("." * node.level + (node.module or ""), package)
        if base:
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")


def _resolve_relative(name: str, package: str) -> str | None:
    """A name with leading dots from the package that it stands in; None where it leaves that."""
    level = len(name) - len(name.lstrip("."))
    if not level:
        return name
    parts = package.split(".") if package else []
    kept = parts[: len(parts) - level + 1]
    return ".".join([*kept, *filter(None, [name[level:]])]) if level <= len(parts) else None


def _map_local_names(nodes: list[ast.AST], names: Iterable[str]) -> dict[str, str]:
    """Local names of some functions in this source, each with the function's own name."""
    renamed = {
        alias.asname: alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names
        if alias.name in names and alias.asname
    }  # fmt: skip
    return {name: name for name in names} | renamed


def _is_call_of(node: ast.AST, names: tuple[str, ...]) -> bool:
    return isinstance(node, ast.Call) and _read_imported_name(node.func) in names


def _read_imported_name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _find_named_module(node: ast.AST, package: str) -> str | None:
    """The module that a call of import_module names; None where that is decided as it runs."""
    assert isinstance(node, ast.Call)
    given = [*node.args[:1], *(word.value for word in node.keywords if word.arg in ("name", "mod_name"))]
    if len(given) != 1 or not isinstance(given[0], ast.Constant) or not isinstance(given[0].value, str):
        return None
    return _resolve_relative(given[0].value.partition(":")[0], package)


def _find_undecided(
    nodes: list[ast.AST], importers: tuple[str, ...], runners: Mapping[str, tuple[int, str]]
) -> Iterator[ast.AST]:
    """Calls of a source that only the running program knows, or names that hand it on: `im = import_module`."""
    telltale = frozenset([*importers, *runners])
    callees = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    for node in nodes:
        if isinstance(node, ast.Call):
            runner = runners.get(_read_imported_name(node.func))
            unread = _is_exec(node) and not (node.args and _is_known_source(node.args[0]))
            if unread or (runner and not _states_path(node, *runner)):
                yield node
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str) and node.value in telltale:
                yield node
        elif (
            _read_imported_name(node) in telltale
            and id(node) not in callees
            and isinstance(getattr(node, "ctx", None), ast.Load)
        ):
            yield node


def _is_exec(node: ast.Call) -> bool:
    called = node.func
    if isinstance(called, ast.Attribute):
        return called.attr in _EXECUTORS and _read_imported_name(called.value) in ("builtins", "__builtins__")
    return isinstance(called, ast.Name) and called.id in _EXECUTORS


def _is_known_source(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) or (not isinstance(node, ast.JoinedStr) and _ends_in_text(node))


def _states_path(node: ast.Call, place: int, word: str) -> bool:
    given = [*node.args[place : place + 1], *(each.value for each in node.keywords if each.arg == word)]
    return any(isinstance(each, ast.expr) and _ends_in_text(each) for each in given)


def _ends_in_text(node: ast.AST) -> bool:
    """Whether the last part of a path is written there, so that its file is among those that the source names."""
    text = _read_literal(node)
    if text is not None:
        return text.strip("*./") != ""
    if isinstance(node, ast.BinOp):
        joined = isinstance(node.op, ast.Div) or (_read_literal(node.right) or "").startswith("/")
        return joined and _ends_in_text(node.right)
    if not isinstance(node, ast.Call):
        return False
    name, arguments = _read_imported_name(node.func), node.args
    if arguments and name in (*_OF_FIRST, *_OF_LAST):
        return _ends_in_text(arguments[0 if name in _OF_FIRST else -1])
    return isinstance(node.func, ast.Attribute) and name in _OF_OBJECT and _ends_in_text(node.func.value)


def _find_module_like(node: ast.AST) -> Iterator[str]:
    """A text that could name a module, and of `f"package.{name}"` the package."""
    text = _read_literal(node) or ""
    name = text.partition("*")[0].rpartition(".")[0] if isinstance(node, ast.JoinedStr) else text
    if _MODULE.fullmatch(name):
        yield name


# --- files --------------------------------------------------------------------------------------------------------


def _list_file_names(node: ast.AST) -> Iterator[str]:
    """Names of files: texts with a suffix, and the texts that are joined to a path."""
    if isinstance(node, ast.Constant):
        if _SUFFIX.search(text := _read_bare_name(node)):
            yield text
    elif isinstance(node, ast.JoinedStr):  # f"{folder}/{name}.txt"
        if (text := _read_literal(node) or "").startswith("*/") and _SUFFIX.search(text):
            yield text[2:]
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        yield from filter(None, ["/".join(_list_path_ends(node))])
    elif isinstance(node, ast.Call) and _read_imported_name(node.func) in _JOINERS:
        yield from filter(None, ["/".join(_list_argument_texts(node))])


def _read_bare_name(node: ast.AST) -> str:
    """A text that may be the name of a file, as in `folder + "/name"`; empty where it is none."""
    text = _read_literal(node) if isinstance(node, ast.Constant) else None
    return "" if text is None or len(text) > _LONGEST_NAME or "*" in text or "\n" in text else text.lstrip("/")


def _list_path_ends(node: ast.AST) -> list[str]:
    """The texts at the end of `folder / "a" / f"{name}.json"`: a, *.json."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        last = _read_literal(node.right)
        return [] if last is None else [*_list_path_ends(node.left), last]
    if isinstance(node, ast.Call) and _read_imported_name(node.func) in _JOINERS:
        return list(_list_argument_texts(node))
    return []


def _list_argument_texts(node: ast.AST) -> Iterator[str]:
    """The texts among the arguments of a call, after those of the path whose method it is."""
    assert isinstance(node, ast.Call)
    if isinstance(node.func, ast.Attribute):
        yield from _list_path_ends(node.func.value)
    for argument in node.args:
        text = _read_literal(argument)
        yield from _list_path_ends(argument) if text is None else [text]


def _read_literal(node: ast.AST) -> str | None:
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
