"""What each library does in its own way: levels, a new column from pandas, and a table of columns."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from pandas.api import types as pdt

from skhvae.table._reading import missing_cells

__all__ = ["LIBRARIES", "Library"]


@dataclass(frozen=True)
class Library:
    """How to read and make native columns and tables.

    Attributes
    ----------
    levels : callable (native column) -> (codes, levels, ordered)
        Of a column of levels: their places in a list, negative where missing.
    column : callable (pandas Series) -> native column
        In the dtype that comes nearest.
    blanked : callable (native column, bool array) -> native column
        With some cells missing.
    table : callable (X, columns, origins) -> native table
        `columns` are native ones by name, `origins` their places in the native table `X`, or None.
    """

    levels: Callable
    column: Callable
    blanked: Callable
    table: Callable


def _arrow_levels(column):
    column = column.unify_dictionaries()
    chunks = [chunk.indices.cast("int64").fill_null(-1).to_numpy() for chunk in column.chunks]
    return np.concatenate(chunks), column.chunk(0).dictionary.to_pylist(), column.type.ordered


def _arrow_column(column: pd.Series):
    import pyarrow

    return pyarrow.chunked_array([pyarrow.array(column, from_pandas=True)])


def _arrow_blanked(column, cells):
    """By places, for if_else of some versions of Arrow decodes dictionaries."""
    import pyarrow

    return column.take(pyarrow.array(np.arange(len(cells)), mask=cells))


def _arrow_table(X, columns: dict, origins: list):
    """With all that the schema of `X` says beside names and types."""
    import pyarrow

    fields = []
    for (name, column), origin in zip(columns.items(), origins, strict=True):
        field = pyarrow.field(name, column.type)
        if origin is not None and X.schema.field(origin).type == column.type:
            field = X.schema.field(origin).with_name(name)
            field = field.with_nullable(field.nullable or column.null_count > 0)
        fields.append(field)
    schema = pyarrow.schema(fields, X.schema.metadata)
    return pyarrow.Table.from_arrays([*columns.values()], schema=schema)


def _polars_levels(column):
    import polars

    codes = column.to_physical().cast(polars.Int64).fill_null(-1).to_numpy()
    if isinstance(column.dtype, polars.Enum):
        return codes, column.dtype.categories.to_list(), True
    used = column.drop_nulls().unique(maintain_order=True)  # of all that a Categorical may hold
    places = pd.Index(used.to_physical().to_numpy())
    return places.get_indexer(codes), used.to_list(), False


def _polars_table(X, columns: dict, origins: list):
    import polars

    return polars.DataFrame(columns)


def _polars_column(column: pd.Series):
    """By numpy and lists: polars itself would need pyarrow for most of pandas' dtypes."""
    import polars

    column = column.infer_objects()
    dtype, missing = column.dtype, missing_cells(column)
    if isinstance(dtype, pd.ArrowDtype):
        return polars.Series(column.array.__arrow_array__())
    if dtype.kind in "Mm":
        return _polars_times(column)
    if dtype.kind in "iufb":
        values = column.to_numpy(dtype=getattr(dtype, "numpy_dtype", dtype), na_value=0)
        kept = polars.when(~polars.Series(missing)).then(polars.Series(values))
        return polars.select(kept).to_series()
    cells = column.astype(object).tolist()
    values = [None if gap else cell for cell, gap in zip(cells, missing, strict=True)]
    if isinstance(dtype, pd.StringDtype):
        return polars.Series(values, dtype=polars.String)
    if isinstance(dtype, pd.CategoricalDtype) and all(isinstance(c, str) for c in dtype.categories):
        kind = polars.Enum(dtype.categories.tolist()) if dtype.ordered else polars.Categorical
        return polars.Series(values, dtype=kind)
    kinds = [None]  # what polars infers
    if pdt.infer_dtype(cells, skipna=True) == "integer" and hasattr(polars, "Int128"):
        kinds.append(polars.Int128)
    for kind in kinds:
        with contextlib.suppress(TypeError, polars.exceptions.PolarsError):
            return polars.Series(values, dtype=kind)
    return polars.Series(values, dtype=polars.Object)  # of several kinds


def _polars_blanked(column, cells):
    return column.zip_with(type(column)(~cells), column.clear(len(cells)))


def _polars_times(column: pd.Series):
    import polars

    zone = getattr(column.dtype, "tz", None)
    if zone is not None:
        column = column.dt.tz_convert(None)
    if np.datetime_data(column.dtype)[0] == "s":  # which polars does not have
        column = column.dt.as_unit("ms")
    series = polars.Series(column.to_numpy())
    if zone is None:
        return series
    named = str(zone).removeprefix("UTC") or "UTC"  # a fixed offset calls itself UTC+02:00
    return series.dt.replace_time_zone("UTC").dt.convert_time_zone(named)


LIBRARIES = {
    nw.Implementation.POLARS: Library(
        _polars_levels, _polars_column, _polars_blanked, _polars_table
    ),
    nw.Implementation.PYARROW: Library(_arrow_levels, _arrow_column, _arrow_blanked, _arrow_table),
}
