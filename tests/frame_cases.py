"""One small column for every way in which polars and Arrow store values: a row a case.

Every column has more than two distinct values, and a missing cell.
"""

from __future__ import annotations

import datetime
import decimal
from dataclasses import dataclass, field

import hypothesis.strategies as st
import polars as pl
import pyarrow as pa
from column_cases import BOOLEANS, DAYS, DURATIONS, INTEGERS, REALS, SIGNED, SKEWED, TEXT, TIMES

__all__ = ["CASES", "LEVELS", "LIBRARIES", "FrameCase"]

LEVELS = ["Ulm", "Rom", "Kiel", "Bonn", ""]
ZONE = "Europe/Berlin"
CENTS = decimal.Decimal("0.01")
DECIMALS = [None if v is None else decimal.Decimal(v).quantize(CENTS) for v in REALS]
BYTES = [None if v is None else v.encode() for v in TEXT]


class Polars:
    """How the tests make and read tables of polars."""

    kind = pl.DataFrame
    table = pl.DataFrame

    @staticmethod
    def column(values, dtype):
        if isinstance(dtype, pl.Datetime) and dtype.time_zone:
            return pl.Series(values, dtype=pl.Datetime(dtype.time_unit, "UTC")).cast(dtype)
        return pl.Series(values, dtype=dtype)

    @staticmethod
    def cells(table) -> dict:
        """Python scalars with all of their digits by column, None where missing."""
        stored = {c.name: c.to_physical() if c.dtype.is_temporal() else c for c in table}
        return {name: _missing_as_none(column.to_list()) for name, column in stored.items()}

    @staticmethod
    def schema(table):
        return table.schema


class Arrow:
    """The same for Arrow."""

    kind = pa.Table
    table = pa.table

    @staticmethod
    def column(values, dtype):
        if not pa.types.is_dictionary(dtype):
            return pa.array(values, dtype)
        levels = (
            LEVELS if dtype.ordered else list(dict.fromkeys(v for v in values if v is not None))
        )
        codes = pa.array([None if v is None else levels.index(v) for v in values], dtype.index_type)
        levels = pa.array(levels).cast(dtype.value_type)
        return pa.DictionaryArray.from_arrays(codes, levels, ordered=dtype.ordered)

    @staticmethod
    def cells(table) -> dict:
        cells = {}
        for name, column in zip(table.column_names, table.columns, strict=True):
            if pa.types.is_timestamp(column.type) or pa.types.is_duration(column.type):
                column = column.cast("int64")
            cells[name] = _missing_as_none(column.to_pylist())
        return cells

    @staticmethod
    def schema(table):
        return table.schema.remove_metadata()


LIBRARIES = {"polars": Polars, "arrow": Arrow}


def _missing_as_none(cells):
    return [None if cell != cell else cell for cell in cells]


@dataclass(frozen=True)
class FrameCase:
    """A column, what it stores and the feature type that follows.

    Attributes
    ----------
    library : Polars or Arrow
    values : list
    dtype : object
    storage, type : str
    drawn : strategy
        Values that the dtype can hold.
    """

    library: type
    values: list = field(repr=False)
    dtype: object
    storage: str
    type: str
    drawn: st.SearchStrategy = field(repr=False)

    def table(self, values=None):
        values = self.values if values is None else values
        return self.library.table({"x": self.library.column(values, self.dtype)})


def _whole(low, high, *dtypes, values=INTEGERS, kind="count"):
    return (values, *dtypes, "integer", kind, st.integers(low, high))


def _floats(width, *dtypes, values=REALS, kind="real"):
    drawn = st.floats(allow_infinity=False, allow_nan=True, width=width)
    return (values, *dtypes, "float", kind, drawn)


def _text(*dtypes):
    return (TEXT, *dtypes, "string", "nominal", st.text("aé\0", max_size=2))


def _levels(*dtypes, ordered=False):
    kind = ("ordered category", "ordinal") if ordered else ("category", "nominal")
    return (TEXT, *dtypes, *kind, st.sampled_from(LEVELS))


def _times(*dtypes, zone=False):
    drawn = st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1))
    stored = "datetime with time zone" if zone else "datetime"
    return (TIMES, *dtypes, stored, "datetime", drawn)


def _durations(*dtypes):
    day = datetime.timedelta(1)
    whole = st.integers(-(10**6), 10**6).map(lambda n: n * datetime.timedelta(milliseconds=1))
    return (DURATIONS, *dtypes, "timedelta", "datetime", whole | st.just(300 * day))


