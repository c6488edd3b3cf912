"""What scikit-learn's own imputers promise: they stand beside ours in the same tests, and are the oracle.

After sklearn/impute/tests/test_common.py. What only ours promises is in test_imputer.py.
"""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

from skhvae import HeterogeneousVAEImputer

OURS = HeterogeneousVAEImputer(
    max_iter=1, latent_dim=4, hidden_layer_sizes=(8,), n_members=1, random_state=0, device="cpu"
)
THEIRS = [SimpleImputer(), KNNImputer(), IterativeImputer(max_iter=2, tol=0.1)]

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:Skipping features without any observed values"),
]

# The last column but one is never observed, the last one always.
GAPS = np.array(
    [
        [np.nan, 1, 5, np.nan, 1],
        [2, np.nan, 1, np.nan, 2],
        [6, 3, np.nan, np.nan, 3],
        [1, 2, 9, np.nan, 4],
    ]
)
NAMES = list("abcde")


def _name(imputer):
    return type(imputer).__name__


@pytest.fixture(params=[OURS, *THEIRS], ids=_name)
def imputer(request):
    return clone(request.param)


# What SimpleImputer alone of theirs promises.
like_simple = pytest.mark.parametrize("imputer", [OURS, SimpleImputer()], indirect=True, ids=_name)


def marked(marker):
    return np.where(np.isnan(GAPS), marker, GAPS)


# Gaps in fit, in transform, or in either


@pytest.mark.parametrize("add_indicator", [False, True])
def test_gaps_at_transform_alone(imputer, add_indicator):
    imputer.set_params(add_indicator=add_indicator).fit([[1.0], [2.0]])
    completed = imputer.transform([[3.0], [np.nan]])
    assert completed.shape == (2, 1)  # the indicator is for columns that had gaps in fit
    assert completed[0] == 3
    assert 1 <= completed[1] <= 2


@pytest.mark.parametrize(("cell", "flag"), [(np.nan, 1), (1, 0)])
def test_the_indicator_is_there_whether_or_not_the_table_has_gaps(imputer, cell, flag):
    """scikit-learn's issue 26590."""
    train, test = np.array([[0, np.nan], [1, 2]]), np.array([[0, cell], [1, 2]])
    completed = imputer.set_params(add_indicator=True).fit(train).transform(test)
    assert completed.shape == (2, 3)
    np.testing.assert_array_equal(completed[:, 2], [flag, 0])
    plain = clone(imputer).set_params(add_indicator=False).fit(train).transform(test)
    np.testing.assert_allclose(completed[:, :2], plain)


