"""Tables of polars, of Arrow, and of whoever else can hand one over."""

import contextlib
import copy
import functools
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from column_cases import COLUMNS
from frame_cases import CASES, LEVELS, LIBRARIES, Arrow, Polars
from hypothesis import given, settings
from hypothesis import strategies as st
from light import light
from sklearn import config_context
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV
from test_encoding import fitted, random_estimates

from skhvae import table as tables
from skhvae.evaluation import hide_cells, imputation_errors

LEVELS_TYPE = pa.dictionary(pa.int8(), pa.string())


light = functools.partial(light, max_iter=2)


def imputed(X, seed=0, more_gaps=False, container="default"):
    """`X` with anything that a model could say in its missing cells, and which these are."""
    rng = np.random.default_rng(seed)
    table = tables.as_table(X)
    encoder, *_ = fitted(table)
    missing = encoder.missing(table)
    if more_gaps:
        missing |= rng.random(missing.shape) < 0.5
    estimates = random_estimates(encoder, len(table), rng)
    completed = encoder.decode(estimates, table, missing, keep_empty=True)
    kept = [*range(table.shape[1])]
    return tables.in_form_of(X, table, completed, missing, kept, container), missing


def assert_completed(library, before, after, missing):
    """Library and schema of `before`, its observed cells to the last bit, and no gaps."""
    assert isinstance(after, library.kind)
    assert library.schema(after) == library.schema(before)
    cells = zip(library.cells(before).values(), library.cells(after).values(), strict=True)
    for (old, new), gaps in zip(cells, missing.T, strict=True):
        known = [(repr(a), repr(b)) for a, b, gap in zip(old, new, gaps, strict=True) if not gap]
        assert [a for a, _ in known] == [b for _, b in known]
        assert None not in new


# Columns


@pytest.mark.parametrize("name", CASES)
def test_what_a_column_is_taken_for(name):
    case = CASES[name]
    schema = fitted(tables.as_table(case.table()))[0].schema
    assert (schema["x"].storage, schema["x"].type.name) == (case.storage, case.type)
    np.testing.assert_array_equal(
        fitted(tables.as_table(case.table()))[2][:, 0], [v is not None for v in case.values]
    )


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_column_comes_back(name):
    case = CASES[name]
    for seed, more_gaps in enumerate([False, True, True, True]):
        X = case.table()
        after, missing = imputed(X, seed, more_gaps)
        assert_completed(case.library, X, after, missing)
        assert case.library.cells(X) == case.library.cells(case.table())


@settings(max_examples=10, deadline=None)
@pytest.mark.parametrize("name", CASES)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_any_values_come_back(name, data, seed):
    case = CASES[name]
    values = data.draw(st.lists(st.none() | case.drawn, min_size=2, max_size=8))
    X = case.table(values)
    after, missing = imputed(X, seed)
    assert missing[:, 0].tolist() == [v is None or v != v for v in values]
    if not missing.all():
        assert_completed(case.library, X, after, missing)


@pytest.mark.parametrize("name", CASES)
def test_a_complete_column_is_passed_through(name):
    case = CASES[name]
    X = case.table([value for value in case.values if value is not None])
    after, missing = imputed(X)
    assert not missing.any()
    assert after.equals(X)


def test_zeros_keep_their_sign_and_nan_is_missing():
    for library, dtype in ((Polars, pl.Float64), (Arrow, pa.float64())):
        X = library.table(
            {"x": library.column([-0.0, 0.0, float("nan"), None, 1.5, 5e-324], dtype)}
        )
        after, missing = imputed(X)
        assert missing[:, 0].tolist() == [False, False, True, True, False, False]
        assert_completed(library, X, after, missing)


