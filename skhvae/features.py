"""What a column is: the words for it, and the description of a whole table.

Declarations only; :mod:`skhvae.schema` fills them in from a table.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

__all__ = ["FEATURE_TYPES", "Feature", "FeatureType", "Schema", "key", "nearest"]

_MOST_NAMES_LISTED = 20


@dataclass(frozen=True)
class FeatureType:
    """What kind of values a feature takes, and everything that follows from it.

    Attributes
    ----------
    name : str
    likelihood : str
        The family that models it by default, a name in ``skhvae.likelihoods.LIKELIHOODS``.
    estimate : {"mean", "median", "mode"}
        The point estimate that minimises the feature's error.
    metric : {"nrmse", "error rate", "rank error"}
        HI-VAE's errors: RMSE / range, share of wrong levels, mean rank difference / number of levels.
    finite : bool
        Whether the values are a finite set of levels.
    """

    name: str
    likelihood: str
    estimate: str
    metric: str
    finite: bool = False


FEATURE_TYPES = {
    kind.name: kind
    for kind in (
        FeatureType("real", "normal", "mean", "nrmse"),
        FeatureType("positive", "normal", "mean", "nrmse"),
        FeatureType("count", "normal", "mean", "nrmse"),
        FeatureType("datetime", "normal", "mean", "nrmse"),
        FeatureType("binary", "bernoulli", "mode", "error rate", finite=True),
        FeatureType("nominal", "categorical", "mode", "error rate", finite=True),
        FeatureType("ordinal", "categorical", "median", "rank error", finite=True),
    )
}


@dataclass(frozen=True, eq=False)
class Feature:
    """One column: its type, why it has it, and what its observed cells are.

    Attributes
    ----------
    name : Hashable
        The column's name.
    type : FeatureType
    dtype : object
        The column's dtype in the training table.
    storage : str
        What the column stores there, as :func:`skhvae.table.storage` says it.
    why : str
        The reason for the type, for people.
    n_missing, n_rows : int
    levels : ndarray or None
        The observed levels in order, for finite types and for constant columns.
    n_declared_levels : int
        How many levels the dtype declares (the observed ones where it declares none).
    step : int
        What imputed numbers are rounded to multiples of: 1 for whole numbers, the coarsest unit of
        the observed dates (in nanoseconds), 0 for other numbers.
    low, high : int or float
        The observed range of a numeric feature, in data units (nanoseconds for dates); exact
        integers where the column stores whole numbers.
    example : Series of length 1 or None
        An observed cell, as the training table stores it.
    """

    name: Hashable
    type: FeatureType
    dtype: object
    storage: str
    why: str
    n_missing: int
    n_rows: int
    levels: np.ndarray | None = None
    n_declared_levels: int = 0
    step: int = 0
    low: float = np.nan
    high: float = np.nan
    example: pd.Series | None = None

    @property
    def key(self) -> Hashable:
        """What it is looked up by."""
        return key(self.name)

    @property
    def granularity(self) -> int:
        """What possible values are multiples of: `step`, or 1 for whole numbers that are stored as floats, of
        which a mean need not be one."""
        return self.step or int(self.type.name == "count")

    @property
    def is_empty(self) -> bool:
        """No cell is observed."""
        return self.n_missing == self.n_rows

    @property
    def is_constant(self) -> bool:
        """All observed cells are equal."""
        return self.levels is not None and len(self.levels) == 1

    @property
    def is_modelled(self) -> bool:
        """There is something to learn."""
        return not (self.is_empty or self.is_constant)


class Schema:
    """The features of a table, in column order; prints as a table of what was inferred and why.

    Parameters
    ----------
    features : sequence of Feature
    """

    def __init__(self, features: Iterable[Feature]) -> None:
        self.features = tuple(features)
        self._by_name = {feature.key: feature for feature in self.features}

    def __len__(self) -> int:
        return len(self.features)

    def __iter__(self) -> Iterator[Feature]:
        return iter(self.features)

    def __getitem__(self, name: Hashable) -> Feature:
        return self._by_name[key(name)]

    @property
    def names(self) -> list:
        """Column names in order."""
        return [feature.name for feature in self.features]

    @property
    def types(self) -> dict:
        """{column: name of its feature type}."""
        return {feature.name: feature.type.name for feature in self.features}

    def check(self, table: pd.DataFrame, n_observed) -> None:
        """Raise unless a table has these columns, and something to learn in each of which there is any.

        Parameters
        ----------
        table : DataFrame of shape (n_rows, n_features)
        n_observed : sequence of int
            Of each column.

        Raises
        ------
        ValueError
        """
        found = table.columns.tolist()
        if [*map(key, found)] != [*map(key, self.names)]:
            raise ValueError(f"The schema is of columns {self.names}, found {found}.")
        for feature, n in zip(self.features, n_observed, strict=True):
            if n == 0 and not feature.is_empty:
                raise ValueError(
                    f"Column {feature.name!r}: has no observed cell here, but some in the table of the schema. "
                    "Begin with a chunk that has one."
                )

    def warn_about_empty(self, keep: bool) -> None:
        """Warn of columns that have nothing to learn from, and say what becomes of them."""
        empty = [feature.name for feature in self.features if feature.is_empty]
        if empty:
            fate = "kept" if keep else "dropped; keep_empty_features=True keeps them"
            warnings.warn(
                f"Skipping features without any observed values: {empty} ({fate}).",
                UserWarning,
                stacklevel=2,
            )

    def __repr__(self) -> str:
        rows = [("column", "type", "dtype", "missing", "why")]
        for f in self.features:
            share = f"{f.n_missing / f.n_rows:.0%}" if f.n_rows else "-"
            rows.append((str(f.name), f.type.name, str(f.dtype), share, f.why))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        plural = "" if len(self) == 1 else "s"
        lines = [f"Schema of {len(self)} column{plural}"]
        for name, kind, dtype, share, why in rows:
            lines.append(
                f"  {name:<{widths[0]}}  {kind:<{widths[1]}}  {dtype:<{widths[2]}}"
                f"  {share:>{widths[3]}}  {why}"
            )
        return "\n".join(lines)


def key(name) -> Hashable:
    """What stands for a column's name in dictionaries: itself, but for NaN, which a copy would not find."""
    if isinstance(name, tuple):
        return tuple(map(key, name))
    return ("NaN",) if isinstance(name, float) and name != name else name


def nearest(name, known) -> str:
    """The end of an error about an unknown name: the nearest match, and the known names if few."""
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    more = f", ... ({len(known)} in all)" if len(known) > _MOST_NAMES_LISTED else ""
    return f"{hint} Known: {', '.join(known[:_MOST_NAMES_LISTED])}{more}."
