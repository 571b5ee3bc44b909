"""A key follows all the source that decides a result, however it is imported and wherever it lies."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
import tiny
from commands import forked

from harness import HarnessError
from harness.catalog import Catalog
from harness.planning import fingerprints
from harness.planning.plan import plan_trials
from harness.suites.suite import Request

TINY = Path(__file__).with_name("tiny.py")

METHOD = """
from harness import Method, hookimpl
{imports}

class Learner:
    def __init__(self, config): pass

@hookimpl
def harness_methods():
    yield Method("mine", "x", Learner, ("classification",))
"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    """written(name=text, ...): files below a folder of their own; the folder."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)

    def write(files: dict[str, str], folder: str = "here") -> Path:
        for name, text in files.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / folder

    yield write
    for name in set(sys.modules) - known:
        del sys.modules[name]


@pytest.fixture
def catalog_of():
    import harness.executors
    import harness.metrics

    return lambda *plugins: Catalog.of(harness.metrics, harness.executors, *plugins)


@pytest.fixture
def followed(catalog_of):
    def follow(file: Path) -> fingerprints.Followed:
        catalog = catalog_of(tiny)
        (name,) = catalog.add_file(file)
        return fingerprints.follow_offer(catalog.methods.offer(name))

    return follow


def test_what_several_offers_import_is_read_once(written, catalog_of, monkeypatch):
    folder = written({"one.py": METHOD.format(imports="import net"), "net.py": "sign = 1\n"})
    catalog = catalog_of(tiny)
    catalog.add_file(folder / "one.py")
    method, dataset = catalog.methods.offer("mine"), catalog.datasets.offer("coins")
    alone = [fingerprints.follow_offer(offer) for offer in (method, dataset)]
    read: list[str] = []
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(str(path)) or read_bytes(path))
    prints = fingerprints.Fingerprints()
    assert [prints.follow_once(offer) for offer in (method, dataset, method)] == [*alone, alone[0]]
    assert set(prints.digest_measures(catalog)) == {"tiny"}
    assert [read.count(str(path)) for path in (folder / "net.py", TINY)] == [1, 1]


SPELLINGS = {
    "from": "from mynet import sign",
    "import": "import mynet",
    "several": "import os, mynet",
    "in brackets": "from mynet import (\n    sign,\n)",
    "renamed": "import mynet as net",
    "in a function": "def later():\n    import mynet",
    "in a try": "try:\n    import mynet\nexcept ImportError:\n    pass",
    "import_module": "import importlib\nnet = importlib.import_module('mynet')",
    "import_module by another name": "from importlib import import_module as bring\nnet = bring('mynet')",
    "import_module by keyword": "import importlib\nnet = importlib.import_module(name='mynet')",
    "__import__": "net = __import__('mynet')",
    "by a constant": "import importlib\nNET = 'mynet'\ndef later():\n    importlib.import_module(NET)",
    "from its path": "import runpy\nfrom pathlib import Path\nrunpy.run_path(str(Path(__file__).parent / 'mynet.py'))",
    "two steps away": "import between",
    "a package's module": "import pack.deep.net as net",
    "a package's relative module": "import pack",
    "a namespace": "from space.inner import net",
    "resolved": "import pkgutil\nsign = pkgutil.resolve_name('mynet:sign')",
    "run as a module": "import runpy\nnet = runpy.run_module('mynet')",
    "import_module handed on": "import importlib\nim = importlib.import_module\nnet = im('mynet')",
    "import_module by getattr": "import importlib\nnet = getattr(importlib, 'import_module')('mynet')",
    "__import__ by getattr": "import builtins\nnet = getattr(builtins, '__import__')('mynet')",
    "a path from a text": (
        "import importlib.util\nfrom pathlib import Path\nNET = 'mynet'\n"
        "spec = importlib.util.spec_from_file_location('made', Path(__file__).parent / (NET + '.py'))"
    ),
    "executed from a text": "exec('import mynet')",
    "executed from a made text": "NET = 'mynet'\nexec('import ' + NET)",
    "executed": "from pathlib import Path\nexec(Path(__file__).with_name('mynet.py').read_text())",
}
FILES = {
    "mynet.py": "sign = {value}\n",
    "between.py": "def f():\n    from mynet import sign\n",
    "pack/__init__.py": "from . import deep\nfrom .deep.net import sign\n",
    "pack/deep/__init__.py": "from ..deep import net\n",
    "pack/deep/net.py": "sign = {value}\n",
    "space/inner/net.py": "sign = {value}\n",
    "bystander.py": "sign = 0\n",
}


