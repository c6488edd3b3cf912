"""Table <-> tensors: what is observed comes back bit for bit, what is imputed is admissible."""

import datetime
import decimal
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from column_cases import COLUMNS
from hypothesis import given, settings
from hypothesis import strategies as st

from skhvae import table as tables
from skhvae.assignment import assign_likelihoods
from skhvae.codecs import NumericCodec
from skhvae.encoding import TableEncoder
from skhvae.likelihoods import LIKELIHOODS, Normal
from skhvae.schema import infer_schema


def fitted(
    table, *, feature_types="infer", likelihoods=None, missing_values=np.nan, unknown="missing"
):
    """An encoder of `table`, with its values and which of them are observed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        schema = infer_schema(table, feature_types, missing_values)
    families = assign_likelihoods(schema, likelihoods)
    encoder = TableEncoder(schema, families, missing_values, unknown)
    values, observed = encoder.fit_encode(table)
    encoder.prepare(values, observed)
    return encoder, values, observed


def random_estimates(encoder, n_rows, rng):
    """Anything that a model could say: wild numbers, any level."""
    n_levels = encoder.n_levels().numpy()
    numbers = rng.normal(size=(n_rows, len(n_levels))) * 10.0 ** rng.integers(-3, 12)
    return np.where(
        n_levels > 0, rng.integers(0, 2**31, numbers.shape) % np.maximum(n_levels, 1), numbers
    )


def bits(column):
    """The stored value of every cell, such that -0.0 differs from 0.0."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind == "f":
        return column.to_numpy().view(f"i{column.dtype.itemsize}").tolist()
    return [(type(cell), repr(cell)) for cell in column]


def assert_admissible(completed, table, missing, schema):
    """Dtypes, names and index of `table`, its observed cells, and values that may stand there."""
    assert completed.columns.equals(table.columns)
    assert completed.index.equals(table.index)
    assert completed.index.names == table.index.names
    assert completed.dtypes.tolist() == table.dtypes.tolist()
    for i, feature in enumerate(schema):
        before, after, gaps = table.iloc[:, i], completed.iloc[:, i], missing[:, i]
        assert bits(before[~gaps]) == bits(after[~gaps])
        assert not tables.missing_cells(after).any()
        if feature.levels is not None:
            assert set(after[gaps].tolist()) <= set(pd.Series(feature.levels).tolist())
            continue
        none = np.zeros(len(table), dtype=bool)
        low, high = tables.bounds(after, none)
        assert feature.low <= low <= high <= feature.high
        if feature.storage == "integer" and before.dtype == object:
            assert all(isinstance(cell, int) for cell in after)


@pytest.mark.parametrize("name", COLUMNS)
def test_every_kind_of_column_comes_back(name):
    case, rng = COLUMNS[name], np.random.default_rng(0)
    table = case.column.to_frame()
    encoder, values, observed = fitted(table)
    missing = encoder.missing(table)
    np.testing.assert_array_equal(observed.numpy(), ~missing)
    assert values.isfinite().all()
    completed = encoder.decode(values.numpy().astype(float), table, missing, False)
    assert_admissible(completed, table, missing, encoder.schema)
    for _ in range(5):
        hidden = missing | (rng.random(missing.shape) < 0.5)
        estimates = random_estimates(encoder, len(table), rng)
        completed = encoder.decode(estimates, table, hidden, False)
        assert_admissible(completed, table, hidden, encoder.schema)
        if case.like is not None:
            assert {type(cell) for cell in completed["x"]} == {case.like}


@pytest.mark.parametrize("name", [n for n, case in COLUMNS.items() if case.storage != "mixed"])
def test_the_code_of_a_cell_says_what_it_is(name):
    """Hidden cells come back as they were if the model knows them perfectly."""
    table = COLUMNS[name].column.dropna().to_frame()
    encoder, values, _ = fitted(table)
    completed = encoder.decode(
        values.numpy().astype(float), table, np.ones(table.shape, dtype=bool), False
    )
    feature = encoder.features[0]
    if feature.type.finite or feature.step == 1 or feature.step >= 10**9:
        pd.testing.assert_frame_equal(completed, table, check_exact=True)
    else:  # float32 tells only so many values apart
        found, truth = (
            tables.numbers(t["x"], np.zeros(len(t), dtype=bool)) for t in (completed, table)
        )
        np.testing.assert_allclose(found, truth, rtol=0, atol=1e-6 * (feature.high - feature.low))


