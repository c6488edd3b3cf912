"""The estimator: what it promises of tables, names, scores, copies and randomness."""

import copy
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from cuda_device import needs_cuda
from light import light
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_html_repr

from skhvae import HeterogeneousVAEImputer
from skhvae.datasets import make_heterogeneous
from skhvae.evaluation import hide_cells, imputation_errors
from skhvae.models import MODELS
from skhvae.moo import PCGrad, strategy_names
from skhvae.objectives import ELBO, OBJECTIVES

MADE = make_heterogeneous(120, random_state=0)
COMPLETE = MADE.data.set_axis(pd.Index([f"row {i}" for i in range(120)], name="who"))
TABLE, HIDDEN = hide_cells(COMPLETE, random_state=0)
NUMBERS = TABLE[["real_1", "positive_1", "count_1"]].to_numpy()


@pytest.fixture(scope="module")
def fitted():
    return light().fit(TABLE)


def assert_same(first, second):
    if isinstance(first, pd.DataFrame):
        pd.testing.assert_frame_equal(first, second, check_exact=True)
    else:
        np.testing.assert_array_equal(first, second)
        assert first.dtype == second.dtype


# Tables in, tables out


def test_a_table_comes_back_complete(fitted):
    completed = fitted.transform(TABLE)
    assert isinstance(completed, pd.DataFrame)
    pd.testing.assert_index_equal(completed.index, TABLE.index)
    pd.testing.assert_index_equal(completed.columns, TABLE.columns)
    pd.testing.assert_series_equal(completed.dtypes, TABLE.dtypes)
    assert not completed.isna().any(axis=None)


def test_observed_cells_are_never_changed(fitted):
    before = TABLE.copy(deep=True)
    completed = fitted.transform(TABLE)
    for name in TABLE:
        known = TABLE[name].notna()
        pd.testing.assert_series_equal(completed[name][known], TABLE[name][known], check_exact=True)
    assert_same(TABLE, before)


def test_a_complete_table_comes_back_as_it_is(fitted):
    complete = COMPLETE.astype(TABLE.dtypes)
    assert_same(fitted.transform(complete), complete)


def test_unseen_levels_stay(fitted):
    table = TABLE.astype({"nominal_1": object})
    table.loc["row 3", "nominal_1"] = "a level of its own"
    completed = fitted.transform(table)
    assert completed.loc["row 3", "nominal_1"] == "a level of its own"
    assert not completed.isna().any(axis=None)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays(dtype, order):
    array = np.asarray(NUMBERS, dtype=dtype, order=order)
    array.flags.writeable = False
    completed = light().fit_transform(array)
    assert isinstance(completed, np.ndarray)
    assert completed.dtype == dtype
    assert np.isfinite(completed).all()
    known = ~np.isnan(array)
    np.testing.assert_array_equal(completed[known], array[known])


def test_arrays_of_objects():
    array = TABLE[["real_1", "nominal_1"]].to_numpy(dtype=object)
    completed = light().fit_transform(array)
    assert completed.dtype == object
    known = ~pd.isna(array)
    assert (completed[known] == array[known]).all()
    assert set(completed[:, 1]) <= set(COMPLETE["nominal_1"])
    assert not pd.isna(completed).any()


def test_lists():
    completed = light().fit_transform([[1.0, 2.5], [np.nan, 3.5], [4.0, 5.5]])
    assert completed.shape == (3, 2)


def test_arrays_and_tables_of_floats_give_the_same():
    table = TABLE[["real_1", "real_2"]]
    array = light().fit_transform(table.to_numpy())
    np.testing.assert_allclose(light().fit_transform(table).to_numpy(), array)


@pytest.mark.parametrize(
    "names", [[3, 1, 2], [("a", 1), ("a", 2), ("b", 1)], ["a", 1, ("b", 2)]], ids=str
)
def test_names_that_are_no_strings(names):
    columns = pd.Index(names, tupleize_cols=False)
    table = TABLE.iloc[:, :3].set_axis(columns, axis=1)
    imputer = light().fit(table)
    completed = imputer.transform(table)
    pd.testing.assert_index_equal(completed.columns, columns)
    assert list(imputer.feature_types_) == names
    assert imputer.n_features_in_ == 3


