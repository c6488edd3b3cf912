"""Parquet files, whose schema is kept."""

from __future__ import annotations

import os

from skhvae.cli._declarations import Declaration
from skhvae.cli._problems import Problem

__all__ = ["ParquetTable", "read_parquet"]


class ParquetTable:
    """A table of Arrow.

    Attributes
    ----------
    columns : list of str
    data : pyarrow.Table of shape (n_rows, n_modelled_columns)
        Without the ignored columns; ordered levels in dictionaries.
    feature_types : dict of str to str
        Of the columns that were declared.
    """

    def __init__(self, table, declared: dict[str, Declaration], ignored: set[str]):
        self._table = table
        self.columns = table.column_names
        self.feature_types = {name: d.type for name, d in declared.items() if name not in ignored}
        self.data = table.select([name for name in self.columns if name not in ignored])
        for name, declaration in declared.items():
            if declaration.levels is not None and name not in ignored:
                place = self.data.column_names.index(name)
                column = _ordered(name, self.data[name], declaration.levels)
                self.data = self.data.set_column(place, name, column)

    def arrow(self, completed):
        """A completed table with the schema of the file that was read."""
        table = self._table
        for place, name in enumerate(self.columns):
            if name in completed.column_names:
                field = table.schema.field(place)
                table = table.set_column(place, field, _of_type(completed[name], field.type))
        return table

    def csv(self, completed, delimiter: str) -> bytes:
        """A completed table as a CSV file in UTF-8."""
        frame = self.arrow(completed).to_pandas(ignore_metadata=True)
        return frame.to_csv(index=False, sep=delimiter, lineterminator="\n").encode()


def read_parquet(path: str | os.PathLike, declared, ignored: set[str], **options) -> ParquetTable:
    """Read a Parquet file; `options` are for text files alone.

    Parameters
    ----------
    path : str or path-like
    declared : callable
        (columns) -> dict of str to Declaration.
    ignored : set of str
        Columns that are to stay as they are; those that hold an index of pandas are ignored too.

    Raises
    ------
    Problem
        If the file cannot be read, or holds other levels than were declared.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except OSError as error:
        raise Problem(f"{path}: {error.strerror or error}") from error
    except pyarrow.ArrowException as error:
        raise Problem(f"{path}: cannot be read as Parquet: {error}") from error
    if table.num_rows == 0 or table.num_columns == 0:
        raise Problem(
            f"{path}: expected a table, found {table.num_rows} rows of {table.num_columns} columns"
        )
    index = (table.schema.pandas_metadata or {}).get("index_columns", [])
    ignored = ignored | {"", *(name for name in index if isinstance(name, str))}
    return ParquetTable(table, declared(table.column_names), ignored)


def _ordered(name: str, column, levels: tuple[str, ...]):
    """A column as a dictionary of levels in order."""
    import pyarrow
    import pyarrow.compute

    if pyarrow.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    text = column.cast(pyarrow.string()).combine_chunks()
    codes = pyarrow.compute.index_in(text, pyarrow.array(levels))
    unknown = pyarrow.compute.and_(codes.is_null(), text.is_valid())
    if pyarrow.compute.any(unknown).as_py():
        found = text.filter(unknown)[0].as_py()
        raise Problem(
            f"column {name!r}: expected one of the levels {', '.join(levels)}, found {found!r}"
        )
    return pyarrow.DictionaryArray.from_arrays(codes, pyarrow.array(levels), ordered=True)


def _of_type(column, wanted):
    """A column in the type that it had in the file; ordered levels may have been numbers there."""
    import pyarrow

    if column.type == wanted:
        return column
    if pyarrow.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pyarrow.types.is_dictionary(wanted):
        return column.cast(wanted.value_type).dictionary_encode().cast(wanted)
    return column.cast(wanted)
