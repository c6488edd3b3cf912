"""Kinds of single values: what column names, levels and parameters are made of."""

from __future__ import annotations

import datetime
import decimal
import fractions
import functools
import pathlib
import uuid
import zoneinfo

import numpy as np
import pandas as pd

from skhvae.persistence._document import CannotBeSaved, Kind

__all__ = ["SCALARS"]


@functools.cache
def _zones() -> set[str]:
    return zoneinfo.available_timezones()


def _zone_parts(zone: zoneinfo.ZoneInfo) -> tuple[str]:
    if zone.key not in _zones():
        raise CannotBeSaved("it is none of zoneinfo.available_timezones()")
    return (zone.key,)


def _zone(key: str) -> zoneinfo.ZoneInfo:
    # zoneinfo looks for data in modules that it derives from the name: only known names may get there.
    if key not in _zones():
        raise ValueError(f"time zone {key!r} is not known here. Use pip install tzdata.")
    return zoneinfo.ZoneInfo(key)


def _timestamp(unit: str, ticks: int, zone: datetime.tzinfo | None) -> pd.Timestamp:
    stamp = pd.Timestamp(np.datetime64(ticks, unit))
    if zone is None:
        return stamp
    if not isinstance(zone, datetime.tzinfo):
        raise TypeError(f"{zone!r} is no time zone")
    return stamp.tz_localize("UTC").tz_convert(zone)


def _numpy_parts(value: np.generic) -> tuple:
    item = value.item()
    if isinstance(item, np.generic):
        raise CannotBeSaved("more digits than a Python number")
    return str(value.dtype), item


def _ticks(value: np.datetime64 | np.timedelta64) -> int:
    return value.view("int64").item()


def _time_parts(value: datetime.time | datetime.datetime) -> tuple:
    return value.hour, value.minute, value.second, value.microsecond, value.tzinfo, value.fold


def _constant(value) -> Kind:
    return Kind(type(value).__name__, type(value), lambda _: (), lambda: value)


SCALARS = [
    # Those that JSON lacks: large integers, NaN and infinities.
    Kind("int", int, lambda x: (hex(x),), lambda digits: int(digits, 16)),
    Kind("float", float, lambda x: (repr(x),), float),
    Kind("bytes", bytes, lambda x: (x.hex(),), bytes.fromhex),
    Kind("tuple", tuple, lambda x: x, lambda *parts: parts),
    Kind("frozenset", frozenset, lambda x: sorted(x, key=repr), lambda *parts: frozenset(parts)),
    Kind("Decimal", decimal.Decimal, lambda x: (str(x),), decimal.Decimal),
    Kind(
        "Fraction",
        fractions.Fraction,
        lambda x: (x.numerator, x.denominator),
        fractions.Fraction,
    ),
    Kind("UUID", uuid.UUID, lambda x: (x.hex,), uuid.UUID),
    Kind("Path", pathlib.Path, lambda x: (str(x),), pathlib.Path, subclasses=True),
    Kind("timezone", datetime.timezone, lambda x: x.__getinitargs__(), datetime.timezone),
    Kind("ZoneInfo", zoneinfo.ZoneInfo, _zone_parts, _zone),
    Kind("date", datetime.date, lambda x: (x.year, x.month, x.day), datetime.date),
    Kind(
        "time",
        datetime.time,
        _time_parts,
        lambda *parts: datetime.time(*parts[:-1], fold=parts[-1]),
    ),
    Kind(
        "datetime",
        datetime.datetime,
        lambda x: (x.year, x.month, x.day, *_time_parts(x)),
        lambda *parts: datetime.datetime(*parts[:-1], fold=parts[-1]),
    ),
    Kind(
        "timedelta",
        datetime.timedelta,
        lambda x: (x.days, x.seconds, x.microseconds),
        datetime.timedelta,
    ),
    _constant(pd.NA),
    _constant(pd.NaT),
    Kind("Timestamp", pd.Timestamp, lambda x: (x.unit, _ticks(x.asm8), x.tzinfo), _timestamp),
    Kind(
        "Timedelta",
        pd.Timedelta,
        lambda x: (x.unit, _ticks(x.asm8)),
        lambda unit, ticks: pd.Timedelta(np.timedelta64(ticks, unit)),
    ),
    Kind("Interval", pd.Interval, lambda x: (x.left, x.right, x.closed), pd.Interval),
    Kind(
        "Period",
        pd.Period,
        lambda x: (x.ordinal, x.freqstr),
        lambda ordinal, frequency: pd.Period(ordinal=ordinal, freq=frequency),
    ),
    *(
        Kind(
            kind.__name__,
            kind,
            lambda x: (str(x.dtype), _ticks(x)),
            lambda dtype, ticks: np.array(ticks, dtype="int64").view(dtype)[()],
        )
        for kind in (np.datetime64, np.timedelta64)
    ),
    Kind(
        "numpy",
        np.generic,
        _numpy_parts,
        lambda dtype, item: np.dtype(dtype).type(item),
        subclasses=True,
    ),
]
