"""The imputers that skhvae is compared with: functions of (seed, threads) that import what they need.

Each returns a function of a matrix of numbers and level codes, NaN where a cell is missing, and its
schema, to the filled matrix; `impute_table` applies one to a table. Ordered levels are imputed by
their ranks, rounded at the end, which is better for every peer than to classify.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import pandas as pd

from skhvae import table as tables
from skhvae.schema import infer_schema


def mean_mode(seed, threads):
    return with_mean_or_mode


def k_nearest(seed, threads):
    """Mean of the five nearest rows, by the cells that both know."""
    from joblib import parallel_config
    from sklearn.impute import KNNImputer

    def impute(matrix, owner):
        with parallel_config("threading", n_jobs=threads):  # it has no n_jobs of its own
            return KNNImputer(n_neighbors=5).fit_transform(matrix)

    return lambda encoded, schema: through_numbers(encoded, schema, impute)


def iterative_ridge(seed, threads):
    """Chained linear regressions."""
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer
    from sklearn.linear_model import BayesianRidge

    def impute(matrix, owner):
        class OfOtherFeatures(IterativeImputer):
            # One-hot columns of one feature know each other exactly, and would stay as they start.
            def _get_neighbor_feat_idx(self, n_features, feat_idx, abs_corr_mat):
                return np.flatnonzero(owner != owner[feat_idx])

        # Within the observed range: what linear models guess beyond it cost up to a sixth more.
        low, high = np.nanmin(matrix, axis=0), np.nanmax(matrix, axis=0)
        chain = OfOtherFeatures(BayesianRidge(), min_value=low, max_value=high, random_state=seed)
        return chain.fit_transform(matrix)

    return lambda encoded, schema: through_numbers(encoded, schema, impute)


def one_pass_boosting(seed, threads):
    """Gradient boosting per column on all others, whose gaps it handles itself."""

    def impute(encoded, schema):
        result = encoded.copy()
        for i in range(len(schema)):
            predict_column(boosting(encoded, schema, i, seed), i, encoded, encoded, result)
        return result

    return impute


def miss_forest(seed, threads):
    """Random forests in turn, each on the last imputations of the others (Stekhoven 2012)."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    def forest(encoded, schema, i):
        model = RandomForestClassifier if has_labels(schema, i) else RandomForestRegressor
        return model(n_estimators=100, n_jobs=threads, random_state=seed)

    return lambda encoded, schema: in_turn(encoded, schema, forest)


def miss_forest_boosting(seed, threads):
    """The same loop with gradient boosting."""
    return lambda encoded, schema: in_turn(
        encoded, schema, lambda encoded, schema, i: boosting(encoded, schema, i, seed)
    )


def hyper_impute(seed, threads):
    """Chained regressions, of which it chooses the model by column (Jarrett et al. 2022)."""
    from hyperimpute.plugins.imputers import Imputers
    from hyperimpute.plugins.imputers._hyperimpute_internals import IterativeErrorCorrection
    from joblib.externals.loky import get_reusable_executor

    warnings.simplefilter("ignore", FutureWarning)

    def impute_column(self, X, col, train):
        # Theirs (0.1.17) assigns to X[col][rows], a copy in pandas 3: it returns the column means.
        gaps, others = self.mask[col], X.drop(columns=col)
        if gaps.any():
            known = X.loc[~gaps, col]
            if known.nunique() == 1:
                X.loc[gaps, col] = known.iloc[0]
                return X
            known = known.astype(int) if col in self.categorical_cols else known
            model = self.column_to_model[col]
            model.fit(others[~gaps], known)
            values = np.ravel(model.predict(others[gaps]))
            X.loc[gaps, col] = np.clip(values.astype(float), *self.limits[col])
        return X

    IterativeErrorCorrection._impute_single_column = impute_column

    def impute(encoded, schema):
        # It would classify columns with fewer than five values, whatever they are.
        IterativeErrorCorrection._is_categorical = lambda self, X, col: has_labels(schema, int(col))
        plugin = Imputers().get("hyperimpute", random_state=seed)
        imputed = plugin.fit_transform(pd.DataFrame(encoded)).to_numpy(dtype=float)
        get_reusable_executor().shutdown()  # processes' seconds count when they have ended
        return imputed

    return impute


def mice_forest(seed, threads):
    """Chained LightGBM models; their predictions themselves, no draws from nearby rows."""
    from miceforest import ImputationKernel

    def impute(encoded, schema):
        frame = pd.DataFrame(encoded, columns=[f"x{i}" for i in range(len(schema))])
        for i, name in enumerate(frame):
            if has_labels(schema, i):
                frame[name] = frame[name].astype("category")
        kernel = ImputationKernel(frame, mean_match_candidates=0, random_state=seed)
        kernel.mice(5, num_threads=threads)
        return kernel.complete_data(0).to_numpy(dtype=float)

    return impute


@dataclass(frozen=True)
class Peer:
    """An imputer, whether its results depend on the seed, and what it needs beside skhvae's needs."""

    make: Callable
    random: bool = True
    package: str | None = None
    requirements: str = ""

    @property
    def is_installed(self) -> bool:
        return self.package is None or find_spec(self.package) is not None


