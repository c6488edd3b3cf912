"""Weights of rows: as good as repetitions, wherever something is learned from the rows."""

import numpy as np
import pandas as pd
import pytest
from cuda_device import needs_cuda
from light import light
from sklearn import config_context
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skhvae.codecs import NumericCodec
from skhvae.datasets import make_heterogeneous
from skhvae.evaluation import hide_cells, imputation_errors
from skhvae.held_out import HeldOutCells
from skhvae.likelihoods import LIKELIHOODS
from skhvae.models import MODELS
from skhvae.objectives import ELBO, OBJECTIVES
from skhvae.schema import infer_schema
from skhvae.table import numbers

COMPLETE = make_heterogeneous(90, random_state=0).data
TABLE = hide_cells(COMPLETE, random_state=0)[0]
COUNTS = np.random.default_rng(0).integers(0, 4, len(TABLE))


def assert_same_fit(one, other, table=TABLE):
    """To the last bit."""
    pd.testing.assert_frame_equal(one.transform(table), other.transform(table), check_exact=True)
    for name in ("feature_errors_", "gradient_conflict_", "missingness_"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name), check_exact=True)
    histories = [imputer.history_.drop(columns="seconds") for imputer in (one, other)]
    pd.testing.assert_frame_equal(*histories, check_exact=True)


# The order of rows


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("n_members", [1, 2])
def test_the_order_of_the_rows_does_not_matter(model, n_members):
    imputer = light(model=model, n_members=n_members)
    shuffled = TABLE.sample(frac=1, random_state=1)
    assert not shuffled.index.equals(TABLE.index)
    assert_same_fit(light(**imputer.get_params()).fit(TABLE), imputer.fit(shuffled))


# Counts


def test_whole_weights_are_repetitions():
    repeated = TABLE.iloc[np.repeat(np.arange(len(TABLE)), COUNTS)]
    weighted = light().fit(TABLE, sample_weight=COUNTS)
    assert_same_fit(weighted, light().fit(repeated.sample(frac=1, random_state=0)))
    assert not weighted.transform(TABLE).equals(light().fit(TABLE).transform(TABLE))


@pytest.mark.parametrize("constant", [1, 1.0, 0.3])
def test_equal_weights_change_nothing(constant):
    weights = np.full(len(TABLE), constant)
    assert_same_fit(light().fit(TABLE, sample_weight=weights), light().fit(TABLE))


@pytest.mark.parametrize("factor", [1, 0.5])
def test_rows_without_weight_are_as_good_as_absent(factor):
    """With levels, types and ranges that no other row has."""
    odd = TABLE.iloc[:2].assign(nominal_1="only here", real_1=1e9, count_1=-3.0)
    table = pd.concat([odd, TABLE])
    weights = factor * np.append([0, 0], 1 + COUNTS)
    weighted = light().fit(table, sample_weight=weights)
    expected = light().fit(TABLE, sample_weight=weights[2:])
    assert_same_fit(weighted, expected)
    assert weighted.feature_types_ == expected.feature_types_
    assert light().fit(table).feature_types_ != expected.feature_types_


def test_fit_transform_passes_weights_on():
    weights = 0.5 + COUNTS
    completed = light().fit_transform(TABLE, sample_weight=weights)
    expected = light().fit(TABLE, sample_weight=weights).transform(TABLE)
    pd.testing.assert_frame_equal(completed, expected, check_exact=True)


# In expectation


LARGE = np.arange(300) % 10 < 4
POPULATIONS = {
    "number": np.where(LARGE, 10.0, 0.0) + np.random.default_rng(0).normal(size=300),
    "level": np.where(LARGE, "large", np.where(np.arange(300) % 10 < 9, "small", "tiny")),
}


def imputed(column, weights):
    """What a third of the cells is taken for, where nothing else is known of their rows."""
    table = pd.DataFrame({column: POPULATIONS[column]})
    empty = np.arange(300) % 3 == 0
    table.loc[empty, column] = np.nan
    imputer = light(max_iter=40, learning_rate_init=0.01, mechanism="mar", early_stopping=False)
    completed = imputer.fit(table, sample_weight=weights).transform(table)
    return completed[column][empty].unique()


@pytest.mark.parametrize("weight", [9.0, 9.0 + 1e-9], ids=["repeated", "drawn"])
def test_weights_are_repetitions_in_expectation(weight):
    """What is imputed is the weighted mean, and the level that weighs most."""
    weights = np.where(LARGE, weight, 1.0)
    np.testing.assert_allclose(imputed("number", weights), 9 * 4 / (9 * 4 + 6) * 10, atol=0.7)
    assert imputed("level", weights).tolist() == ["large"]


