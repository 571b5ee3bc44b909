"""The catalogue: offers of all loaded plugins, their owners, and the problems of the others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pluggy

from harness import hookspecs
from harness.catalog import discovery, interface
from harness.catalog.descriptors import HOOKS, check_answer, refuse_known_operators
from harness.catalog.loading import Plugin, PluginProblem, Settings, in_place, run_off_stdout, try_action
from harness.catalog.references import explain_missing_modules, explain_unavailable, resolve
from harness.catalog.shelves import ONCE, Offer, Shelf, map_first_owners, sort_own_first
from harness.errors import PluginError, UsageError
from harness.types import (
    BackendOffer,
    Check,
    Dataset,
    ExecutorOffer,
    Export,
    Formula,
    Instrument,
    Method,
    Metric,
    Suite,
)
from harness.words import suggest

if TYPE_CHECKING:
    import click

T = TypeVar("T")

__all__ = [
    "Catalog",
    "Offer",
    "Plugin",
    "PluginProblem",
    "Settings",
    "Shelf",
    "explain_missing_modules",
    "explain_unavailable",
    "in_place",
    "load_catalog",
    "resolve",
]


def load_catalog(settings: Settings) -> Catalog:
    """Import and register the plugins that the settings ask for.

    Raises UsageError for settings that name no plugin, PluginError for a broken one under `strict`.
    """
    catalog = Catalog(settings)
    wanted, catalog.switched_off = discovery.select_candidates(settings)
    for candidate in wanted:
        catalog.add(candidate)
    catalog.refuse_problems()
    return catalog


class _ShelfOf(Generic[T]):
    """One shelf of a catalogue, as an attribute of it."""

    def __init__(self, hook: str) -> None:
        self._hook = hook

    def __get__(self, catalog: Catalog, owner: type[Catalog]) -> Shelf[T]:
        return catalog.shelf(self._hook)


class Catalog:
    """Plugins and what they offer. A shelf is filled when it is first looked at, by asking one hook of each plugin.

    problems: what went wrong so far. switched_off: installed plugins that the settings left out. twins: plugins that
    are the same module as one that came before, which serves both.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.plugins: list[Plugin] = []
        self.problems: list[PluginProblem] = []
        self.switched_off: list[Plugin] = []
        self.twins: list[tuple[Plugin, Plugin]] = []
        self._by_key: dict[str, Plugin] = {}
        self._offers: dict[tuple[str, str], list[Offer[Any]]] = {}
        self._shelves: dict[str, Shelf[Any]] = {}
        self._manager = pluggy.PluginManager("harness")
        self._manager.add_hookspecs(hookspecs)

    @classmethod
    def of(cls, *plugins: object) -> Catalog:
        """A catalogue of plugins that exist in this process already. Raises PluginError for one that is broken."""
        catalog = cls(Settings(strict=True))
        for plugin in plugins:
            catalog.register(plugin, getattr(plugin, "__name__", type(plugin).__name__))
        return catalog

    # --- shelves ---

    methods: _ShelfOf[Method] = _ShelfOf("harness_methods")
    datasets: _ShelfOf[Dataset] = _ShelfOf("harness_datasets")
    metrics: _ShelfOf[Metric] = _ShelfOf("harness_metrics")
    instruments: _ShelfOf[Instrument] = _ShelfOf("harness_instruments")
    formulas: _ShelfOf[Formula] = _ShelfOf("harness_formulas")
    exports: _ShelfOf[Export] = _ShelfOf("harness_exports")
    suites: _ShelfOf[Suite] = _ShelfOf("harness_suites")
    checks: _ShelfOf[Check] = _ShelfOf("harness_checks")
    executors: _ShelfOf[ExecutorOffer] = _ShelfOf("harness_executors")
    backends: _ShelfOf[BackendOffer] = _ShelfOf("harness_backends")

    def shelf(self, hook: str) -> Shelf[Any]:
        """All plugins' answers to one of the hooks that list. Raises PluginError for a broken one under `strict`."""
        if hook not in self._shelves:
            offers = [offer for key, call in self._bind_calls(hook) for offer in self._ask_plugin(hook, key, call)]
            if hook in ONCE:
                offers = self._drop_taken_names(hook, offers)
            self.refuse_problems()
            offers = [replace(offer, also=self._list_twins(offer.plugin)) for offer in offers]
            self._shelves[hook] = Shelf(HOOKS[hook][1], offers, self.hint)
        return self._shelves[hook]

    def take_off_curve(self, names: Collection[str]) -> None:
        """Let the metrics of these names be computed at the end of training alone."""
        offers = [
            replace(offer, value=replace(offer.value, curve=offer.value.curve and offer.value.name not in names))
            for offer in self.metrics.offers()
        ]
        self._shelves["harness_metrics"] = Shelf(self.metrics.noun, offers, self.hint)

    def _ask_plugin(self, hook: str, key: str, call: Callable[[], Any]) -> list[Offer[Any]]:
        """One plugin's offers: all that it lists, or none where something is wrong with one of them."""
        if (hook, key) not in self._offers:
            plugin = self._by_key[key]
            values = try_action(
                plugin, "listing", lambda: run_off_stdout(lambda: self._check_answer(hook, call(), plugin))
            )
            if isinstance(values, PluginProblem):
                self.problems.append(values)
                values = []
            self._offers[hook, key] = [Offer(value, plugin) for value in values]
        return self._offers[hook, key]

    def _check_answer(self, hook: str, answer: Any, plugin: Plugin) -> list[Any]:
        values = check_answer(hook, answer, plugin)
        if hook == "harness_formulas":
            refuse_known_operators(
                values, [library for backend in self.backends.values() for library in backend.operators]
            )
        return values

    def _drop_taken_names(self, hook: str, offers: Sequence[Offer[Any]]) -> list[Offer[Any]]:
        """Without those whose name is taken, each of which is a problem of its plugin."""
        owners = map_first_owners(offers)
        for offer in offers:
            if (first := owners[offer.value.name]) != offer.plugin:
                clash = f"{HOOKS[hook][1]} {offer.value.name!r} is offered by {first} already: this one is left out"
                problem = PluginProblem.of(offer.plugin, "listing", clash)
                self.problems += [problem] if problem not in self.problems else []
        return [offer for offer in sort_own_first(offers) if owners[offer.value.name] == offer.plugin]

    @property
    def hint(self) -> str:
        """Words for the error for an unknown name while some plugin is broken."""
        broken = len({(problem.plugin, problem.distribution) for problem in self.problems})
        plugins = "1 plugin" if broken == 1 else f"{broken} plugins"
        return f"; {plugins} could not be loaded: harness plugins --problems" if broken else ""

    def list_hooks(self, plugin: Plugin) -> list[str]:
        """The hooks that a plugin answers."""
        callers = [caller for _, caller in sorted(vars(self._manager.hook).items())]
        return [
            caller.name
            for caller in callers
            if any(self._by_key[each.plugin_name] == plugin for each in caller.get_hookimpls())
        ]

    def fill_shelves(self) -> None:
        """Ask every plugin for everything that it offers, so that `problems` is complete."""
        for hook in HOOKS:
            self.shelf(hook)

    # --- plugins ---

    def add(self, candidate: discovery.Candidate) -> Plugin | None:
        """Import and register a plugin; None where that failed and became a problem."""
        loaded = try_action(
            candidate.plugin, "import", lambda: run_off_stdout(partial(self._load_candidate, candidate))
        )
        if isinstance(loaded, PluginProblem):
            self.problems.append(loaded)
            return None
        return self._register_as(loaded, candidate.plugin)

    def _load_candidate(self, candidate: discovery.Candidate) -> Any:
        if candidate.plugin.file:
            from harness.catalog import sibling_modules  # a listing of installed plugins does without

            loaded = [plugin.file for plugin in self.plugins if plugin.file]
            sibling_modules.admit_folder(Path(candidate.plugin.file), loaded)
        try:
            return candidate.load()
        except Exception as error:  # a name that has gone is no surprise to one that is written for other names
            interface.require_interface(interface.find_declared(error))
            raise

    def add_file(self, path: str | Path) -> list[str]:
        """Load a .py file as a plugin and return the names of the methods that it offers, qualified where they clash.

        The file becomes part of `settings`. Raises UsageError where it cannot be loaded or offers no method.
        """
        candidate = discovery.from_file(path)
        with in_place():
            plugin = self.add(candidate)
        mine = [offer for offer in self.methods.offers() if offer.plugin == plugin]
        self._refuse_problems_of(candidate.plugin, path, "methods in ")
        if not mine or plugin is None:
            raise UsageError(f"methods in {path}: it offers none; mark a function harness_methods with @hookimpl")
        if plugin.file not in self.settings.plugins:
            self.settings = replace(self.settings, plugins=(*self.settings.plugins, plugin.file))
        return [self.methods.qualify(offer) for offer in mine]

    def load_file(self, path: str | Path) -> Plugin:
        """Load a .py file as a plugin, for whatever it offers. Raises UsageError where that, or a list of it, fails."""
        candidate = discovery.from_file(path)
        plugin = self.add(candidate)
        for shelf in (self.methods, self.datasets, self.metrics):
            shelf.offers()
        self._refuse_problems_of(candidate.plugin, path)
        assert plugin is not None
        return plugin

    def _refuse_problems_of(self, plugin: Plugin, path: str | Path, what: str = "") -> None:
        for problem in self.problems:
            if problem.is_of(plugin):
                raise UsageError(f"{what}{path}: {problem.message}; harness plugins --problems -p {path}")

    def register(self, plugin: object, name: str) -> Plugin | None:
        """Register an object or module with hook implementations; None where that failed and became a problem."""
        module = getattr(plugin, "__name__", type(plugin).__module__)
        registered = self._register_as(plugin, Plugin(name, module=module))
        self.refuse_problems()
        return registered

    def _register_as(self, plugin: object, origin: Plugin) -> Plugin | None:
        known = self._manager.get_name(plugin)
        if known is not None:
            return self._note_twin(origin, self._by_key[known])
        key = str(origin) if str(origin) not in self._by_key else f"{origin} #{len(self._by_key)}"
        self._by_key[key] = origin
        problem = try_action(origin, "registration", partial(_register_hooks, self._manager, plugin, key))
        if isinstance(problem, PluginProblem):
            if self._manager.is_registered(plugin):
                self._manager.unregister(plugin)
            self.problems.append(problem)
            return None
        self.plugins.append(origin)
        self._shelves.clear()
        return origin

    def _note_twin(self, origin: Plugin, serving: Plugin) -> Plugin:
        if origin != serving and (origin, serving) not in self.twins:
            self.twins.append((origin, serving))
            self._shelves.clear()
        return serving

    def _list_twins(self, plugin: Plugin) -> tuple[Plugin, ...]:
        return tuple(twin for twin, serving in self.twins if serving == plugin)

    def refuse_problems(self) -> None:
        """Under `strict`, raise PluginError that names every problem so far. A notification can fail no run."""
        found = [problem for problem in self.problems if problem.stage != "notification"]
        if self.settings.strict and found:
            raise PluginError("; ".join(map(str, found)))

    # --- notifications and commands ---

    def notify(self, hook: str, arguments: Mapping[str, Any]) -> None:
        """Tell every plugin that implements a life-cycle hook. One that fails is warned of once and changes nothing."""
        for key, call in self._bind_calls(hook, arguments):
            plugin = self._by_key[key]
            problem = try_action(plugin, "notification", call)
            if isinstance(problem, PluginProblem):
                warned = any(known.stage == "notification" and known.is_of(plugin) for known in self.problems)
                self.problems.append(problem)
                if not warned:
                    print(f"harness: {problem}; the run goes on", file=sys.stderr)

    def add_commands(self, cli: click.Group, reserved: Collection[str] = ()) -> None:
        """Let plugins add commands to `cli`. One that fails, or takes a name that is taken or reserved, adds none."""
        for key, call in self._bind_calls("harness_commands", {"cli": cli}):
            before = dict(cli.commands)
            problem = try_action(self._by_key[key], "listing", partial(_add_plugin_commands, cli, call, reserved))
            if isinstance(problem, PluginProblem):
                cli.commands.clear()
                cli.commands.update(before)
                self.problems.append(problem)
        self.refuse_problems()

    def _bind_calls(
        self, hook: str, arguments: Mapping[str, Any] | None = None
    ) -> Iterator[tuple[str, Callable[[], Any]]]:
        """Each plugin's answer to a hook, as a call to be made in isolation.

        pluggy would stop at the first one that raises, and a generator raises only after its call has returned.
        """
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            values = [(arguments or {})[name] for name in implementation.argnames]
            yield implementation.plugin_name, partial(implementation.function, *values)


def _register_hooks(manager: pluggy.PluginManager, plugin: object, key: str) -> None:
    interface.require_interface(interface.read_declared(plugin))
    manager.register(plugin, key)
    for caller in manager.get_hookcallers(plugin) or []:
        mine = [each for each in caller.get_hookimpls() if each.plugin is plugin]
        if not caller.has_spec() and not all(each.optionalhook for each in mine):
            known = [name for name in vars(hookspecs) if name.startswith("harness_")]
            raise PluginError(f"unknown hook {caller.name!r}{suggest(caller.name, known)}")
        if any(each.wrapper or each.hookwrapper for each in mine):
            raise PluginError(f"{caller.name} is a wrapper: plugins answer for themselves, drop wrapper=True")
    if not manager.get_hookcallers(plugin):
        raise PluginError("it implements no hook: is @hookimpl missing?")


def _add_plugin_commands(cli: click.Group, call: Callable[[], Any], reserved: Collection[str]) -> None:
    before = dict(cli.commands)
    call()
    for name, command in cli.commands.items():
        if name in reserved or before.get(name, command) is not command:
            raise PluginError(f"the command {name!r} is taken")