# Random tables

SIZES = st.integers(4, 12)
DTYPES = {
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "int8": st.integers(-128, 127),
    "Int64": st.integers(-(2**63), 2**63 - 1),
    "UInt16": st.integers(0, 2**16 - 1),
    "int32[pyarrow]": st.integers(-100, 100),
    "float64": st.floats(allow_nan=False, allow_infinity=False),
    "float32": st.floats(allow_nan=False, allow_infinity=False, width=32),
    "Float64": st.floats(-1e6, 1e6),
    "double[pyarrow]": st.floats(-1, 1),
    "boolean": st.booleans(),
    "bool": st.booleans(),
    "str": st.text(max_size=3),
    "string[pyarrow]": st.text("ab", max_size=2),
    "category": st.sampled_from(["x", "y", "z", ""]),
    "datetime64[ns]": st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1)),
    "datetime64[s, America/New_York]": st.datetimes(
        datetime.datetime(1700, 1, 1),
        datetime.datetime(2200, 1, 1),
        timezones=st.just(datetime.UTC),
    ),
    "date32[pyarrow]": st.dates(),
    "timedelta64[us]": st.timedeltas(datetime.timedelta(-(10**6)), datetime.timedelta(10**6)),
    "object": st.one_of(
        st.none(),
        st.integers(-(10**20), 10**20),
        st.text(max_size=2),
        st.booleans(),
        st.binary(max_size=2),
    ),
    "object: dates": st.dates(),
    "object: datetimes": st.datetimes(),
    "object: integers": st.integers(-(10**25), 10**25),
    "object: decimals": st.decimals(-1000, 1000, places=3),
}
HOLDS_NO_GAP = {"int64", "uint64", "int8", "bool"}
COLUMN_NAMES = st.one_of(
    st.text(max_size=3), st.integers(-3, 3), st.tuples(st.text("ab", max_size=1), st.integers(0, 2))
)


@st.composite
def random_tables(draw):
    n_rows = draw(SIZES)
    kinds = draw(st.lists(st.sampled_from(sorted(DTYPES)), min_size=1, max_size=5))
    names = draw(
        st.lists(
            COLUMN_NAMES, min_size=len(kinds), max_size=len(kinds), unique_by=lambda name: (name,)
        )
    )
    columns = []
    for kind in kinds:
        values = draw(st.lists(DTYPES[kind], min_size=n_rows, max_size=n_rows))
        if kind not in HOLDS_NO_GAP:
            gaps = draw(st.lists(st.booleans(), min_size=n_rows, max_size=n_rows))
            values = [None if gap else value for value, gap in zip(values, gaps, strict=True)]
        columns.append(pd.Series(values, dtype=kind.partition(":")[0]))
    table = pd.concat(columns, axis=1)
    table.columns = pd.Index(names, tupleize_cols=False)
    labels = draw(st.lists(st.integers(0, 5), min_size=n_rows, max_size=n_rows))
    return table.set_axis(pd.Index(labels, name="label"), axis=0)


