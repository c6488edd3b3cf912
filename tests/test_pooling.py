"""Rubin's rules, against R's mice."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

import skhvae

ORDER = ["estimate", "within", "between", "variance", "dof", "relative_increase"]
ORDER += ["fraction_missing_information"]
# R 4.2.2, mice 3.15.0: pool.scalar(Q, U, n, k), its qbar, ubar, b, t, df, r, fmi.
POOL_SCALAR = [
    # pool.scalar(c(10, 12, 11, 9.5), c(1, 1.2, .8, 1.1), n = Inf, k = 1)
    (
        [10, 12, 11, 9.5],
        [1, 1.2, 0.8, 1.1],
        None,
        "10.625 1.025 1.22916666667 2.56145833333 8.3378537202 1.49898373984 0.670426118738",
    ),
    # the same with n = 52, k = 2
    (
        [10, 12, 11, 9.5],
        [1, 1.2, 0.8, 1.1],
        50,
        "10.625 1.025 1.22916666667 2.56145833333 5.81819523131 1.49898373984 0.6905957374",
    ),
    # pool.scalar(c(.5, .52, .49, .51, .5), c(.04, .05, .03, .04, .045), n = 20, k = 3)
    (
        [0.5, 0.52, 0.49, 0.51, 0.5],
        [0.04, 0.05, 0.03, 0.04, 0.045],
        17,
        "0.504 0.041 0.00013 0.041156 15.2411716084 0.00380487804878 0.113016942541",
    ),
]
# imp <- mice(nhanes, m = 5, seed = 123); fit <- with(imp, lm(chl ~ age + bmi)): coef and diag(vcov) of
# fit$analyses, and summary(pool(fit), conf.int = TRUE) with pool(fit)$pooled.
NAMES = ["(Intercept)", "age", "bmi"]
NHANES_ESTIMATES = pd.DataFrame(
    [
        [56.3739077791, 32.0931430892, 3.15762875996],
        [41.3551748316, 20.2740661035, 4.295283764],
        [-37.0923601627, 34.3799361239, 6.22830092562],
        [-29.3428761125, 24.8170958432, 6.42345394471],
        [25.8571351982, 25.962205714, 4.79522559371],
    ],
    columns=NAMES,
)
NHANES_VARIANCES = [
    [3342.50685386, 85.128260046, 3.16884764965],
    [2646.1122039, 77.2717305388, 2.72506307355],
    [3954.05358842, 82.3045027094, 4.1082787704],
    [2844.52709808, 70.2514323114, 2.92111615296],
    [2827.28431549, 71.3141827989, 2.84090177327],
]
NHANES_POOLED = pd.DataFrame(
    {
        "estimate": [11.4301963067, 27.5052893748, 4.9799785976],
        "std_error": [72.56055967342, 10.78499870487, 2.32219514322],
        "dof": [8.02042238624, 9.74810871065, 7.83503065137],
        "p_value": [0.8787236923640, 0.0293851707841, 0.0650353662003],
        "lower": [-155.820622033602, 3.390379656098, -0.394702504158],
        "upper": [178.6810146470, 51.6201990934, 10.3546596994],
        "fraction_missing_information": [0.514504710647, 0.440026861559, 0.523258863272],
    },
    index=NAMES,
)


@pytest.mark.parametrize(("estimates", "variances", "dof_complete", "expected"), POOL_SCALAR)
def test_numbers_are_pooled_as_mice_does(estimates, variances, dof_complete, expected):
    pooled = skhvae.pool(estimates, variances, dof_complete)
    found = [getattr(pooled, name) for name in ORDER]
    assert all(isinstance(x, float) for x in found)
    np.testing.assert_allclose(found, [float(x) for x in expected.split()], rtol=1e-9)


def test_a_regression_is_pooled_as_mice_does():
    pooled = skhvae.pool(NHANES_ESTIMATES, NHANES_VARIANCES, dof_complete=22)
    pd.testing.assert_frame_equal(pooled.to_frame(), NHANES_POOLED, rtol=1e-8)
    np.testing.assert_allclose(
        pooled.fraction_missing, [0.406861128436, 0.335827480344, 0.415338210693], rtol=1e-8
    )
    as_series = [row for _, row in NHANES_ESTIMATES.iterrows()]
    again = skhvae.pool(as_series, NHANES_VARIANCES, dof_complete=22)
    pd.testing.assert_frame_equal(again.to_frame(), pooled.to_frame())


def test_covariance_matrices_are_pooled_whole():
    matrices = [np.diag(row) + 0.01 for row in NHANES_VARIANCES]
    pooled = skhvae.pool(NHANES_ESTIMATES, matrices)
    q = NHANES_ESTIMATES.to_numpy()
    expected = np.mean(matrices, axis=0) + 1.2 * np.cov(q.T)
    np.testing.assert_allclose(pooled.covariance, expected)
    assert pooled.covariance.index.tolist() == NAMES
    np.testing.assert_allclose(np.diagonal(pooled.covariance), pooled.variance)


def test_imputations_that_agree_are_one_analysis():
    pooled = skhvae.pool([2.0, 2.0, 2.0], [0.25, 0.25, 0.25])
    assert pooled.dof == np.inf
    assert pooled.fraction_missing_information == 0
    np.testing.assert_allclose(pooled.interval(0.95), stats.norm(2.0, 0.5).interval(0.95))
    # Barnard and Rubin's eq. 4 alone, which is less than the degrees of freedom given.
    np.testing.assert_allclose(skhvae.pool([2.0, 2.0], [0.25] * 2, dof_complete=10).dof, 110 / 13)


def test_imputations_that_know_nothing_within():
    pooled = skhvae.pool([1.0, 2.0], [0.0, 0.0])
    assert pooled.fraction_missing == 1
    assert pooled.fraction_missing_information == 1
    assert pooled.dof == 1


@pytest.mark.parametrize(
    ("estimates", "variances", "words"),
    [
        ([1.0], [1.0], "At least two"),
        ([1.0, 2.0], [1.0, -1.0], "1 negative"),
        ([1.0, np.nan], [1.0, 1.0], "1 estimates"),
        ([1.0, 2.0], [1.0, 1.0, 1.0], "found \\(3,\\)"),
        ([[[1.0]]], [1.0], "found \\(1, 1, 1\\)"),
        ([pd.Series([1.0], ["a"]), pd.Series([1.0], ["b"])], [[1.0], [1.0]], "in the same order"),
    ],
)
def test_bad_input(estimates, variances, words):
    with pytest.raises(ValueError, match=words):
        skhvae.pool(estimates, variances)


def test_bad_coverage():
    with pytest.raises(ValueError, match="between 0 and 1"):
        skhvae.pool([1.0, 2.0], [1.0, 1.0]).interval(95)


numbers = st.floats(-100, 100, width=32)
tables = hnp.arrays(float, st.tuples(st.integers(2, 6), st.integers(1, 3)), elements=numbers)


@given(tables, st.floats(0.5, 20), numbers, st.none() | st.integers(1, 1000))
def test_pooling_follows_the_unit_and_the_origin(estimates, unit, origin, dof):
    variances = 0.1 + estimates**2
    pooled = skhvae.pool(estimates, variances, dof)
    moved = skhvae.pool(unit * estimates + origin, unit**2 * variances, dof)
    np.testing.assert_allclose(moved.estimate, unit * pooled.estimate + origin, atol=1e-6)
    np.testing.assert_allclose(moved.std_error, unit * pooled.std_error, rtol=1e-6)


@given(tables, st.none() | st.integers(1, 1000), st.randoms(use_true_random=False))
def test_order_does_not_matter_and_columns_stand_alone(estimates, dof, random):
    variances = 0.1 + estimates**2
    pooled = skhvae.pool(estimates, variances, dof)
    order = list(range(len(estimates)))
    random.shuffle(order)
    shuffled = skhvae.pool(estimates[order], variances[order], dof)
    np.testing.assert_allclose(shuffled.interval(), pooled.interval(), rtol=1e-6, atol=1e-6)
    for i in range(estimates.shape[1]):
        alone = skhvae.pool(estimates[:, i], variances[:, i], dof)
        np.testing.assert_allclose(alone.interval(0.9), [x[i] for x in pooled.interval(0.9)])
        assert dof is None or alone.dof <= dof
