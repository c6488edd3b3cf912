"""Single values and arrays come back as they were, with their types."""

import datetime
import decimal
import io
import json
import struct
import zoneinfo
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from column_cases import COLUMNS
from hypothesis import given, settings
from hypothesis import strategies as st

from skhvae.persistence._arrays import ARRAYS
from skhvae.persistence._document import Reader, Writer
from skhvae.persistence._scalars import SCALARS

KINDS = [*SCALARS, *ARRAYS]


def again(thing):
    """Through a document's text."""
    writer = Writer(KINDS)
    text = json.dumps(writer.write(thing), allow_nan=False)
    reader = Reader(KINDS, writer.tensors)
    found = reader.read(json.loads(text))
    reader.finish()
    return found


def assert_same(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, tuple | list):
        assert len(found) == len(expected)
        for part, other in zip(found, expected, strict=True):
            assert_same(part, other)
    elif isinstance(expected, dict):
        assert_same(list(found.items()), list(expected.items()))
    else:
        assert repr(found) == repr(expected)
        assert found is expected or found == expected or expected != expected
        if isinstance(expected, np.generic):
            assert found.dtype == expected.dtype


KNOWN = zoneinfo.available_timezones()
ZONES = (
    st.none()
    | st.sampled_from(sorted(KNOWN)).map(zoneinfo.ZoneInfo)
    | st.sampled_from(
        [
            datetime.UTC,
            datetime.timezone(datetime.timedelta(hours=-3, minutes=-30)),
            datetime.timezone(datetime.timedelta(seconds=1), "mine"),
        ]
    )
)
DATES = {
    "date": st.dates(),
    "time": st.times(timezones=ZONES),
    "datetime": st.datetimes(timezones=ZONES, allow_imaginary=True),
    "timedelta": st.timedeltas(),
}
SINGLE = {
    "None": st.none(),
    "bool": st.booleans(),
    "int": st.integers(-(10**50), 10**50)
    | st.sampled_from([2**63, -(2**64), 10**40, -(2**63), 2**63 - 1]),
    "float": st.floats(),
    "str": st.text(st.characters(exclude_categories=())),
    "bytes": st.binary(),
    "Decimal": st.decimals(allow_nan=False) | st.just(decimal.Decimal("1.500")),
    "Fraction": st.fractions(),
    "UUID": st.uuids(),
    **DATES,
}


@settings(deadline=None)
@pytest.mark.parametrize("kind", SINGLE)
@given(st.data())
def test_values_of_python(kind, data):
    value = data.draw(SINGLE[kind])
    found = again(value)
    assert_same(found, value)
    assert getattr(found, "fold", 0) == getattr(value, "fold", 0)


def test_integers_of_any_length():
    """Python refuses to write the decimals of long ones."""
    for value in (10**5000, -(10**5000)):
        assert again(value) == value


@settings(deadline=None)
@given(
    st.recursive(
        st.one_of(*(SINGLE[kind] for kind in ("None", "bool", "float", "str", "date"))),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
            | st.dictionaries(st.integers() | st.text() | st.tuples(st.text()), inner, max_size=3)
        ),
        max_leaves=10,
    )
)
def test_containers(thing):
    assert_same(again(thing), thing)


