"""Write values into the missing cells of a column, and into no other."""

from __future__ import annotations

import decimal

import numpy as np
import pandas as pd
from pandas.api import types as pdt

from skhvae.table import _times
from skhvae.table._reading import label, missing_cells, storage

__all__ = ["fill"]


def fill(column: pd.Series, missing: np.ndarray, values, bounds=None, example=None) -> pd.Series:
    """Put `values` into the missing cells; every other cell, the dtype and the index stay.

    Parameters
    ----------
    column : Series of length n_rows
    missing : bool array of shape (n_rows,)
    values : array-like of shape (missing.sum(),)
        Numbers, as :func:`numbers` gives them (rounded where the column stores whole ones), or
        scalars of the column's own kind.
    bounds : (low, high) or None
        The range that numbers must not leave by rounding, as :func:`bounds` gives it.
    example : Series of length 1 or None
        An observed cell of the same feature elsewhere. It shows what to write into a column that
        shows nothing itself, having no observed cell, or too few categories.

    Returns
    -------
    Series of length n_rows
        Of the column's dtype, with the categories added that it lacks. Without an observed cell,
        and where the dtype cannot hold the values, it takes the dtype of `example`.

    Raises
    ------
    ValueError
        If the dtype cannot hold a value.
    """
    values = np.asarray(values)
    if not missing.any():
        return column
    if missing.all() and example is not None and not _can_hold(column, values, example):
        empty = example.array.take(np.zeros(len(column), dtype=np.int64))
        column = pd.Series(empty, index=column.index, name=column.name, dtype=example.dtype)
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = _with_categories(column, values, example)
    array = column.array.copy()
    try:
        array[missing] = _converted(column, missing, values, bounds, example)
    except (TypeError, ValueError, OverflowError, NotImplementedError) as error:
        raise ValueError(
            f"Column {label(column.name)}: dtype {column.dtype} cannot hold the imputed values, e.g. "
            f"{values[0]!r}. Convert it to the dtype that it had in fit. ({error})"
        ) from error
    return pd.Series(array, index=column.index, name=column.name, dtype=column.dtype)


def _can_hold(column: pd.Series, values: np.ndarray, example: pd.Series) -> bool:
    """Whether a column without an observed cell can hold such values all the same."""
    if column.dtype == object or column.dtype == example.dtype:
        return True
    kind, kind_in_fit = (storage(c, missing_cells(c)) for c in (column, example))
    if kind in ("integer", "float"):
        return values.dtype.kind in "fiu" and kind_in_fit in ("integer", "float")
    return kind == kind_in_fit and example.dtype != object


def _with_categories(column: pd.Series, values: np.ndarray, example) -> pd.Series:
    """The column with the categories that it lacks, in their order in fit."""
    declared = column.dtype.categories
    lacking = pd.Index(pd.unique(values), tupleize_cols=False).difference(declared, sort=False)
    if len(lacking) == 0:
        return column
    known = getattr(example, "cat", column.cat).categories
    used = known[known.isin(declared) | known.isin(lacking)]
    if column.dtype.ordered and declared.isin(known).all() and lacking.isin(known).all():
        return column.cat.set_categories(used)
    in_order = [*used.intersection(lacking, sort=False), *lacking.difference(used, sort=False)]
    return column.cat.add_categories(in_order)


def _converted(column, missing, values, bounds, example):
    """`values` as an array that the column's own array takes."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return pd.Categorical(values, dtype=dtype)
    numeric = values.dtype.kind in "fiu"
    if column.dtype == object:
        return _objects(values, bounds, _own_kind(column.to_numpy()[~missing], example))
    if numeric and dtype.kind in "Mm":
        return _times.from_steps(_whole(values, bounds, _times.step(dtype)), dtype)
    if numeric and pdt.is_integer_dtype(dtype):
        values = _whole(values, bounds)
    with np.errstate(over="ignore"):
        converted = pd.array(values, dtype=dtype)
    if pdt.is_float_dtype(dtype) and np.isinf(np.asarray(converted, dtype=np.float64)).any():
        raise OverflowError("they would be infinite")
    # Python's integers as such: Arrow would take them for signed ones.
    found = converted.astype(object) if values.dtype == object else converted
    if pdt.is_integer_dtype(dtype) and (found != values).any():
        raise OverflowError("numpy would wrap them")
    return converted


def _own_kind(others: np.ndarray, example):
    """A cell that shows which Python objects the column holds: one of its own if possible."""
    known = others[pd.notna(others)]
    if example is None:
        return known[0] if len(known) else None
    like = example.astype(object).iloc[0]
    return next((cell for cell in known if _times.is_time(cell) == _times.is_time(like)), like)


def _objects(values: np.ndarray, bounds, example) -> np.ndarray:
    """`values` as the Python objects that an object column holds."""
    filled = np.empty(len(values), dtype=object)
    if values.dtype.kind not in "fiu":
        # Objects as they are: a Series would make time stamps of datetimes.
        filled[:] = values if values.dtype == object else pd.Series(values).tolist()
    elif _times.is_time(example):
        steps = _whole(values, bounds, _times.object_step(example))
        filled[:] = _times.as_objects(steps, example)
    elif isinstance(example, decimal.Decimal):
        filled[:] = [decimal.Decimal(str(value)) for value in values]
    elif values.dtype.kind in "iu" or (bounds is not None and isinstance(bounds[0], int)):
        filled[:] = _whole(values, bounds).tolist()
    else:
        filled[:] = values.tolist()
    return filled


def _whole(values: np.ndarray, bounds, step: int = 1) -> np.ndarray:
    """The nearest multiples of `step` within the bounds, counted in steps, exactly.

    ``float64`` rounds what lies beyond 2**53, and can round it out of the observed range: what is not
    strictly between the bounds is therefore set to them as integers.
    """
    if values.dtype.kind in "iu":
        return values
    steps = np.rint(values / step)
    if bounds is None:
        low, high = int(steps.min()), int(steps.max())
    else:
        low, high = int(-(-bounds[0] // step)), int(bounds[1] // step)
        low = min(low, high)
    below, above = steps <= low, steps >= high
    inside = np.where(below | above, 0, steps)
    if low >= -(2**63) and high < 2**63:
        whole = inside.astype(np.int64)
    elif low >= 0 and high < 2**64:
        whole = inside.astype(np.uint64)
    else:
        whole = np.array([int(value) for value in inside], dtype=object)
    whole[below] = low
    whole[above] = high
    return whole
