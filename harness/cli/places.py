"""Folders as options take them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


class Folder(click.ParamType[Path]):
    """A folder, which need not exist; a leading ~ is somebody's home, also where the shell has let it stand."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        if not str(value):
            self.fail("an empty text; expected a folder, such as results", param, ctx)
        try:
            return Path(value).expanduser()
        except RuntimeError:
            self.fail(f"{value!r}: there is no such user; expected a folder, such as results", param, ctx)
