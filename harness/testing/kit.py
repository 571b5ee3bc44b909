"""From a name to the checks that apply to it, and from a check to its result."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn, TypeAlias

from harness import options
from harness.catalog import Catalog, Offer, explain_unavailable, resolve
from harness.data import files
from harness.errors import Broken, Unsupported, UsageError, is_interrupt
from harness.selections import bases, selection
from harness.testing.subjects import DatasetSubject, MetricSubject, Subject
from harness.trials.code_places import plugin_code
from harness.types import Backend, Check, Dataset, Method, Metric
from harness.words import Code, clean_line, describe_error, suggest

Status: TypeAlias = Literal["ok", "broken", "not applicable"]
Of: TypeAlias = Literal["method", "dataset", "metric"]
Make: TypeAlias = Callable[[], Any]
MakeBackend: TypeAlias = Callable[[], Backend]

OWN = "harness.checks"  # whose checks come first: they say in plain words what others would stumble over
SEVERITY: Sequence[Status] = ("broken", "ok", "not applicable")


class Result(NamedTuple):
    """Result of one check; the reason of anything but "ok", and where it was if something else was raised.

    printed: what was printed meanwhile, where the check had a process of its own.
    """

    status: Status
    reason: str = ""
    traceback: str = ""
    printed: str = ""


@dataclass(frozen=True)
class Case:
    """One check of one thing. makes: makes its subjects, one for each kind of problem that it declares.

    backend: makes the backend, whose tensor library is not imported before the case is run. code: where the code of the
    thing is, to say where in it an error arose.
    """

    of: Of
    label: str
    check: Check
    makes: tuple[tuple[str, Make], ...]
    backend: MakeBackend
    code: Code = ()

    def run(self) -> Result:
        """The worst result over all kinds: broken by one, else ok if it applies to any."""
        results = [(kind, self._run_on(make)) for kind, make in self.makes]
        kind, worst = min(results, key=lambda item: SEVERITY.index(item[1].status))
        several = len(results) > 1 and worst.reason
        return worst._replace(reason=f"{kind}: {worst.reason}") if several else worst

    def _run_on(self, make: Make) -> Result:
        """A fresh subject, so that no check sees what another left behind; isolated, so that nor does the caller."""
        try:
            with self.backend().isolated(0):
                resolve(self.check.function, f"check {self.check.name}")(make())
        except Unsupported as error:
            return Result("not applicable", clean_line(str(error)))
        except Broken as error:
            return Result("broken", clean_line(str(error)))
        except BaseException as error:
            if is_interrupt(error):
                raise
            exits = isinstance(error, SystemExit)
            said = describe_error(error, self.code)
            return Result("broken", said if exits else f"raised {said}", traceback.format_exc())
        return Result("ok")


def cases(catalog: Catalog, text: str, device: str = "cpu", data: Path | None = None) -> list[Case]:
    """The checks of a method, data set or metric, selected as in `saf[variant=final]`, or of all that a file offers.

    data: folder with data sets.

    Raises UsageError for a name that nothing has, for parameters that it refuses, and for a method that is not
    available here.
    """
    found: list[Case] = []
    for selected in selection.parse(text, "check"):
        if selected.file is None:
            found += _find_cases(catalog, selected, device, data)
        else:
            found += _find_cases_of_file(catalog, selected.file, selected, device, data)
    return found


def cases_of_plugin(catalog: Catalog, name: str, device: str = "cpu") -> list[Case]:
    """The checks of all that a plugin, a module, a file or a whole distribution offers. Raises UsageError.

    Those of what needs a library that is not installed are not applicable: the others can be checked all the same.
    """
    shelves = (catalog.methods, catalog.datasets, catalog.metrics)
    offers = [offer for shelf in shelves for offer in shelf.offers() if _is_from(offer, name)]
    if not offers:
        known = ", ".join(sorted({plugin.provider for plugin in catalog.plugins}))
        raise UsageError(f"{name!r} offers no method, data set or metric; plugins come from: {known}{catalog.hint}")
    selected = [selection.Selected(offer.value.name, offer.plugin.module or offer.plugin.name) for offer in offers]
    return [
        case for each in dict.fromkeys(selected) for case in _find_cases(catalog, each, device, None, tolerant=True)
    ]


def _find_cases_of_file(
    catalog: Catalog, file: str, selected: selection.Selected, device: str, data: Path | None
) -> Iterator[Case]:
    """Parameters, as in `./mine.py[rate=0.1]`, are those of its methods, which alone are checked then."""
    plugin = catalog.load_file(file)
    shelves = (catalog.methods,) if selected.sweeps else (catalog.methods, catalog.datasets, catalog.metrics)
    offers = [offer for shelf in shelves for offer in shelf.offers() if offer.plugin == plugin]
    if not offers:
        raise UsageError(f"check {file}: it offers no method, data set or metric")
    for offer in offers:
        each = replace(selected, file=None, provider=plugin.module, name=offer.value.name)
        yield from _find_cases(catalog, each, device, data, tolerant=True)


def _is_from(offer: Offer[Any], name: str) -> bool:
    file = offer.plugin.file
    return offer.plugin.answers_to([name]) or (bool(file) and Path(file) == Path(name).expanduser().resolve())


def _find_cases(
    catalog: Catalog, selected: selection.Selected, device: str, data: Path | None, *, tolerant: bool = False
) -> Iterator[Case]:
    known = [shelf for shelf in (catalog.methods, catalog.datasets, catalog.metrics) if selected.name in shelf.names()]
    if not known:
        names = [name for shelf in (catalog.methods, catalog.datasets, catalog.metrics) for name in shelf.names()]
        close = suggest(selected.name, names)
        raise UsageError(f"check: no method, data set or metric {selected.name!r}{close}{catalog.hint}")
    backend = _find_backend(catalog)
    for shelf in known:
        offer: Offer[Any] = shelf.offer(selected.qualified)
        if reason := explain_unavailable(offer):
            if not tolerant:
                raise UsageError(f"check: {shelf.noun} {selected.name}: {reason}")
            of: Of = "method" if isinstance(offer.value, Method) else "dataset"
            yield from _make_cases(catalog, of, offer, selected.name, (("", partial(_raise_reason, reason)),), backend)
        elif isinstance(offer.value, Method):
            yield from _make_method_cases(catalog, offer, selected, backend, device)
        elif isinstance(offer.value, Dataset):
            yield from _make_dataset_cases(catalog, offer, selected, backend, data)
        else:
            yield from _make_metric_cases(catalog, offer, backend)


def _raise_reason(reason: str) -> NoReturn:
    raise Unsupported(reason)


def _find_backend(catalog: Catalog) -> MakeBackend:
    offers = catalog.backends.values()
    if len(offers) != 1:
        names = ", ".join(offer.name for offer in offers) or "none"
        raise UsageError(f"check: exactly one backend is needed, found {names}: switch one off with --disable-plugin")
    return cache(lambda: resolve(offers[0].factory, f"backend {offers[0].name}")())


# --- subjects ---------------------------------------------------------------------------------------------------------


def _expand_options(selected: selection.Selected, config: type, owner: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Label and options of each combination that is selected. A plain name is not built: a check tries its defaults."""
    if not selected.sweeps:
        yield owner, {}
        return
    for choice in selection.expand(selected, config, owner):
        yield choice.label, choice.given


