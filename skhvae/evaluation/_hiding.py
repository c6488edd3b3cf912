"""Hide known cells: completely at random, at random, not at random."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from skhvae import table as tables
from skhvae.evaluation._metrics import METRICS
from skhvae.schema import infer_schema, nearest
from skhvae.typing import Seed, Table

__all__ = ["hide_cells"]

_STEEPNESS = 1.5


def hide_cells(
    X: Table,
    fraction: float = 0.2,
    mechanism: str = "mcar",
    random_state: Seed = None,
) -> tuple[Any, np.ndarray]:
    """Hide known cells on purpose, so that their imputations can be compared with the truth.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n_rows, n_columns)
        Of pandas, polars or Arrow. It may already have missing cells; these are never counted as hidden.
    fraction : float in (0, 1), default=0.2
        The expected share of hidden cells among the observed ones, for ``"mcar"`` and ``"mnar"`` in
        every column, for ``"mar"`` in every column that can be hidden.
    mechanism : {"mcar", "mar", "mnar"}, default="mcar"
        Rubin's mechanisms [1]_:

        - ``"mcar"``, completely at random: every cell with the same probability, as in HI-VAE [2]_;
        - ``"mar"``, at random: a third of the columns (rounded, at least one), drawn among those
          without missing cells, stays observed, and a random linear combination of their scores
          decides about the cells of each other column;
        - ``"mnar"``, not at random: a cell's own score decides. Large values, and some levels of a
          nominal feature, are hidden more often.
    random_state : int, numpy Generator or None, default=None
        ``None`` hides other cells at every call.

    Returns
    -------
    X_missing : DataFrame or ndarray of shape (n_rows, n_columns)
        A copy with the hidden cells missing. A column keeps its dtype if that can hold missing
        values (all of polars and Arrow can) or if none of its cells is hidden. Otherwise integers become ``float64`` (nullable
        ``Int64`` or ``UInt64`` where ``float64`` would round them) and booleans ``boolean``, whose
        other cells stay booleans. In arrays, which have no nullable types, both become ``object``
        where ``float64`` will not do.
    hidden : bool ndarray of shape (n_rows, n_columns)
        True where a cell was hidden.

    Notes
    -----
    A score is a number on a scale that all columns share: log(1 + x) of positive and count
    features, x of real ones and dates, the rank of ordinal ones, a standard normal number per level
    of nominal and binary ones, standardised and clipped to [-3, 3]. With a standardised score s,
    a cell is hidden with the logistic probability

    .. math:: p = 1 / (1 + \\exp(-1.5 s - b)),

    where b makes the mean over the column's observed cells equal to `fraction`, in the way of [3]_.

    References
    ----------
    .. [1] D. B. Rubin, "Inference and missing data", Biometrika 63, 1976.
    .. [2] A. Nazábal, P. M. Olmos, Z. Ghahramani and I. Valera, "Handling incomplete heterogeneous
       data using VAEs", Pattern Recognition 107, 2020, https://arxiv.org/abs/1807.03653.
    .. [3] B. Muzellec, J. Josse, C. Boyer and M. Cuturi, "Missing data imputation using optimal
       transport", ICML 2020, https://arxiv.org/abs/2002.03860.

    Examples
    --------
    >>> import pandas as pd
    >>> from skhvae.evaluation import hide_cells
    >>> X = pd.DataFrame({"age": [31, 45, 28, 60], "smokes": [True, False, True, False]})
    >>> X_missing, hidden = hide_cells(X, fraction=0.4, random_state=0)
    >>> X_missing
        age  smokes
    0  31.0    <NA>
    1   NaN    <NA>
    2  28.0    True
    3  60.0   False
    >>> int(hidden.sum())
    3
    """
    if not (isinstance(fraction, Real) and 0 < fraction < 1):
        raise ValueError(f"fraction must be a number between 0 and 1, found {fraction!r}.")
    if mechanism not in _MECHANISMS:
        raise ValueError(f"Unknown mechanism {mechanism!r}." + nearest(mechanism, _MECHANISMS))
    rng = np.random.default_rng(random_state)
    table = tables.as_table(X)
    observed = np.column_stack([~tables.missing_cells(table[name]) for name in table.columns])
    probability = _MECHANISMS[mechanism](table, observed, fraction, rng)
    hidden = observed & (rng.random(observed.shape) < probability)
    if tables.is_native(X):
        return tables.without_cells(X, hidden), hidden
    return _without(table if tables.is_table(X) else X, hidden), hidden


def _mcar(table, observed, fraction, rng) -> np.ndarray:
    return np.full(observed.shape, fraction)


def _mar(table, observed, fraction, rng) -> np.ndarray:
    complete = np.flatnonzero(observed.all(axis=0))
    n_columns = table.shape[1]
    if n_columns == 1 or len(complete) == 0:
        found = "1 column" if n_columns == 1 else f"missing cells in all {n_columns} columns"
        raise ValueError(
            "mechanism='mar' hides cells by what complete columns say, so it needs at least two "
            f"columns, one of them without missing cells; found {found}. "
            "Use mechanism='mcar' or 'mnar'."
        )
    n_kept = min(max(1, round(n_columns / 3)), len(complete))
    kept = rng.choice(complete, size=n_kept, replace=False)
    scores = _scores(table, observed, rng)[:, kept]
    probability = np.zeros(observed.shape)
    for i in np.setdiff1d(np.arange(n_columns), kept):
        score = _standardise(scores @ rng.standard_normal(n_kept))
        probability[:, i] = _logistic(score, observed[:, i], fraction)
    return probability


def _mnar(table, observed, fraction, rng) -> np.ndarray:
    columns = zip(_scores(table, observed, rng).T, observed.T, strict=True)
    return np.column_stack([_logistic(score, known, fraction) for score, known in columns])


_MECHANISMS = {"mcar": _mcar, "mar": _mar, "mnar": _mnar}


def _scores(table, observed, rng) -> np.ndarray:
    """Every column on one scale (see Notes of `hide_cells`), 0 in missing cells."""
    with warnings.catch_warnings():  # about modelling, which nobody does here
        warnings.simplefilter("ignore", UserWarning)
        schema = infer_schema(table)
    scores = np.zeros(observed.shape)
    for i, feature in enumerate(schema):
        known = observed[:, i]
        if feature.is_modelled:
            values = METRICS[feature.type.metric].coordinates(table[feature.name], feature)[known]
            if feature.type.metric == "error rate":
                values = rng.standard_normal(int(values.max()) + 1)[values.astype(int)]
            if feature.type.name in ("positive", "count"):
                values = np.log1p(values)
            scores[known, i] = np.clip(_standardise(values), -3, 3)
    return scores


def _standardise(values: np.ndarray) -> np.ndarray:
    centred = values - values.mean()
    deviation = centred.std()
    return centred / deviation if deviation > 0 else np.zeros_like(centred)


def _logistic(score, known, fraction) -> np.ndarray:
    """Probabilities that increase with the score and are `fraction` in the mean of known cells."""
    slope = _STEEPNESS * score
    reach = np.abs(slope).max()
    middle = np.log(fraction / (1 - fraction))
    low, high = middle - reach, middle + reach
    for _ in range(60 if known.any() else 0):  # bisection: the mean increases with the intercept
        middle = (low + high) / 2
        below = (1 / (1 + np.exp(-slope[known] - middle))).mean() < fraction
        low, high = (middle, high) if below else (low, middle)
    return 1 / (1 + np.exp(-slope - middle))


def _without(X, hidden):
    """A copy of `X` whose hidden cells are missing."""
    if isinstance(X, pd.DataFrame):
        result = X.copy()
        for i in np.flatnonzero(hidden.any(axis=0)):
            column = X.iloc[:, i]
            result.isetitem(i, column.astype(_gap_dtype(column)).mask(hidden[:, i]))
        return result
    array = np.asarray(X)
    dtype = _gap_dtype(array) if hidden.any() else array.dtype
    array = array.astype(dtype if isinstance(dtype, np.dtype) else object)
    array[hidden] = np.array("NaT", dtype=dtype) if array.dtype.kind in "Mm" else np.nan
    return array


def _gap_dtype(values):
    """The dtype that holds these values and missing ones."""
    kind = values.dtype.kind if isinstance(values.dtype, np.dtype) else ""
    if kind == "b":
        return pd.BooleanDtype()
    if kind in ("i", "u"):
        exact = max(-int(values.min()), int(values.max())) <= 2**53
        nullable = pd.UInt64Dtype() if kind == "u" else pd.Int64Dtype()
        return np.dtype(np.float64) if exact else nullable
    return np.dtype(object) if kind in ("S", "U") else values.dtype
