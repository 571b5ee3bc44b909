"""The comparisons that are shipped: they can be planned, their sources agree, their bounds are right."""

from __future__ import annotations

import dataclasses
import re
from typing import NamedTuple

import pytest
import torch
from tiny_problems import terms

from harness import Batch, Problem
from harness.planning.plan import plan_trials
from harness.suites.claims import Side, judge
from harness.suites.entries import Claim
from harness.suites.references import find_suite
from harness_bptt import BPTTOptions
from harness_bptt.learner import build as build_bptt
from harness_data.registry import DVS_GESTURE
from harness_ottt import OTTTOptions
from harness_ottt.learner import build as build_ottt
from harness_saf import SAFOptions
from harness_saf.learner import build as build_saf
from harness_spike_representation import SpikeRepresentationOptions
from harness_spike_representation.learner import build as build_sr
from harness_torch.instruments.operation_counts import Operations
from harness_torch.training.architectures import standard

NAMES = (
    "saf-digits",
    "saf-digits-memory",
    "saf-mnist",
    "saf-cifar10",
    "saf-cifar10-short",
    "saf-cifar10-memory",
    "saf-cifar10-smoke",
    "saf-dvs",
)
MAIN = ("saf-digits", "saf-mnist", "saf-cifar10", "saf-cifar10-short", "saf-dvs")
STEPS = 4  # of the digits recipe

# What others published, written down apart from the suites: Saiin et al., TMLR 2024 (Table 1: OTTT_O, SAF-E beside it;
# Table 2: OTTT_A, SAF-F); Zhu et al., ICLR 2024, Table 1 (OTTT_A, best); the paper on BSO, Table 2 (bptt); Meng et al.,
# CVPR 2022 (DSR).
TABLE_2 = [
    ("ottt", "cifar10", "tensor_peak_bytes", 1.656e9),
    ("ottt", "cifar10", "update_seconds", 0.661),
    ("saf[variant=final]", "cifar10", "tensor_peak_bytes", 1.157e9),
    ("saf[variant=final]", "cifar10", "update_seconds", 0.247),
]
CIFAR10 = [
    ("ottt[update=online]", "cifar10", "accuracy", 0.9344),
    ("ottt[update=online]", "cifar10", "tensor_peak_bytes", 1.656e9),
    ("ottt[update=online]", "cifar10", "update_seconds", 0.666),
    ("saf[update=online]", "cifar10", "accuracy", 0.9354),
    ("saf[update=online]", "cifar10", "tensor_peak_bytes", 1.184e9),
    ("saf[update=online]", "cifar10", "update_seconds", 0.468),
    *TABLE_2,
    ("ottt", "cifar10", "accuracy@best", 0.9358),
    ("bptt", "cifar10", "accuracy", 0.9323),
    ("spike-representation[form=dsr,loss_lambda=0.0]", "cifar10", "accuracy", 0.954),
]
PUBLISHED = {
    "saf-digits": TABLE_2,
    "saf-digits-memory": [],
    "saf-mnist": [],
    "saf-cifar10": CIFAR10,
    "saf-cifar10-short": CIFAR10,
    "saf-cifar10-memory": [],
    "saf-cifar10-smoke": [],
    "saf-dvs": [
        ("ottt", "cifar10-dvs", "accuracy@best", 0.763),
        ("bptt", "cifar10-dvs", "accuracy", 0.739),
        ("ottt", "dvs-gesture", "accuracy@best", 0.9688),
    ],
}


@pytest.mark.parametrize(
    "name, methods, seeds",
    [
        ("saf-digits", 7, 3),
        ("saf-digits-memory", 10, 2),
        ("saf-mnist", 7, 3),
        ("saf-cifar10", 10, 3),
        ("saf-cifar10-short", 10, 3),
        ("saf-cifar10-memory", 18, 2),
        ("saf-cifar10-smoke", 1, 3),
        ("saf-dvs", 9, 3),
    ],
)
def test_a_suite_can_be_planned_and_every_entry_refers_to_something(catalog, name, methods, seeds, no_files_needed):
    suite = find_suite(catalog, name)
    trials = plan_trials(catalog, suite.request)
    assert not [trial.skip for trial in trials if trial.skip]
    assert len({trial.method.label for trial in trials}) == methods
    assert len(trials) == methods * seeds * (2 if name == "saf-dvs" else 1)
    labels = {trial.method.label for trial in trials}
    assert {side.method for claim in suite.claims for side in (claim.left, claim.right) if side} <= labels


