"""Tables as they come: what cannot be used is named with its remedy, all else works.

Through the public estimator alone. Every test without ``pytest.warns`` also shows that no warning is
given: warnings are errors here.
"""

import datetime
import decimal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from skhvae import HeterogeneousVAEImputer
from skhvae.evaluation import hide_cells
from skhvae.likelihoods import Poisson

N = 40


def imputer(**parameters):
    small = dict(max_iter=2, latent_dim=4, hidden_layer_sizes=(16,), random_state=0)
    return HeterogeneousVAEImputer(**small | parameters)


def make_table(**columns):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "real": rng.normal(size=N),
            "count": rng.integers(0, 50, N).astype(float),
            "city": pd.array(rng.choice(["Bonn", "Kiel", "Ulm"], N), dtype="str"),
        }
    )
    return table.mask(rng.random(table.shape) < 0.2).assign(**columns)


TABLE = make_table()
FITTED = imputer().fit(TABLE)


def completed(table, **parameters):
    """`table` after fit and transform, which must be complete and have kept what was observed."""
    before = table.copy(deep=True)
    result = imputer(**parameters).fit_transform(table)
    pd.testing.assert_frame_equal(table, before, check_exact=True)
    assert_kept(table, result)
    return result


def assert_kept(table, result):
    assert result.index.equals(table.index)
    assert not result.isna().any(axis=None)
    for name in result:
        known = table[name].notna()
        assert result[name].dtype == table[name].dtype
        pd.testing.assert_series_equal(result[name][known], table[name][known], check_exact=True)


# Columns with little or nothing to learn from


@pytest.mark.parametrize("empty", [np.nan, None, pd.NaT], ids=["nan", "None", "NaT"])
def test_a_column_without_an_observed_cell(empty):
    table = make_table(empty=empty)
    message = r"without any observed values: \['empty'\] \(dropped; keep_empty_features=True keeps"
    with pytest.warns(UserWarning, match=message):
        result = completed(table)
    assert result.columns.tolist() == ["real", "count", "city"]
    with pytest.warns(UserWarning, match=r"\['empty'\] \(kept\)"):
        kept = imputer(keep_empty_features=True).fit_transform(table)
    assert kept.dtypes.equals(table.dtypes)
    assert (kept["empty"] == 0).all() if empty is np.nan else kept["empty"].isna().all()


@pytest.mark.parametrize("keep", [True, False])
def test_a_table_without_an_observed_cell(keep):
    table = pd.DataFrame({"a": [np.nan] * 5, "b": [None] * 5})
    with pytest.warns(UserWarning, match=r"\['a', 'b'\]"):
        result = imputer(keep_empty_features=keep).fit_transform(table)
    assert result.shape == (5, 2 if keep else 0)


