"""The table that an imputer is asked about, in one form, and which of its columns are wanted."""

from __future__ import annotations

from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skhvae.chunks import one_table
from skhvae.columns import check_columns
from skhvae.features import key, nearest
from skhvae.plotting._theme import check_count
from skhvae.table import as_table, label, missing_cells

__all__ = ["chosen", "complete", "gaps", "sampled", "table_of"]


def table_of(imputer, X) -> pd.DataFrame:
    """`X` as a DataFrame of pandas under the column names of fit, with its gaps.

    Raises
    ------
    NotFittedError
    ValueError
        For other columns than those of fit.
    """
    check_is_fitted(imputer)
    return check_columns(imputer, X, one_table(X), reset=False)


def gaps(imputer, table: pd.DataFrame) -> pd.DataFrame:
    """Which cells of such a table are missing."""
    marker = imputer.missing_values
    missing = {i: missing_cells(table.iloc[:, i], marker) for i in range(table.shape[1])}
    return pd.DataFrame(missing).set_axis(table.columns, axis=1).set_axis(table.index)


def complete(imputer, given, index: pd.Index) -> pd.DataFrame:
    """What an imputer gave back, under the column names of fit, without what it appended."""
    kept = [f.name for f in imputer.schema_ if imputer.keep_empty_features or not f.is_empty]
    table = as_table(given).iloc[:, : len(kept)]
    return table.set_axis(pd.Index(kept, tupleize_cols=False), axis=1).set_axis(index)


def chosen(wanted, known, usual=None) -> list:
    """Names of the wanted columns.

    Parameters
    ----------
    wanted : list of names, int or None
        A name alone is a list of one, if it is a string; an int stands for so many of the usual ones.
    known : sequence of names
    usual : sequence of names or None
        From which a number, or all, are taken; None for the known ones.

    Raises
    ------
    ValueError
        For a name that is not known, or fewer than one.
    """
    usual = list(known) if usual is None else list(usual)
    if wanted is None:
        return usual
    if isinstance(wanted, Integral):
        check_count("features, where it is a number,", wanted)
        return usual[:wanted]
    names = {key(name): name for name in known}
    wanted = [wanted] if isinstance(wanted, str) else list(wanted)
    if not wanted:
        raise ValueError("features must name at least one column, found none.")
    for name in wanted:
        if key(name) not in names:
            raise ValueError(
                f"features names column {label(name)}, which there is not here."
                + nearest(name, map(str, names.values()))
            )
    return list(dict.fromkeys(names[key(name)] for name in wanted))


def sampled(n_rows: int, most: int | None, random_state) -> np.ndarray:
    """Places of at most so many rows, in order."""
    if most is None:
        return np.arange(n_rows)
    check_count("max_rows", most)
    if n_rows <= most:
        return np.arange(n_rows)
    random = check_random_state(0 if random_state is None else random_state)
    return np.sort(random.choice(n_rows, most, replace=False))
