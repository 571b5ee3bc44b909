"""Distributions that a test installs for itself: a module and its entry point, found as any other is."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HEADER = "from harness import *\n"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """install(distribution, name=source, ...): one module and one entry point for each name."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    modules: list[str] = []

    def build(distribution: str, version: str = "1.0", /, **sources: str) -> None:
        folder = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        lines = ["[harness]"]
        for name, source in sources.items():
            module = f"{distribution.replace('-', '_')}_{name}"
            (site / f"{module}.py").write_text(HEADER + textwrap.dedent(source))
            lines.append(f"{name} = {module}")
            modules.append(module)
        (folder / "entry_points.txt").write_text("\n".join(lines) + "\n")
        importlib.invalidate_caches()

    yield build
    for module in modules:
        sys.modules.pop(module, None)


@pytest.fixture
def offers_method() -> Callable[..., str]:
    """The source of a plugin that offers methods of these names."""

    def source(*names: str) -> str:
        return f"""
            @hookimpl
            def harness_methods():
                for name in {names!r}:
                    yield Method(name, "a method", factory="nowhere:build", kinds=("classification",))
            """

    return source


TINY = """
    import click
    from dataclasses import dataclass
    from harness import *

    @dataclass(frozen=True)
    class Config:
        steps: int = option(4, "time steps", low=1)
        variant: str = option("every", "when to update")

    @hookimpl
    def harness_methods():
        yield Method("spiky", "a spiking method", factory="nowhere:build", kinds=("classification", "regression"),
                     config=Config, paper="Someone 2024", starts_from="dense", requires=("absent_module",),
                     family="spiking", recipes={"toy": {"steps": 2}, "other": {"variant": "final"}})

    @hookimpl
    def harness_datasets():
        yield Dataset("toy", "a toy", "classification", "nowhere:load", licence="CC0", default=True,
                      rows={"train": 50, "test": 20},
                      recipe=Recipe(Budget("epochs", 3), 32, {"spiking": {"steps": 8}}),
                      files=(File("toy/a.bin", ("https://example.org/a.bin",), md5="0" * 32),))

    @hookimpl
    def harness_metrics():
        yield Metric("cost", "what it costs", "J", "lower", per="update")

    @hookimpl
    def harness_commands(cli):
        @cli.command("paint")
        @click.option("--size", default=1)
        @click.pass_obj
        def paint(session, size):
            "Draw a picture."
            click.echo(f"{size} {session.debug} {session.catalog.methods.names()}")

        @cli.command("fail")
        @click.argument("how")
        def fail(how):
            raise {"bug": KeyError("lost"), "user": HarnessError("mend this"), "disk": OSError(28, "No space", "/full"),
                   "output": OSError(28, "No space"), "stop": KeyboardInterrupt(), "exit": SystemExit(7),
                   "pipe": BrokenPipeError()}[how]

        @cli.command("draw")
        def draw():
            from rich.console import Console
            Console().print("a picture")

        @cli.command("code")
        @click.argument("value", type=int)
        def code(value):
            return value
    """


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A plugin in a file, and no other plugin loaded."""
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    path = tmp_path / "tiny.py"
    path.write_text(textwrap.dedent(TINY))
    return str(path)
