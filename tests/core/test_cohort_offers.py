"""Methods that offer to train several trials as one: what they say of it is checked when they are loaded."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

import pytest

from harness import Method, PluginError, hookimpl, option
from harness.catalog import Catalog, Settings, load_catalog
from harness.planning.fingerprints import follow_offer


@dataclass(frozen=True)
class Rates:
    rate: float = option(0.1, "step size", above=0)
    width: int = option(4, "units", low=1)


def offer(**said):
    class Offers:
        @hookimpl
        def harness_methods(self):
            yield Method("steps", "takes steps", "nowhere:build", ("regression",), config=Rates, **said)

    return Catalog.of(Offers())


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            {"batched_options": ("rates",), "cohort": "nowhere:lanes"},
            "method 'steps': batched_options names 'rates', which is none of its options: rate, width",
        ),
        ({"batched_options": ("rate",)}, "method 'steps': batched_options needs cohort"),
        ({"batched_options": "rate", "cohort": "nowhere:lanes"}, "batched_options must be a tuple, got 'rate'"),
        ({"cohort": "nowhere"}, "method 'steps': cohort must be a callable or 'module:attribute'"),
    ],
)
def test_what_cannot_be_trained_as_one_is_refused_with_its_plugin(said, words):
    with pytest.raises(PluginError, match=words):
        offer(**said).fill_shelves()


def test_a_cohort_alone_is_enough():
    method = offer(cohort="nowhere:lanes").methods.get("steps")
    assert (method.cohort, method.batched_options) == ("nowhere:lanes", ())


def test_the_key_follows_the_source_of_the_cohort_too(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    lanes, plugin = tmp_path / "mylanes.py", tmp_path / "mine.py"
    plugin.write_text(
        textwrap.dedent(
            """
            from harness import Method, hookimpl

            @hookimpl
            def harness_methods():
                yield Method("steps", "", "mine:build", ("regression",), cohort="mylanes:build")
            """
        )
    )

    def digest():
        return follow_offer(load_catalog(Settings(plugins=(str(plugin),))).methods.offers()[0]).digest

    lanes.write_text("build = None\n")
    before = digest()
    lanes.write_text("build = 1\n")
    assert digest() != before
