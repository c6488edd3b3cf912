"""Searches over strategies: in processes that share the cores, in threads, and in a Pipeline."""

import json
import os

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from subprocesses import output_of

from skhvae import HeterogeneousVAEImputer
from skhvae.datasets import make_heterogeneous
from skhvae.evaluation import hide_cells
from skhvae.moo import GradNorm

COMPLETE = make_heterogeneous(120, random_state=0).data
TABLE, _ = hide_cells(COMPLETE.drop(columns="real_1"), random_state=0)
TARGET = (COMPLETE["real_1"] > COMPLETE["real_1"].median()).to_numpy()
CHAIN = "equal-norm", "pcgrad"
STRATEGIES = ["sum", "equal-norm", "pcgrad", CHAIN]


def light(**parameters):
    defaults = dict(max_iter=2, latent_dim=4, hidden_layer_sizes=(8,), random_state=0, device="cpu")
    return HeterogeneousVAEImputer(**defaults | parameters)


def search(n_jobs, moo=STRATEGIES, **options):
    grid = {"moo": moo, "beta": [0.1, 1.0]}
    options = dict(cv=2, refit=False, error_score="raise") | options
    return GridSearchCV(light(), grid, n_jobs=n_jobs, **options).fit(TABLE)


def scores(searched):
    return np.stack([searched.cv_results_[f"split{fold}_test_score"] for fold in range(2)])


def score_and_threads(estimator, X, y=None):
    """Every value is a column of cv_results_, so that what a worker sees travels back."""
    return {
        "score": estimator.score(X),
        "threads": torch.get_num_threads(),
        "process": os.getpid(),
    }


@pytest.fixture(scope="module")
def one_at_a_time():
    return search(n_jobs=1)


# In processes


def search_in_processes():
    """To be run in a process of its own, where torch has threads, and has used them."""
    torch.set_num_threads(2)
    torch.randn(10**6).exp()
    searched = {"by default": search(2, ["sum", CHAIN], scoring=score_and_threads)}
    # Sums of floats depend on the number of threads in their last digits.
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        searched["one thread each"] = search(2)
    results = {
        how: {k: np.asarray(v).tolist() for k, v in s.cv_results_.items() if k.startswith("split")}
        for how, s in searched.items()
    }
    print(json.dumps(results | {"parent": os.getpid()}))


@pytest.fixture(scope="module")
def in_processes():
    # A limit in the environment, like that of CI, would hide that workers have none of their own.
    output = output_of("import test_search; test_search.search_in_processes()")
    return json.loads(output)


@pytest.mark.slow
def test_workers_share_the_cores(in_processes):
    results = in_processes["by default"]
    for fold in range(2):
        assert in_processes["parent"] not in results[f"split{fold}_test_process"]
        threads = results[f"split{fold}_test_threads"]
        assert max(threads) <= max(1, joblib.cpu_count() // 2)


@pytest.mark.slow
def test_processes_do_not_change_the_scores(in_processes, one_at_a_time):
    results = in_processes["one thread each"]
    found = [results[f"split{fold}_test_score"] for fold in range(2)]
    np.testing.assert_array_equal(found, scores(one_at_a_time))


# In threads


def test_threads_do_not_change_the_scores(one_at_a_time):
    """And leave the generators alone that all threads share."""
    ours, numpys = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    with joblib.parallel_config("threading", n_jobs=2):
        searched = search(n_jobs=2)
    np.testing.assert_array_equal(scores(searched), scores(one_at_a_time))
    assert torch.equal(torch.get_rng_state(), ours)
    assert (np.random.get_state()[1] == numpys[1]).all()  # noqa: NPY002


def test_threads_do_not_share_what_strategies_remember():
    moo = ["gradnorm", GradNorm(), (GradNorm(), "pcgrad")]
    expected = search(1, moo)
    with joblib.parallel_config("threading"):
        searched = search(2, moo)
    np.testing.assert_array_equal(scores(searched), scores(expected))


# Tuples of strategies


@pytest.mark.parametrize("moo", [CHAIN, list(CHAIN)], ids=["tuple", "list"])
def test_a_chain_is_a_parameter_like_any_other(moo):
    imputer = light(moo=moo)
    copy = clone(imputer)
    assert copy.moo == moo
    assert type(copy.moo) is type(moo)
    assert clone(light()).set_params(moo=moo).get_params()["moo"] == moo
    fitted = [light(moo=CHAIN), copy, light().set_params(moo=moo), clone(copy.fit(TABLE))]
    expected, *others = (imputer.fit(TABLE).transform(TABLE) for imputer in fitted)
    for other in others:
        assert other.equals(expected)
    assert copy.moo == moo


def test_every_strategy_of_the_grid_is_used(one_at_a_time):
    assert [p["moo"] for p in one_at_a_time.cv_results_["params"][:4]] == STRATEGIES
    for row in scores(one_at_a_time):
        assert len(set(row)) == len(row) == 8


# In a Pipeline


def test_judged_by_a_classifier():
    encode = ColumnTransformer(
        [
            ("numbers", StandardScaler(), make_column_selector(dtype_include="number")),
            (
                "levels",
                OneHotEncoder(handle_unknown="ignore"),
                make_column_selector(dtype_include=["category", "object", "string", "boolean"]),
            ),
        ]
    )
    pipeline = Pipeline(
        [("impute", light()), ("encode", encode), ("classify", LogisticRegression(max_iter=1000))]
    )
    grid = {"impute__moo": STRATEGIES, "impute__beta": [0.1, 1.0]}
    searched = GridSearchCV(pipeline, grid, cv=2, scoring="roc_auc", error_score="raise")
    searched.fit(TABLE, TARGET)
    means = searched.cv_results_["mean_test_score"]
    assert means.shape == (8,)
    assert searched.best_params_ == searched.cv_results_["params"][means.argmax()]
    best = searched.best_estimator_
    assert best["impute"].get_params()["moo"] == searched.best_params_["impute__moo"]
    expected = clone(pipeline).set_params(**searched.best_params_).fit(TABLE, TARGET)
    np.testing.assert_array_equal(best.predict_proba(TABLE), expected.predict_proba(TABLE))
