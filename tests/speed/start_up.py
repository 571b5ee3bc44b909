"""How long `harness list` takes beside a bare import of the libraries that it cannot do without.

    python -m tests.speed.start_up

Each run is a fresh interpreter of this environment, timed from its start to its end; the two take turns.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

from .paired import Ratio, Row, interleaved, ratio, show

LIST = (str(Path(sysconfig.get_path("scripts")) / "harness"), "list")
IMPORTS = (sys.executable, "-c", "import click, pluggy, rich.table, rich.console")
BAR = 3.0


def list_over_imports(rounds: int) -> Ratio:
    """Wall time of `harness list` over that of the imports."""
    seconds = interleaved({"list": _process(LIST), "imports": _process(IMPORTS)}, rounds)
    return ratio(seconds["list"], seconds["imports"])


def _process(command: tuple[str, ...]) -> Callable[[], float]:
    def run() -> float:
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start

    return run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    return show([Row("harness list / bare imports", list_over_imports(parser.parse_args().rounds), BAR)])


if __name__ == "__main__":
    sys.exit(main())