def test_enough_seeds_for_an_interval(catalog, no_files_needed):
    for name in NAMES:
        assert len({trial.seed for trial in plan_trials(catalog, find_suite(catalog, name).request)}) >= 2


def test_the_summary_is_the_files(catalog):
    for name in NAMES:
        assert find_suite(catalog, name).summary == catalog.suites.get(name).summary


@pytest.mark.parametrize("name", NAMES)
def test_published_values_are_those_of_the_papers(catalog, name):
    found = [(each.method, each.dataset, each.metric, each.value) for each in find_suite(catalog, name).published]
    assert sorted(found) == sorted(PUBLISHED[name])


@pytest.mark.parametrize("name, compared", [("saf-digits", 2), ("saf-cifar10", 5), ("saf-cifar10-short", 5)])
def test_published_comparisons_are_those_of_the_published_values(catalog, name, compared):
    values = {(method, metric): value for method, _, metric, value in PUBLISHED[name]}
    claims = [claim for claim in find_suite(catalog, name).claims if claim.published is not None]
    assert len(claims) == compared
    for claim in claims:
        left, right = (values[side.method, side.metric] for side in (claim.left, claim.right))
        if claim.over:
            assert claim.published == pytest.approx(left / right, abs=0.005)
        else:
            assert claim.published == pytest.approx(left - right, abs=1e-9)


def test_no_suite_gives_a_value_with_a_step_per_time_step_to_a_method_without(catalog):
    """Table 1 of the SAF paper has OTTT_O, and SAF-E beside it."""
    for name in NAMES:
        suite = find_suite(catalog, name)
        of_table_1 = [each.method for each in suite.published if "Table 1" in each.source and "Saiin" in each.source]
        of_table_1 += [
            c.left.method
            for c in suite.claims
            if c.published is not None and "Saiin et al., TMLR 2024, Table 1" in c.source
        ]
        assert all("update=online" in method for method in of_table_1), name


@pytest.mark.parametrize("name", ["saf-digits", "saf-cifar10", "saf-cifar10-short"])
def test_second_hand_sources_say_so(catalog, name):
    suite = find_suite(catalog, name)
    quoted = [s for each in (*suite.published, *suite.claims) if "Saiin" in (s := each.source) and "Table" in s]
    assert len(quoted) >= 8
    assert all("not checked against the paper" in source for source in quoted)
    assert all("Saiin" not in source or "Table" in source for source in (each.source for each in suite.published))


def test_the_short_comparison_is_the_long_one_in_a_tenth_of_its_epochs(catalog):
    long, short = find_suite(catalog, "saf-cifar10"), find_suite(catalog, "saf-cifar10-short")
    assert long.request.budget.amount == 10 * short.request.budget.amount
    assert dataclasses.replace(long.request, budget=None) == dataclasses.replace(short.request, budget=None)
    for field in ("published", "claims"):
        for theirs, ours in zip(getattr(long, field), getattr(short, field), strict=True):
            assert bare(theirs) == bare(ours)


def bare(entry):
    """Without the words about epochs, in which the short comparison differs from the long one."""
    name = "source" if isinstance(entry, Claim) else "setting"
    kept = [part for part in getattr(entry, name).split("; ") if "epochs" not in part]
    return dataclasses.replace(entry, **{name: "; ".join(kept)})


def test_accuracies_published_after_a_longer_training_are_marked(catalog):
    suite = find_suite(catalog, "saf-cifar10-short")
    accuracies = [each for each in suite.published if each.metric.startswith("accuracy")]
    assert len(accuracies) == 5
    assert all(each.setting.endswith(", this suite trains 30") for each in accuracies)
    (claim,) = [claim for claim in suite.claims if claim.published is not None and claim.minus]
    assert claim.source.endswith("after 300 epochs, this suite trains 30")
    assert suite.request.budget.amount == 30


