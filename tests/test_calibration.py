"""Maps from predicted to true levels, temperatures, and what intervals cover."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from skhvae.calibration import TEMPERATURES, Calibration, effective_number

ONE = slice(0, 1)


def of_levels(levels, below=None, seed=0, weights=None):
    levels = np.asarray(levels, dtype=float)
    below = levels if below is None else np.asarray(below)
    unknown = np.full((len(levels), len(TEMPERATURES)), np.nan)
    weights = None if weights is None else [weights]
    return Calibration([below], [levels], [unknown], np.random.default_rng(seed), weights)


def levels_for(calibration, wanted):
    return calibration.levels(torch.as_tensor(wanted, dtype=torch.float64)[:, None], ONE)[
        :, 0
    ].numpy()


def of_codes(log_probs):
    """Of cells at which the true level is the first one."""
    nothing = np.zeros(len(log_probs))
    tempered = np.stack([log_softmax(log_probs / t)[:, 0] for t in TEMPERATURES], axis=-1)
    return Calibration([nothing], [nothing], [tempered], np.random.default_rng(0))


def log_softmax(x):
    return x - np.logaddexp.reduce(x, axis=1, keepdims=True)


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 2.0), (0.5, 1.0), (-1.0, 0.5)])
def test_a_wrong_normal_distribution_is_put_right(shift, scale):
    rng = np.random.default_rng(0)
    predicted = stats.norm.cdf(shift + scale * rng.standard_normal(20_000))
    found = stats.norm.ppf(levels_for(of_levels(predicted), stats.norm.cdf([-1.5, 0.0, 1.5])))
    np.testing.assert_allclose(found, shift + scale * np.array([-1.5, 0.0, 1.5]), atol=0.08)


def test_a_skewed_distribution_is_put_right():
    rng = np.random.default_rng(0)
    predicted = stats.norm.cdf(rng.exponential(size=20_000))
    found = stats.norm.ppf(levels_for(of_levels(predicted), [0.1, 0.5, 0.9]))
    np.testing.assert_allclose(found, stats.expon.ppf([0.1, 0.5, 0.9]), atol=0.05)


def test_few_cells_change_little_and_none_nothing():
    levels = np.array([0.01, 0.3, 0.5, 0.97])
    nothing = of_levels([])
    np.testing.assert_allclose(levels_for(nothing, levels), levels, atol=1e-6)
    assert nothing.coverage(0.9).item() == pytest.approx(0.9)
    few = of_levels([0.99, 0.98])
    assert np.abs(levels_for(few, levels) - levels).max() < 0.15


@settings(max_examples=50)
@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=60),
    st.lists(st.floats(1e-6, 1 - 1e-6), min_size=2, max_size=9),
)
def test_maps_increase_and_can_be_inverted(predicted, wanted):
    calibration, wanted = of_levels(predicted), np.sort(wanted)
    levels = levels_for(calibration, wanted)
    assert ((levels > 0) & (levels < 1)).all()
    assert (np.diff(levels) >= 0).all()
    back = calibration.nominal_levels(torch.from_numpy(levels)[:, None], ONE)[:, 0]
    inside = (levels > 1e-9) & (levels < 1 - 1e-9)
    np.testing.assert_allclose(back.numpy()[inside], wanted[inside], atol=1e-4)


def test_masses_are_spread_over_their_levels():
    """A predicted mass of 0.8 at a value that all cells have: nothing is wrong with levels within it."""
    calibration = of_levels(np.full(20_000, 0.9), below=np.full(20_000, 0.1))
    found = levels_for(calibration, [0.25, 0.5, 0.75])
    np.testing.assert_allclose(found, [0.3, 0.5, 0.7], atol=0.02)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_temperature(temperature):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 4))
    probs = np.exp(log_softmax(logits))
    truth = (probs.cumsum(1) < rng.random((20_000, 1))).sum(1)
    order = (np.arange(4) + truth[:, None]) % 4  # the true level comes first
    calibration = of_codes(np.take_along_axis(temperature * logits, order, 1))
    predicted = torch.from_numpy(np.exp(log_softmax(temperature * logits[:5])))[:, None]
    found = calibration.probs(predicted, ONE)[:, 0]
    np.testing.assert_allclose(found, probs[:5], atol=0.04)


def test_intervals_cover_what_they_should_and_not_more():
    """Counts, whose quantiles jump: an interval at the nominal coverage contains too many."""
    rng = np.random.default_rng(0)
    means = rng.uniform(1, 4, 20_000)
    distribution = stats.poisson(means)
    truth = distribution.rvs(random_state=rng)
    below, reached = distribution.cdf(truth - 1), distribution.cdf(truth)
    calibration = of_levels(reached, below)
    calibration.learn_intervals([below], [reached])

    def covered(nominal):
        low, high = (distribution.ppf((1 + side * nominal) / 2) for side in (-1, 1))
        return ((low <= truth) & (truth <= high)).mean()

    for coverage in (0.5, 0.8, 0.9):
        nominal = calibration.coverage(coverage).item()
        assert nominal < coverage
        assert coverage - 0.01 <= covered(nominal) <= covered(coverage)
        assert covered(nominal) < coverage + 0.02


def test_intervals_that_are_too_narrow_become_wider():
    rng = np.random.default_rng(0)
    levels = stats.norm.cdf(2 * rng.standard_normal(5000))
    calibration = of_levels([])
    calibration.learn_intervals([levels], [levels])
    half = stats.norm.ppf((1 + calibration.coverage(0.9).item()) / 2)
    assert half == pytest.approx(2 * stats.norm.ppf(0.95), abs=0.15)


# Weights


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.floats(1e-3, 1e3))
def test_equal_weights_are_no_weights(predicted, weight):
    predicted, unknown = np.array(predicted), np.full((len(predicted), len(TEMPERATURES)), np.nan)
    found = []
    for weights in (None, [np.full(len(predicted), weight)]):
        generator = np.random.default_rng(0)
        calibration = Calibration([predicted], [predicted], [unknown], generator, weights)
        calibration.learn_intervals([predicted], [predicted], weights)
        coverages = [calibration.coverage(c).item() for c in (0.3, 0.5, 0.9)]
        found.append([*levels_for(calibration, [0.05, 0.5, 0.7]), *coverages])
    np.testing.assert_allclose(*found, rtol=1e-6)


def test_weights_make_cells_speak_for_others():
    """Rows with a large x have wide errors, and are missing more often: so are those that count."""
    rng = np.random.default_rng(0)
    x = rng.random(20_000)
    predicted = stats.norm.cdf((1 + 2 * x) * rng.standard_normal(20_000))
    weights = np.exp(4 * x)
    calibration = of_levels(predicted, weights=weights)
    others = rng.choice(predicted, 20_000, p=weights / weights.sum())
    wanted = [0.1, 0.5, 0.9]
    low, middle, high = levels_for(calibration, wanted)
    for level, share in ((low, 0.1), (middle, 0.5), (high, 0.9)):
        assert (others < level).mean() == pytest.approx(share, abs=0.015)
    plain = of_levels([])
    plain.learn_intervals([predicted], [predicted], [weights])
    nominal = plain.coverage(0.9).item()
    covered = np.abs(others - 0.5) <= nominal / 2
    assert covered.mean() == pytest.approx(0.9, abs=0.01)


def test_effective_number():
    assert effective_number(np.full(7, 0.3)) == pytest.approx(7)
    assert effective_number(np.array([1.0, 0.0, 0.0])) == pytest.approx(1)
    assert effective_number(np.zeros(0)) == 0


# Other distributions


@settings(max_examples=50)
@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=60),
    st.floats(-1, 1),
    st.floats(0.5, 2),
    st.lists(st.floats(0.01, 0.99), min_size=2, max_size=9),
)
def test_levels_are_carried_over_to_other_distributions(predicted, shift, scale, wanted):
    """A normal that has become another one: the values at wanted levels are as they were."""
    calibration = of_levels(predicted)
    values = stats.norm.ppf(levels_for(calibration, wanted))
    calibration.carry_over(0, (calibration.scores - shift) / scale)
    found = shift + scale * stats.norm.ppf(levels_for(calibration, wanted))
    inside = np.abs(values) < 2  # beyond, maps are coarser than the distributions can be apart
    np.testing.assert_allclose(found[inside], values[inside], atol=0.05)
    assert (np.diff(levels_for(calibration, np.sort(wanted))) >= 0).all()


def test_distributions_that_stay_carry_nothing():
    calibration = of_levels(np.random.default_rng(0).random(100) ** 2)
    before = levels_for(calibration, [0.01, 0.5, 0.9])
    calibration.carry_over(0, calibration.scores)
    np.testing.assert_allclose(levels_for(calibration, [0.01, 0.5, 0.9]), before, atol=1e-6)
