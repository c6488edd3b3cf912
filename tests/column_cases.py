"""One small column for every way in which pandas stores values: a row a case.

Every column has more than two distinct values and, where its dtype can hold one, a missing cell.
"""

from __future__ import annotations

import datetime
import decimal
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa

__all__ = ["COLUMNS", "Case"]


@dataclass(frozen=True)
class Case:
    """A column, what it stores and the feature type that follows.

    Attributes
    ----------
    values : list
    dtype : object
    storage, type : str
    warns : str or None
        What the warning says that inference gives.
    like : type or None
        The class of the scalars that an object column must come back with.
    """

    values: list = field(repr=False)
    dtype: object
    storage: str
    type: str
    warns: str | None = None
    like: type | None = None

    @property
    def column(self) -> pd.Series:
        return pd.Series(self.values, dtype=self.dtype, name="x", index=list("stuvwxyz"))


def _days(*days):
    return [None if d is None else datetime.date(2024, 2, d) for d in days]


def _times(*hours, zone=None):
    start = datetime.datetime(2024, 3, 30, tzinfo=zone)
    return [None if h is None else start + datetime.timedelta(hours=h) for h in hours]


def _stamps(*hours, unit="us"):
    return [
        None if t is None else pd.Timestamp(t).as_unit(unit) + pd.Timedelta(7, unit)
        for t in _times(*hours)
    ]


def _durations(*minutes):
    return [None if m is None else datetime.timedelta(minutes=m) for m in minutes]


INTEGERS = [3, None, 0, 7, 3, 250, 1, 9]
SIGNED = [3, None, 0, -7, 3, 25, 1, 9]
WHOLE = [3, 2, 0, 7, 3, 250, 1, 9]
REALS = [0.5, None, -2.25, 3.75, 1.5, 2.0, 0.125, -0.0]
SKEWED = [0.5, None, 0.25, 100.75, 1.5, 2.0, 0.125, 0.0]
TEXT = ["Ulm", None, "Bonn", "Kiel", "Ulm", "Ulm", "", "Bonn"]
BOOLEANS = [True, None, False, True, True, False, False, True]
DAYS = _days(1, None, 29, 3, 3, 12, 7, 2)
TIMES = _times(0, None, 30, 7, 7, 2.5, 1, 90)
DURATIONS = _durations(0, None, 30, 7, 7, 2.5, 1, -90)
BERLIN = "Europe/Berlin"
ZONED = _times(0, None, 30, 7, 7, 2.5, 1, 90, zone=datetime.UTC)
BINS = pd.cut(pd.Series([1, None, 3, 4, 5, 2, 6, 2]), [0, 2, 4, 6])