@pytest.mark.parametrize("how", SPELLINGS)
def test_a_changed_sibling_is_another_source_however_it_is_imported(written, followed, how):
    def now(value: int, bystander: int = 0) -> fingerprints.Followed:
        files = {name: text.format(value=value) for name, text in FILES.items()}
        files["bystander.py"] = f"sign = {bystander}\n"
        folder = written(files | {"my_method.py": METHOD.format(imports=SPELLINGS[how])})
        return followed(folder / "my_method.py")

    first = now(1)
    assert first.gaps == ()
    assert now(1).digest == first.digest
    assert now(1, bystander=1).digest == first.digest
    assert now(-1).digest != first.digest


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("PATH = Path(__file__).with_name('shape.json')", "shape.json"),
        ("PATH = Path(__file__).parent / 'config' / 'shape.toml'", "config/shape.toml"),
        ("import os\nPATH = os.path.join(os.path.dirname(__file__), 'config', 'shape.yaml')", "config/shape.yaml"),
        ("def read(name): return (Path(__file__).parent / f'{name}.json').read_text()", "other.json"),
        ("PATHS = list((Path(__file__).parent / 'config').glob('*.json'))", "config/any.json"),
        ("WEIGHTS = 'start.npz'", "start.npz"),
    ],
)
def test_a_data_file_that_a_source_names_is_part_of_it(written, followed, code, name):
    method = METHOD.format(imports=f"from pathlib import Path\n{code}")

    def now(text: str) -> str:
        return followed(written({"my_method.py": method, name: text}) / "my_method.py").digest

    assert now("1") == now("1")
    assert now("1") != now("2")


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("def read(): return (HERE / 'sign.txt').read_text()", "sign.txt"),
        ("def read(): return np.loadtxt(HERE / 'sign.dat')", "sign.dat"),
        ("def read(): return np.fromfile(HERE / 'deep' / 'sign.bin')", "deep/sign.bin"),
        ("SIGN = 'sign.parquet'", "sign.parquet"),
        ("SIGN = 'sign.txt.gz'", "sign.txt.gz"),
        ("SIGN = 'sign.7z'", "sign.7z"),
        ("def read(): return open(HERE / 'sign').read()", "sign"),
        ("SIGN = 'sign'", "sign"),
        ("SIGN = str(HERE) + '/sign.txt'", "sign.txt"),
        ("SIGN = f'{HERE}/sign.txt'", "sign.txt"),
        ("def read(n): return open(f'{HERE}/{n}.txt')", "sign.txt"),
        ("SIGN = Path(__file__).with_suffix('.txt')", "my_method.txt"),
        ("SIGN = HERE / 'deep' / '..' / 'sign.txt'", "sign.txt"),
        ("SIGN = HERE / 'deep/../other/sign'", "other/sign"),
        ("def read(): return list((HERE / 'deep').iterdir())", "deep/any.bin"),
        ("import pack", "sign.txt"),
        ("import pack", "pack/top.txt"),
    ],
)
def test_a_file_that_a_source_names_is_part_of_it_whatever_its_suffix(written, followed, code, name):
    method = METHOD.format(
        imports=f"import numpy as np\nfrom pathlib import Path\nHERE = Path(__file__).parent\n{code}"
    )
    pack = "from pathlib import Path\nSIGN = Path(__file__).parent / '..' / '../sign.txt'\nTOP = 'top.txt'\n"
    others = {"pack/__init__.py": "from .deep import net", "pack/deep/__init__.py": "", "pack/deep/net.py": pack}

    def now(text: str) -> str:
        return followed(written({**others, "my_method.py": method, name: text}) / "my_method.py").digest

    assert now("1") == now("1")
    assert now("1") != now("2")


@pytest.mark.parametrize(
    "name", ["my.log", ".lock", "deep/run.tmp", "my.PID", "my.out", "../outside.txt", "unnamed", "mark"]
)
def test_what_a_program_writes_or_lies_elsewhere_is_no_source(written, followed, name):
    names = ["my.log", ".lock", "my.PID", "my.out", "../outside.txt", "mark"]
    code = f"NAMES = {names}\nLIST = Path(__file__).parent / 'deep'"
    method = METHOD.format(imports=f"from pathlib import Path\n{code}")

    def now(text: str | None) -> str:
        files = {} if text is None else {name: text}
        return followed(written({"my_method.py": method, "deep/x": "", **files}) / "my_method.py").digest

    first = now(None)
    assert first == now("" if name == "mark" else "1")


def test_where_a_file_lies_and_what_it_is_called_make_no_other_source(written, followed, tmp_path):
    files = {
        "mynet.py": "sign = 1\n",
        "pack/__init__.py": "",
        "my_method.py": METHOD.format(imports="import mynet, pack"),
    }
    first = followed(written(files, "one") / "my_method.py")
    second = followed(written(files, "two/deeper") / "my_method.py")
    (tmp_path / "two/deeper/my_method.py").rename(tmp_path / "two/deeper/renamed.py")
    assert first.digest == second.digest == followed(tmp_path / "two/deeper/renamed.py").digest


