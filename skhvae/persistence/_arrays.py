"""Kinds of arrays: numpy's and pandas', with their dtypes."""

from __future__ import annotations

import datetime
import re

import numpy as np
import pandas as pd
import torch
from pandas.api.extensions import ExtensionDtype

from skhvae.persistence._document import CannotBeSaved, Kind

__all__ = ["ARRAYS"]


# Arrays of numpy

_AS_SIGNED = "uMm"  # what files hold as signed integers: unsigned ones and times


def _array_parts(array: np.ndarray) -> tuple:
    if array.dtype == object:
        return "object", list(array.shape), array.ravel().tolist()
    if array.dtype.kind not in "biufMm" or array.dtype.itemsize > 8:
        raise CannotBeSaved(f"dtype {array.dtype}")
    # By its size, since numpy has several integers of the same, of which torch knows one.
    native = array.astype(np.dtype(array.dtype.str).newbyteorder("="), order="C", copy=True)
    numbers = native.view(f"i{native.itemsize}") if array.dtype.kind in _AS_SIGNED else native
    return str(array.dtype), list(array.shape), torch.from_numpy(numbers)


def _array(dtype: str, shape: list, cells) -> np.ndarray:
    if dtype == "object":
        return _objects(cells).reshape(shape)
    numbers, dtype = cells.numpy(), np.dtype(dtype)
    if dtype.kind in _AS_SIGNED:
        numbers = numbers.view(dtype.newbyteorder("="))
    return numbers.astype(dtype, copy=False).reshape(shape)


def _objects(cells: list) -> np.ndarray:
    objects = np.empty(len(cells), dtype=object)
    objects[:] = cells  # np.array would take tuples apart
    return objects


# Dtypes


def _string_dtype_parts(dtype: pd.StringDtype) -> tuple:
    # What is stored as usual here is so elsewhere too, where pandas may have no pyarrow.
    usual = dtype.storage == pd.StringDtype(na_value=dtype.na_value).storage
    return None if usual else dtype.storage, dtype.na_value


def _arrow_dtype(name: str) -> pd.ArrowDtype:
    import pyarrow

    try:
        return pd.ArrowDtype(pyarrow.type_for_alias(name))
    except ValueError:  # it has a time zone, which pandas reads
        return pd.ArrowDtype.construct_from_string(f"{name}[pyarrow]")


def _named_dtype(name: str):
    # With arguments, names can make pandas look for time zones in files and modules.
    if not re.fullmatch(r"[\w\[\]-]+", name):
        raise ValueError(f"{name!r} is no name of a dtype")
    return pd.api.types.pandas_dtype(name)


def _zoned_dtype(unit: str, zone: datetime.tzinfo) -> pd.DatetimeTZDtype:
    if not isinstance(zone, datetime.tzinfo):
        raise TypeError(f"{zone!r} is no time zone")
    return pd.DatetimeTZDtype(unit, zone)


def _no_name(dtype: np.dtype | ExtensionDtype) -> np.dtype | ExtensionDtype:
    # pandas takes names everywhere, those of time zones among them.
    if not isinstance(dtype, np.dtype | ExtensionDtype):
        raise TypeError(f"{dtype!r} is no dtype")
    return dtype


def _named_by(dtype, name: str, build) -> tuple[str]:
    try:
        if build(name) == dtype:
            return (name,)
    except (TypeError, ValueError, NotImplementedError):
        pass
    raise CannotBeSaved("its name does not tell all of it")


# Arrays of pandas


def _cells(column: pd.Series | pd.Index) -> tuple:
    """Dtype and cells, as numpy has them or as objects."""
    dtype = column.dtype
    if isinstance(column, pd.MultiIndex):
        raise CannotBeSaved("it has several levels")
    if isinstance(dtype, pd.CategoricalDtype):
        return dtype, np.asarray(column.array.codes)
    if isinstance(dtype, np.dtype):
        return dtype, column.to_numpy()
    return dtype, column.astype(object).tolist()


def _series(dtype, cells, name=None) -> pd.Series:
    dtype = _no_name(dtype)
    if isinstance(dtype, pd.CategoricalDtype):
        cells = pd.Categorical.from_codes(cells, dtype=dtype)
    elif not isinstance(dtype, np.dtype):
        cells = pd.array(_objects(cells), dtype=dtype)
    return pd.Series(cells, dtype=dtype, name=name)


def _index(dtype, cells, name) -> pd.Index:
    return pd.Index(_series(dtype, cells).array, dtype=dtype, name=name, tupleize_cols=False)


def _frame(index: pd.Index, names: pd.Index, columns: list) -> pd.DataFrame:
    filled = {i: _series(*column).set_axis(index) for i, column in enumerate(columns)}
    return pd.DataFrame(filled, index=index).set_axis(names, axis=1)


ARRAYS = [
    Kind("array", np.ndarray, _array_parts, _array),
    Kind("dtype", np.dtype, lambda x: (str(x),), np.dtype, subclasses=True),
    Kind("string dtype", pd.StringDtype, _string_dtype_parts, pd.StringDtype),
    Kind(
        "category dtype",
        pd.CategoricalDtype,
        lambda x: (x.categories, x.ordered),
        pd.CategoricalDtype,
    ),
    Kind("zoned dtype", pd.DatetimeTZDtype, lambda x: (x.unit, x.tz), _zoned_dtype),
    Kind(
        "arrow dtype",
        pd.ArrowDtype,
        lambda x: _named_by(x, str(x.pyarrow_dtype), _arrow_dtype),
        _arrow_dtype,
    ),
    Kind(
        "interval dtype",
        pd.IntervalDtype,
        lambda x: (x.subtype, x.closed),
        lambda subtype, closed: pd.IntervalDtype(_no_name(subtype), closed),
    ),
    Kind(
        "pandas dtype",
        ExtensionDtype,
        lambda x: _named_by(x, str(x), _named_dtype),
        _named_dtype,
        subclasses=True,
    ),
    Kind(
        "range index",
        pd.RangeIndex,
        lambda x: (x.start, x.stop, x.step, x.name),
        lambda start, stop, step, name: pd.RangeIndex(start, stop, step, name=name),
    ),
    Kind("index", pd.Index, lambda x: (*_cells(x), x.name), _index, subclasses=True),
    # Without the index: of a feature's example it says which row of the user's table it was.
    Kind(
        "series",
        pd.Series,
        lambda x: (*_cells(x), x.name),
        _series,
        subclasses=True,
        shared=True,
    ),
    Kind(
        "table",
        pd.DataFrame,
        lambda x: (x.index, x.columns, [_cells(x.iloc[:, i]) for i in range(x.shape[1])]),
        _frame,
        shared=True,
    ),
]
