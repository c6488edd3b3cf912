"""Generated tables have the promised types, dependence and optimum."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

from skhvae.datasets import make_heterogeneous
from skhvae.evaluation import hide_cells, imputation_errors, total_error
from skhvae.schema import infer_schema

DTYPES = {
    "real": "float64",
    "positive": "float64",
    "count": "int64",
    "binary": "bool",
    "nominal": "category",
    "ordinal": "category",
    "datetime": "datetime64[s]",
}
ALL = {f"n_{kind}": 2 for kind in DTYPES}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("n_rows", [60, 1000])
def test_inferred_types_are_the_intended_ones(n_rows, seed):
    made = make_heterogeneous(n_rows, **ALL, random_state=seed)
    assert infer_schema(made.data).types == made.feature_types
    assert made.feature_types == {f"{kind}_{i}": kind for kind in DTYPES for i in (1, 2)}
    for name, kind in made.feature_types.items():
        assert made.data[name].dtype == DTYPES[kind]
        assert made.best[name].dtype == ("float64" if kind == "count" else made.data[name].dtype)


def test_shapes_and_numbers_of_columns():
    made = make_heterogeneous(50, n_real=0, n_count=3, n_levels=7, latent_dim=4, random_state=0)
    assert made.data.shape == made.best.shape == (50, 10)
    assert made.latent.shape == (50, 4)
    assert not made.data.isna().any(axis=None)
    assert not made.best.isna().any(axis=None)
    assert "real_1" not in made.data
    assert made.data["nominal_1"].cat.categories.size == 7
    assert made.data["ordinal_1"].cat.categories.tolist() == list("1234567")
    assert made.data["ordinal_1"].cat.ordered


def test_random_state_decides_everything_and_the_global_one_is_left_alone():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again = (make_heterogeneous(100, random_state=3) for _ in range(2))
    generator = make_heterogeneous(100, random_state=np.random.default_rng(3))
    other = make_heterogeneous(100, random_state=4)
    make_heterogeneous(10)
    for table in ("data", "best"):
        pd.testing.assert_frame_equal(first[table], again[table])
        pd.testing.assert_frame_equal(first[table], generator[table])
        assert not first[table].equals(other[table])
    np.testing.assert_array_equal(first.latent, again.latent)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_functions_do_not_depend_on_the_number_of_rows():
    """Where z is the same, so are the best predictions."""
    few, many = (make_heterogeneous(n, n_count=0, random_state=0) for n in (40, 400))
    same = many.latent[:40]
    np.testing.assert_allclose(few.latent, same)
    pd.testing.assert_frame_equal(few.best, many.best.iloc[:40])


@pytest.mark.parametrize("seed", range(3))
def test_best_is_optimal_among_predictions_from_the_latent_variables(seed):
    """Moving the best predictions, or learning from z, gives no smaller error."""
    made = make_heterogeneous(20_000, **ALL, noise=0.5, random_state=seed)
    hidden = np.ones(made.data.shape, dtype=bool)
    best = made.best_error(hidden)["error"]
    moved = made.best.copy()
    for name, kind in made.feature_types.items():
        column = made.best[name]
        if kind in ("real", "positive", "count", "datetime"):
            moved[name] = column + 0.1 * column.std()
        elif kind == "binary":
            moved[name] = column ^ (np.arange(len(column)) % 10 == 0)
        else:
            shifted = (column.cat.codes + 1) % column.cat.categories.size
            shifted = shifted.where(np.arange(len(column)) % 10 == 0, column.cat.codes)
            moved[name] = pd.Categorical.from_codes(shifted, dtype=column.dtype)
    assert (imputation_errors(made.data, moved, hidden)["error"] > best).all()
    for name in ("real_1", "positive_1", "count_1"):
        y = made.data[name].to_numpy(dtype=float)
        model = HistGradientBoostingRegressor(random_state=0).fit(made.latent[:15_000], y[:15_000])
        residuals = model.predict(made.latent) - y
        optimal = made.best[name].to_numpy() - y
        assert np.mean(residuals[15_000:] ** 2) > 0.98 * np.mean(optimal[15_000:] ** 2)


def test_columns_depend_on_each_other():
    """The other columns explain most of a column's variance."""
    made = make_heterogeneous(2000, **ALL, random_state=0)
    codes = pd.DataFrame(
        {
            name: column.cat.codes if column.dtype == "category" else column.astype("float64")
            for name, column in made.data.astype({f"datetime_{i}": "int64" for i in (1, 2)}).items()
        }
    )
    for name in ("real_1", "real_2", "datetime_1", "datetime_2"):
        others, y = codes.drop(columns=name), codes[name]
        model = HistGradientBoostingRegressor(random_state=0).fit(others[:1500], y[:1500])
        assert model.score(others[1500:], y[1500:]) > 0.6


def test_scales_conflict():
    made = make_heterogeneous(1000, n_real=4, n_positive=4, random_state=0)
    deviations = made.data.select_dtypes("float64").std()
    assert deviations.max() > 1000 * deviations.min()


def test_without_noise_the_latent_variables_say_all_but_the_counts():
    made = make_heterogeneous(300, **ALL, noise=0, random_state=0)
    errors = made.best_error(np.ones(made.data.shape, dtype=bool))["error"]
    counts = errors.index.str.startswith("count")
    assert errors[~counts].max() < 1e-12
    assert errors[counts].min() > 0


def test_best_error_is_that_of_best():
    made = make_heterogeneous(500, random_state=1)
    _, hidden = hide_cells(made.data, 0.3, random_state=0)
    errors = made.best_error(hidden)
    pd.testing.assert_frame_equal(errors, imputation_errors(made.data, made.best, hidden))
    assert total_error(errors) < 0.5 * errors["baseline"].mean()
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(made)).best_error(hidden), errors)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_rows": 0}, "n_rows must be an integer of at least 1, found 0"),
        ({"n_levels": 2}, "n_levels must be an integer of at least 3, found 2"),
        ({"latent_dim": 1.5}, r"latent_dim must be an integer of at least 1, found 1\.5"),
        ({"n_binary": -1}, "n_binary must be an integer of at least 0, found -1"),
        ({"noise": -0.1}, r"noise must be a non-negative number, found -0\.1"),
        ({"noise": np.nan}, "noise must be a non-negative number, found nan"),
        (dict.fromkeys(ALL, 0), "The table must have a column"),
    ],
)
def test_parameters_that_make_no_table(parameters, message):
    with pytest.raises(ValueError, match=message):
        make_heterogeneous(**parameters)
