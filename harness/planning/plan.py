"""From what was asked to the list of trials. Every mistake surfaces here, before anything is loaded or trained."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from harness import options
from harness.catalog import Catalog, Offer, available, resolve
from harness.data import files
from harness.errors import UsageError
from harness.planning import cores, sources
from harness.selections import selection
from harness.suites import references
from harness.suites.suite import Request
from harness.types import BackendOffer, Choice, Dataset, Method, Recipe, Trial

DEFAULT_SEEDS = "3"
BASE = "what it starts from"

T = TypeVar("T")


@dataclass(frozen=True)
class Setting:
    """What all trials of a plan share."""

    device: str
    precision: str
    threads: int
    deterministic: bool
    backend: Offer[BackendOffer]


@dataclass(frozen=True)
class Picked(Generic[T]):
    """A catalogue offer with the parameters chosen for it; files: what identifies the files of a data set."""

    offer: Offer[T]
    choice: Choice
    files: Mapping[str, Any] = field(default_factory=dict)


def plan(catalog: Catalog, request: Request) -> list[Trial]:
    """The trials of a request in the order in which they run: seeds outermost, a base before what starts from it.

    Raises UsageError for anything that cannot be run; a method that cannot take a data set gives a trial with `skip`.
    """
    selected = _selected_methods(catalog, request)
    datasets = _datasets(catalog, request)
    _check_patience(catalog, request.patience, datasets)
    methods = {dataset.choice.label: (dataset, _methods(selected, dataset)) for dataset in datasets}
    setting = _setting(catalog, request)
    trials: dict[str, Trial] = {}
    for seed in selection.seeds(request.seeds if request.seeds is not None else DEFAULT_SEEDS):
        for dataset, picked in methods.values():
            for method in picked:
                _add(trials, _trial(catalog, request, setting, method, dataset, seed))
    return list(trials.values())


def _add(trials: dict[str, Trial], trial: Trial) -> None:
    """Insert a trial after its base; a trial that is there already only learns to keep its weights."""
    if trial.base is not None and not trial.skip:
        _add(trials, dataclasses.replace(trials.get(trial.base.key, trial.base), keep=True))
    known = trials.get(trial.key)
    trials[trial.key] = dataclasses.replace(trial, keep=trial.keep or (known is not None and known.keep))


# --- selections ---------------------------------------------------------------------------------------------------


def _selected_methods(catalog: Catalog, request: Request) -> list[tuple[Offer[Method], selection.Selected]]:
    """What --methods names, each with who offers it; a file stands for all the methods that it offers."""
    if request.methods is None:
        raise UsageError(f"--methods: say which to run; known: {', '.join(catalog.methods.names())}")
    named = references.selected_methods(catalog, request.methods, "--methods", request.home)
    offers = [(catalog.methods.offer(selected.name, selected.source), selected) for selected in named]
    for offer, _ in offers:
        _check_bases(catalog, offer)
    return offers


def _check_bases(catalog: Catalog, offer: Offer[Method]) -> None:
    """Every base must be one method with one value for each option, and no method may start from itself."""
    chain = [offer.value.name]
    while (text := offer.value.starts_from) is not None:
        owner = f"{offer.value.name} ({offer.plugin}) starts from {text!r}"
        selected = _bases(catalog, offer)
        offer = catalog.methods.offer(selected[0].name, selected[0].source)
        if len(selected) > 1 or len(selection.expand(selected[0], offer.value.config, offer.value.name)) > 1:
            raise UsageError(f"{owner}: one method with one value for each option was expected")
        if offer.value.name in chain:
            raise UsageError(f"{owner}: that goes in a circle, {' -> '.join([*chain, offer.value.name])}")
        chain.append(offer.value.name)


def _bases(catalog: Catalog, offer: Offer[Method]) -> list[selection.Selected]:
    """What a method starts from; a name that several distributions offer is that of its own."""
    parsed = selection.parse(offer.value.starts_from or "", f"starts_from of {offer.value.name}")
    return [references.owned(catalog.methods, each, offer.plugin.provider) for each in parsed]


def _methods(
    selected: list[tuple[Offer[Method], selection.Selected]], dataset: Picked[Dataset]
) -> list[Picked[Method]]:
    """Every combination of the sweeps, none twice, with the recipe's values for options that were left unset."""
    recipe = dataset.offer.value.recipe
    picked = [method for offer, each in selected for method in _expanded(offer, each, recipe)]
    selection.distinct([method.choice for method in picked], "--methods")
    return picked