@pytest.mark.parametrize(
    "names",
    [[b"x", -1, 0.5], [3.0, np.nan, 1.0], ["a", None, float("nan")], [("a", np.nan), ("b", 1), 2]],
    ids=str,
)
def test_names_that_numpy_would_convert_or_not_find_again(names):
    columns = pd.Index(names, dtype=object, tupleize_cols=False)
    table = TABLE.iloc[:, :3].set_axis(columns, axis=1)
    imputer = light().fit(table)
    for report in (imputer.missingness_, imputer.feature_errors_, imputer.gradient_conflict_):
        assert report.index.rename(None).equals(columns)
    twin = pickle.loads(pickle.dumps(imputer))
    assert_same(twin.transform(table), imputer.transform(table))
    assert twin.schema_[columns[1]].type == imputer.schema_[columns[1]].type
    pd.testing.assert_index_equal(imputer.transform(table).columns, columns)


def test_columns_of_many_levels_keep_their_index():
    columns = pd.MultiIndex.from_tuples([("a", "x"), ("a", "y"), ("b", "x")], names=["one", "two"])
    table = TABLE.iloc[:, :3].set_axis(columns, axis=1)
    pd.testing.assert_index_equal(light().fit_transform(table).columns, columns)


@pytest.mark.parametrize(
    "columns", [pd.Index(list("abc"), name="what"), pd.CategoricalIndex(list("abc"))], ids=repr
)
def test_columns_are_what_they_were_beside_indicators(columns):
    table = COMPLETE.iloc[:, :3].set_axis(columns, axis=1)
    imputer = light(add_indicator=True)
    pd.testing.assert_index_equal(imputer.fit_transform(table).columns, columns)  # none, so far
    table.iloc[3, 0] = np.nan
    completed = imputer.fit_transform(table)
    assert completed.columns.tolist() == ["a", "b", "c", "missingindicator_a"]
    assert completed.columns.name == columns.name


# A row's imputation


def test_a_row_does_not_depend_on_the_rows_beside_it(fitted):
    whole = fitted.transform(TABLE)
    some = TABLE.iloc[[90, 5, 5, 33]]
    pd.testing.assert_frame_equal(fitted.transform(some), whole.iloc[[90, 5, 5, 33]], rtol=1e-12)
    one = fitted.transform(TABLE.iloc[[7]])
    pd.testing.assert_frame_equal(one, whole.iloc[[7]], rtol=1e-12)


def test_fit_transform_is_fit_and_transform(fitted):
    assert_same(light().fit_transform(TABLE), fitted.transform(TABLE))


# Randomness


def test_random_state_reproduces(fitted):
    expected = fitted.transform(TABLE)
    assert_same(light().fit(TABLE).transform(TABLE), expected)
    assert_same(fitted.transform(TABLE), expected)
    for other in (1, None):
        assert not light(random_state=other).fit(TABLE).transform(TABLE).equals(expected)
    first, second = (
        light(random_state=np.random.RandomState(3)).fit_transform(TABLE) for _ in range(2)
    )
    assert_same(first, second)


@pytest.mark.parametrize("moo", strategy_names())
@pytest.mark.parametrize("model", MODELS)
def test_global_random_states_are_untouched(moo, model):
    ours, numpys = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    imputer = light(moo=moo, model=model, max_iter=1)
    assert not imputer.fit_transform(TABLE).isna().any(axis=None)
    imputer.score(TABLE)
    assert torch.equal(torch.get_rng_state(), ours)
    assert (np.random.get_state()[1] == numpys[1]).all()  # noqa: NPY002


# Copies


@pytest.mark.parametrize(
    "copied",
    [
        pytest.param(lambda imputer, path: copy.deepcopy(imputer), id="deepcopy"),
        pytest.param(lambda imputer, path: pickle.loads(pickle.dumps(imputer)), id="pickle"),
        pytest.param(
            lambda imputer, path: joblib.load(joblib.dump(imputer, path / "imputer")[0]),
            id="joblib",
        ),
        pytest.param(lambda imputer, path: clone(imputer).fit(TABLE), id="clone"),
    ],
)
def test_copies_give_the_same(fitted, copied, tmp_path):
    twin = copied(fitted, tmp_path)
    assert_same(twin.transform(TABLE), fitted.transform(TABLE))
    assert twin.score(TABLE) == fitted.score(TABLE)


def test_unfitted():
    for method in ("transform", "encode", "score", "score_features", "get_feature_names_out"):
        arguments = [] if method == "get_feature_names_out" else [TABLE]
        with pytest.raises(NotFittedError):
            getattr(light(), method)(*arguments)


def test_fit_changes_no_parameter():
    mine = PCGrad()
    imputer = light(moo=mine, feature_types={"count_1": "real"}, likelihoods={"real": "student-t"})
    before = {name: copy.copy(value) for name, value in imputer.get_params().items()}
    imputer.fit(TABLE)
    assert imputer.get_params().keys() == before.keys()
    assert imputer.moo is mine
    assert vars(mine) == vars(PCGrad())
    assert imputer.feature_types == before["feature_types"]


