"""CSV files, of which every cell but the missing ones is written as it was read."""

from __future__ import annotations

import csv
import os
import warnings

import pandas as pd

from skhvae.cli._declarations import Declaration
from skhvae.cli._notations import Decimal, Notation, Text, notation_of
from skhvae.cli._problems import Problem

__all__ = ["CsvTable", "read_csv"]

_LONGEST_SHOWN = 40
_FEW = 0.1  # of the cells
_REMEDY = "Mend it, have it taken as missing with --missing TEXT, or declare the column in --types"
_RANGES = {  # what numbers of a declared type are, beyond being numbers
    "count": ("a whole number, 0 or more", lambda values: (values >= 0) & (values % 1 == 0)),
    "positive": ("a number, 0 or more", lambda values: values >= 0),
}


class CsvTable:
    """A table as text, and as what the text says.

    Attributes
    ----------
    columns : list of str
    data : DataFrame of shape (n_rows, n_modelled_columns)
        Numbers, dates, ordered levels and text, without the ignored columns.
    feature_types : dict of str to str
        Of the columns that were declared.
    """

    def __init__(self, text: pd.DataFrame, notations: dict[str, Notation], feature_types: dict):
        self._text, self._notations = text, notations
        self.columns = text.columns.tolist()
        self.feature_types = feature_types
        self.data = pd.DataFrame(
            {name: notation.read(text[name].dropna()) for name, notation in notations.items()},
            index=text.index,
        )

    def csv(self, completed: pd.DataFrame, delimiter: str) -> bytes:
        """A completed table as a CSV file in UTF-8; what was observed is the text that was read."""
        text = self._text.copy()
        for name in completed:
            missing = text[name].isna()
            if missing.any():
                text.loc[missing, name] = self._notations[name].write(completed[name][missing])
        return text.to_csv(index=False, sep=delimiter, lineterminator="\n").encode()

    def arrow(self, completed: pd.DataFrame):
        """A completed table as one of Arrow; ignored columns are text."""
        import pyarrow

        columns = {c: completed[c] if c in completed else self._text[c] for c in self.columns}
        return pyarrow.Table.from_pandas(pd.DataFrame(columns), preserve_index=False)


def read_csv(
    path: str | os.PathLike,
    declared,
    ignored: set[str],
    *,
    delimiter: str = ",",
    encoding: str = "utf-8-sig",
    missing: tuple[str, ...] = (),
) -> CsvTable:
    """Read a CSV file with a line of column names.

    Parameters
    ----------
    path : str or path-like
    declared : callable
        (columns) -> dict of str to Declaration.
    ignored : set of str
        Columns that are to stay as they are. One without a name, as pandas writes its index, is ignored too.
    delimiter, encoding : str
    missing : tuple of str
        What marks a missing cell, beside nothing at all and the marks that pandas knows (NA, NaN, null, ...).

    Raises
    ------
    Problem
        With the line and the column, if the file is no table or a cell is not what its column was declared to be.
    """
    lines = _Lines(path, delimiter, encoding)
    declared = declared(lines.names)
    text = pd.read_csv(
        path,
        sep=delimiter,
        encoding=encoding,
        dtype=str,
        na_values=list(missing),
        skipinitialspace=True,
        header=0,
        names=lines.names,
        index_col=False,
        skip_blank_lines=len(lines.names) > 1,  # in a single column an empty line is a missing cell
    )
    notations = {}
    for name in lines.names:
        if name and name not in ignored:
            cells = text[name].dropna()
            notations[name] = notation_of(cells, declared.get(name))
            lines.check(name, cells, notations[name], declared.get(name))
            if isinstance(notations[name], Text) and name not in declared:
                lines.warn(name, cells)
    types = {name: notation.feature_type for name, notation in notations.items()}
    types |= {name: declaration.type for name, declaration in declared.items()}
    types = {name: types[name] for name in notations if types[name] is not None}
    return CsvTable(text, notations, types)


class _Lines:
    """The lines of a CSV file: that they make a table, and which of them holds a cell."""

    def __init__(self, path, delimiter: str, encoding: str):
        self._path, self._delimiter, self._encoding = path, delimiter, encoding
        rows = self._rows()
        _, self.names = next(rows, (1, []))
        if not self.names:
            raise Problem(f"{path}: expected a line of column names, found an empty file")
        for name in self.names:
            if self.names.count(name) > 1:
                raise Problem(
                    f"{path}, line 1: column {name!r} stands there more than once. Rename one"
                )
        line = 1
        for line, row in rows:
            if len(row) != len(self.names):
                raise Problem(
                    f"{path}, line {line}: expected {len(self.names)} cells as in line 1, found {len(row)}. "
                    "Mend the line; cells that hold the delimiter are written in quotes"
                )
        if line == 1:
            raise Problem(f"{path}: expected rows below the column names, found none")

    def _rows(self):
        """(the line where it begins, cells) of every row, names first."""
        try:
            with open(self._path, encoding=self._encoding, newline="") as file:
                reader = csv.reader(file, delimiter=self._delimiter, skipinitialspace=True)
                begins = 1
                for row in reader:
                    if row or (begins > 1 and len(self.names) == 1):
                        yield begins, row or [""]
                    begins = reader.line_num + 1
        except OSError as error:
            raise Problem(f"{self._path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise Problem(
                f"{self._path}: is not written in {self._encoding}. Say in which encoding it is, e.g. "
                "--encoding latin-1"
            ) from error
        except (csv.Error, LookupError) as error:
            raise Problem(f"{self._path}: {error}") from error

    def check(self, name: str, cells: pd.Series, notation: Notation, declared: Declaration | None):
        """Raise a problem for the first cell that is not what its column was declared to be."""
        bad, expected = notation.bad(cells), notation.expected
        if declared is not None and declared.type in _RANGES and not bad.any():
            expected, holds = _RANGES[declared.type]
            bad = ~holds(notation.read(cells))
        if bad.any():
            raise Problem(
                f"{self._where(name, cells, bad)}: expected {expected}, {_found(cells, bad)}. {_REMEDY}"
            )

    def warn(self, name: str, cells: pd.Series) -> None:
        """Warn of a column that would be one of numbers if it were not for a few cells."""
        bad = Decimal().bad(cells)
        if 0 < bad.sum() <= _FEW * len(cells):
            warnings.warn(
                f"{self._where(name, cells, bad)}: {_found(cells, bad)}, where other cells hold numbers; the "
                f"column is taken for text. {_REMEDY}",
                UserWarning,
                stacklevel=2,
            )

    def _where(self, name: str, cells: pd.Series, bad: pd.Series) -> str:
        row = cells.index[bad][0]
        line = next(line for i, (line, _) in enumerate(self._rows()) if i == row + 1)
        return f"{self._path}, line {line}, column {name!r}"


def _found(cells: pd.Series, bad: pd.Series) -> str:
    first, others = cells[bad].iloc[0], int(bad.sum()) - 1
    shown = first if len(first) <= _LONGEST_SHOWN else first[: _LONGEST_SHOWN - 3] + "..."
    return f"found {shown!r}" + (f" and {others} more like it" if others else "")
