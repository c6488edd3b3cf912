"""CSV files: every observed cell is written as it was read, and what is no table is refused by line and column."""

import csv
import io

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skhvae.cli._csv import read_csv
from skhvae.cli._declarations import Declaration
from skhvae.cli._problems import Problem


def opened(path, text, declared=None, ignored=(), encoding="utf-8", **options):
    path.write_bytes(text.encode(encoding))
    return read_csv(path, lambda columns: declared or {}, set(ignored), **options)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data.csv"


def test_what_the_text_says(path):
    table = opened(path, 'age,city,"a, b"\n31,Ulm,2024-01-01\n,NA,"2024-02-01"\n 28, Bonn,\n')
    assert table.columns == ["age", "city", "a, b"]
    expected = pd.DataFrame(
        {
            "age": pd.array([31, None, 28], dtype="Int64"),
            "city": ["Ulm", None, "Bonn"],
            "a, b": pd.to_datetime(["2024-01-01", "2024-02-01", None]).astype("datetime64[us]"),
        }
    )
    pd.testing.assert_frame_equal(table.data, expected)


def test_only_missing_cells_are_written(path):
    text = 'age,x,city\n007,1.50,Ulm\n,,"say ""x"", twice"\n012,2.5,\n'
    table = opened(path, text)
    completed = table.data.ffill()
    completed.loc[1, "x"] = 1.23456
    found = table.csv(completed, ",").decode()
    assert (
        found
        == 'age,x,city\n007,1.50,Ulm\n007,1.23,"say ""x"", twice"\n012,2.5,"say ""x"", twice"\n'
    )


def test_dates_with_an_offset(path):
    text = "winter,year\n2024-01-05 10:00:00+01:00,2024-01-05T10:00Z\n,\n2024-01-06  9:30:00+01:00,2024-07-05T09:00+02:00\n"
    table = opened(path, text)
    dtype = pd.DatetimeTZDtype("us", "UTC")
    assert table.data.dtypes.tolist() == [dtype, dtype]
    filled = table.data.ffill() + pd.Timedelta(hours=1)
    found = table.csv(filled, ",").decode()
    assert found == text.replace("\n,\n", "\n2024-01-05 11:00:00+01:00,2024-01-05T11:00+00:00\n")
    assert table.arrow(filled).schema.field("winter").type.tz == "UTC"


def test_ignored_and_nameless_columns_stay(path):
    table = opened(path, ",id,age\n0,0815,31\n1,,\n2,4711,28\n", ignored=["id"])
    assert table.data.columns.tolist() == ["age"]
    found = table.csv(table.data.ffill(), ";").decode()
    assert found == ";id;age\n0;0815;31\n1;;31\n2;4711;28\n"
    arrow = table.arrow(table.data.ffill())
    assert arrow.column_names == ["", "id", "age"]
    assert arrow["age"].to_pylist() == [31, 31, 28]


def test_marks_of_missing_cells(path):
    table = opened(path, "a,b\n1,?\n-9,2\n3,4\n", missing=("?", "-9"))
    assert table.data.isna().to_numpy().tolist() == [[False, True], [True, False], [False, False]]


def test_one_column_whose_missing_cell_is_an_empty_line(path):
    assert opened(path, "a\n1\n\n3\n").data["a"].isna().tolist() == [False, True, False]