@settings(max_examples=150, deadline=None)
@given(random_tables(), st.integers(0, 2**32 - 1))
def test_any_table_with_any_estimates(table, seed):
    rng, before = np.random.default_rng(seed), table.copy(deep=True)
    encoder, values, observed = fitted(table)
    missing = encoder.missing(table)
    assert values.isfinite().all()
    np.testing.assert_array_equal(
        encoder.in_table_order(observed),
        ~missing & [feature.is_modelled for feature in encoder.schema],
    )
    estimates = random_estimates(encoder, len(table), rng)
    completed = encoder.decode(estimates, table, missing, keep_empty=False)
    known = [not feature.is_empty for feature in encoder.schema]
    assert_admissible(
        completed,
        table.loc[:, known],
        missing[:, known],
        [feature for feature in encoder.schema if not feature.is_empty],
    )
    pd.testing.assert_frame_equal(table, before, check_exact=True)
    # What a row is encoded as does not depend on the other rows.
    some = rng.permutation(len(table))[: len(table) // 2]
    part_values, part_observed = encoder.encode(table.iloc[some])
    torch.testing.assert_close(part_values, values[some], rtol=0, atol=0)
    torch.testing.assert_close(part_observed, observed[some])


def test_zeros_keep_their_sign():
    table = pd.DataFrame({"x": [-0.0, 0.0, np.nan, 1.5, 2.5]})
    encoder, values, _ = fitted(table)
    completed = encoder.decode(values.numpy().astype(float), table, encoder.missing(table), False)
    assert np.signbit(completed["x"][:2]).tolist() == [True, False]
    counts = pd.DataFrame({"x": [0.0, -1.0, np.nan, 3.0]})
    encoder, *_ = fitted(counts, feature_types={"x": "real"})
    completed = encoder.decode(np.zeros((4, 1)), counts, encoder.missing(counts), False)
    assert completed["x"][2] != 0 or not np.signbit(completed["x"][2])


# Names and indexes


@pytest.mark.parametrize(
    "columns",
    [
        pd.Index(["a", "b", "c"], name="what"),
        pd.Index([3, 1, 2]),
        pd.Index(["a", 1, ("b", 2)], tupleize_cols=False),
        pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["one", "two"]),
        pd.Index([("a", 1), ("a", 2), ("b", 1)], tupleize_cols=False),
        pd.Index([np.nan, 1.5, 2.5]),
        pd.date_range("2020", periods=3),
    ],
    ids=["text", "int", "mixed", "levels", "tuples", "nan", "dates"],
)
@pytest.mark.parametrize(
    "index",
    [
        pd.Index([5, 5, 6, 7, 7, 7]),
        pd.date_range("2020", periods=6, tz="UTC", name="day"),
        pd.MultiIndex.from_product([["a", "b"], [1, 2, 3]], names=["x", "y"]),
        pd.Index([1.5, None, "a", (1, 2), 5, 6], dtype=object, tupleize_cols=False),
    ],
    ids=["repeated", "dates", "levels", "mixed"],
)
def test_names_and_index_come_back(columns, index):
    table = pd.DataFrame(
        {"a": [1.5, None, 2.5, 3.5, 4.5, 9], "b": [*"xyzxy", None], "c": [1, 2, 3, 4, 5, 6]}
    ).set_axis(index)
    table.columns = columns
    encoder, values, _ = fitted(table)
    completed = encoder.decode(values.numpy().astype(float), table, encoder.missing(table), False)
    pd.testing.assert_index_equal(completed.columns, columns, exact=True)
    pd.testing.assert_index_equal(completed.index, index, exact=True)
    assert not completed.isna().any(axis=None)


# Other dtypes in transform than in fit