def test_a_second_fit_starts_afresh(fitted):
    imputer = light(add_indicator=True).fit(NUMBERS)
    imputer.set_params(add_indicator=False).fit(TABLE)
    assert_same(imputer.transform(TABLE), fitted.transform(TABLE))
    assert imputer.n_features_in_ == TABLE.shape[1]
    assert not hasattr(imputer.fit(NUMBERS), "feature_names_in_")


def test_a_fit_that_fails_leaves_everything_as_it_was(fitted):
    imputer = light().fit(TABLE)
    with pytest.raises(ValueError, match="infinity"):
        imputer.fit(TABLE.assign(real_1=np.inf))
    assert_same(imputer.transform(TABLE), fitted.transform(TABLE))
    assert not [name for name in vars(light()) if name.endswith("_")]


# What fit learns


def test_fitted_attributes(fitted):
    assert fitted.feature_types_ == MADE.feature_types
    assert list(fitted.feature_names_in_) == list(TABLE.columns)
    assert fitted.n_features_in_ == TABLE.shape[1]
    assert fitted.n_iter_ == len(fitted.history_)
    assert fitted.n_iter_ == 3
    assert fitted.history_["held_out_error"].notna().sum() == 2  # the last stretch is not judged
    assert fitted.device_ == torch.device("cpu")
    assert list(fitted.history_.index) == [*range(1, fitted.n_iter_ + 1)]
    assert fitted.history_.index.name == "epoch"
    by_feature = fitted.history_[[f"loss[{name}]" for name in TABLE.columns]].sum(axis=1)
    np.testing.assert_allclose(by_feature, fitted.history_["loss"], rtol=1e-5)
    assert {"kl", "held_out_error", *(f"error[{name}]" for name in TABLE)} <= {*fitted.history_}


def test_feature_errors_are_of_cells_held_out_in_fit(fitted):
    errors = fitted.feature_errors_
    assert list(errors.index) == list(TABLE.columns)
    n_observed = TABLE.notna().sum().sum()
    assert errors["n_cells"].sum() == pytest.approx(n_observed / 10, rel=0.2)
    more = light(validation_fraction=0.3).fit(TABLE).feature_errors_
    assert more["n_cells"].sum() == pytest.approx(n_observed * 0.3, rel=0.2)


def test_without_early_stopping_nothing_is_held_out():
    imputer = light(early_stopping=False, n_iter_no_change=1, max_iter=5).fit(TABLE)
    assert imputer.feature_errors_ is None
    assert imputer.n_iter_ == 5
    assert "held_out_error" not in imputer.history_


def test_max_steps_ends_the_training_of_large_tables():
    imputer = light(max_iter=30, max_steps=24, batch_size=60, early_stopping=False).fit(TABLE)
    assert imputer.n_iter_ == 12  # two steps an epoch


def test_declared_types_and_likelihoods():
    imputer = light(
        feature_types={"count_1": "real", "ordinal_1": "nominal"},
        likelihoods={"real": "student-t", "positive_1": "lognormal", "nominal": "categorical"},
    ).fit(TABLE)
    assert imputer.feature_types_ == MADE.feature_types | {
        "count_1": "real",
        "ordinal_1": "nominal",
    }
    assert not imputer.transform(TABLE).isna().any(axis=None)


def test_strategy_of_ones_own():
    shapes = set()

    def inverse_norms(gramian):
        shapes.add(gramian.shape)
        return gramian.diagonal().rsqrt()

    own = light(moo=inverse_norms).fit(TABLE).transform(TABLE)
    assert (10, 10) in shapes
    pd.testing.assert_frame_equal(own, light(moo="equal-norm").fit_transform(TABLE), rtol=1e-3)


def test_strategies_in_a_row():
    chained = light(moo=("equal-norm", "pcgrad")).fit(TABLE)
    assert not chained.transform(TABLE).isna().any(axis=None)
    assert clone(chained).moo == ("equal-norm", "pcgrad")
    once, again = (light(moo=("gradnorm", "graddrop")).fit_transform(TABLE) for _ in range(2))
    pd.testing.assert_frame_equal(once, again, check_exact=True)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("model", MODELS)
def test_every_model_with_every_objective_that_is_defined_for_it(model, objective):
    imputer = light(model=model, objective=objective, n_importance_samples=3)
    if OBJECTIVES[objective].weighs_points and not MODELS[model].has_density:
        with pytest.raises(ValueError, match=f"objective={objective!r}.*model={model!r}"):
            imputer.fit(TABLE)
        return
    completed = imputer.fit_transform(TABLE)
    assert not completed.isna().any(axis=None)
    assert np.isfinite(imputer.history_["loss"]).all()


