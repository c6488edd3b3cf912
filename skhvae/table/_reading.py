"""What a column holds: missing cells, kind of storage, numbers, scalars."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pandas.api import types as pdt

from skhvae.table import _times

__all__ = [
    "bounds",
    "granularity",
    "label",
    "missing_cells",
    "numbers",
    "scalars",
    "storage",
    "unsupported",
]


_NAN_BESIDE_NA = pd.Float32Dtype | pd.Float64Dtype | pd.ArrowDtype


def label(name) -> str:
    """How messages name a column: ``'age'`` for strings, ``3`` for positions."""
    return repr(name)


def missing_cells(column: pd.Series, missing_values=np.nan) -> np.ndarray:
    """Which cells of `column` are missing: NaN, None, NaT, pd.NA, or equal to `missing_values`.

    A number marks nothing in a column of dates, durations or booleans, nor a boolean in a column of
    numbers, although Python takes ``True == 1``.
    """
    if not pdt.is_scalar(missing_values):
        raise TypeError(f"missing_values must be a scalar, found {missing_values!r}.")
    dtype = column.dtype
    missing = column.isna().to_numpy(dtype=bool)
    if isinstance(dtype, _NAN_BESIDE_NA) and pdt.is_float_dtype(dtype):
        missing = missing | np.isnan(column.to_numpy(dtype=np.float64, na_value=np.nan))
    if pd.isna(missing_values):
        return missing
    if pdt.is_numeric_dtype(dtype) and pdt.is_bool_dtype(dtype) != pdt.is_bool(missing_values):
        return missing
    if dtype.kind in "Mm" and pdt.is_number(missing_values):
        return missing
    try:
        equal = column == missing_values
    except ValueError:  # a cell holds an array, which `storage` refuses by name
        return missing
    return missing | equal.fillna(False).to_numpy(dtype=bool)


# What pandas calls the observed values of an object column: what the column stores.
_OBJECT_STORAGE = {
    "boolean": "boolean",
    "integer": "integer",
    "floating": "float",
    "mixed-integer-float": "float",
    "decimal": "float",
    "datetime": "datetime",
    "datetime64": "datetime",
    "date": "datetime",
    "timedelta": "timedelta",
    "timedelta64": "timedelta",
    "string": "string",
    "bytes": "string",
    "empty": "nothing",
}


def storage(column: pd.Series, missing: np.ndarray) -> str:
    """What the column stores: one word that the feature types are inferred from.

    Returns
    -------
    str
        "boolean", "integer", "float", "datetime", "datetime with time zone", "timedelta",
        "category", "ordered category", "string", "mixed" (an object column of several kinds, or of
        a kind of its own) or "nothing" (no observed cell in a column of objects).

    Raises
    ------
    TypeError, ValueError
        For dtypes that have no imputation here (complex, sparse, intervals, periods, lists).
    """
    dtype, name = column.dtype, label(column.name)
    if isinstance(dtype, pd.CategoricalDtype):
        return "ordered category" if dtype.ordered else "category"
    if isinstance(dtype, pd.SparseDtype):
        raise TypeError(
            f"Column {name}: sparse columns are not supported. Use X[{name}].sparse.to_dense()."
        )
    if pdt.is_complex_dtype(dtype):
        raise ValueError(_complex(name))
    if pdt.is_bool_dtype(dtype):
        return "boolean"
    if pdt.is_integer_dtype(dtype):
        return "integer"
    if pdt.is_float_dtype(dtype):
        return "float"
    if dtype.kind == "m":
        return "timedelta"
    if dtype.kind == "M":
        arrow = getattr(dtype, "pyarrow_dtype", None)
        return _dated(getattr(dtype, "tz", None) or getattr(arrow, "tz", None))
    if column.dtype == object:
        return _object_storage(column, missing)
    if pdt.is_string_dtype(dtype):
        return "string"
    if str(dtype) == "null[pyarrow]":
        return "nothing"
    raise TypeError(unsupported(column.name, dtype))


def unsupported(name, dtype) -> str:
    """What is wrong with a column of a dtype that has no imputation here, and what to do."""
    return (
        f"Column {label(name)}: dtype {dtype} is not supported. Convert it to numbers, strings, "
        "categories or datetimes, or leave it out (e.g. with a ColumnTransformer)."
    )


def _dated(zone) -> str:
    return "datetime" if zone is None else "datetime with time zone"


def _complex(name: str) -> str:
    return f"Column {name}: complex data not supported. Split it into real and imaginary parts."


def _object_storage(column: pd.Series, missing: np.ndarray) -> str:
    observed = column.to_numpy(dtype=object)[~missing]
    kind = _OBJECT_STORAGE.get(pdt.infer_dtype(observed, skipna=True), "mixed")
    if kind == "datetime":
        return _dated(getattr(observed[0], "tzinfo", None))
    if kind == "mixed":
        for value in observed:
            if isinstance(value, complex):
                raise ValueError(_complex(label(column.name)))
            if not pdt.is_hashable(value):
                raise TypeError(
                    f"Column {label(column.name)}: holds a {type(value).__name__}, and its argument "
                    "must be a string or a number. Expand it into columns of its own first."
                )
    return kind


def scalars(column: pd.Series) -> np.ndarray:
    """The column's values as an array that ``pandas.Index`` and equality understand."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.astype(object).to_numpy()
    if pdt.is_bool_dtype(column.dtype) or not isinstance(column.dtype, np.dtype):
        return column.to_numpy(dtype=object)
    if column.dtype == np.float16:  # which pandas can store, but not look up
        return column.to_numpy(dtype=np.float32)
    return column.to_numpy()


