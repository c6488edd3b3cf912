"""Columns of polars and Arrow: read as pandas columns, and completed where they are.

narwhals has one vocabulary for what both store. Only cells that are written travel back: all others are
moved, never converted.
"""

from __future__ import annotations

from collections.abc import Callable

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from skhvae.table._reading import missing_cells, unsupported

__all__ = ["blanked", "completed", "read"]


def read(series: nw.Series) -> pd.Series:
    """The column as pandas stores it, in a dtype that can hold missing cells.

    Raises
    ------
    TypeError
        For dtypes that have no imputation here (times of day, lists, structs, ...).
    """
    kind = type(series.dtype).__name__
    if kind in _BARE and series.is_null().all():
        return pd.Series(index=range(len(series)), name=series.name, dtype=_BARE[kind])
    if kind not in _READ:
        raise TypeError(unsupported(series.name, _dtype(series.to_native())))
    return pd.Series(_READ[kind](series), name=series.name)


def _integers(series):
    missing = series.is_null().to_numpy().copy()
    return pd.arrays.IntegerArray(series.fill_null(0).to_numpy(), missing)


def _booleans(series):
    missing = series.is_null().to_numpy().copy()
    return pd.arrays.BooleanArray(series.fill_null(False).to_numpy(), missing)


def _floats(series):
    return series.to_numpy()


def _text(series):
    return pd.array(series.to_list(), dtype="str")


def _categories(series):
    categories = series.cat.get_categories().drop_nulls().to_list()
    return pd.Categorical(series.to_list(), categories, ordered=_is_ordered(series))


def _is_ordered(series) -> bool:
    arrow = getattr(series.to_native(), "type", None)
    return isinstance(series.dtype, nw.Enum) or getattr(arrow, "ordered", False)


def _times(series):
    times = pd.Series(series.to_numpy())
    zone = getattr(series.dtype, "time_zone", None)
    return times if zone is None else times.dt.tz_localize("UTC").dt.tz_convert(zone)


def _objects(series):
    values = np.empty(len(series), dtype=object)
    values[:] = series.to_list()
    return values


# By the names of narwhals' dtypes, some of which its older versions lack.
_READ: dict[str, Callable] = {
    **{f"{sign}Int{width}": _integers for sign in ("", "U") for width in (8, 16, 32, 64)},
    **dict.fromkeys(("Float16", "Float32", "Float64"), _floats),
    "Boolean": _booleans,
    "String": _text,
    **dict.fromkeys(("Categorical", "Enum"), _categories),
    **dict.fromkeys(("Datetime", "Duration"), _times),
    # pandas has no dtypes of its own for these.
    **dict.fromkeys(("Date", "Decimal", "Int128", "UInt128", "Binary"), _objects),
}

# Without an observed cell these show no Python objects, but still what they would hold.
_BARE = {
    "Date": "datetime64[s]",
    "Decimal": "float64",
    "Int128": "Int64",
    "UInt128": "UInt64",
    "Binary": "str",
    "Unknown": "str",  # the null dtype
}


def completed(
    series: nw.Series, before: pd.Series, after: pd.Series, cells: np.ndarray, new: Callable
) -> nw.Series:
    """Write the imputed cells into the column; all others, and its dtype, stay as they are.

    Parameters
    ----------
    series : Series of length n_rows
    before, after : pandas Series of length n_rows
        The column as :func:`read` gave it, and the same with imputed cells.
    cells : bool array of shape (n_rows,)
        Which cells were to be imputed.
    new : callable
        Makes a native column of a pandas one.

    Returns
    -------
    Series of length n_rows
        Of another dtype only where `after` is: if the column had no observed cell, or lacked levels.
    """
    imputed = after[cells]
    if missing_cells(imputed).all():
        return series
    if after.dtype != before.dtype or isinstance(series.dtype, nw.Unknown):
        whole = _wrapped(new(after), series.name)
        levels_alone = {type(whole.dtype), type(series.dtype)} == {nw.Categorical}
        return _like(whole, series) if levels_alone else whole
    if isinstance(series.dtype, nw.Decimal) or (
        imputed.dtype == object and series.dtype.is_integer()
    ):
        digits = getattr(_dtype(series.to_native()), "scale", 0)
        imputed = imputed.map(lambda value: round(value, digits))
    own = _movable(series)
    parts = [own, _like(_wrapped(new(imputed), series.name), own)]
    rows = np.arange(len(cells))
    rows[cells] = len(cells) + np.arange(cells.sum())
    return _like(nw.concat([part.to_frame() for part in parts])[series.name][rows], series)


def blanked(series: nw.Series, cells: np.ndarray) -> nw.Series:
    """The column with some cells missing."""
    kept = nw.new_series("kept", ~cells, backend=series.implementation)
    own = _movable(series).alias("own")
    frame = own.to_frame().select(nw.when(kept).then(nw.col("own")))
    return _like(frame["own"].alias(series.name), series)


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
