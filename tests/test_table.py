"""The DataFrame boundary: what a column stores, which cells are missing, and how they are filled."""

import datetime
import decimal
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from column_cases import COLUMNS

from skhvae import table as tables

NAMES = list(COLUMNS)
NUMERIC = [
    name
    for name, case in COLUMNS.items()
    if case.storage in ("integer", "float") or case.type == "datetime"
]
HOUR = 3600 * 10**9


def read(name):
    column = COLUMNS[name].column
    return column, tables.missing_cells(column)


@pytest.mark.parametrize("name", NAMES)
def test_storage(name):
    column, missing = read(name)
    assert tables.storage(column, missing) == COLUMNS[name].storage


@pytest.mark.parametrize("name", NAMES)
def test_missing_cells(name):
    _, missing = read(name)
    assert missing.dtype == bool
    assert missing.tolist() == [v is None or v != v for v in COLUMNS[name].values]


@pytest.mark.parametrize("name", NAMES)
def test_a_marker_that_does_not_occur_marks_nothing(name):
    column, missing = read(name)
    for marker in (-99, "?", 99.5, pd.Timestamp("1900-01-01"), decimal.Decimal(1000), b"?"):
        np.testing.assert_array_equal(tables.missing_cells(column, marker), missing)


@pytest.mark.parametrize("name", [name for name in NAMES if COLUMNS[name].like is not tuple])
def test_a_marker_marks_its_cells_beside_the_missing_ones(name):
    column, missing = read(name)
    marker = column.iloc[3]
    equal = [not gap and cell == marker for cell, gap in zip(column, missing, strict=True)]
    assert equal[3]
    np.testing.assert_array_equal(tables.missing_cells(column, marker), missing | equal)


def test_a_number_marks_no_boolean_and_a_boolean_no_number():
    assert not tables.missing_cells(pd.Series([True, False]), 0).any()
    assert not tables.missing_cells(pd.Series([True, None], dtype="boolean"), 1)[0]
    assert not tables.missing_cells(pd.Series([0, 1]), True).any()
    assert tables.missing_cells(pd.Series([True, False]), True).tolist() == [True, False]


def test_nan_beside_na_is_missing():
    column = pd.Series(pa.array([0.5, float("nan"), None]), dtype=pd.ArrowDtype(pa.float64()))
    assert tables.missing_cells(column).tolist() == [False, True, True]
    with np.errstate(invalid="ignore"):
        column = pd.Series([0.0, 1.0], dtype="Float64") / 0
    assert tables.missing_cells(column)[0]


def test_none_na_and_nan_are_missing_among_objects():
    column = pd.Series([None, pd.NA, np.nan, pd.NaT, decimal.Decimal("nan"), "a"], dtype=object)
    assert tables.missing_cells(column).tolist() == [True] * 5 + [False]


@pytest.mark.parametrize("marker", [[1], np.array([1]), {}, (1,)], ids=repr)
def test_a_marker_must_be_a_scalar(marker):
    with pytest.raises(TypeError, match="missing_values must be a scalar"):
        tables.missing_cells(pd.Series([1]), marker)


@pytest.mark.parametrize(
    ("column", "error", "message"),
    [
        (pd.Series([1j, 2]), ValueError, "complex data not supported. Split it"),
        (pd.Series([1j, "a"], dtype=object), ValueError, "complex data not supported. Split it"),
        (pd.Series([0.0, 1], dtype="Sparse[float]"), TypeError, r"Use X\['x'\].sparse.to_dense"),
        (pd.Series(pd.period_range("2020", periods=2, freq="D")), TypeError, "dtype period"),
        (pd.Series(pd.interval_range(0, 2)), TypeError, "dtype interval"),
        (pd.Series([[1], [2]]), TypeError, "holds a list.*Expand it"),
        (pd.Series([{"a": 1}, {}]), TypeError, "holds a dict.*Expand it"),
        (pd.Series([np.ones(2), 3], dtype=object), TypeError, "holds a ndarray.*Expand it"),
        (pd.Series([[1]], dtype=pd.ArrowDtype(pa.list_(pa.int64()))), TypeError, "dtype list"),
        (
            pd.Series([decimal.Decimal(1)], dtype=pd.ArrowDtype(pa.decimal128(5, 2))),
            TypeError,
            "dtype decimal128.* Convert it to numbers, strings, categories or datetimes",
        ),
        (pd.Series([datetime.time(1)], dtype="time64[us][pyarrow]"), TypeError, "dtype time64"),
    ],
    ids=lambda value: str(value.dtype) if isinstance(value, pd.Series) else "",
)
def test_columns_that_are_refused(column, error, message):
    column = column.rename("x")
    with pytest.raises(error, match=f"Column 'x'.*{message}"):
        tables.storage(column, tables.missing_cells(column, "?"))