IMPUTERS = {
    "mean/mode": Peer(mean_mode, random=False),
    "KNNImputer": Peer(k_nearest, random=False),
    "IterativeImputer": Peer(iterative_ridge, random=False),
    "one-pass HistGradientBoosting": Peer(one_pass_boosting),
    "missForest": Peer(miss_forest),
    "missForest HistGradientBoosting": Peer(miss_forest_boosting),
    "hyperimpute": Peer(
        hyper_impute, package="hyperimpute", requirements="hyperimpute==0.1.17 'scikit-learn<1.8'"
    ),
    "miceforest": Peer(
        mice_forest, package="miceforest", requirements="miceforest==6.0.5 'lightgbm<4.7'"
    ),
}


# What they share.


def impute_table(table, impute):
    """Impute a matrix of numbers and level codes, and put the results back into the table."""
    encoded, schema = encode(table)
    imputed = impute(encoded, schema)
    result = table.copy()
    for i, feature in enumerate(schema):
        column, missing = table[feature.name], np.isnan(encoded[:, i])
        values = imputed[missing, i]
        if feature.type.finite:
            values = feature.levels[
                np.clip(np.rint(values), 0, len(feature.levels) - 1).astype(int)
            ]
        elif pd.api.types.is_integer_dtype(column.dtype):
            values = np.rint(values)
        if missing.any():
            result.isetitem(i, tables.fill(column, missing, values))
    return result


def encode(table):
    """The matrix of numbers and level codes, NaN where a cell is missing, and its schema."""
    schema = infer_schema(table)
    encoded = np.empty(table.shape)
    for i, feature in enumerate(schema):
        encoded[:, i] = encode_column(table[feature.name], feature)
    return encoded, schema


def encode_column(column, feature):
    if feature.type.finite:
        codes = pd.Categorical(column.astype(object), categories=feature.levels).codes
        return np.where(codes < 0, np.nan, codes)
    return tables.numbers(column, tables.missing_cells(column))


def has_labels(schema, i) -> bool:
    """Column `i` holds levels without order."""
    return schema.features[i].type.metric == "error rate"


def with_mean_or_mode(encoded, schema):
    columns = []
    for feature, column in zip(schema, encoded.T, strict=True):
        known = column[~np.isnan(column)]
        best = np.bincount(known.astype(int)).argmax() if feature.type.finite else known.mean()
        columns.append(np.where(np.isnan(column), best, column))
    return np.column_stack(columns)


def through_numbers(encoded, schema, impute):
    """Impute by a method that knows only numbers: labels become one-hot columns and the largest wins.

    Every feature is scaled to a total variance of one, so that all count alike in a distance.
    `impute` is given the matrix and, for each of its columns, the feature that it belongs to.
    """
    blocks, centres, scales = [], [], []
    for i, (feature, column) in enumerate(zip(schema, encoded.T, strict=True)):
        block = column[:, None]
        if has_labels(schema, i):
            block = np.where(np.isnan(block), np.nan, block == np.arange(len(feature.levels)))
        centres.append(np.nanmean(block, axis=0))
        scales.append(np.sqrt(np.nanvar(block, axis=0).sum()) or 1.0)
        blocks.append((block - centres[-1]) / scales[-1])
    owner = np.repeat(range(len(schema)), [block.shape[1] for block in blocks])
    imputed = impute(np.hstack(blocks), owner)
    result = np.empty_like(encoded)
    for i, (centre, scale) in enumerate(zip(centres, scales, strict=True)):
        block = imputed[:, owner == i] * scale + centre
        result[:, i] = block.argmax(axis=1) if has_labels(schema, i) else block[:, 0]
    return result


def in_turn(encoded, schema, make_model, rounds=3):
    """Predict each column from the last imputations of the others, fewest gaps first."""
    result = with_mean_or_mode(encoded, schema)
    for _ in range(rounds):
        for i in np.argsort(np.isnan(encoded).sum(axis=0), kind="stable"):
            predict_column(make_model(encoded, schema, i), i, encoded, result, result)
    return result


def boosting(encoded, schema, i, seed):
    """Gradient boosting for column `i`, which takes the other columns' labels as categories."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    nominal = np.array([has_labels(schema, j) for j in range(len(schema))])
    nominal &= np.nanmax(encoded, axis=0) < 255  # the most levels it takes as categories
    more = {"categorical_features": np.delete(nominal, i), "random_state": seed}
    if not has_labels(schema, i):
        return HistGradientBoostingRegressor(**more)
    counts = np.unique(encoded[~np.isnan(encoded[:, i]), i], return_counts=True)[1]
    if counts.min() == 1:
        more["early_stopping"] = False  # its held-out rows need every level twice
    return HistGradientBoostingClassifier(**more)


def predict_column(model, i, encoded, source, result):
    """Fit column `i` of `encoded` on the other columns of `source`; its gaps go to `result`."""
    missing = np.isnan(encoded[:, i])
    if missing.any():
        others = np.delete(source, i, axis=1)
        model.fit(others[~missing], encoded[~missing, i])
        result[missing, i] = model.predict(others[missing])
