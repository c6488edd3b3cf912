"""Draws, distributions, intervals, densities and synthetic rows of an imputer."""

import itertools

import numpy as np
import pandas as pd
import polars as pl
import pytest
from light import light
from pandas.testing import assert_frame_equal

from skhvae import forecaster
from skhvae.datasets import make_heterogeneous
from skhvae.evaluation import crps_of_quantiles, hide_cells, log_score

N_ROWS = 400


@pytest.fixture(scope="module")
def case():
    """The truth, the table with gaps, which cells were hidden, and an imputer of some skill."""
    truth = make_heterogeneous(N_ROWS, random_state=0).data
    table, hidden = hide_cells(truth, 0.25, random_state=0)
    imputer = light(max_iter=25, hidden_layer_sizes=(32,), validation_fraction=0.2).fit(table)
    return truth, table, np.asarray(hidden), imputer


@pytest.fixture(scope="module")
def draws(case):
    _, table, _, imputer = case
    return imputer.sample_imputations(table, n_imputations=6, random_state=0)


# Draws.


def test_draws_are_complete_and_keep_what_is_observed(case, draws):
    truth, table, hidden, _ = case
    assert len(draws) == 6
    for draw in draws:
        assert draw.dtypes.equals(table.dtypes)
        assert draw.index.equals(table.index)
        assert not draw.isna().any(axis=None)
        assert ((draw == truth) | hidden).all(axis=None)


def test_draws_are_values_that_a_cell_can_have(case, draws):
    truth = case[0]
    for draw in draws:
        for name in truth:
            if isinstance(truth[name].dtype, pd.CategoricalDtype):
                assert draw[name].cat.categories.equals(truth[name].cat.categories)
            elif truth[name].dtype != "bool":
                assert truth[name].min() <= draw[name].min()
                assert draw[name].max() <= truth[name].max()
        assert (draw["count_1"] == draw["count_1"].round()).all()


def test_draws_differ_where_there_is_doubt(case, draws):
    hidden = case[2]
    for one, other in itertools.combinations(draws, 2):
        different = (one != other).to_numpy()
        assert not (different & ~hidden).any()
        assert (different & hidden).any(axis=0).all()


def test_draws_are_reproducible(case, draws):
    _, table, _, imputer = case
    again = imputer.sample_imputations(table, n_imputations=2, random_state=0)
    for one, other in zip(again, draws, strict=False):
        assert_frame_equal(one, other)
    own = imputer.sample_imputations(table, n_imputations=1)  # of the estimator's random_state
    assert_frame_equal(own[0], draws[0])
    other = imputer.sample_imputations(table, n_imputations=1, random_state=1)
    assert not other[0].equals(draws[0])


def test_draws_of_a_row_do_not_depend_on_others(case, draws):
    _, table, _, imputer = case
    some = table.sample(50, random_state=0)
    found = imputer.sample_imputations(some, n_imputations=2, random_state=0)
    for one, other in zip(found, draws, strict=False):
        assert_frame_equal(one, other.loc[some.index])


def test_draws_do_not_depend_on_how_many_rows_are_drawn_at_once(case, draws, monkeypatch):
    _, table, _, imputer = case
    monkeypatch.setattr(forecaster, "_DRAWN", 64)
    assert_frame_equal(imputer.sample_imputations(table, 1, random_state=0)[0], draws[0])
    synthetic = imputer.sample(100, random_state=0)
    monkeypatch.undo()
    assert_frame_equal(imputer.sample(100, random_state=0), synthetic)


def test_rows_that_hold_the_same_are_drawn_apart(case):
    _, table, _, imputer = case
    row = table[table.isna().sum(axis=1) >= 4].iloc[[0]]
    same = pd.concat([row] * 200, ignore_index=True)
    (draw,) = imputer.sample_imputations(same, 1, random_state=0)
    real = draw.loc[:, row.isna().iloc[0].to_numpy()].select_dtypes("float")
    assert len(real.drop_duplicates()) > 150


def test_draws_come_one_at_a_time(case, draws):
    _, table, _, imputer = case
    stream = imputer.iter_imputations(table, n_imputations=10**9, random_state=0)
    for draw in draws:
        assert_frame_equal(next(stream), draw)