def test_chunks_with_other_dictionaries():
    one, other = (pa.array(v).dictionary_encode() for v in (["a", None, "b"], ["c", "a", None]))
    X = pa.table({"x": pa.chunked_array([one, other])})
    after, missing = imputed(X)
    assert_completed(Arrow, X, after, missing)


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([[1], [2]]),
        pl.Series([[1], [2]], dtype=pl.Array(pl.Int8, 1)),
        pl.Series([{"a": 1}, {"a": 2}]),
        pl.Series([{1}, {2}], dtype=pl.Object),
        pl.Series([1, 2]).cast(pl.Time),
        pa.array([1, 2], pa.time32("s")),
        pa.array([[1], [2]]),
        pa.array([{"a": 1}, {"a": 2}]),
        pa.array([b"ab", b"cd"], pa.binary(2)),
    ],
    ids=lambda column: str(getattr(column, "dtype", None) or column.type),
)
def test_columns_that_are_refused(column):
    make = pl.DataFrame if isinstance(column, pl.Series) else pa.table
    X = make({"a": [1, 2], "x": column})
    dtype = column.dtype if isinstance(column, pl.Series) else column.type
    with pytest.raises(TypeError, match=r"Column 'x': dtype .*Convert it to numbers") as error:
        light().fit(X)
    assert str(dtype) in str(error.value)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (pl.LazyFrame({"a": [1]}), TypeError, r"LazyFrame has no cells.*X.collect\(\)"),
        (pl.Series([1, 2]), ValueError, r"single column. Use X.to_frame\(\)"),
        (pa.chunked_array([[1, 2]]), ValueError, r"single column. Use pyarrow.table"),
        (pl.DataFrame({"a": []}), ValueError, r"0 sample\(s\)"),
        (pl.DataFrame(), ValueError, r"0 sample\(s\)"),
        (pa.table({"a": pa.chunked_array([], LEVELS_TYPE)}), ValueError, r"0 sample\(s\)"),
        (pa.table({"a": pa.array([], pa.int8())}), ValueError, r"0 sample\(s\)"),
        (
            pa.table([[1], [2]], names=["a", "a"]),
            ValueError,
            "names must be unique; rename.*\n.*'a'",
        ),
        (pl.DataFrame({"a": [1.0, float("inf"), 2]}), ValueError, "infinity: column 'a'"),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "__arrow_c_stream__") else "",
)
def test_tables_that_are_refused(X, error, message):
    with pytest.raises(error, match=message):
        light().fit(X)


# The whole estimator


def wide(library, n_rows=40, seed=0, names=None):
    """A table of every kind of column."""
    rng = np.random.default_rng(seed)
    own = {name: case for name, case in CASES.items() if case.library is library}
    columns = {
        name: library.column([case.values[i] for i in rng.integers(0, 8, n_rows)], case.dtype)
        for name, case in own.items()
        if names is None or name.split(" of ")[0] in names
    }
    return library.table(columns)


@pytest.mark.parametrize("library", LIBRARIES.values(), ids=LIBRARIES)
def test_a_table_comes_back_complete(library):
    X = wide(library)
    cells = library.cells(X)
    imputer = light(add_indicator=True).fit(X)
    completed = imputer.transform(X)
    missing = np.transpose([[c is None for c in column] for column in cells.values()])
    names = list(cells)
    assert_completed(library, X, completed.select(names), missing)
    assert library.cells(X) == cells
    assert list(imputer.feature_names_in_) == names
    assert list(imputer.feature_types_.values()) == [CASES[name].type for name in names]
    flags = [f"missingindicator_{name}" for name in names if None in cells[name]]
    assert list(library.cells(completed)) == names + flags == list(imputer.get_feature_names_out())
    assert library.cells(completed)[flags[0]] == [c is None for c in cells[flags[0][17:]]]
    again = light(add_indicator=True).fit_transform(X)
    assert again.equals(completed)


