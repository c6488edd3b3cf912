"""How the cells of a column of text are written: read as values, and values written in the same way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import product

import numpy as np
import pandas as pd

from skhvae.cli._declarations import Declaration

__all__ = ["Decimal", "Notation", "Text", "notation_of"]

_DAYS = ("%Y-%m-%d", "%Y/%m/%d")
_TIMES = ("", "%H:%M", "%H:%M:%S", "%H:%M:%S.%f")
_DATES = [
    day + (between + time if time else "")
    for day, time, between in product(_DAYS, _TIMES, " T")
    if time or between == " "
]
_DATES += [form + "%z" for form in _DATES if "%H" in form]
_OFFSET = r"(Z|[+-]\d\d:?\d\d)\s*$"
_LAST_DIGITS = rf"(\d{{1,6}})(?:{_OFFSET}|\s*$)"


class Notation(ABC):
    """A way of writing the values of a column.

    Attributes
    ----------
    expected : str
        What every cell has to be, for people.
    feature_type : str or None
        The one that a column written like this has for that reason.
    """

    expected: str
    feature_type: str | None = None

    @abstractmethod
    def bad(self, cells: pd.Series) -> pd.Series:
        """Which cells, all observed, are not written like this."""

    @abstractmethod
    def read(self, cells: pd.Series) -> pd.Series:
        """Values of cells of which none is bad, in a dtype that can hold missing ones."""

    def write(self, values: pd.Series) -> pd.Series:
        """Cells that say these values, none of which is missing."""
        return values.astype(object).map(str)


class Text(Notation):
    """Anything."""

    expected = "text"

    def bad(self, cells):
        return pd.Series(False, cells.index)

    def read(self, cells):
        return cells


class Codes(Text):
    """Digits that make no numbers, some with zeros before them: 01067, 53111."""

    feature_type = "nominal"

    def bad(self, cells):
        digits = cells.str.fullmatch(r"\s*\d+\s*").astype(bool)
        padded = cells.str.match(r"\s*0\d").astype(bool)
        return ~digits | ~padded.any()


class Levels(Notation):
    """One of a list of levels in order, the lowest first."""

    def __init__(self, levels: tuple[str, ...]):
        self._dtype = pd.CategoricalDtype(levels, ordered=True)
        self.expected = f"one of the levels {', '.join(levels)}"

    def bad(self, cells):
        return ~cells.isin(self._dtype.categories)

    def read(self, cells):
        return cells.astype(self._dtype)


class Whole(Notation):
    """Whole numbers of which integers of 64 bits can hold every one."""

    expected = "a whole number"

    def bad(self, cells):
        return ~cells.str.fullmatch(r"\s*[+-]?\d{1,18}\s*").astype(bool)

    def read(self, cells):
        return pd.to_numeric(cells).astype("Int64")


class Decimal(Notation):
    """Numbers, with as many decimals as the cells have, or as it takes if some have exponents."""

    expected = "a number"

    def bad(self, cells):
        return ~np.isfinite(pd.to_numeric(cells, errors="coerce").astype(float))

    def read(self, cells):
        self._decimals = None
        if not cells.str.contains("[eE]").any():
            decimals = cells.str.extract(r"\.(\d*)\s*$")[0].fillna("")
            self._decimals = int(decimals.str.len().max())
        return cells.astype(object).astype(float)  # exactly, as to_numeric of pandas 3.0 is not

    def write(self, values):
        if self._decimals is None:
            return values.map(repr)
        rounded = values.round(self._decimals) + 0.0  # no minus before a zero
        return rounded.map(f"{{:.{self._decimals}f}}".format)


class Dates(Notation):
    """Dates in the codes of :meth:`datetime.datetime.strptime`, with as many digits of a second as the cells have."""

    def __init__(self, form: str):
        self._format = form
        self.expected = f"a date written as {form}"

    def bad(self, cells):
        return self._parsed(cells, "coerce").isna()

    def read(self, cells):
        self._digits = max(cells.str.extract(_LAST_DIGITS)[0].map(len), default=6)
        return self._parsed(cells, "raise")

    def write(self, values):
        return self._written(values, self._format)

    def _parsed(self, cells, errors):
        return pd.to_datetime(cells, format=self._format, errors=errors, exact=True)

    def _written(self, values, form):
        text = values.dt.strftime(form)
        return text.str[: self._digits - 6 or None] if form.endswith("%f") else text


class Instants(Dates):
    """Dates with an offset from UTC at their end, as each its own: in winter +01:00, in summer +02:00."""

    def bad(self, cells):
        found = cells.str.extract(_OFFSET)[0].isna()
        return found | super().bad(cells)

    def read(self, cells):
        self._offsets = cells.str.extract(_OFFSET)[0].unique().tolist()
        return super().read(cells)

    def write(self, values):
        # In the offset of all the others; in that of UTC, written like theirs, if they have several.
        utc = "+00:00" if any(":" in offset for offset in self._offsets) else "+0000"
        offset = self._offsets[0] if len(self._offsets) == 1 else utc
        zone = pd.Timestamp(f"2000-01-01 00:00{offset}").tz
        return self._written(values.dt.tz_convert(zone), self._format.removesuffix("%z")) + offset

    def _parsed(self, cells, errors):
        return pd.to_datetime(cells, format=self._format, errors=errors, exact=True, utc=True)


def _dates_as(form: str) -> Dates:
    return Instants(form) if form.endswith("%z") else Dates(form)


def notation_of(cells: pd.Series, declared: Declaration | None) -> Notation:
    """How a column is written, as it was declared or as all its cells allow.

    Parameters
    ----------
    cells : Series of str
        The observed ones.
    declared : Declaration or None

    Returns
    -------
    Notation
        If the column was declared, some cells may be bad.
    """
    if declared is not None:
        return _DECLARED[declared.type](cells, declared)
    tried = (Codes(), Whole(), Decimal(), *map(_dates_as, _DATES))
    return next((notation for notation in tried if not notation.bad(cells).any()), Text())


def _number(cells, declared):
    return Decimal() if Whole().bad(cells).any() else Whole()


def _dates(cells, declared):
    forms = [declared.format] if declared.format else _DATES
    return min(map(_dates_as, forms), key=lambda dates: dates.bad(cells).sum())


_DECLARED = {
    "real": _number,
    "positive": _number,
    "count": _number,
    "binary": lambda cells, declared: Text(),
    "nominal": lambda cells, declared: Text(),
    "ordinal": lambda cells, declared: Levels(declared.levels),
    "datetime": _dates,
}