def test_the_mean_of_draws_is_about_what_is_predicted(case):
    _, table, hidden, imputer = case
    many = list(imputer.iter_imputations(table, 60, random_state=0))
    spread = imputer.predict_distributions(table)["real_1"]
    cells = hidden[:, table.columns.get_loc("real_1")]
    drawn = np.stack([draw["real_1"][cells] for draw in many])
    # Of rows in which this cell alone is missing, the draws are of the very distribution.
    alone = hidden[cells].sum(1) == 1
    middle = np.quantile(drawn, 0.5, axis=0)
    off = (middle - spread[0.5])[alone] / spread["std"][alone]
    assert alone.sum() > 5
    assert np.abs(off).max() < 0.9
    assert np.abs(off.mean()) < 0.2


def test_cells_that_belong_together_are_drawn_together():
    """Two columns that are equal, both missing in the same rows: independent draws would differ in half of them."""
    rng = np.random.default_rng(0)
    level = rng.choice(["x", "y"], 600)
    table = pd.DataFrame({"a": level, "b": level, "c": rng.standard_normal(600)}, dtype="object")
    table["c"] = table["c"].astype(float)
    table.loc[:149, ["a", "b"]] = np.nan
    imputer = light(max_iter=40, hidden_layer_sizes=(16,), mechanism="mar").fit(table)
    same = [(d["a"] == d["b"])[:150].mean() for d in imputer.sample_imputations(table, 3, 0)]
    assert min(same) > 0.9
    drawn = imputer.sample_imputations(table, 1, 0)[0]["a"][:150]
    assert 0.3 < (drawn == "x").mean() < 0.7


def test_several_members_take_turns():
    table = hide_cells(make_heterogeneous(100, random_state=0).data, random_state=0)[0]
    imputer = light(n_members=3, bootstrap=True).fit(table)
    draws = imputer.sample_imputations(table, 4, random_state=0)
    assert all(not draw.isna().any(axis=None) for draw in draws)
    lower, upper = imputer.predict_interval(table)
    assert (lower["real_1"] <= upper["real_1"]).all()


# Distributions and intervals.


def test_distributions_are_of_the_missing_cells(case):
    truth, table, _, imputer = case
    found = imputer.predict_distributions(table, quantiles=(0.1, 0.9))
    assert list(found) == truth.columns.tolist()
    for name, distribution in found.items():
        assert distribution.index.equals(table.index[table[name].isna()])
        if isinstance(truth[name].dtype, pd.CategoricalDtype) or truth[name].dtype == "bool":
            np.testing.assert_allclose(distribution.sum(axis=1), 1.0)
            assert distribution.min(axis=None) >= 0
        else:
            assert distribution.columns.tolist() == ["mean", "std", 0.1, 0.9]
            assert (distribution[0.1] <= distribution[0.9]).all()
    assert found["datetime_1"][0.1].dtype == truth["datetime_1"].dtype
    assert found["datetime_1"]["std"].dtype.kind == "m"
    mean = imputer.transform(table)["real_1"][table["real_1"].isna()]
    np.testing.assert_allclose(found["real_1"]["mean"], mean, rtol=1e-6)


def test_distributions_say_more_than_the_marginal(case):
    """Scores beside those of the observed values' own distribution."""
    truth, table, hidden, imputer = case
    levels = np.linspace(0.025, 0.975, 20)
    found = imputer.predict_distributions(table, levels)
    for name in ("real_2", "positive_1", "count_1"):
        cells = hidden[:, table.columns.get_loc(name)]
        known = table[name].dropna().to_numpy(dtype=float)
        true = truth[name][cells].to_numpy(dtype=float)
        marginal = np.tile(np.quantile(known, levels), (len(true), 1))
        score = crps_of_quantiles(true, found[name][levels].to_numpy(dtype=float), levels).mean()
        assert score < crps_of_quantiles(true, marginal, levels).mean()
    probs = found["nominal_1"]
    codes = probs.columns.get_indexer(
        truth["nominal_1"][hidden[:, table.columns.get_loc("nominal_1")]]
    )
    shares = table["nominal_1"].value_counts(normalize=True)[probs.columns].to_numpy()
    marginal = log_score(codes, np.tile(shares, (len(codes), 1))).mean()
    assert log_score(codes, probs.to_numpy()).mean() < marginal


def test_intervals_cover(case):
    truth, table, hidden, imputer = case
    for coverage in (0.6, 0.9):
        lower, upper = imputer.predict_interval(table, coverage)
        numbers = ["real_1", "real_2", "positive_1"]
        lower, upper, true = (x[numbers] for x in (lower, upper, truth))
        covered = (lower <= true) & (true <= upper)
        cells = hidden[:, [table.columns.get_loc(name) for name in covered]]
        assert abs(covered.to_numpy()[cells].mean() - coverage) < 0.08


