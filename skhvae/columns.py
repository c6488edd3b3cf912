"""Whether a table has the columns that an estimator was fitted to."""

from __future__ import annotations

import pandas as pd
from sklearn.utils.validation import validate_data

from skhvae.features import key
from skhvae.table import is_table

__all__ = ["check_columns", "same_names"]


def check_columns(estimator, X, table: pd.DataFrame, reset: bool) -> pd.DataFrame:
    """Check number and names of the columns as scikit-learn does, and those names that it leaves out.

    Parameters
    ----------
    estimator : HeterogeneousVAEImputer
        Gets ``n_features_in_`` and ``feature_names_in_`` if `reset`; has a ``schema_`` otherwise.
    X : DataFrame of any library, or array-like, of shape (n_rows, n_columns)
    table : DataFrame of shape (n_rows, n_columns)
        What :func:`skhvae.table.as_table` made of it.
    reset : bool
        Whether these are the columns of fit.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns)
        `table` under the names of fit.

    Raises
    ------
    ValueError
        For other columns than those of fit.
    """
    names = table.columns.tolist()
    text = {isinstance(name, str) for name in names}
    if text == {True, False}:  # scikit-learn refuses names of mixed kinds; here they do no harm
        if reset:
            estimator.n_features_in_ = len(names)
    else:
        # Not every library tells scikit-learn its names.
        named = table if is_table(X) else X
        validate_data(estimator, named, reset=reset, skip_check_array=True)
    if reset:
        return table
    fitted = estimator.schema_.names
    # scikit-learn compares names that are all strings; all others are compared here.
    by_scikit_learn = text == {True} or (
        True not in text and all(isinstance(name, str) for name in fitted)
    )
    if is_table(X) and not by_scikit_learn and not same_names(names, fitted):
        raise ValueError(
            f"The columns must be those of fit in their order, {fitted}, found {names}. "
            f"Use X[{fitted}], or X.to_numpy() to go by position."
        )
    return table.set_axis(pd.Index(fitted, tupleize_cols=False), axis=1)


def same_names(names, others) -> bool:
    """Whether they are the same in the same order."""
    return [*map(key, names)] == [*map(key, others)]