def _datasets(catalog: Catalog, request: Request) -> list[Picked[Dataset]]:
    text, home = request.datasets, request.home
    if text is None:
        defaults = [offer for offer in catalog.datasets.offers() if offer.value.default]
        if len(defaults) != 1:
            raise UsageError(f"--datasets: say which; known: {', '.join(catalog.datasets.names())}")
        text, home = defaults[0].value.name, defaults[0].plugin.provider
    picked: list[Picked[Dataset]] = []
    for parsed in selection.parse(text, "--datasets"):
        selected = references.owned(catalog.datasets, parsed, home)
        if selected.file is not None:
            raise UsageError(f"--datasets {selected.file}: a file is loaded with -p {selected.file}, then named here")
        offer = catalog.datasets.offer(selected.name, selected.source)
        _refuse_unavailable(offer)
        for choice in _choices(offer, selected):
            _refuse_more_rows(offer.value, choice)
            picked.append(_with_files(offer, choice, files.folder(request.data)))
    selection.distinct([dataset.choice for dataset in picked], "--datasets")
    return picked


def _refuse_more_rows(dataset: Dataset, choice: Choice) -> None:
    for split, rows in dataset.rows.items():
        asked = choice.options.get(split)
        if asked is not None and asked > rows:
            raise UsageError(f"{choice.label}: the {split} split has only {rows} rows; ask for fewer or leave it out")


def _with_files(offer: Offer[Dataset], choice: Choice, folder: Path) -> Picked[Dataset]:
    """The data set as it was chosen. Raises UsageError unless the files that it needs then are in the folder."""
    needed = files.declared(offer.value, choice.options)
    files.require(offer.value.name, needed, folder)
    return Picked(offer, choice, files.identity(needed, folder))


def _choices(offer: Offer[Any], selected: selection.Selected) -> list[Choice]:
    choices = selection.expand(selected, offer.value.config, offer.value.name)
    return [dataclasses.replace(choice, name=offer.value.name, provider=selected.source) for choice in choices]


def _refuse_unavailable(offer: Offer[Dataset]) -> None:
    reason = available(offer)
    if reason:
        raise UsageError(f"{offer.value.name}: {reason}")


def _expanded(offer: Offer[Method], selected: selection.Selected, recipe: Recipe) -> Iterator[Picked[Method]]:
    """Every combination of a sweep, with the recipe's values for options that were left unset.

    Raises UsageError for what does not go with those.
    """
    for choice in _choices(offer, selected):
        unset = {name for name, value in choice.options.items() if value is None and name not in choice.given}
        filled = {name: recipe.options.get(name) if name in unset else value for name, value in choice.options.items()}
        options.build(offer.value.config, filled, offer.value.name)
        yield Picked(offer, dataclasses.replace(choice, options=filled))


def _check_patience(catalog: Catalog, patience: int | None, datasets: Iterable[Picked[Dataset]]) -> None:
    """Early stopping needs a score that says what is better."""
    if patience is None:
        return
    if patience < 1:
        raise UsageError(f"--patience {patience}: expected at least 1 validation point without improvement")
    deciding = {kind for metric in catalog.metrics.values() if metric.headline for kind in metric.kinds}
    for dataset in (picked.offer.value for picked in datasets):
        if dataset.kind not in deciding:
            raise UsageError(
                f"--patience: no installed metric decides which point is the best for {dataset.name}, "
                f"whose kind is {dataset.kind}"
            )


# --- trials -------------------------------------------------------------------------------------------------------


def _setting(catalog: Catalog, request: Request) -> Setting:
    backend = _backend(catalog)
    precision = request.precision or "fp32"
    check = resolve(backend.value.check)
    device = check(request.device or "auto", precision, request.workers)
    threads = request.threads or cores.default_threads(request.workers)
    return Setting(device, precision, threads, bool(request.deterministic), backend)


def _backend(catalog: Catalog) -> Offer[BackendOffer]:
    offers = catalog.backends.offers()
    if len(offers) != 1:
        names = ", ".join(offer.value.name for offer in offers) or "none"
        raise UsageError(f"exactly one backend is needed, found {names}: disable one with --disable-plugin NAME")
    reason = available(offers[0])
    if reason:
        raise UsageError(f"backend {offers[0].value.name}: {reason}")
    return offers[0]