def test_gradient_conflict_is_in_the_order_of_the_table(fitted):
    conflict = fitted.gradient_conflict_
    assert list(conflict.index) == list(conflict.columns) == list(TABLE.columns)
    np.testing.assert_allclose(np.diag(conflict), 1)
    pd.testing.assert_frame_equal(conflict, conflict.T)
    assert conflict.abs().le(1 + 1e-9).all(axis=None)


def test_history_tells_conflicts_and_weights(fitted):
    history = fitted.history_
    assert history["conflicting_pairs"].between(0, 1).all()
    weights = history.filter(like="weight[")
    assert list(weights.columns.str.slice(7, -1)) == [
        str(feature.name) for feature in fitted._engine.encoder.features
    ]
    assert weights.gt(0).all(axis=None)
    plain = light(moo="sum").fit(TABLE).history_.filter(like="weight[")
    np.testing.assert_allclose(plain, 1)


def test_columns_that_are_not_modelled_conflict_with_nothing():
    table = TABLE.assign(constant=1.5)
    assert "constant" not in light().fit(table).gradient_conflict_


# Going on with a fitted model


def test_warm_start_goes_on_from_the_fitted_model():
    imputer = light(warm_start=True, max_iter=30).fit(TABLE)
    before, losses = imputer._engine.model, [imputer.history_["loss"].iloc[0]]
    imputer.fit(TABLE)
    losses.append(imputer.history_["loss"].iloc[0])
    assert losses[1] < losses[0] - 0.5
    assert imputer._engine.model is not before
    anew = light(max_iter=6).fit(TABLE).fit(TABLE)
    pd.testing.assert_frame_equal(
        anew.transform(TABLE), light(max_iter=6).fit_transform(TABLE), check_exact=True
    )


def test_warm_start_keeps_what_the_strategies_remember():
    def n_steps(**parameters):
        imputer = light(warm_start=True, moo="gradnorm", early_stopping=False)
        imputer.fit(TABLE).set_params(**parameters).fit(TABLE)
        return imputer._engine.impartiality.at("h").strategy._steps.max().item()

    assert n_steps() == 2 * n_steps(warm_start=False)


def test_warm_start_with_another_strategy():
    imputer = light(warm_start=True, moo="gradnorm").fit(TABLE)
    imputer.set_params(moo="pcgrad").fit(TABLE)
    assert isinstance(imputer._engine.impartiality.at("h").strategy, PCGrad)


def test_warm_start_keeps_the_first_schema():
    imputer = light(warm_start=True).fit(TABLE)
    rest = TABLE.iloc[:40].copy()
    rest["real_1"] = rest["real_1"] * 100
    imputer.fit(rest)
    assert imputer.schema_["real_1"].high == light().fit(TABLE).schema_["real_1"].high
    assert imputer.transform(TABLE).dtypes.equals(TABLE.dtypes)


def test_warm_start_without_a_model_is_an_ordinary_fit():
    pd.testing.assert_frame_equal(
        light(warm_start=True).fit_transform(TABLE), light().fit_transform(TABLE)
    )


def test_warm_start_on_a_table_without_an_observed_cell_keeps_the_model():
    imputer = light(warm_start=True).fit(TABLE)
    expected = imputer.transform(TABLE)
    empty = TABLE.mask(np.ones(TABLE.shape, dtype=bool)).astype(TABLE.dtypes)
    pd.testing.assert_frame_equal(imputer.fit(empty).transform(TABLE), expected)


@pytest.mark.parametrize("name", ["real_1", "nominal_1", "ordinal_1"])
def test_warm_start_on_a_table_that_lacks_a_column(name):
    imputer = light(warm_start=True).fit(TABLE)
    lacking = TABLE.copy()
    lacking[name] = pd.Series(index=TABLE.index, dtype=TABLE[name].dtype)
    completed = imputer.fit(lacking).transform(lacking)
    assert not completed.isna().any(axis=None)
    assert completed[name].dtype == TABLE[name].dtype
    assert imputer.missingness_.loc[name, "n_missing"] == len(TABLE)


@pytest.mark.parametrize(
    "change", [{"latent_dim": 2}, {"hidden_layer_sizes": (4,)}, {"model": "vae"}, {"dropout": 0.5}]
)
def test_warm_start_with_another_architecture_is_refused(change):
    imputer = light(warm_start=True).fit(TABLE)
    expected = imputer.transform(TABLE)
    with pytest.raises(ValueError, match=f"another {next(iter(change))}.*warm_start=False"):
        imputer.set_params(**change).fit(TABLE)
    imputer.set_params(**light().get_params() | {"warm_start": True})
    pd.testing.assert_frame_equal(imputer.transform(TABLE), expected)