def test_intervals_are_tables_like_the_completed_one(case):
    truth, table, hidden, imputer = case
    for end in imputer.predict_interval(table, 0.8):
        assert end.dtypes.equals(table.dtypes)
        ordered = ["real_1", "count_1", "ordinal_1", "datetime_1"]
        assert not end[ordered].isna().any(axis=None)
        assert end["nominal_1"].isna().equals(table["nominal_1"].isna())
        assert (
            (end[ordered] == truth[ordered]) | hidden[:, truth.columns.get_indexer(ordered)]
        ).all(axis=None)


def test_wider_intervals_contain_narrower_ones(case):
    _, table, _, imputer = case
    ends = [imputer.predict_interval(table, coverage) for coverage in (0.5, 0.8, 0.95)]
    for (low, high), (lower, higher) in itertools.pairwise(ends):
        for name in ("real_1", "positive_1", "ordinal_1", "datetime_1"):
            assert (lower[name] <= low[name]).all()
            assert (high[name] <= higher[name]).all()


def test_without_held_out_cells_nothing_is_calibrated(case):
    _, table, _, _ = case
    imputer = light(early_stopping=False).fit(table)
    for ask in (imputer.predict_interval, imputer.sample_imputations):
        for one, other in zip(ask(table), ask(table, calibrate=False), strict=True):
            assert_frame_equal(one, other)


