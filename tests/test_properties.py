"""What is true of any table, with any parameters: drawn at random, the same ones in every run.

``SKHVAE_EXAMPLES=20`` takes 20 times as many, others in every run.
"""

from __future__ import annotations

import copy
import os
import pickle
import random
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from completed_tables import assert_completed, assert_consistent, assert_same
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_columns import OF_ONE_KIND
from random_tables import others, plans

from skhvae import HeterogeneousVAEImputer, load, save
from skhvae.models import MODELS
from skhvae.moo import strategy_names

TIMES = int(os.environ.get("SKHVAE_EXAMPLES", "1"))


def examples(n):
    return settings(
        max_examples=n * TIMES,
        derandomize=TIMES == 1,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


# What fit says of tables like these.
DOCUMENTED = (
    "Skipping features without any observed values",
    "Column .* (mixes|holds objects of type) ",
    "Column .* holds numbers as text",
    "Column .* look like identifiers",
    "Column .* integers beyond 2\\*\\*53",
)


@contextmanager
def documented_warnings():
    with warnings.catch_warnings():
        for message in DOCUMENTED:
            warnings.filterwarnings("ignore", message=f"(?s){message}", category=UserWarning)
        yield


PARAMETERS = st.fixed_dictionaries(
    {
        "model": st.sampled_from(sorted(MODELS)),
        "max_iter": st.integers(1, 2),
        "latent_dim": st.integers(2, 4),
        "n_members": st.integers(1, 2),
        "batch_size": st.sampled_from([8, 64]),
        "mechanism": st.sampled_from(["auto", "mar", "mnar"]),
        "add_indicator": st.booleans(),
        "keep_empty_features": st.booleans(),
        "early_stopping": st.booleans(),
    },
    optional={
        "moo": st.sampled_from(strategy_names()),
        "hidden_layer_sizes": st.just((16, 16)),
        "dropout": st.just(0.3),
        "missing_values": st.sampled_from([3, -1, "Ulm"]),
        "objective": st.sampled_from(["elbo", "iwae", "dreg"]),
        "likelihoods": st.fixed_dictionaries(
            {},
            optional={
                "real": st.sampled_from(["student-t", "histogram"]),
                "positive": st.sampled_from(["student-t", "histogram", "hurdle-lognormal"]),
                "count": st.sampled_from(["poisson", "negative-binomial", "histogram"]),
                "datetime": st.sampled_from(["student-t", "histogram"]),
                "ordinal": st.just("ordinal"),
            },
        ),
    },
)


def imputer(parameters, seed=0):
    if parameters["model"] == "hivae":  # whose posterior has no density
        parameters = parameters | {"objective": "elbo"}
    light = dict(hidden_layer_sizes=(8,), device="cpu", random_state=seed)
    return HeterogeneousVAEImputer(**light | parameters)


def fit(table, parameters, seed=0):
    with documented_warnings():
        return imputer(parameters, seed).fit(table)


@contextmanager
def global_random_numbers_left_alone():
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    yield
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002
    assert random.getstate() == states[2]


@examples(300)
@given(plans(), PARAMETERS, st.integers(0, 2**32 - 1))
def test_any_table_comes_back_complete(plan, parameters, seed):
    table, same = plan.table(), plan.table()
    with global_random_numbers_left_alone():
        fitted = fit(table, parameters)
        completed = fitted.transform(table)
    assert_same(table, same)
    assert_completed(table, completed, table, parameters)
    assert_consistent(fitted, table, parameters)
    assert len(fitted.get_feature_names_out()) == completed.shape[1]
    # A row's imputation depends on that row alone.
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(table))[: rng.integers(1, len(table) + 1)]
    assert_same(fitted.transform(table.iloc[rows]), completed.iloc[rows])


@examples(200)
@given(st.data(), plans(kinds=OF_ONE_KIND), PARAMETERS)
def test_any_other_table_with_these_columns(data, plan, parameters):
    trained = plan.table()
    table = data.draw(others(plan)).table()
    fitted = fit(trained, parameters)
    with global_random_numbers_left_alone():
        completed = fitted.transform(table)
    assert_completed(table, completed, trained, parameters)


@examples(120)
@given(st.data(), plans(kinds=OF_ONE_KIND), PARAMETERS)
def test_these_columns_in_other_dtypes(data, plan, parameters):
    table = data.draw(others(plan, alike=True)).table()
    fitted = fit(plan.table(), parameters)
    try:
        completed = fitted.transform(table)
    except ValueError as error:  # Int8 for what were dates of a million years
        assert "cannot hold the imputed values" in str(error)  # noqa: PT017
        return
    assert_completed(table, completed, plan.table(), parameters, same_dtypes=False)


@examples(80)
@given(st.data(), plans(kinds=OF_ONE_KIND), PARAMETERS)
def test_going_on_with_another_table(data, plan, parameters):
    trained, other = plan.table(), data.draw(others(plan, fewest=2)).table()
    parameters |= {"warm_start": True, "add_indicator": False}
    fitted = fit(trained, parameters).fit(other)
    assert fitted.n_iter_ <= parameters["max_iter"]
    for table in (trained, other):
        completed = fitted.transform(table)
        assert_completed(table, completed, trained, parameters)
        assert_same(fitted.transform(table[::-1]), completed[::-1])


@examples(40)
@given(plans(), PARAMETERS, st.integers(0, 2**31 - 1))
def test_the_same_seed_gives_the_same(plan, parameters, seed):
    table = plan.table()
    first, second = (fit(table, parameters, seed) for _ in range(2))
    assert_same(first.transform(table), second.transform(table))
    np.testing.assert_array_equal(first.score(table), second.score(table))
    assert not first.score(table) > 0
    assert np.isfinite(first.encode(table)).all()
    np.testing.assert_array_equal(first.encode(table), second.encode(table))
    timeless = [
        fitted.history_.drop(columns="seconds", errors="ignore") for fitted in (first, second)
    ]
    pd.testing.assert_frame_equal(*timeless, check_exact=True)


def saved_and_loaded(fitted):
    with tempfile.TemporaryDirectory() as folder:
        save(fitted, Path(folder) / "imputer.skhvae")
        return load(Path(folder) / "imputer.skhvae")


ROUND_TRIPS = {
    "file": saved_and_loaded,
    "pickle": lambda fitted: pickle.loads(pickle.dumps(fitted)),
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("round_trip", ROUND_TRIPS.values(), ids=ROUND_TRIPS)
@examples(25)
@given(plans(), PARAMETERS)
def test_a_copy_gives_the_same(round_trip, plan, parameters):
    table = plan.table()
    fitted = fit(table, parameters)
    twin = round_trip(fitted)
    assert_same(twin.transform(table), fitted.transform(table))
    for name, value in vars(fitted).items():
        if isinstance(value, pd.DataFrame):
            pd.testing.assert_frame_equal(getattr(twin, name), value, check_exact=True)


@examples(20)
@given(plans(n_rows=1), PARAMETERS)
def test_one_row_is_too_few_to_fit(plan, parameters):
    estimator = imputer(parameters)
    before = dict(vars(estimator))
    with documented_warnings(), pytest.raises(ValueError, match="At least 2 rows are needed"):
        estimator.fit(plan.table())
    assert vars(estimator) == before