@pytest.mark.parametrize("name", ["saf-cifar10", "saf-cifar10-short", "saf-dvs"])
def test_a_report_says_where_the_protocol_differs_from_that_of_the_published_accuracies(catalog, name):
    for each in find_suite(catalog, name).published:
        if each.metric.startswith("accuracy"):
            assert "a tenth being for validation, and a cosine per mini-batch" in each.origin


def test_a_value_published_on_other_test_rows_says_so(catalog):
    """0.9688 is a count of 288 recordings, and none of 264."""
    suite = find_suite(catalog, "saf-dvs")
    (gesture,) = [each for each in suite.published if each.dataset == "dvs-gesture"]
    _, test = (files.count for files in DVS_GESTURE)
    assert round(279 / 288, 4) == gesture.value
    assert gesture.value not in {round(right / test, 4) for right in range(test + 1)}
    assert f"279 of the 288 test recordings that SpikingJelly cuts, here there are {test}" in gesture.origin
    assert f"tested on {test} recordings and published on 288" in suite.summary


def test_every_main_suite_leads_to_the_one_about_memory_over_time(catalog):
    for name in MAIN:
        suite = find_suite(catalog, name)
        (memory,) = re.findall(r"; memory over T: (\S+)$", suite.summary)
        led = [claim for claim in suite.claims if f"harness run --suite {memory}" in claim.source]
        assert {str(claim.right) for claim in led} == {"bptt.activation_bytes"}, name
        growing = [c for c in find_suite(catalog, memory).claims if c.left.method.startswith("bptt") and c.at_least]
        flat = [c for c in find_suite(catalog, memory).claims if (c.at_least, c.at_most) == (0.99, 1.01)]
        assert growing
        assert {c.left.method.partition("[")[0] for c in flat} >= {"saf", "ottt"}


def test_a_claim_of_equal_accuracy_says_its_margin_and_whose_it_is(catalog):
    for name in MAIN:
        margins = [c for c in find_suite(catalog, name).claims if c.minus and "ottt" in c.minus.method]
        assert {claim.left.method for claim in margins} >= {"saf", "saf[variant=final]"}
        for claim in margins:
            (margin,) = re.findall(r"within ([\d.]+) \(our margin", claim.text)
            assert (claim.at_least, claim.at_most) == (-float(margin), float(margin))


def test_every_main_suite_compares_the_training_forward_with_what_is_deployed(catalog):
    for name in MAIN:
        views = [
            claim for claim in find_suite(catalog, name).claims if claim.left.metric == "accuracy@training-forward"
        ]
        assert [claim.dataset for claim in views] == (["cifar10-dvs", "dvs-gesture"] if name == "saf-dvs" else [None])
        assert {(str(c.left.method), str(c.minus), c.at_least, c.at_most) for c in views} == {
            ("saf", "saf.accuracy", -0.0005, 0.0005)
        }


def test_no_published_memory_stands_beside_what_an_update_holds_and_makes(catalog):
    """It was read of a process; and of the published OTTT code the suites say what ours is not."""
    for name in NAMES:
        for claim in find_suite(catalog, name).claims:
            if claim.left.metric == "activation_bytes":
                assert claim.published is None
                assert "Saiin" not in claim.source
            if (claim.left.metric, str(claim.over)) == ("activation_bytes", "ottt.activation_bytes"):
                assert "not the published code's memory" in claim.source
                assert "1.64 to 2.50" in claim.source


def test_every_claim_of_less_memory_than_bptts_is_made_of_bptt_that_computes_again_too(catalog):
    rivals = 0
    for name in NAMES:
        claims = [c for c in find_suite(catalog, name).claims if c.over and c.left.metric == "activation_bytes"]
        made = {(c.left.method, c.over.method, c.dataset) for c in claims}
        for left, over, dataset in made:
            if left.startswith("saf") and over.startswith("bptt") and "recompute" not in over:
                inside = over.removeprefix("bptt").strip("[]")
                rival = f"bptt[recompute=auto{',' if inside else ''}{inside}]"
                assert (left, rival, dataset) in made, (name, over)
                rivals += 1
    assert rivals == 8


