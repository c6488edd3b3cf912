"""Proper scores, against closed forms, scikit-learn and sums over all pairs."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn.metrics import brier_score_loss, log_loss

from skhvae.datasets import make_heterogeneous
from skhvae.evaluation import (
    brier_score,
    crps_of_draws,
    crps_of_quantiles,
    energy_score,
    interval_score,
    log_score,
)

LEVELS = (np.arange(2000) + 0.5) / 2000


def crps_of_normal(z):
    """Gneiting and Raftery 2007, eq. 21, of the standard normal distribution."""
    return z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi)


def test_crps_of_many_quantiles_is_that_in_closed_form():
    truth = np.linspace(-3, 3, 13)
    quantiles = np.broadcast_to(stats.norm.ppf(LEVELS), (13, 2000))
    found = crps_of_quantiles(truth, quantiles, LEVELS)
    np.testing.assert_allclose(found, crps_of_normal(truth), atol=1e-3)


def test_crps_of_draws_has_no_bias_for_few_of_them():
    rng = np.random.default_rng(0)
    draws = rng.standard_normal((3, 200_000))
    found = crps_of_draws(np.full(200_000, 0.7), draws).mean()
    assert abs(found - crps_of_normal(0.7)) < 4 * 0.75 / np.sqrt(200_000)


@given(hnp.arrays(float, (5, 4), elements=st.floats(-100, 100, width=32)))
def test_crps_of_draws_is_the_mean_over_all_pairs(draws):
    truth, m = np.arange(4.0), len(draws)
    pairs = np.abs(draws[:, None] - draws[None]).sum((0, 1)) / (2 * m * (m - 1))
    expected = np.abs(draws - truth).mean(0) - pairs
    np.testing.assert_allclose(crps_of_draws(truth, draws), expected, atol=1e-9)
    np.testing.assert_allclose(crps_of_draws(truth, draws[::-1]), expected, atol=1e-9)


def test_scores_of_levels_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    probabilities, truth = rng.dirichlet([1, 1, 1], 50), rng.integers(3, size=50)
    found = log_score(truth, probabilities).mean()
    np.testing.assert_allclose(found, log_loss(truth, probabilities, labels=[0, 1, 2]))
    binary, event = rng.random(50), rng.integers(2, size=50)
    found = brier_score(event, np.column_stack([1 - binary, binary])).mean()
    np.testing.assert_allclose(found, 2 * brier_score_loss(event, binary))


def test_what_was_impossible_costs_much_and_not_infinitely():
    assert 700 < log_score([0], [[0.0, 1.0]])[0] < 710
    assert brier_score([0], [[0.0, 1.0]])[0] == 2


def proper(score, believed, others):
    """Whether believing the truth is better on average than anything else."""
    assert all(score(believed) < score(other) for other in others)


def test_scores_are_best_for_the_true_distribution():
    rng = np.random.default_rng(1)
    x = rng.standard_normal(20_000)
    grid = (np.arange(99) + 0.5) / 99

    def quantiles(loc, scale):
        return np.broadcast_to(stats.norm.ppf(grid, loc, scale), (len(x), 99))

    others = [(0.3, 1.0), (0.0, 0.6), (0.0, 1.6)]
    proper(lambda p: crps_of_quantiles(x, quantiles(*p), grid).mean(), (0.0, 1.0), others)

    def of_interval(parameters):
        low, high = stats.norm(*parameters).interval(0.8)
        return interval_score(x, np.full_like(x, low), np.full_like(x, high), 0.8).mean()

    proper(of_interval, (0.0, 1.0), others)
    level = rng.choice(3, 20_000, p=[0.5, 0.3, 0.2])
    for score in (log_score, brier_score):
        proper(
            lambda p, score=score: score(level, np.tile(p, (len(level), 1))).mean(),
            (0.5, 0.3, 0.2),
            [(0.6, 0.25, 0.15), (0.4, 0.35, 0.25), (1 / 3, 1 / 3, 1 / 3)],
        )


def one_column(values):
    return pd.DataFrame({"x": values})


@settings(deadline=None)
@given(hnp.arrays(float, (4, 6), elements=st.floats(-100, 100, width=32)))
def test_energy_score_of_one_number_is_its_crps(draws):
    truth = np.arange(6.0)
    hidden = np.array([[True], [False], [True], [True], [True], [True]])
    drawn = [one_column(np.where(hidden[:, 0], draw, truth)) for draw in draws]
    found = energy_score(one_column(truth), drawn, hidden)
    expected = np.where(hidden[:, 0], crps_of_draws(truth, draws) / 5.0, np.nan)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_energy_score_of_mixed_rows():
    """Against the definition, pair by pair and cell by cell."""
    table = make_heterogeneous(40, random_state=0).data
    rng = np.random.default_rng(0)
    draws = [
        pd.DataFrame({c: table[c].sample(frac=1, random_state=i).to_numpy() for c in table})
        .astype(table.dtypes)
        for i in range(3)
    ]  # fmt: skip
    hidden = rng.random(table.shape) < 0.4
    hidden[0] = False

    def number(column, x):
        if table[column].dtype.kind == "M":
            x, all_ = x.value, table[column].astype("datetime64[ns]").astype("int64")
        else:
            all_ = table[column]
        return float(x) / float(all_.max() - all_.min())

    def squared(column, a, b):
        if isinstance(table[column].dtype, pd.CategoricalDtype) and table[column].cat.ordered:
            levels = table[column].cat.categories.tolist()
            return ((levels.index(a) - levels.index(b)) / len(levels)) ** 2
        if table[column].dtype in ("category", "bool"):
            return float(a != b)
        return (number(column, a) - number(column, b)) ** 2

    def distance(one, other, row):
        cells = [c for c, h in zip(table, hidden[row], strict=True) if h]
        return sum(squared(c, one[c].iloc[row], other[c].iloc[row]) for c in cells) ** 0.5

    found = energy_score(table, draws, hidden)
    assert np.isnan(found[0])
    for row in hidden.any(axis=1).nonzero()[0]:
        to_truth = np.mean([distance(draw, table, row) for draw in draws])
        pairs = [distance(draws[i], draws[j], row) for i, j in ((0, 1), (0, 2), (1, 2))]
        np.testing.assert_allclose(found[row], to_truth - np.mean(pairs) / 2, atol=1e-9)


def test_energy_score_prefers_draws_whose_cells_belong_together():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(2000)
    truth = pd.DataFrame({"x": x, "y": x})
    hidden = np.ones(truth.shape, dtype=bool)
    together, apart = [], []
    for _ in range(10):
        z, other = rng.standard_normal((2, 2000))
        together.append(pd.DataFrame({"x": z, "y": z}))
        apart.append(pd.DataFrame({"x": z, "y": other}))
    scores = [energy_score(truth, draws, hidden).mean() for draws in (together, apart)]
    assert scores[0] < scores[1]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: crps_of_quantiles([1.0], [[1.0]], [0.2, 0.8]), "found \\(1, 1\\)"),
        (lambda: crps_of_quantiles([1.0], [[1.0, 2.0]], [0.8, 0.2]), "increase"),
        (lambda: crps_of_draws([1.0], [[1.0]]), "m >= 2"),
        (lambda: log_score([0, 1], [[1.0]]), "found \\(1, 1\\)"),
        (lambda: interval_score([0.0], [0.0], [0.0], 90), "between 0 and 1"),
        (lambda: energy_score(one_column([1.0]), [one_column([1.0])], [[True]]), "At least two"),
        (lambda: energy_score(one_column([1.0]), [one_column([1.0])] * 2, [True]), "hidden must"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()
