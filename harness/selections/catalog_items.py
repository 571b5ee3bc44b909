"""From the text of a selection to choices: names looked up in the catalogue, options checked against their configs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from harness.catalog import Catalog, Offer, Shelf
from harness.errors import UsageError
from harness.selections import expansion, selection
from harness.selections.selection import Selected
from harness.types import Choice, Dataset, Method

T = TypeVar("T")


@dataclass(frozen=True)
class Item(Generic[T]):
    """An item of a selection with what the catalogue offers under its name.

    selected: named as trials are, `distribution:name` only where several offer the name. given: as the user wrote it.
    """

    offer: Offer[T]
    selected: Selected
    given: Selected

    def count_choices(self) -> int:
        """How many combinations its sweeps make. Nothing is checked."""
        return expansion.count_combinations(self.selected, self._config)

    def make_choices(self) -> list[Choice]:
        """Every combination of its sweeps. Raises UsageError for options that the config refuses."""
        value: Any = self.offer.value
        found = expansion.expand(self.selected, self._config, value.name)
        return [dataclasses.replace(choice, name=value.name, provider=self.selected.source) for choice in found]

    def list_written(self) -> list[str]:
        """Each of the choices as the user wrote it."""
        return expansion.list_texts(self.given, self._config)

    @property
    def _config(self) -> type:
        value: Any = self.offer.value
        config: type = value.config
        return config


def look_up_methods(
    catalog: Catalog, text: str, what: str, home: str | None = None, folder: Path | None = None
) -> list[Item[Method]]:
    """Items of a selection of methods, a file standing for all the methods that it offers. `what` is who gave it.

    home: the distribution that is meant where several offer a name. folder: where files without an absolute path are;
    the working directory by default.
    """
    named: list[Selected] = []
    parsed = selection.parse(text, what)
    root = folder or Path()
    files = {each.file: root / Path(each.file).expanduser() for each in parsed if each.file is not None}
    for path in files.values():  # all of them, before any name is given that a later one may clash with
        catalog.add_file(path)
    for selected in parsed:
        names = [selected.full_name] if selected.file is None else catalog.add_file(files[selected.file])
        for provider, _, name in (name.rpartition(":") for name in names):
            named.append(dataclasses.replace(selected, file=None, provider=provider or None, name=name))
    return [look_up_item(catalog.methods, selected, home) for selected in named]


def look_up_datasets(catalog: Catalog, text: str, what: str, home: str | None = None) -> list[Item[Dataset]]:
    """Items of a selection of data sets, likewise; a file must have been loaded before."""
    parsed = selection.parse(text, what)
    for selected in parsed:
        if selected.file is not None:
            raise UsageError(f"{what} {selected.file}: a file is loaded with -p {selected.file}, then named here")
    return [look_up_item(catalog.datasets, selected, home) for selected in parsed]


def look_up_item(shelf: Shelf[T], selected: Selected, home: str | None = None) -> Item[T]:
    """The item that a shelf has by a selected name. Raises UsageError for none, and for several that it may be."""
    owner = None if selected.provider else selected.owner or shelf.qualify_home(selected.name, home)
    offer = shelf.offer(selected.name, selected.provider or owner)
    provider = shelf.qualify(offer).rpartition(":")[0] if selected.provider else None
    return Item(offer, dataclasses.replace(selected, provider=provider or None, owner=owner), selected)


def require_distinct_items(items: Sequence[Item[Any]], choices: Iterable[Choice], what: str) -> None:
    """Raise UsageError for one choice among those of all items, in their order, that is selected twice."""
    expansion.require_distinct(list(choices), what, [text for each in items for text in each.list_written()])