def test_every_main_suite_sets_saf_beside_ottt_with_one_operation_in_memory_and_time(catalog):
    for name in MAIN:
        fused = [c for c in find_suite(catalog, name).claims if c.over and c.over.method == "ottt[forward=fused]"]
        assert {c.left.metric for c in fused} == {"activation_bytes", "update_seconds"}, name
        assert all((c.left.method, c.at_most) == ("saf", 1.0) and "it can turn" in c.source for c in fused)


def test_a_claim_about_updates_at_every_step_says_that_they_are_another_training(catalog):
    claims = [c for name in NAMES for c in find_suite(catalog, name).claims if c.minus and "online" in c.left.method]
    assert len(claims) == 4
    assert all("another training than OTTT_O's" in claim.text for claim in claims)


def test_what_others_reached_with_another_network_is_marked_as_not_comparable(catalog):
    (dsr,) = [each for each in find_suite(catalog, "saf-cifar10").published if "dsr" in each.method]
    assert "NOT COMPARABLE" in dsr.setting
    assert "batch normalisation" in dsr.setting


# --- the bounds of the claims about operations ----------------------------------------------------------------------


BUILDERS = {
    "saf": lambda **options: build_saf(SAFOptions(**options)),
    "saf[variant=final]": lambda **options: build_saf(SAFOptions(**options, variant="final")),
    "ottt": lambda **options: build_ottt(OTTTOptions(**options)),
    "ottt[forward=fused]": lambda **options: build_ottt(OTTTOptions(**options, forward="fused")),
    "bptt": lambda **options: build_bptt(BPTTOptions(**options)),
    "spike-representation": lambda **options: build_sr(SpikeRepresentationOptions(**options)),
}


class Setting(NamedTuple):
    """The network that the data set's recipe makes: neurons' channels with P for 2x2 pooling, what it sees, T.

    still: the same image at every step. pooled: the readout sees one value per channel.
    """

    network: str
    shape: tuple[int, int]
    steps: int
    classes: int = 10
    still: bool = True
    pooled: bool = False

    @property
    def layers(self) -> list[int]:
        """Multiply-accumulates of one row and step, by layer: 3x3 convolutions on `shape`, then the readout."""
        channels, side = self.shape
        found = []
        for token in self.network.split():
            if token == "P":
                side //= 2
            else:
                found.append(channels * 9 * int(token) * side * side)
                channels = int(token)
        return [*found, channels * (1 if self.pooled else side * side) * self.classes]

    @property
    def row(self) -> tuple[int, ...]:
        channels, side = self.shape
        return (channels, side, side) if self.still else (self.steps, channels, side, side)

    def costs(self, method: str) -> dict[str, int]:
        """By pencil: a backward pass costs every layer once for its weight, and all but the first once for its input.

        Official OTTT runs twice forward what a trace goes into, which is all but the first layer. That sees a still
        image once, whatever the number of steps. A method with one backward pass needs one readout.
        """
        (first, *between, readout), steps = self.layers, self.steps
        looks, rest = 1 if self.still else steps, sum(between) + readout
        if method in ("saf[variant=final]", "spike-representation"):
            forward = looks * first + steps * sum(between) + readout
            backward = first + 2 * rest
        else:
            forward = looks * first + steps * (2 if method == "ottt" else 1) * rest
            backward = looks * first + steps * 2 * rest
        return {"forward_macs": forward, "total_macs": forward + backward}