def test_warm_start_with_other_columns_is_refused():
    imputer = light(warm_start=True).fit(TABLE)
    with pytest.raises(ValueError, match="feature names"):
        imputer.fit(TABLE.drop(columns="real_1"))


# Scores


@pytest.mark.slow
def test_that_a_cell_is_missing_tells_about_the_others():
    """`height` is missing where it is large, and `length` is nearly the same."""
    rng = np.random.default_rng(0)
    height = rng.normal(size=1500)
    table = pd.DataFrame({"height": height, "length": height + 0.1 * rng.normal(size=1500)})
    table["other"] = rng.normal(size=1500)
    table.loc[height > 0.3, "height"] = np.nan
    gone = rng.random(1500) < 0.2
    table.loc[gone, "length"] = np.nan
    imputer = HeterogeneousVAEImputer(max_steps=600, random_state=0)
    imputed = imputer.fit_transform(table)["length"]
    neither = gone & (height > 0.3)
    assert abs(imputed[neither].mean() - height[neither].mean()) < 0.25  # 0.9; of all rows 0


@pytest.fixture(scope="module")
def selected():
    """A table whose cells are missing for their own values, what they are, and an imputer of it."""
    complete = make_heterogeneous(400, random_state=0).data
    table, hidden = hide_cells(complete, 0.3, "mnar", random_state=0)
    imputer = light(max_iter=40, hidden_layer_sizes=(32,), latent_dim=8).fit(table)
    return table, complete, hidden, imputer


def as_if_at_random(imputer):
    imputer = copy.deepcopy(imputer)
    imputer._engine.selection = None
    return imputer


def test_cells_missing_for_their_own_value_are_imputed_as_such(selected):
    table, complete, _, imputer = selected
    report = imputer.missingness_
    assert (report["mechanism"] == "mnar").all()
    assert report.index.tolist() == list(complete.columns)
    assert report["n_missing"].tolist() == table.isna().sum().tolist()
    error = -imputer.score(table, complete)
    assert error < 0.85 * -as_if_at_random(imputer).score(table, complete)  # 0.73


def test_cells_hidden_to_measure_are_not_selected(selected):
    """They were observed, so that the imputer takes them for what observed cells are."""
    table, _, _, imputer = selected
    expected = as_if_at_random(imputer).score_features(table)
    pd.testing.assert_frame_equal(imputer.score_features(table), expected)


@pytest.mark.parametrize("mechanism", ["mcar", "mar"])
def test_cells_missing_at_random_are_no_other_population(mechanism):
    table, _ = hide_cells(make_heterogeneous(400, random_state=0).data, 0.3, mechanism, 0)
    imputer = light(max_iter=40, hidden_layer_sizes=(32,), latent_dim=8).fit(table)
    assert (imputer.missingness_["mechanism"] == "mar").all()
    assert_same(imputer.transform(table), as_if_at_random(imputer).transform(table))


def test_a_prescribed_mechanism(selected):
    table, _, _, imputer = selected
    again = clone(imputer).set_params(mechanism="mar").fit(table)
    assert (again.missingness_["mechanism"] == "mar").all()
    assert again.missingness_["own_value"].isna().all()
    assert_same(again.transform(table), as_if_at_random(imputer).transform(table))
    always = clone(imputer).set_params(mechanism="mnar").fit(table)
    assert_same(always.transform(table), imputer.transform(table))  # it was found anyway


def test_what_is_missing_tells_the_same_after_a_copy(selected):
    table, _, _, imputer = selected
    again = pickle.loads(pickle.dumps(imputer))
    assert_same(again.transform(table), imputer.transform(table))
    pd.testing.assert_frame_equal(again.missingness_, imputer.missingness_)


def test_warm_start_asks_anew_why_cells_are_missing(selected):
    table, complete, _, imputer = selected
    again = copy.deepcopy(imputer).set_params(warm_start=True, max_iter=1)
    assert (again.fit(complete).missingness_["mechanism"] == "mar").all()
    nothing = table.mask(np.ones(table.shape, bool))
    again = copy.deepcopy(imputer).set_params(warm_start=True).fit(nothing)
    pd.testing.assert_frame_equal(again.missingness_, imputer.missingness_)


def test_without_a_model_no_cell_is_missing_for_a_reason():
    assert light().fit(pd.DataFrame({"a": [1.0, np.nan, 1.0]})).missingness_ is None