def transform(table, other, **options):
    """`other` completed by an encoder fitted to `table`, with the model's guess for the first row."""
    encoder, values, _ = fitted(table, **options)
    encoder.encode(other)
    estimates = values.numpy()[:1].repeat(len(other), axis=0).astype(float)
    return encoder.decode(estimates, other, encoder.missing(other), False)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("int64", "float64"),
        ("int64", "Int16"),
        ("Int64", "double[pyarrow]"),
        ("float64, whole", "Int64"),
        ("float32", "float64"),
        ("boolean", object),
        ("boolean", "float64"),
        ("bool", "bool[pyarrow]"),
        ("str", "category"),
        ("str", object),
        ("category", "string"),
        ("ordered category", "str"),
        ("string[pyarrow]", "category"),
        ("datetime64[s]", "datetime64[ns]"),
        ("datetime64[ns]", "timestamp[ms][pyarrow]"),
        ("objects: date", "datetime64[us]"),
        ("date32[pyarrow]", "datetime64[ns]"),
        ("datetime64[ns]", object),
        ("datetime64[s, Europe/Berlin]", "datetime64[ns, Asia/Tokyo]"),
        ("timedelta64[s]", "duration[us][pyarrow]"),
        ("objects: Decimal", "float64"),
        ("category of integers", "Int64"),
    ],
)
def test_a_column_may_come_in_another_dtype_of_its_kind(name, dtype):
    column = COLUMNS[name].column
    cells = [None if pd.isna(cell) else cell for cell in column]
    other = pd.DataFrame({"x": pd.Series([*cells, None], dtype=object).astype(dtype)})
    if name.startswith("bool"):
        other = pd.DataFrame({"x": pd.Series([*cells, None], dtype=dtype)})
    encoder, codes, known = fitted(column.to_frame())
    values, observed = encoder.encode(other)
    torch.testing.assert_close(values[:8][known], codes[known])
    assert observed[:, 0].tolist() == [*known[:, 0].tolist(), False]
    completed = transform(column.to_frame(), other)
    assert completed["x"].dtype == other["x"].dtype
    restored = completed["x"].iloc[8]
    if dtype in ("float64", "double[pyarrow]"):
        assert float(restored) == pytest.approx(float(column.iloc[0]), rel=1e-6)
    elif isinstance(restored, pd.Timestamp):
        assert restored == pd.Timestamp(column.iloc[0])
    else:
        assert restored == column.iloc[0]


@pytest.mark.parametrize(
    ("name", "other", "message"),
    [
        ("int64", ["a", "b"], r"found string .* pandas.to_numeric\(X\['x'\]\)"),
        ("float64", ["1", "2"], r"found string .* pandas.to_numeric\(X\['x'\]\)"),
        ("int64", pd.Categorical([1, 2]), "found category values"),
        ("int64", pd.to_datetime(["2020-01-01", "2021-01-01"]), "found datetime values"),
        ("datetime64[s]", [1, 2], r"found integer .* pandas.to_datetime\(X\['x'\]\)"),
        ("datetime64[s]", ["2020-01-01", None], "found string values"),
        (
            "datetime64[s]",
            pd.to_datetime(["2020-01-01"] * 2, utc=True),
            r"zone.*tz_localize\(None\)",
        ),
        ("datetime64[s, Europe/Berlin]", pd.to_datetime(["2020"] * 2), "utc=True"),
        ("timedelta64[s]", pd.to_datetime(["2020", None]), r"pandas.to_timedelta\(X\['x'\]\)"),
        ("str", [1, 2], "fitted as nominal on text .* found numbers of dtype int64. Convert it"),
        ("category", [1.5, None], "fitted as nominal on text .* found numbers"),
        ("boolean", ["yes", "no"], "fitted as binary on numbers .* found text"),
        ("category of integers", ["a", None], "fitted as nominal on numbers .* found text"),
        ("category of dates", ["a", None], "fitted as nominal on dates .* found text"),
        ("str", [1j, 2], "complex data not supported"),
    ],
)
def test_a_column_of_another_kind_is_refused(name, other, message):
    encoder, *_ = fitted(COLUMNS[name].column.to_frame())
    with pytest.raises(ValueError, match=f"^Column 'x': .*{message}"):
        encoder.encode(pd.DataFrame({"x": other}))


def test_infinity_is_refused_in_any_column():
    table = pd.DataFrame(
        {"real": [1.5, 2.5, -3.5], "two": [0.0, 1, 0], "same": [2.0, 2, 2], "none": [np.nan] * 3}
    )
    encoder, *_ = fitted(table)
    for name in table:
        with pytest.raises(ValueError, match=f"infinity: column '{name}' in 3 row"):
            encoder.encode(table.assign(**{name: np.inf}))


# Levels


