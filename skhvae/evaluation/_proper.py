"""Proper scores: what a predictive distribution costs when the truth comes out; smaller is better.

A score is proper if nobody does better on average than by saying what he believes (Gneiting and Raftery 2007,
"Strictly proper scoring rules, prediction, and estimation", JASA 102(477)).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from skhvae import table as tables
from skhvae.evaluation._metrics import METRICS
from skhvae.schema import Schema, infer_schema
from skhvae.typing import FeatureTypes, Table

__all__ = [
    "brier_score",
    "crps_of_draws",
    "crps_of_quantiles",
    "energy_score",
    "interval_score",
    "log_score",
]


def crps_of_quantiles(truth: ArrayLike, quantiles: ArrayLike, levels: ArrayLike) -> NDArray:
    r"""Continuous ranked probability score of distributions given by their quantiles.

    .. math:: \operatorname{CRPS}(F, x) = 2 \int_0^1 \rho_q(x - F^{-1}(q)) \, dq, \qquad
              \rho_q(u) = u \, (q - [u < 0])

    (Gneiting and Ranjan 2011, doi 10.1198/jbes.2010.08110, eq. 12), every level standing for the levels that are
    nearest to it.

    Parameters
    ----------
    truth : array-like of shape (n,)
    quantiles : array-like of shape (n, n_levels)
    levels : array-like of shape (n_levels,)
        Increasing, in (0, 1).

    Returns
    -------
    ndarray of shape (n,)
        In the unit of `truth`.

    Raises
    ------
    ValueError
        If the shapes do not fit, or if the levels do not increase within (0, 1).

    Examples
    --------
    >>> from skhvae.evaluation import crps_of_quantiles
    >>> crps_of_quantiles([1.0], [[0.0, 0.0, 0.0]], [0.25, 0.5, 0.75])  # a single value: its distance
    array([1.])
    """
    truth, quantiles, levels = (np.asarray(x, dtype=np.float64) for x in (truth, quantiles, levels))
    if quantiles.shape != (*truth.shape, *levels.shape) or truth.ndim != 1:
        raise ValueError(
            "quantiles must be of shape (n, n_levels), found "
            f"{quantiles.shape} for {truth.shape} true values and {levels.shape} levels."
        )
    if not ((levels > 0) & (levels < 1)).all() or (np.diff(levels) <= 0).any():
        raise ValueError(f"levels must increase between 0 and 1, found {levels.tolist()}.")
    ends = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
    above = truth[:, np.newaxis] - quantiles
    return 2 * np.maximum(above * levels, above * (levels - 1)) @ np.diff(ends)


def crps_of_draws(truth: ArrayLike, draws: ArrayLike) -> NDArray:
    r"""Continuous ranked probability score of distributions given by draws, without bias for few of them.

    .. math:: \frac1m \sum_i |x_i - x| - \frac1{2 m (m - 1)} \sum_{i, j} |x_i - x_j|

    (Ferro 2014, doi 10.1002/qj.2270, eq. 2.)

    Parameters
    ----------
    truth : array-like of shape (n,)
    draws : array-like of shape (m, n)
        Two at least.

    Returns
    -------
    ndarray of shape (n,)
        In the unit of `truth`.

    Raises
    ------
    ValueError
        If the shapes do not fit, or if there are fewer than two draws.

    Examples
    --------
    >>> from skhvae.evaluation import crps_of_draws
    >>> crps_of_draws([1.0], [[0.0], [2.0]])
    array([0.])
    """
    truth, draws = np.asarray(truth, dtype=np.float64), np.asarray(draws, dtype=np.float64)
    if draws.ndim != 2 or draws.shape[1:] != truth.shape or len(draws) < 2:
        raise ValueError(
            "draws must be of shape (m, n) with m >= 2, found "
            f"{draws.shape} for {truth.shape} true values."
        )
    m, ordered = len(draws), np.sort(draws, axis=0)
    # Of all pairs, the i-th smallest draw is the larger one i times, and the smaller one m - 1 - i times.
    spread = (2 * np.arange(m) - m + 1) @ ordered / (m * (m - 1))
    return np.abs(draws - truth).mean(0) - spread


def log_score(truth: ArrayLike, probabilities: ArrayLike) -> NDArray:
    """Minus the log probability of the true level, in nats.

    Parameters
    ----------
    truth : int array-like of shape (n,)
        Codes of the levels.
    probabilities : array-like of shape (n, n_levels)

    Returns
    -------
    ndarray of shape (n,)
        At most 708, the score of the smallest positive number.

    Examples
    --------
    >>> from skhvae.evaluation import log_score
    >>> log_score([1], [[0.5, 0.5]]).round(3)
    array([0.693])
    """
    return -np.log(np.maximum(_of_truth(truth, probabilities), np.finfo(np.float64).tiny))


def brier_score(truth: ArrayLike, probabilities: ArrayLike) -> NDArray:
    """Sum over the levels of the squared differences between what is predicted and what is true.

    Parameters
    ----------
    truth : int array-like of shape (n,)
        Codes of the levels.
    probabilities : array-like of shape (n, n_levels)

    Returns
    -------
    ndarray of shape (n,)
        Between 0 and 2.

    Examples
    --------
    >>> from skhvae.evaluation import brier_score
    >>> brier_score([1, 0], [[0.5, 0.5], [1.0, 0.0]])
    array([0.5, 0. ])
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    return (probabilities**2).sum(1) + 1 - 2 * _of_truth(truth, probabilities)