@pytest.mark.parametrize(
    "value", [5, 0.5, "x", True, pd.Timestamp("2024"), datetime.date(2024, 1, 1)]
)
def test_a_constant_column(value):
    values = pd.Series([value, None] * (N // 2), dtype=object).infer_objects()
    assert (completed(make_table(same=values))["same"] == value).all()


def test_only_constant_columns():
    table = pd.DataFrame({"a": [1.0, None, 1], "b": ["x", "x", None]})
    assert completed(table).to_dict("list") == {"a": [1, 1, 1], "b": ["x"] * 3}


def test_two_values_of_a_float_column():
    table = make_table(two=[0.5, 1.5, None, 1.5] * (N // 4))
    assert imputer().fit(table).feature_types_["two"] == "binary"
    assert set(completed(table)["two"]) == {0.5, 1.5}


def test_booleans_with_none():
    table = make_table(flag=pd.Series([True, None, False, True] * (N // 4), dtype=object))
    assert {type(flag) for flag in completed(table)["flag"]} == {bool}


# Few rows, few columns, few gaps


def test_a_single_row_is_too_few():
    with pytest.raises(ValueError, match=r"At least 2 rows are needed.*n_samples = 1"):
        imputer().fit(TABLE[:1])


@pytest.mark.parametrize("n_rows", [2, 3, 5])
def test_very_few_rows(n_rows):
    completed(TABLE[:n_rows])
    completed(TABLE.dropna()[:n_rows])


def test_a_single_row_is_enough_for_transform():
    for i in range(N):
        assert_kept(TABLE[i : i + 1], FITTED.transform(TABLE[i : i + 1]))


@pytest.mark.parametrize("name", TABLE.columns)
def test_a_single_column(name):
    completed(TABLE[[name]])


def test_no_missing_cell():
    complete = TABLE.dropna()
    pd.testing.assert_frame_equal(completed(complete), complete)


def test_rows_without_an_observed_cell():
    table = TABLE.copy()
    table.loc[[3, 7, 8]] = None
    result = completed(table)
    assert result.loc[3].tolist() == result.loc[7].tolist() == result.loc[8].tolist()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (TABLE[:0], r"0 sample\(s\)"),
        (TABLE[[]], r"0 feature\(s\)"),
        (np.empty((0, 3)), r"0 sample\(s\)"),
        (np.empty((3, 0)), r"0 feature\(s\)"),
        (TABLE["real"], r"Use X.to_frame\(\)"),
        (np.ones(5), "Expected 2D array"),
    ],
    ids=["no rows", "no columns", "array, no rows", "array, no columns", "a column", "a vector"],
)
def test_no_table(table, message):
    with pytest.raises(ValueError, match=message):
        imputer().fit(table)
    with pytest.raises(ValueError, match=message):
        FITTED.transform(table)


# Columns of fit and of transform


def test_repeated_names():
    table = pd.concat([TABLE, TABLE[["real"]]], axis=1)
    with pytest.raises(ValueError, match=r"found \['real'\] more than once. Rename them"):
        imputer().fit(table)
    with pytest.raises(ValueError, match=r"found \['real'\] more than once. Rename them"):
        FITTED.transform(table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[["real", "count"]], "yet now missing:\n- city"),
        (lambda t: t.rename(columns={"city": "town"}), "unseen at fit time:\n- town"),
        (lambda t: t[["city", "real", "count"]], "must be in the same order"),
        (lambda t: t.assign(more=1), "unseen at fit time:\n- more"),
    ],
    ids=["missing", "renamed", "reordered", "added"],
)
def test_other_columns_than_in_fit(change, message):
    with pytest.raises(ValueError, match=message):
        FITTED.transform(change(TABLE))


@pytest.mark.parametrize("names", [[3, 1, 2], ["x", 1, ("y", 2)], [("a", 1), ("a", 2), ("b", 1)]])
def test_names_that_are_not_strings(names):
    table = TABLE.set_axis(pd.Index(names, tupleize_cols=False), axis=1)
    fitted = imputer().fit(table)
    result = fitted.transform(table)
    assert result.columns.equals(table.columns)
    assert_kept(table, result)
    reordered = table.iloc[:, [1, 0, 2]]
    for other in (reordered, table.set_axis([7, 8, 9], axis=1), table.iloc[:, :2]):
        with pytest.raises(ValueError, match=r"must be those of fit|X has 2 features"):
            fitted.transform(other)
    assert fitted.transform(table.to_numpy()).shape == (N, 3)


def test_an_array_after_a_table_and_the_reverse():
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        array = FITTED.transform(TABLE.to_numpy())
    assert isinstance(array, np.ndarray)
    expected = FITTED.transform(TABLE)
    np.testing.assert_array_equal(array[:, 2], expected["city"])
    np.testing.assert_allclose(array[:, 0].astype(float), expected["real"], rtol=1e-6)
    fitted = imputer().fit(TABLE.to_numpy())
    with pytest.warns(UserWarning, match="X has feature names, but"):
        result = fitted.transform(TABLE)
    assert_kept(TABLE.set_axis(result.columns, axis=1), result)
    with pytest.raises(ValueError, match=r"X has 2 features, but .* expecting 3"):
        fitted.transform(TABLE.to_numpy()[:, :2])


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("real", "text", r"found string values of dtype str. Use pandas.to_numeric\(X\['real'\]\)"),
        ("count", "1.5", r"found string values .* Use pandas.to_numeric\(X\['count'\]\)"),
        ("count", pd.Timestamp("2024"), "fitted as count on float values .* found datetime values"),
        ("count", pd.Categorical(["a"] * N), "found category values"),
        ("city", 1.5, "fitted as nominal on text of dtype str, found numbers of dtype float64"),
        ("city", pd.Timestamp("2024"), "fitted as nominal on text of dtype str, found dates"),
    ],
)
def test_a_column_of_another_kind_than_in_fit(column, values, message):
    with pytest.raises(ValueError, match=f"^Column '{column}': .*{message}"):
        FITTED.transform(TABLE.assign(**{column: values}))


def test_unseen_categories():
    other = TABLE.assign(city=["Rom", None] * (N // 2))
    result = FITTED.transform(other)
    assert_kept(other, result)
    assert (result["city"][::2] == "Rom").all()
    assert set(result["city"][1::2]) <= {"Bonn", "Kiel", "Ulm"}
    strict = imputer(handle_unknown="error").fit(TABLE)
    message = r"^Column 'city': level\(s\) \['Rom'\] were not seen in fit.*handle_unknown='missing'"
    with pytest.raises(ValueError, match=message):
        strict.transform(other)


# Numbers


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinities(value):
    table = TABLE.assign(real=TABLE["real"].where(TABLE.index > 2, value))
    message = r"infinity: column 'real' in 3 row\(s\). Replace it, e.g. X.replace"
    with pytest.raises(ValueError, match=message):
        imputer().fit(table)
    with pytest.raises(ValueError, match=message):
        FITTED.transform(table)
    completed(table.replace(value, np.nan))
    assert np.isfinite(imputer(missing_values=value).fit_transform(table)["real"]).all()


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("Int64", [2**63 - 1, 2**63 - 2, 2**53 + 1, -(2**63) + 1]),
        ("UInt64", [2**64 - 1, 2**64 - 2, 2**53 + 1, 3]),
        ("int64[pyarrow]", [2**63 - 1, 2**63 - 2, 2**53 + 1, 5]),
        (object, [10**25, 10**25 - 1, 2**53 + 1, 3]),
    ],
    ids=str,
)
def test_integers_beyond_float(dtype, values):
    table = make_table(big=pd.Series([*values, None] * (N // 5), dtype=dtype))
    with pytest.warns(UserWarning, match=r"Column 'big': integers beyond 2\*\*53.*'nominal'\}"):
        result = completed(table)["big"]
    assert min(values) <= min(result) <= max(result) <= max(values)
    exact = completed(table, feature_types={"big": "nominal"})["big"]
    assert set(exact) == set(values)


def test_a_huge_outlier_leaves_the_others_sane():
    rng = np.random.default_rng(0)
    values = rng.normal(size=300)
    values[7] = 1e12
    other = values.clip(-5, 5) + 0.1 * rng.normal(size=300)
    table, hidden = hide_cells(pd.DataFrame({"x": values, "y": other}), random_state=0)
    assert not hidden[7, 0]
    result = completed(table, max_iter=30)
    assert result["x"][7] == 1e12
    imputed = result["x"][hidden[:, 0]]
    assert imputed.abs().max() < 5  # the bulk is N(0, 1)
    assert np.corrcoef(imputed, other[hidden[:, 0]])[0, 1] > 0.5


def test_numbers_of_any_size():
    for scale in (1e-300, 1e-30, 1e30):
        table = make_table(wild=TABLE["real"].iloc[::-1].to_numpy() * scale)
        result = completed(table)
        assert result["wild"].abs().max() == table["wild"].abs().max()


@pytest.mark.parametrize("kind", ["frame", "objects", "array"])
def test_complex_numbers(kind):
    column = pd.Series([1j, 2, 3, 4] * (N // 4))
    table = make_table(z=column.astype(object) if kind == "objects" else column)
    table = table[["real", "z"]].to_numpy(dtype=complex) if kind == "array" else table
    name = "Complex data not supported" if kind == "array" else "Column 'z': complex data not"
    with pytest.raises(ValueError, match=name):
        imputer().fit(table)


@pytest.mark.parametrize("convert", [sparse.csr_matrix, sparse.coo_array])
def test_sparse_matrices(convert):
    with pytest.raises(TypeError, match=r"Sparse data .* Use '.toarray\(\)'"):
        imputer().fit(convert(np.eye(5)))


def test_sparse_columns():
    table = TABLE.assign(real=pd.arrays.SparseArray([0.0, 1.0] * (N // 2)))
    for use in (imputer().fit, FITTED.transform):
        with pytest.raises(
            TypeError, match=r"Column 'real': .* Use X\['real'\].sparse.to_dense\(\)"
        ):
            use(table)


# Dates


def test_imputed_dates_stay_in_the_observed_range():
    rng = np.random.default_rng(0)
    seconds = np.append(rng.integers(0, 10**6, N - 2), [-(6 * 10**9), 7 * 10**9])
    stamps = pd.Series(pd.Timestamp("2024-01-01") + pd.to_timedelta(seconds, "s"))
    table = make_table(
        stamp=stamps.astype("datetime64[s]").where(rng.random(N) < 0.7),
        day=pd.Series([*stamps.dt.date[:-10], *[None] * 10], dtype=object),
        zoned=stamps.dt.tz_localize(
            "Europe/Berlin", nonexistent="shift_forward", ambiguous=True
        ).where(rng.random(N) < 0.7),
        span=pd.Series(pd.to_timedelta(seconds % 10**6, "s")).where(rng.random(N) < 0.7),
    )
    result = completed(table)
    for name in ("stamp", "day", "zoned", "span"):
        known = table[name].dropna()
        assert known.min() <= result[name].min() <= result[name].max() <= known.max()
    assert {type(day) for day in result["day"]} == {datetime.date}


def test_dates_beyond_the_range_of_nanoseconds():
    days = [
        datetime.datetime(1, 1, 1),
        datetime.datetime(9999, 12, 31),
        datetime.datetime(2024, 1, 1),
    ]
    table = make_table(when=pd.Series([*days, None] * (N // 4), dtype=object))
    assert {type(day) for day in completed(table)["when"]} == {datetime.datetime}


@pytest.mark.parametrize(
    "values",
    [
        [pd.Timestamp("2024-01-01 00:00:00.000000001"), datetime.datetime(1, 1, 1)],
        [datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)],
    ],
    ids=["range", "time zones"],
)
def test_dates_that_pandas_cannot_hold_together(values):
    table = make_table(when=pd.Series([*values, None, values[0]] * (N // 4), dtype=object))
    with pytest.raises(ValueError, match=r"^Column 'when': cannot be read as datetime.*Convert it"):
        imputer().fit(table)


def test_another_resolution_and_another_time_zone():
    stamps = pd.Series(pd.date_range("2024", periods=N, freq="7h", unit="s"))
    table = make_table(when=stamps.where(TABLE["real"].notna()))
    fitted = imputer().fit(table)
    finer = table.astype({"when": "datetime64[ns]"})
    expected = fitted.transform(table)["when"]
    assert (fitted.transform(finer)["when"] == expected).all()
    with pytest.raises(ValueError, match=r"Column 'when': .*found datetime with time zone values"):
        fitted.transform(table.assign(when=table["when"].dt.tz_localize("UTC")))


# Text and objects


def test_numbers_as_text():
    table = make_table(code=[None, "1", "2.5", "3", "7"] * (N // 5))
    with pytest.warns(
        UserWarning, match=r"Column 'code': holds numbers as text.*pandas.to_numeric"
    ):
        result = completed(table)
    assert set(result["code"]) == {"1", "2.5", "3", "7"}
    completed(table, feature_types={"code": "nominal"})


def test_mixed_objects():
    table = make_table(mix=pd.Series([1, "a", 2.5, None] * (N // 4), dtype=object))
    with pytest.warns(UserWarning, match="Column 'mix': mixes float, int, str .*Convert it to one"):
        result = completed(table)
    assert set(result["mix"]) == {1, "a", 2.5}


@pytest.mark.parametrize("value", [[1], {"a": 1}, {1}, np.ones(2)], ids=lambda v: type(v).__name__)
def test_unhashable_objects(value):
    cells = pd.Series([None] * N, dtype=object)
    cells[3], cells[4] = value, "a"
    table, kind = make_table(bag=cells), type(value).__name__
    for parameters in ({}, {"missing_values": "?"}):
        with pytest.raises(
            TypeError, match=f"Column 'bag': holds a {kind}.*Expand it into columns"
        ):
            imputer(**parameters).fit(table)


@pytest.mark.parametrize(
    "column",
    [pd.period_range("2020", periods=N, freq="M"), pd.interval_range(0, N)],
    ids=["period", "interval"],
)
def test_periods_and_intervals(column):
    message = "Column 'x': dtype .* is not supported. Convert it to .* or leave it out"
    with pytest.raises(TypeError, match=message):
        imputer().fit(make_table(x=column))


def test_bins_of_intervals_are_ordered_categories():
    bins = pd.cut(TABLE["real"].abs(), [0, 0.3, 0.6, 1, 3])
    fitted = imputer().fit(make_table(bins=bins))
    assert fitted.feature_types_["bins"] == "ordinal"
    completed(make_table(bins=bins))


def test_every_kind_of_nothing_is_missing():
    cells = [None, pd.NA, np.nan, pd.NaT, decimal.Decimal("nan"), "a", "b", "c"]
    result = completed(make_table(text=pd.Series(cells * (N // 8), dtype=object)))
    assert set(result["text"]) == {"a", "b", "c"}


def test_free_text_is_named():
    table = pd.DataFrame({"key": [f"key {i}" for i in range(60)], "x": np.arange(60.0)})
    with pytest.warns(UserWarning, match="Column 'key': 60 different strings.*Drop the column"):
        imputer().fit(table)


def test_thousands_of_levels_in_bounded_memory():
    """In a process of its own, whose peak is its own."""
    code = """
import resource, numpy as np, pandas as pd, torch
from skhvae import HeterogeneousVAEImputer
torch.set_num_threads(1)
rng = np.random.default_rng(0)
codes = np.append(np.arange(5000), rng.integers(0, 5000, 1000))
names = [f"level {i}" for i in range(5000)]
table = pd.DataFrame({"x": rng.normal(size=6000), "wide": pd.Categorical.from_codes(codes, names)})
table = table.mask(rng.random(table.shape) < 0.1)
imputer = HeterogeneousVAEImputer(max_iter=2, latent_dim=4, hidden_layer_sizes=(16,), random_state=0)
imputer.fit(table[:300])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
completed = imputer.fit(table).transform(table)
assert not completed.isna().any(axis=None)
assert completed["wide"].dtype == table["wide"].dtype
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert float(process.stdout) < 1200  # MiB; one (rows, levels) table of points is 4000


# Markers of missing cells


def test_a_negative_marker():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"a": rng.integers(-1, 9, N), "b": rng.integers(-1, 2, N), "c": rng.normal(size=N)}
    )
    table.loc[:5, "c"] = -1
    result = imputer(missing_values=-1).fit_transform(table)
    assert result.dtypes.equals(table.dtypes)
    assert result[["a", "b"]].min().tolist() == [0, 0]
    assert (result["c"] != -1).all()
    assert result[table != -1].equals(table[table != -1])


def test_a_question_mark():
    table = TABLE.assign(
        city=TABLE["city"].fillna("?"), count=TABLE["count"].astype(object).fillna("?")
    )
    result = imputer(missing_values="?").fit_transform(table)
    assert set(result["city"]) == {"Bonn", "Kiel", "Ulm"}
    assert result["count"].map(float).between(0, 49).all()
    assert not result.isna().any(axis=None)


def test_a_marker_must_be_a_scalar():
    with pytest.raises(TypeError, match="missing_values must be a scalar"):
        imputer(missing_values=[-1]).fit(TABLE)


# Names and ranges of parameters


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"moo": "pcgrd"}, r"'moo' parameter.*Did you mean 'pcgrad'\? Known: "),
        ({"moo": "imtl_g"}, r"'moo' parameter.*Did you mean 'imtl-g'\?"),
        (
            {"moo": ("sum", "pcgrd")},
            r"'moo' parameter.*\('sum', 'pcgrd'\).*Did you mean 'pcgrad'\?",
        ),
        ({"moo": ("sum", 3)}, r"'moo' parameter.*3 is no strategy"),
        ({"moo": ()}, r"'moo' parameter.*needs at least one, found none"),
        ({"moo": ("graddrop", "sum")}, r"'moo' parameter.*GradDrop.*only be the last"),
        ({"moo": 3}, "'moo' parameter"),
        ({"objective": "ivae"}, r"'objective' parameter.*Did you mean 'iwae'\?"),
        ({"n_importance_samples": 0}, "'n_importance_samples' parameter"),
        (
            {"model": "hivae", "objective": "iwae"},
            r"objective='iwae'.*model='hivae' does not have.*Use objective='elbo'",
        ),
        ({"model": "cave"}, r"'model' parameter.*Did you mean 'cvae'\? Known: "),
        ({"objective": "elb"}, r"'objective' parameter.*Did you mean 'elbo'\? Known: "),
        ({"likelihoods": {"count": "poison"}}, r"likelihoods\['count'\].*Did you mean 'poisson'\?"),
        ({"likelihoods": {"town": "normal"}}, "names 'town', which is neither a column nor a"),
        ({"likelihoods": {"count": Poisson}}, r"Pass an instance, Poisson\(\)"),
        ({"feature_types": {"count": "cuont"}}, r"Column 'count'.*Did you mean 'count'\? Known: "),
        ({"feature_types": {"reel": "real"}}, r"names column 'reel'.*Did you mean 'real'\?"),
        ({"feature_types": "auto"}, "'feature_types' parameter"),
        ({"handle_unknown": "ignore"}, "'handle_unknown' parameter"),
        ({"max_iter": 0}, r"'max_iter' parameter .* in the range \[1, inf\)"),
        ({"latent_dim": -1}, r"'latent_dim' parameter .* in the range"),
        ({"latent_dim": 2.5}, "'latent_dim' parameter"),
        ({"beta": -0.1}, "'beta' parameter"),
        ({"learning_rate_init": 0}, "'learning_rate_init' parameter"),
        ({"validation_fraction": 1.0}, "'validation_fraction' parameter"),
        ({"batch_size": 0}, "'batch_size' parameter"),
        ({"hidden_layer_sizes": ()}, "'hidden_layer_sizes' parameter .* equal positive integers"),
        (
            {"hidden_layer_sizes": (8, 4)},
            "'hidden_layer_sizes' parameter .* equal positive integers",
        ),
        ({"early_stopping": "yes"}, "'early_stopping' parameter"),
        ({"random_state": "a"}, "'random_state' parameter"),
        ({"device": "gpu"}, "device='gpu' cannot be used here.*Use 'auto' or 'cpu'"),
        ({"verbose": -1}, "'verbose' parameter"),
    ],
    ids=str,
)
def test_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        imputer(**parameters).fit(TABLE)


def test_an_unknown_mechanism():
    with pytest.raises(
        ValueError, match=r"mechanism 'mcra'. Did you mean 'mcar'\? Known: mar, mcar"
    ):
        hide_cells(TABLE, mechanism="mcra")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"likelihoods": {"real": "poisson"}},
            r"^Column 'real': likelihood 'poisson' needs non-negative integers, found 0.12\d+ in "
            r"\d+ row\(s\). Use another one, e.g. likelihoods=\{'real': 'normal'\}",
        ),
        ({"likelihoods": {"real": "gamma"}}, "'gamma' needs positive numbers, found -"),
        ({"likelihoods": {"city": "normal"}}, "^Column 'city': likelihood 'normal' models numbers"),
        ({"likelihoods": {"nominal": "bernoulli"}}, "'bernoulli' models at most 2 levels, found 3"),
        (
            {"feature_types": {"real": "count"}},
            r"^Column 'real': type 'count' .*Use feature_types=\{'real': 'real'\}",
        ),
        ({"feature_types": {"real": "binary"}}, "^Column 'real': type 'binary' needs at most two"),
        (
            {"feature_types": {"city": "real"}},
            r"^Column 'city': .*Use pandas.to_numeric\(X\['city'\]",
        ),
        ({"feature_types": {"city": "datetime"}}, r"^Column 'city': .*Use pandas.to_datetime\(X"),
        ({"feature_types": {"city": "ordinal"}}, "^Column 'city': type 'ordinal' needs an order"),
    ],
    ids=str,
)
def test_types_and_likelihoods_that_do_not_fit(parameters, message):
    with pytest.raises(ValueError, match=message):
        imputer(**parameters).fit(TABLE)


# A failed fit


BAD = {
    "infinity": (ValueError, TABLE.assign(real=np.inf), {}),
    "complex": (ValueError, TABLE.assign(real=1j), {}),
    "period": (TypeError, TABLE.assign(real=pd.period_range("2020", periods=N, freq="D")), {}),
    "one row": (ValueError, TABLE[:1], {}),
    "repeated": (ValueError, pd.concat([TABLE, TABLE], axis=1), {}),
    "sparse": (TypeError, sparse.csr_matrix(np.eye(5)), {}),
    "unknown type": (ValueError, TABLE, {"feature_types": {"real": "reel"}}),
    "type": (ValueError, TABLE, {"feature_types": {"real": "count"}}),
    "unknown likelihood": (ValueError, TABLE, {"likelihoods": {"real": "norml"}}),
    "likelihood": (ValueError, TABLE, {"likelihoods": {"real": "poisson"}}),
    "strategy": (ValueError, TABLE, {"moo": "pcgrd"}),
    "range": (ValueError, TABLE, {"max_iter": 0}),
    "device": (ValueError, TABLE, {"device": "gpu"}),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_raises_before_training_and_leaves_the_estimator_as_it_was(name, monkeypatch):
    error, table, parameters = BAD[name]
    found = imputer().fit(TABLE)
    expected, state = found.transform(TABLE), dict(vars(found))

    def no_training(*args, **kwargs):
        raise AssertionError("training has started")

    monkeypatch.setattr("skhvae.engine.train", no_training)
    found.set_params(**parameters)
    with pytest.raises(error):
        found.fit(table)
    found.set_params(**{name: state[name] for name in parameters})
    assert vars(found) == state
    pd.testing.assert_frame_equal(found.transform(TABLE), expected, check_exact=True)


def test_a_fit_that_fails_in_training_leaves_the_estimator_as_it_was(monkeypatch):
    found = imputer().fit(TABLE)
    expected, state = found.transform(TABLE), dict(vars(found))

    def diverge(*args, **kwargs):
        raise FloatingPointError("the loss was not finite")

    monkeypatch.setattr("skhvae.engine.train", diverge)
    with pytest.raises(FloatingPointError):
        found.fit(TABLE[::-1])
    assert vars(found) == state
    pd.testing.assert_frame_equal(found.transform(TABLE), expected, check_exact=True)


def test_a_first_fit_that_fails_leaves_nothing():
    found = imputer()
    before = dict(vars(found))
    with pytest.raises(ValueError, match="infinity"):
        found.fit(TABLE.assign(real=np.inf))
    assert vars(found) == before


def test_a_failed_transform_changes_nothing():
    expected, state = FITTED.transform(TABLE), dict(vars(FITTED))
    with pytest.raises(ValueError, match="infinity"):
        FITTED.transform(TABLE.assign(real=np.inf))
    assert vars(FITTED) == state
    pd.testing.assert_frame_equal(FITTED.transform(TABLE), expected, check_exact=True)


def test_global_random_numbers_are_left_alone():
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    expected = torch.rand(1).item(), np.random.rand()  # noqa: NPY002
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    imputer().fit_transform(TABLE)
    assert (torch.rand(1).item(), np.random.rand()) == expected  # noqa: NPY002