def test_repeated_rows():
    complete = make_heterogeneous(300, random_state=0).data
    complete = pd.concat([complete, complete[:150]], ignore_index=True)
    table, _ = hide_cells(complete, 0.1, random_state=0)
    imputer = light().fit(table)
    alone = light(use_repeated_rows=False).fit(table)
    assert imputer.score(table, complete) > 0.9 * alone.score(table, complete)  # 0.77
    assert imputer.score(table) == alone.score(table)  # rows would know themselves
    again = pickle.loads(pickle.dumps(imputer))
    assert_same(again.transform(table), imputer.transform(table))
    imputed = imputer.transform(table)
    for rows in (slice(7, 8), slice(None, None, -3)):
        assert_same(imputer.transform(table[rows]), imputed[rows])
    assert imputer._engine.repeats is not None
    assert light().fit(table[:300])._engine.repeats is None
    assert light(early_stopping=False).fit(table)._engine.repeats is None


def test_score_is_minus_the_mean_error(fitted):
    for y in (None, COMPLETE):
        errors = fitted.score_features(TABLE, y)
        assert fitted.score(TABLE, y) == pytest.approx(-errors["error"].mean())
        assert list(errors.index) == list(TABLE.columns)
        assert errors["error"].between(0, 1).all()


def test_score_against_the_complete_table(fitted):
    completed = fitted.transform(TABLE)
    expected = imputation_errors(COMPLETE, completed, HIDDEN, fitted.schema_)
    pd.testing.assert_frame_equal(fitted.score_features(TABLE, COMPLETE), expected)


def test_score_without_truth_hides_the_same_tenth_for_every_candidate(fitted):
    errors = fitted.score_features(TABLE)
    assert errors["n_cells"].sum() == pytest.approx(TABLE.notna().sum().sum() / 10, rel=0.2)
    for other in (light(random_state=1, moo="mgda", model="vae"), light(early_stopping=False)):
        theirs = other.fit(TABLE).score_features(TABLE)
        for column in ("n_cells", "baseline", "metric", "type"):
            pd.testing.assert_series_equal(theirs[column], errors[column])
    pd.testing.assert_frame_equal(fitted.score_features(TABLE), errors)
    state = np.random.default_rng(0).integers(2, size=len(TABLE))
    for target in (state, pd.Series(state, index=TABLE.index), list(state)):
        assert fitted.score(TABLE, target) == fitted.score(TABLE)


def test_score_does_not_see_the_cells_that_it_hides():
    """Of noise nobody knows more than mean and mode, though this model can copy what it sees."""
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(300, 4)), columns=list("abcd"))
    imputer = light(model="vae", moo="sum", beta=0.0, max_iter=60, hidden_layer_sizes=(32,))
    errors = imputer.fit(table).score_features(table)
    assert errors["ratio"].mean() > 0.9
    assert imputer.feature_errors_["ratio"].mean() > 0.9


def test_truth_of_another_shape(fitted):
    with pytest.raises(ValueError, match=r"complete table of X's shape \(120, 10\)"):
        fitted.score(TABLE, COMPLETE.iloc[:50])


def test_scores_of_arrays():
    imputer = light().fit(NUMBERS)
    truth = COMPLETE[["real_1", "positive_1", "count_1"]].to_numpy(dtype=float)
    errors = imputer.score_features(NUMBERS, truth)
    assert list(errors.index) == [0, 1, 2]
    assert imputer.score(NUMBERS, truth) == pytest.approx(-errors["error"].mean())


def test_encode(fitted):
    latent = fitted.encode(TABLE)
    assert latent.shape == (120, 4)
    assert isinstance(latent, np.ndarray)
    np.testing.assert_allclose(fitted.encode(TABLE.iloc[[8, 3]]), latent[[8, 3]], atol=1e-5)
    assert np.ptp(latent, axis=0).min() > 0
    assert_same(fitted.transform(TABLE), fitted.transform(TABLE))


# Names and containers of the output


def test_output_containers(fitted):
    default = fitted.transform(TABLE)
    assert_same(copy.deepcopy(fitted).set_output(transform="default").transform(TABLE), default)
    assert_same(copy.deepcopy(fitted).set_output(transform="pandas").transform(TABLE), default)
    with config_context(transform_output="pandas"):
        assert_same(fitted.transform(TABLE), default)


def test_pandas_output_of_arrays():
    completed = light().set_output(transform="pandas").fit_transform(NUMBERS)
    assert list(completed.columns) == ["x0", "x1", "x2"]
    assert_same(completed.to_numpy(), light().fit_transform(NUMBERS))


def test_polars_output(fitted):
    pl = pytest.importorskip("polars")
    completed = copy.deepcopy(fitted).set_output(transform="polars").transform(TABLE)
    assert isinstance(completed, pl.DataFrame)
    assert completed.columns == list(TABLE.columns)
    expected = fitted.transform(TABLE)
    np.testing.assert_array_equal(completed["real_1"].to_numpy(), expected["real_1"])
    assert completed["nominal_1"].to_list() == expected["nominal_1"].tolist()
    array = light().set_output(transform="polars").fit_transform(NUMBERS)
    assert array.columns == ["x0", "x1", "x2"]


