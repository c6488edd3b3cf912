"""Hidden cells follow their mechanism; errors are those computed by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from skhvae.evaluation import hide_cells, imputation_errors, total_error
from skhvae.schema import infer_schema

MECHANISMS = ("mcar", "mar", "mnar")
DAYS = pd.date_range("2020-01-01", periods=12)
LETTERS = list("abcabcabcabc")

# Column values, their feature type, and the dtype with gaps.
COLUMNS = {
    "int64": (np.arange(12), "count", "float64"),
    "int8": (np.arange(12, dtype="int8") - 6, "real", "float64"),
    "uint64": (np.arange(12, dtype="uint64"), "count", "float64"),
    "large uint64": (2**63 + np.arange(12, dtype="uint64"), "count", "UInt64"),
    "large int64": (-(2**62) - np.arange(12), "real", "Int64"),
    "float32": (np.linspace(-1, 1, 12, dtype="float32"), "real", "float32"),
    "float64": (np.exp(np.arange(12) / 2), "positive", "float64"),
    "Int64": (pd.array(np.arange(12), dtype="Int64"), "count", "Int64"),
    "Float64": (pd.array(np.arange(12) - 0.5, dtype="Float64"), "real", "Float64"),
    "bool": (np.arange(12) % 3 == 0, "binary", "boolean"),
    "boolean": (pd.array(np.arange(12) % 3 == 0, dtype="boolean"), "binary", "boolean"),
    "object booleans": (np.array([True, False] * 6, dtype=object), "binary", "object"),
    "object integers": (np.arange(12).astype(object), "count", "object"),
    "str": (LETTERS, "nominal", pd.Series(LETTERS).dtype),
    "object strings": (pd.Series(LETTERS, dtype=object), "nominal", "object"),
    "two numbers": (np.array([0.0, 2.5] * 6), "binary", "float64"),
    "category": (pd.Categorical(LETTERS), "nominal", pd.CategoricalDtype(list("abc"))),
    "ordered": (
        pd.Categorical(LETTERS, categories=list("dcba"), ordered=True),
        "ordinal",
        pd.CategoricalDtype(list("dcba"), ordered=True),
    ),
    "ordered integers": (
        pd.Categorical([1, 2, 4] * 4, ordered=True),
        "ordinal",
        pd.CategoricalDtype([1, 2, 4], ordered=True),
    ),
    "datetime": (DAYS, "datetime", DAYS.dtype),
    "seconds": (DAYS.as_unit("s"), "datetime", "datetime64[s]"),
    "time zone": (
        DAYS.tz_localize("Europe/Berlin").as_unit("us"),
        "datetime",
        "datetime64[us, Europe/Berlin]",
    ),
    "timedelta": (DAYS - DAYS[0], "datetime", (DAYS - DAYS[0]).dtype),
    "dates": (np.array(DAYS.date, dtype=object), "datetime", "object"),
}
try:
    import pyarrow as pa
except ImportError:
    pass
else:
    ARROW = {
        "arrow int": (pd.array(np.arange(12), dtype="int64[pyarrow]"), "count"),
        "arrow float": (pd.array(np.arange(12) - 0.5, dtype="double[pyarrow]"), "real"),
        "arrow bool": (pd.array(np.arange(12) % 2 == 0, dtype="bool[pyarrow]"), "binary"),
        "arrow string": (pd.array(LETTERS, dtype=pd.ArrowDtype(pa.string())), "nominal"),
        "arrow time": (pd.array(DAYS, dtype="timestamp[us][pyarrow]"), "datetime"),
        "arrow date": (pd.array(DAYS.date, dtype=pd.ArrowDtype(pa.date32())), "datetime"),
    }
    COLUMNS |= {name: (values, kind, values.dtype) for name, (values, kind) in ARROW.items()}


def table_of_all_dtypes():
    return pd.DataFrame({name: values for name, (values, *_) in COLUMNS.items()})


def independent_columns(n_rows=20_000, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "real": rng.normal(size=n_rows),
            "positive": rng.lognormal(sigma=1.5, size=n_rows),
            "count": rng.poisson(5, size=n_rows),
            "binary": rng.random(n_rows) < 0.3,
            "nominal": pd.Categorical.from_codes(rng.integers(0, 6, n_rows), list("abcdef")),
            "ordinal": pd.Categorical.from_codes(
                rng.integers(0, 4, n_rows), list("smlx"), ordered=True
            ),
            "day": DAYS[0] + pd.to_timedelta(rng.integers(0, 10_000, n_rows), unit="h"),
        }
    )


def assert_hidden_exactly(before, after, hidden):
    """The hidden cells are the newly missing ones, and no other cell has changed."""
    assert list(before.columns) == list(after.columns)
    assert before.index.equals(after.index)
    for i, name in enumerate(before.columns):
        was_missing, is_missing = before[name].isna().to_numpy(), after[name].isna().to_numpy()
        np.testing.assert_array_equal(is_missing & ~was_missing, hidden[:, i], err_msg=name)
        assert not (hidden[:, i] & was_missing).any()
        kept_before, kept_after = (
            column[~is_missing].astype(object).tolist() for column in (before[name], after[name])
        )
        assert kept_before == kept_after, name


# Hiding.


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("name", COLUMNS)
def test_hide_cells_keeps_values_and_dtypes(name, mechanism):
    table = pd.DataFrame({"complete": np.arange(12) % 5, name: COLUMNS[name][0]})
    copy = table.copy()
    with_gaps, hidden = hide_cells(table, 0.5, mechanism, random_state=1)
    pd.testing.assert_frame_equal(table, copy)
    assert_hidden_exactly(table, with_gaps, hidden)
    assert with_gaps[name].dtype == (COLUMNS[name][2] if hidden[:, 1].any() else table[name].dtype)
    assert hidden.any()


def test_hide_cells_keeps_the_feature_types():
    table = table_of_all_dtypes().drop(columns=["large int64", "large uint64"])  # these warn
    with_gaps, _ = hide_cells(table, 0.2, random_state=0)
    assert infer_schema(with_gaps).types == infer_schema(table).types


def test_hide_cells_keeps_index_and_column_labels():
    columns = pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["x", "y"])
    table = pd.DataFrame(np.arange(20).reshape(10, 2), index=[7, 7, *"abcdefgh"], columns=columns)
    with_gaps, hidden = hide_cells(table, 0.5, "mnar", random_state=0)
    pd.testing.assert_index_equal(with_gaps.columns, columns)
    pd.testing.assert_index_equal(with_gaps.index, table.index)
    np.testing.assert_array_equal(with_gaps.isna(), hidden)
    errors = imputation_errors(table, table, hidden)
    assert errors.index.tolist() == [("a", 1), ("b", 2)]


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.arange(20.0).reshape(10, 2), "float64"),
        (np.arange(20, dtype="float32").reshape(10, 2), "float32"),
        (np.arange(20).reshape(10, 2), "float64"),
        (np.arange(20).reshape(10, 2) + 2**60, "object"),
        (np.arange(20).reshape(10, 2) % 3 == 0, "object"),
        (np.array(list("abcd" * 5)).reshape(10, 2), "object"),
        (np.array([1, "a"] * 10, dtype=object).reshape(10, 2), "object"),
        (np.arange(20).reshape(10, 2).astype("datetime64[s]"), "datetime64[s]"),
    ],
    ids=lambda value: str(getattr(value, "dtype", "")),
)
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_hide_cells_of_arrays(array, dtype, mechanism):
    copy = array.copy()
    with_gaps, hidden = hide_cells(array, 0.5, mechanism, random_state=0)
    np.testing.assert_array_equal(array, copy)
    assert type(with_gaps) is np.ndarray
    assert with_gaps.dtype == dtype
    np.testing.assert_array_equal(pd.isna(with_gaps), hidden)
    assert with_gaps[~hidden].tolist() == array[~hidden].tolist()


def test_hide_cells_of_a_list_gives_an_array():
    with_gaps, hidden = hide_cells([[1, 2], [3, 4], [5, 6]], 0.5, random_state=0)
    np.testing.assert_array_equal(np.isnan(with_gaps), hidden)


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("fraction", [0.02, 0.3, 0.9])
def test_hidden_fraction_of_every_column(mechanism, fraction):
    table = independent_columns()
    table.loc[::7, "count"] = np.nan
    table.loc[::3, "day"] = pd.NaT
    _, hidden = hide_cells(table, fraction, mechanism, random_state=3)
    share = hidden.sum(axis=0) / table.notna().sum().to_numpy()
    kept = share == 0
    assert kept.sum() == (round(7 / 3) if mechanism == "mar" else 0)
    assert not kept[[2, 6]].any()
    np.testing.assert_allclose(share[~kept], fraction, atol=4 * np.sqrt(0.25 / 13_000))


def test_mcar_does_not_depend_on_any_value():
    table = independent_columns()
    _, hidden = hide_cells(table, 0.3, random_state=0)
    assert np.abs(correlations(hidden, table)).max() < 0.03


def test_mar_depends_on_the_complete_columns_only():
    table = independent_columns()
    _, hidden = hide_cells(table, 0.3, "mar", random_state=0)
    kept = ~hidden.any(axis=0)
    correlation = np.abs(correlations(hidden[:, ~kept], table))
    assert (correlation[:, kept].max(axis=1) > 0.15).all()
    assert correlation[:, ~kept].max() < 0.03

    shuffled = table.copy()  # other values in the columns that are hidden: the same cells
    for name in table.columns[~kept]:
        shuffled[name] = table[name].sample(frac=1, random_state=0).to_numpy()
    np.testing.assert_array_equal(hide_cells(shuffled, 0.3, "mar", random_state=0)[1], hidden)


def test_mar_columns_follow_combinations_of_their_own():
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(5000, 6)))
    _, hidden = hide_cells(table, 0.3, "mar", random_state=1)
    targets = np.flatnonzero(hidden.any(axis=0))
    kept = np.flatnonzero(~hidden.any(axis=0))
    directions = correlations(hidden[:, targets], table)[:, kept]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    cosines = np.abs(directions @ directions.T)[np.triu_indices(len(targets), 1)]
    assert cosines.min() < 0.9


@pytest.mark.parametrize(("n_columns", "n_kept"), [(2, 1), (3, 1), (4, 1), (5, 2), (10, 3)])
def test_mar_keeps_a_third_of_the_columns(n_columns, n_kept):
    table = np.random.default_rng(0).normal(size=(300, n_columns))
    _, hidden = hide_cells(table, 0.3, "mar", random_state=0)
    assert (~hidden.any(axis=0)).sum() == n_kept


def test_mnar_prefers_large_values_and_some_levels():
    table = independent_columns()
    _, hidden = hide_cells(table, 0.3, "mnar", random_state=0)
    for i, name in enumerate(["real", "positive", "count"]):
        values = table[name].to_numpy(dtype=float)
        assert values[hidden[:, i]].mean() > values[~hidden[:, i]].mean()
    by_rank = pd.Series(hidden[:, 5]).groupby(table["ordinal"].cat.codes).mean()
    assert by_rank.is_monotonic_increasing
    by_level = pd.Series(hidden[:, 4]).groupby(table["nominal"].cat.codes).mean()
    assert by_level.max() - by_level.min() > 0.2


@pytest.mark.parametrize(
    ("name", "score"), [("real", np.asarray), ("positive", np.log1p), ("count", np.log1p)]
)
def test_mnar_probability_is_logistic_with_slope_one_and_a_half(name, score):
    table = independent_columns(60_000)
    _, hidden = hide_cells(table[[name]], 0.3, "mnar", random_state=0)
    values = score(table[name].to_numpy(dtype=float))
    scores = ((values - values.mean()) / values.std()).clip(-3, 3)
    model = LogisticRegression(C=np.inf).fit(scores[:, None], hidden[:, 0])
    assert model.coef_[0, 0] == pytest.approx(1.5, abs=0.06)


def correlations(hidden, table):
    """Correlation of every hidden column with every (numerically coded) column of the table."""
    codes = [pd.factorize(table[name], sort=True)[0].astype(float) for name in table.columns]
    n = hidden.shape[1]
    return np.corrcoef(hidden.T.astype(float), np.array(codes))[:n, n:]


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_hide_cells_follows_random_state_and_leaves_the_global_one(mechanism):
    table = independent_columns(200)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other, third = (
        hide_cells(table, 0.3, mechanism, random_state=seed)[1]
        for seed in (0, 0, 1, np.random.default_rng(0))
    )
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, third)
    assert (first != other).any()
    assert (hide_cells(table, 0.3)[1] != hide_cells(table, 0.3)[1]).any()
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_hide_cells_copes_with_empty_and_constant_columns(mechanism):
    table = pd.DataFrame(
        {"empty": np.nan, "constant": 1.0, "text": "x", "x": np.arange(400.0), "none": None}
    )
    with_gaps, hidden = hide_cells(table, 0.4, mechanism, random_state=0)
    assert_hidden_exactly(table, with_gaps, hidden)
    assert not hidden[:, [0, 4]].any()


def test_hide_cells_does_not_warn_about_modelling():
    table = pd.DataFrame({"id": [f"name {i}" for i in range(100)], "x": np.arange(100) % 7})
    hide_cells(table, 0.4, "mnar", random_state=0)


columns = st.one_of(
    st.lists(st.floats(-1e6, 1e6) | st.none(), min_size=6, max_size=6).map(
        lambda values: pd.Series(values, dtype="float64")
    ),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=6, max_size=6).map(
        lambda values: pd.Series(values, dtype="int64")
    ),
    st.lists(st.booleans(), min_size=6, max_size=6).map(pd.Series),
    st.lists(st.sampled_from(["a", "b", "c", None]), min_size=6, max_size=6).map(
        lambda values: pd.Series(values, dtype="category")
    ),
    st.lists(st.text(max_size=3) | st.none(), min_size=6, max_size=6).map(
        lambda values: pd.Series(values, dtype="str")
    ),
    st.lists(st.integers(0, 2**40) | st.none(), min_size=6, max_size=6).map(
        lambda values: pd.Series(pd.array(values, dtype="Int64"))
    ),
)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    columns=st.lists(columns, min_size=1, max_size=4),
    mechanism=st.sampled_from(MECHANISMS),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
)
def test_hidden_cells_are_exactly_the_newly_missing_ones(columns, mechanism, fraction, seed):
    table = pd.DataFrame(dict(enumerate(columns)))
    if mechanism == "mar" and (len(columns) == 1 or not table.notna().all().any()):
        with pytest.raises(ValueError, match="mechanism='mar'"):
            hide_cells(table, fraction, mechanism, random_state=seed)
        return
    with_gaps, hidden = hide_cells(table, fraction, mechanism, random_state=seed)
    assert hidden.shape == table.shape
    assert hidden.dtype == bool
    assert_hidden_exactly(table, with_gaps, hidden)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 20, np.nan, "0.2", None, True])
def test_hide_cells_refuses_fractions(fraction):
    with pytest.raises(ValueError, match="fraction must be a number between 0 and 1, found"):
        hide_cells(np.eye(3), fraction)


def test_hide_cells_refuses_unknown_mechanisms():
    with pytest.raises(ValueError, match=r"Unknown mechanism 'mnra'. Did you mean 'mnar'\?"):
        hide_cells(np.eye(3), 0.2, "mnra")


def test_mar_refuses_tables_without_a_complete_column():
    with pytest.raises(ValueError, match=r"at least two columns.*found 1 column"):
        hide_cells(np.zeros((5, 1)), 0.2, "mar")
    gaps = np.where(np.eye(4, dtype=bool), np.nan, 1.0)
    with pytest.raises(ValueError, match="found missing cells in all 4 columns"):
        hide_cells(gaps, 0.2, "mar")


# Errors.


def small_case():
    true = pd.DataFrame(
        {
            "real": [-1.0, 0.0, 3.0, np.nan, 1.0],
            "count": [0, 2, 4, 6, 10],
            "binary": [True, False, True, True, False],
            "nominal": ["a", "b", "b", "c", None],
            "ordinal": pd.Categorical(
                ["low", "mid", "high", "low", "low"],
                categories=["none", "low", "mid", "high"],
                ordered=True,
            ),
            "day": pd.to_datetime(
                ["2020-01-01", "2020-01-03", "2020-01-05", "2020-01-11", "2020-01-02"]
            ),
            "unhidden": [1.0, 2.5, 3.0, 4.0, 5.0],
        }
    )
    imputed = true.copy()
    imputed["count"] = [0.0, 5.0, 4.0, 2.0, 10.0]
    imputed.loc[[0, 2], "real"] = [1.0, 2.0]
    imputed.loc[[0, 1], "binary"] = [False, False]
    imputed.loc[[0, 1, 3], "nominal"] = ["b", "b", "d"]
    imputed["ordinal"] = ["high", "mid", "none", "low", "low"]
    imputed.loc[[0, 3], "day"] = pd.to_datetime(["2020-01-04", "2020-01-07"])
    hidden = np.zeros(true.shape, dtype=bool)
    for i, rows in enumerate([[0, 2], [1, 3], [0, 1], [0, 1, 3], [0, 2], [0, 3]]):
        hidden[rows, i] = True
    return true, imputed, hidden


def test_errors_computed_by_hand():
    true, imputed, hidden = small_case()
    errors = imputation_errors(true, imputed, hidden)
    assert errors.index.tolist() == true.columns.tolist()
    assert errors.columns.tolist() == ["type", "metric", "error", "baseline", "ratio", "n_cells"]
    expected = {
        "real": ("real", "nrmse", np.sqrt((2**2 + 1**2) / 2) / 4, np.sqrt(1.5**2 + 2.5**2), 2),
        "count": ("count", "nrmse", np.sqrt((3**2 + 4**2) / 2) / 10, 0.0, 2),
        "binary": ("binary", "error rate", 1 / 2, 0.0, 2),
        "nominal": ("nominal", "error rate", 2 / 3, 2 / 3, 3),
        "ordinal": ("ordinal", "rank error", (2 + 3) / 2 / 4, (0 + 2) / 2 / 4, 2),
        "day": ("datetime", "nrmse", np.sqrt((3**2 + 4**2) / 2) / 10, 0.0, 2),
        "unhidden": ("real", "nrmse", np.nan, np.nan, 0),
    }
    # Means of the visible: real (0 + 1) / 2, count 14 / 3, day (2 + 4 + 1) / 3 after the first.
    baselines = {
        "real": np.sqrt((1.5**2 + 2.5**2) / 2) / 4,
        "count": np.sqrt(((14 / 3 - 2) ** 2 + (14 / 3 - 6) ** 2) / 2) / 10,
        "binary": 1 / 2,
        "day": np.sqrt(((7 / 3) ** 2 + (7 / 3 - 10) ** 2) / 2) / 10,
    }
    for name, (kind, metric, error, baseline, n_cells) in expected.items():
        row = errors.loc[name]
        assert (row["type"], row["metric"], row["n_cells"]) == (kind, metric, n_cells)
        assert row["error"] == pytest.approx(error, nan_ok=True), name
        baseline = baselines.get(name, baseline)
        assert row["baseline"] == pytest.approx(baseline, nan_ok=True), name
        assert row["ratio"] == pytest.approx(error / baseline, nan_ok=True), name
    assert total_error(errors) == pytest.approx(np.mean([e[2] for e in expected.values()][:-1]))


def test_only_hidden_cells_count():
    true, imputed, hidden = small_case()
    elsewhere = imputed.astype(object).where(hidden, None)
    pd.testing.assert_frame_equal(
        imputation_errors(true, elsewhere, hidden), imputation_errors(true, imputed, hidden)
    )


@pytest.mark.parametrize("name", [name for name in COLUMNS if "large" not in name])
def test_the_truth_has_no_error_and_another_value_has_one(name):
    values, kind, _ = COLUMNS[name]
    true = pd.DataFrame({name: values})
    hidden = np.zeros((12, 1), dtype=bool)
    hidden[[1, 4, 11]] = True
    other = true.iloc[np.roll(np.arange(12), 1)].reset_index(drop=True)
    errors = imputation_errors(true, true, hidden)
    assert errors["type"].item() == kind
    assert errors["error"].item() == 0
    expected = imputation_errors(true, other, hidden)["error"].item()
    assert expected > 0
    versions = [other.astype(object), other.astype(object).to_numpy()]
    if not name.startswith("arrow"):  # pandas' convert_dtypes fails for dates there
        versions.append(other.convert_dtypes())
    for version in versions:
        error = imputation_errors(true, version, hidden)["error"].item()
        assert error == pytest.approx(expected)


def test_dates_compare_across_units_and_time_zones():
    days = DAYS.tz_localize("Europe/Berlin")
    hidden = np.ones((12, 1), dtype=bool)
    hidden[::2] = False
    for other in (days.tz_convert("UTC"), days.as_unit("s"), days.as_unit("ns")):
        errors = imputation_errors(
            pd.DataFrame({"day": days}), pd.DataFrame({"day": other}), hidden
        )
        assert errors["error"].item() == 0
    with pytest.raises(ValueError, match=r"Column 'day'.*tz-naive"):
        imputation_errors(pd.DataFrame({"day": days}), pd.DataFrame({"day": DAYS}), hidden)


def test_errors_of_arrays():
    true = np.array([[1.5, 0.0], [2.0, 1.0], [4.0, 1.0], [3.5, 0.0]])
    imputed = true.copy()
    imputed[0] = [2.5, 1.0]
    hidden = np.array([[True, True], [False, True], [False, False], [False, False]])
    errors = imputation_errors(true, imputed, hidden)
    assert errors.index.tolist() == [0, 1]
    assert errors["type"].tolist() == ["real", "binary"]
    np.testing.assert_allclose(errors["error"], [1 / 2.5, 1 / 2])
    frame = pd.DataFrame(true, columns=["a", "b"], index=list("wxyz"))
    by_name = imputation_errors(frame, imputed, hidden)
    np.testing.assert_allclose(by_name["error"], errors["error"])
    assert imputation_errors(true, frame, hidden)["error"].tolist() == [0, 0]


def test_feature_types_choose_the_metric():
    true = pd.DataFrame({"stars": [1, 2, 3, 5, 5, 3]})
    imputed = pd.DataFrame({"stars": [2.5, 2, 5, 3, 5, 3]})
    hidden = np.array([[True], [False], [True], [True], [False], [False]])
    error = {
        kind: imputation_errors(true, imputed, hidden, {"stars": kind})["error"].item()
        for kind in ("count", "ordinal", "nominal")
    }
    assert error["count"] == pytest.approx(np.sqrt((1.5**2 + 2**2 + 2**2) / 3) / 4)
    assert error["ordinal"] == pytest.approx((1.5 + 1 + 1) / 3 / 4)  # 2.5 between ranks 1 and 2
    assert error["nominal"] == 1
    with pytest.raises(ValueError, match=r"unknown feature type 'ordnial'.*'ordinal'"):
        imputation_errors(true, imputed, hidden, {"stars": "ordnial"})


def test_a_schema_serves_as_feature_types():
    whole = pd.DataFrame({"x": np.arange(30.0), "size": pd.Categorical(list("sml") * 10)})
    whole["size"] = whole["size"].cat.set_categories(list("sml"), ordered=True)
    schema = infer_schema(whole, {"x": "real"})
    part = whole.iloc[:4]
    hidden = np.ones(part.shape, dtype=bool)
    errors = imputation_errors(part, part[::-1].set_axis(part.index), hidden, schema)
    assert errors["type"].tolist() == ["real", "ordinal"]
    assert errors["error"].tolist() == pytest.approx([np.sqrt(5) / 3, (0 + 1 + 1 + 0) / 4 / 3])


def test_constant_and_empty_columns():
    true = pd.DataFrame({"constant": [2.0, 2.0, 2.0], "empty": [np.nan] * 3})
    hidden = np.array([[True, False], [False, False], [False, False]])
    errors = imputation_errors(true, true.fillna(0.0), hidden)
    assert errors["error"].tolist() == pytest.approx([0, np.nan], nan_ok=True)
    wrong = imputation_errors(true, true.assign(constant=2.5), hidden)
    assert wrong.loc["constant", "error"] == 0.5
    assert wrong.loc["constant", "ratio"] == np.inf


@pytest.mark.parametrize("unit", [1.7e308, 1e200, 1e-200, 1e-320])
def test_numbers_of_any_size(unit):
    true = pd.DataFrame({"x": np.array([0.0, 0.25, 0.5, 1.0, 1.0, 1.0]) * unit})
    hidden = np.array([[False]] + [[True]] * 2 + [[False]] * 3)
    imputed = true.assign(x=np.array([0.0, 0.5, 0.75, 1.0, 1.0, 1.0]) * unit)
    errors = imputation_errors(true, imputed, hidden)
    assert errors["error"].item() == pytest.approx(0.25, rel=1e-3)
    baseline = np.sqrt((0.5**2 + 0.25**2) / 2)
    assert errors["baseline"].item() == pytest.approx(baseline, rel=1e-3)


def test_guesses_from_another_world():
    true = pd.DataFrame({"x": [1.5, 2.5, 3.5]})
    errors = imputation_errors(true, true.assign(x=1e300), np.ones((3, 1), dtype=bool))
    assert errors["error"].item() == np.inf


def test_a_range_that_is_no_float_any_more():
    true = pd.DataFrame({"x": [-1.7e308, 1.7e308, 1e308]})
    hidden = np.array([[True], [False], [False]])
    errors = imputation_errors(true, true.assign(x=1.7e308), hidden)
    assert 0.9 < errors["error"].item() < 2


def test_baseline_is_missing_when_all_cells_are_hidden():
    true = pd.DataFrame({"x": [1.5, 2.0, 4.0]})
    errors = imputation_errors(true, true, np.ones((3, 1), dtype=bool))
    assert errors["error"].item() == 0
    assert np.isnan(errors["baseline"].item())


def test_total_error_skips_features_without_hidden_cells():
    assert total_error(pd.DataFrame({"error": [0.25, np.nan, 0.75]})) == 0.5
    assert np.isnan(total_error(pd.DataFrame({"error": [np.nan]})))
    assert type(total_error(pd.DataFrame({"error": [0.5]}))) is float


def test_errors_name_what_does_not_fit():
    true, imputed, hidden = small_case()
    with pytest.raises(
        ValueError, match=r"X_imputed must have the shape of X_true, \(5, 7\), found"
    ):
        imputation_errors(true, imputed.iloc[:, 1:], hidden)
    with pytest.raises(ValueError, match="hidden must have the shape of X_true"):
        imputation_errors(true, imputed, hidden[:-1])
    with pytest.raises(TypeError, match=r"hidden must be boolean.*found int64"):
        imputation_errors(true, imputed, hidden.astype("int64"))
    with pytest.raises(ValueError, match=r"columns of X_true.*found 'unhidden' instead of 'real'"):
        imputation_errors(true, imputed.iloc[:, ::-1], hidden)
    with pytest.raises(ValueError, match=r"rows of X_true.*found 4 instead of 0 at position 0"):
        imputation_errors(true, imputed[::-1], hidden)
    with pytest.raises(TypeError, match="'day': imputed cells of dtype int64 cannot be compared"):
        imputation_errors(true, imputed.assign(day=1), hidden)
    with pytest.raises(ValueError, match=r"'ordinal': found \['huge'\], which have no rank"):
        imputation_errors(true, imputed.assign(ordinal="huge"), hidden)
    with pytest.raises(ValueError, match="infinity: column 'real' in 2 row"):
        imputation_errors(true, imputed.assign(real=np.inf), hidden)


def test_errors_name_the_columns_with_missing_cells():
    true, imputed, hidden = small_case()
    gaps = imputed.assign(real=np.nan, nominal=imputed["nominal"].where([False, *[True] * 4]))
    message = r"X_imputed has missing values in hidden cells \('real': 2, 'nominal': 1\)"
    with pytest.raises(ValueError, match=message):
        imputation_errors(true, gaps, hidden)
    hidden[3, 0] = True
    with pytest.raises(
        ValueError, match=r"X_true has missing values in hidden cells \('real': 1\)"
    ):
        imputation_errors(true, imputed, hidden)
