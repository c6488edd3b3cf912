"""Columns of every kind that pandas stores, with values of every distribution, made from a few words.

The kinds are those of ``column_cases``, and more.
"""

from __future__ import annotations

import datetime
import decimal
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from column_cases import COLUMNS
from pandas.api import types as pdt

__all__ = ["ALIKE", "KINDS", "OF_ONE_KIND", "SHAPES", "Column", "gaps_of"]

# Values, as functions of (generator, number of cells, shape, shift). A shape says how the numbers behind
# them are distributed, a shift moves them: to levels, say, that the unshifted column does not have.

SHAPES = {
    "constant": lambda rng, n: np.full(n, 3.0),
    "two": lambda rng, n: rng.choice([2.0, 5.5], n),
    "few": lambda rng, n: rng.integers(-1, 4, n).astype(float),
    "counts": lambda rng, n: rng.poisson(8, n).astype(float),
    "normal": lambda rng, n: 10 * rng.standard_normal(n),
    "skewed": lambda rng, n: rng.lognormal(0, 2, n),
    "distinct": lambda rng, n: rng.permutation(n) + 0.25,
    "nearly constant": lambda rng, n: np.append(np.full(n - 1, 3.0), 1e12),
    "mostly zero": lambda rng, n: np.where(rng.random(n) < 0.8, -0.0, rng.normal(size=n)),
    "tiny": lambda rng, n: rng.uniform(-1, 1, n) * 10.0 ** rng.integers(-323, -290),
    "huge": lambda rng, n: rng.choice([-1.0, -0.9, 0.5, 1.0], n) * np.finfo(float).max,
}
WORDS = ["", "Ulm", "Bonn", "ß", "a b", "None", "7", "x0", "🐘", "Bonn "]
START = datetime.datetime(2024, 3, 30)
EPOCH, UNITS = datetime.datetime(1970, 1, 1), {"s": 0, "ms": 3, "us": 6, "ns": 9}
EARLIEST, LATEST = datetime.datetime(1, 1, 2), datetime.datetime(9999, 12, 30)