@pytest.fixture
def with_empty():
    return TABLE[["real_1", "nominal_1"]].assign(never=np.nan, complete=1.5)


@pytest.mark.filterwarnings("ignore:Skipping features without any observed values")
@pytest.mark.parametrize("add_indicator", [False, True])
@pytest.mark.parametrize("keep_empty_features", [False, True])
@pytest.mark.parametrize("as_array", [False, True])
def test_names_out_are_those_of_the_output(
    with_empty, add_indicator, keep_empty_features, as_array
):
    imputer = light(add_indicator=add_indicator, keep_empty_features=keep_empty_features)
    table = with_empty.drop(columns="nominal_1").to_numpy() if as_array else with_empty
    imputer.set_output(transform="pandas")
    completed = imputer.fit_transform(table)
    names = ["x0", "x1", "x2"] if as_array else list(table.columns)
    empty = "x1" if as_array else "never"
    expected = [name for name in names if keep_empty_features or name != empty]
    if add_indicator:  # a column for each with missing cells, the empty one among them
        complete = "x2" if as_array else "complete"
        expected += [f"missingindicator_{name}" for name in names if name != complete]
    assert list(imputer.get_feature_names_out()) == expected
    assert list(completed.columns) == expected
    assert not completed.isna().any(axis=None)
    if keep_empty_features:
        assert (completed[empty] == 0).all()


def test_input_features_name_the_columns_of_arrays():
    imputer = light(add_indicator=True).fit(NUMBERS)
    names = imputer.get_feature_names_out(["a", "b", "c"])
    assert list(names[:3]) == ["a", "b", "c"]
    assert set(names[3:]) <= {f"missingindicator_{name}" for name in "abc"}


def test_empty_columns_are_named_in_a_warning(with_empty):
    with pytest.warns(UserWarning, match=r"without any observed values: \['never'\]"):
        light().fit(with_empty)


@pytest.mark.filterwarnings("ignore:Skipping features without any observed values")
@pytest.mark.parametrize("add_indicator", [False, True])
def test_nullable_integers(add_indicator):
    X = pd.DataFrame(
        [
            [pd.NA, 1, 5, pd.NA, 1],
            [2, pd.NA, 1, pd.NA, 2],
            [6, 3, pd.NA, pd.NA, 3],
            [1, 2, 9, pd.NA, 4],
        ],
        dtype="Int16",
        columns=list("abcde"),
    )
    completed = light(add_indicator=add_indicator).fit_transform(X)
    assert (completed[list("abce")].dtypes == "Int16").all()
    from_floats = light(add_indicator=add_indicator).fit_transform(X.astype("Float64"))
    np.testing.assert_array_equal(completed.astype(float), np.rint(from_floats.astype(float)))


# With scikit-learn's other parts


@pytest.mark.parametrize("fit", [False, True], ids=["unfitted", "fitted"])
def test_html(fit):
    """By itself and in a Pipeline; there is no page on the web to link to."""
    imputer = light(max_iter=1)
    model = make_pipeline(imputer, FunctionTransformer())
    if fit:
        model.fit(NUMBERS)
    for estimator in (imputer, model):
        html = estimator_html_repr(estimator)
        assert "HeterogeneousVAEImputer" in html
        assert "max_iter" in html
        assert "HeterogeneousVAEImputer" in estimator._repr_mimebundle_()["text/html"]
    assert imputer._get_doc_link() == ""


def test_before_a_classifier():
    target = np.random.default_rng(0).integers(2, size=len(TABLE))
    model = make_pipeline(light(), HistGradientBoostingClassifier(max_iter=3))
    scores = cross_val_score(model, TABLE[["real_1", "count_1", "nominal_1"]], target, cv=2)
    assert scores.shape == (2,)
    assert np.isfinite(scores).all()