def test_what_refits_a_data_set_is_a_source_of_it(written, catalog_of):
    offer = METHOD.format(imports="from harness import Dataset") + "\n@hookimpl\ndef harness_datasets():\n    "
    offer += "yield Dataset('rows', 'x', 'regression', 'myrows:load', refit='myrefit:refit')\n"
    folder = written({"my_data.py": offer, "myrows.py": "", "myrefit.py": "def refit(): pass"})

    def digest() -> str:
        catalog = catalog_of(tiny)
        catalog.add_file(folder / "my_data.py")
        return fingerprints.follow_offer(catalog.datasets.offer("rows")).digest

    before = digest()
    assert digest() == before
    written({"myrefit.py": "def refit(): return 1"})
    assert digest() != before


def test_keys_do_not_depend_on_where_a_file_lies(written, catalog_of):
    def key(folder: str) -> str:
        file = written({"mynet.py": "", "my_method.py": METHOD.format(imports="import mynet")}, folder) / "my_method.py"
        (trial,) = plan_trials(catalog_of(tiny), Request(methods=str(file), seeds="1", device="cpu"))
        return trial.key

    assert key("one") == key("two")


@pytest.mark.parametrize(
    "code",
    [
        "import importlib, os\nnet = importlib.import_module(os.environ.get('NET', 'my' + 'net'))",
        "name = ''.join(['my', 'net'])\nnet = __import__(name)",
        "import runpy, os\nrun = lambda: runpy.run_path(os.environ['NET'])",
        "import runpy\nrun = lambda n: runpy.run_path(HERE / (n + '.py'), run_name='made')",
        "from importlib.util import spec_from_file_location as find\nspec = lambda n: find('made', n + '.py')",
        "import importlib.util as u\nspec = lambda n: u.spec_from_file_location('made', HERE / (n + '.py'))",
        "import importlib.util as u\nspec = lambda n: u.spec_from_file_location('made', location=HERE / n)",
        "from importlib.machinery import SourceFileLoader\nload = lambda n: SourceFileLoader('made', f'{n}')",
        "import importlib\nim = importlib.import_module",
        "import importlib\nbring = lambda n: map(importlib.import_module, n)",
        "import importlib\nim = getattr(importlib, 'import_module')",
        "import builtins\nim = getattr(builtins, '__import__')",
        "im = __import__",
        "import pkgutil\nresolve = lambda n: pkgutil.resolve_name(n)",
        "run = lambda n: exec('import ' + n)",
        "run = lambda n: exec(f'import {n}')",
        "run = lambda n: eval(n)",
        "import builtins\nrun = lambda n: builtins.exec(n)",
    ],
)
def test_what_is_imported_by_a_name_made_up_on_the_way_is_said(written, followed, monkeypatch, code):
    elsewhere = written({"x.py": ""}, "elsewhere") / "x.py"  # which goes by a word of the plugin, and is not its own
    module = types.ModuleType("x")
    module.__file__ = str(elsewhere)
    monkeypatch.setitem(sys.modules, "x", module)
    found = followed(written({"mynet.py": "", "my_method.py": METHOD.format(imports=code)}) / "my_method.py")
    (gap,) = found.gaps
    assert "my_method.py" in gap
    assert "in line" in gap


def test_other_distributions_count_by_their_version(written, followed, tmp_path, monkeypatch):
    site = written({
        "lib-1.5.dist-info/METADATA": "Metadata-Version: 2.1\nName: Some.Lib\nVersion: 1.5\n",
        "lib-1.5.dist-info/RECORD": "somelib/__init__.py,,\nalone.py,,\n",
        "somelib/__init__.py": "",
        "somelib/sub.py": "",
        "alone.py": "",
        "loose.py": "value = 1",
    }, "site")  # fmt: skip
    monkeypatch.syspath_prepend(site)
    method = METHOD.format(imports="import numpy, somelib.sub, alone, loose")
    file = written({"my_method.py": method, "somelib.txt": ""}) / "my_method.py"
    first = followed(file)
    assert first.libraries["Some.Lib"] == "1.5"
    assert "numpy" in first.libraries
    (site / "somelib/__init__.py").write_text("changed = True")
    assert followed(file).digest == first.digest
    (site / "loose.py").write_text("value = 2")
    assert followed(file).digest != first.digest


def test_all_of_a_plugins_own_distribution_that_it_imports_is_its_source(install, catalog_of, tmp_path):
    install("acme", one="from acme_two import x\nimport acme_pack.part\n", two="x = 1")
    site = tmp_path / "site"
    (site / "acme_pack").mkdir()
    (site / "acme_pack/__init__.py").touch()
    (site / "acme_pack/part.py").write_text("y = 1")
    (site / "acme-1.0.dist-info/RECORD").write_text("acme_one.py,,\nacme_two.py,,\nacme_pack/part.py,,\n")
    from harness.catalog import Plugin

    def digest() -> str:
        return fingerprints.follow_references(["acme_one:build"], Plugin("one", "acme", "1.0", "acme_one")).digest

    first = digest()
    (site / "acme_two.py").write_text("x = 2")
    second = digest()
    (site / "acme_pack/part.py").write_text("y = 2")
    assert len({first, second, digest()}) == 3