def integers(low, high):
    def make(rng, n, shape, shift):
        if shape == "huge":  # all over the range of the dtype
            return [(low, low // 3, high - high // 9, high)[i] for i in rng.integers(4, size=n)]
        values = SHAPES[shape](rng, n) + shift
        return [min(max(round(value), low), high) for value in values.tolist()]

    return make


def floats(dtype):
    def make(rng, n, shape, shift):
        largest = float(np.finfo(dtype).max)
        return (SHAPES[shape](rng, n) + shift).clip(-largest, largest).astype(dtype)

    return make


def levels(level):
    def make(rng, n, shape, shift):
        codes = np.abs(SHAPES[shape](rng, n)) % 100
        return [level(int(code) + shift) for code in codes]

    return make


def moments(rng, n, shape, shift):
    if shape == "huge":
        return [(EARLIEST, LATEST, START)[i] for i in rng.integers(3, size=n)]
    return [START + span for span in spans(rng, n, shape, shift)]


def spans(rng, n, shape, shift):
    step = rng.choice([86_400.0, 3600.0, 1.0, 1e-6])
    numbers = np.rint(SHAPES[shape](rng, n).clip(-1e4, 1e4)) + shift
    return [datetime.timedelta(seconds=number * step) for number in numbers]


def ticks(unit):
    """What a column of 64-bit dates or durations stores, in its unit."""
    most = 2**63 - 10**15  # and some days, by which time zones differ
    lowest, highest = (
        max(min((day - EPOCH).days * 86_400 * 10 ** UNITS[unit], most), -most)
        for day in (EARLIEST, LATEST)
    )

    def make(rng, n, shape, shift):
        if shape == "huge":
            return rng.choice([lowest, highest, 5], n)
        numbers = np.rint(SHAPES[shape](rng, n).clip(-1e4, 1e4)).astype(np.int64)
        return (numbers + shift) * rng.choice([1, 60, 86_400 * 10 ** min(UNITS[unit], 6)])

    return make


def converted(make, convert):
    return lambda *arguments: [convert(value) for value in make(*arguments)]


def word(code):
    return WORDS[code] if code < len(WORDS) else f"level {code}"


BY_NAME = {
    "objects: int": integers(-(10**25), 10**25),
    "objects: float": converted(floats(float), float),
    "objects: int and float": converted(
        floats(float), lambda v: int(v) if v.is_integer() else float(v)
    ),
    "objects: Decimal": converted(floats(np.float32), lambda v: decimal.Decimal(str(v))),
    "objects: bytes": levels(lambda i: word(i).encode()),
    "objects: bool": levels(lambda i: i % 2 == 0),
    "objects: mixed": levels(lambda i: (word(i), i, i + 0.5)[i % 3]),
    "objects: tuple": levels(lambda i: (i, "a") if i % 2 else ()),
    "objects: time": levels(lambda i: datetime.time(i % 24)),
    "objects: date": converted(moments, datetime.datetime.date),
    "objects: datetime": moments,
    "objects: datetime with zone": converted(moments, lambda v: v.replace(tzinfo=datetime.UTC)),
    "objects: Timestamp": converted(moments, lambda v: pd.Timestamp(v).as_unit("us")),
    "objects: datetime64": converted(moments, lambda v: np.datetime64(v, "s")),
    "objects: timedelta": spans,
    "category of integers": levels(lambda i: i - 3),
    "category of dates": levels(lambda i: datetime.date(2024, 1, 1 + i % 28)),
    "category of time stamps": levels(lambda i: pd.Timestamp(2024, 1, 1 + i % 28)),
    "date32[pyarrow]": converted(moments, datetime.datetime.date),
    "date64[pyarrow]": converted(moments, datetime.datetime.date),
}
DTYPES = {name: case.dtype for name, case in COLUMNS.items()}
DTYPES |= {
    name: name
    for name in (
        *("int8", "int32", "uint16", "uint32", "uint64", "Int8", "Int16", "UInt64"),
        *("uint16[pyarrow]", "uint64[pyarrow]", "Float32"),
        *("datetime64[us, America/New_York]", "timestamp[ns][pyarrow]", "timestamp[ms][pyarrow]"),
        *("timedelta64[ms]", "timedelta64[us]", "duration[ns][pyarrow]"),
    )
}
DTYPES["category of time stamps"] = "category"


def maker(name):
    """Of values for the kind of column of that name."""
    if name in BY_NAME:
        return BY_NAME[name]
    dtype = pd.Series([], dtype=DTYPES[name]).dtype
    as_numpy = getattr(dtype, "numpy_dtype", dtype)
    if pdt.is_bool_dtype(dtype):
        return levels(lambda i: i % 2 == 0)
    if pdt.is_integer_dtype(dtype):
        return integers(int(np.iinfo(as_numpy).min), int(np.iinfo(as_numpy).max))
    if pdt.is_float_dtype(dtype):
        return floats(as_numpy)
    if dtype.kind in "mM":
        arrow = getattr(dtype, "pyarrow_dtype", dtype)
        return ticks(getattr(arrow, "unit", None) or np.datetime_data(dtype)[0])
    declared = getattr(DTYPES[name], "categories", None)
    return levels(word if declared is None else lambda i: declared[i % len(declared)])


KINDS = {name: maker(name) for name in DTYPES}
NAN_BESIDE_NA = "Float64, NaN beside NA", "double[pyarrow], NaN beside NA"
KINDS |= dict.fromkeys(NAN_BESIDE_NA, floats(float))
# Less those that can by chance be all text, or all numbers.
OF_ONE_KIND = frozenset(KINDS) - {"objects: mixed"}

STORED = {
    "category": "text",
    "objects: str": "text",
    "objects: bool": "b",
    "objects: timedelta": "m",
    "objects: datetime with zone": "M with zone",
    **dict.fromkeys(["objects: int", "objects: float", "objects: int and float"], "number"),
    "objects: Decimal": "number",
    **dict.fromkeys(["objects: date", "objects: datetime", "objects: Timestamp"], "M"),
    "objects: datetime64": "M",
}


def stored(name):
    """What a kind stores, whatever its dtype."""
    dtype = pd.Series([], dtype=DTYPES.get(name, float)).dtype
    if name in STORED or isinstance(dtype, pd.CategoricalDtype) or name.startswith("objects"):
        return STORED.get(name, name)
    zone = getattr(dtype, "tz", None) or getattr(getattr(dtype, "pyarrow_dtype", None), "tz", None)
    kinds = dict.fromkeys("iuf", "number") | dict.fromkeys("OU", "text")
    return kinds.get(dtype.kind, dtype.kind) + (" with zone" if zone else "")


ALIKE = {name: sorted(other for other in KINDS if stored(other) == stored(name)) for name in KINDS}


def gaps_of(column, marker=None):
    """Which cells are missing; NaN is, beside NA too, and what equals the marker."""
    gaps = np.array(column.isna(), dtype=bool)
    if pdt.is_extension_array_dtype(column.dtype) and pdt.is_float_dtype(column.dtype):
        gaps = gaps | np.isnan(column.to_numpy(dtype=float, na_value=np.nan))
    if marker is not None:
        known = column[~gaps].astype(object)
        gaps[~gaps] = [cell == marker for cell in known]
    return gaps


@dataclass(frozen=True)
class Column:
    """How a column is made.

    Attributes
    ----------
    kind, shape : str
        Of KINDS and of SHAPES.
    missing : float
        Share of the cells.
    seed, shift : int
    """

    kind: str
    shape: str
    missing: float
    seed: int
    shift: int = 0

    def series(self, rows, empty):
        """Of the rows with those numbers, of which some are empty."""
        rng, n_rows = np.random.default_rng(self.seed), rows.max() + 1
        values = KINDS[self.kind](rng, n_rows, self.shape, self.shift)
        gaps = (rng.random(len(rows)) < self.missing) | empty
        nothing = rng.choice([None, np.nan, pd.NA])
        if self.kind in NAN_BESIDE_NA:
            values, is_na = values[rows], gaps & (rng.random(len(rows)) < 0.5)
            values[gaps] = np.nan
            if self.kind.startswith("Float64"):
                return pd.Series(pd.arrays.FloatingArray(values, is_na))
            return pd.Series(pd.arrays.ArrowExtensionArray(pa.array(values, mask=is_na)))
        dtype = object if isinstance(values, list) else None
        column = pd.Series(values, dtype=dtype).astype(DTYPES[self.kind])
        column = column.iloc[rows].reset_index(drop=True)
        if (isinstance(column.dtype, np.dtype) and column.dtype.kind in "iub") or not gaps.any():
            return column
        return column.where(~gaps, nothing if column.dtype == object else None)