def twin(library):
    """The same rows as a table of pandas and of another library."""
    rng = np.random.default_rng(0)
    rows = [None if gap else i for i, gap in zip(range(60), rng.random(60) < 0.2, strict=True)]

    def every(values, step=1):
        shifted = rows[step:] + rows[:step]
        return [None if i is None else values[i % len(values)] for i in shifted]

    x = rng.normal(size=60).tolist()
    days = [d for d in CASES["Date of polars"].values if d is not None]
    times = [t for t in CASES["Datetime[us] of polars"].values if t is not None]
    towns = every(["Ulm", "Rom", "Kiel"], 4)
    data = {
        "real": (every(x), "float64", pl.Float64, pa.float64()),
        "count": (every([3, 0, 7, 12]), "Int64", pl.Int64, pa.int64()),
        "flag": (every([True, False, True], 2), "boolean", pl.Boolean, pa.bool_()),
        "word": (every(["b", "a", "c"], 3), "str", pl.String, pa.string()),
        "town": (
            towns,
            pd.CategoricalDtype(pd.Series(towns).dropna().unique()),  # as they appear
            pl.Categorical(),
            pa.dictionary(pa.int32(), pa.string()),
        ),
        "size": (
            every(LEVELS, 5),
            pd.CategoricalDtype(LEVELS, ordered=True),
            pl.Enum(LEVELS),
            pa.dictionary(pa.int32(), pa.string(), True),
        ),
        "day": (every(days, 6), object, pl.Date, pa.date32()),
        "time": (every(times, 7), "datetime64[us]", pl.Datetime("us"), pa.timestamp("us")),
    }
    if library is pd:
        return pd.DataFrame({name: pd.Series(v, dtype=d) for name, (v, d, *_) in data.items()})
    i = 2 if library is Polars else 3
    return library.table({name: library.column(row[0], row[i]) for name, row in data.items()})


KINDS = {"pandas": pd, **LIBRARIES}
PAIRS = [(one, other) for one in KINDS for other in KINDS if one != other]


def cells_of(table):
    """Comparable cells of a table of any library."""
    if isinstance(table, pd.DataFrame):
        return {
            name: (c.astype("int64") if c.dtype.kind == "M" else c).tolist()
            for name, c in table.items()
        }
    return (Polars if isinstance(table, pl.DataFrame) else Arrow).cells(table)


@pytest.fixture(scope="module")
def by_library():
    return {name: light().fit(twin(library)) for name, library in KINDS.items()}


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_fitted_on_one_library_completes_another(by_library, one, other):
    X = twin(KINDS[other])
    completed = by_library[one].transform(X)
    expected = by_library[other].transform(X)
    assert type(completed) is type(X)
    assert cells_of(completed) == cells_of(expected)
    assert completed.equals(expected)
    if other != "pandas":
        assert KINDS[other].schema(completed) == KINDS[other].schema(X)
    np.testing.assert_array_equal(by_library[one].encode(X), by_library[other].encode(X))


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_columns_have_names_in_every_library(by_library, one, other):
    X = twin(KINDS[other])
    names = list(cells_of(X))
    pick = X.select if other != "pandas" else lambda some: X[some]
    for some in (names[::-1], names[:-1]):
        with pytest.raises(ValueError, match=r"[Ff]eature names"):
            by_library[one].transform(pick(some))


@pytest.mark.parametrize("library", LIBRARIES)
def test_columns_without_an_observed_cell_take_the_dtype_of_fit(by_library, library):
    kind, X = LIBRARIES[library], twin(LIBRARIES[library])
    null = pl.Null if library == "polars" else pa.null()
    bare = kind.table({name: kind.column([None] * 60, null) for name in cells_of(X)})
    completed = by_library[library].transform(bare)
    as_in_fit = kind.schema(by_library[library].transform(X))
    if library == "polars":
        assert kind.schema(completed) == as_in_fit
    else:  # pandas does not tell apart Arrow's kinds of strings, nor widths of codes
        loose = {f.name: f.type for f in kind.schema(completed)}
        assert pa.types.is_large_string(loose.pop("word"))
        assert loose.pop("town").value_type == pa.large_string()
        assert loose.pop("size").ordered
        assert loose == {name: as_in_fit.field(name).type for name in loose}
    assert not any(None in column for column in kind.cells(completed).values())
    if library == "polars":
        empty = X.clear(60)
    else:
        empty = pa.table([pa.nulls(60, dtype) for dtype in X.schema.types], schema=X.schema)
    assert kind.schema(by_library[library].transform(empty)) == kind.schema(empty)


