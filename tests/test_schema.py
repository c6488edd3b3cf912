"""What each column is: inferred from its dtype and its values, or declared."""

import datetime
import pickle

import numpy as np
import pandas as pd
import pytest
from column_cases import COLUMNS

from skhvae.likelihoods import LIKELIHOODS
from skhvae.schema import FEATURE_TYPES, Schema, infer_schema, nearest

SILENT = [name for name, case in COLUMNS.items() if case.warns is None]


def infer(column, declared=None, **options):
    """The feature of one column."""
    feature_types = "infer" if declared is None else {"x": declared}
    return infer_schema(pd.DataFrame({"x": column}), feature_types, **options)["x"]


@pytest.mark.parametrize("name", SILENT)
def test_inferred_type(name):
    case = COLUMNS[name]
    feature = infer(case.column)
    assert feature.type.name == case.type
    assert feature.storage == case.storage
    assert feature.dtype == case.column.dtype
    assert (feature.n_rows, feature.n_missing) == (8, case.column.isna().sum())
    assert feature.is_modelled
    assert feature.example.dtype == case.column.dtype
    assert feature.example.iloc[0] == case.column.iloc[0]
    if feature.type.finite:
        assert feature.n_declared_levels >= len(feature.levels) >= 2
        assert set(feature.levels) == set(case.column.dropna())
    else:
        assert feature.levels is None
        assert feature.low < feature.high


@pytest.mark.parametrize("name", [name for name in COLUMNS if name not in SILENT])
def test_columns_of_unusual_objects_are_nominal_with_a_warning(name):
    case = COLUMNS[name]
    with pytest.warns(UserWarning, match=f"Column 'x': .*{case.warns}.*Convert it.*silence this"):
        feature = infer(case.column)
    assert feature.type.name == case.type == "nominal"
    assert infer(case.column, "nominal").type.name == "nominal"  # silences it


@pytest.mark.parametrize("name", SILENT)
def test_two_observed_values_are_binary(name):
    column = COLUMNS[name].column
    feature = infer(column.iloc[[0, 2, 0, 2]])
    assert feature.type.name == "binary"
    assert len(feature.levels) == 2
    # By equality: hashes of NumPy's and pandas' dates agree only in newer versions.
    assert all(any(level == value for level in feature.levels) for value in column.iloc[[0, 2]])


@pytest.mark.parametrize("name", SILENT)
def test_one_observed_value_is_constant(name):
    column = COLUMNS[name].column
    feature = infer(column.iloc[[0, 0]])
    assert feature.why == "constant"
    assert feature.is_constant
    assert not feature.is_modelled
    assert feature.levels[0] == column.iloc[0]


@pytest.mark.parametrize("name", SILENT)
def test_no_observed_value(name):
    column = COLUMNS[name].column.convert_dtypes() if "int" in name else COLUMNS[name].column
    feature = infer(column.where(np.zeros(8, dtype=bool)))
    assert feature.is_empty
    assert not feature.is_modelled
    assert feature.why == "no observed cell"
    assert feature.example is None


@pytest.mark.parametrize(
    ("values", "dtype", "levels"),
    [
        (["b", "a", "c"], "str", ["a", "b", "c"]),
        ([True, False, None], object, [False, True]),
        (["b", "a", "c"], pd.CategoricalDtype(["c", "x", "b", "a"]), ["c", "b", "a"]),
        ([2.5, 1.5, None], "float64", [1.5, 2.5]),
        ([20, 10, 20], "Int64", [10, 20]),
        ([("b", 1), ("a", 2)], object, [("a", 2), ("b", 1)]),
    ],
)
@pytest.mark.filterwarnings("ignore:Column 'x'. holds objects of type tuple")
def test_levels_are_in_the_order_of_the_dtype_or_sorted(values, dtype, levels):
    assert infer(pd.Series(values, dtype=dtype)).levels.tolist() == levels


def test_levels_without_a_common_order_are_sorted_by_kind():
    column = pd.Series(["b", 2, "a", 1, b"c"], dtype=object)
    feature = infer(column, "nominal")
    assert feature.levels.tolist() == [b"c", 1, 2, "a", "b"]
    assert infer(column[::-1], "nominal").levels.tolist() == feature.levels.tolist()


def test_declared_levels_count_for_the_rank_error():
    dtype = pd.CategoricalDtype(["low", "mid", "high", "top"], ordered=True)
    feature = infer(pd.Series(["low", "top", "high"], dtype=dtype))
    assert (len(feature.levels), feature.n_declared_levels) == (3, 4)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0.0, 1.0, 2.0, np.nan], "count"),
        ([0.0, -1.0, 2.0], "real"),
        ([0.5, 1.0, 2.0], "real"),
        ([0.5, 1.0, 200.0, 0.25], "positive"),
        ([-0.5, 1.0, 200.0, 0.25], "real"),
        ([1e18, 2e18, 3.5e18, 8e18], "positive"),  # so large that every float is whole
        ([1e9, 1e9 + 1e-6, 1e9 + 2e-6], "real"),
        ([1e-320, 2e-320, 9e-320, 1e-320], "positive"),
        ([1e300, 2e300, 1.7e308, 1e300], "positive"),
    ],
)
def test_floats_by_their_values(values, kind):
    assert infer(values).type.name == kind
    assert infer(values, whole_numbers=False).type.name == "real"


