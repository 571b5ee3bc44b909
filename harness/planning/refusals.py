"""Options that a method refuses on a data set, as it says itself, told before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.catalog import Offer
from harness.errors import UsageError
from harness.types import Dataset, Method
from harness.words import clean_line


def require(offer: Offer[Method], config: Any, dataset: Dataset, given: Mapping[str, Any]) -> None:
    """Raises UsageError with what the method's `refuse` says, and where that is at fault.

    It is not asked about data sets of a kind that the method does not take: those trials are skipped.
    """
    method = offer.value
    if method.refuse is None or dataset.kind not in method.kinds:
        return
    try:
        method.refuse(config, dataset, given)
    except UsageError as error:
        raise UsageError(f"{method.name} on {dataset.name}: {error}") from error
    except Exception as error:  # a plugin's code may fail in any way
        why = clean_line(f"{type(error).__name__}: {error}")
        raise UsageError(f"{method.name} ({offer.plugin}): its refuse raised {why}; the method is at fault") from error