@pytest.mark.parametrize(
    ("bare", "fitted_as", "expected"),
    [
        (pl.Date, pl.Int64, pl.Int64),
        (pl.Date, pl.Date, pl.Date),
        (pl.Date, pl.Datetime("us"), pl.Date),
        (pl.Decimal(10, 2), pl.Date, pl.Date),
        (pl.Decimal(10, 2), pl.Float64, pl.Decimal(10, 2)),
        (pl.Decimal(10, 2), pl.Int64, pl.Decimal(10, 2)),
        (pl.Binary, pl.Int64, pl.Int64),
        (getattr(pl, "Int128", pl.Int64), pl.Date, pl.Date),
        (pl.Null, pl.Binary, pl.Binary),
        (pl.String, pl.Enum(["a", "b", "c"]), pl.Enum(["a", "b", "c"])),
        (pl.Enum(["a", "b", "c"]), pl.String, pl.String),
        (pl.Int8, pl.Float64, pl.Int8),
        (pl.Float32, pl.Boolean, pl.Boolean),
    ],
    ids=str,
)
def test_a_column_without_an_observed_cell_is_what_fit_says(bare, fitted_as, expected):
    numbers = pl.Series([1, 2, None, 3, 1, 2])
    text = fitted_as in (pl.String, pl.Binary) or isinstance(fitted_as, pl.Enum)
    cells = pl.Series(["a", "b", None, "c", "a", "b"]) if text else numbers
    X = pl.DataFrame({"x": cells.cast(fitted_as), "y": numbers.reverse()})
    empty = X.with_columns(pl.lit(None, dtype=bare).alias("x"))
    completed = light().fit(X).transform(empty)["x"]
    assert completed.dtype == expected
    assert completed.null_count() == 0
    if expected.is_integer() or text:
        assert set(completed.cast(fitted_as)) <= set(X["x"])


@pytest.mark.parametrize("fitted_on", KINDS)
def test_an_enum_takes_the_levels_that_it_lacks(by_library, fitted_on):
    X = twin(Polars)[:5].with_columns(
        pl.Series("size", ["Rom", None, "", "Rom", None], pl.Enum(["Rom", ""]))
    )
    completed = by_library[fitted_on].transform(X)["size"]
    used = [level for level in LEVELS if level in {"Rom", "", *completed}]
    assert completed.dtype == pl.Enum(used)
    assert completed.to_list()[::3] == ["Rom", "Rom"]
    assert completed.null_count() == 0


def test_an_ordered_dictionary_takes_the_levels_that_it_lacks(by_library):
    kind = pa.dictionary(pa.int8(), pa.string(), True)
    gaps = pa.DictionaryArray.from_arrays(
        pa.array([0, None, 1, 0, None], pa.int8()), ["Rom", ""], ordered=True
    )
    X = twin(Arrow)[:5]
    X = X.set_column(
        X.column_names.index("size"), pa.field("size", kind, metadata={"levels": "Rom"}), gaps
    )
    completed = by_library["pandas"].transform(X)
    assert completed.schema.field("size").equals(pa.field("size", kind), check_metadata=True)
    levels = completed["size"].combine_chunks().dictionary.to_pylist()
    assert levels == [level for level in LEVELS if level in levels]
    assert completed["size"].to_pylist()[::3] == ["Rom", "Rom"]
    assert completed["size"].null_count == 0


def test_arrow_keeps_what_the_schema_says():
    field = pa.field("x", pa.float64(), nullable=False, metadata={"unit": "m"})
    schema = pa.schema([field, pa.field("y", pa.int8())], metadata={"source": "here"})
    X = pa.table({"x": [0.5, float("nan"), 2.25, 3.0], "y": [1, None, 5, 6]}, schema=schema)
    assert light().fit_transform(X).schema.equals(schema, check_metadata=True)
    gaps, hidden = hide_cells(X, 0.9, random_state=0)
    assert hidden[:, 0].any()
    assert gaps.schema.field("x").nullable
    assert gaps.schema.field("x").metadata == {b"unit": b"m"}


def test_other_names_may_follow_a_fit_to_an_array():
    X = twin(Polars).select("real", "count").cast(pl.Float64)
    imputer = light().fit(X.to_numpy())
    with pytest.warns(UserWarning, match="has feature names"):
        assert imputer.transform(X).columns == ["x0", "x1"]


# Containers


def inputs():
    pandas = twin(pd)[["real", "count", "word", "size", "time"]]
    names = list(pandas)
    return {
        "pandas": pandas,
        "polars": twin(Polars).select(names),
        "arrow": twin(Arrow).select(names),
        "array": pandas.astype(object).where(pandas.notna(), None).to_numpy(),
    }


