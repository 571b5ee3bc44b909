"""Time of the harness itself: its start and its loop as paired ratios, like their bars, and its planning."""

from __future__ import annotations

from harness import Budget
from harness.catalog import Settings, load_catalog
from harness.planning.plan import plan_trials
from harness.suites.suite import Request

METHODS = "saf,saf[variant=final],ottt,ottt[forward=fused],bptt"


class Plan:
    """A hundred trials: five methods, twenty seeds."""

    rounds = 1
    repeat = (10, 40, 2.0)

    def setup(self) -> None:
        self.catalog = load_catalog(Settings())
        self.request = Request(METHODS, "digits", seeds="20", budget=Budget("updates", 1), device="cpu", threads=1)
        assert len(plan_trials(self.catalog, self.request)) == 100

    def time_plan_100_trials(self) -> None:
        plan_trials(self.catalog, self.request)


class Ratios:
    """Medians of a few rounds; the scripts of the same name take more and show the spread."""

    unit = "ratio"

    def track_list_over_imports(self) -> float:
        from .start_up import list_over_imports

        return list_over_imports(rounds=15).median

    def track_loop_over_hand(self) -> float:
        from .loop_overhead import harness_over_hand

        return harness_over_hand(rounds=20).median