def test_without_weights_the_populations_give_other_answers():
    """Or the test above shows nothing."""
    np.testing.assert_allclose(imputed("number", None), 4, atol=0.7)
    assert imputed("level", None).tolist() == ["small"]


class Spy(ELBO):
    """Notes the rows of every step."""

    def __init__(self):
        super().__init__(0.1)
        self.rows = []

    def __call__(self, model, values, *args, **kwargs):
        self.rows.append(values)
        return super().__call__(model, values, *args, **kwargs)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("n_members", [1, 2])
def test_every_objective_with_weights(objective, n_members):
    imputer = light(objective=objective, n_members=n_members)
    completed = imputer.fit_transform(TABLE, sample_weight=0.5 + COUNTS)
    assert not completed.isna().any(axis=None)


def test_every_epoch_draws_in_proportion(monkeypatch):
    """In training and in the last stretch; beside it the cells that are held out."""
    spy, judged = Spy(), []
    monkeypatch.setattr("skhvae.recipe._objective_of", lambda estimator: spy)
    judge = HeldOutCells.__init__

    def noting(self, values, *args):
        judged.append(values)
        judge(self, values, *args)

    monkeypatch.setattr(HeldOutCells, "__init__", noting)
    table = pd.DataFrame({name: np.arange(40) / 7 for name in "abcdef"})
    weights = np.where(np.arange(40) < 20, 0.5, 1.5)
    imputer = light(batch_size=40, max_iter=6).fit(table, sample_weight=weights)
    first_heavy = imputer._engine.encoder.encode(table)[0][20, 0]
    assert len(spy.rows) == 6
    assert len(judged) == 1
    n_light = 0
    for rows in [*spy.rows, *judged]:
        light_rows, heavy = rows[rows[:, 0] < first_heavy, 0], rows[rows[:, 0] >= first_heavy, 0]
        assert len(rows) == 40
        assert len(light_rows.unique()) == len(light_rows)  # one in two, at most once
        assert len(heavy.unique()) == 20  # at least once
        n_light += len(light_rows)
    assert n_light == pytest.approx(7 * 10, abs=20)


# Scales and errors


@pytest.mark.parametrize("family", ["normal", "lognormal"])
def test_scales_are_those_of_the_repeated_column(family):
    column = pd.Series([1.0, 2.5, np.nan, 7.0, 4.0], name="x")
    feature = infer_schema(column.to_frame())["x"]
    values, counts = numbers(column, column.isna().to_numpy()), np.array([3, 1, 2, 1, 5])
    likelihood = LIKELIHOODS[family]()
    repeated = NumericCodec(feature, likelihood, values.repeat(counts))
    weighted = NumericCodec(feature, likelihood, values, counts / counts.mean())
    plain = NumericCodec(feature, likelihood, values)
    np.testing.assert_allclose(
        weighted.to_model(values) * weighted.scale, repeated.to_model(values) * repeated.scale
    )
    # In units of the median, which weights leave as it is.
    assert weighted.scale == pytest.approx(repeated.scale)
    assert weighted.scale != pytest.approx(plain.scale)


@pytest.fixture(scope="module")
def fitted():
    return light().fit(TABLE)


def test_weighted_errors_are_those_of_the_repeated_table(fitted):
    rows = np.repeat(np.arange(len(TABLE)), COUNTS)
    table, truth = (x.reset_index(drop=True).iloc[rows] for x in (TABLE, COMPLETE))
    table, truth = (x.reset_index(drop=True) for x in (table, truth))
    weighted = fitted.score_features(TABLE, COMPLETE, sample_weight=COUNTS)
    expected = fitted.score_features(table, truth)
    columns = ["type", "metric", "error", "baseline", "ratio"]
    pd.testing.assert_frame_equal(weighted[columns], expected[columns])
    assert (weighted["n_cells"] < expected["n_cells"]).any()
    score = fitted.score(TABLE, COMPLETE, sample_weight=COUNTS)
    assert score == pytest.approx(-weighted["error"].mean())
    assert score != pytest.approx(fitted.score(TABLE, COMPLETE))


def test_feature_errors_are_weighted(monkeypatch):
    asked = []

    def spy(truth, imputed, hidden, schema, sample_weight):
        asked.append((truth.index, sample_weight))
        return imputation_errors(truth, imputed, hidden, schema, sample_weight)

    monkeypatch.setattr("skhvae.completer.imputation_errors", spy)
    weights = pd.Series(0.5 + COUNTS, TABLE.index)
    light().fit(TABLE, sample_weight=weights)
    ((index, found),) = asked
    np.testing.assert_allclose(found, weights[index] / weights.mean())
    assert index.sort_values().equals(TABLE.index.sort_values())