def numbers(column: pd.Series, missing: np.ndarray) -> np.ndarray:
    """The column as ``float64``, NaN where missing; dates and durations in nanoseconds.

    Raises
    ------
    ValueError
        For infinities and for dates out of the range of pandas' timestamps.
    TypeError
        For objects that are neither numbers nor dates.
    """
    values = np.full(len(column), np.nan)
    if column.dtype == object:
        values[~missing] = _as_float(_typed(column[~missing]))
    else:
        values = np.where(missing, np.nan, _as_float(column))
    infinite = np.isinf(values)
    if infinite.any():
        raise ValueError(
            f"Input X contains infinity: column {label(column.name)} in {infinite.sum()} row(s). "
            "Replace it, e.g. X.replace([numpy.inf, -numpy.inf], numpy.nan)."
        )
    return values


def bounds(column: pd.Series, missing: np.ndarray) -> tuple:
    """The smallest and the largest observed number: exact ``int`` where the column stores whole
    numbers, dates or durations (nanoseconds), and ``float`` otherwise."""
    observed = column[~missing]
    if column.dtype == object:
        if pdt.infer_dtype(observed.to_numpy(), skipna=True) == "integer":
            return int(observed.min()), int(observed.max())
        observed = _typed(observed)
    unit = 1
    if observed.dtype.kind in "Mm":
        observed, unit = _times.ticks(observed)
    if pdt.is_integer_dtype(observed.dtype):
        return int(observed.min()) * unit, int(observed.max()) * unit
    values = _as_float(observed)  # pyarrow finds no minimum of half floats
    return float(values.min()), float(values.max())


def granularity(column: pd.Series, missing: np.ndarray) -> int:
    """The coarsest unit, in nanoseconds, of which all observed dates or durations are multiples."""
    observed = column[~missing]
    steps, unit = _times.ticks(_typed(observed) if column.dtype == object else observed)
    steps = steps.to_numpy(dtype=np.int64)
    sizes = (size for size in _times.UNITS if size >= unit)
    return next(size for size in sizes if not (steps % (size // unit)).any())


def _as_float(column: pd.Series) -> np.ndarray:
    unit = 1
    if column.dtype.kind in "Mm":
        column, unit = _times.ticks(column)
    if isinstance(column.dtype, np.dtype):
        return column.to_numpy().astype(np.float64) * unit
    return column.to_numpy(dtype=np.float64, na_value=np.nan) * unit


def _typed(observed: pd.Series) -> pd.Series:
    """Objects that are all numbers or all dates, under the dtype that they deserve."""
    values = observed.to_numpy()
    kind = _OBJECT_STORAGE.get(pdt.infer_dtype(values, skipna=True), "mixed")
    if kind in ("string", "mixed"):
        raise TypeError(
            f"Column {label(observed.name)}: holds {kind} values, not numbers or dates."
        )
    read = {"datetime": pd.to_datetime, "timedelta": pd.to_timedelta}.get(kind)
    try:
        typed = values.astype(np.float64) if read is None else read(values)
        return pd.Series(typed, name=observed.name)
    except (TypeError, ValueError, OverflowError) as error:  # OutOfBoundsDatetime is a ValueError
        kind = kind if read else "numbers"
        raise ValueError(
            f"Column {label(observed.name)}: cannot be read as {kind}: {error}. Convert it first, "
            "or set the offending cells to missing."
        ) from error
