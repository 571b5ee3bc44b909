"""Metrics of uncertainty, against other libraries, closed forms and integrals."""

import tracemalloc
from itertools import pairwise, permutations

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, special, stats
from sklearn.metrics import roc_auc_score, roc_curve
from torchmetrics.functional.classification import binary_auroc

import harness_bayes
from harness import ClassLogProbs, Outcome, Problem, RegressionMixture
from harness.metrics import scores as core
from harness.metrics.mixtures import compute_mean_entropy, mixture
from harness_bayes import scores
from harness_bayes.quantiles import density, mass_below, quantile

REGRESSION = Problem("regression", (1,), 1, 1)
Z = stats.norm.ppf(0.975)


def gaussians(means, deviations, weights, targets, dtype=np.float64):
    """Of components (S, N) or (S, 1), which all rows share."""
    shape = (len(weights), len(targets))
    arrays = (np.broadcast_to(np.asarray(each, float), shape).astype(dtype) for each in (means, np.square(deviations)))
    with np.errstate(divide="ignore"):
        return Outcome(RegressionMixture(*arrays, np.log(weights)), np.asarray(targets), REGRESSION)


def classes(probabilities, weights, targets):
    """Of class probabilities (S, N, C)."""
    log_probs, log_weights = np.log(probabilities), np.log(weights)
    problem = Problem("classification", (1,), probabilities.shape[2], 1)
    entropy = compute_mean_entropy(log_probs, log_weights)
    return Outcome(ClassLogProbs(log_probs, log_weights), np.asarray(targets), problem, entropy=entropy)


def drawn(samples=7, rows=50, count=4, sharpness=1.0, seed=0):
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.full(count, 1 / sharpness), size=(samples, rows))
    return classes(probabilities, random.dirichlet(np.ones(samples)), random.integers(count, size=rows))


def distribution(x, means, deviations, weights):
    return float(weights @ special.erfc((means - x) / (deviations * np.sqrt(2)))) / 2


def solved(probability, means, deviations, weights):
    """A quantile of one row, by another solver."""
    reach = 9 * np.max(deviations)
    low, high = np.min(means) - reach, np.max(means) + reach
    of_row = means, deviations, weights
    return optimize.brentq(lambda x: distribution(x, *of_row) - probability, low, high, xtol=1e-300, rtol=1e-15)


MIXTURES = {
    "one": ([0.3], [2.0], [1.0]),
    "two far apart": ([-50.0, 70.0], [1.0, 0.1], [0.4, 0.6]),
    "a spike in a plain": ([0.0, 0.1], [1e6, 1e-6], [0.5, 0.5]),
    "a spike at an end": ([0.0, 1.5], [1.0, 1e-6], [0.9, 0.1]),
    "small": ([1e-6, 3e-6, -2e-6], [1e-6, 2e-6, 5e-7], [0.2, 0.3, 0.5]),
    "large": ([1e6, 3e6, -2e6], [1e6, 2e6, 5e5], [0.2, 0.3, 0.5]),
    "alike": ([2.0, 2.0, 2.0], [0.5, 0.5, 0.5], [0.1, 0.2, 0.7]),
    "many": (np.linspace(-3, 3, 40) ** 3, np.geomspace(0.01, 3, 40), np.full(40, 1 / 40)),
}


# --- quantiles ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probability", [0.025, 0.5, 0.975])
@pytest.mark.parametrize("name", MIXTURES)
def test_a_quantile_is_where_the_distribution_has_its_probability(name, probability):
    means, deviations, weights = map(np.asarray, MIXTURES[name])
    (found,) = quantile(probability, means[:, None], deviations[:, None], weights)
    expected = solved(probability, means, deviations, weights)
    assert distribution(found, means, deviations, weights) == pytest.approx(probability, abs=1e-12)
    tolerance = 1e-11 / np.dot(weights, stats.norm.pdf(expected, means, deviations))  # a mass, as a distance
    assert found == pytest.approx(expected, rel=1e-13, abs=tolerance)


def test_rows_are_found_at_once_as_they_are_one_by_one():
    random = np.random.default_rng(1)
    means, deviations = random.normal(size=(9, 200)) * 10, np.exp(3 * random.normal(size=(9, 200)))
    weights = random.dirichlet(np.ones(9))
    found = quantile(0.025, means, deviations, weights)
    alone = [quantile(0.025, means[:, [row]], deviations[:, [row]], weights)[0] for row in range(200)]
    np.testing.assert_allclose(found, alone, rtol=1e-10, atol=1e-10)


