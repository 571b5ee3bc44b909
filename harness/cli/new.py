"""`harness new`: the beginning of a plugin, as an installable package or as one file, which works as it is."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from string import Template

import click

from harness.catalog.discovery import is_importable
from harness.cli.session import Session
from harness.errors import UsageError
from harness.names import MEASURED
from harness.words import format_count

TEMPLATES = Path(__file__).parents[1] / "templates"
BLOCKS = "\n\n\n"  # what stands between the definitions of a module
TAKEN = "the name is taken, see harness list"


@dataclass(frozen=True)
class Noun:
    """The beginning of a plugin. code: the module beside its offer, and in it what the offer names. first: the words
    of a first run, with `{load}` for what loads a single file.
    """

    shelf: str
    code: str
    first: str
    word: str = "-"
    contract: bool = True


NOUNS = {
    "method": Noun("methods", "learner:Learner", "--methods {which},saf --datasets digits --epochs 1"),
    "dataset": Noun("datasets", "loading:load", "{load}--methods deterministic --datasets {name} --epochs 5"),
    "metric": Noun("metrics", "formula:compute", "{load}--methods saf,ottt --epochs 1 --metrics accuracy,{name}", "_"),
    "instrument": Noun(
        "instruments", "gauge:Gauge", "{load}--methods saf,ottt --epochs 1 --metrics accuracy,{name}", "_", False
    ),
    "suite": Noun("suites", "", "--suite {which}", contract=False),
}


@click.command()
@click.argument("noun", type=click.Choice(list(NOUNS)))
@click.argument("name", metavar="NAME|FILE")
@click.option(
    "--output", type=click.Path(path_type=Path), metavar="FOLDER", help="Where the package goes.  [default: NAME]"
)
@click.option("--single-file", is_flag=True, help="Write one file, ./NAME.py, and no package; of a suite ./NAME.toml.")
@click.pass_obj
def new(session: Session, noun: str, name: str, output: Path | None, single_file: bool) -> None:
    """Write the beginning of a plugin: a package that can be installed, with tests and CI, or a single file.

    It works at once, and says what to do next. A NAME such as ./mine.py means a single file of that path.
    """
    ending = ".toml" if noun == "suite" else ".py"
    file = Path(name) if name.endswith(ending) else None
    if file is None and single_file:
        file = Path(name.replace("-", "_") + ending)
    if file is not None and output is not None:
        raise UsageError(f"new: --output is the folder of a package; the single file is {file}")
    name = _check_name(session, noun, file.stem.replace("_", NOUNS[noun].word) if file else name)
    if file is not None:
        _write_files({file: _compose_file(noun, name, file)})
        _say_next(noun, name, file)
        return
    folder = output or Path(name)
    _refuse_full(folder)
    if is_importable(package := _name_package(name)):
        raise UsageError(f"new: a package {package} is installed already; choose another name")
    files = _compose_package(noun, name)
    _write_files({folder / path: text for path, text in files.items()})
    _say_next(noun, name, folder)


def _check_name(session: Session, noun: str, name: str) -> str:
    """The name. Raises UsageError for one that is no word, or that is offered already."""
    word = NOUNS[noun].word
    if not re.fullmatch(rf"[a-z][a-z0-9]*({word}[a-z0-9]+)*", name):
        raise UsageError(
            f"new: {name!r} is no name for a {noun}: expected lower-case letters and digits, parted by {word!r}, "
            "a letter first"
        )
    taken = {*session.catalog.shelf(f"harness_{NOUNS[noun].shelf}").names(), *(MEASURED if word == "_" else ())}
    if noun == "instrument":
        taken.update(session.catalog.metrics.names())
    if name in taken:
        raise UsageError(f"new: {noun} {name!r}: {TAKEN} {NOUNS[noun].shelf}")
    return name


def _name_package(name: str) -> str:
    return f"harness_{name.replace('-', '_')}"


def _refuse_full(folder: Path) -> None:
    """Raise UsageError for a folder in which something would be overwritten."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"new: {folder} is a file; expected a folder, new or empty (--output)")
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"new: the folder {folder} is not empty; nothing is overwritten: choose another with --output")


def _compose_package(noun: str, name: str) -> dict[str, str]:
    """The files of a package, by their paths below its folder."""
    package, of = _name_package(name), NOUNS[noun]
    module, _, attribute = of.code.partition(":")
    source = f"src/{package}"
    values = {
        "noun": noun,
        "name": name,
        "package": package,
        "distribution": package.replace("_", "-"),
        "first": f"harness run {of.first.format(which=name, name=name, load='')}",
        "contract": f'addopts = "--harness-plugin {package}"' if of.contract else "",
        "answer": f'"{package}.{module}:{attribute}"',
    }
    places = {
        "package/pyproject.toml": "pyproject.toml",
        "package/README.md": "README.md",
        "package/gitignore": ".gitignore",
        "package/ci.yml": ".github/workflows/tests.yml",
        f"{noun}/__init__.py": f"{source}/__init__.py",
        f"{noun}/test.py": f"tests/test_{name.replace('-', '_')}.py",
    }
    places |= (
        {f"{noun}/{module}.py": f"{source}/{module}.py"} if module else {"suite/suite.toml": f"{source}/{name}.toml"}
    )
    return {place: _fill(template, values) for template, place in places.items()}


def _compose_file(noun: str, name: str, file: Path) -> str:
    """One file: the head of its own, what the package has in two modules, and last the offer."""
    if noun == "suite":
        return _fill("suite/suite.toml", {})
    module, _, attribute = NOUNS[noun].code.partition(":")
    values = {"name": name, "file": file.name, "answer": attribute}
    head = _fill(f"{noun}/header.py", values)
    offers, code = (_fill(f"{noun}/{each}.py", values).split(BLOCKS)[1:] for each in ("__init__", module))
    options = [block for block in offers if block.startswith("@dataclass")]
    hooks = [block for block in offers if block not in options]
    return BLOCKS.join(block.strip("\n") for block in (head, *options, *code, *hooks)) + "\n"


def _fill(template: str, values: dict[str, str]) -> str:
    text = (TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")
    return Template(text).substitute(values).rstrip("\n") + "\n"


def _write_files(files: dict[Path, str]) -> None:
    """Write new files. Raises UsageError for one that is there."""
    if there := [path for path in files if path.exists()]:
        raise UsageError(f"new: {there[0]} is there already; nothing is overwritten")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)


def _say_next(noun: str, name: str, place: Path) -> None:
    """Say what was written, and the commands that come next."""
    of, where = NOUNS[noun], str(place) if place.is_absolute() else f"./{place}"
    single = place.is_file()
    which, load = (where, f"-p {shlex.quote(where)} ") if single else (name, "")
    lines = [f"harness run {of.first.format(which=shlex.quote(which), name=name, load=load)}"]
    if not single:
        lines = [f"pip install -e {shlex.quote(f'{where}[test]')}", *lines, f"pytest {shlex.quote(where)}"]
    elif of.contract:
        lines.append(f"harness check {shlex.quote(which) if noun == 'method' else f'{name} {load}'.strip()}")
    written = sum(path.is_file() for path in place.rglob("*")) if place.is_dir() else 1
    click.echo(f"{place}: {format_count(written, 'file')}. What comes next:\n")
    click.echo("\n".join(f"  {line}" for line in lines))