# --- siblings -----------------------------------------------------------------------------------------------------


def test_a_sibling_shadows_neither_python_nor_the_harness(written, catalog_of):
    trap = "raise RuntimeError('shadowed')"
    names = ("random.py", "queue.py", "harness/__init__.py", "harness_data/__init__.py", "click.py")
    method = METHOD.format(imports="import random, queue, mynet")
    folder = written(dict.fromkeys(names, trap) | {"mynet.py": "", "my_method.py": method})
    catalog = catalog_of(tiny)
    assert catalog.add_file(folder / "my_method.py") == ["mine"]
    import harness_data

    assert str(folder) not in str(harness_data.__file__)


def test_siblings_of_one_name_are_refused_where_both_would_be_one_module(written, catalog_of):
    method = METHOD.format(imports="def later():\n    import mynet")
    files = [written({"mynet.py": "", "my_method.py": method}, folder) / "my_method.py" for folder in ("one", "two")]
    catalog = catalog_of(tiny)
    catalog.add_file(files[0])
    with pytest.raises(HarnessError, match="it imports mynet, which lies beside it") as caught:
        catalog.add_file(files[1])
    for file in files:
        assert str(file.parent / "mynet.py") in str(caught.value)
    assert catalog_of(tiny).add_file(files[1]) == ["mine"]


def test_a_sibling_that_an_installed_module_hides_is_refused(written, catalog_of):
    folder = written({"numpy.py": "", "my_method.py": METHOD.format(imports="import numpy")})
    with pytest.raises(HarnessError, match=r"it imports numpy, which lies beside it .* taken by .*rename one"):
        catalog_of(tiny).add_file(folder / "my_method.py")


RUN = """
import numpy as np
from harness import ClassLogProbs, Method, hookimpl

class Learner:
    def __init__(self, config): pass
    def init(self, problem, training, base): return problem.output_size
    def update(self, state, batch): return state, {}
    def predict(self, state, inputs):
        from mynet import best
        scores = np.full((1, len(inputs), state), np.log(0.1))
        scores[..., best] = np.log(0.8)
        return ClassLogProbs(scores, np.zeros(1))

@hookimpl
def harness_methods():
    yield Method("mine", "x", Learner, ("classification",))
"""


def test_a_changed_sibling_runs_its_trials_again_and_a_copy_elsewhere_does_not(written, tmp_path):
    folder = written({"my_method.py": RUN, "mynet.py": "best = 0\n"}, "first")

    def run(file: Path, *more: str) -> subprocess.CompletedProcess[str]:
        command = ["run", "-p", str(TINY), "--methods", str(file)]
        command += ["--seeds", "1", "--here", "--results", str(tmp_path / "results"), *more]
        environment = os.environ | {"HARNESS_PLUGINS": "metrics,executors", "COLUMNS": "100"}
        return forked(command, environment, tmp_path)

    first = run(folder / "my_method.py")
    assert first.returncode == 0, first.stderr + first.stdout
    shutil.copytree(folder, tmp_path / "copy")
    copied = run(tmp_path / "copy" / "my_method.py")
    assert "1 of 1 trials have a record; 0 to run" in copied.stderr
    (folder / "mynet.py").write_text("best = 2\n")
    changed = run(folder / "my_method.py")
    assert "1 trial runs again, changed since: the source of mine" in changed.stderr
    assert changed.stdout != first.stdout


def test_what_no_key_follows_is_said_by_the_run_and_stands_in_the_record(written, tmp_path):
    code = RUN.replace(
        "from mynet import best", "import importlib\n        best = importlib.import_module('my' + 'net').best"
    )
    file = written({"my_method.py": code, "mynet.py": "best = 0\n"}) / "my_method.py"
    command = ["run", "-p", str(TINY), "--methods", str(file), "--seeds", "2", "--here"]
    environment = os.environ | {"HARNESS_PLUGINS": "metrics,executors", "COLUMNS": "100"}
    command += ["--results", str(tmp_path / "results")]
    done = forked(command, environment)
    said = "my_method.py: importlib.import_module('my' + 'net') in line 11"
    assert done.stderr.count(f"no key follows {said}") == 1
    for path in (tmp_path / "results/trials").glob("*.json"):
        provenance = json.loads(path.read_text())["provenance"]
        assert provenance["not_followed"] == [said]
        assert "numpy" in provenance["libraries"]