@pytest.mark.filterwarnings("ignore:Column 3. holds numbers as text")
@pytest.mark.parametrize("add_indicator", [False, True])
@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("given", ["pandas", "polars", "arrow", "array"])
def test_set_output(given, everywhere, add_indicator):
    X = inputs()[given]
    imputer = light(add_indicator=add_indicator).fit(X)
    default = imputer.transform(X)
    assert type(default) is type(X)
    names = list(imputer.get_feature_names_out())
    outputs = {}
    for asked in ("default", "pandas", "polars"):
        context = config_context(transform_output=asked) if everywhere else contextlib.nullcontext()
        with context:
            own = copy.deepcopy(imputer)
            outputs[asked] = (own if everywhere else own.set_output(transform=asked)).transform(X)
    assert type(outputs["default"]) is type(X)
    assert isinstance(outputs["pandas"], pd.DataFrame)
    assert isinstance(outputs["polars"], pl.DataFrame)
    assert list(outputs["pandas"]) == outputs["polars"].columns == names
    assert cells_of(outputs["pandas"]) == cells_of(outputs["polars"])
    dtypes = outputs["polars"].dtypes
    array = given == "array"  # which has neither integers with gaps nor levels
    known = [pl.Float64, pl.Float64 if array else pl.Int64, pl.String]
    assert dtypes[:5] == [*known, pl.String if array else pl.Enum(LEVELS), pl.Datetime("us")]
    assert set(dtypes[5:]) == ({pl.Boolean} if add_indicator else set())
    kinds = "".join(dtype.kind for dtype in outputs["pandas"].dtypes)
    assert kinds == ("ffOOM" if array else "fiOOM") + "b" * len(dtypes[5:])


@pytest.mark.parametrize("name", COLUMNS)
def test_polars_output_of_every_kind_of_pandas_column(name):
    X = COLUMNS[name].column.to_frame()
    completed, expected = (imputed(X, container=c)[0] for c in ("polars", "pandas"))
    assert isinstance(completed, pl.DataFrame)
    column, expected = completed.to_series(), expected["x"]
    assert column.null_count() == 0
    if COLUMNS[name].type == "datetime":
        none = np.zeros(len(X), dtype=bool)
        found = tables.numbers(tables.as_table(completed)["x0"], none)
        np.testing.assert_array_equal(found, tables.numbers(expected, none))
        zone = getattr(expected.dtype, "tz", None) or getattr(expected.iloc[0], "tzinfo", None)
        assert getattr(column.dtype, "time_zone", None) == (zone and str(zone))
    else:
        assert column.to_list() == expected.tolist()
    if COLUMNS[name].storage == "ordered category" and column.dtype == pl.Enum:
        assert column.dtype.categories.to_list() == expected.cat.categories.tolist()
    if "of integers" in name:
        assert column.dtype == pl.Int64
    no_dtype = {"objects: mixed", "objects: tuple", "ordered category of intervals"}
    assert (column.dtype == pl.Object) == (name in no_dtype)


# Whoever else can hand over a table


class Stream:
    """The least that the Arrow PyCapsule interface asks for."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


class Interchange:
    """The least that the DataFrame interchange protocol asks for."""

    def __init__(self, table):
        self.table = table

    def __dataframe__(self, nan_as_null=False, allow_copy=True):
        return self.table.__dataframe__(nan_as_null, allow_copy)


@pytest.mark.parametrize(
    "offer",
    [Stream, Interchange, lambda X: X.combine_chunks().to_batches()[0], pa.Table.to_reader],
    ids=["stream", "interchange", "batch", "reader"],
)
def test_tables_that_others_hand_over(by_library, offer):
    X = twin(Arrow).select(["real", "count", "word", "town"])
    imputer = light().fit(offer(X))
    assert list(imputer.feature_names_in_) == X.column_names
    completed = imputer.transform(offer(X))
    assert isinstance(completed, pd.DataFrame)
    assert cells_of(completed) == cells_of(light().fit_transform(X))
    assert isinstance(imputer.score(offer(X), offer(twin(Arrow).select(X.column_names))), float)
    gaps, hidden = hide_cells(offer(X), random_state=0)
    assert isinstance(gaps, pd.DataFrame)
    np.testing.assert_array_equal(gaps.isna() & X.to_pandas().notna(), hidden)


def test_what_can_be_read_once_is_read_once():
    reader = twin(Arrow).to_reader()
    light(max_iter=1).fit(reader)
    with pytest.raises(ValueError, match=r"0 sample\(s\).*RecordBatchReader.*X.read_all\(\)"):
        light(max_iter=1).fit(reader)


def run_without(library, code):
    """In an interpreter that cannot import `library`."""
    start = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {library!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
"""
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", start + code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


