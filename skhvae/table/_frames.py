"""Tables of any library: read as a pandas DataFrame, and given back in their own form."""

from __future__ import annotations

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from narwhals.exceptions import DuplicateError
from sklearn.utils import check_array

from skhvae.table import _native
from skhvae.table._libraries import LIBRARIES

__all__ = ["as_table", "in_form_of", "is_native", "is_table", "without_cells"]


def as_table(X) -> pd.DataFrame:
    """Return `X` as a DataFrame, without copying the columns where that is possible.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n_rows, n_columns)
        A table of pandas, polars or Arrow, whatever offers ``__arrow_c_stream__`` or ``__dataframe__``
        (which takes pyarrow), or an array.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns)
        `X` itself if it is one of pandas. The columns of another library take a dtype that can hold missing
        cells: nullable integers and booleans, ``str``, categories (ordered if an Enum), dates with their
        unit and time zone, and Python objects for what pandas has no dtype for. Those of an array are
        numbered from 0, and columns of Python objects that all hold numbers, booleans or dates are
        stored as such.

    Raises
    ------
    TypeError
        For sparse input, lazy tables and columns that hold neither numbers, text, levels nor dates.
    ValueError
        For complex numbers, wrong dimensions, empty tables and repeated column names.
    ImportError
        If it takes pyarrow to read `X`.
    """
    if not isinstance(X, pd.DataFrame):
        return _of_columns(X) if is_table(X) else _of_array(X)
    repeated = X.columns[X.columns.duplicated()].unique().tolist()
    if repeated:
        raise ValueError(
            f"Column names must be unique, found {repeated} more than once. "
            "Rename them, e.g. X.columns = [...]."
        )
    _check_size(X.shape)
    return X


def _check_size(shape) -> None:
    for count, unit in zip(shape, ("sample", "feature"), strict=True):
        if count == 0:
            raise ValueError(
                f"Found array with 0 {unit}(s) (shape={shape}) while a minimum of 1 is required."
            )


def _of_array(X) -> pd.DataFrame:
    if isinstance(_wrapped(X), nw.Series):
        remedy = "X.to_frame()" if hasattr(X, "to_frame") else "pyarrow.table({'x': X})"
        raise ValueError(f"Expected a table, found a single column. Use {remedy}.")
    array = check_array(X, dtype=None, ensure_all_finite=False, estimator="HeterogeneousVAEImputer")
    if array.dtype.kind in "SU":
        array = array.astype(object)
    return pd.DataFrame(array).infer_objects()


def _of_columns(X) -> pd.DataFrame:
    frame = _wrapped(X)
    if isinstance(frame, nw.LazyFrame) and not hasattr(X, "__arrow_c_stream__"):
        raise TypeError(
            f"A {_kind(X)} has no cells before it is computed. Do that first, e.g. X.collect()."
        )
    if not is_native(X):
        frame = _wrapped(_as_arrow(X))
    _check_size(frame.shape)
    columns = {series.name: _native.read(series) for series in frame.iter_columns()}
    return as_table(pd.DataFrame(columns, index=range(len(frame)), copy=False))


def _as_arrow(X):
    """A table that others can read, as one of Arrow."""
    try:
        import pyarrow
        from pyarrow.interchange import from_dataframe
    except ImportError as error:
        raise ImportError(
            f"It takes pyarrow to read a {_kind(X)}. Install it, or convert the table first, e.g. "
            "X.to_pandas()."
        ) from error
    table = pyarrow.table(X) if hasattr(X, "__arrow_c_stream__") else from_dataframe(X)
    if len(table) == 0:
        raise ValueError(
            f"Found array with 0 sample(s) in a {_kind(X)} while a minimum of 1 is required. What can be "
            "read only once must become a table before, e.g. X.read_all()."
        )
    return table


def _kind(X) -> str:
    return f"{type(X).__module__}.{type(X).__name__}"


def _wrapped(X):
    """As narwhals sees it, which leaves alone what it does not know."""
    try:
        return nw.from_native(X, allow_series=True, pass_through=True)
    except DuplicateError as error:
        raise ValueError(f"Column names must be unique; rename them. {error}") from error


def is_native(X) -> bool:
    """Whether `X` is a table of polars or Arrow, in whose form a completed table can be given back."""
    return _implementation(X) in LIBRARIES


def _implementation(X):
    """The library whose table `X` is, None if it is none."""
    frame = _wrapped(X)
    return frame.implementation if isinstance(frame, nw.DataFrame) else None


def is_table(X) -> bool:
    """Whether `X` is a table of any library, whose columns have names and dtypes; arrays have not."""
    if isinstance(X, pd.DataFrame):
        return True
    wrapped = _wrapped(X)
    if wrapped is not X:
        return not isinstance(wrapped, nw.Series)
    return hasattr(X, "__arrow_c_stream__") or hasattr(X, "__dataframe__")


def in_form_of(
    X,
    table: pd.DataFrame,
    completed: pd.DataFrame,
    missing: np.ndarray,
    kept: list,
    container: str = "default",
):
    """The completed table in the form of `X`, with its observed cells where they are.

    Parameters
    ----------
    X : DataFrame of any library, or array-like, of shape (n_rows, n_columns)
    table : DataFrame of shape (n_rows, n_columns)
        What :func:`as_table` made of it.
    completed : DataFrame of shape (n_rows, n_kept + n_more)
        Under the names to give: the kept columns with imputed cells, then columns that are new.
    missing : bool array of shape (n_rows, n_columns)
        Which cells were imputed.
    kept : list of int
        The places in `X` of the first columns of `completed`.
    container : {"default", "pandas", "polars"}
        Another form, that scikit-learn was asked for.

    Returns
    -------
    DataFrame of shape (n_rows, n_kept + n_more)
        By default of the library of `X` if that is polars or Arrow, and `completed` otherwise.

    Raises
    ------
    ValueError
        If names are repeated, which neither polars nor Arrow can have.
    """
    own = _implementation(X)
    wanted = {"pandas": None, "polars": nw.Implementation.POLARS}.get(container, own)
    if wanted not in LIBRARIES:
        return completed
    library = LIBRARIES[wanted]
    if wanted is not own:
        named = completed.set_axis([f"x{i}" for i in range(completed.shape[1])], axis=1)
        columns = {name: library.column(column) for name, column in named.items()}
        return library.table(None, columns, [])  # scikit-learn names them
    as_table(completed)  # refuses names that indicators share with other columns
    series = list(_wrapped(X).iter_columns())
    columns, origins = {}, []
    for i, (name, column) in enumerate(completed.items()):
        if i >= len(kept):
            columns[name] = library.column(column)
            origins.append(None)
            continue
        before, cells = table.iloc[:, kept[i]], missing[:, kept[i]]
        written = _native.completed(series[kept[i]], before, column, cells)
        columns[name] = written.to_native()
        origins.append(kept[i] if column.dtype == before.dtype else None)
    return library.table(X, columns, origins)


def without_cells(X, cells: np.ndarray):
    """A table of polars or Arrow with some cells missing, bool (n_rows, n_columns)."""
    own = list(_wrapped(X).iter_columns())
    columns = {
        series.name: (_native.blanked(series, gone) if gone.any() else series).to_native()
        for series, gone in zip(own, cells.T, strict=True)
    }
    return LIBRARIES[own[0].implementation].table(X, columns, list(range(len(own))))
