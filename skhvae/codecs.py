"""Codecs: one column's cells <-> the numbers that the model computes with."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import torch
from pandas.api.types import infer_dtype

from skhvae import table as tables
from skhvae.features import Feature
from skhvae.likelihoods import Likelihood
from skhvae.table import label

__all__ = ["LevelCodec", "NumericCodec"]

# Cells further than this many spreads (5 % to 95 % quantile) outside the bulk are drawn in to the
# nearest that is not, for the model alone: one absurd value must not leave all others alike.
_FENCE = 100.0
_HUGE = 1e150  # its square is finite
_SINGLE = 4 * np.finfo(np.float32).eps

_NUMBERS = {"integer", "float", "boolean"}
_REMEDIES = {
    "datetime": "pandas.to_datetime(X[{}]).dt.tz_localize(None)",
    "datetime with time zone": "pandas.to_datetime(X[{}], utc=True)",
    "timedelta": "pandas.to_timedelta(X[{}])",
}


class NumericCodec:
    """Standardise: shift and scale follow from the support of the feature's likelihood.

    Parameters
    ----------
    feature : Feature
    likelihood : Likelihood
    values : float array of shape (n_rows,)
        The training column, NaN where missing.
    weights : float array of shape (n_rows,) or None
        What each row counts; None if all are equal.

    Attributes
    ----------
    scale : float
        Data units in one model unit.
    filler : float
        A value in the likelihood's support, in model units.
    """

    n_levels = 0

    def __init__(
        self,
        feature: Feature,
        likelihood: Likelihood,
        values: np.ndarray,
        weights: np.ndarray | None = None,
    ):
        self.feature = feature
        # Sorted, so that not even the rounding of sums depends on the order of the rows.
        known, weights = _sorted_known(values, weights)
        negative, fraction = (
            bool(likelihood.support.check(torch.tensor(value))) for value in (-0.5, 0.5)
        )
        # In the unit of a typical value, so that squares neither overflow nor underflow.
        self._unit = 1.0
        if (negative or fraction) and known.any():
            typical = np.quantile(np.abs(known[known != 0]), 0.5, method="lower")
            self._unit = float(typical)  # itself, not the mean of two, which can overflow
        self._fence = (-_HUGE, _HUGE)
        known = self._relative(known)
        self._fence = _fence(known)
        known = known.clip(*self._fence)
        mean = np.average(known, weights=weights)
        deviation = np.sqrt(np.average((known - mean) ** 2, weights=weights))
        self._shift = mean if negative else 0.0
        self._scale = (deviation or 1.0) if negative or fraction else 1.0
        self.filler = (np.quantile(known, 0.5, method="lower") - self._shift) / self._scale
        self.scale = self._scale * self._unit

    @property
    def span(self) -> float:
        """The observed range in model units, 1 in data units if floats cannot tell its ends apart."""
        whole = min(self.feature.high - self.feature.low, sys.float_info.max)
        return (whole or 1.0) / self._unit / self._scale

    def read(self, column: pd.Series, missing: np.ndarray, stored: str) -> np.ndarray:
        """Data units, NaN where missing."""
        if missing.all():
            return np.full(len(column), np.nan)
        fitted = self.feature.storage
        remedy = _REMEDIES.get(fitted, "pandas.to_numeric(X[{}])")
        if stored != fitted and (fitted in _REMEDIES or stored not in _NUMBERS):
            raise ValueError(
                f"Column {label(column.name)}: fitted as {self.feature.type.name} on {fitted} values "
                f"of dtype {self.feature.dtype}, found {stored} values of dtype {column.dtype}. "
                f"Use {remedy.format(label(column.name))}."
            )
        return tables.numbers(column, missing)

    def _relative(self, values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # what overflows is outside the fence
            return (values / self._unit).clip(*self._fence)

    def to_model(self, values: np.ndarray) -> np.ndarray:
        return (self._relative(values) - self._shift) / self._scale

    def to_data(self, values: np.ndarray, step: int | None = None) -> np.ndarray:
        """Data units, within the observed range: no estimate is better for being outside it; multiples of `step`
        (None is the feature's), unless that is 0."""
        with np.errstate(over="ignore"):  # what overflows is outside the range
            values = (values * self._scale + self._shift) * self._unit
        values = values.clip(self.feature.low, self.feature.high)
        step = self.feature.step if step is None else step
        return np.rint(values / step) * step + 0.0 if step else values  # + 0.0: no -0.0

    def write(
        self, column: pd.Series, cells: np.ndarray, estimates: np.ndarray, possible: bool = False
    ) -> pd.Series:
        """The column with estimates, in model units, in the chosen cells; as `possible` values, where means need
        not be."""
        feature = self.feature
        bounds = feature.low, feature.high
        values = self.to_data(estimates, feature.granularity if possible else None)
        if possible and not feature.granularity:
            values = self._as_written(values).clip(*bounds)
        return tables.fill(column, cells, values, bounds, feature.example)

    def _as_written(self, values: np.ndarray) -> np.ndarray:
        """Data units less the digits that float32, in which the model computes, does not hold: a value of 0.28
        that is found again is 0.28."""
        largest = max(abs(self.feature.low), abs(self.feature.high), self.scale)
        resolution = _SINGLE * min(largest, _HUGE)
        return np.round(values, int(np.floor(-np.log10(max(resolution, 1e-300)))))

    def describe(self, numbers: np.ndarray, quantiles, index: pd.Index) -> pd.DataFrame:
        """Mean, deviation and quantiles (n_cells, 2 + n_quantiles) in data units; those of dates are dates, and
        their deviation is a duration."""
        deviation = numbers[:, 1] * self.scale
        if self.feature.storage in _REMEDIES:
            example = self.feature.example
            blank = example.iloc[np.zeros(len(index), dtype=np.int64)].set_axis(index)
            everywhere = np.ones(len(index), dtype=bool)
            columns = {"mean": self.write(blank, everywhere, numbers[:, 0])}
            columns["std"] = pd.Series(pd.to_timedelta(deviation), index=index)
            of_levels = (self.write(blank, everywhere, column) for column in numbers[:, 2:].T)
        else:
            columns = {"mean": self.to_data(numbers[:, 0], step=0), "std": deviation}
            of_levels = self.to_data(numbers[:, 2:], self.feature.granularity).T
        columns |= dict(zip(quantiles, of_levels, strict=True))
        return pd.DataFrame(columns, index=index)


def _sorted_known(values: np.ndarray, weights: np.ndarray | None):
    """The values that are not NaN, in order, and their weights."""
    known = ~np.isnan(values)
    if weights is None:
        return np.sort(values[known]), None
    order = np.lexsort((weights[known], values[known]))
    return values[known][order], weights[known][order]


def _fence(known: np.ndarray) -> tuple[float, float]:
    """The range within which values are told apart."""
    low, high = np.quantile(known, [0.05, 0.95])
    others = known[known != low]
    if low == high and len(others):  # one value nearly everywhere: the others show the spread
        low, high = np.quantile(np.append(np.quantile(others, [0.05, 0.95]), low), [0, 1])
    reach = _FENCE * ((high - low) or 1.0)
    inside = known[(known >= low - reach) & (known <= high + reach)]
    return (
        low - reach if known.min() >= low - reach else inside.min(),
        high + reach if known.max() <= high + reach else inside.max(),
    )


class LevelCodec:
    """Levels as codes 0..K-1 in the feature's own order; a level not seen in fit has no code."""

    def __init__(self, feature: Feature):
        self.feature = feature
        self.n_levels = len(feature.levels)
        self.filler = 0.0
        self._levels = pd.Index(feature.levels, tupleize_cols=False)

    def read(self, column: pd.Series, missing: np.ndarray, stored: str) -> np.ndarray:
        """Codes, NaN where missing or not seen in fit."""
        if isinstance(column.dtype, pd.CategoricalDtype):
            codes = np.append(self._codes(column.dtype.categories), -1)
            codes = codes[column.cat.codes.to_numpy()]
        else:
            codes = self._codes(tables.scalars(column))
        known = ~missing & (codes >= 0)
        if not known.any() and not missing.all():
            self._check_kind(column, missing)
        return np.where(known, codes, np.nan)

    def _codes(self, values) -> np.ndarray:
        index, levels = pd.Index(values, tupleize_cols=False), self._levels
        if index.dtype != levels.dtype:
            index, levels = index.astype(object), levels.astype(object)
        return levels.get_indexer(index)

    def _check_kind(self, column: pd.Series, missing: np.ndarray) -> None:
        """Text for numbers, say, is no new level but another column."""
        found = _kind(tables.scalars(column)[~missing])
        fitted = _kind(self.feature.levels)
        if found != fitted and None not in (found, fitted):
            raise ValueError(
                f"Column {label(column.name)}: fitted as {self.feature.type.name} on {fitted} of dtype "
                f"{self.feature.dtype}, found {found} of dtype {column.dtype}. Convert it as for fit."
            )

    def to_model(self, values: np.ndarray) -> np.ndarray:
        return values

    def to_data(self, values: np.ndarray) -> np.ndarray:
        return self.feature.levels[np.rint(values).astype(np.int64)]

    def write(
        self, column: pd.Series, cells: np.ndarray, estimates: np.ndarray, possible: bool = False
    ) -> pd.Series:
        """The column with the levels of the estimated codes in the chosen cells."""
        return tables.fill(column, cells, self.to_data(estimates), example=self.feature.example)

    def describe(self, numbers: np.ndarray, quantiles, index: pd.Index) -> pd.DataFrame:
        """Probabilities (n_cells, n_levels), a column a level."""
        return pd.DataFrame(numbers, index=index, columns=self._levels)


_KINDS = {
    "string": "text",
    "boolean": "numbers",
    "integer": "numbers",
    "floating": "numbers",
    "mixed-integer-float": "numbers",
    "decimal": "numbers",
    "datetime": "dates",
    "datetime64": "dates",
    "date": "dates",
    "timedelta": "durations",
    "timedelta64": "durations",
}


def _kind(values: np.ndarray) -> str | None:
    """What the levels are, None where they are of several kinds."""
    return _KINDS.get(infer_dtype(values, skipna=True))
