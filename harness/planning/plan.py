"""From what was asked to the list of trials. Every mistake surfaces here, before anything is loaded or trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from harness.catalog import Catalog, Offer, explain_unavailable, resolve
from harness.data import files
from harness.errors import UsageError
from harness.metrics.headline import find_headline
from harness.planning import cores, default_datasets, headlines
from harness.planning.fingerprints import Fingerprints
from harness.planning.refit import insert_bases
from harness.planning.replications import Seeds
from harness.planning.trial_making import Maker, Picked, Setting, canonical_text, expand_sweep
from harness.selections import catalog_items
from harness.selections.catalog_items import Item
from harness.suites.suite import Request
from harness.types import BackendOffer, Choice, Dataset, Method, Trial
from harness.words import format_count

MOST_TRIALS: Final = 200_000
DEFAULT_SEEDS = "3"
MOST_REASONS: Final = 6  # of nothing to run that are listed
BASE = "what it starts from"

Group: TypeAlias = tuple[Sequence[Item[Method]], Sequence[Item[Dataset]]]


def plan_trials(
    catalog: Catalog,
    request: Request,
    say: Callable[[str], None] = lambda _: None,
    prints: Fingerprints | None = None,
) -> list[Trial]:
    """The trials of a request in the order in which they run: those that it names, and before each what it starts from.

    Everything else is as for `named`.
    """
    return insert_bases(named(catalog, request, say, prints))


def named(
    catalog: Catalog,
    request: Request,
    say: Callable[[str], None] = lambda _: None,
    prints: Fingerprints | None = None,
) -> list[Trial]:
    """The trials that a request names, seeds outermost, without those that they start from.

    say: is told in a line what was decided for the user. prints: of the sources, to be gone on with. Raises UsageError
    for anything that cannot be run; a method that cannot take a data set gives a trial with `skip`, and is a mistake
    where nothing else is left.
    """
    groups = _group_by_datasets(catalog, request, say)
    seeds = Seeds(DEFAULT_SEEDS if request.seeds is None else request.seeds)
    _refuse_too_many(groups, seeds)
    picked = [(dataset, methods) for methods, places in groups for dataset in _expand_datasets(places, request)]
    _check_headlines(catalog, request, [dataset for dataset, _ in picked])
    maker = Maker(catalog, request, _make_setting(catalog, request), prints)
    makes = [
        (seeds.seeds_of(dataset.offer.value), maker.make_trials(method, dataset))
        for dataset, methods in picked
        for method in _expand_methods(methods, dataset)
    ]
    every = max((own for own, _ in makes), key=len)
    trials = [make(seed) for seed in every for own, make in makes if seed in own]
    _refuse_nothing(trials)
    if shortened := seeds.describe_shortened([dataset.offer.value for dataset, _ in picked]):
        say(shortened)
    return trials


def _refuse_nothing(trials: Sequence[Trial]) -> None:
    """Raise UsageError with the reasons where every trial would be skipped."""
    if not all(trial.skip for trial in trials):
        return
    reasons = list(dict.fromkeys(str(trial.skip) for trial in trials))
    more = f"; and {len(reasons) - MOST_REASONS} more" if len(reasons) > MOST_REASONS else ""
    raise UsageError(f"there is nothing to run: {'; '.join(reasons[:MOST_REASONS])}{more}")


def _refuse_too_many(groups: Sequence[Group], seeds: Seeds) -> None:
    """Raise UsageError for more trials than MOST_TRIALS, before any is made."""
    count = methods = based = places = most = 0
    for own, items in groups:
        method = sum(each.count_choices() for each in own)
        bases = _count_bases(own)
        methods, based, places = methods + method, based + bases, places + sum(each.count_choices() for each in items)
        most = max(most, *(len(seeds.seeds_of(each.offer.value)) for each in items))
        count += (method + bases) * sum(each.count_choices() * len(seeds.seeds_of(each.offer.value)) for each in items)
    if count > MOST_TRIALS:
        which = f"{format_count(methods, 'method')}{f' and {based} that they start from' if based else ''}"
        raise UsageError(
            f"{which} on {format_count(places, 'data set')} with {format_count(most, 'seed')} make {count:,} trials; "
            f"at most {MOST_TRIALS:,} can be planned: ask for fewer, or for some of them at a time"
        )


def _count_bases(methods: Sequence[Item[Method]]) -> int:
    """How many bases there are at most: one for each combination where it depends on options."""
    named = {text for each in methods if isinstance(text := each.offer.value.starts_from, str)}
    return len(named) + sum(each.count_choices() for each in methods if callable(each.offer.value.starts_from))


# --- selections ---------------------------------------------------------------------------------------------------


def _selected_methods(catalog: Catalog, request: Request) -> list[Item[Method]]:
    """The methods that --methods names; a file stands for all the methods that it offers."""
    if request.methods is None:
        raise UsageError(f"--methods: say which to run; known: {', '.join(catalog.methods.names())}")
    return catalog_items.look_up_methods(catalog, request.methods, "--methods", request.home, request.folder)


def _expand_methods(items: Sequence[Item[Method]], dataset: Picked[Dataset]) -> list[Picked[Method]]:
    """Every combination of the sweeps, none twice, with what options that were left unset come to on the data set."""
    picked = [method for item in items for method in expand_sweep(item, dataset.offer)]
    catalog_items.require_distinct_items(items, [method.choice for method in picked], "--methods")
    return picked


def _group_by_datasets(catalog: Catalog, request: Request, say: Callable[[str], None]) -> list[Group]:
    """Pair methods with data sets: with those that --datasets names, else with those that are the default."""
    methods = _selected_methods(catalog, request)
    if request.datasets is not None:
        return [(methods, _selected_datasets(catalog, request.datasets, request.home))]
    own = default_datasets.choose_datasets(catalog, [each.offer.value for each in methods], say)
    offers = list({id(offer): offer for offer in own}.values())
    return [
        (
            [method for method, each in zip(methods, own, strict=True) if each is offer],
            _selected_datasets(catalog, offer.value.name, offer.plugin.provider),
        )
        for offer in offers
    ]


def _selected_datasets(catalog: Catalog, text: str, home: str | None) -> list[Item[Dataset]]:
    items = catalog_items.look_up_datasets(catalog, text, "--datasets", home)
    for each in items:
        _refuse_unavailable(each.offer)
    return items


def _expand_datasets(items: Sequence[Item[Dataset]], request: Request) -> list[Picked[Dataset]]:
    """Every combination of the sweeps, none twice, with files that are there."""
    picked: list[Picked[Dataset]] = []
    for offer, choice in ((item.offer, choice) for item in items for choice in item.make_choices()):
        _refuse_more_rows(offer.value, choice)
        picked.append(_with_files(offer, choice, files.resolve_folder(request.data)))
    catalog_items.require_distinct_items(items, [dataset.choice for dataset in picked], "--datasets")
    return picked


def _refuse_more_rows(dataset: Dataset, choice: Choice) -> None:
    for split, rows in dataset.rows.items():
        asked = choice.options.get(split)
        if asked is not None and asked > rows:
            raise UsageError(
                f"{choice.label}: the {split} split has only {format_count(rows, 'row')}; ask for fewer or leave it out"
            )


def _with_files(offer: Offer[Dataset], choice: Choice, folder: Path) -> Picked[Dataset]:
    """The data set as it was chosen. Raises UsageError unless the files that it needs then are in the folder."""
    needed = files.list_declared(offer.value, choice.options)
    files.require_files(offer.value.name, needed, folder)
    return Picked(offer, choice, files.identify_files(needed, folder))


def _refuse_unavailable(offer: Offer[Dataset]) -> None:
    reason = explain_unavailable(offer)
    if reason:
        raise UsageError(f"{offer.value.name}: {reason}")


def _check_headlines(catalog: Catalog, request: Request, datasets: Iterable[Picked[Dataset]]) -> None:
    """Early stopping needs a score that says what is better; which one, a run or a recipe may say."""
    patience = request.patience
    if patience is not None and patience < 1:
        raise UsageError(f"--patience {patience}: expected at least 1 validation point without improvement")
    for offer in (picked.offer for picked in datasets):
        named, dataset = headlines.headline_term(catalog, request.headline, offer), offer.value
        if patience is not None and find_headline(catalog.metrics.values(), dataset.kind, named) is None:
            raise UsageError(
                f"--patience: no installed metric decides which point is the best for {dataset.name}, "
                f"whose kind is {dataset.kind}; --headline METRIC says which does"
            )


# --- trials -------------------------------------------------------------------------------------------------------


def _make_setting(catalog: Catalog, request: Request) -> Setting:
    backend = _find_backend(catalog)
    precision = request.precision or "fp32"
    check = resolve(backend.value.check)
    device = check(request.device or "auto", precision, request.workers)
    threads = request.threads or cores.default_threads(request.workers)
    return Setting(device, precision, threads, bool(request.deterministic), backend)


def _find_backend(catalog: Catalog) -> Offer[BackendOffer]:
    offers = catalog.backends.offers()
    if len(offers) != 1:
        names = ", ".join(offer.value.name for offer in offers) or "none"
        raise UsageError(f"exactly one backend is needed, found {names}: disable one with --disable-plugin NAME")
    reason = explain_unavailable(offers[0])
    if reason:
        raise UsageError(f"backend {offers[0].value.name}: {reason}")
    return offers[0]


def changed_parts(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The names of the key parts that differ between two trials: why one ran again."""
    return [name for name in new if canonical_text(old.get(name)) != canonical_text(new[name])]


def describe_changes(old: Trial, new: Trial) -> list[str]:
    """Changes between two trials that a user would call one, in words: `the source of saf`."""
    said = [words for name in changed_parts(old.parts, new.parts) for words in _describe_part(name, old, new)]
    return said if len(said) == 1 else [words for words in said if words != BASE]  # a base depends on most of it, too


def _describe_part(name: str, old: Trial, new: Trial) -> Iterator[str]:
    before, after = old.parts.get(name), new.parts[name]
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        yield {"core": "the source of the harness", "base": BASE}.get(name, f"the {name}".replace("_", " "))
        return
    owner = {"method": new.method.name, "dataset": new.dataset.name}.get(name, f"the {name}")
    yield from (f"the {part} of {owner}" for part in changed_parts(before, after))