COLUMNS = {
    "int64": Case(WHOLE, "int64", "integer", "count"),
    "uint8": Case(WHOLE, "uint8", "integer", "count"),
    "int16, some negative": Case([-1, *WHOLE[1:]], "int16", "integer", "real"),
    "Int64": Case(INTEGERS, "Int64", "integer", "count"),
    "UInt8": Case(INTEGERS, "UInt8", "integer", "count"),
    "Int32, some negative": Case(SIGNED, "Int32", "integer", "real"),
    "int64[pyarrow]": Case(INTEGERS, "int64[pyarrow]", "integer", "count"),
    "int8[pyarrow], some negative": Case(SIGNED, "int8[pyarrow]", "integer", "real"),
    "objects: int": Case(INTEGERS, object, "integer", "count", like=int),
    "float64": Case(REALS, "float64", "float", "real"),
    "float64, skewed": Case(SKEWED, "float64", "float", "positive"),
    "float64, whole": Case(INTEGERS, "float64", "float", "count"),
    "float64, whole, some negative": Case(SIGNED, "float64", "float", "real"),
    "float32": Case(REALS, "float32", "float", "real"),
    "float16": Case(REALS, "float16", "float", "real"),
    "Float64": Case(REALS, "Float64", "float", "real"),
    "Float32, skewed": Case(SKEWED, "Float32", "float", "positive"),
    "Float64, whole": Case(INTEGERS, "Float64", "float", "count"),
    "double[pyarrow]": Case(REALS, "double[pyarrow]", "float", "real"),
    "halffloat[pyarrow]": Case(REALS, "halffloat[pyarrow]", "float", "real"),
    "float[pyarrow], skewed": Case(SKEWED, "float[pyarrow]", "float", "positive"),
    "objects: float": Case(REALS, object, "float", "real", like=float),
    "objects: int and float": Case([3, None, 0.5, -7, 3, 25, 1, 9], object, "float", "real"),
    "objects: Decimal": Case(
        [None if v is None else decimal.Decimal(str(v)) for v in REALS],
        object,
        "float",
        "real",
        like=decimal.Decimal,
    ),
    "bool": Case([b or False for b in BOOLEANS], "bool", "boolean", "binary"),
    "boolean": Case(BOOLEANS, "boolean", "boolean", "binary"),
    "bool[pyarrow]": Case(BOOLEANS, "bool[pyarrow]", "boolean", "binary"),
    "objects: bool": Case(BOOLEANS, object, "boolean", "binary", like=bool),
    "str": Case(TEXT, "str", "string", "nominal"),
    "string": Case(TEXT, "string", "string", "nominal"),
    "string[python]": Case(TEXT, "string[python]", "string", "nominal"),
    "string[pyarrow]": Case(TEXT, pd.ArrowDtype(pa.string()), "string", "nominal"),
    "large_string[pyarrow]": Case(TEXT, pd.ArrowDtype(pa.large_string()), "string", "nominal"),
    "objects: str": Case(TEXT, object, "string", "nominal", like=str),
    "objects: bytes": Case(
        [None if v is None else v.encode() for v in TEXT], object, "string", "nominal", like=bytes
    ),
    "objects: mixed": Case(
        [1, None, "one", 2.5, "one", 1, 1, "two"],
        object,
        "mixed",
        "nominal",
        warns="mixes float, int, str",
    ),
    "objects: tuple": Case(
        [(1, "a"), None, (2,), (), (2,), (2,), (2,), ()],
        object,
        "mixed",
        "nominal",
        warns="objects of type tuple",
        like=tuple,
    ),
    "objects: time": Case(
        [None if v is None else v.time() for v in TIMES],
        object,
        "mixed",
        "nominal",
        warns="objects of type time",
        like=datetime.time,
    ),
    "category": Case(TEXT, "category", "category", "nominal"),
    "category, more declared": Case(
        TEXT, pd.CategoricalDtype(["Ulm", "Rom", "Kiel", "Bonn", ""]), "category", "nominal"
    ),
    "category of integers": Case(INTEGERS, "category", "category", "nominal"),
    "category of dates": Case(DAYS, "category", "category", "nominal"),
    "ordered category": Case(
        TEXT,
        pd.CategoricalDtype(["Ulm", "Rom", "Kiel", "", "Bonn"], ordered=True),
        "ordered category",
        "ordinal",
    ),
    "ordered category of intervals": Case(BINS.tolist(), BINS.dtype, "ordered category", "ordinal"),
    "ordered category of integers": Case(
        INTEGERS,
        pd.CategoricalDtype([250, 9, 7, 3, 1, 0, -1], ordered=True),
        "ordered category",
        "ordinal",
    ),
    **{
        f"datetime64[{unit}]": Case(TIMES, f"datetime64[{unit}]", "datetime", "datetime")
        for unit in ("s", "ms", "us", "ns")
    },
    **{
        f"datetime64[{unit}, {BERLIN}]": Case(
            ZONED, f"datetime64[{unit}, {BERLIN}]", "datetime with time zone", "datetime"
        )
        for unit in ("s", "ns")
    },
    "timestamp[us][pyarrow]": Case(TIMES, "timestamp[us][pyarrow]", "datetime", "datetime"),
    "timestamp[s, UTC][pyarrow]": Case(
        ZONED, pd.ArrowDtype(pa.timestamp("s", "UTC")), "datetime with time zone", "datetime"
    ),
    "date32[pyarrow]": Case(DAYS, "date32[pyarrow]", "datetime", "datetime"),
    "date64[pyarrow]": Case(DAYS, "date64[pyarrow]", "datetime", "datetime"),
    "objects: date": Case(DAYS, object, "datetime", "datetime", like=datetime.date),
    "objects: datetime": Case(TIMES, object, "datetime", "datetime", like=datetime.datetime),
    "objects: datetime with zone": Case(
        ZONED, object, "datetime with time zone", "datetime", like=datetime.datetime
    ),
    "objects: Timestamp": Case(
        _stamps(0, None, 30, 7, 7, 2.5, 1, 90), object, "datetime", "datetime", like=pd.Timestamp
    ),
    "objects: datetime64": Case(
        [None if t is None else np.datetime64(t, "s") for t in TIMES],
        object,
        "datetime",
        "datetime",
        like=np.datetime64,
    ),
    **{
        f"timedelta64[{unit}]": Case(DURATIONS, f"timedelta64[{unit}]", "timedelta", "datetime")
        for unit in ("s", "ns")
    },
    "duration[ms][pyarrow]": Case(DURATIONS, "duration[ms][pyarrow]", "timedelta", "datetime"),
    "objects: timedelta": Case(DURATIONS, object, "timedelta", "datetime", like=datetime.timedelta),
}