def test_unseen_levels_are_observed_for_the_output_and_missing_for_the_model():
    table = pd.DataFrame({"x": ["a", "b", "c", "a"], "y": [1.5, 2.5, 0.5, 9.5]})
    other = pd.DataFrame({"x": ["new", "b", None], "y": [1.5, 2.5, 3.5]})
    encoder, *_ = fitted(table)
    _, observed = encoder.encode(other)
    column = [feature.name for feature in encoder.features].index("x")
    assert observed[:, column].tolist() == [False, True, False]
    assert encoder.missing(other)[:, 0].tolist() == [False, False, True]
    completed = transform(table, other)
    assert completed["x"].tolist() == ["new", "b", "a"]


@pytest.mark.parametrize("dtype", ["str", "category", object, "string[pyarrow]"])
def test_unseen_levels_may_be_refused(dtype):
    table = pd.DataFrame({"x": pd.Series(["a", "b", "c", None], dtype=dtype)})
    encoder, *_ = fitted(table, unknown="error")
    encoder.encode(table)
    other = pd.DataFrame({"x": pd.Series(["a", "q", None, "r"], dtype=dtype)})
    message = (
        r"^Column 'x': level\(s\) \['q', 'r'\] were not seen in fit. Use handle_unknown='missing'"
    )
    with pytest.raises(ValueError, match=message):
        encoder.encode(other)


def test_codes_of_levels_follow_the_schema():
    table = pd.DataFrame({"x": pd.Categorical(["b", "a", None, "d"], categories=list("dcba"))})
    encoder, values, observed = fitted(table)
    assert encoder.schema["x"].levels.tolist() == ["d", "b", "a"]
    assert values[observed].tolist() == [1, 2, 0]
    reordered = table.astype(pd.CategoricalDtype(list("abcde")))
    assert encoder.encode(reordered)[0][observed].tolist() == [1, 2, 0]
    bare = pd.DataFrame({"x": pd.Categorical([None, None])})
    assert not encoder.encode(bare)[1].any()


@pytest.mark.parametrize(
    "levels",
    [
        [(1, "a"), (2, "b"), (3, "c")],
        [1, "1", b"1"],
        [decimal.Decimal("0.1"), "0.1", 0.1],
        [pd.Interval(0, 1), pd.Interval(0, 2), pd.Interval(1, 2)],
        [frozenset("a"), frozenset("b"), frozenset()],
        [datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1, 5), "2020-01-01"],
    ],
    ids=repr,
)
def test_levels_can_be_any_hashable_objects(levels):
    column = pd.Series(index=range(6), dtype=object)
    column[:] = [*levels, None, *levels[:2]]
    encoder, values, observed = fitted(column.to_frame("x"))
    assert set(encoder.schema["x"].levels) == set(levels)
    assert (
        sorted(values[observed].tolist()) == [0, 0, 1, 1, 2]
        or values[observed].unique().numel() == 3
    )
    missing = encoder.missing(column.to_frame("x"))
    completed = encoder.decode(values.numpy().astype(float), column.to_frame("x"), missing, False)
    assert completed["x"][3] in levels


# Empty and constant columns


def test_empty_columns_are_left_out_or_filled_with_zeros():
    table = pd.DataFrame(
        {
            "f": [np.nan] * 3,
            "I": pd.array([None] * 3, dtype="Int64"),
            "b": pd.array([None] * 3, dtype="boolean"),
            "o": [None] * 3,
            "t": pd.to_datetime([None] * 3),
            "c": pd.Categorical([None] * 3),
            "a": [1.5, 2.5, 0.5],
        }
    )
    encoder, values, _ = fitted(table)
    estimates, missing = values.numpy().astype(float), encoder.missing(table)
    assert encoder.decode(estimates, table, missing, keep_empty=False).columns.tolist() == ["a"]
    kept = encoder.decode(estimates, table, missing, keep_empty=True)
    assert kept.dtypes.tolist() == table.dtypes.tolist()
    assert kept[["f", "I", "b"]].to_numpy().tolist() == [[0, 0, False]] * 3
    assert kept[["o", "t", "c"]].isna().all(axis=None)
    only = table[["f", "o"]]
    encoder, values, _ = fitted(only)
    assert values.shape == (3, 0)
    completed = encoder.decode(np.empty((3, 0)), only, encoder.missing(only), keep_empty=False)
    assert completed.shape == (3, 0)


