"""Tables that come in chunks, larger than memory perhaps: a random sample of their rows is learned."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from skhvae.table import as_table, is_table, label, missing_cells

__all__ = ["chunks_of", "one_table", "refuse_chunks", "sample_rows"]

# What is kept of a larger table. Training looks at some two million rows in all, so that more would add little.
_MOST_ROWS, _MOST_CELLS = 2**20, 2**25


def one_table(X) -> pd.DataFrame:
    """`X` as a DataFrame, as :func:`skhvae.table.as_table` has it, unless it comes in chunks."""
    refuse_chunks(X)
    return as_table(X)


def refuse_chunks(X) -> None:
    """Raise a TypeError if `X` is no table but comes in chunks."""
    if isinstance(X, str | os.PathLike) or chunks_of(X) is not None:
        raise TypeError(
            "Expected one table, found chunks. Go chunk by chunk, e.g. "
            "[imputer.transform(chunk) for chunk in chunks]."
        )


def chunks_of(X) -> Iterable | None:
    """The chunks that `X` consists of, None if it is a table itself.

    Parameters
    ----------
    X : object
        A path of a Parquet, Feather or CSV file or of a folder of them, a list of paths, a dataset of
        pyarrow, or a list or an iterator of tables.

    Returns
    -------
    iterable of tables, or None

    Raises
    ------
    ImportError
        If it takes pyarrow to read the files.
    FileNotFoundError
        For a path where nothing is.
    """
    paths = [X] if isinstance(X, str | os.PathLike) else X
    if isinstance(paths, list | tuple) and paths:
        if all(isinstance(path, str | os.PathLike) for path in paths):
            return _batches(_dataset([os.fspath(path) for path in paths]))
        return paths if all(is_table(part) for part in paths) else None
    if hasattr(X, "scanner") and hasattr(X, "to_batches"):
        return _batches(X)
    return X if isinstance(X, Iterator) and not is_table(X) else None


def _dataset(paths: list[str]):
    try:
        from pyarrow import dataset
    except ImportError as error:
        raise ImportError("It takes pyarrow to read files: pip install pyarrow.") from error
    ends = {os.path.splitext(path)[1].removeprefix(".") for path in paths}
    formats = {"csv": "csv", "feather": "feather", "arrow": "feather"}
    kind = formats.get(ends.pop(), "parquet") if len(ends) == 1 else "parquet"
    return dataset.dataset(paths if len(paths) > 1 else paths[0], format=kind)


def _batches(dataset) -> Iterator:
    # Little memory at a time: threads decode ahead.
    frugal = {"batch_readahead": 1, "fragment_readahead": 1, "use_threads": False}
    batches = dataset.to_batches(**frugal)
    return (batch for batch in batches if batch.num_rows)


def sample_rows(chunks: Iterable, generator: np.random.Generator) -> tuple[pd.DataFrame, int]:
    """Rows drawn at random from all chunks, all with the same chance, in their order.

    Chunks are read one after the other and forgotten, but for up to 2**20 rows or 2**25 cells.

    Parameters
    ----------
    chunks : iterable of tables
        With the same columns. Categories may differ, if they have no order.
    generator : numpy.random.Generator

    Returns
    -------
    sample : DataFrame of shape (n_kept, n_columns)
        All rows, if they are not more.
    n_rows : int
        Of all chunks.

    Raises
    ------
    ValueError
        If there is no chunk, or if one has other columns, or other ordered categories, than the first.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skhvae.chunks import sample_rows
    >>> halves = pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [3.5, None]})
    >>> sample, n_rows = sample_rows(halves, np.random.default_rng(0))
    >>> sample["a"].tolist(), n_rows
    ([1.0, 2.0, 3.5, nan], 4)
    """
    kept: list[tuple[np.ndarray, pd.DataFrame]] = []
    n_rows, n_kept, highest, names = 0, 0, np.inf, None
    for number, chunk in enumerate(chunks):
        table = as_table(chunk)
        if names is None:
            names = table.columns.tolist()
            most = min(_MOST_ROWS, max(2, _MOST_CELLS // len(names)))
        elif table.columns.tolist() != names:
            raise ValueError(
                f"Chunk {number} must have the columns of the first in their order, {names}, found "
                f"{table.columns.tolist()}."
            )
        draws = generator.random(len(table))
        n_rows += len(table)
        chosen = draws < highest
        kept.append((draws[chosen], table[chosen]))
        n_kept += chosen.sum()
        if n_kept > 2 * most:  # seldom enough to cost little
            kept, highest = _lowest(kept, most)
            n_kept = most
    if names is None:
        raise ValueError("Expected at least one chunk, found none.")
    if n_kept > most:
        kept, _ = _lowest(kept, most)
    return _stacked([table for _, table in kept if len(table)] or [kept[0][1]]), n_rows


def _lowest(kept, most: int):
    """The rows with the lowest draws, and the bound below which another would be one of them."""
    draws = np.concatenate([draws for draws, _ in kept])
    highest = np.partition(draws, most)[most]
    return [(d[d < highest], table[d < highest].copy()) for d, table in kept], highest


def _stacked(tables: list[pd.DataFrame]) -> pd.DataFrame:
    if len(tables) == 1:
        return tables[0].reset_index(drop=True)
    names = tables[0].columns
    columns = [_joined([table.iloc[:, i] for table in tables]) for i in range(len(names))]
    stacked = pd.concat(columns, axis=1)
    stacked.columns = names
    return stacked


def _joined(parts: list[pd.Series]) -> pd.Series:
    """One column of its parts: what an empty part is stored as does not count, and categories add up."""
    told = [part for part in parts if not missing_cells(part).all()] or parts
    dtypes = {part.dtype for part in told}
    if len(dtypes) > 1 and all(isinstance(dtype, pd.CategoricalDtype) for dtype in dtypes):
        if any(dtype.ordered for dtype in dtypes):
            raise ValueError(
                f"Column {label(parts[0].name)}: ordered categories must be the same in all chunks, found "
                f"{[dtype.categories.tolist() for dtype in dtypes][:2]}. Declare them before, e.g. "
                "X.astype(pandas.CategoricalDtype([...], ordered=True))."
            )
        dtypes = {union_categoricals([part.iloc[:0] for part in told]).dtype}
    if len(dtypes) == 1:
        (dtype,) = dtypes
        parts = [_under(dtype, part) for part in parts]
    return pd.concat(parts, ignore_index=True)


def _under(dtype, part: pd.Series) -> pd.Series:
    """A part under the dtype of the others, if that can hold what it has."""
    if part.dtype == dtype or (isinstance(dtype, np.dtype) and dtype.kind in "iub"):
        return part
    if missing_cells(part).all():
        return pd.Series(index=part.index, dtype=dtype)
    return part.astype(dtype)