def test_the_density_is_the_slope_of_the_distribution():
    means, deviations, weights = (np.asarray(each) for each in MIXTURES["many"])
    components = means[:, None], deviations[:, None], weights
    x = np.linspace(-20, 20, 11)
    step = 1e-5
    slope = (mass_below(x + step, *components) - mass_below(x - step, *components)) / (2 * step)
    np.testing.assert_allclose(density(x, *components), slope, atol=1e-8)


def test_a_row_that_is_nan_is_nan_and_harms_no_other():
    means, deviations = np.array([[np.nan, 1.0]]), np.ones((1, 2))
    found = quantile(0.975, means, deviations, np.ones(1))
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(1 + Z)


# --- intervals ----------------------------------------------------------------------------------------------------


def spread_evenly(means, deviations, weights, rows):
    """Targets in the middle of shares of equal probability: a mean over them is an integral over the mixture."""
    return np.array([solved((row + 0.5) / rows, means, deviations, weights) for row in range(rows)])


@pytest.mark.parametrize("name", ["one", "two far apart", "small", "large", "many"])
def test_targets_of_the_mixture_itself_are_covered_and_calibrated(name):
    means, deviations, weights = map(np.asarray, MIXTURES[name])
    targets = spread_evenly(means, deviations, weights, rows=1000)
    outcome = gaussians(means[:, None], deviations[:, None], weights, targets)
    assert scores.coverage95(outcome) == 0.95
    assert scores.calibration_error(outcome) <= 1e-3 + 1e-12


@pytest.mark.parametrize("name", ["two far apart", "a spike at an end", "many"])
def test_an_interval_holds_95_percent_of_the_mixture(name):
    means, deviations, weights = map(np.asarray, MIXTURES[name])
    low, high = (quantile(p, means[:, None], deviations[:, None], weights)[0] for p in (0.025, 0.975))
    places = np.unique(np.clip(np.concatenate([means + k * deviations for k in range(-9, 10)]), low, high))
    held = sum(
        integrate.quad(lambda x: np.dot(weights, stats.norm.pdf(x, means, deviations)), one, other)[0]
        for one, other in pairwise(places)
    )
    assert held == pytest.approx(0.95, abs=1e-10)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_a_deviation_that_is_wrong_covers_what_the_normal_distribution_says(factor):
    targets = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    outcome = gaussians([[0.0]], factor, [1.0], targets)
    assert scores.coverage95(outcome) == pytest.approx(2 * stats.norm.cdf(factor * Z) - 1, abs=1e-4)
    levels = np.arange(1, 20) / 20
    expected = np.mean(np.abs(stats.norm.cdf(factor * stats.norm.ppf(levels)) - levels))
    assert scores.calibration_error(outcome) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_one_gaussian_has_its_closed_forms(scale):
    targets = scale * stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    outcome = gaussians([[0.0]], scale, [1.0], targets)
    assert scores.width95(outcome) == pytest.approx(2 * Z * scale, rel=1e-11)
    assert scores.interval_score95(outcome) == pytest.approx(4 * stats.norm.pdf(Z) / 0.05 * scale, rel=1e-3)


def test_targets_beyond_all_components_are_as_badly_calibrated_as_can_be():
    outcome = gaussians([[0.0], [1.0]], 1.0, [0.5, 0.5], np.full(10, 1e3))
    assert scores.calibration_error(outcome) == pytest.approx(0.5)
    assert scores.coverage95(outcome) == 0


def random_mixtures(samples=5, rows=40, seed=3):
    random = np.random.default_rng(seed)
    deviations = np.exp(random.normal(size=(samples, rows)))
    return (
        random.normal(size=(samples, rows)),
        deviations,
        random.dirichlet(np.ones(samples)),
        3 * random.normal(size=rows),
    )


def ends(means, deviations, weights):
    """Of the interval of each row, by another solver."""
    for mean, deviation in zip(means.T, deviations.T, strict=True):
        yield [solved(probability, mean, deviation, weights) for probability in (0.025, 0.975)]


def test_coverage_and_width_are_those_of_another_solver():
    *components, targets = random_mixtures()
    low, high = np.array(list(ends(*components))).T
    outcome = gaussians(*components, targets)
    assert scores.width95(outcome) == pytest.approx(np.mean(high - low), rel=1e-11)
    assert scores.coverage95(outcome) == np.mean((low <= targets) & (targets <= high)) < 1


