"""What an imputer says of some missing cells."""

from __future__ import annotations

import numpy as np
import pandas as pd

from skhvae.features import Feature
from skhvae.plotting._columns import complete, sampled

__all__ = ["Predicted", "some_rows"]


class Predicted:
    """What an imputer says of some rows, asked once for all columns.

    Parameters
    ----------
    imputer : HeterogeneousVAEImputer
    table : DataFrame of shape (n_rows, n_features)
    rows : dict of column to int ndarray
        Places of the rows that are wanted.
    coverage : float
        Of the intervals.
    n_draws : int
    random_state : int, RandomState instance or None
    """

    def __init__(self, imputer, table, rows: dict, coverage: float, n_draws: int, random_state):
        self._rows = np.unique(np.concatenate([np.zeros(0, dtype=int), *rows.values()]))
        if not len(self._rows):
            return
        # By place: the index of a table need not tell its rows apart.
        some = table.iloc[self._rows].reset_index(drop=True)
        ask = {"estimate": imputer.transform(some)}
        ask["lower"], ask["upper"] = imputer.predict_interval(some, coverage)
        draws = imputer.sample_imputations(some, n_draws, random_state) if n_draws else ()
        ask |= {f"draw {i}": draw for i, draw in enumerate(draws, 1)}
        self._tables = {what: complete(imputer, given, some.index) for what, given in ask.items()}
        self._distributions = imputer.predict_distributions(some)
        self._index = table.index[self._rows]

    def of(self, feature: Feature, rows: np.ndarray) -> pd.DataFrame:
        """Of a column's cells in these rows: what :class:`skhvae.plotting.ImputationDisplay` has a row for."""
        places = np.searchsorted(self._rows, rows)
        tables = {"estimate": self._tables["estimate"]} if feature.type.finite else self._tables
        cells = pd.DataFrame(
            {what: table[feature.name].iloc[places] for what, table in tables.items()}
        )
        if feature.type.finite:
            probabilities = self._distributions[feature.name].loc[places]
            cells = pd.concat([cells, probabilities], axis=1)
        return cells.set_axis(self._index[places])


def some_rows(missing: np.ndarray, most: int, random_state) -> np.ndarray:
    """Places of some missing cells, in order."""
    rows = np.flatnonzero(missing)
    return rows[sampled(len(rows), most, random_state)]
