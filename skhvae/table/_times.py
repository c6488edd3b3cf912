"""Dates and durations as nanoseconds: one unit for every resolution.

As Python integers, or as ``float64`` (which holds a date of our time to 256 ns), nanoseconds also
hold what is out of the range of pandas' nanosecond timestamps.
"""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd

__all__ = ["as_objects", "from_steps", "is_time", "object_step", "step", "ticks"]

DAY = 86_400 * 10**9
UNITS = (DAY, 3600 * 10**9, 60 * 10**9, 10**9, 10**6, 10**3, 1)  # a day, an hour, ..., a nanosecond
NANOSECONDS = {"D": DAY, "s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


def is_time(value) -> bool:
    """Whether a scalar is a date, a time stamp or a duration."""
    return isinstance(value, datetime.date | datetime.timedelta | np.datetime64 | np.timedelta64)


def step(dtype) -> int:
    """Nanoseconds between neighbouring values of a dtype of dates or durations."""
    if isinstance(dtype, pd.ArrowDtype):
        return NANOSECONDS[getattr(dtype.pyarrow_dtype, "unit", "D")]  # date32 and date64 have none
    return NANOSECONDS[getattr(dtype, "unit", None) or np.datetime_data(dtype)[0]]


def ticks(column: pd.Series) -> tuple[pd.Series, int]:
    """The integers that a column of dates or durations stores, and the nanoseconds of one."""
    name = str(column.dtype)
    if name.startswith("date32"):
        return column.astype("int32[pyarrow]"), DAY
    if name.startswith("date64"):
        return column.astype("int64[pyarrow]"), NANOSECONDS["ms"]
    arrow = isinstance(column.dtype, pd.ArrowDtype)
    return column.astype("int64[pyarrow]" if arrow else "int64"), step(column.dtype)


def from_steps(steps: np.ndarray, dtype):
    """Whole numbers of steps as an array of `dtype`: the inverse of :func:`ticks`."""
    name = str(dtype)
    if name.startswith("date64"):
        steps = steps * (DAY // NANOSECONDS["ms"])
    if isinstance(dtype, pd.ArrowDtype):
        integers = "int32[pyarrow]" if name.startswith("date32") else "int64[pyarrow]"
        return pd.array(steps, dtype=integers).astype(dtype)
    return pd.Series(steps).astype(dtype).array


def object_step(example) -> int:
    """Nanoseconds between neighbouring values of the kind of a Python or NumPy scalar."""
    if isinstance(example, pd.Timestamp | pd.Timedelta):
        return NANOSECONDS[example.unit]
    if isinstance(example, np.datetime64 | np.timedelta64):
        return NANOSECONDS.get(np.datetime_data(example.dtype)[0], DAY)
    is_date = isinstance(example, datetime.date) and not isinstance(example, datetime.datetime)
    return DAY if is_date else NANOSECONDS["us"]


def as_objects(steps: np.ndarray, example) -> list:
    """Whole numbers of steps as scalars of the kind of `example`."""
    unit = {size: unit for unit, size in NANOSECONDS.items()}[object_step(example)]
    family = "datetime64" if isinstance(example, datetime.date | np.datetime64) else "timedelta64"
    values = steps.astype(f"{family}[{unit}]")
    zone = getattr(example, "tzinfo", None)
    if isinstance(example, np.generic):
        return list(values)
    if zone is None and not isinstance(example, pd.Timestamp | pd.Timedelta):
        return values.tolist()
    column = pd.Series(values)
    if zone is not None:
        column = column.dt.tz_localize("UTC").dt.tz_convert(zone)
    stamps = column.tolist()
    return (
        stamps
        if isinstance(example, pd.Timestamp | pd.Timedelta)
        else [s.to_pydatetime() for s in stamps]
    )