@pytest.mark.parametrize("dtype", [object, pd.ArrowDtype(pa.null())], ids=str)
def test_a_column_without_values_stores_nothing(dtype):
    column = pd.Series([None, None], dtype=dtype)
    assert tables.storage(column, tables.missing_cells(column)) == "nothing"


# Numbers


@pytest.mark.parametrize("name", NUMERIC)
def test_numbers_and_bounds_agree(name):
    column, missing = read(name)
    values = tables.numbers(column, missing)
    assert values.dtype == np.float64
    np.testing.assert_array_equal(np.isnan(values), missing)
    low, high = tables.bounds(column, missing)
    assert (low, high) == (np.nanmin(values), np.nanmax(values))
    exact = COLUMNS[name].storage != "float"
    assert isinstance(low, int if exact else float)
    assert isinstance(high, int if exact else float)


@pytest.mark.parametrize("name", [n for n, case in COLUMNS.items() if case.type == "datetime"])
def test_dates_and_durations_are_nanoseconds(name):
    column, missing = read(name)
    values = tables.numbers(column, missing)
    first, _, third = COLUMNS[name].values[:3]
    assert values[2] - values[0] == pd.Timedelta(third - first).as_unit("ns").value


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["2024-01-01", "2024-03-01"], 24 * HOUR),
        (["2024-01-01", "2024-03-01 05:00"], HOUR),
        (["2024-01-01 00:30", "2024-03-01"], HOUR // 60),
        (["2024-01-01 00:00:05", "2024-03-01"], 10**9),
        (["2024-01-01 00:00:00.005", "2024-03-01"], 10**6),
        (["2024-01-01 00:00:00.000005", "2024-03-01"], 10**3),
        (["2024-01-01 00:00:00.000000005", "2024-03-01"], 1),
    ],
)
def test_granularity(values, expected):
    column = pd.Series([*pd.to_datetime(values, format="ISO8601").as_unit("ns"), pd.NaT])
    missing = tables.missing_cells(column)
    assert tables.granularity(column, missing) == expected
    if expected >= 10**3:
        assert tables.granularity(column.astype(object), missing) == expected
        assert tables.granularity(column.astype("timestamp[us][pyarrow]"), missing) == expected


def test_bounds_are_exact_beyond_float():
    for dtype, big in (("Int64", 2**63 - 1), ("uint64[pyarrow]", 2**64 - 1), (object, 10**30 + 1)):
        column = pd.Series([big, None, big - 1], dtype=dtype)
        assert tables.bounds(column, tables.missing_cells(column)) == (big - 1, big)
    stamp = pd.Timestamp.max.as_unit("ns")
    column = pd.Series([stamp, stamp - pd.Timedelta(1, "ns"), pd.NaT])
    assert tables.bounds(column, tables.missing_cells(column)) == (stamp.value - 1, stamp.value)


def test_dates_beyond_the_range_of_nanoseconds_are_numbers():
    column = pd.Series([datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31)], dtype=object)
    none = np.zeros(2, dtype=bool)
    expected = tables.numbers(column.astype("datetime64[s]"), none)
    np.testing.assert_array_equal(tables.numbers(column, none), expected)
    assert np.diff(expected)[0] == 3652058 * 24 * HOUR


def test_infinity_is_refused():
    column = pd.Series([1.0, np.inf, -np.inf], name="x")
    with pytest.raises(ValueError, match=r"infinity: column 'x' in 2 row.*X.replace"):
        tables.numbers(column, np.zeros(3, dtype=bool))
    values = tables.numbers(column, tables.missing_cells(column, -np.inf) | (column == np.inf))
    np.testing.assert_array_equal(values, [1, np.nan, np.nan])


def test_text_has_no_numbers():
    with pytest.raises(TypeError, match="Column 'x': holds mixed values"):
        tables.numbers(pd.Series([1, "a"], name="x", dtype=object), np.zeros(2, dtype=bool))


@pytest.mark.parametrize(
    "values",
    [
        [pd.Timestamp("2020-01-01 00:00:00.000000001"), datetime.datetime(1, 1, 1)],
        [datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)],
    ],
    ids=["resolution and range", "time zones"],
)
def test_dates_that_pandas_cannot_hold_together(values):
    column = pd.Series(values, name="x", dtype=object)
    with pytest.raises(
        ValueError, match=r"Column 'x': cannot be read as datetime.*Convert it first"
    ):
        tables.numbers(column, np.zeros(2, dtype=bool))


# Filling