def _of_truth(truth, probabilities) -> NDArray:
    truth, probabilities = np.asarray(truth), np.asarray(probabilities, dtype=np.float64)
    if probabilities.ndim != 2 or probabilities.shape[:1] != truth.shape:
        raise ValueError(
            "probabilities must be of shape (n, n_levels), found "
            f"{probabilities.shape} for {truth.shape} true levels."
        )
    return probabilities[np.arange(len(truth)), truth]


def interval_score(
    truth: ArrayLike, lower: ArrayLike, upper: ArrayLike, coverage: float
) -> NDArray:
    r"""Width of an interval, and what it costs that the truth is outside it.

    .. math:: (u - l) + \frac2\alpha (l - x)_+ + \frac2\alpha (x - u)_+, \qquad \alpha = 1 - \text{coverage}

    (Gneiting and Raftery 2007, eq. 43.)

    Parameters
    ----------
    truth, lower, upper : array-like of shape (n,)
    coverage : float
        In (0, 1).

    Returns
    -------
    ndarray of shape (n,)
        In the unit of `truth`.

    Raises
    ------
    ValueError
        If `coverage` is not in (0, 1).

    Examples
    --------
    >>> from skhvae.evaluation import interval_score
    >>> interval_score([1.0, 3.0], [0.0, 0.0], [2.0, 2.0], coverage=0.5)
    array([2., 6.])
    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must be a number between 0 and 1, found {coverage!r}.")
    truth, lower, upper = (np.asarray(x, dtype=np.float64) for x in (truth, lower, upper))
    outside = np.maximum(lower - truth, 0) + np.maximum(truth - upper, 0)
    return (upper - lower) + 2 / (1 - coverage) * outside


def energy_score(
    X_true: Table,
    draws: Sequence[Table],
    hidden: ArrayLike,
    feature_types: FeatureTypes | Schema = "infer",
) -> NDArray:
    r"""Score of draws of whole rows: whether what is drawn together belongs together.

    .. math:: \frac1m \sum_i \lVert x_i - x \rVert - \frac1{2 m (m - 1)} \sum_{i, j} \lVert x_i - x_j \rVert

    over a row's hidden cells (Gneiting and Raftery 2007, eq. 22, with Ferro's correction for few draws):
    numbers in shares of their range, ranks in shares of the number of levels, and levels without an order at a
    distance of 1 from each other.

    Parameters
    ----------
    X_true : DataFrame or array-like of shape (n_rows, n_columns)
    draws : sequence of m tables like `X_true`
        Two at least, completed.
    hidden : bool array-like of shape (n_rows, n_columns)
        The cells that were drawn.
    feature_types : "infer", dict or Schema, default="infer"
        As for :func:`imputation_errors`.

    Returns
    -------
    ndarray of shape (n_rows,)
        NaN for rows without hidden cells.

    Raises
    ------
    ValueError
        If there are fewer than two draws, or shapes do not fit.

    Examples
    --------
    >>> import pandas as pd
    >>> from skhvae.evaluation import energy_score
    >>> true = pd.DataFrame({"age": [20, 30, 40, 60]})
    >>> draws = [true.assign(age=[24, 30, 40, 60]), true.assign(age=[28, 30, 40, 60])]
    >>> energy_score(true, draws, [[True], [False], [False], [False]]).round(3)
    array([0.1, nan, nan, nan])
    """
    draws, hidden = list(draws), np.asarray(hidden, dtype=bool)
    if len(draws) < 2:
        raise ValueError(f"At least two draws are needed, found {len(draws)}.")
    true = tables.as_table(X_true)
    for name, shape in [("hidden", hidden.shape)] + [("draws", np.shape(draw)) for draw in draws]:
        if shape != true.shape:
            raise ValueError(f"{name} must be of the shape of X_true, {true.shape}, found {shape}.")
    if isinstance(feature_types, Schema):
        schema = feature_types
    else:
        schema = infer_schema(true, feature_types, whole_numbers=tables.is_table(X_true))
    rows = hidden.any(axis=1)
    cells, unordered = hidden[rows], np.array([f.type.metric == "error rate" for f in schema])
    of_columns = [_coordinates(true, draws, i, feature) for i, feature in enumerate(schema)]
    truth, drawn = np.split(np.stack(of_columns, axis=-1)[:, rows], [1])

    def distances(one, others):
        """(..., n_rows, n_columns) -> (..., n_rows)"""
        apart = np.where(unordered, one != others, one - others)
        return np.linalg.norm(np.where(cells, apart, 0), axis=-1)

    between = sum(distances(one, drawn[i + 1 :]).sum(0) for i, one in enumerate(drawn))
    n_pairs = len(drawn) * (len(drawn) - 1) / 2
    scores = np.full(len(true), np.nan)
    scores[rows] = distances(truth, drawn).mean(0) - between / n_pairs / 2
    return scores


def _coordinates(true, draws, position: int, feature) -> NDArray:
    """A column of the true table and of the draws as numbers, (1 + m, n_rows), in the unit of its metric."""
    metric, column = METRICS[feature.type.metric], true.iloc[:, position]
    drawn = [tables.as_table(draw).iloc[:, position].rename(column.name) for draw in draws]
    # One column of all, so that units and levels mean the same in each.
    coordinates = metric.coordinates(pd.concat([column, *drawn], ignore_index=True), feature)
    observed = ~tables.missing_cells(column)
    coordinates = coordinates / metric.scale(coordinates[: len(true)][observed], feature)
    return coordinates.reshape(len(draws) + 1, len(true))