@pytest.mark.parametrize("name", [n for n, case in COLUMNS.items() if case.storage != "mixed"])
def test_constant_columns_are_filled_with_their_value(name):
    column = COLUMNS[name].column
    table = pd.concat([column[:1]] * 3, ignore_index=True).to_frame()
    encoder, values, _ = fitted(table)
    assert values.shape == (3, 0)
    gap = column.astype(object).where(column.isna(), None)
    other = pd.concat([column, gap]) if column.isna().any() else column
    missing = np.arange(len(other))[:, None] >= 4
    other = other.astype(column.dtype).to_frame()
    completed = encoder.decode(np.empty((len(other), 0)), other, missing, False)
    assert completed["x"].dtype == column.dtype
    assert completed["x"][missing[:, 0]].tolist() == [column.iloc[0]] * (len(other) - 4)
    assert completed["x"].iloc[:4].equals(other["x"].iloc[:4])


# Markers


@pytest.mark.parametrize(
    ("values", "marker"),
    [
        ([-1, 5, 3, 2, -1], -1),
        ([-1.0, 5, 3.5, np.nan, -1], -1),
        (["?", "a", "b", "c", "?"], "?"),
        ([np.inf, 1.5, 2.5, 3.5, np.inf], np.inf),
        (
            pd.to_datetime(["1900-01-01", "2020-01-01", "2021-01-01", "2022-01-01", None]),
            pd.Timestamp("1900"),
        ),
        (pd.Categorical(["?", "a", "b", "c", "?"]), "?"),
        (pd.Series(["?", 1, 2, 3, None], dtype=object), "?"),
    ],
    ids=str,
)
def test_marked_cells_are_filled(values, marker):
    table = pd.DataFrame({"x": values})
    encoder, codes, observed = fitted(table, missing_values=marker)
    assert not observed[0, 0]
    completed = encoder.decode(codes.numpy().astype(float), table, encoder.missing(table), False)
    assert completed["x"].dtype == table["x"].dtype
    assert not (completed["x"] == marker).any()
    assert not completed["x"].isna().any()
    assert encoder.schema["x"].levels is None or marker not in encoder.schema["x"].levels


# Scales


def codec(values, likelihood="normal"):
    table = pd.DataFrame({"x": np.asarray(values, dtype=float)})
    encoder, *_ = fitted(table, likelihoods={"x": likelihood}, feature_types={"x": "real"})
    return encoder._codecs["x"]


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1.0, 1e30, 1e300])
@pytest.mark.parametrize("likelihood", ["normal", "lognormal"])
def test_model_units_do_not_depend_on_the_unit(scale, likelihood):
    values = np.array([0.5, 1.5, 2.0, 4.0, 30.0])
    reference, scaled = codec(values, likelihood), codec(values * scale, likelihood)
    expected = reference.to_model(values)
    np.testing.assert_allclose(scaled.to_model(values * scale), expected, rtol=1e-12)
    np.testing.assert_allclose(scaled.to_data(expected), values * scale, rtol=1e-12)
    assert scaled.scale == pytest.approx(reference.scale * scale, rel=1e-12)
    if likelihood == "normal":
        assert np.mean(expected) == pytest.approx(0, abs=1e-12)
        assert np.std(expected) == pytest.approx(1)