def test_the_interval_score_is_that_of_scoringrules():
    scoringrules = pytest.importorskip("scoringrules", reason="another library's interval score; extra rivals")
    *components, targets = random_mixtures()
    low, high = np.array(list(ends(*components))).T
    expected = np.mean(scoringrules.interval_score(targets, low, high, 0.05))
    assert scores.interval_score95(gaussians(*components, targets)) == pytest.approx(expected, rel=1e-11)


def test_the_crps_of_the_core_is_that_of_scoringrules():
    scoringrules = pytest.importorskip("scoringrules", reason="another library's CRPS of mixtures; extra rivals")
    means, deviations, weights, targets = random_mixtures()
    shared = np.tile(weights, (len(targets), 1))
    expected = np.mean(scoringrules.crps_mixnorm(targets, means.T, deviations.T, shared))
    assert core.crps(gaussians(means, deviations, weights, targets)) == pytest.approx(expected, rel=1e-10)


def test_the_calibration_error_is_that_of_counting():
    means, deviations, weights, targets = random_mixtures(rows=60)
    pit = [distribution(target, means[:, row], deviations[:, row], weights) for row, target in enumerate(targets)]
    gaps = [abs(sum(each <= j / 20 for each in pit) / 60 - j / 20) for j in range(1, 20)]
    assert scores.calibration_error(gaussians(means, deviations, weights, targets)) == pytest.approx(np.mean(gaps))


OF_REGRESSION = [
    scores.coverage95,
    scores.width95,
    scores.interval_score95,
    scores.calibration_error,
    scores.aleatoric_deviation,
    scores.epistemic_deviation,
    scores.aurc,
]


@pytest.mark.parametrize("score", OF_REGRESSION)
def test_components_that_weigh_nothing_and_copies_change_nothing(score):
    means, deviations, weights, targets = random_mixtures()
    plain = score(gaussians(means, deviations, weights, targets))
    bad = np.full((1, len(targets)), np.nan)
    empty = gaussians(np.vstack([means, bad]), np.vstack([deviations, bad]), [*weights, 0.0], targets)
    assert score(empty) == pytest.approx(plain, rel=1e-11)
    split = np.concatenate([weights * 0.25, weights * 0.75])
    copies = gaussians(np.vstack([means] * 2), np.vstack([deviations] * 2), split, targets)
    assert score(copies) == pytest.approx(plain, rel=1e-11)


@pytest.mark.parametrize("score", OF_REGRESSION)
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_scores_go_with_the_scale_of_the_targets(score, scale):
    means, deviations, weights, targets = random_mixtures()
    shares = score in (scores.coverage95, scores.calibration_error)
    power = 0 if shares else 2 if score is scores.aurc else 1
    scaled = score(gaussians(scale * means, scale * deviations, weights, scale * targets))
    assert scaled == pytest.approx(scale**power * score(gaussians(means, deviations, weights, targets)), rel=1e-10)


@pytest.mark.parametrize("score", OF_REGRESSION)
def test_blocks_have_no_influence(score, monkeypatch):
    outcome = gaussians(*random_mixtures())
    whole = score(outcome)
    monkeypatch.setattr(scores, "BLOCK", 17)
    assert score(outcome) == pytest.approx(whole, rel=1e-11)


@pytest.mark.parametrize("score", OF_REGRESSION)
def test_one_row_has_a_score(score):
    assert np.isfinite(score(gaussians([[0.0], [1.0]], 1.0, [0.5, 0.5], [0.3])))


@pytest.mark.parametrize("score", OF_REGRESSION)
def test_a_network_that_is_nan_shows(score):
    assert np.isnan(score(gaussians([[np.nan]], np.nan, [1.0], [0.3, 0.4]))) or score is scores.coverage95


@pytest.mark.parametrize("score", [scores.interval_score95, scores.calibration_error, scores.aurc])
def test_many_components_need_the_memory_of_some_rows(score):
    random = np.random.default_rng(0)
    means = random.normal(size=(1000, 2000)).astype(np.float32)  # 16 MB in double precision
    outcome = gaussians(means, np.ones((1000, 1)), np.full(1000, 1 / 1000), random.normal(size=2000), np.float32)
    tracemalloc.start()
    try:
        score(outcome)
        assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    finally:
        tracemalloc.stop()


# --- parts --------------------------------------------------------------------------------------------------------