def test_in_a_column_transformer():
    transformer = ColumnTransformer(
        [("impute", light(), ["real_1", "nominal_1"]), ("keep", "passthrough", ["count_1"])],
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    completed = transformer.fit_transform(TABLE)
    assert list(completed.columns) == ["real_1", "nominal_1", "count_1"]
    expected = light().fit_transform(TABLE[["real_1", "nominal_1"]])
    assert_same(completed[["real_1", "nominal_1"]], expected)


def test_grid_search():
    grid = {"moo": ["sum", "equal-norm", PCGrad()], "beta": [0.01, 1.0]}
    search = GridSearchCV(light(max_iter=2), grid, cv=2, error_score="raise").fit(TABLE)
    scores = search.cv_results_["mean_test_score"]
    assert len(scores) == 6
    assert (scores < 0).all()
    assert len(set(scores)) > 1
    assert not search.transform(TABLE).isna().any(axis=None)
    assert search.best_score_ == scores.max()


def test_grid_search_inside_a_pipeline_with_a_target():
    """Its one-dimensional y is not taken for a complete table."""
    target = np.random.default_rng(0).integers(2, size=len(TABLE))
    pipeline = make_pipeline(FunctionTransformer(), light(max_iter=1))
    grid = {"heterogeneousvaeimputer__latent_dim": [2, 3]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(TABLE, target)
    assert (search.cv_results_["mean_test_score"] < 0).all()


# What it says


def test_verbose(capsys):
    imputer = light(verbose=1).fit(TABLE)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Schema of 10 columns"
    for name, kind in MADE.feature_types.items():
        assert any(line.split()[:2] == [name, kind] for line in lines[1:])
    progress = [line for line in lines if line.startswith("epoch")]
    assert len(progress) == imputer.n_iter_
    assert sum("held-out error" in line for line in progress) == 2  # not in the last stretch
    assert [line.split()[1] for line in progress] == ["1/3", "2/3", "3/3"]


def test_silent_by_default(capfd):
    light().fit(TABLE).transform(TABLE)
    assert capfd.readouterr() == ("", "")


class Interrupted(ELBO):
    """Ctrl-C after some steps."""

    steps = 5

    def __call__(self, *args, **kwargs):
        Interrupted.steps -= 1
        if not Interrupted.steps:
            raise KeyboardInterrupt
        return super().__call__(*args, **kwargs)


def test_ctrl_c_keeps_what_was_learned(monkeypatch):
    monkeypatch.setitem(OBJECTIVES, "elbo", Interrupted)
    imputer = light(max_iter=100, batch_size=60)
    with pytest.warns(RuntimeWarning, match="Training was interrupted in epoch 3 of 100"):
        imputer.fit(TABLE)
    assert imputer.n_iter_ == 2
    assert not imputer.transform(TABLE).isna().any(axis=None)
    assert imputer.feature_errors_ is not None


# What it learns


@pytest.mark.parametrize("model", MODELS)
def test_learns_what_depends_on_each_other(model):
    """Far better than mean and mode, on rows that fit has not seen."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=600)
    table = pd.DataFrame(
        {
            "x": x,
            "double": 2 * x + 0.05 * rng.normal(size=600),
            "wave": 100 * np.cos(2 * x),
            "sign": pd.Categorical(np.where(x > 0, "plus", "minus")),
            "third": pd.Categorical(np.digitize(x, [-0.5, 0.5]).astype(str), ordered=True),
        }
    )
    with_gaps, _ = hide_cells(table, random_state=0)
    imputer = HeterogeneousVAEImputer(
        model=model,
        max_iter=60,
        batch_size=64,
        latent_dim=4,
        hidden_layer_sizes=(32,),
        random_state=0,
    ).fit(with_gaps[:400])
    errors = imputer.score_features(with_gaps[400:], table[400:])
    assert (errors["ratio"] < 0.7).all(), errors
    assert errors["ratio"].mean() < 0.5


# Devices


def test_device():
    best = "cuda" if torch.cuda.is_available() else "cpu"
    assert light(device="auto", max_iter=1).fit(NUMBERS).device_.type == best
    message = r"device='warp' cannot be used here.* Use 'auto' or 'cpu'"
    with pytest.raises(ValueError, match=message):
        light(device="warp").fit(TABLE)


def test_a_pickle_from_cuda_loads_where_there_is_none(fitted, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    elsewhere = copy.deepcopy(fitted)
    elsewhere.device_ = torch.device("cuda")
    loaded = pickle.loads(pickle.dumps(elsewhere))
    assert loaded.device_ == torch.device("cpu")
    assert_same(loaded.transform(TABLE), fitted.transform(TABLE))


@needs_cuda
@pytest.mark.parametrize("moo", strategy_names())
def test_cuda(monkeypatch, moo):
    imputer = light(device="cuda", moo=moo).fit(TABLE)
    assert imputer.device_.type == "cuda"
    expected = imputer.transform(TABLE)
    assert not expected.isna().any(axis=None)
    pickled = pickle.dumps(imputer)
    assert_same(pickle.loads(pickled).transform(TABLE), expected)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    elsewhere = pickle.loads(pickled)
    assert elsewhere.device_.type == "cpu"
    pd.testing.assert_frame_equal(elsewhere.transform(TABLE), expected, rtol=1e-6)