def test_missing_for_its_own_value_is_drawn_so():
    """Large values are missing: draws of them are larger than of cells that are missing at random."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2000, 3)) + rng.standard_normal((2000, 1))
    table = pd.DataFrame(x, columns=list("abc"))
    table.loc[rng.random(2000) < 1 / (1 + np.exp(-3 * (table["a"] - 1))), "a"] = np.nan
    cells = table["a"].isna()
    drawn, true = {}, x[cells, 0].mean()
    for mechanism in ("mar", "mnar"):
        imputer = light(max_iter=15, hidden_layer_sizes=(16,), mechanism=mechanism).fit(table)
        drawn[mechanism] = imputer.sample_imputations(table, 1, 0)[0]["a"][cells].mean()
    assert abs(drawn["mnar"] - true) < abs(drawn["mar"] - true)


# Densities and synthetic rows.


def test_usual_rows_are_denser_than_shuffled_ones(case):
    truth, _, _, imputer = case
    shuffled = pd.DataFrame(
        {
            name: truth[name].sample(frac=1, random_state=i).to_numpy()
            for i, name in enumerate(truth)
        }
    ).astype(truth.dtypes)
    usual, unusual = imputer.score_samples(truth), imputer.score_samples(shuffled)
    assert usual.shape == (N_ROWS,)
    assert usual.mean() > unusual.mean()


def test_rows_without_observed_cells_have_density_one(case):
    _, table, _, imputer = case
    empty = table.iloc[:3].mask(table.iloc[:3].notna())
    assert imputer.score_samples(empty).tolist() == [0.0] * 3


def test_synthetic_rows_are_like_the_training_table(case):
    truth, table, _, imputer = case
    rows = imputer.sample(300, random_state=0)
    assert rows.shape == (300, truth.shape[1])
    assert rows.dtypes.equals(table.dtypes)
    assert not rows.isna().any(axis=None)
    assert rows["real_1"].between(table["real_1"].min(), table["real_1"].max()).all()
    shares = rows["nominal_1"].value_counts(normalize=True)
    assert (shares - table["nominal_1"].value_counts(normalize=True)).abs().max() < 0.25
    assert_frame_equal(rows, imputer.sample(300, random_state=0))
    assert not rows.equals(imputer.sample(300, random_state=1))
    assert_frame_equal(imputer.transform(rows), rows)


# Other input, and wrong input.


def test_arrays_and_polars(case):
    _, table, _, _ = case
    numbers = table[["real_1", "real_2", "positive_1"]]
    of_array = light().fit(numbers.to_numpy())
    (draw,) = of_array.sample_imputations(numbers.to_numpy(), 1)
    assert isinstance(draw, np.ndarray)
    assert not np.isnan(draw).any()
    assert isinstance(of_array.predict_interval(numbers.to_numpy())[0], np.ndarray)
    frame = pl.from_pandas(numbers)
    of_polars = light().fit(frame)
    (draw,) = of_polars.sample_imputations(frame, 1)
    assert isinstance(draw, pl.DataFrame)
    assert draw.null_count().sum_horizontal().item() == 0
    assert isinstance(of_polars.predict_interval(frame)[1], pl.DataFrame)
    assert of_polars.predict_distributions(frame)["real_1"].shape[1] == 5


def test_columns_with_nothing_to_learn():
    table = pd.DataFrame(
        {"constant": ["x", None, "x", "x"], "empty": [np.nan] * 4, "real": [0.1, 0.7, np.nan, 1.3]}
    )
    with pytest.warns(UserWarning, match="empty"):
        imputer = light(keep_empty_features=True).fit(table)
    (draw,) = imputer.sample_imputations(table, 1)
    assert draw["constant"].tolist() == ["x"] * 4
    assert draw["empty"].tolist() == [0.0] * 4
    assert list(imputer.predict_distributions(table)) == ["real"]
    assert imputer.sample(2, random_state=0)["constant"].tolist() == ["x", "x"]
    lower, _ = imputer.predict_interval(table)
    assert not lower["real"].isna().any()
    assert len(imputer.score_samples(table)) == 4


def test_a_table_with_nothing_to_learn_at_all():
    table = pd.DataFrame({"constant": [1.0, 1.0, np.nan]})
    imputer = light().fit(table)
    (draw,) = imputer.sample_imputations(table, 1)
    assert draw["constant"].tolist() == [1.0] * 3
    assert imputer.predict_distributions(table) == {}
    assert imputer.score_samples(table).tolist() == [0.0] * 3
    assert imputer.sample(2)["constant"].tolist() == [1.0, 1.0]


def test_a_table_without_gaps(case):
    truth, _, _, imputer = case
    (draw,) = imputer.sample_imputations(truth, 1)
    assert_frame_equal(draw, truth)
    assert all(len(d) == 0 for d in imputer.predict_distributions(truth).values())


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda imputer, table: imputer.sample_imputations(table, 0), "positive integer, found 0"),
        (lambda imputer, table: imputer.sample_imputations(table, 2.0), "positive integer"),
        (lambda imputer, table: imputer.sample(True), "positive integer"),
        (lambda imputer, table: imputer.predict_interval(table, 90), "between 0 and 1, found 90"),
        (lambda imputer, table: imputer.score_features(table, coverage=0), "between 0 and 1"),
        (lambda imputer, table: imputer.predict_distributions(table, [0.5, 1]), "quantiles must"),
        (lambda imputer, table: imputer.predict_distributions(table, []), "quantiles must"),
        (lambda imputer, table: imputer.sample_imputations(table[["real_1"]], 1), "now missing"),
    ],
)
def test_bad_input(case, ask, words):
    _, table, _, imputer = case
    with pytest.raises(ValueError, match=words):
        ask(imputer, table)


# Scores.


def test_proper_scores_stand_beside_the_errors(case):
    truth, table, hidden, imputer = case
    plain = imputer.score_features(table, truth)
    found = imputer.score_features(table, truth, proper_scores=True, coverage=0.8)
    assert_frame_equal(found[plain.columns], plain)
    scores = found[["crps", "log_score", "brier", "coverage", "width"]]
    given = scores.notna()
    assert given.loc["real_1"].tolist() == [True, False, False, True, True]
    assert given.loc["ordinal_1"].tolist() == [False, True, True, True, True]
    assert given.loc["nominal_1"].tolist() == [False, True, True, False, False]
    assert given.loc["binary_1"].tolist() == [False, True, True, False, False]
    cells = hidden[:, table.columns.get_loc("real_2")]
    lower, upper = (end["real_2"][cells] for end in imputer.predict_interval(table, 0.8))
    covered = ((lower <= truth["real_2"][cells]) & (truth["real_2"][cells] <= upper)).mean()
    assert found.loc["real_2", "coverage"] == pytest.approx(covered, abs=0.011)
    span = table["real_2"].max() - table["real_2"].min()
    assert found.loc["real_2", "width"] == pytest.approx((upper - lower).mean() / span, rel=1e-4)
    alone = imputer.score_features(table, proper_scores=True)
    assert (alone["crps"].notna() == found["crps"].notna()).all()


def test_proper_scores_count_rows_by_their_weights(case):
    truth, table, _, imputer = case
    weights = np.r_[np.ones(200), np.zeros(N_ROWS - 200)]
    found = imputer.score_features(table, truth, sample_weight=weights, proper_scores=True)
    first = imputer.score_features(table[:200], truth[:200], proper_scores=True)
    columns = ["crps", "log_score", "brier", "coverage"]
    assert_frame_equal(found[columns], first[columns], rtol=1e-6)
