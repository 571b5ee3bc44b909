"""The catalogue: offers of all plugins by name, the errors that plugins get, the objects that references lead to."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
import textwrap
from dataclasses import dataclass

import click
import pytest

from harness import (
    BackendOffer,
    DataOptions,
    Dataset,
    Formula,
    Method,
    Metric,
    PluginError,
    Suite,
    UsageError,
    hookimpl,
)
from harness.catalog import Catalog, Settings, explain_unavailable, load_catalog, resolve
from harness.cli import main
from harness.errors import HarnessError


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


# --- shelves ------------------------------------------------------------------------------------------------------


def test_an_unknown_name_says_what_is_near_and_what_is_known():
    catalog = Catalog.of(Offers("saf", "ottt"))
    with pytest.raises(UsageError) as caught:
        catalog.methods.get("SAFF")
    assert str(caught.value) == "unknown method 'SAFF'; did you mean 'saf'? Known methods: ottt, saf"
    with pytest.raises(UsageError, match=r"^unknown method 'zzz'; known methods: ottt, saf$"):
        catalog.methods.get("zzz")
    with pytest.raises(UsageError, match=r"^unknown data set 'digits'; known data sets: none$"):
        catalog.datasets.get("digits")


def test_a_long_list_of_known_names_is_cut():
    catalog = Catalog.of(Offers(*(f"m{number:02}" for number in range(25))))
    with pytest.raises(UsageError, match=r"m00, .*, m19 and 5 more$"):
        catalog.methods.get("zzz")


def test_an_unknown_name_says_that_a_plugin_is_missing(install):
    install("stranger", broken="1 / 0")
    catalog = load_catalog(Settings(only=("broken",)))
    with pytest.raises(UsageError, match=r"; 1 plugin could not be loaded: harness plugins --problems$"):
        catalog.methods.get("saf")


def test_a_name_of_two_distributions_must_be_qualified(install, offers_method):
    install("acme-snn", one=offers_method("saf"))
    install("zeta", two=offers_method("saf", "other"))
    catalog = load_catalog(Settings(only=("one", "two")))
    with pytest.raises(UsageError) as caught:
        catalog.methods.get("saf")
    message = str(caught.value)
    assert "method 'saf' is offered by one (acme-snn 1.0) and two (zeta 1.0)" in message
    assert "write acme-snn:saf or zeta:saf" in message
    assert catalog.methods.offer("acme-snn:saf").plugin.distribution == "acme-snn"
    assert catalog.methods.offer("saf", "zeta").plugin.name == "two"
    assert load_catalog(Settings(only=("one", "two"), disabled=("zeta",))).methods.get("saf").name == "saf"
    with pytest.raises(UsageError, match=r"method 'saf' is not offered by 'acme' but by acme-snn, zeta"):
        catalog.methods.get("acme:saf")


def test_a_name_of_two_plugins_of_one_distribution_is_told_apart_by_plugin(install, offers_method):
    install("acme", one=offers_method("saf"), two=offers_method("saf"))
    catalog = load_catalog(Settings(only=("acme",)))
    with pytest.raises(UsageError, match=r"write one:saf or two:saf"):
        catalog.methods.get("acme:saf")
    assert catalog.methods.offer("two:saf").plugin.name == "two"


def test_what_a_clash_proposes_means_one_plugin_each(install, offers_method, tmp_path):
    """Names of plugins, distributions and files that are each other's: whatever is proposed has to work."""
    install("acme", saf=offers_method("saf"), other=offers_method("saf"))
    install("Zeta_Nets", saf=offers_method("saf"))
    install("saf", one=offers_method("saf"))
    file = tmp_path / "saf.py"
    file.write_text("from harness import *\n" + textwrap.dedent(offers_method("saf")))
    settings = Settings(plugins=(str(file),), only=("acme", "zeta-nets", "saf:one"))
    catalog = load_catalog(settings)
    with pytest.raises(UsageError) as caught:
        catalog.methods.get("saf")
    message = str(caught.value)
    choices = message.partition("write ")[2].partition(", or switch")[0].split(" or ")
    plugins = [str(catalog.methods.offer(choice).plugin) for choice in choices]
    assert len(set(plugins)) == len(choices) == 5
    for proposed in message.partition("switch one off with ")[2].split(" or "):
        words = shlex.split(proposed)
        assert words[0] == "--disable-plugin"
        left = load_catalog(dataclasses.replace(settings, disabled=(words[1],)))
        assert len(left.plugins) == 4
        assert len(left.switched_off) == len(catalog.switched_off) + 1
        assert (
            load_catalog(dataclasses.replace(settings, plugins=(str(file), f"no:{words[1]}"))).plugins == left.plugins
        )


