"""Loading of plugins: entry points, modules and files, and options that narrow them."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from harness import Method, UsageError, hookimpl
from harness.catalog import Catalog, Settings, load_catalog
from harness.selections import catalog_items, selection


def method(name: str, **fields: object) -> Method:
    return Method(name, "a method", factory="nowhere:build", kinds=("classification",), **fields)


class Offers:
    """A plugin in this process that offers methods of these names."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.asked = 0

    @hookimpl
    def harness_methods(self):
        self.asked += 1
        for name in self.names:
            yield method(name)


def source_file(path: Path, source: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("from harness import *\n" + textwrap.dedent(source))
    return path


@pytest.mark.parametrize(
    ("value", "expected"), [("one, two", {"one", "two"}), ("two", {"two"}), ("acme", {"one", "two"}), ("", set())]
)
def test_the_environment_variable_narrows_entry_points(install, offers_method, monkeypatch, value, expected):
    install("acme", one=offers_method("a"), two=offers_method("b"))
    monkeypatch.setenv("HARNESS_PLUGINS", value)
    catalog = load_catalog(Settings())
    assert {plugin.name for plugin in catalog.plugins} == expected
    assert {"one", "two"} - expected <= {plugin.name for plugin in catalog.switched_off}


def test_without_the_variable_all_entry_points_are_loaded(install, offers_method, monkeypatch):
    install("acme", one=offers_method("a"), two=offers_method("b"))
    monkeypatch.delenv("HARNESS_PLUGINS", raising=False)
    catalog = load_catalog(Settings())
    assert {"one", "two", "metrics"} <= {plugin.name for plugin in catalog.plugins}
    assert catalog.metrics.offer("accuracy").plugin.distribution == "harness-bench"


@pytest.mark.parametrize("name", ["one", "acme:one", "acme_one"])
def test_a_plugin_is_switched_off_by_any_of_its_names(install, offers_method, name):
    install("acme", one=offers_method("a"), two=offers_method("b"))
    for settings in (Settings((), (name,), only=("acme",)), Settings((f"no:{name}",), only=("acme",))):
        catalog = load_catalog(settings)
        assert catalog.methods.names() == ["b"]
        assert [plugin.name for plugin in catalog.switched_off if plugin.distribution == "acme"] == ["one"]


def test_a_plugin_that_is_switched_off_is_not_imported(install):
    install("stranger", broken="1 / 0")
    assert load_catalog(Settings(only=("broken",), disabled=("broken",))).problems == []


@pytest.mark.parametrize(
    ("settings", "owner"),
    [(Settings(only=("onee",)), "HARNESS_PLUGINS"), (Settings(disabled=("onee",), only=()), "--disable-plugin")],
)
def test_a_name_that_no_plugin_has_is_an_error(install, offers_method, settings, owner):
    install("acme", one=offers_method("a"))
    with pytest.raises(UsageError, match=f"{owner}: no plugin 'onee'; did you mean 'one'"):
        load_catalog(settings)


def test_the_first_distribution_of_a_name_on_the_path_counts(install, offers_method, tmp_path, monkeypatch):
    install("acme", one=offers_method("new"))
    older = tmp_path / "older" / "Acme-0.9.dist-info"
    older.mkdir(parents=True)
    (older / "METADATA").write_text("Metadata-Version: 2.1\nName: Acme\nVersion: 0.9\n")
    (older / "entry_points.txt").write_text("[harness]\none = acme_one\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "older")])
    assert [plugin.version for plugin in load_catalog(Settings(only=("one",))).plugins] == ["1.0"]


def test_a_file_is_a_plugin_and_one_module_however_it_is_spelt(tmp_path, offers_method, monkeypatch):
    path = source_file(tmp_path / "my-method.py", offers_method("mine") + "\n            loaded = object()\n")
    monkeypatch.chdir(tmp_path)
    catalog = load_catalog(Settings(plugins=("my-method.py", "./my-method.py", str(path)), only=()))
    (plugin,) = catalog.plugins
    assert (plugin.name, plugin.distribution, plugin.file) == ("my-method", "", str(path))
    assert catalog.methods.names() == ["mine"]
    first = sys.modules[plugin.module].loaded
    load_catalog(Settings(plugins=(str(path),), only=()))
    assert sys.modules[plugin.module].loaded is first


@pytest.mark.parametrize(
    "spelling",
    [
        "My Drive (1)/it's mine.py",
        "./My Drive (1)/it's mine.py",
        "~/My Drive (1)/it's mine.py",
        '"My Drive (1)/it\'s mine.py"',
        r"'My Drive (1)/it\'s mine.py'",
        r"My\ Drive\ \(1\)/it\'s\ mine.py",
        "~/'My Drive (1)'/it\\'s\\ mine.py",
    ],
)
def test_a_file_is_found_in_every_spelling_of_a_shell(tmp_path, offers_method, monkeypatch, spelling):
    path = source_file(tmp_path / "My Drive (1)" / "it's mine.py", offers_method("mine"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (plugin,) = load_catalog(Settings(plugins=(spelling,), only=())).plugins
    assert plugin.file == str(path)


@pytest.mark.parametrize(("spelling", "words"), [(r"C:\Users\m.py", "written with '/'"), ("~nobody-such/m.py", "home")])
def test_a_path_that_can_be_none_here_is_a_mistake_of_the_user(spelling, words):
    with pytest.raises(UsageError, match=words) as caught:
        load_catalog(Settings(plugins=(spelling,), only=()))
    assert spelling in str(caught.value)


def test_a_file_that_fails_leaves_no_half_made_module(tmp_path):
    path = source_file(tmp_path / "broken.py", "1 / 0")
    before = set(sys.modules)
    catalog = load_catalog(Settings(plugins=(str(path),), only=()))
    assert [problem.stage for problem in catalog.problems] == ["import"]
    assert not [name for name in set(sys.modules) - before if "broken" in name]


def test_an_importable_module_is_a_plugin(tmp_path, offers_method, monkeypatch):
    source_file(tmp_path / "importable_plugin.py", offers_method("mine"))
    monkeypatch.syspath_prepend(tmp_path)
    catalog = load_catalog(Settings(plugins=("importable_plugin",), only=()))
    assert catalog.methods.offer("importable_plugin:mine").plugin.module == "importable_plugin"
    monkeypatch.delitem(sys.modules, "importable_plugin")


@pytest.mark.parametrize("reference", ["one", "acme_one", "acme:one"])
def test_an_entry_point_can_be_asked_for_and_keeps_its_distribution(install, offers_method, reference):
    install("acme", one=offers_method("a"))
    for only in ((), ("one",)):
        catalog = load_catalog(Settings(plugins=(reference,), only=only))
        assert [str(plugin) for plugin in catalog.plugins] == ["one (acme 1.0)"]


def test_a_plugin_that_does_not_exist_is_a_mistake_of_the_user(install, offers_method, tmp_path, monkeypatch):
    install("acme", one=offers_method("a"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "local_method.py").touch()
    (tmp_path / "notes.txt").touch()
    expected = {
        "onne": "no plugin, module or .py file of this name; did you mean 'one'",
        "local_method": "for the file write -p ./local_method.py",
        "./gone.py": "expected a .py file, found no such file",
        "./": "expected a .py file, found a folder",
        "./notes.txt": "expected a .py file, found a file of another type",
    }
    for reference, message in expected.items():
        with pytest.raises(UsageError) as caught:
            load_catalog(Settings(plugins=(reference,), only=()))
        assert reference in str(caught.value)
        assert message in str(caught.value)


def test_another_process_loads_the_same_plugins(tmp_path, offers_method, monkeypatch):
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics")
    path = source_file(tmp_path / "mine.py", offers_method("mine"))
    catalog = load_catalog(Settings())
    catalog.add_file(path)
    monkeypatch.setenv("HARNESS_PLUGINS", "")  # what was asked for travels in the settings, not in the environment
    code = (
        "import pickle, sys; from harness.catalog import load_catalog;"
        "c = load_catalog(pickle.loads(bytes.fromhex(sys.argv[1])));"
        "print(c.methods.names(), [p.name for p in c.plugins])"
    )
    command = [sys.executable, "-c", code, pickle.dumps(catalog.settings).hex()]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "['mine'] ['metrics', 'mine']"


def test_two_files_of_one_name_are_told_apart_by_folder(tmp_path, offers_method):
    files = [source_file(tmp_path / folder / "mine.py", offers_method("saf")) for folder in ("a", "b")]
    catalog = load_catalog(Settings(plugins=tuple(map(str, files)), only=()))
    with pytest.raises(UsageError, match=r"write a.mine:saf or b.mine:saf") as caught:
        catalog.methods.get("saf")
    qualified = str(caught.value).partition("write ")[2].split()[0]
    assert catalog.methods.offer(qualified).plugin.file == str(files[0])


# --- methods given as a file --------------------------------------------------------------------------------------


def test_a_file_selects_the_methods_that_it_offers(tmp_path, offers_method):
    catalog = Catalog.of(Offers("saf", "theirs"))
    path = source_file(tmp_path / "mine.py", offers_method("saf"))
    assert catalog.add_file(path) == ["mine:saf"]
    assert catalog.methods.offer("mine:saf").plugin.file == str(path)
    assert catalog.settings.plugins == (str(path),)
    assert catalog.add_file(path) == ["mine:saf"]
    assert catalog.settings.plugins == (str(path),)
    assert catalog.add_file(source_file(tmp_path / "two.py", offers_method("fresh"))) == ["fresh"]


def test_a_name_with_blanks_qualifies_as_one_word(tmp_path, offers_method):
    catalog = Catalog.of(Offers("saf"))
    path = source_file(tmp_path / "it's mine (2).py", offers_method("saf"))
    assert catalog.add_file(path) == ["it-s-mine-2:saf"]
    assert catalog.methods.offer("it-s-mine-2:saf").plugin.file == str(path)


def test_files_that_offer_one_name_are_compared_with_each_other(tmp_path, offers_method):
    """Two versions of a method, side by side: no name is given before all files are known."""
    catalog = Catalog.of(Offers("other"))
    files = [source_file(tmp_path / name, offers_method("net")) for name in ("v1/net.py", "v2/net.py", "new.py")]
    text = f"{files[0]},other,{files[1]},{files[2]},{files[0]}"
    selected = [each.selected for each in catalog_items.look_up_methods(catalog, text, "--methods")]
    assert [each.full_name for each in selected] == ["v1.net:net", "other", "v2.net:net", "new:net", "v1.net:net"]
    found = [catalog.methods.offer(each.name, each.source).plugin.file for each in selected if each.name == "net"]
    assert found == [str(files[place]) for place in (0, 1, 2, 0)]
    again = selection.parse(",".join(each.full_name for each in selected), "--methods")
    assert [each.full_name for each in again] == [each.full_name for each in selected]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("@hookimpl\ndef harness_methods(): raise RuntimeError('late')", "RuntimeError: late"),
        ("@hookimpl\ndef harness_suites(): return []", "it offers none"),
        ("x = 1", "it implements no hook"),
    ],
)
def test_a_file_without_usable_methods_is_an_error_that_names_it(tmp_path, source, message):
    path = source_file(tmp_path / "mine.py", source)
    with pytest.raises(UsageError, match=message) as caught:
        Catalog().add_file(path)
    assert str(path) in str(caught.value)
    with pytest.raises(UsageError, match=r"no such file"):
        Catalog().add_file(tmp_path / "gone.py")