def _decimals(*dtypes):
    return (DECIMALS, *dtypes, "float", "real", st.decimals(-1000, 1000, places=2))


# Values, dtype of polars and of Arrow (None where it has none), storage, feature type, strategy.
_ROWS = {
    "Int8": _whole(-(2**7), 2**7 - 1, pl.Int8, pa.int8(), values=SIGNED, kind="real"),
    "Int16": _whole(-(2**15), 2**15 - 1, pl.Int16, pa.int16()),
    "Int32": _whole(-(2**31), 2**31 - 1, pl.Int32, pa.int32()),
    "Int64": _whole(-(2**63), 2**63 - 1, pl.Int64, pa.int64()),
    "Int128": _whole(-(2**100), 2**100, getattr(pl, "Int128", None), None),
    "UInt128": _whole(0, 2**100, getattr(pl, "UInt128", None), None),
    "UInt8": _whole(0, 2**8 - 1, pl.UInt8, pa.uint8()),
    "UInt16": _whole(0, 2**16 - 1, pl.UInt16, pa.uint16()),
    "UInt32": _whole(0, 2**32 - 1, pl.UInt32, pa.uint32()),
    "UInt64": _whole(0, 2**64 - 1, pl.UInt64, pa.uint64()),
    "Float16": _floats(16, getattr(pl, "Float16", None), pa.float16()),
    "Float32": _floats(32, pl.Float32, pa.float32(), values=SKEWED, kind="positive"),
    "Float64": _floats(64, pl.Float64, pa.float64()),
    "Float64, whole": _floats(64, pl.Float64, pa.float64(), values=INTEGERS, kind="count"),
    "Decimal": _decimals(pl.Decimal(10, 2), pa.decimal128(10, 2)),
    "wide Decimal": _decimals(None, pa.decimal256(40, 2)),
    "Boolean": (BOOLEANS, pl.Boolean, pa.bool_(), "boolean", "binary", st.booleans()),
    "String": _text(pl.String, pa.string()),
    "large String": _text(None, pa.large_string()),
    "String view": _text(None, pa.string_view()),
    "Binary": (BYTES, pl.Binary, pa.binary(), "string", "nominal", st.binary(max_size=2)),
    "large Binary": (BYTES, None, pa.large_binary(), "string", "nominal", st.binary(max_size=2)),
    "Categorical": _levels(pl.Categorical(), pa.dictionary(pa.int8(), pa.string())),
    "named Categorical": _levels(
        pl.Categorical(pl.Categories("towns")) if hasattr(pl, "Categories") else None, None
    ),
    "large Categorical": _levels(None, pa.dictionary(pa.uint32(), pa.large_string())),
    "Enum": _levels(pl.Enum(LEVELS), pa.dictionary(pa.int8(), pa.string(), True), ordered=True),
    "Categorical of integers": (
        INTEGERS,
        None,
        pa.dictionary(pa.int32(), pa.int64()),
        "category",
        "nominal",
        st.integers(-(2**63), 2**63 - 1),
    ),
    "Date": (DAYS, pl.Date, pa.date32(), "datetime", "datetime", st.dates()),
    "Date in milliseconds": (DAYS, None, pa.date64(), "datetime", "datetime", st.dates()),
    "Datetime[s]": _times(None, pa.timestamp("s")),
    "Datetime[ms]": _times(pl.Datetime("ms"), pa.timestamp("ms")),
    "Datetime[us]": _times(pl.Datetime("us"), pa.timestamp("us")),
    "Datetime[ns]": _times(pl.Datetime("ns"), pa.timestamp("ns")),
    "Datetime[us, zone]": _times(pl.Datetime("us", ZONE), pa.timestamp("us", ZONE), zone=True),
    "Datetime[ns, UTC]": _times(pl.Datetime("ns", "UTC"), pa.timestamp("ns", "UTC"), zone=True),
    "Duration[ms]": _durations(pl.Duration("ms"), pa.duration("ms")),
    "Duration[ns]": _durations(pl.Duration("ns"), pa.duration("ns")),
}

CASES = {
    f"{name} of {library}": FrameCase(LIBRARIES[library], values, dtype, *rest)
    for name, (values, in_polars, in_arrow, *rest) in _ROWS.items()
    for library, dtype in (("polars", in_polars), ("arrow", in_arrow))
    if dtype is not None
}