@pytest.mark.parametrize("name", NAMES)
def test_a_column_is_filled_with_its_own_values(name):
    column, _ = read(name)
    cells = np.array([False, True, False, True] * 2)
    other = column.drop(["t"]).reset_index(drop=True)
    chosen = other.iloc[[0, 1, 2, 6]].set_axis(column.index[cells])
    numeric = name in NUMERIC
    values = (
        tables.numbers(chosen, tables.missing_cells(chosen)) if numeric else tables.scalars(chosen)
    )
    bounds = tables.bounds(other, tables.missing_cells(other)) if numeric else None
    before = column.copy(deep=True)
    filled = tables.fill(column, cells, values, bounds, column.iloc[:1])
    pd.testing.assert_series_equal(column, before, check_exact=True)
    expected = column.copy()
    expected[cells] = chosen
    pd.testing.assert_series_equal(filled, expected, check_exact=True)
    if COLUMNS[name].like is not None:
        assert {type(value) for value in filled} == {COLUMNS[name].like}


@pytest.mark.parametrize("name", [name for name in NAMES if COLUMNS[name].like])
def test_levels_of_objects_stay_what_they_are(name):
    """Whatever pandas would make of them: datetimes are no time stamps."""
    column, missing = read(name)
    levels = pd.unique(tables.scalars(column)[~missing])
    filled = tables.fill(column, missing, levels[-1:], example=column.iloc[:1])
    assert filled["t"] is levels[-1]


def test_integers_that_only_unsigned_ones_can_hold():
    column = pd.Series([2**64 - 1, None, 7], dtype="uint64[pyarrow]", name="x")
    missing = tables.missing_cells(column)
    filled = tables.fill(column, missing, np.array([2**64 - 1], dtype=object))
    assert filled.tolist() == [2**64 - 1, 2**64 - 1, 7]


@pytest.mark.parametrize("nothing", [None, np.nan, pd.NaT], ids=["None", "NaN", "NaT"])
@pytest.mark.parametrize("name", NAMES)
def test_a_column_without_an_observed_cell(name, nothing):
    """It keeps a dtype that can hold the values, and takes that of the example otherwise."""
    column, missing = read(name)
    known, none = column[~missing], missing[~missing]
    values, bounds = tables.scalars(known), None
    if name in NUMERIC:
        values, bounds = tables.numbers(known, none), tables.bounds(known, none)
    bare = pd.Series([nothing] * len(known), index=known.index, name="x")
    filled = tables.fill(bare, ~none, values, bounds, known.iloc[:1])
    number = COLUMNS[name].storage in ("integer", "float")
    if bare.dtype == object or (bare.dtype == float and number):
        assert filled.dtype == bare.dtype
    elif bare.dtype.kind != "M" or COLUMNS[name].storage != "datetime" or column.dtype == object:
        assert filled.dtype == column.dtype
    if filled.dtype == column.dtype:
        pd.testing.assert_series_equal(filled, known, check_exact=True)
    elif number:
        np.testing.assert_array_equal(filled.to_numpy(float), values)


def test_filled_numbers_stay_within_the_bounds_of_whole_ones():
    column = pd.Series([None, None, 2**53 + 1], dtype="Int64", name="x")
    bounds = (2**53 + 1, 2**63 - 1)
    filled = tables.fill(column, tables.missing_cells(column), np.array([-1e30, 1e30]), bounds)
    assert filled.tolist() == [2**53 + 1, 2**63 - 1, 2**53 + 1]
    column = column.astype("UInt64")
    bounds = (2, 2**64 - 1)
    filled = tables.fill(column, tables.missing_cells(column), np.array([0.0, 2.0**64]), bounds)
    assert filled.tolist() == [2, 2**64 - 1, 2**53 + 1]
    column = pd.Series([None, None, 10**30], dtype=object, name="x")
    bounds = (10**30 - 1, 10**30)
    filled = tables.fill(column, tables.missing_cells(column), np.array([0.0, 2e30]), bounds)
    assert filled.tolist() == [10**30 - 1, 10**30, 10**30]


def test_numbers_are_rounded_where_the_dtype_is_whole():
    column = pd.Series([1, None, None], dtype="Int16")
    filled = tables.fill(column, tables.missing_cells(column), np.array([2.6, 0.2]), (0.5, 7.5))
    assert filled.tolist() == [1, 3, 1]  # 0.2 rounds to 0, out of the range


def test_nanoseconds_are_rounded_to_the_resolution():
    column = pd.Series(pd.to_datetime(["2024-01-01", None])).astype("datetime64[s]")
    stamp = pd.Timestamp("2024-01-05 06:07:08.600").value
    filled = tables.fill(column, tables.missing_cells(column), np.array([float(stamp)]))
    assert filled[1] == pd.Timestamp("2024-01-05 06:07:09")
    days = column.astype("date32[pyarrow]")
    filled = tables.fill(days, tables.missing_cells(days), np.array([float(stamp)]))
    assert filled[1] == datetime.date(2024, 1, 5)


