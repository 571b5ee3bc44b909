"""Runs and results from Python, as in a notebook: what `harness.run` and `harness.read` are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from harness.catalog import Catalog, Settings, in_place, load_catalog
from harness.errors import UsageError
from harness.results import runs, stage
from harness.results.reading import Results, join_names
from harness.results.runs import Execution
from harness.results.summaries import Wanted, gather_wanted
from harness.suites import entries, references
from harness.suites import suite as suite_file
from harness.suites.entries import NUMBER

Names: TypeAlias = str | Sequence[str]
Place: TypeAlias = str | Path

MARK = "harness.run"  # where messages say that a mistake is, and what a plan says that its command was
KINDS: entries.Kinds = {
    "workers": int,
    "timeout": NUMBER,
    "memory": int,
    "executor": str,
    "here": bool,
    "one_by_one": bool,
    "lanes": int,
    "rerun": str,
    "keep_outdated": bool,
    "keep_predictions": bool,
    "keep_weights": bool,
}
LOWEST: Mapping[str, float] = {"workers": 1, "lanes": 1, "timeout": 1e-3, "memory": 2**20}


def run(
    methods: Names | None = None,
    datasets: Names | None = None,
    *,
    suite: Place | None = None,
    seeds: int | Iterable[int] | str | None = None,
    epochs: float | None = None,
    updates: int | None = None,
    seconds: float | None = None,
    batch_size: int | None = None,
    patience: int | None = None,
    headline: str | None = None,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    deterministic: bool | None = None,
    data_dir: Place | None = None,
    results: Place = "results",
    workers: int | None = None,
    timeout: float | None = None,
    memory: int | None = None,
    executor: str | None = None,
    here: bool | None = None,
    one_by_one: bool | None = None,
    lanes: int | None = None,
    metrics: Names | None = None,
    target: float | None = None,
    select: str | None = None,
    select_jointly: bool | None = None,
    refit: bool | None = None,
    rerun: Names | None = None,
    keep_outdated: bool | None = None,
    keep_predictions: bool | None = None,
    keep_weights: bool | None = None,
    plugins: Names = (),
    disable_plugins: Names = (),
) -> Results:
    """Run methods head to head, as `harness run` does, and return what came of it.

    The keywords are the options of the command; a suite stands for what is left out. A trial that fails is a row with
    its reason, no exception. Raises UsageError for a mistake in what was asked for, before anything runs.
    """
    given = {name: value for name, value in locals().items() if value is not None}
    request, execution = _parse_keywords(given)
    catalog = _load_plugins(plugins, disable_plugins)
    comparison = references.find_suite(catalog, str(suite)) if suite is not None else None
    if comparison is not None:
        request = request.over(comparison.request)
    ended = runs.execute_run(runs.plan_run(catalog, request, comparison, execution), [MARK])
    return Results(catalog, ended.gathered)


def read(
    folder: Place | Sequence[Place] = "results",
    methods: Names | None = None,
    datasets: Names | None = None,
    *,
    suite: Place | None = None,
    metrics: Names | None = None,
    target: float | None = None,
    select: str | None = None,
    select_jointly: bool | None = None,
    refit: bool | None = None,
    plugins: Names = (),
    disable_plugins: Names = (),
) -> Results:
    """Read a results folder, or several of which the newest record of a trial counts, as `harness report` does.

    Raises UsageError where there are no records, or none of what was asked for.
    """
    folders = folder if isinstance(folder, Iterable) and not isinstance(folder, str) else [folder]
    catalog = _load_plugins(plugins, disable_plugins)
    wanted = Wanted(
        [_find_folder(each) for each in folders] or [_find_folder("")],
        None if suite is None else str(suite),
        join_names(methods),
        join_names(datasets),
        target,
        select,
        select_jointly,
        refit,
        metrics=join_names(metrics),
    )
    return Results(catalog, gather_wanted(catalog, wanted))


def _parse_keywords(given: Mapping[str, Any]) -> tuple[suite_file.Request, Execution]:
    """Split the keywords of `run` into what decides results, and how that is executed; both checked."""
    apart = ("suite", "data_dir", "results", "plugins", "disable_plugins")
    how = {name: value for name, value in given.items() if name in KINDS}
    if "rerun" in how:
        how["rerun"] = join_names(how["rerun"])
    entries.check_keys(MARK, how, KINDS)
    for name, lowest in LOWEST.items():
        if how.get(name, lowest) < lowest:
            raise UsageError(f"{MARK}: {name} = {how[name]!r}; expected at least {lowest:g}")
    terms = {name: _make_plain(value) for name, value in given.items() if name not in (*KINDS, *apart)}
    entries.check_keys(MARK, terms, suite_file.KINDS)
    data = _find_folder(given["data_dir"]) if "data_dir" in given else None
    request = replace(suite_file.parse_request(MARK, terms), data=data, workers=how.pop("workers", 1))
    return request, Execution(_find_folder(given["results"]), **how)


def _make_plain(value: Any) -> Any:
    """Ranges, tuples and the like as the lists that a suite's file would have."""
    return value if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable) else list(value)


def _find_folder(place: Place) -> Path:
    if not isinstance(place, (str, Path)) or not str(place):
        raise UsageError(f"{place!r}: expected a folder, such as 'results'")
    return Path(place).expanduser()


def _load_plugins(plugins: Names, disabled: Names) -> Catalog:
    """Load the installed plugins and these; what is wrong with one is said on stderr."""
    named, off = (tuple([each] if isinstance(each, str) else each) for each in (plugins, disabled))
    with in_place():
        catalog = load_catalog(Settings(named, off))
    for problem in catalog.problems:
        stage.print_line(f"harness: {problem}")
    return catalog