LIGHT = (
    "from skhvae import HeterogeneousVAEImputer\n"
    "imputer = HeterogeneousVAEImputer(max_iter=1, latent_dim=4, hidden_layer_sizes=(8,), n_members=1,"
    " random_state=0, device='cpu')\n"
)


def test_polars_without_pyarrow():
    code = (
        "import polars as pl\n"
        "X = pl.DataFrame({'a': [1, None, 3, 4], 'b': ['x', 'y', None, 'z'], 'c': [1.5, None, 2.5, 3],"
        " 'd': pl.Series(['u', 'v', None, 'w'], dtype=pl.Enum(['w', 'v', 'u'])),"
        " 'e': [True, None, False, True], 'f': pl.Series([1, None, 2, 3]).cast(pl.Datetime('ms', 'UTC')),"
        " 'g': pl.Series([1, None, 2, 3]).cast(pl.Date), 'h': pl.Series([1, None, 2, 3]).cast(pl.Decimal(9, 2))})\n"
        f"{LIGHT}"
        "out = imputer.fit_transform(X)\n"
        "assert out.schema == X.schema and not sum(out.null_count().row(0)), out\n"
        "pandas = imputer.set_output(transform='pandas').transform(X)\n"
        "again = imputer.set_output(transform='polars').transform(pandas)\n"
        "assert again.drop('h').equals(out.drop('h')), again\n"
        "print('done')"
    )
    assert run_without("pyarrow", code) == "done\n"


def test_other_tables_without_pyarrow():
    code = (
        "class Table:\n"
        "    def __arrow_c_stream__(self, requested_schema=None): ...\n"
        f"{LIGHT}"
        "try: imputer.fit(Table())\n"
        "except ImportError as error: print(error)"
    )
    message = run_without("pyarrow", code)
    assert "It takes pyarrow to read a __main__.Table. Install it, or convert" in message


def test_arrow_without_polars():
    code = (
        "import pyarrow as pa\n"
        "X = pa.table({'a': [1, None, 3, 4], 'b': ['x', 'y', None, 'z'], 'c': [1.5, None, 2.5, 3]})\n"
        f"{LIGHT}"
        "out = imputer.fit_transform(X)\n"
        "assert out.schema == X.schema and not any(c.null_count for c in out.columns)\n"
        "try: imputer.set_output(transform='polars').transform(X)\n"
        "except ImportError as error: print(error)"
    )
    assert "polars" in run_without("polars", code)


# Everything else that takes a table


@pytest.mark.parametrize("library", LIBRARIES)
def test_scores_and_errors(by_library, library):
    kind = LIBRARIES[library]
    X = twin(kind)
    complete = by_library[library].transform(X)
    gaps, hidden = hide_cells(complete, random_state=0)
    assert isinstance(gaps, kind.kind)
    assert kind.schema(gaps) == kind.schema(X)
    found = [[c is None for c in column] for column in kind.cells(gaps).values()]
    np.testing.assert_array_equal(np.transpose(found), hidden)
    pandas = twin(pd)
    in_pandas = by_library["pandas"].transform(pandas)
    imputed_gaps = by_library[library].transform(gaps)
    errors = by_library[library].score_features(gaps, complete)
    pd.testing.assert_frame_equal(errors, imputation_errors(complete, imputed_gaps, hidden))
    pd.testing.assert_frame_equal(errors, by_library["pandas"].score_features(gaps, in_pandas))
    labelled = in_pandas.set_axis([f"row {i}" for i in range(60)])
    pd.testing.assert_frame_equal(errors, imputation_errors(labelled, imputed_gaps, hidden))
    assert by_library[library].score(X) == by_library["pandas"].score(pandas)
    assert by_library[library].score(X, X[next(iter(cells_of(X)))]) == by_library[library].score(X)
    with pytest.raises(ValueError, match=r"complete table of X's shape \(60, 8\)"):
        by_library[library].score(X, complete[:10])
    other = (
        complete.rename({"real": "unreal"})
        if library == "polars"
        else complete.rename_columns({"real": "unreal"})
    )
    with pytest.raises(ValueError, match=r"columns of X_true.*'unreal' instead of 'real'"):
        imputation_errors(complete, other, hidden)


