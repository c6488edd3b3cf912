"""How cells are written: recognised, read, and written again."""

from datetime import datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skhvae.cli._declarations import Declaration
from skhvae.cli._notations import notation_of


def cells(values):
    return pd.Series(values, dtype=str)


@pytest.mark.parametrize(
    ("values", "kind", "dtype"),
    [
        (["1", "-20", "+3"], "Whole", "Int64"),
        (["1", "2.50", "-.5"], "Decimal", "float64"),
        (["1e-3", "2"], "Decimal", "float64"),
        (["9" * 25, "1"], "Decimal", "float64"),
        (["01067", "53111"], "Codes", "str"),
        (["01067", "Ulm"], "Text", "str"),
        (["2024-02-29", "1969-12-31"], "Dates", "datetime64[us]"),
        (["2024/02/29"], "Dates", "datetime64[us]"),
        (["2024-02-29 23:59", "1969-12-31 00:00"], "Dates", "datetime64[us]"),
        (["2024-02-29T23:59:01.25"], "Dates", "datetime64[us]"),
        (["2024-02-29 23:59:01+01:00"], "Instants", "datetime64[us, UTC]"),
        (["2024-02-29T23:59Z", "2024-02-29T23:59Z"], "Instants", "datetime64[us, UTC]"),
        (["2024-02-29 23:59+01:00", "2024-07-29 23:59+02:00"], "Instants", "datetime64[us, UTC]"),
        (["2024-02-29 23:59+01:00", "2024-02-29 23:59"], "Text", "str"),
        (["2024-02-30"], "Text", "str"),
        (["01.02.2024"], "Text", "str"),
        (["1", "inf"], "Text", "str"),
        (["TRUE", "FALSE"], "Text", "str"),
        (["a", "1"], "Text", "str"),
    ],
)
def test_recognised(values, kind, dtype):
    notation = notation_of(cells(values), None)
    assert type(notation).__name__ == kind
    assert notation.read(cells(values)).dtype == dtype


@pytest.mark.parametrize(
    ("observed", "values", "written"),
    [
        (["1", "2"], pd.Series([3, -4], dtype="Int64"), ["3", "-4"]),
        (["1.5", "2.25"], [1.23456, -0.001], ["1.23", "0.00"]),
        (["1.", "2."], [3.0, 4.0], ["3", "4"]),
        (["1e-9", "2.5"], [1.5e-9, 3.0], ["1.5e-09", "3.0"]),
        (["2024-02-29"], pd.to_datetime(["2020-01-02"]), ["2020-01-02"]),
        (["2024-02-29 23:59"], pd.to_datetime(["2020-01-02 03:04"]), ["2020-01-02 03:04"]),
        *(
            (
                [f"2024-02-29T23:59:00{observed}"],
                pd.to_datetime([f"2020-01-02T03:04:05.6789{z}"]),
                [f"2020-01-02T03:04:05{written}"],
            )
            for observed, z, written in [
                (".5", "", ".6"),
                (".000", "", ".678"),
                (".123456", "", ".678900"),
                (".000Z", "Z", ".678Z"),
                (".000000+00:00", "Z", ".678900+00:00"),
            ]
        ),
        *(
            (
                [f"2024-02-29 23:59{offset}" for offset in offsets],
                pd.to_datetime(["2020-01-02 03:04Z"]),
                [written],
            )
            for offsets, written in [
                (["+01:00"], "2020-01-02 04:04+01:00"),
                (["-0330", "-0330"], "2020-01-01 23:34-0330"),
                (["Z"], "2020-01-02 03:04Z"),
                (["+01:00", "+02:00"], "2020-01-02 03:04+00:00"),
                (["Z", "+0200"], "2020-01-02 03:04+0000"),
            ]
        ),
        (["S", "M"], ["M", "S"], ["M", "S"]),
    ],
)
def test_written_as_the_others_are(observed, values, written):
    notation = notation_of(cells(observed), None)
    notation.read(cells(observed))
    assert notation.write(pd.Series(values)).tolist() == written


def test_declared():
    size = notation_of(cells(["M", "S"]), Declaration("ordinal", levels=("S", "M", "L")))
    assert size.read(cells(["M", "S"])).dtype.categories.tolist() == ["S", "M", "L"]
    assert size.bad(cells(["M", "XL"])).tolist() == [False, True]
    day = notation_of(cells(["24.12.2024"]), Declaration("datetime", format="%d.%m.%Y"))
    assert day.read(cells(["24.12.2024"]))[0] == pd.Timestamp(2024, 12, 24)
    form = Declaration("datetime", format="%d.%m.%Y %H:%M %z")
    instant = notation_of(cells(["24.12.2024 18:00 +0100"]), form)
    found = instant.read(cells(["24.12.2024 18:00 +0100"]))
    assert found[0] == pd.Timestamp("2024-12-24 17:00Z")
    assert instant.write(found).tolist() == ["24.12.2024 18:00 +0100"]
    assert day.write(pd.Series(pd.to_datetime(["2024-12-31"]))).tolist() == ["31.12.2024"]
    code = notation_of(cells(["1", "2"]), Declaration("nominal"))
    assert code.read(cells(["1", "2"])).tolist() == ["1", "2"]
    number = notation_of(cells(["01", "2", "x"]), Declaration("real"))
    assert number.bad(cells(["01", "2", "x"])).tolist() == [False, False, True]
    mostly = notation_of(cells(["2024-02-29", "2024-02-28", "soon"]), Declaration("datetime"))
    assert mostly.bad(cells(["2024-02-29", "soon"])).tolist() == [False, True]


@settings(deadline=None)
@given(st.lists(st.integers(-(10**17), 10**17), min_size=1))
def test_integers_come_back(values):
    text = cells(map(str, values))
    notation = notation_of(text, None)
    assert notation.write(notation.read(text)).tolist() == text.tolist()


@given(st.lists(st.floats(-1e6, 1e6).filter(lambda v: v % 1), min_size=1))
def test_floats_come_back(values):
    text = cells(map(repr, values))
    notation = notation_of(text, None)
    found = pd.to_numeric(notation.write(notation.read(text)))
    np.testing.assert_allclose(found, values, rtol=1e-12)


@given(
    st.lists(
        st.datetimes(
            pd.Timestamp(1700, 1, 1),
            pd.Timestamp(2200, 1, 1),
            timezones=st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m))),
        ),
        min_size=1,
    ),
    st.sampled_from(["seconds", "milliseconds", "microseconds"]),
)
def test_instants_come_back(values, precision):
    text = cells(value.isoformat(timespec=precision) for value in values)
    notation = notation_of(text, None)
    written = notation.write(notation.read(text))
    assert written.str.len().tolist() == text.str.len().tolist()
    for before, after in zip(text, written, strict=True):
        assert datetime.fromisoformat(after) == datetime.fromisoformat(before)
    if text.str[-6:].nunique() == 1:
        assert written.tolist() == text.tolist()


@given(st.lists(st.datetimes(pd.Timestamp(1700, 1, 1), pd.Timestamp(2200, 1, 1)), min_size=1))
def test_dates_come_back(values):
    text = cells(value.strftime("%Y-%m-%d %H:%M:%S") for value in values)
    notation = notation_of(text, None)
    assert notation.write(notation.read(text)).tolist() == text.tolist()
