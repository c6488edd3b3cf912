"""Error of every feature's imputations, beside that of mean and mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from skhvae import table as tables
from skhvae.evaluation._metrics import METRICS
from skhvae.schema import Feature, Schema, infer_schema
from skhvae.typing import FeatureTypes, Table
from skhvae.weights import check_weights

__all__ = ["imputation_errors", "total_error"]


def imputation_errors(
    X_true: Table,
    X_imputed: Table,
    hidden: Any,
    feature_types: FeatureTypes | Schema = "infer",
    sample_weight: ArrayLike | None = None,
) -> pd.DataFrame:
    """Error of every feature's imputations, in HI-VAE's metrics [1]_, beside that of mean and mode.

    Parameters
    ----------
    X_true : DataFrame or array-like of shape (n_rows, n_columns)
        The truth. The feature types, and so the metrics, are inferred from it.
    X_imputed : DataFrame or array-like of shape (n_rows, n_columns)
        The imputed table: the same rows and columns in the same order, in any dtypes.
    hidden : bool array-like of shape (n_rows, n_columns)
        True where a cell was hidden from the imputer. Only these cells count.
    feature_types : "infer", dict or Schema, default="infer"
        ``{column: type}`` for the columns whose type is not to be inferred, or a whole schema.
    sample_weight : array-like of shape (n_rows,) or None, default=None
        What each row counts in errors and baselines, as if it stood there so many times; None
        counts all rows alike.

    Returns
    -------
    DataFrame of shape (n_columns, 6), indexed by feature name
        - ``type``: the feature type;
        - ``metric``: ``"nrmse"`` (real, positive, count, datetime): root mean squared error divided
          by the range of the whole true column; ``"error rate"`` (nominal, binary): share of wrong
          levels; ``"rank error"`` (ordinal): mean absolute difference of ranks, divided by the
          number of declared levels;
        - ``error``: NaN for a feature without hidden cells;
        - ``baseline``: the error, on the same cells, of imputing the mean (numeric) or the most
          frequent level (finite features) of the observed cells that are not hidden;
        - ``ratio``: error / baseline;
        - ``n_cells``: the number of hidden cells.

    Notes
    -----
    A constant column has no range: its error is the root mean squared error itself. A number
    between two levels of a numeric ordinal feature has a rank between theirs.

    References
    ----------
    .. [1] A. Nazábal, P. M. Olmos, Z. Ghahramani and I. Valera, "Handling incomplete heterogeneous
       data using VAEs", Pattern Recognition 107, 2020, https://arxiv.org/abs/1807.03653.

    Examples
    --------
    >>> import pandas as pd
    >>> from skhvae.evaluation import imputation_errors
    >>> true = pd.DataFrame({"age": [20, 30, 40, 60], "city": ["Bonn", "Ulm", "Kiel", "Ulm"]})
    >>> imputed = pd.DataFrame({"age": [20, 30, 44, 60], "city": ["Kiel", "Ulm", "Kiel", "Ulm"]})
    >>> hidden = [[False, True], [False, True], [True, False], [False, False]]
    >>> imputation_errors(true, imputed, hidden).round(3)
                type      metric  error  baseline  ratio  n_cells
    feature
    age        count       nrmse    0.1     0.083    1.2        1
    city     nominal  error rate    0.5     0.500    1.0        2
    """
    true = tables.as_table(X_true)
    imputed, hidden = _aligned(true, X_true, X_imputed, hidden)
    if isinstance(feature_types, Schema):
        schema = feature_types
    else:
        schema = infer_schema(true, feature_types, whole_numbers=tables.is_table(X_true))
    if sample_weight is not None:
        sample_weight = check_weights(sample_weight, len(true))
        kept = sample_weight > 0  # a row that counts nothing is as good as absent
        true, imputed, hidden = true[kept], imputed[kept], hidden[kept]
        sample_weight = sample_weight[kept]
    rows = [
        _row(true[name], imputed.iloc[:, i], hidden[:, i], schema[name], sample_weight)
        for i, name in enumerate(true.columns)
    ]
    names = pd.Index(true.columns.tolist(), name="feature", tupleize_cols=False)
    errors = pd.DataFrame(rows, index=names)
    errors.insert(4, "ratio", errors["error"] / errors["baseline"])
    return errors


def total_error(errors: pd.DataFrame) -> float:
    """Mean error over the features that have hidden cells.

    Parameters
    ----------
    errors : DataFrame
        What `imputation_errors` returns.

    Returns
    -------
    float
        NaN if no feature has hidden cells.

    Examples
    --------
    >>> import pandas as pd
    >>> from skhvae.evaluation import total_error
    >>> total_error(pd.DataFrame({"error": [0.25, 0.75, None]}))
    0.5
    """
    return float(errors["error"].mean())


def _aligned(true, X_true, X_imputed, hidden) -> tuple[pd.DataFrame, np.ndarray]:
    """The imputed table and the hidden cells, once they are known to fit the true table."""
    imputed = tables.as_table(X_imputed)
    hidden = np.asarray(hidden)
    for name, found in (("X_imputed", imputed.shape), ("hidden", hidden.shape)):
        if found != true.shape:
            raise ValueError(f"{name} must have the shape of X_true, {true.shape}, found {found}.")
    if hidden.dtype != bool:
        raise TypeError(
            f"hidden must be boolean (True where a cell was hidden), found {hidden.dtype}."
        )
    if tables.is_table(X_true) and tables.is_table(X_imputed):
        for axis, ours, theirs in zip(_AXIS, true.axes, imputed.axes, strict=True):
            if axis == "rows" and not (true is X_true and imputed is X_imputed):
                continue  # only pandas labels them
            if not ours.equals(theirs):
                at = next(i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b)
                raise ValueError(
                    f"X_imputed must have the {axis} of X_true in their order, found "
                    f"{theirs[at]!r} instead of {ours[at]!r} at position {at}. "
                    f"If only the labels differ, use X_imputed.set_axis(X_true.{_AXIS[axis]})."
                )
    for what, table in (("X_true", true), ("X_imputed", imputed)):
        gaps = {
            name: count
            for i, name in enumerate(true.columns)
            if (count := int((tables.missing_cells(table.iloc[:, i]) & hidden[:, i]).sum()))
        }
        if gaps:
            listed = ", ".join(f"{tables.label(name)}: {count}" for name, count in gaps.items())
            remedy = {
                "X_true": "Only cells whose truth is known can be marked as hidden.",
                "X_imputed": "An imputer must fill all of them to be measured.",
            }[what]
            raise ValueError(f"{what} has missing values in hidden cells ({listed}). {remedy}")
    return imputed, hidden


_AXIS = {"rows": "index", "columns": "columns, axis=1"}


def _row(true, imputed, hidden, feature: Feature, weights) -> dict:
    def of(cells):
        return None if weights is None else weights[cells]

    row = dict(
        type=feature.type.name,
        metric=feature.type.metric,
        error=np.nan,
        baseline=np.nan,
        n_cells=int(hidden.sum()),
    )
    if not hidden.any():
        return row
    metric = METRICS[feature.type.metric]
    guesses = imputed[hidden].rename(true.name)
    if all(isinstance(column.dtype, pd.DatetimeTZDtype) for column in (true, guesses)):
        guesses = guesses.dt.tz_convert(true.dt.tz)
    # One column of both, so that units and levels mean the same in each.
    both = pd.concat([true, guesses], ignore_index=True)
    try:
        coordinates = metric.coordinates(both, feature)
    except TypeError as error:
        raise TypeError(
            f"Column {tables.label(true.name)}: imputed cells of dtype {imputed.dtype} cannot be "
            f"compared with true ones of dtype {true.dtype}."
        ) from error
    observed = ~tables.missing_cells(true)
    # First of all, so that neither sums nor squares overflow.
    coordinates = coordinates / metric.scale(coordinates[: len(true)][observed], feature)
    truth, guess = coordinates[: len(true)], coordinates[len(true) :]
    row["error"] = metric.loss(guess - truth[hidden], of(hidden))
    if (visible := observed & ~hidden).any():
        default = metric.default(truth[visible], of(visible))
        row["baseline"] = metric.loss(default - truth[hidden], of(hidden))
    return row
