"""Plugins that fail: each is a problem with a name, and the others work."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

from harness import INTERFACE, PluginError
from harness.catalog import Settings, load_catalog

METHOD = 'Method("x", "s", factory="m:build", kinds=("classification",)'


BROKEN = {
    "import": ("import", "import missing_module", "ModuleNotFoundError: No module named 'missing_module'"),
    "syntax": ("import", "def f(:", "SyntaxError"),
    "exit": ("import", "raise SystemExit('bye')", "SystemExit: bye"),
    "argument": ("registration", "@hookimpl\ndef harness_methods(wrong): ...", "Argument(s) {'wrong'}"),
    "misspelt": ("registration", "@hookimpl\ndef harness_method(): ...", "did you mean 'harness_methods'?"),
    "wrapper": ("registration", "@hookimpl(wrapper=True)\ndef harness_methods(): yield", "drop wrapper=True"),
    "no hook": ("registration", "def harness_methods(): ...", "is @hookimpl missing?"),
    "raises": ("listing", "@hookimpl\ndef harness_methods(): raise RuntimeError('late')", "RuntimeError: late"),
    "generator": (
        "listing",
        f"@hookimpl\ndef harness_methods():\n    yield {METHOD})\n    raise RuntimeError('later')",
        "RuntimeError: later",
    ),
    "exits": ("listing", "@hookimpl\ndef harness_methods(): raise SystemExit", "SystemExit"),
    "nothing": ("listing", "@hookimpl\ndef harness_methods(): pass", "must return or yield Method objects, got None"),
    "single": ("listing", f"@hookimpl\ndef harness_methods(): return {METHOD})", "must return or yield Method objects"),
    "other type": ("listing", "@hookimpl\ndef harness_methods(): return ['saf']", "yield Method objects, got 'saf'"),
    "twice": ("listing", f"@hookimpl\ndef harness_methods(): return [{METHOD}), {METHOD})]", "offers 'x' twice"),
    "name": (
        "listing",
        f"@hookimpl\ndef harness_methods(): yield {METHOD.replace('x', 'a,b', 1)})",
        "a name is letters",
    ),
    "kinds": (
        "listing",
        "@hookimpl\ndef harness_methods(): yield Method('x', 's', factory='m:b', kinds=('classification'))",
        "method 'x': kinds must be a tuple, got 'classification'",
    ),
    "role": (
        "listing",
        f"@hookimpl\ndef harness_methods(): yield {METHOD}, role='rival')",
        "role must be one of proposed",
    ),
    "factory": (
        "listing",
        "@hookimpl\ndef harness_methods(): yield Method('x', 's', factory='module', kinds=())",
        "factory must be a callable or 'module:attribute', got 'module'",
    ),
    "config is no type": ("listing", f"@hookimpl\ndef harness_methods(): yield {METHOD}, config=3)", "got 3"),
    "config is no dataclass": (
        "listing",
        f"class C: ...\n@hookimpl\ndef harness_methods(): yield {METHOD}, config=C)",
        "method 'x': config must be a frozen dataclass",
    ),
    "config is not frozen": (
        "listing",
        f"from dataclasses import dataclass\n@dataclass\nclass C:\n    a: int = 1\n"
        f"@hookimpl\ndef harness_methods(): yield {METHOD}, config=C)",
        "config must be a frozen dataclass",
    ),
    "data config is not decorated": (
        "listing",
        "class C(DataOptions):\n    a: int = 1\n"
        "@hookimpl\ndef harness_datasets(): yield Dataset('x', 's', 'classification', 'm:load', config=C)",
        "data set 'x': config must be a frozen dataclass, decorated itself",
    ),
    "data config is no DataOptions": (
        "listing",
        "@hookimpl\ndef harness_datasets(): yield Dataset('x', 's', 'classification', 'm:load', config=NoOptions)",
        "config must be a subclass of DataOptions",
    ),
    "better": (
        "listing",
        "@hookimpl\ndef harness_metrics(): yield Metric('x', 's', 's', 'smaller')",
        "better must be one of higher, lower, neither, got 'smaller'",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_a_problem_and_the_others_work(install, offers_method, case):
    stage, source, message = BROKEN[case]
    install("stranger", broken=source)
    install("friend", good=offers_method("fine"))

    catalog = load_catalog(Settings(only=("broken", "good")))
    catalog.fill_shelves()

    assert catalog.methods.names() == ["fine"]
    (problem,) = catalog.problems
    assert (problem.plugin, problem.distribution, problem.version, problem.stage) == (
        "broken",
        "stranger",
        "1.0",
        stage,
    )
    assert message in problem.message
    assert "\n" not in problem.message
    assert problem.traceback.startswith("Traceback")


@pytest.mark.parametrize("case", BROKEN)
def test_strict_refuses_what_is_broken(install, case):
    install("stranger", broken=BROKEN[case][1])
    with pytest.raises(PluginError, match=r"broken") as caught:
        load_catalog(Settings(only=("broken",), strict=True)).fill_shelves()
    assert caught.value.exit_code == 3


def test_strict_names_every_problem(install):
    install("stranger", first="1 / 0", second="import missing_module")
    with pytest.raises(PluginError, match=r"plugin first .*ZeroDivisionError.*plugin second .*missing_module"):
        load_catalog(Settings(only=("first", "second"), strict=True))


def test_an_interrupt_at_import_is_not_swallowed(install):
    install("stranger", slow="raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_catalog(Settings(only=("slow",)))


def test_what_one_hook_breaks_leaves_the_other_hooks_of_the_plugin(install, offers_method):
    install("mixed", half=offers_method("fine") + "\n            @hookimpl\n            def harness_suites(): 1 / 0\n")
    catalog = load_catalog(Settings(only=("half",)))
    assert catalog.suites.names() == []
    assert catalog.methods.names() == ["fine"]


def test_what_a_plugin_prints_while_it_loads_stays_off_stdout(install, capsys):
    install("loud", loud="print('hello')\n@hookimpl\ndef harness_suites():\n    print('again')\n    return []")
    assert load_catalog(Settings(only=("loud",))).suites.values() == []
    assert capsys.readouterr() == ("", "hello\nagain\n")


def test_a_line_that_is_no_entry_point_is_a_problem_of_its_distribution(install, offers_method, tmp_path):
    install("friend", good=offers_method("fine"))
    points = tmp_path / "site" / "friend-1.0.dist-info" / "entry_points.txt"
    points.write_text(points.read_text() + "nonsense\n")
    catalog = load_catalog(Settings(only=("friend",)))
    assert catalog.methods.names() == ["fine"]
    assert [(problem.plugin, problem.distribution) for problem in catalog.problems] == [("nonsense", "friend")]


def test_other_groups_and_other_distributions_are_left_alone(install, offers_method, tmp_path):
    install("friend", good=offers_method("fine"))
    other = tmp_path / "site" / "other-1.0.dist-info"
    other.mkdir()
    (other / "entry_points.txt").write_text("[console_scripts]\nthis is not valid at all\n")
    points = tmp_path / "site" / "friend-1.0.dist-info" / "entry_points.txt"
    points.write_text(f"[console_scripts]\ntool = nowhere:main\n\n# ours\n{points.read_text()}")
    catalog = load_catalog(Settings(only=("friend",)))
    assert [plugin.name for plugin in catalog.plugins] == ["good"]
    assert catalog.problems == []


@pytest.fixture
def problem_of(tmp_path, monkeypatch):
    """The one problem of a plugin of this text, or none."""
    monkeypatch.setenv("HARNESS_PLUGINS", "")

    def problem(text):
        path = tmp_path / "mine.py"
        path.write_text(text)
        return [str(each) for each in load_catalog(Settings((str(path),))).problems]

    return problem


OFFERS = "from harness import hookimpl\n@hookimpl\ndef harness_methods(): return []\n"


@pytest.mark.parametrize("declared", ["", f"harness_interface = {INTERFACE}"])
def test_a_plugin_that_declares_this_interface_or_none_is_loaded(problem_of, declared):
    assert problem_of(f"{declared}\n{OFFERS}") == []


@pytest.mark.parametrize(
    ("declared", "remedy"),
    [
        (
            INTERFACE - 1,
            f"it is written for hook interface {INTERFACE - 1}, and this harness has {INTERFACE}: install a newer "
            f"version of it, or mend what CHANGELOG.md names under 'Hook interface {INTERFACE}' and say "
            f"harness_interface = {INTERFACE}",
        ),
        (
            INTERFACE + 1,
            f"it is written for hook interface {INTERFACE + 1}, and this harness has {INTERFACE}: install a newer "
            "harness",
        ),
        ("'two'", f"harness_interface is 'two'; expected a whole number such as {INTERFACE}"),
        ("True", f"harness_interface is True; expected a whole number such as {INTERFACE}"),
    ],
)
@pytest.mark.parametrize("imports", ["", "from harness import GoneSince\n"])
def test_one_that_declares_another_is_told_what_to_do_in_one_line_whatever_it_imports(
    problem_of, declared, remedy, imports
):
    (said,) = problem_of(f"harness_interface = {declared}\n{imports}{OFFERS}")
    assert said.endswith(f": {remedy}")
    assert "\n" not in said


def test_a_name_that_this_interface_lacks_is_an_error_of_the_plugin_itself(problem_of):
    (said,) = problem_of(f"harness_interface = {INTERFACE}\nfrom harness import GoneSince\n{OFFERS}")
    assert "cannot import name 'GoneSince' from 'harness'" in said


def test_the_plugins_that_come_with_the_harness_declare_this_interface():
    found = [each for each in entry_points(group="harness") if each.dist and each.dist.name == "harness-bench"]
    declared = {each.name: getattr(each.load(), "harness_interface", None) for each in found}
    assert {"torch", "data", "saf", "ottt", "bptt", "spike-representation"} <= declared.keys()
    assert {name for name, number in declared.items() if number != INTERFACE} == {"metrics", "checks", "executors"}
