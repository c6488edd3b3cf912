"""The imputer as a step of scikit-learn's workflows: pipelines, searches, cross-validation, caches, joblib."""

import functools
import json
import os
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from light import light
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GridSearchCV,
    HalvingRandomSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from subprocesses import output_of

from skhvae import HeterogeneousVAEImputer
from skhvae.datasets import make_heterogeneous
from skhvae.evaluation import hide_cells
from skhvae.moo import GradNorm

COMPLETE = make_heterogeneous(120, random_state=0).data
PRICE = np.exp(COMPLETE["real_1"].rank() / 40).to_numpy()
TARGET = (COMPLETE["real_1"] > COMPLETE["real_1"].median()).to_numpy()
TABLE = hide_cells(COMPLETE.drop(columns="real_1"), random_state=0)[0]
TABLE = TABLE.assign(town=TABLE["nominal_1"].astype("str")).set_axis(range(1000, 1120))
TOWNS = pd.CategoricalDtype(COMPLETE["nominal_1"].cat.categories.astype("str"))
LEVELS = ["town", "nominal_1", "nominal_2", "ordinal_1"]
OTHERS = [name for name in TABLE if name not in ("town", "datetime_1")]


light = functools.partial(light, max_iter=2)


class Spy(HeterogeneousVAEImputer):
    """Remembers which rows every call of fit was shown."""

    fits = []

    def fit(self, X, y=None):
        self.fits.append(X.index.tolist())
        return super().fit(X, y)


@pytest.fixture
def spy():
    Spy.fits.clear()
    return light(Spy)


def days(dates):
    return (dates - pd.Timestamp("2020-01-01")) / pd.Timedelta(days=1)


def as_towns(texts):
    return texts.astype(TOWNS)