# What is refused


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(len(TABLE) - 1), "expected"),
        (np.ones((len(TABLE), 2)), "1D"),
        (-COUNTS, "Negative"),
        (np.where(COUNTS == 0, np.nan, 1.0), "NaN"),
        (np.where(COUNTS == 0, np.inf, 1.0), "infinity"),
        (np.zeros(len(TABLE)), "weight.*zero"),
        (np.eye(len(TABLE))[0], "At least 2 rows"),
    ],
    ids=["length", "shape", "negative", "nan", "infinite", "zero", "one row"],
)
def test_bad_weights_raise_before_training_and_change_nothing(weights, message, monkeypatch):
    monkeypatch.setattr("skhvae.engine.train", lambda *args, **kwargs: pytest.fail("trained"))
    imputer = light()
    before = dict(vars(imputer))
    with pytest.raises(ValueError, match=message):
        imputer.fit(TABLE, sample_weight=weights)
    assert vars(imputer) == before


def test_chunks_have_no_weights():
    with pytest.raises(ValueError, match="X comes in chunks"):
        light().fit([TABLE, TABLE], sample_weight=COUNTS)


def test_another_fit_goes_on_from_no_checkpoint_of_other_weights(tmp_path, monkeypatch):
    """What was broken off is another fit."""
    weights = 0.5 + COUNTS
    with monkeypatch.context() as patched:
        patched.setattr("skhvae.engine.finish", lambda *args, **kwargs: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            light(checkpoint_dir=tmp_path).fit(TABLE, sample_weight=weights)
    left = set(tmp_path.iterdir())
    assert left
    assert_same_fit(light(checkpoint_dir=tmp_path).fit(TABLE), light().fit(TABLE))
    assert set(tmp_path.iterdir()) == left
    again = light(checkpoint_dir=tmp_path).fit(TABLE, sample_weight=weights)
    assert_same_fit(again, light().fit(TABLE, sample_weight=weights))
    assert not list(tmp_path.iterdir())


def test_bad_weights_of_scores(fitted):
    with pytest.raises(ValueError, match="Negative"):
        fitted.score(TABLE, sample_weight=-COUNTS)


# Metadata routing

NUMBERS = TABLE[["real_1", "real_2", "positive_1"]]
TARGET = COMPLETE["real_2"].to_numpy()
WEIGHTS = 0.5 + COUNTS


def test_a_pipeline_routes_weights():
    expected = light().fit(NUMBERS, sample_weight=WEIGHTS)
    with config_context(enable_metadata_routing=True):
        imputer = light().set_fit_request(sample_weight=True)
        model = make_pipeline(imputer, Ridge().set_fit_request(sample_weight=False))
        model.fit(NUMBERS, TARGET, sample_weight=WEIGHTS)
    completed = model[0].transform(NUMBERS)
    pd.testing.assert_frame_equal(completed, expected.transform(NUMBERS), check_exact=True)
    assert not completed.equals(light().fit_transform(NUMBERS))


def test_weights_that_are_not_requested_are_refused():
    with config_context(enable_metadata_routing=True):
        model = make_pipeline(light(), Ridge().set_fit_request(sample_weight=True))
        with pytest.raises(
            ValueError, match=r"\[sample_weight\] are passed but are not explicitly set"
        ):
            model.fit(NUMBERS, TARGET, sample_weight=WEIGHTS)


def test_a_search_routes_weights_to_fit_and_score():
    half = len(NUMBERS) // 2
    folds = [(np.arange(half), np.arange(half, len(NUMBERS)))]
    with config_context(enable_metadata_routing=True):
        imputer = light().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = GridSearchCV(imputer, {"max_iter": [1, 2]}, cv=folds, refit=False)
        search.fit(NUMBERS, sample_weight=WEIGHTS)
    train, test = (NUMBERS[:half], WEIGHTS[:half]), (NUMBERS[half:], WEIGHTS[half:])
    for max_iter, found in zip((1, 2), search.cv_results_["mean_test_score"], strict=True):
        alone = light(max_iter=max_iter).fit(train[0], sample_weight=train[1])
        assert found == pytest.approx(alone.score(test[0], sample_weight=test[1]))
        assert found != pytest.approx(alone.score(test[0]))


@needs_cuda
def test_weights_on_cuda():
    imputer = light(device="cuda", max_iter=6)
    completed = imputer.fit_transform(TABLE, sample_weight=WEIGHTS)
    assert not completed.isna().any(axis=None)