def test_both_parts_of_the_variance_sum_to_the_mixture_s():
    means, deviations, weights, targets = random_mixtures(rows=3)
    outcome = gaussians(means, deviations, weights, targets)

    def moment(power, row):
        def weighed(x):
            return x**power * np.dot(weights, stats.norm.pdf(x, means[:, row], deviations[:, row]))

        reach = 12 * np.max(deviations[:, row])
        return integrate.quad(weighed, -reach, reach, points=sorted(means[:, row]), limit=500, epsabs=1e-10)[0]

    variances = [moment(2, row) - moment(1, row) ** 2 for row in range(3)]
    parts = scores.aleatoric_deviation(outcome) ** 2 + scores.epistemic_deviation(outcome) ** 2
    assert parts == pytest.approx(np.mean(variances), rel=1e-9)


def test_components_that_agree_leave_noise_alone_and_points_disagreement_alone():
    same = gaussians([[1.0], [1.0]], 2.0, [0.5, 0.5], np.zeros(4))
    assert (scores.aleatoric_deviation(same), scores.epistemic_deviation(same)) == (2.0, 0.0)
    apart = gaussians([[-1.0], [1.0]], 1e-9, [0.5, 0.5], np.zeros(4))
    assert scores.epistemic_deviation(apart) == 1.0


def test_mutual_information_is_entropy_less_mean_entropy():
    outcome = drawn()
    probabilities, weights = np.exp(outcome.prediction.log_probs), np.exp(outcome.prediction.log_weights)
    whole = stats.entropy(np.einsum("s,snc->nc", weights, probabilities), axis=1)
    parts = np.einsum("s,sn->n", weights, stats.entropy(probabilities, axis=2))
    assert scores.mutual_information(outcome) == pytest.approx(np.mean(whole - parts), rel=1e-12)


def test_samples_that_are_certain_of_different_classes_have_all_the_information():
    outcome = classes(np.array([[[1.0, 1e-300]], [[1e-300, 1.0]]]), [0.5, 0.5], [0])
    assert scores.mutual_information(outcome) == pytest.approx(np.log(2))


def test_one_sample_has_none_to_the_last_digit():
    one = drawn(samples=1, rows=500)
    copies = classes(np.repeat(np.exp(one.prediction.log_probs), 3, axis=0), [0.2, 0.3, 0.5], one.targets)
    assert scores.mutual_information(one) == scores.mutual_information(copies) == 0
    assert scores.auroc_mi(one, copies) == 0.5


def folded(outcome):
    return Outcome(mixture(outcome.prediction), outcome.targets, outcome.problem, entropy=outcome.entropy)


def test_of_classes_their_mixture_is_enough():
    one, other = drawn(), drawn(sharpness=0.3, seed=1)
    for score in (scores.mutual_information, scores.aurc):
        assert score(folded(one)) == pytest.approx(score(one), rel=1e-12)
    for score in (scores.auroc, scores.fpr95, scores.auroc_mi, scores.fpr95_mi):
        assert score(folded(one), folded(other)) == pytest.approx(score(one, other), rel=1e-12)


def test_information_is_unknown_where_the_samples_entropy_is():
    one = drawn()
    unknown = Outcome(one.prediction, one.targets, one.problem)
    assert scores.mutual_information(unknown) is None
    assert scores.auroc_mi(one, unknown) is scores.fpr95_mi(unknown, one) is None


# --- shifted rows -------------------------------------------------------------------------------------------------


def unsureness(outcome, by):
    probabilities, weights = np.exp(outcome.prediction.log_probs), np.exp(outcome.prediction.log_weights)
    entropy = stats.entropy(np.einsum("s,snc->nc", weights, probabilities), axis=1)
    return entropy - (outcome.entropy if by == "mi" else 0)


def accepted(known, shifted):
    """Share of shifted rows taken for known where at least 95 % of the known ones are, by scikit-learn's curve."""
    rates = roc_curve(
        np.repeat([1, 0], [len(known), len(shifted)]), -np.append(known, shifted), drop_intermediate=False
    )
    false, true, _ = rates
    return false[np.argmax(true >= 0.95 - 1e-12)]


BY = {"entropy": (scores.auroc, scores.fpr95), "mi": (scores.auroc_mi, scores.fpr95_mi)}


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("rows, others", [(50, 80), (20, 1), (1, 20), (100, 100), (1, 1)])
def test_shifted_rows_are_told_apart_as_scikit_learn_and_torchmetrics_say(rows, others, by):
    one, other = drawn(rows=rows), drawn(rows=others, sharpness=0.5, seed=1)
    known, shifted = unsureness(one, by), unsureness(other, by)
    labels, values = np.repeat([0, 1], [rows, others]), np.append(known, shifted)
    auroc, fpr95 = (score(one, other) for score in BY[by])
    assert auroc == pytest.approx(roc_auc_score(labels, values), abs=1e-12)
    squeezed = torch.tensor(values / 10)  # what lies outside of [0, 1] it takes for logits
    assert auroc == pytest.approx(float(binary_auroc(squeezed, torch.tensor(labels))), abs=1e-6)
    assert fpr95 == pytest.approx(accepted(known, shifted), abs=1e-12)