def test_a_distribution_s_name_is_compared_as_pip_compares_it(install, offers_method):
    install("Acme_Nets", one=offers_method("saf"), two=offers_method("other"))
    for name in ("acme-nets", "Acme_Nets", "ACME.nets"):
        catalog = load_catalog(Settings(only=(f"{name}:one",)))
        assert [str(plugin) for plugin in catalog.plugins] == ["one (Acme_Nets 1.0)"]
        assert catalog.methods.get(f"{name}:saf").name == "saf"
        assert load_catalog(Settings(only=(name,), disabled=(f"{name}:one",))).methods.names() == ["other"]


def test_one_of_two_plugins_of_a_name_is_loaded_by_its_full_name(install, offers_method):
    install("acme", one=offers_method("a"))
    install("zeta", one=offers_method("b"))
    with pytest.raises(UsageError, match=r"-p one: several plugins are called that; write acme:one or zeta:one"):
        load_catalog(Settings(plugins=("one",), only=()))
    assert load_catalog(Settings(plugins=("zeta:one",), only=())).methods.names() == ["b"]
    with pytest.raises(UsageError, match=r"no plugin 'zeta:onne'; did you mean 'zeta:one'"):
        load_catalog(Settings(disabled=("zeta:onne",), only=()))


@pytest.fixture
def twins(install, offers_method, tmp_path):
    """Two distributions, one module."""
    install("acme", one=offers_method("saf"))
    install("zeta")
    (tmp_path / "site" / "zeta-1.0.dist-info" / "entry_points.txt").write_text("[harness]\nagain = acme_one\n")


def test_a_module_of_two_distributions_is_one_plugin_that_both_name(twins):
    catalog = load_catalog(Settings(only=("acme", "zeta")))
    assert [str(plugin) for plugin in catalog.plugins] == ["one (acme 1.0)"]
    assert [(str(twin), str(plugin)) for twin, plugin in catalog.twins] == [("again (zeta 1.0)", "one (acme 1.0)")]
    for name in ("saf", "acme:saf", "zeta:saf", "again:saf", "acme_one:saf"):
        assert catalog.methods.offer(name).plugin.name == "one"
    for off, left in (("acme:one", "again"), ("zeta:again", "one")):
        catalog = load_catalog(Settings(only=("acme", "zeta"), disabled=(off,)))
        assert [plugin.name for plugin in catalog.plugins] == [left]
        assert (catalog.twins, catalog.methods.names()) == ([], ["saf"])


