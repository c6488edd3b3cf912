"""HI-VAE's error metrics: one entry a metric, everything as differences of coordinates."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from skhvae import table as tables

__all__ = ["METRICS", "Metric"]


@dataclass(frozen=True)
class Metric:
    """``loss((coordinates of the guesses - coordinates of the truth) / scale)``.

    Attributes
    ----------
    coordinates : callable (column, feature) -> float array of shape (n_rows,)
        Every cell as a number; anything where missing.
    default : callable (observed coordinates, weights) -> float
        The one that knows nothing else: mean or mode.
    loss : callable (differences, weights) -> float
        What each row counts is an array of their shape, or None if all are equal.
    scale : callable (observed coordinates, feature) -> float
    """

    coordinates: Callable
    default: Callable
    loss: Callable
    scale: Callable


def _numbers(column, feature) -> np.ndarray:
    return tables.numbers(column, tables.missing_cells(column))


def _codes(column, feature) -> np.ndarray:
    if not isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)  # Arrow before 25 has no codes for its float16
    return pd.factorize(column)[0].astype(float)


def _ranks(column, feature) -> np.ndarray:
    if not isinstance(feature.dtype, pd.CategoricalDtype):
        known = pd.Series(feature.levels).astype(column.dtype)
        return np.interp(_numbers(column, feature), _numbers(known, feature), np.arange(len(known)))
    levels = feature.dtype.categories
    ranks = levels.get_indexer(column.astype(object))
    unknown = column[(ranks < 0) & ~tables.missing_cells(column)].unique().tolist()
    if unknown:
        raise ValueError(
            f"Column {tables.label(column.name)}: found {unknown}, which have no rank among the "
            f"declared levels {levels.tolist()}."
        )
    return ranks.astype(float)


def _mean(values, weights) -> float:
    return float(np.average(values, weights=weights))


def _mode(codes, weights) -> float:
    levels, which = np.unique(codes, return_inverse=True)
    return levels[np.bincount(which, weights).argmax()]


def _root_mean_square(differences, weights) -> float:
    with np.errstate(over="ignore"):  # guesses from another world than the truth: inf
        return float(np.sqrt(_mean(differences**2, weights)))


def _share_wrong(differences, weights) -> float:
    return _mean(differences != 0, weights)


def _mean_absolute(differences, weights) -> float:
    return _mean(np.abs(differences), weights)


def _range(known, feature) -> float:
    half = float(np.ptp(known / 2))  # the whole can be more than the largest float
    return min(2 * half, sys.float_info.max) or 1.0


METRICS = {
    "nrmse": Metric(_numbers, _mean, _root_mean_square, _range),
    "error rate": Metric(_codes, _mode, _share_wrong, lambda _, feature: 1.0),
    "rank error": Metric(
        _ranks, _mode, _mean_absolute, lambda _, feature: feature.n_declared_levels
    ),
}
