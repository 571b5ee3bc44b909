"""From a name to the checks that apply to it, and from a check to its result."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn, TypeAlias

from harness import options
from harness.catalog import Catalog, Offer, Shelf, explain_unavailable, resolve
from harness.data import files
from harness.errors import Broken, Unsupported, UsageError, is_interrupt
from harness.selections import bases, expansion, selection
from harness.testing.subjects import DatasetSubject, MetricSubject, Subject
from harness.trials.code_places import plugin_code
from harness.types import Backend, Check, Dataset, Method, Metric
from harness.words import Code, clean_line, describe_error, suggest

Status: TypeAlias = Literal["ok", "broken", "not applicable"]
Of: TypeAlias = Literal["method", "dataset", "metric"]
Make: TypeAlias = Callable[[], Any]
Makes: TypeAlias = Sequence[tuple[str, Make]]  # by the kind of problem
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
    finder = _Finder(catalog, device, data)
    found: list[Case] = []
    for selected in selection.parse(text, "check"):
        found += (
            finder.find_cases(selected) if selected.file is None else finder.find_cases_of_file(selected.file, selected)
        )
    return found


def cases_of_plugin(catalog: Catalog, name: str, device: str = "cpu") -> list[Case]:
    """The checks of all that a plugin, a module, a file or a whole distribution offers. Raises UsageError.

    Those of what needs a library that is not installed are not applicable: the others can be checked all the same.
    """
    finder = _Finder(catalog, device)
    offers = [offer for shelf in finder.list_shelves() for offer in shelf.offers() if _is_from(offer, name)]
    if not offers:
        known = ", ".join(sorted({plugin.provider for plugin in catalog.plugins}))
        raise UsageError(f"{name!r} offers no method, data set or metric; plugins come from: {known}{catalog.hint}")
    selected = [selection.Selected(offer.value.name, offer.plugin.module or offer.plugin.name) for offer in offers]
    return [case for each in dict.fromkeys(selected) for case in finder.find_cases(each, tolerant=True)]


def _is_from(offer: Offer[Any], name: str) -> bool:
    file = offer.plugin.file
    return offer.plugin.answers_to([name]) or (bool(file) and Path(file) == Path(name).expanduser().resolve())


@dataclass(frozen=True)
class _Finder:
    """From what is selected in a catalogue to its cases. data: folder with data sets."""

    catalog: Catalog
    device: str
    data: Path | None = None

    def list_shelves(self) -> tuple[Shelf[Any], ...]:
        return self.catalog.methods, self.catalog.datasets, self.catalog.metrics

    def find_cases_of_file(self, file: str, selected: selection.Selected) -> Iterator[Case]:
        """Parameters, as in `./mine.py[rate=0.1]`, are those of its methods, which alone are checked then."""
        plugin = self.catalog.load_file(file)
        shelves = self.list_shelves()[: 1 if selected.sweeps else None]
        offers = [offer for shelf in shelves for offer in shelf.offers() if offer.plugin == plugin]
        if not offers:
            raise UsageError(f"check {file}: it offers no method, data set or metric")
        for offer in offers:
            each = replace(selected, file=None, provider=plugin.module, name=offer.value.name)
            yield from self.find_cases(each, tolerant=True)

    def find_cases(self, selected: selection.Selected, *, tolerant: bool = False) -> Iterator[Case]:
        """tolerant: what cannot be used here is not applicable, rather than a mistake."""
        known = [shelf for shelf in self.list_shelves() if selected.name in shelf.names()]
        if not known:
            close = suggest(selected.name, [name for shelf in self.list_shelves() for name in shelf.names()])
            what = f"no method, data set or metric {selected.name!r}"
            raise UsageError(f"check: {what}{close}{self.catalog.hint}")
        backend = self._prepare_backend()
        for shelf in known:
            offer: Offer[Any] = shelf.offer(selected.full_name)
            if reason := explain_unavailable(offer):
                if not tolerant:
                    raise UsageError(f"check: {shelf.noun} {selected.name}: {reason}")
                of: Of = "method" if isinstance(offer.value, Method) else "dataset"
                makes: Makes = [("", partial(_raise_reason, reason))]
                yield from self._make_cases(of, offer, selected.name, makes, backend)
            elif isinstance(offer.value, Metric):
                metric = offer.value
                makes = [(kind, partial(_make_metric_subject, metric, kind)) for kind in metric.kinds or ("",)]
                yield from self._make_cases("metric", offer, metric.name, makes, backend)
            else:
                yield from self._find_configured(offer, selected, backend)

    def _find_configured(self, offer: Offer[Any], selected: selection.Selected, backend: MakeBackend) -> Iterator[Case]:
        """The cases of a method or a data set, for each combination of options that is selected."""
        value: Method | Dataset = offer.value
        for label, given in _expand_options(selected, value.config, value.name):
            if isinstance(value, Method):
                make = partial(self._make_method_subject, offer, given, backend)
                makes: Makes = [(kind, partial(make, kind)) for kind in value.kinds]
                yield from self._make_cases("method", offer, label, makes, backend)
            else:
                makes = [("", partial(self._make_dataset_subject, value, given, backend))]
                yield from self._make_cases("dataset", offer, label, makes, backend)

    def _make_cases(self, of: Of, offer: Offer[Any], label: str, makes: Makes, backend: MakeBackend) -> Iterator[Case]:
        offers = sorted(self.catalog.checks.offers(), key=lambda each: each.plugin.module != OWN)
        checks = [each.value for each in offers if each.value.of == of]
        if not checks:
            remedy = "is the plugin 'checks' switched off? -p harness.checks loads it"
            raise UsageError(f"check: nothing tests a {of}; {remedy}")
        for check in checks:
            yield Case(of, label, check, tuple(makes), backend, plugin_code(offer))

    def _prepare_backend(self) -> MakeBackend:
        offers = self.catalog.backends.values()
        if len(offers) != 1:
            names = ", ".join(offer.name for offer in offers) or "none"
            remedy = "switch one off with --disable-plugin"
            raise UsageError(f"check: exactly one backend is needed, found {names}: {remedy}")
        return cache(lambda: resolve(offers[0].factory, f"backend {offers[0].name}")())

    # --- subjects -----------------------------------------------------------------------------------------------------

    def _make_method_subject(
        self, offer: Offer[Method], given: Mapping[str, Any], backend: MakeBackend, kind: str
    ) -> Subject:
        method = offer.value
        resolved = options.values(options.build(method.config, given, method.name)) if method.starts_from else {}
        item = bases.find_base(self.catalog, offer, resolved)
        base = self._make_method_subject(item.offer, item.make_choices()[0].given, backend, kind) if item else None
        return Subject(method, given, kind, backend(), self.device, base)

    def _make_dataset_subject(self, dataset: Dataset, given: Mapping[str, Any], backend: MakeBackend) -> DatasetSubject:
        folder = files.resolve_folder(self.data)
        if missing := files.check_sizes(files.list_declared(dataset, given), folder):
            remedy = files.describe_remedy(dataset.name, folder)
            raise Unsupported(f"{len(missing)} of its files not in place; {remedy}")
        return DatasetSubject(dataset, given, folder, backend())


def _make_metric_subject(metric: Metric, kind: str) -> MetricSubject:
    if metric.compute is None:
        raise Unsupported("it names a reading and computes nothing")
    return MetricSubject(metric, kind)


def _raise_reason(reason: str) -> NoReturn:
    raise Unsupported(reason)


def _expand_options(selected: selection.Selected, config: type, owner: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Label and options of each combination that is selected. A plain name is not built: a check tries its defaults."""
    if not selected.sweeps:
        yield owner, {}
        return
    for choice in expansion.expand(selected, config, owner):
        yield choice.label, choice.given
