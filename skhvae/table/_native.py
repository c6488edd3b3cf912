"""Columns of polars and Arrow: read as pandas columns, and completed where they are.

narwhals has one vocabulary for what both store. Only cells that are written travel back: all others are
moved, never converted.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from skhvae.table._libraries import LIBRARIES
from skhvae.table._reading import missing_cells, unsupported

__all__ = ["blanked", "completed", "read"]


def read(series: nw.Series) -> pd.Series:
    """The column as pandas stores it, in a dtype that can hold missing cells.

    Raises
    ------
    TypeError
        For dtypes that have no imputation here (times of day, lists, structs, ...).
    """
    kind, name = _kind(series), series.name
    if kind in _BARE and series.is_null().all():
        return pd.Series(index=range(len(series)), name=name, dtype=_BARE[kind])
    if kind not in _READ:
        raise TypeError(unsupported(name, _dtype(series.to_native())))
    return pd.Series(_READ[kind](series), name=name)


def _integers(series):
    missing = series.is_null().to_numpy()
    return pd.arrays.IntegerArray(series.fill_null(0).to_numpy(), missing)


def _booleans(series):
    missing = series.is_null().to_numpy()
    return pd.arrays.BooleanArray(series.fill_null(False).to_numpy(), missing)


def _floats(series):
    return series.to_numpy()


def _text(series):
    return pd.array(series.to_list(), dtype="str")


def _levels(series):
    codes, levels, ordered = LIBRARIES[series.implementation].levels(series.to_native())
    different = list(dict.fromkeys(level for level in levels if level is not None))
    places = pd.Index(different, dtype=object).get_indexer(pd.Index([*levels, None], dtype=object))
    return pd.Categorical.from_codes(places[codes], different, ordered=ordered)


def _times(series):
    times = pd.Series(series.to_numpy())
    zone = getattr(series.dtype, "time_zone", None)
    return times if zone is None else times.dt.tz_localize("UTC").dt.tz_convert(zone)


def _dates(series):
    return series.to_numpy().astype("datetime64[D]").astype(object)


def _objects(series):
    values = np.empty(len(series), dtype=object)
    values[:] = series.to_list()
    return values


# By the names that narwhals has for dtypes, or else the library itself.
_READ: dict[str, Callable] = {
    **{f"{sign}Int{width}": _integers for sign in ("", "U") for width in (8, 16, 32, 64)},
    **dict.fromkeys(("Float16", "halffloat", "Float32", "Float64"), _floats),
    "Boolean": _booleans,
    "String": _text,
    **dict.fromkeys(("Categorical", "Enum"), _levels),
    **dict.fromkeys(("Datetime", "Duration"), _times),
    **dict.fromkeys(("Date", "date64"), _dates),
    **dict.fromkeys(("Decimal", "decimal32", "decimal64", "decimal256"), _objects),
    **dict.fromkeys(("Int128", "UInt128", "Binary", "binary", "large_binary"), _objects),
}

# What is read as Python objects, because pandas has no dtype for it, shows none in a column without an
# observed cell. This dtype is near to it.
_BARE = {
    **dict.fromkeys(("Date", "date64"), "datetime64[s]"),
    **dict.fromkeys(("Decimal", "decimal32", "decimal64", "decimal256"), "float64"),
    "Int128": "Int64",
    "UInt128": "UInt64",
    **dict.fromkeys(("Binary", "binary", "large_binary", "Null", "null"), "str"),
}


def _kind(series: nw.Series) -> str:
    kind = type(series.dtype).__name__
    return re.match(r"\w+", str(_dtype(series.to_native())))[0] if kind == "Unknown" else kind


def completed(
    series: nw.Series, before: pd.Series, after: pd.Series, cells: np.ndarray
) -> nw.Series:
    """Write the imputed cells into the column; all others, and its dtype, stay as they are.

    Parameters
    ----------
    series : Series of length n_rows
    before, after : pandas Series of length n_rows
        The column as :func:`read` gave it, and the same with imputed cells.
    cells : bool array of shape (n_rows,)
        Which cells were to be imputed.

    Returns
    -------
    Series of length n_rows
        Of another dtype only where `after` is: if the column had no observed cell, or lacked levels.
    """
    new, imputed = LIBRARIES[series.implementation].column, after[cells]
    if missing_cells(imputed).all():
        return series
    if after.dtype != before.dtype or _kind(series) in ("Null", "null"):
        whole = _wrapped(new(after), series.name)
        levels_alone = _kind(whole) == _kind(series) == "Categorical"
        return _like(whole, series) if levels_alone else whole
    digits = getattr(_dtype(series.to_native()), "scale", 0 if series.dtype.is_integer() else None)
    if imputed.dtype == object and digits is not None:
        imputed = imputed.map(lambda value: round(value, digits))
    own = _movable(series)
    parts = [own, _like(_wrapped(new(imputed), series.name), own)]
    rows = np.arange(len(cells))
    rows[cells] = len(cells) + np.arange(cells.sum())
    return _like(nw.concat([part.to_frame() for part in parts])[series.name][rows], series)


def blanked(series: nw.Series, cells: np.ndarray) -> nw.Series:
    """The column with some cells missing."""
    native = LIBRARIES[series.implementation].blanked(_movable(series).to_native(), cells)
    return _like(_wrapped(native, series.name), series)


def _wrapped(native, name: str) -> nw.Series:
    return nw.from_native(native, series_only=True).alias(name)


def _dtype(native):
    """The library's own dtype, which says more than that of narwhals."""
    return native.dtype if hasattr(native, "dtype") else native.type


def _like(series: nw.Series, model: nw.Series) -> nw.Series:
    """The column under the dtype of another."""
    return _wrapped(series.to_native().cast(_dtype(model.to_native())), model.name)


def _movable(series: nw.Series) -> nw.Series:
    """The column in a form whose cells Arrow can move, which it cannot with views of strings."""
    native = series.to_native()
    if str(_dtype(native)) == "string_view":
        return _wrapped(native.cast("large_string"), series.name)
    return series