VGG11 = "64 128 P 256 256 P 512 512 P 512 512"
SETTINGS = {
    ("saf-digits", None): Setting("32 64 P 128 128 P", (1, 8), STEPS),
    ("saf-mnist", None): Setting("16 P 32 P 64", (1, 28), 4),
    ("saf-cifar10", None): Setting(VGG11, (3, 32), 6, pooled=True),
    ("saf-cifar10-short", None): Setting(VGG11, (3, 32), 6, pooled=True),
    ("saf-dvs", "cifar10-dvs"): Setting(VGG11, (2, 48), 10, still=False, pooled=True),
    ("saf-dvs", "dvs-gesture"): Setting(VGG11, (2, 128), 20, classes=11, still=False, pooled=True),
}
COUNTED = [("saf-digits", None), ("saf-mnist", None), ("saf-cifar10", None), ("saf-dvs", "cifar10-dvs")]


@pytest.fixture(scope="module")
def counts():
    """Of saf-digits."""
    return {name: counted(build(steps=STEPS), (1, 8, 8)) for name, build in BUILDERS.items()}


def counted(learner, shape, classes=10):
    rows = Batch(torch.zeros(1, *shape), torch.zeros(1, dtype=torch.int64))
    problem = Problem("classification", shape, classes, 1000, time_axis=len(shape) == 4)
    state = learner.init(problem, terms(precision="fp32"), None)
    operations = Operations()
    with operations.session(), operations.measure("update", 1):
        learner.update(state, rows)
    return operations.readings()


def about_operations(claim: Claim) -> bool:
    return claim.left.metric.endswith("_macs")


@pytest.mark.parametrize("where", SETTINGS, ids=str)
def test_the_layers_are_those_of_the_data_sets_network_at_its_number_of_steps(catalog, where):
    setting = SETTINGS[where]
    channels, side = setting.shape
    layers = ["AP2" if token == "P" else f"{token}C3" for token in setting.network.split()]
    assert standard((channels, side, side)) == "-".join([*layers, *["GAP"] * setting.pooled, "FC"])
    dataset = catalog.datasets.get(where[1] or find_suite(catalog, where[0]).request.datasets)
    assert setting.steps == (dataset.recipe.families["spiking"]["steps"] if setting.still else dataset.config().steps)


@pytest.mark.parametrize("where", COUNTED, ids=str)
def test_operations_counted_are_those_of_the_layers(where):
    setting = SETTINGS[where]._replace(steps=STEPS)
    for name, build in BUILDERS.items():
        found = counted(build(steps=setting.steps), setting.row, setting.classes)
        assert {metric: found[metric] for metric in ("forward_macs", "total_macs")} == setting.costs(name), name


@pytest.mark.parametrize("where", SETTINGS, ids=str)
def test_claims_about_operations_hold_by_the_layers_and_their_bounds_are_near(catalog, where):
    name, dataset = where
    claims = [each for each in find_suite(catalog, name).claims if about_operations(each) and each.dataset == dataset]
    assert len(claims) == {"saf-dvs": 4}.get(name, 5)
    costs = {method: SETTINGS[where].costs(method) for method in BUILDERS}
    for claim in claims:
        left, right = (costs[q.method][q.metric] for q in (claim.left, claim.over))
        sides = (Side({0: value}, exact=True) for value in (left, right))
        assert judge(claim, *sides).verdict == "holds", claim.text
        assert (claim.at_least, claim.at_most) == pytest.approx((left / right, left / right), rel=0.09), claim.text


def test_the_claim_about_a_third_is_the_formula_at_its_number_of_steps(catalog, counts):
    (claim,) = [c for c in find_suite(catalog, "saf-digits").claims if "a third" in c.text]
    expected = (STEPS + 2) / (4 * STEPS)
    assert claim.at_least <= expected <= claim.at_most
    found = counts["saf[variant=final]"]["total_macs"] / counts["ottt"]["total_macs"]
    assert found == pytest.approx(expected, rel=0.01)  # the first layer is not doubled and has no input gradient


def test_bounds_can_be_missed(catalog, counts):
    """With the roles exchanged, no claim of a saving holds."""
    for claim in find_suite(catalog, "saf-digits").claims:
        if about_operations(claim) and not claim.at_least <= 1 <= claim.at_most:
            left, right = (Side({0: counts[q.method][q.metric]}, exact=True) for q in (claim.over, claim.left))
            assert judge(claim, left, right).verdict == "fails", claim.text