def test_integers_of_an_array_are_integers():
    assert infer([3, 1, 2], whole_numbers=False).type.name == "count"


@pytest.mark.parametrize(
    ("values", "dtype", "declared", "step"),
    [
        ([1, 2, 3], "int64", None, 1),
        ([1, 2, 3], "int64", "real", 1),
        ([1.0, 2.0, 3.0], "float64", None, 0),
        ([1.0, 2.0, 3.0], "float64", "count", 1),
        ([1.5, 2.0, 3.0], "float64", None, 0),
        (["2024-01-01", "2024-01-03", "2024-01-04"], "datetime64[ns]", None, 86_400 * 10**9),
        (["2024-01-01 07:00", "2024-01-03", "2024-01-04"], "datetime64[s]", None, 3600 * 10**9),
    ],
)
def test_step(values, dtype, declared, step):
    assert infer(pd.Series(values, dtype=dtype), declared).step == step


# Declared types

FITS = {
    "real": ["float64", "int64", "objects: Decimal", "Float32, skewed"],
    "positive": ["float64, skewed", "int64", "UInt8"],
    "count": ["int64", "float64, whole", "objects: int", "int64[pyarrow]"],
    "datetime": ["datetime64[ns]", "date32[pyarrow]", "timedelta64[s]", "objects: date"],
    "binary": ["bool", "boolean", "objects: bool"],
    "nominal": ["int64", "float64", "str", "category", "ordered category", "date32[pyarrow]"],
    "ordinal": ["int64", "float64", "ordered category", "datetime64[ns]", "objects: date"],
}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in FITS.items() for name in names]
)
def test_declared_type(kind, name):
    feature = infer(COLUMNS[name].column, kind)
    assert feature.type is FEATURE_TYPES[kind]
    assert feature.why == "declared"
    assert (feature.levels is not None) == FEATURE_TYPES[kind].finite


USE = r"Use feature_types=\{'x': "


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("count", "float64", rf"non-negative integers, found 0.5 .* in 5 row\(s\)\. {USE}'real'"),
        ("count", "Int32, some negative", rf"found -7.0 .* in 1 row\(s\)\. {USE}'real'"),
        ("positive", "float64", rf"non-negative values, found -2.25 .* 1 row\(s\)\. {USE}'real'"),
        ("real", "datetime64[ns]", f"cannot hold dates or durations. {USE}'datetime'"),
        ("count", "timedelta64[s]", f"cannot hold dates or durations. {USE}'datetime'"),
        ("datetime", "int64", f"cannot hold integer numbers. {USE}'real'"),
        ("datetime", "str", r"needs dates, found string values. Use pandas.to_datetime\(X\['x'\]"),
        ("real", "str", r"needs numbers, found string values. Use pandas.to_numeric\(X\['x'\]"),
        ("count", "boolean", r"found boolean values. Use X\['x'\].astype\('Int64'\)"),
        ("positive", "category", "needs numbers, found category values"),
        ("binary", "int64", f"at most two observed values, found 7. {USE}'nominal'"),
        ("binary", "category", f"at most two observed values, found 4. {USE}'nominal'"),
        ("ordinal", "str", "needs an order, found string values.*CategoricalDtype.*ordered=True"),
        ("ordinal", "category", "needs an order, found category values"),
        ("ordinal", "boolean", "needs an order, found boolean values"),
    ],
)
def test_a_declared_type_that_cannot_fit(kind, name, message):
    with pytest.raises(ValueError, match=f"^Column 'x': type '{kind}' .*{message}"):
        infer(COLUMNS[name].column, kind)


def test_unknown_types_and_columns():
    table = pd.DataFrame({"age": [1, 2], "city": ["a", "b"]})
    with pytest.raises(ValueError, match=r"Column 'age': unknown feature type 'cuont'.*'count'\?"):
        infer_schema(table, {"age": "cuont"})
    with pytest.raises(
        ValueError, match=r"Column 'age': unknown feature type .'count'.*Known: bin"
    ):
        infer_schema(table, {"age": ["count"]})
    with pytest.raises(
        ValueError, match=r"column 'agee', which is not in.*'age'\? Known: age, city"
    ):
        infer_schema(table, {"agee": "count"})
    with pytest.raises(ValueError, match=r"must be 'infer' or a dict .*, found list"):
        infer_schema(table, ["count"])


def test_part_of_a_nested_name_is_no_column():
    table = pd.DataFrame([[1, 2]] * 3, columns=pd.MultiIndex.from_tuples([("a", 1), ("a", 2)]))
    with pytest.raises(ValueError, match="names column 'a', which is not in the table"):
        infer_schema(table, {"a": "real"})
    assert infer_schema(table, {("a", 2): "real"}).types == {("a", 1): "count", ("a", 2): "real"}