def test_both_distributions_of_a_module_are_listed(twins, capsys, monkeypatch):
    monkeypatch.setenv("HARNESS_PLUGINS", "acme,zeta")
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["plugins"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "one acme 1.0 methods: saf" in lines
    assert "again zeta 1.0 (the same module as one (acme 1.0), which serves both)" in lines
    assert main(["plugins", "--format", "json"]) == 0
    (twin,) = json.loads(capsys.readouterr().out)["same_module"]
    assert (twin["name"], twin["distribution"], twin["as"]) == ("again", "zeta", "one (acme 1.0)")


def test_plugins_are_asked_once_and_only_when_their_shelf_is_needed():
    plugin = Offers("saf")
    catalog = Catalog.of(plugin)
    assert catalog.datasets.values() == []
    assert plugin.asked == 0
    assert catalog.methods.get("saf") is catalog.methods.values()[0]
    assert plugin.asked == 1


def test_a_plugin_that_comes_later_joins_shelves_that_were_looked_at():
    early, late = Offers("saf"), Offers("ottt")
    catalog = Catalog.of(early)
    assert catalog.methods.names() == ["saf"]
    catalog.register(late, "late")
    assert catalog.methods.names() == ["saf", "ottt"]
    assert (early.asked, late.asked) == (1, 1)


def test_the_same_object_is_registered_once():
    plugin = Offers("saf")
    assert Catalog.of(plugin, plugin).methods.names() == ["saf"]


def test_a_catalogue_of_objects_refuses_a_broken_one():
    with pytest.raises(PluginError, match=r"plugin object could not be registered: it implements no hook"):
        Catalog.of(object())


class Works:
    """A plugin in this process with formulas of these operators."""

    def __init__(self, *operators: object, **fields: object) -> None:
        self.formulas = [Formula(operator, **{"macs": "nowhere:macs", **fields}) for operator in operators]

    @hookimpl
    def harness_formulas(self):
        return self.formulas


class Library:
    """A backend that counts the operators of a library itself."""

    @hookimpl
    def harness_backends(self):
        yield BackendOffer("x", factory="nowhere:build", check="nowhere:check", operators=("core",))


def test_a_formula_is_found_by_its_operator():
    catalog = Catalog.of(Library(), Works("mylib::scan", "mylib::scan_backward", "your_lib::_fold"))
    assert catalog.formulas.names() == ["mylib::scan", "mylib::scan_backward", "your_lib::_fold"]
    assert catalog.formulas.get("mylib::scan").macs == "nowhere:macs"


@pytest.mark.parametrize(
    "operator", ["scan", "mylib:scan", "mylib::scan.default", "mylib::", "::scan", "a b::c", 3, ""]
)
def test_a_formula_without_an_operator_is_refused(operator):
    with pytest.raises(PluginError, match=r"an operator is named with its library, as in 'mylib::scan'"):
        Catalog.of(Works(operator)).formulas  # noqa: B018 - the shelf is filled


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"macs": None}, "macs must be a callable or 'module:attribute', got None"),
        ({"macs": 12}, "macs must be a callable or 'module:attribute', got 12"),
        ({"macs": "nowhere"}, "macs must be a callable or 'module:attribute', got 'nowhere'"),
        ({"elementwise": 0}, "elementwise must be a callable or 'module:attribute', got 0"),
    ],
)
def test_a_formula_needs_functions(fields, reason):
    with pytest.raises(PluginError) as caught:
        Catalog.of(Works("mylib::scan", **fields)).formulas  # noqa: B018
    assert reason in str(caught.value)


def test_a_formula_of_an_operator_that_has_one_is_refused():
    with pytest.raises(PluginError, match=r"harness_formulas offers 'mylib::scan' twice"):
        Catalog.of(Works("mylib::scan", "mylib::scan")).formulas  # noqa: B018
    with pytest.raises(PluginError, match=r"'core::add': the work of core's operators is known; name one of yours"):
        Catalog.of(Library(), Works("core::add")).formulas  # noqa: B018


def test_a_formula_that_is_taken_leaves_the_first_one_and_becomes_a_problem():
    catalog = Catalog()
    for name, plugin in (("first", Works("mylib::scan")), ("second", Works("mylib::fold", "mylib::scan"))):
        catalog.register(plugin, name)
    assert catalog.formulas.names() == ["mylib::scan", "mylib::fold"]
    assert catalog.formulas.offer("mylib::scan").plugin.name == "first"
    (problem,) = catalog.problems
    assert (problem.plugin, problem.stage) == ("second", "listing")


def test_every_kind_of_offer_has_its_shelf(tmp_path):
    @dataclass(frozen=True)
    class Config(DataOptions):
        noise: float = 0.0

    class Plugin:
        @hookimpl
        def harness_datasets(self):
            yield Dataset("toy", "s", "classification", load=lambda config, seed, folder: None, config=Config)

        @hookimpl
        def harness_metrics(self):
            yield Metric("cost", "s", "s", "lower")

        @hookimpl
        def harness_suites(self):
            return (Suite("quick", "s", tmp_path / "quick.toml"),)

    catalog = Catalog.of(Plugin())
    assert catalog.datasets.get("toy").config is Config
    assert catalog.metrics.names() == ["cost"]
    assert catalog.suites.offer("quick").plugin.name == "Plugin"
    assert catalog.list_hooks(catalog.plugins[0]) == ["harness_datasets", "harness_metrics", "harness_suites"]