@pytest.mark.parametrize("mechanism", ["mcar", "mar", "mnar"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_the_same_cells_are_hidden_in_every_library(by_library, library, mechanism):
    complete, same = (by_library[name].transform(twin(KINDS[name])) for name in (library, "pandas"))
    hidden = [hide_cells(X, 0.3, mechanism, random_state=0)[1] for X in (complete, same)]
    np.testing.assert_array_equal(*hidden)
    assert hidden[0].any()


@pytest.mark.parametrize("library", LIBRARIES)
def test_cells_of_every_kind_of_column_can_be_hidden(library):
    kind = LIBRARIES[library]
    X = wide(kind)
    gaps, hidden = hide_cells(X, 0.5, random_state=0)
    assert kind.schema(gaps) == kind.schema(X)
    for before, after, gone in zip(
        kind.cells(X).values(), kind.cells(gaps).values(), hidden.T, strict=True
    ):
        assert repr(after) == repr([None if g else b for b, g in zip(before, gone, strict=True)])


@pytest.mark.parametrize("library", LIBRARIES)
def test_parameters(library):
    kind = LIBRARIES[library]
    double, whole, text, null = {
        "polars": (pl.Float64, pl.Int8, pl.String, pl.Null),
        "arrow": (pa.float64(), pa.int8(), pa.string(), pa.null()),
    }[library]
    X = kind.table(
        {
            "a": kind.column([1.5, -1, None, 2, 3.5, 9], double),
            "b": kind.column([1, 2, -1, 3, 3, 2], whole),
            "c": kind.column(["x", "y", "z", None, "x", "y"], text),
            "never": kind.column([-1, -1, None, -1, -1, -1], double),
            "nothing": kind.column([None] * 6, text),
            "null": kind.column([None] * 6, null),
        }
    )
    message = r"without any observed values: \['never', 'nothing', 'null'\]"
    with pytest.warns(UserWarning, match=message):
        imputer = light(
            missing_values=-1,
            feature_types={"b": "ordinal"},
            likelihoods={"a": "student-t"},
            keep_empty_features=True,
        ).fit(X)
    completed = imputer.transform(X)
    assert kind.schema(completed) == kind.schema(X)
    cells = kind.cells(completed)
    assert cells["never"] == [0.0] * 6
    assert cells["nothing"] == cells["null"] == [None] * 6
    assert not {None, -1} & {*cells["a"], *cells["b"], *cells["c"]}
    assert imputer.feature_types_["b"] == "ordinal"
    dropped = imputer.set_params(keep_empty_features=False).transform(X)
    assert list(kind.cells(dropped)) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="feature_types names column 'd'"):
        light(feature_types={"d": "real"}).fit(X)


def test_indicators_that_share_a_name_with_a_column():
    X = pl.DataFrame({"a": [1.5, None, 2.5], "missingindicator_a": [1.5, 2.5, 3.5]})
    imputer = light(add_indicator=True).fit(X)
    with pytest.raises(ValueError, match=r"must be unique, found \['missingindicator_a'\]"):
        imputer.transform(X)


def test_with_other_parts_of_scikit_learn():
    X = twin(Polars)
    transformer = ColumnTransformer(
        [("impute", light(), ["real", "size"]), ("keep", "passthrough", ["count"])],
        verbose_feature_names_out=False,
    ).set_output(transform="polars")
    completed = transformer.fit_transform(X)
    assert completed.schema == X.select("real", "size", "count").schema
    assert completed["real", "size"].equals(light().fit_transform(X["real", "size"]))
    search = GridSearchCV(light(max_iter=1), {"beta": [0.1, 1.0]}, cv=2, error_score="raise").fit(X)
    assert (search.cv_results_["mean_test_score"] < 0).all()
    assert search.transform(X).schema == X.schema