def test_every_type_has_a_likelihood_of_its_kind():
    for kind in FEATURE_TYPES.values():
        assert LIKELIHOODS[kind.likelihood].finite == kind.finite


# Warnings


def test_numbers_as_text():
    column = pd.Series(["1", "2.5", None, "-3e2"])
    with pytest.warns(
        UserWarning, match=r"Column 'x': holds numbers as text.*pandas.to_numeric\(X"
    ):
        assert infer(column).type.name == "nominal"
    infer(column, "nominal")
    infer(column[:2])  # two codes are as good as any names


def test_identifiers():
    column = pd.Series([f"key {i}" for i in range(60)])
    with pytest.warns(UserWarning, match="'x': 60 different strings in 60 obs.*Drop the column"):
        infer(column)
    infer(column, "nominal")
    infer(pd.concat([column] * 3))


@pytest.mark.parametrize("sign", [1, -1])
def test_integers_beyond_float(sign):
    column = pd.Series([sign * 2**60, 3, 2], dtype="Int64")
    with pytest.warns(UserWarning, match=r"Column 'x': integers beyond 2\*\*53.*'nominal'"):
        infer(column)
    infer(column, "nominal")
    infer(pd.Series([2**53, 3, 2]))


def test_integers_that_floats_cannot_tell_apart():
    column = pd.Series([2**60, 2**60 + 1, 2**60 + 2, None], dtype="Int64")
    assert infer(column, "nominal").levels.tolist() == [2**60, 2**60 + 1, 2**60 + 2]
    assert infer(column[:2]).type.name == "binary"
    with pytest.warns(UserWarning, match="beyond"):
        feature = infer(column)
    assert not feature.is_constant
    assert (feature.low, feature.high) == (2**60, 2**60 + 2)


def test_infinity_is_refused():
    with pytest.raises(ValueError, match="column 'x' in 1 row"):
        infer([1.0, np.inf, 2.0])


# The schema


TABLE = pd.DataFrame(
    {
        "age": [31, 45, 28, 60],
        "smokes": [True, None, False, True],
        ("nested", 1): ["a", "b", "c", "a"],
        7: [None] * 4,
        "seen": [datetime.date(2024, 1, d) for d in (1, 2, 3, 4)],
        "unit": ["kg"] * 4,
    }
)


def test_repr():
    table = TABLE.set_axis([str(name) for name in TABLE], axis=1)
    assert repr(infer_schema(table, {"age": "real"})) == (
        "Schema of 6 columns\n"
        "  column         type      dtype   missing  why\n"
        "  age            real      int64        0%  declared\n"
        "  smokes         binary    object      25%  booleans\n"
        "  ('nested', 1)  nominal   str          0%  strings, 3 levels\n"
        "  7              nominal   object     100%  no observed cell\n"
        "  seen           datetime  object       0%  dates and times\n"
        "  unit           nominal   str          0%  constant"
    )
    assert repr(Schema([])) == "Schema of 0 columns\n  column  type  dtype  missing  why"


def test_a_schema_is_a_sequence_by_name():
    schema = infer_schema(TABLE)
    assert len(schema) == 6
    assert schema.names == list(TABLE)
    assert [feature.name for feature in schema] == schema.names
    assert schema[("nested", 1)].type.name == schema.types[("nested", 1)] == "nominal"
    with pytest.raises(KeyError):
        schema["nested"]


def test_nan_is_a_name_that_is_found_again():
    schema = infer_schema(pd.DataFrame({np.nan: [1, 2, 3], ("a", np.nan): ["x", "y", "z"]}))
    again = pickle.loads(pickle.dumps(schema))
    assert again[float("nan")].type.name == "count"
    assert again["a", float("nan")].type.name == "nominal"


@pytest.mark.parametrize(
    ("keep", "fate"), [(True, "kept"), (False, "dropped; keep_empty_features")]
)
def test_empty_columns_are_named(keep, fate):
    with pytest.warns(UserWarning, match=rf"without any observed values: \[7\] \({fate}"):
        infer_schema(TABLE).warn_about_empty(keep)


def test_nearest():
    assert nearest("imtl_g", ["sum", "imtl-g"]) == " Did you mean 'imtl-g'? Known: imtl-g, sum."
    assert nearest("zzz", ["b", "a"]) == " Known: a, b."
    many = nearest("c100", [f"c{i}" for i in range(500)])
    assert "'c100'?" in many
    assert many.endswith(", ... (500 in all).")


def test_nothing_depends_on_the_index_or_on_the_order_of_rows():
    shuffled = TABLE.iloc[::-1].set_axis([5, 5, 6, 6])
    first, second = infer_schema(TABLE), infer_schema(shuffled)
    assert first.types == second.types
    for name in first.names:
        assert str(first[name].levels) == str(second[name].levels)