# --- notifications and commands -----------------------------------------------------------------------------------


def test_a_notification_that_fails_is_warned_of_once_and_reaches_the_others(capsys):
    seen = []

    class Fails:
        @hookimpl
        def harness_run_started(self, trials):
            raise SystemExit(f"{len(trials)} are too many")

    class Listens:
        @hookimpl
        def harness_run_started(self, trials):
            seen.append(trials)

    catalog = Catalog()
    for name, plugin in {"first": Listens(), "fails": Fails(), "last": Listens()}.items():
        catalog.register(plugin, name)
    catalog.notify("harness_run_started", {"trials": [1, 2]})
    catalog.notify("harness_run_started", {"trials": [1]})
    assert seen == [[1, 2], [1, 2], [1], [1]]
    expected = "harness: plugin fails failed while being notified: SystemExit: 2 are too many; the run goes on\n"
    assert capsys.readouterr().err == expected
    assert {problem.stage for problem in catalog.problems} == {"notification"}


def test_a_notification_never_fails_a_strict_run():
    class Fails:
        @hookimpl
        def harness_run_finished(self):
            1 / 0  # noqa: B018

    catalog = Catalog.of(Fails())
    catalog.notify("harness_run_finished", {"records": []})
    assert catalog.methods.names() == []


def test_an_interrupt_passes_through_a_notification():
    class Interrupts:
        @hookimpl
        def harness_run_finished(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Catalog.of(Interrupts()).notify("harness_run_finished", {"records": []})


class Adds:
    def __init__(self, *names: str, fails: bool = False) -> None:
        self.names, self.fails = names, fails

    @hookimpl
    def harness_commands(self, cli):
        for name in self.names:
            cli.add_command(click.Command(name))
        if self.fails:
            raise RuntimeError("half way")


def test_a_plugin_adds_all_of_its_commands_or_none():
    catalog = Catalog()
    plugins = {
        "good": Adds("plot"),
        "fails": Adds("half", fails=True),
        "clashes": Adds("other", "plot"),
        "reserved": Adds("fresh", "run"),
        "also-good": Adds("export"),
    }
    for name, plugin in plugins.items():
        catalog.register(plugin, name)
    cli = click.Group()
    catalog.add_commands(cli, reserved={"run"})
    assert sorted(cli.commands) == ["export", "plot"]
    messages = {problem.plugin: problem.message for problem in catalog.problems}
    assert messages == {
        "fails": "RuntimeError: half way",
        "clashes": "the command 'plot' is taken",
        "reserved": "the command 'run' is taken",
    }


# --- references ---------------------------------------------------------------------------------------------------


def test_a_reference_resolves_to_what_it_names():
    assert resolve("os.path:join") is __import__("os").path.join
    assert resolve("collections:OrderedDict.fromkeys")("ab") == {"a": None, "b": None}
    assert resolve(test_a_reference_resolves_to_what_it_names) is test_a_reference_resolves_to_what_it_names


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("missing_module:build", "cannot be imported: ModuleNotFoundError"),
        ("os.path:bild", "the module os.path has no attribute 'bild'"),
        ("os:sep", "is not callable: '/'"),
    ],
)
def test_a_reference_that_leads_nowhere_names_its_owner(reference, message):
    with pytest.raises(HarnessError, match=f"^method saf: '{reference}'.*{message}"):
        resolve(reference, "method saf")


def test_availability_is_found_without_importing(install, tmp_path):
    (tmp_path / "site" / "heavy_library.py").write_text("raise RuntimeError('imported')")

    class Plugin:
        @hookimpl
        def harness_methods(self):
            yield method("fine", requires=("heavy_library", "os.path"))
            yield method("lacking", requires=("heavy_library", "absent_one.part", "absent_two"))

    catalog = Catalog.of(Plugin())
    assert explain_unavailable(catalog.methods.offer("fine")) is None
    assert (
        explain_unavailable(catalog.methods.offer("lacking")) == "needs absent_one.part and absent_two, not installed"
    )
    assert "heavy_library" not in sys.modules
