"""Read tables and say how they are written, by the endings of their names."""

from __future__ import annotations

import io
import os

from skhvae.cli._arrow import read_parquet
from skhvae.cli._csv import read_csv
from skhvae.cli._declarations import declarations
from skhvae.cli._problems import Problem
from skhvae.features import nearest

__all__ = ["WRITERS", "check_free", "ending", "read"]


def _csv(table, completed) -> bytes:
    return table.csv(completed, ",")


def _tsv(table, completed) -> bytes:
    return table.csv(completed, "\t")


def _parquet(table, completed) -> bytes:
    import pyarrow.parquet

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table.arrow(completed), buffer)
    return buffer.getvalue()


READERS = {".csv": read_csv, ".tsv": read_csv, ".parquet": read_parquet}
WRITERS = {".csv": _csv, ".tsv": _tsv, ".parquet": _parquet}
_DELIMITERS = {".tsv": "\t"}


def ending(path: str, known=READERS) -> str:
    """The ending of a file's name, among the known ones.

    Raises
    ------
    Problem
        If it is none of these, or a library is missing to read or write such files.
    """
    found = os.path.splitext(path)[1].lower()
    if found not in known:
        raise Problem(
            f"{path}: expected a name that ends in {', '.join(known)}, found {found or 'none'}"
        )
    if found == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise Problem(
                f"{path}: it takes pyarrow for Parquet files. Use pip install pyarrow"
            ) from error
    return found


def read(path: str, types: str | None, ignored, delimiter: str | None, encoding: str, missing):
    """Read a table, with what was declared of its columns.

    Parameters
    ----------
    path : str
    types : str or None
        Of a file of declarations.
    ignored : iterable of str
        Columns that are to stay as they are.
    delimiter : str or None
        None goes by the ending.
    encoding : str
    missing : iterable of str

    Returns
    -------
    CsvTable or ParquetTable

    Raises
    ------
    Problem
    """
    kind, ignored = ending(path), set(ignored)

    def declared(columns):
        for name in ignored:
            if name not in columns:
                raise Problem(
                    f"--ignore {name}: {path} has no such column." + nearest(name, columns)
                )
        return declarations(types, columns) if types else {}

    table = READERS[kind](
        path,
        declared,
        ignored,
        delimiter=delimiter or _DELIMITERS.get(kind, ","),
        encoding=encoding,
        missing=tuple(missing),
    )
    if table.data.shape[1] == 0:
        raise Problem(f"{path}: no column is left to impute")
    return table


def check_free(paths, source: str, force: bool) -> None:
    """Raise a problem unless files can be written at these paths.

    Parameters
    ----------
    paths : iterable of str
    source : str
        The table that is read, which is never replaced.
    force : bool
        Whether files may be replaced.
    """
    seen = {os.path.realpath(source)}
    for path in paths:
        folder, real = os.path.dirname(path) or ".", os.path.realpath(path)
        if real in seen:
            raise Problem(
                f"{path}: is given twice, for what is read or written. Give it another name"
            )
        seen.add(real)
        if not os.path.isdir(folder):
            raise Problem(f"{path}: there is no folder {folder}. Make it first")
        if not os.access(folder, os.W_OK):
            raise Problem(f"{path}: the folder {folder} cannot be written to")
        if os.path.isdir(path):
            raise Problem(f"{path}: is a folder. Give the name of a file")
        if os.path.exists(path) and not force:
            raise Problem(f"{path}: is there already. Give another name, or --force to replace it")