@pytest.mark.parametrize(
    "value",
    [
        *(np.dtype(code).type(1) for code in "?bhilBHILefd"),
        np.float32(0.1),
        np.float64("nan"),
        np.str_("a"),
        np.bytes_(b"a"),
        np.datetime64("2024-02-29"),
        np.datetime64(7, "25s"),
        np.datetime64("NaT", "ns"),
        np.timedelta64(-3, "ms"),
        pd.NA,
        pd.NaT,
        pd.Timestamp(2**60, unit="ns"),
        pd.Timestamp("0001-01-01").as_unit("s"),
        pd.Timestamp("2024-10-27 00:30", tz="UTC").tz_convert("Europe/Berlin"),
        pd.Timestamp("2024-10-27 01:30", tz="UTC").tz_convert("Europe/Berlin"),
        pd.Timestamp("2024", tz=datetime.timezone(datetime.timedelta(hours=1))),
        pd.Timedelta(-1, "ns"),
        pd.Timedelta(3, "D").as_unit("s"),
        pd.Interval(pd.Timestamp("2024"), pd.Timestamp("2025"), "neither"),
        pd.Period("2024Q1", "Q-FEB"),
        pd.Period("2024-02-29 12:00", "15min"),
        frozenset({1, "a", (2.5, None)}),
        zoneinfo.ZoneInfo("Europe/Berlin"),
        (),
        {},
        Fraction(1, 3),
        Path("a") / "b.csv",
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_of_numpy_and_pandas(value):
    found = again(value)
    if isinstance(value, frozenset):
        assert (type(found), found) == (frozenset, value)
    else:
        assert_same(found, value)
    assert getattr(found, "unit", None) == getattr(value, "unit", None)


ARRAYS_OF_NUMPY = [
    *(np.arange(3).astype(code) for code in "?bhilqBHILQefd"),
    np.array([np.nan, -0.0, np.inf]),
    np.arange(6.0).reshape(2, 3).T,
    np.arange(3, dtype=">i4"),
    np.array([0, 7], dtype=">M8[s]"),
    np.array(["2024-02-29", "NaT"], dtype="M8[ns]"),
    np.array([1, None], dtype="m8[us]"),
    np.zeros((0, 2)),
    np.array(3.5),
    np.array(["a", None, 1, (1, 2), [3]], dtype=object),
    np.array([[1, "a"], [None, 2.5]], dtype=object),
    np.array([], dtype=object),
]


@pytest.mark.parametrize("array", ARRAYS_OF_NUMPY, ids=lambda a: f"{a.dtype}{a.shape}")
def test_arrays_of_numpy(array):
    array = array.copy()
    array.flags.writeable = False
    found = again(array)
    assert found.dtype == array.dtype
    assert found.dtype.byteorder == array.dtype.byteorder
    np.testing.assert_array_equal(found, array)
    assert found.flags.writeable


def test_tensors():
    whole = torch.arange(6.0).view(2, 3)
    views = [whole[0], whole[1], whole.T, torch.tensor(True), torch.zeros(0, 3), whole.double()]
    for found, view in zip(again(views), views, strict=True):
        assert torch.equal(found, view)
        assert found.dtype == view.dtype
        assert found.is_contiguous()


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_and_their_dtypes(name):
    column = COLUMNS[name].column.reset_index(drop=True)
    assert again(column.dtype) == column.dtype
    found = again(column)
    pd.testing.assert_series_equal(found, column, check_exact=True)
    assert [type(cell) for cell in found] == [type(cell) for cell in column]
    frame = again(
        pd.DataFrame({"a": [1.5] * len(column), ("b", 1): column}).set_axis(list("stuvwxyz"))
    )
    assert list(frame.columns) == ["a", ("b", 1)]
    assert list(frame.index) == list("stuvwxyz")
    pd.testing.assert_series_equal(frame[("b", 1)], COLUMNS[name].column, check_names=False)


@pytest.mark.parametrize(
    "index",
    [
        pd.RangeIndex(1, 9, 2, name="n"),
        pd.Index([3, 1], name=("a", 1)),
        pd.Index([], dtype="str"),
        pd.Index(["a", None]),
        pd.Index([("a", 1), ("b", 2)], tupleize_cols=False),
        pd.Index([1, "a", None, 2.5], dtype=object),
        pd.Index([datetime.date(2024, 1, 1)], dtype=object),
        pd.DatetimeIndex(["2024", "2025"], tz="Europe/Berlin"),
        pd.TimedeltaIndex(["1h", None]),
        pd.interval_range(0, 3, closed="both"),
        pd.period_range("2024", periods=2, freq="M"),
        pd.CategoricalIndex(["a", "b"], ordered=True, name="c"),
        pd.Index([1, None], dtype="Int8"),
        pd.Index([1, 2], dtype="int8[pyarrow]"),
    ],
    ids=lambda index: f"{type(index).__name__}-{index.dtype}",
)
def test_indices(index):
    found = again(index)
    pd.testing.assert_index_equal(found, index, exact=True)
    assert found.name == index.name


@pytest.mark.parametrize(
    "dtype",
    [
        *(
            pd.StringDtype(storage, na)
            for storage in ("python", "pyarrow")
            for na in (pd.NA, np.nan)
        ),
        pd.CategoricalDtype([(1, "a"), (2,)], ordered=True),
        pd.CategoricalDtype(pd.interval_range(0, 3)),
        pd.CategoricalDtype(pd.date_range("2024", periods=2, tz="UTC")),
        pd.CategoricalDtype(range(3)),
        pd.CategoricalDtype(pd.Index([1.5], dtype="Float32")),
        pd.DatetimeTZDtype("s", datetime.timezone(datetime.timedelta(hours=5, minutes=45))),
        pd.IntervalDtype("datetime64[ns, UTC]", "left"),
        pd.PeriodDtype("Q-FEB"),
        pd.ArrowDtype(pa.timestamp("ns", "Europe/Berlin")),
        pd.ArrowDtype(pa.string()),
        pd.ArrowDtype(pa.binary()),
        pd.ArrowDtype(pa.null()),
    ],
    ids=str,
)
def test_dtypes(dtype):
    found = again(dtype)
    assert type(found) is type(dtype)
    assert found == dtype
    assert getattr(found, "storage", None) == getattr(dtype, "storage", None)


def test_the_usual_storage_of_strings_is_that_of_the_place():
    with pd.option_context("mode.string_storage", "pyarrow"):
        writer = Writer(KINDS)
        text = writer.write(pd.Series(["a"], dtype="str"))
    with pd.option_context("mode.string_storage", "python"):
        found = Reader(KINDS, writer.tensors).read(text)
    assert found.dtype.storage == "python"
    assert found.dtype == "str"


def nameless_zone():
    """UTC's data, in the first version of RFC 9636, which do not say its name."""
    counts = struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    return zoneinfo.ZoneInfo.from_file(
        io.BytesIO(b"TZif" + bytes(16) + counts + bytes(6) + b"UTC\0")
    )


@pytest.mark.parametrize(
    "thing",
    [
        1j,
        np.complex64(1),
        np.longdouble(1),
        np.zeros(2, dtype=complex),
        np.array(["a"]),
        np.zeros(1, dtype=[("a", "i4")]),
        pd.ArrowDtype(pa.decimal128(5, 2)),
        pd.MultiIndex.from_tuples([(1, 2)]),
        datetime.UTC.__class__,
        object(),
        {1, 2},
        slice(1),
        torch.Generator(),
        nameless_zone(),
        type("str", (str,), {})("a"),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_what_has_no_kind_is_refused(thing):
    with pytest.raises(TypeError, match=r"of type \S+ cannot be saved.*Use pickle or joblib"):
        again([thing])


def test_one_thing_stays_one_thing():
    series = pd.Series([1.5])
    first, (second,), third = again([series, (series,), pd.Series([1.5])])
    assert first is second
    assert first is not third


def test_leftovers_are_noticed():
    reader = Reader(KINDS, {"a": torch.zeros(1)})
    reader.read(1)
    with pytest.raises(ValueError, match=r"nothing refers to: \['a'\]"):
        reader.finish()