def test_lacking_categories_are_added_in_their_order_in_fit():
    fitted = pd.CategoricalDtype(["d", "c", "b", "a"], ordered=True)
    example = pd.Series(["a"], dtype=fitted)
    missing = np.array([False, True, True, False])
    ordered = pd.Series(["d", None, None, "a"], dtype=pd.CategoricalDtype(["d", "a"], ordered=True))
    values = np.array(["b", "c"], dtype=object)
    filled = tables.fill(ordered, missing, values, example=example)
    assert filled.tolist() == ["d", "b", "c", "a"]
    assert filled.dtype == fitted
    nominal = pd.Series(["x", None, None, "a"], dtype="category")
    filled = tables.fill(nominal, missing, values, example=example)
    assert filled.cat.categories.tolist() == ["a", "x", "c", "b"]
    assert filled.tolist() == ["x", "b", "c", "a"]


def test_a_value_that_the_dtype_cannot_hold_is_refused():
    small = pd.Series([1, None], dtype="Int8", name="x")
    with pytest.raises(ValueError, match=r"Column 'x': dtype Int8 cannot hold.*1000.*Convert it"):
        tables.fill(small, np.array([False, True]), np.array([1000.0]), (0, 1000))
    narrow = pd.Series([1, -1], dtype="int8", name="x")
    with pytest.raises(ValueError, match="Column 'x': dtype int8 cannot hold"):
        tables.fill(narrow, np.array([False, True]), np.array([1000.0]), (0, 1000))


@pytest.mark.parametrize("dtype", ["float16", "float32", "Float32", "halffloat[pyarrow]"])
def test_a_number_beyond_the_dtype_is_refused_not_made_infinite(dtype):
    column = pd.Series([1.5, None], dtype=dtype, name="x")
    missing = tables.missing_cells(column)
    with pytest.raises(ValueError, match=f"Column 'x': dtype {re.escape(dtype)} cannot hold"):
        tables.fill(column, missing, np.array([1e300]), (0.0, 1e300))
    assert tables.fill(column, missing, np.array([6e4])).tolist() == [1.5, 6e4]


def test_nothing_to_fill():
    column = pd.Series([1.5, 2.5])
    assert tables.fill(column, np.zeros(2, dtype=bool), np.empty(0)) is column


def test_filling_many_cells_rounds_and_keeps_the_bounds():
    cells = np.ones(100_000, dtype=bool)
    values = np.random.default_rng(0).uniform(0, 1000, size=len(cells))
    for dtype in ("Int64", "int64[pyarrow]"):
        column = pd.Series(1, index=range(len(cells)), dtype=dtype)
        filled = tables.fill(column, cells, values, (10, 900))
        assert filled.dtype == column.dtype
        np.testing.assert_array_equal(filled.to_numpy(int), np.rint(values).clip(10, 900))


# Tables


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), ValueError, r"found \['a'\] more than once"),
        (pd.DataFrame({"a": []}), ValueError, r"0 sample\(s\)"),
        (pd.DataFrame(index=[1, 2]), ValueError, r"0 feature\(s\)"),
        (np.empty((0, 2)), ValueError, r"0 sample\(s\)"),
        (np.empty((2, 0)), ValueError, r"0 feature\(s\)"),
        (np.ones(3), ValueError, "Expected 2D array"),
        (np.ones((2, 2, 2)), ValueError, "dim 3"),
        (np.ones((2, 2)) * 1j, ValueError, "Complex data not supported"),
        (pd.Series([1, 2]), ValueError, r"X.to_frame\(\)"),
    ],
)
def test_no_table(table, error, message):
    with pytest.raises(error, match=message):
        tables.as_table(table)


def test_a_dataframe_is_passed_through():
    table = pd.DataFrame({"a": [1, 2]})
    assert tables.as_table(table) is table


def test_the_columns_of_an_array_are_stored_by_their_values():
    array = np.array([[1, 0.5, "a", True, None], [2, np.nan, "b", False, None]], dtype=object)
    table = tables.as_table(array)
    assert table.columns.tolist() == [0, 1, 2, 3, 4]
    stored = [tables.storage(c, tables.missing_cells(c)) for _, c in table.items()]
    assert stored == ["integer", "float", "string", "boolean", "nothing"]
    assert tables.as_table(np.array([["a", "b"]])).to_numpy().tolist() == [["a", "b"]]
    assert tables.as_table([[1, 2], [3, 4]]).dtypes.tolist() == [np.int64] * 2
    assert tables.as_table(np.ones((2, 2), dtype=np.float32)).dtypes.tolist() == [np.float32] * 2


def test_labels():
    assert [tables.label(name) for name in ("a", 3, ("b", 1))] == ["'a'", "3", "('b', 1)"]