def boosting(imputer):
    """Imputer -> columns as the classifier takes them, which are neither dates nor texts -> classifier."""
    columns = ColumnTransformer(
        [
            ("days", FunctionTransformer(days), ["datetime_1"]),
            ("towns", FunctionTransformer(as_towns), ["town"]),
        ],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    classifier = HistGradientBoostingClassifier(
        max_iter=5, min_samples_leaf=5, categorical_features="from_dtype"
    )
    return Pipeline([("impute", imputer), ("columns", columns), ("classify", classifier)])


# Pipelines


def test_boosting_finds_the_categories_of_a_completed_table():
    pipeline = boosting(light()).fit(TABLE, TARGET)
    received = pipeline[:-1].transform(TABLE)
    assert not received.isna().any(axis=None)
    pd.testing.assert_series_equal(received.dtypes[OTHERS], TABLE.dtypes[OTHERS])
    *columns, classifier = pipeline[1:]
    assert {*classifier.feature_names_in_[classifier.is_categorical_]} == {*LEVELS}
    completed = light().fit_transform(TABLE)
    by_hand = make_pipeline(*map(clone, columns), clone(classifier)).fit(completed, TARGET)
    np.testing.assert_array_equal(pipeline.predict_proba(TABLE), by_hand.predict_proba(completed))


def test_inside_a_column_transformer_it_sees_its_own_columns():
    own = ["town", "nominal_1", "positive_1"]
    transformer = ColumnTransformer(
        [("impute", light(), own), ("dates", "drop", ["datetime_1"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    found = transformer.fit_transform(TABLE)
    expected = light().fit_transform(TABLE[own])
    pd.testing.assert_frame_equal(found[own], expected, check_exact=True)
    rest = list(TABLE.columns.drop([*own, "datetime_1"]))
    pd.testing.assert_frame_equal(found[rest], TABLE[rest], check_exact=True)
    assert list(found) == list(transformer.get_feature_names_out()) == own + rest


def test_a_transformed_target_and_columns_that_do_not_matter():
    table = TABLE.assign(
        constant="same",
        number=[f"A{i}" for i in range(len(TABLE))],
        noise=np.random.default_rng(0).normal(size=len(TABLE)),
        empty=np.nan,
    )
    table.loc[::7, ["constant", "number", "noise"]] = None
    texts = make_column_selector(dtype_include=["category", "object", "string", "bool", "boolean"])
    encode = ColumnTransformer(
        [
            ("levels", OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts),
            ("numbers", "passthrough", make_column_selector(dtype_include="number")),
        ]
    )
    imputer = light(feature_types={"number": "nominal"})
    regressor = make_pipeline(imputer, encode, SelectKBest(f_regression, k=5), Ridge())
    model = TransformedTargetRegressor(regressor, func=np.log, inverse_func=np.exp)
    with pytest.warns(UserWarning, match="empty"):
        model.fit(table, PRICE)
    with pytest.warns(UserWarning, match="empty"):
        by_hand = clone(regressor).fit(table, np.log(PRICE))
    fitted = model.regressor_[0]
    assert list(fitted.feature_names_in_) == list(table)
    assert not fitted.transform(table).isna().any(axis=None)
    np.testing.assert_allclose(model.predict(table), np.exp(by_hand.predict(table)), rtol=1e-12)
    assert not hasattr(imputer, "schema_")


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_union_of_features(n_jobs):
    """The completed table and the latent space, side by side."""
    latent = [f"z{i}" for i in range(4)]
    encode = FunctionTransformer(
        light().fit(TABLE).encode, feature_names_out=lambda transformer, names: latent
    )
    union = FeatureUnion([("table", light()), ("latent", encode)], n_jobs=n_jobs)
    with joblib.parallel_config("threading"):
        joined = union.set_output(transform="pandas").fit_transform(TABLE)
    assert list(joined) == [f"table__{name}" for name in TABLE] + [f"latent__{z}" for z in latent]
    expected = light().fit(TABLE)
    pd.testing.assert_frame_equal(
        joined.iloc[:, : TABLE.shape[1]].set_axis(TABLE.columns, axis=1),
        expected.transform(TABLE),
        check_exact=True,
    )
    np.testing.assert_array_equal(joined.iloc[:, TABLE.shape[1] :], expected.encode(TABLE))


# Copies


def test_clones_at_every_stage_start_anew():
    fitted = boosting(light(moo=(GradNorm(), "pcgrad"))).fit(TABLE, TARGET)
    expected = fitted.predict_proba(TABLE)
    search = GridSearchCV(clone(fitted), {"impute__latent_dim": [4]}, cv=2)
    stages = [
        clone(fitted),
        fitted,
        clone(search).estimator,
        search.fit(TABLE, TARGET).best_estimator_,
    ]
    for stage in stages:
        copy = clone(stage)
        assert copy["impute"].get_params().keys() == stage["impute"].get_params().keys()
        assert not [name for name in vars(copy["impute"]) if name.endswith("_") or name[0] == "_"]
        assert copy["impute"].moo[0] is not stage["impute"].moo[0]
        np.testing.assert_array_equal(copy.fit(TABLE, TARGET).predict_proba(TABLE), expected)
    np.testing.assert_array_equal(fitted.predict_proba(TABLE), expected)


# Cross-validation


def test_no_validation_row_reaches_fit(spy):
    splits = list(StratifiedKFold(3).split(TABLE, TARGET))
    found = cross_val_predict(boosting(spy), TABLE, TARGET, cv=splits, method="predict_proba")
    assert Spy.fits == [TABLE.index[train].tolist() for train, _ in splits]
    scores = cross_val_score(boosting(spy), TABLE, TARGET, cv=splits)
    for (train, test), score in zip(splits, scores, strict=True):
        by_hand = boosting(light()).fit(TABLE.iloc[train], TARGET[train])
        np.testing.assert_array_equal(found[test], by_hand.predict_proba(TABLE.iloc[test]))
        assert score == by_hand.score(TABLE.iloc[test], TARGET[test])


# Searches, in processes and one at a time


def results_of(search, n_jobs):
    search = clone(search).set_params(n_jobs=n_jobs, error_score="raise")
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        search.fit(TABLE, TARGET)
    results = pd.DataFrame(search.cv_results_)
    return search, results.loc[:, ~results.columns.str.contains("time")]


@pytest.mark.slow
def test_grid_search_in_two_processes():
    grid = {"moo": ["sum", ("equal-norm", "pcgrad")], "beta": [0.1, 1.0], "latent_dim": [2, 4]}
    search = GridSearchCV(light(), grid, cv=2)
    (found, results), (_, expected) = results_of(search, 2), results_of(search, 1)
    pd.testing.assert_frame_equal(results, expected, check_exact=True)
    assert results["mean_test_score"].nunique() == len(results) == 8
    best = light(**found.best_params_).fit(TABLE)
    pd.testing.assert_frame_equal(found.transform(TABLE), best.transform(TABLE), check_exact=True)


@pytest.mark.slow
def test_halving_search_over_epochs_in_two_processes():
    choices = {
        "impute__moo": ["sum", "equal-norm", ("equal-norm", "pcgrad")],
        "impute__beta": loguniform(0.05, 1.0),
        "impute__latent_dim": [2, 4, 8],
    }
    search = HalvingRandomSearchCV(
        boosting(light()),
        choices,
        resource="impute__max_iter",
        n_candidates=4,
        min_resources=1,
        max_resources=4,
        factor=2,
        cv=2,
        random_state=0,
    )
    (found, results), (_, expected) = results_of(search, 2), results_of(search, 1)
    pd.testing.assert_frame_equal(results, expected, check_exact=True)
    assert found.n_resources_ == [1, 2, 4]
    assert found.n_candidates_ == [4, 2, 1]
    assert found.best_estimator_["impute"].n_iter_ == 4


# Caches


def test_what_is_in_the_cache_is_not_fitted_again(spy, tmp_path):
    pipeline = boosting(spy).set_params(memory=joblib.Memory(tmp_path, verbose=0))
    expected = boosting(light()).fit(TABLE, TARGET).predict_proba(TABLE)
    for _ in range(2):
        fitted = clone(pipeline).fit(TABLE.copy(), TARGET)
        np.testing.assert_array_equal(fitted.predict_proba(TABLE), expected)
        assert len(Spy.fits) == 1
    clone(pipeline).set_params(impute__beta=0.5).fit(TABLE, TARGET)
    assert len(Spy.fits) == 2
    clone(pipeline).fit(TABLE.iloc[1:], TARGET[1:])
    assert len(Spy.fits) == 3


def test_a_search_over_later_steps_fits_the_imputer_once_a_fold(spy, tmp_path):
    pipeline = boosting(spy).set_params(memory=joblib.Memory(tmp_path, verbose=0))
    GridSearchCV(pipeline, {"classify__max_iter": [2, 3, 4]}, cv=2).fit(TABLE, TARGET)
    assert [len(rows) for rows in Spy.fits] == [60, 60, 120]


# joblib after torch has run


def score_and_place(imputer, X, y=None):
    return {
        "score": imputer.score(X),
        "threads": torch.get_num_threads(),
        "process": os.getpid(),
    }


def validated(backend, **options):
    with joblib.parallel_config(backend, **options):
        found = cross_validate(
            light(), TABLE, cv=2, n_jobs=2, scoring=score_and_place, error_score="raise"
        )
    return {k: v.tolist() for k, v in found.items() if k.startswith("test_")}


def after_torch_has_run():
    """To be run in a process of its own, where torch has threads, and has used them."""
    torch.set_num_threads(2)
    torch.ones(10**6).exp()
    found = {
        "loky": validated("loky", inner_max_num_threads=1),
        "multiprocessing": validated("multiprocessing"),
    }
    torch.set_num_threads(1)  # threads share the process's cores only so
    found["threading"] = validated("threading")
    print(json.dumps(found | {"parent": os.getpid()}))


@pytest.mark.slow
def test_every_backend_works_after_torch_has_run():
    """In forked workers OpenMP waited for threads that had stayed behind in the parent."""
    found = json.loads(output_of("import test_workflows; test_workflows.after_torch_has_run()"))
    parent = found.pop("parent")
    expected = cross_val_score(light(), TABLE, cv=2).tolist()
    for backend, results in found.items():
        assert results["test_score"] == expected, backend
        assert results["test_threads"] == [1, 1], backend
        assert (parent in results["test_process"]) == (backend == "threading")


# Several threads at once


@pytest.mark.parametrize("n", [1, 2])
def test_transform_in_several_threads(n_threads, n):
    n_threads(n)
    imputer = light(add_indicator=True).fit(TABLE)
    tables = [TABLE.sample(n_rows, random_state=n_rows) for n_rows in range(110, 118)]

    def results(table):
        return imputer.transform(table), imputer.encode(table), imputer.score(table)

    expected = [results(table) for table in tables]
    with ThreadPoolExecutor(4) as pool:
        for found, own in zip(pool.map(results, tables), expected, strict=True):
            pd.testing.assert_frame_equal(found[0], own[0], check_exact=True)
            np.testing.assert_array_equal(found[1], own[1])
            assert found[2] == own[2]


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2])
def test_fits_in_several_threads(n_threads, n):
    """Each has generators, dropout and strategies' memories of its own; the global ones stay alone."""
    n_threads(n)
    variants = [
        {"moo": "gradnorm"},
        {"moo": "graddrop"},
        {"moo": (GradNorm(), "random")},
        {"dropout": 0.5, "n_members": 2, "random_state": 1},
        {"objective": "iwae"},
        {"model": "hivae"},
    ]

    def results(variant):
        imputer = light(max_iter=1, **variant).fit(TABLE)
        return imputer.transform(TABLE), imputer.history_.drop(columns="seconds")

    states = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    expected = [results(variant) for variant in variants]
    with ThreadPoolExecutor(4) as pool:
        for found, own in zip(pool.map(results, variants), expected, strict=True):
            pd.testing.assert_frame_equal(found[0], own[0], check_exact=True)
            pd.testing.assert_frame_equal(found[1], own[1], check_exact=True)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002