def test_blank_lines_are_no_rows(path):
    table = opened(path, "a,b\n\n1,2\n\n3,4\n")
    assert len(table.data) == 2
    with pytest.raises(Problem, match="line 6"):
        opened(path, "a,b\n\n1,2\n\n3,4\nx,5\n", {"a": Declaration("real")})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a line of column names, found an empty file"),
        ("a,b\n", "expected rows below the column names"),
        ("a,b,a\n1,2,3\n", "line 1: column 'a' stands there more than once"),
        ("a,b\n1,2\n3\n", "line 3: expected 2 cells as in line 1, found 1"),
        ("a,b\n1,2\n3,4,5\n", "line 3: expected 2 cells as in line 1, found 3"),
        ('a,b\n1,"x\ny"\n3\n', "line 4: expected 2 cells"),
    ],
)
def test_what_is_no_table(path, text, message):
    with pytest.raises(Problem, match=message):
        opened(path, text)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (Declaration("real"), "line 4, column 'a': expected a number, found 'old'. Mend it"),
        (Declaration("datetime"), "line 2, column 'a': expected a date written as .* 3 more"),
        (
            Declaration("ordinal", levels=("1", "-2.5", "7")),
            "line 4, .* one of the levels 1, -2.5, 7",
        ),
    ],
)
def test_cells_that_are_not_what_was_declared(path, declared, message):
    with pytest.raises(Problem, match=message):
        opened(path, 'a,b\n1,"x\ny"\nold,z\n7,z\n-2.5,z\n', {"a": declared})


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("count", "line 3, column 'a': expected a whole number, 0 or more, found '2.5' and 1 more"),
        ("positive", "line 4, column 'a': expected a number, 0 or more, found '-3'"),
    ],
)
def test_numbers_out_of_range(path, kind, message):
    with pytest.raises(Problem, match=message):
        opened(path, "a\n1\n2.5\n-3\n", {"a": Declaration(kind)})


def test_a_number_with_a_slip(path):
    lines = "".join(f"{i},x\n" for i in range(20))
    with pytest.warns(
        UserWarning, match="line 22, column 'a': found '1O', where other cells hold numbers"
    ):
        table = opened(path, "a,b\n" + lines + "1O,x\n")
    assert table.data["a"].dtype == "str"


def test_other_encodings(path):
    with pytest.raises(Problem, match="encoding latin-1"):
        opened(path, "a,b\nKöln,1\n", encoding="latin-1")
    table = read_csv(path, lambda columns: {}, set(), encoding="latin-1")
    assert table.data["a"].tolist() == ["Köln"]
    with pytest.raises(Problem, match="unknown encoding"):
        read_csv(path, lambda columns: {}, set(), encoding="klingon")
    path.write_bytes("a,b\n1,2\n".encode("utf-8-sig"))
    assert read_csv(path, lambda columns: {}, set()).columns == ["a", "b"]


def test_a_file_that_is_not_there(path):
    with pytest.raises(Problem, match="No such file"):
        read_csv(path, lambda columns: {}, set())


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=5)
CELLS = st.one_of(
    TEXTS.map(str.strip),
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(str),
    st.dates().map(str),
    st.datetimes().map(lambda date: f"{date}+01:00"),
    st.sampled_from(["", "NA", "01", "1e5", 'a"b', "x,y", "x\ny"]),
)


@settings(deadline=None)
@given(
    names=st.lists(
        TEXTS.filter(lambda name: name.strip() == name != ""), min_size=2, max_size=4, unique=True
    ),
    data=st.data(),
)
def test_observed_cells_are_never_changed(tmp_path_factory, names, data):
    rows = data.draw(
        st.lists(st.lists(CELLS, min_size=len(names), max_size=len(names)), min_size=1)
    )
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([names, *rows])
    path = tmp_path_factory.mktemp("csv") / "data.csv"
    path.write_text(buffer.getvalue(), encoding="utf-8", newline="")
    table = read_csv(path, lambda columns: {}, set())
    filled = table.data.ffill().bfill()
    filled = filled[[name for name in filled if filled[name].notna().all()]]
    found = list(csv.reader(io.StringIO(table.csv(filled, ",").decode(), newline="")))
    assert found[0] == names
    for i, (before, after) in enumerate(zip(rows, found[1:], strict=True)):
        for name, old, new in zip(names, before, after, strict=True):
            if not pd.isna(table.data[name][i]):
                assert new == old
            elif name in filled:
                assert new