def test_a_gap_in_a_column_that_had_none_is_filled_and_not_indicated(imputer):
    imputer.set_params(add_indicator=True).fit(GAPS[:, [0, 4]])
    completed = imputer.transform([[1.0, np.nan], [np.nan, 2.0]])
    assert np.isfinite(completed).all()
    np.testing.assert_array_equal(completed[:, 2:], [[0], [1]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_observed_cells_dtype_and_input_stay(imputer, dtype):
    table = GAPS[:, [0, 1, 2, 4]].astype(dtype)
    table.flags.writeable = False
    completed = imputer.fit(table).transform(table)
    known = ~np.isnan(table)
    assert completed.dtype == dtype
    np.testing.assert_array_equal(completed[known], table[known])
    assert np.isfinite(completed).all()
    assert np.isnan(table).any()


# What is missing


@pytest.mark.parametrize("marker", [np.nan, -1, 0])
def test_markers_and_their_indicator(imputer, marker):
    table = marked(marker)
    imputer.set_params(missing_values=marker, add_indicator=True)
    completed = imputer.fit_transform(table)
    expected = [[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1], [0, 0, 0, 1]]
    np.testing.assert_array_equal(completed[:, -4:], expected)
    np.testing.assert_array_equal(imputer.indicator_.features_, [0, 1, 2, 3])
    plain = clone(imputer).set_params(add_indicator=False).fit_transform(table)
    np.testing.assert_allclose(completed[:, :-4], plain)
    assert completed.dtype == plain.dtype
    assert not (plain == marker).any()


@pytest.mark.parametrize("dtype", ["Int16", "Float64"])
@pytest.mark.parametrize("add_indicator", [False, True])
def test_nullable_columns(imputer, dtype, add_indicator):
    table = pd.DataFrame(GAPS, columns=NAMES).astype(dtype)
    imputer.set_params(add_indicator=add_indicator)
    completed = np.asarray(imputer.fit_transform(table), dtype=np.float64)
    assert completed.shape == (4, 4 + 4 * add_indicator)
    known = ~np.isnan(GAPS[:, [0, 1, 2, 4]])
    np.testing.assert_array_equal(completed[:, :4][known], GAPS[:, [0, 1, 2, 4]][known])
    np.testing.assert_array_equal(completed[:, 4:], np.isnan(GAPS[:, :4])[:, : 4 * add_indicator])
    assert np.isfinite(completed).all()


@like_simple
@pytest.mark.parametrize("dtype", ["Int16", "Float64"])
def test_na_as_the_marker(imputer, dtype):
    table = pd.DataFrame(GAPS, columns=NAMES).astype(dtype)
    expected = clone(imputer).fit_transform(table)
    np.testing.assert_array_equal(
        imputer.set_params(missing_values=pd.NA).fit_transform(table), expected
    )


@pytest.mark.parametrize("where", ["fit", "transform"])
def test_infinities_are_refused(imputer, where):
    infinite = np.where(GAPS == 9, np.inf, GAPS)
    if where == "transform":
        imputer.fit(GAPS)
    with pytest.raises(ValueError, match="infinity"):
        getattr(imputer, where)(infinite)


# Columns without an observed cell


@pytest.mark.parametrize("keep_empty_features", [False, True])
@pytest.mark.parametrize("method", ["transform", "fit_transform"])
def test_columns_without_an_observed_cell(imputer, keep_empty_features, method):
    imputer.set_params(keep_empty_features=keep_empty_features).fit(GAPS)
    completed = getattr(imputer, method)(GAPS)
    assert completed.shape == (4, 4 + keep_empty_features)
    np.testing.assert_array_equal(completed[:, -1], GAPS[:, -1])
    if keep_empty_features:
        np.testing.assert_array_equal(completed[:, 3], 0)


# Names


@pytest.mark.parametrize("add_indicator", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test_names_out(imputer, add_indicator, named):
    table = pd.DataFrame(GAPS, columns=NAMES) if named else GAPS
    names = imputer.set_params(add_indicator=add_indicator).fit(table).get_feature_names_out()
    all_names = NAMES if named else ["x0", "x1", "x2", "x3", "x4"]
    flags = [f"missingindicator_{name}" for name in all_names[:4]]
    assert names.tolist() == all_names[:3] + all_names[4:] + flags * add_indicator
    assert names.dtype == object


@like_simple
@pytest.mark.parametrize("named", [False, True])
def test_names_out_with_columns_that_were_never_observed(imputer, named):
    table = pd.DataFrame(GAPS, columns=NAMES) if named else GAPS
    imputer.set_params(keep_empty_features=True, add_indicator=True).set_output(transform="pandas")
    all_names = NAMES if named else ["x0", "x1", "x2", "x3", "x4"]
    expected = all_names + [f"missingindicator_{name}" for name in all_names[:4]]
    assert list(imputer.fit_transform(table).columns) == expected
    assert imputer.get_feature_names_out().tolist() == expected


@pytest.mark.parametrize("container", ["pandas", "polars"])
@pytest.mark.parametrize("add_indicator", [False, True])
def test_set_output(imputer, container, add_indicator):
    pytest.importorskip(container)
    imputer.set_params(add_indicator=add_indicator).set_output(transform=container)
    completed = imputer.fit_transform(GAPS)
    assert type(completed).__module__.startswith(container)
    assert list(completed.columns) == imputer.get_feature_names_out().tolist()
    plain = clone(imputer).set_output(transform="default").fit_transform(GAPS)
    np.testing.assert_allclose(completed.to_numpy().astype(float), plain)  # flags are booleans


def test_input_features_must_fit(imputer):
    imputer.fit(GAPS)
    assert imputer.get_feature_names_out(NAMES).tolist() == list("abce")
    with pytest.raises(ValueError, match="input_features should have length"):
        imputer.get_feature_names_out(["a"])
    imputer.fit(pd.DataFrame(GAPS, columns=NAMES))
    with pytest.raises(ValueError, match="input_features is not equal to feature_names_in_"):
        imputer.get_feature_names_out(NAMES[::-1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X.iloc[:, :3], "feature names|X has 3 features"),
        (lambda X: X.iloc[:, ::-1], "feature names"),
        (lambda X: X.to_numpy()[:, :3], "X has 3 features"),
    ],
    ids=["fewer", "reversed", "narrow array"],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_other_columns_than_in_fit_are_refused(imputer, change, message):
    table = pd.DataFrame(GAPS, columns=NAMES)
    imputer.fit(table)
    with pytest.raises(ValueError, match=message):
        imputer.transform(change(table))


def test_attributes(imputer):
    for table in (GAPS, pd.DataFrame(GAPS, columns=NAMES)):
        imputer.fit(table)
        assert imputer.n_features_in_ == 5
        assert imputer.indicator_ is None
    assert imputer.feature_names_in_.tolist() == NAMES


def test_unfitted(imputer):
    with pytest.raises(NotFittedError):
        imputer.transform(GAPS)
    with pytest.raises(NotFittedError):
        imputer.get_feature_names_out()