def _make_method_cases(
    catalog: Catalog, offer: Offer[Method], selected: selection.Selected, backend: MakeBackend, device: str
) -> Iterator[Case]:
    method = offer.value
    for label, given in _expand_options(selected, method.config, method.name):
        make = partial(_make_method_subject, catalog, offer, given, backend, device)
        makes = tuple((kind, partial(make, kind)) for kind in method.kinds)
        yield from _make_cases(catalog, "method", offer, label, makes, backend)


def _make_method_subject(
    catalog: Catalog, offer: Offer[Method], given: Mapping[str, Any], backend: MakeBackend, device: str, kind: str
) -> Subject:
    method = offer.value
    resolved = options.values(options.build(method.config, given, method.name)) if method.starts_from else {}
    item = bases.base(catalog, offer, resolved)
    base = _make_method_subject(catalog, item.offer, item.choices()[0].given, backend, device, kind) if item else None
    return Subject(method, given, kind, backend(), device, base)


def _make_dataset_cases(
    catalog: Catalog, offer: Offer[Dataset], selected: selection.Selected, backend: MakeBackend, data: Path | None
) -> Iterator[Case]:
    dataset = offer.value
    for label, given in _expand_options(selected, dataset.config, dataset.name):
        makes = (("", partial(_make_dataset_subject, dataset, given, backend, data)),)
        yield from _make_cases(catalog, "dataset", offer, label, makes, backend)


def _make_dataset_subject(
    dataset: Dataset, given: Mapping[str, Any], backend: MakeBackend, data: Path | None
) -> DatasetSubject:
    folder = files.folder(data)
    if missing := files.glance(files.declared(dataset, given), folder):
        raise Unsupported(f"{len(missing)} of its files not in place; {files.remedy(dataset.name, folder)}")
    return DatasetSubject(dataset, given, folder, backend())


def _make_metric_cases(catalog: Catalog, offer: Offer[Metric], backend: MakeBackend) -> Iterator[Case]:
    metric = offer.value
    makes = tuple((kind, partial(_make_metric_subject, metric, kind)) for kind in metric.kinds or ("",))
    yield from _make_cases(catalog, "metric", offer, metric.name, makes, backend)


def _make_metric_subject(metric: Metric, kind: str) -> MetricSubject:
    if metric.compute is None:
        raise Unsupported("it names a reading and computes nothing")
    return MetricSubject(metric, kind)


def _make_cases(
    catalog: Catalog, of: Of, offer: Offer[Any], label: str, makes: Iterable[tuple[str, Make]], backend: MakeBackend
) -> Iterator[Case]:
    offers = sorted(catalog.checks.offers(), key=lambda each: each.plugin.module != OWN)
    checks = [each.value for each in offers if each.value.of == of]
    if not checks:
        raise UsageError(
            f"check: nothing tests a {of}; is the plugin 'checks' switched off? -p harness.checks loads it"
        )
    for check in checks:
        yield Case(of, label, check, tuple(makes), backend, plugin_code(offer))
