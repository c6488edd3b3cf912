"""What says that a cell is missing."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from skhvae.features import FEATURE_TYPES, Feature
from skhvae.gaps import _OWN_PRECISION, GapRegression, Score, odds_of_missing


def feature(name, kind, levels=None):
    return Feature(name, FEATURE_TYPES[kind], None, "", "", 0, 0, levels=levels)


@pytest.mark.parametrize("precision", [0.3, 3.0])
def test_regression_on_columns_is_logistic_regression(precision):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 3))
    gaps = rng.random(400) < 1 / (1 + np.exp(-x @ [1.0, -2.0, 0.0]))
    oracle = LogisticRegression(C=1 / precision, tol=1e-8).fit(x, gaps)
    chances = oracle.predict_proba(x)[:, 1]
    nats = np.log(np.where(gaps, chances, 1 - chances)).sum()
    chance = gaps.mean()
    nats -= len(gaps) * (chance * np.log(chance) + (1 - chance) * np.log(1 - chance))
    columns = np.column_stack([np.ones(400), x])
    information = columns.T @ (columns * (chances * (1 - chances))[:, None])
    prior = np.diag([0.0, *[precision] * 3])
    n_free = np.trace(np.linalg.solve(information + prior, information)) - 1
    found = GapRegression(gaps, [(x, precision)])
    assert found.gain == pytest.approx(nats - n_free, abs=1e-3)


def test_regression_on_a_known_value_is_logistic_regression():
    """A predictive distribution without spread is a column."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 2))
    gaps = rng.random(400) < 1 / (1 + np.exp(-x @ [1.0, -2.0]))
    nothing, certain = np.zeros((400, 0)), np.zeros((400, 1))
    own = GapRegression(gaps, [(nothing, 1.0)], (certain, x[:, None, :]))
    oracle = LogisticRegression(C=1 / _OWN_PRECISION, tol=1e-8).fit(x, gaps)
    np.testing.assert_allclose(own.of_value, oracle.coef_[0], rtol=1e-3)


@settings(max_examples=50)
@given(st.lists(st.integers(-50, 50), min_size=2, max_size=200))
def test_scores_are_normal_scores_of_ranks(values):
    values = np.array(values, dtype=float)
    score = Score(values, feature("a", "real"))
    if len(np.unique(values)) == 1:
        assert not score.usable
        return
    found = score.basis(values)[:, 0]
    assert (np.diff(found[np.argsort(values)]) >= 0).all()
    assert score.basis(values[::-1])[::-1] == pytest.approx(score.basis(values))
    assert score.basis(np.array([-1e9, 1e9]))[:, 0] == pytest.approx([found.min(), found.max()])


@pytest.mark.parametrize("kind", ["real", "nominal"])
def test_scores_without_a_value(kind):
    score = Score(np.zeros(0), feature("a", kind, levels=np.array(["x", "y"])))
    assert not score.usable
    assert np.isfinite(score.basis(np.zeros(3))).all()
    assert not score.columns(np.zeros(3), np.zeros(3, dtype=bool)).any()


def test_levels_are_scored_one_by_one():
    levels = np.array(list("abc"))
    score = Score(np.array([0.0, 2.0, 2.0]), feature("a", "nominal", levels=levels))
    np.testing.assert_array_equal(score.basis(np.array([2.0, 0.0, 1.0])), np.eye(3)[[2, 0, 1]])
    # To explain another column, the most frequent level is the one that all others are compared with.
    columns = score.columns(np.array([2.0, 0.0, 0.0]), np.array([True, True, False]))
    np.testing.assert_array_equal(columns, [[0.0], [1.0], [0.0]])


def test_too_many_levels_are_not_asked():
    levels = np.array([str(i) for i in range(100)])
    assert not Score(np.arange(100.0), feature("a", "nominal", levels=levels)).usable


# Odds


def table(n_rows=4000, seed=0):
    """A number, a level with three values, and a number whose gaps depend on both."""
    rng = np.random.default_rng(seed)
    number, level, third = (
        rng.standard_normal(n_rows),
        rng.integers(0, 3, n_rows),
        rng.random(n_rows),
    )
    log_odds = 1.5 * number + np.array([-1.0, 0.0, 1.0])[level] - 1
    gaps = rng.random(n_rows) < 1 / (1 + np.exp(-log_odds))
    observed = np.column_stack([np.ones((n_rows, 2), dtype=bool), ~gaps])
    return np.column_stack([number, level, third]), observed, log_odds


FEATURES = [
    feature("number", "real"),
    feature("level", "nominal", levels=np.array(list("xyz"))),
    feature("third", "real"),
]


def odds(values, observed):
    return odds_of_missing(
        torch.tensor(values, dtype=torch.float32), torch.tensor(observed), FEATURES
    )


def test_odds_are_what_gaps_depend_on():
    values, observed, log_odds = table()
    found = odds(values, observed)
    assert found.shape == values.shape
    assert not found[:, :2].any(), "columns without gaps"
    difference = found[:, 2] - log_odds
    assert difference.std() < 0.25
    assert np.corrcoef(found[:, 2], log_odds)[0, 1] > 0.99


def test_odds_do_not_depend_on_values_that_are_not_observed():
    values, observed, _ = table(500)
    others = np.where(observed, values, 7.0)
    np.testing.assert_array_equal(odds(values, observed), odds(others, observed))


def test_gaps_without_reason_have_equal_odds():
    rng = np.random.default_rng(0)
    values, observed, _ = table()
    observed = rng.random(observed.shape) < 0.7
    assert odds(values, observed).std(0).max() < 0.15


def test_too_few_gaps_are_not_asked():
    values, observed, _ = table(200)
    observed[:, 2] = np.arange(200) >= 19
    assert not odds(values, observed).any()
    observed[:, 2] = np.arange(200) < 19
    assert not odds(values, observed).any()