def rounded(rows, seed):
    """Of few different deviations: variances of many rows are equal."""
    random = np.random.default_rng(seed)
    deviations = random.integers(1, 5, size=(1, rows)) + seed
    return gaussians(np.zeros((1, rows)), deviations, [1.0], np.zeros(rows)), deviations[0] ** 2


@pytest.mark.parametrize("rows", [19, 20, 21, 40, 60, 200])
def test_ties_count_half_and_go_with_those_that_are_accepted(rows):
    (one, known), (other, shifted) = rounded(rows, 0), rounded(77, 1)
    labels = np.repeat([0, 1], [rows, 77])
    assert scores.auroc(one, other) == pytest.approx(roc_auc_score(labels, np.append(known, shifted)), abs=1e-12)
    assert scores.fpr95(one, other) == pytest.approx(accepted(known, shifted), abs=1e-12)


def test_regression_goes_by_the_variance_of_the_whole_mixture():
    agreeing, apart = (gaussians([[-gap], [gap]], 1.0, [0.5, 0.5], np.zeros(3)) for gap in (0.1, 1.0))
    assert (scores.auroc(agreeing, apart), scores.fpr95(agreeing, apart)) == (1.0, 0.0)
    assert (scores.auroc(agreeing, agreeing), scores.fpr95(agreeing, agreeing)) == (0.5, 1.0)


def test_shifted_predictions_that_are_nan_show():
    one, nan = gaussians([[0.0]], 1.0, [1.0], np.zeros(3)), gaussians([[np.nan]], 1.0, [1.0], np.zeros(3))
    assert np.isnan(scores.auroc(one, nan))
    assert np.isnan(scores.fpr95(one, nan))


# --- risk and coverage --------------------------------------------------------------------------------------------


def area(order, losses):
    return np.mean([np.mean([losses[row] for row in order[:k]]) for k in range(1, len(order) + 1)])


def test_the_risk_coverage_curve_is_that_of_leaving_rows_out_one_by_one():
    outcome = drawn(rows=30)
    mixed = np.einsum("s,snc->nc", np.exp(outcome.prediction.log_weights), np.exp(outcome.prediction.log_probs))
    wrong = mixed.argmax(1) != outcome.targets
    assert scores.aurc(outcome) == pytest.approx(area(np.argsort(-mixed.max(1)), wrong), rel=1e-12)


def test_rows_as_sure_as_each_other_have_the_mean_over_all_their_orders():
    variances, losses = [1.0, 1.0, 2.0, 2.0, 2.0], [1.0, 0.0, 4.0, 0.0, 1.0]
    outcome = gaussians(np.zeros((1, 5)), np.sqrt([variances]), [1.0], np.sqrt(losses))
    orders = [order for order in permutations(range(5)) if {*order[:2]} == {0, 1}]
    assert scores.aurc(outcome) == pytest.approx(np.mean([area(order, losses) for order in orders]), rel=1e-12)


def test_who_is_as_sure_of_all_rows_has_its_error_rate_and_who_knows_has_less():
    probabilities = np.tile([0.8, 0.2], (1, 10, 1))
    targets = np.array([0] * 7 + [1] * 3)
    assert scores.aurc(classes(probabilities, [1.0], targets)) == pytest.approx(0.3)
    probabilities[0, 7:] = [0.6, 0.4]
    knows = np.mean([0] * 7 + [1 / 8, 2 / 9, 3 / 10])
    assert scores.aurc(classes(probabilities, [1.0], targets)) == pytest.approx(knows)


# --- offers -------------------------------------------------------------------------------------------------------


def test_one_stands_in_tables_by_itself_and_that_where_there_are_shifted_splits():
    scored = [metric for metric in harness_bayes.harness_metrics() if metric.measures == "score"]
    assert [(metric.name, metric.shifted) for metric in scored] == [("auroc", True)]


def test_samples_of_classes_need_not_be_kept_for_them():
    of_classes = [metric for metric in harness_bayes.harness_metrics() if "classification" in metric.kinds]
    assert all(metric.mixture for metric in of_classes)