@pytest.mark.parametrize(
    "values",
    [
        [1.7e308, -1.7e308, 1.6e308, 1.6e308],
        [5e-324, 1e-322, -1e-310, 0.0],
        [10**308, -(10**308), 7],
        [2**63 - 1, 2**63 - 2, 2**63 - 3],
    ],
    ids=["largest", "smallest", "integers", "neighbours"],
)
def test_numbers_at_the_limits_of_floats(values):
    table = pd.DataFrame({"x": pd.Series(values, dtype=object)})
    encoder, codes, _ = fitted(table)
    assert codes.isfinite().all()
    assert encoder.error_scales().isfinite().all()
    cells = np.ones((len(table), 1), dtype=bool)
    estimates = np.linspace(-1e30, 1e30, len(table))[:, None]
    completed = encoder.decode(estimates, table, cells, False)["x"]
    assert table["x"].min() <= completed.min() <= completed.max() <= table["x"].max()


def test_integer_supports_keep_their_units():
    values = np.array([0.0, 3, 7, 1000])
    np.testing.assert_array_equal(codec(values, "poisson").to_model(values), values)


@pytest.mark.parametrize("outlier", [1e6, 1e12, -1e12, 1e300, -1.7e308])
def test_an_outlier_does_not_blur_the_others(outlier):
    rng = np.random.default_rng(0)
    bulk = rng.normal(size=500)
    with_outlier = codec(np.append(bulk, outlier))
    seen = with_outlier.to_model(np.append(bulk, outlier))
    assert np.std(seen[:-1]) == pytest.approx(1, rel=0.05)
    assert abs(seen[-1]) < 10
    assert with_outlier.to_data(np.array([100.0 * np.sign(outlier)])) != outlier


def test_an_outlier_among_zeros_does_not_blur_the_others():
    values = np.array([0.0] * 970 + [1.0, 2.0, 3.0, 4.0, 5.0] * 6)
    plain, blurred = codec(values), codec(np.append(values, 1e15))
    assert blurred.scale == pytest.approx(plain.scale, rel=0.1)


def test_a_heavy_tail_is_no_outlier():
    values = np.random.default_rng(0).lognormal(sigma=2, size=2000)
    units = codec(values).to_model(values)
    assert len(np.unique(units)) == 2000


def test_values_far_outside_the_training_range_stay_finite():
    found = codec([0.5, 1.5, 2.5, 4.0])
    units = found.to_model(np.array([1e300, -1e300, 1.7e308]))
    assert np.isfinite(units.astype(np.float32)).all()


def test_estimates_stay_in_the_observed_range():
    found = codec([0.5, 1.5, 2.5, 4.0])
    assert found.to_data(np.array([-1e300, -3.0, 0.0, 3.0, 1e300])).tolist()[::4] == [0.5, 4.0]


@pytest.mark.parametrize("family", [n for n, kind in LIKELIHOODS.items() if not kind.finite])
def test_fillers_are_in_the_support(family):
    values = [1.0, 2.0, 5.0, 7.0, np.nan]
    table = pd.DataFrame({"x": values})
    encoder, units, observed = fitted(table, likelihoods={"x": family})
    assert encoder.groups[0].likelihood.support.check(units).all()
    assert not observed[-1]
    assert isinstance(encoder._codecs["x"], NumericCodec)


# Packed order


def test_features_that_share_a_likelihood_are_neighbours():
    table = pd.DataFrame(
        {
            "a": [1.5, 2.5, 0.5, 1.0],
            "b": ["x", "y", "z", "x"],
            "c": [3.5, 2.5, 0.5, 1.0],
            "d": [True, False, True, True],
            "e": ["x", "y", "z", "w"],
            "same": [1, 1, 1, 1],
        }
    )
    encoder, _, observed = fitted(table, likelihoods={"c": "student-t"})
    packed = [[feature.name for feature in group.features] for group in encoder.groups]
    assert packed == [["a"], ["b", "e"], ["c"], ["d"]]
    assert [feature.name for feature in encoder.features] == ["a", "b", "e", "c", "d"]
    assert encoder.n_levels().tolist() == [0, 3, 4, 0, 2]
    cells = torch.zeros_like(observed)
    cells[0, 1] = cells[1, 3] = True
    np.testing.assert_array_equal(np.argwhere(encoder.in_table_order(cells)), [[0, 1], [1, 2]])


