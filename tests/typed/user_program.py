"""A program as a user types it, which ``mypy --strict`` accepts; nobody runs it.

``assert_type`` fails where a signature has lost its types.
"""

from typing import Any, assert_type

import numpy as np
import pandas as pd
from torch import Tensor

import skhvae
from skhvae.datasets import make_heterogeneous
from skhvae.evaluation import crps_of_draws, hide_cells, imputation_errors, total_error
from skhvae.likelihoods import LIKELIHOODS, Likelihood, StudentT
from skhvae.moo import Weighting, strategy_names
from skhvae.plotting import FeatureErrorDisplay, MarginalsDisplay, TrainingDisplay
from skhvae.schema import Schema, infer_schema


def impute(table: pd.DataFrame) -> pd.DataFrame:
    imputer = skhvae.HeterogeneousVAEImputer(
        feature_types={"age": "count"},
        likelihoods={"real": StudentT()},
        moo=("gradnorm", "pcgrad"),
        hidden_layer_sizes=(64, 64),
        max_iter=10,
        random_state=0,
    )
    assert_type(
        imputer.fit(table, sample_weight=np.ones(len(table))), skhvae.HeterogeneousVAEImputer
    )
    assert_type(imputer.score(table), float)
    assert_type(imputer.score_features(table, proper_scores=True), pd.DataFrame)
    completed: pd.DataFrame = imputer.transform(table)
    return completed


def look(imputer: skhvae.HeterogeneousVAEImputer, table: pd.DataFrame) -> None:
    draws = imputer.sample_imputations(table, n_imputations=20, random_state=0)
    pooled = skhvae.pool([draw["age"].mean() for draw in draws], [0.1] * len(draws))
    assert_type(pooled.to_frame(), pd.DataFrame)
    assert_type(imputer.predict_distributions(table), dict[Any, pd.DataFrame])
    lower, upper = imputer.predict_interval(table, coverage=0.9)
    assert_type(imputer.score_samples(table), np.ndarray)
    assert_type(imputer.encode(table), np.ndarray)
    print(lower, upper, imputer.sample(10))
    display = FeatureErrorDisplay.from_estimator(imputer, table, features=["age"])
    assert_type(display.plot(), FeatureErrorDisplay)
    assert_type(TrainingDisplay.from_estimator(imputer), TrainingDisplay)
    assert_type(MarginalsDisplay.from_estimator(imputer, table, bins=10), MarginalsDisplay)


def keep(imputer: skhvae.HeterogeneousVAEImputer) -> skhvae.HeterogeneousVAEImputer:
    skhvae.save(imputer, "imputer.skhvae")
    return skhvae.load("imputer.skhvae", device="cpu")


def measure() -> float:
    table = make_heterogeneous(100, random_state=0).data
    incomplete, hidden = hide_cells(table, 0.2, "mar", random_state=0)
    errors = imputation_errors(table, impute(incomplete), hidden)
    assert_type(errors, pd.DataFrame)
    assert_type(infer_schema(table), Schema)
    print([feature.name for feature in infer_schema(table)])
    print(crps_of_draws([1.0], [[0.5], [1.5]]), strategy_names())
    assert_type(LIKELIHOODS["normal"], type[Likelihood])
    return total_error(errors)


class Halves(Weighting):
    """A strategy of one's own."""

    def weights(self, gramian: Tensor) -> Tensor:
        return gramian.diagonal() * 0.5
