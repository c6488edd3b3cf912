"""What must be true of a completed table, and of the estimator that completed it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pandas.api import types as pdt
from random_columns import gaps_of

__all__ = ["assert_completed", "assert_consistent", "assert_same"]

NUMBERS = {"integer", "floating", "mixed-integer-float", "decimal"}
NAIVE = [f"datetime64[{unit}]" for unit in ("s", "ms", "us", "ns")]
TIMES_OF = {"datetime", "datetime64", "date", "timedelta", "timedelta64"}


def bits(column):
    """The stored value of every cell, such that -0.0 differs from 0.0."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind == "f":
        return column.to_numpy().view(f"i{column.dtype.itemsize}").tolist()
    if column.dtype == object:
        return [id(cell) for cell in column]
    return [(type(cell), repr(cell)) for cell in column]


def assert_same(first, second):
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    for i in range(first.shape[1]):
        pair = first.iloc[:, i], second.iloc[:, i]
        if pair[0].dtype != object:
            assert bits(pair[0]) == bits(pair[1])


def all_gaps(table, marker):
    """Of every column."""
    return [gaps_of(column, marker) for _, column in table.items()]


def without_frequency(names):
    """Which a part of a range of dates may lose or keep."""
    names = names.copy()
    if isinstance(names, pd.DatetimeIndex | pd.TimedeltaIndex):
        names.freq = None
    return names


def assert_completed(table, completed, trained, parameters, same_dtypes=True):
    """`completed` is `table`, with values in its gaps that a cell of the training table could have: exactly
    so if it has its dtypes, which may also be others of their kind."""
    marker = parameters.get("missing_values")
    gaps, known = all_gaps(table, marker), [~gaps for gaps in all_gaps(trained, marker)]
    kept = [i for i, cells in enumerate(known) if parameters["keep_empty_features"] or cells.any()]
    pd.testing.assert_index_equal(completed.index, table.index, exact=True)
    columns, flags = completed.iloc[:, : len(kept)], completed.iloc[:, len(kept) :]
    if flags.empty:
        names = without_frequency(table.columns[kept])
        pd.testing.assert_index_equal(without_frequency(columns.columns), names, exact=True)
    flagged = [
        i for i, cells in enumerate(known) if parameters["add_indicator"] and not cells.all()
    ]
    for i, (_, flag) in zip(flagged, flags.items(), strict=True):
        np.testing.assert_array_equal(flag, gaps[i])
    for i, (_, after) in zip(kept, columns.items(), strict=True):
        before, trained_on = table.iloc[:, i], trained.iloc[:, i]
        assert bits(after[~gaps[i]]) == bits(before[~gaps[i]])
        if same_dtypes or not gaps[i].all():  # else it takes the dtype that it had in fit
            assert_dtype(after.dtype, before.dtype, may_grow=table is not trained)
        if known[i].any():
            assert not gaps_of(after).any()
            if same_dtypes:
                assert_admissible(after[gaps[i]], trained_on[known[i]])
        elif pdt.is_numeric_dtype(before.dtype):
            assert (after[gaps[i]] == 0).all()
        else:
            assert gaps_of(after[gaps[i]], marker).all()


def assert_dtype(found, expected, may_grow):
    """The same, but that levels which another table has can be added to a category."""
    if may_grow and isinstance(expected, pd.CategoricalDtype):
        assert expected.categories.isin(found.categories).all()
        assert expected.ordered == found.ordered
    else:
        assert found == expected


def has_order(column):
    """Whether a column stores numbers or times, whose estimates need not be among the observed values."""
    if isinstance(column.dtype, pd.CategoricalDtype) or pdt.is_bool_dtype(column.dtype):
        return False
    return pdt.infer_dtype(column.astype(object).tolist(), skipna=True) in NUMBERS | TIMES_OF


def assert_admissible(filled, known):
    """Levels that were seen; or numbers and times within the observed range, of the same kind."""
    if filled.empty:
        return
    values, seen = filled.tolist(), known.tolist()
    assert {*map(type, values)} <= {*map(type, seen)}
    if len(set(seen)) <= 2 or not has_order(known):
        assert set(values) <= set(seen)
        return
    assert min(seen) <= min(values) <= max(values) <= max(seen)
    if filled.dtype in NAIVE and (known.dt.normalize() == known).all():
        assert (filled.dt.normalize() == filled).all()  # days stay days


def assert_consistent(fitted, table, parameters):
    """What the fitted estimator tells is about this table."""
    names, gaps = table.columns.tolist(), all_gaps(table, parameters.get("missing_values"))
    known = [column[~gap].tolist() for (_, column), gap in zip(table.items(), gaps, strict=True)]
    modelled = [i for i, cells in enumerate(known) if len(set(cells)) > 1]
    assert fitted.n_features_in_ == len(names)
    assert same_names(fitted.schema_.names, names)
    assert same_names([*fitted.feature_types_], names)
    for feature, gap, cells in zip(fitted.schema_, gaps, known, strict=True):
        assert feature.n_missing == gap.sum()
        assert feature.n_rows == len(table)
        assert feature.is_empty == (not cells)
        assert feature.is_constant == (len(set(cells)) == 1)

    history = fitted.history_
    assert fitted.n_iter_ == len(history) <= parameters["max_iter"]
    assert (len(history) > 0) == bool(modelled)
    errors, told = fitted.feature_errors_, fitted.missingness_
    assert same_names(fitted.gradient_conflict_.index, [names[i] for i in modelled])
    assert not fitted.gradient_conflict_.abs().gt(1 + 1e-6).any(axis=None)
    if not modelled:
        assert errors is None
        assert told is None
        return
    assert (history["skipped_steps"] == 0).all()
    for column in ("loss", "kl", *history.filter(regex=r"^loss\[")):
        assert np.isfinite(history[column]).all(), column
    assert history.filter(regex=r"^loss\[").shape[1] == len(modelled)
    assert not np.isinf(history.to_numpy(dtype=float)).any()
    assert same_names(told.index, [names[i] for i in modelled])
    assert told["n_missing"].tolist() == [gaps[i].sum() for i in modelled]
    assert told["mechanism"].isin(["mar", "mnar"]).all()
    assert not np.isinf(told[["other_gaps", "own_value", "other_values"]]).any(axis=None)
    assert (told["mechanism"] == "mnar").sum() <= told["own_value"].notna().sum()
    if errors is not None:
        assert parameters["early_stopping"]
        assert same_names(errors.index, names)
        assert (errors["error"].isna() == (errors["n_cells"] == 0)).all()
        assert np.isfinite(errors["error"].dropna()).all()
        for n_cells, cells in zip(errors["n_cells"], known, strict=True):
            assert n_cells <= len(cells)


def same_names(some, others):
    return pd.Index(some, tupleize_cols=False).equals(pd.Index(others, tupleize_cols=False))