def test_wide_and_narrow_categories_are_not_padded_to_each_other():
    table = pd.DataFrame({"wide": np.arange(4000), "narrow": np.arange(4000) % 5})
    encoder, *_ = fitted(table, feature_types={"wide": "nominal", "narrow": "nominal"})
    assert len(encoder.groups) == 2


def test_error_scales():
    table = pd.DataFrame(
        {
            "real": [0.5, 2.5, 4.5, 0.5],
            "two": [True, False, True, True],
            "rank": pd.Categorical(list("abcc"), categories=list("abcd"), ordered=True),
        }
    )
    encoder, *_ = fitted(table)
    scale = encoder._codecs["real"].scale
    expected = {"real": scale / 4.0, "two": 1.0, "rank": 1 / 4}
    found = dict(
        zip([f.name for f in encoder.features], encoder.error_scales().tolist(), strict=True)
    )
    assert found == pytest.approx(expected)


def test_a_support_that_does_not_fit_is_named():
    table = pd.DataFrame({"x": [-1.5, 2.5, -0.5, 1.0]})
    message = (
        r"^Column 'x': likelihood 'lognormal' needs positive numbers, found -1.5 in 2 row\(s\). "
        r"Use another one, e.g. likelihoods=\{'x': 'normal'\}.$"
    )
    with pytest.raises(ValueError, match=message):
        fitted(table, likelihoods={"x": "lognormal"})
    with pytest.raises(ValueError, match=r"'poisson' needs non-negative integers, found -1.5 in 3"):
        fitted(table, likelihoods={"x": "poisson"})


# Speed


def test_a_large_table():
    rng, n_rows = np.random.default_rng(0), 200_000
    names = np.array([f"level {i}" for i in range(5000)])
    table = pd.DataFrame(
        {
            **{f"real {i}": rng.normal(size=n_rows) for i in range(6)},
            **{f"Int64 {i}": pd.array(rng.integers(0, 999, n_rows), "Int64") for i in range(3)},
            **{f"text {i}": pd.array(rng.choice(names[:50], n_rows), "str") for i in range(3)},
            "objects": pd.array(rng.choice(names[:50], n_rows).astype(object), object),
            "integer objects": pd.array(rng.integers(0, 999, n_rows).astype(object), object),
            "wide": pd.Categorical.from_codes(rng.integers(0, 5000, n_rows), names),
            "wide text": pd.array(rng.choice(names, n_rows), "str"),
            "boolean": pd.array(rng.random(n_rows) < 0.5, "boolean"),
            "arrow": pd.array(rng.integers(0, 999, n_rows), pd.ArrowDtype(pa.int64())),
            "when": pd.Timestamp("2024") + pd.to_timedelta(rng.integers(0, 10**6, n_rows), "s"),
            "day": (pd.Timestamp("2024") + pd.to_timedelta(rng.integers(0, 999, n_rows), "D")).date,
        }
    )
    table = table.mask(rng.random(table.shape) < 0.3)
    assert table.shape == (200_000, 20)
    encoder, values, observed = fitted(table)
    again, _ = encoder.encode(table)
    missing = encoder.missing(table)
    completed = encoder.decode(again.numpy().astype(float), table, missing, False)
    assert not completed.isna().any(axis=None)
    assert observed.sum() == (~missing).sum()
    assert values.isfinite().all()
    assert completed.dtypes.equals(table.dtypes)


class Scaled(Normal):
    """A user's family whose options its repr does not show."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def extra_repr(self):
        return ""


def test_families_with_other_options_are_not_grouped():
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 4)), columns=list("abcd"))
    schema = infer_schema(table)
    families = {"a": Scaled(1), "b": Scaled(2), "c": Scaled(1), "d": Normal()}
    encoder = TableEncoder(schema, families, np.nan, "missing")
    grouped = [[feature.name for feature in group.features] for group in encoder.groups]
    assert grouped == [["a", "c"], ["b"], ["d"]]