def _trial(
    catalog: Catalog, request: Request, setting: Setting, method: Picked[Method], dataset: Picked[Dataset], seed: int
) -> Trial:
    base = _base(catalog, request, setting, method.offer, dataset, seed)
    recipe = dataset.offer.value.recipe
    trial = Trial(
        method=method.choice,
        dataset=dataset.choice,
        seed=seed,
        budget=request.budget or recipe.budget,
        batch_size=request.batch_size or recipe.batch_size,
        device=setting.device,
        precision=setting.precision,
        threads=setting.threads,
        deterministic=setting.deterministic,
        patience=request.patience,
        base=base,
        skip=_unsuited(method.offer, dataset.offer.value, setting.precision) or _without_base(base),
    )
    return _keyed(trial, setting, method.offer, dataset)


def _base(
    catalog: Catalog, request: Request, setting: Setting, method: Offer[Method], dataset: Picked[Dataset], seed: int
) -> Trial | None:
    """The trial whose weights a method starts from: the data set's recipe decides its budget, not the run's flags."""
    if method.value.starts_from is None:
        return None
    (selected,) = _bases(catalog, method)
    offer = catalog.methods.offer(selected.name, selected.source)
    (picked,) = _expanded(offer, selected, dataset.offer.value.recipe)
    own = dataclasses.replace(request, budget=None, batch_size=None, patience=None)
    return dataclasses.replace(_trial(catalog, own, setting, picked, dataset, seed), keep=True)


def _unsuited(offer: Offer[Method], dataset: Dataset, precision: str) -> str | None:
    method = offer.value
    if dataset.kind not in method.kinds:
        return f"{method.name} takes {' and '.join(method.kinds)}, {dataset.name} is {dataset.kind}"
    if precision not in method.precisions:
        return f"{method.name} offers {', '.join(method.precisions)}, not {precision}"
    return available(offer)


def _without_base(base: Trial | None) -> str | None:
    return f"starts from {base.method.label}, which is skipped: {base.skip}" if base and base.skip else None


def _keyed(trial: Trial, setting: Setting, method: Offer[Method], dataset: Picked[Dataset]) -> Trial:
    """The trial with its key and the parts that were hashed, so that a user can be told why it ran again."""
    backend = setting.backend
    parts: dict[str, Any] = {
        "core": sources.core(),
        "backend": _source(backend),
        "method": _chosen(trial.method) | _source(method),
        "dataset": _chosen(trial.dataset) | _source(dataset.offer) | {"files": dataset.files},
        "seed": trial.seed,
        "budget": dataclasses.asdict(trial.budget),
        "batch_size": trial.batch_size,
        "device": trial.device,
        "precision": trial.precision,
        "threads": trial.threads,
        "deterministic": trial.deterministic,
        "patience": trial.patience,
        "base": trial.base.key if trial.base else None,
    }
    digest = hashlib.sha256(_canonical(parts).encode()).hexdigest()
    return dataclasses.replace(trial, parts=parts, key=digest[:16])


def _chosen(choice: Choice) -> dict[str, Any]:
    return {"label": choice.label, "options": choice.options}


def _source(offer: Offer[Any]) -> dict[str, str]:
    plugin = offer.plugin
    versions = {"distribution": plugin.distribution, "version": plugin.version}
    return versions | {"source": sources.behind(offer).digest}


def changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The names of the key parts that differ between two trials: why one ran again."""
    return [name for name in new if _canonical(old.get(name)) != _canonical(new[name])]


def changes(old: Trial, new: Trial) -> list[str]:
    """What has changed between two trials that a user would call one, in words: `the source of saf`."""
    said = [words for name in changed(old.parts, new.parts) for words in _said(name, old, new)]
    return said if len(said) == 1 else [words for words in said if words != BASE]  # a base depends on most of it, too


def _said(name: str, old: Trial, new: Trial) -> Iterator[str]:
    before, after = old.parts.get(name), new.parts[name]
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        yield {"core": "the source of the harness", "base": BASE}.get(name, f"the {name}".replace("_", " "))
        return
    owner = {"method": new.method.name, "dataset": new.dataset.name}.get(name, f"the {name}")
    yield from (f"the {part} of {owner}" for part in changed(before, after))


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
