"""Rubin's rules, against R's mice and mitools."""

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
    # pool.scalar(c(1, 3), c(1e-3, 2e-3), n = 30, k = 4): hardly anything known within
    (
        [1, 3],
        [0.001, 0.002],
        26,
        "2 0.0015 2 3.0015 0.0119529445213 2000 0.999832094452",
    ),
    # pool.scalar(c(-1e4, -1.2e4, -.7e4), c(1e6, 2e6, 3e6), n = 8, k = 2)
    (
        [-1e4, -1.2e4, -0.7e4],
        [1e6, 2e6, 3e6],
        6,
        "-9666.66666667 2000000 6333333.33333 10444444.4444 0.691614422984 4.22222222222 0.912253521363",
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
        "statistic": [0.157526297456, 2.55032848194, 2.14451339809],
        "dof": [8.02042238624, 9.74810871065, 7.83503065137],
        "p_value": [0.8787236923640, 0.0293851707841, 0.0650353662003],
        "lower": [-155.820622033602, 3.390379656098, -0.394702504158],
        "upper": [178.6810146470, 51.6201990934, 10.3546596994],
        "fraction_missing_information": [0.514504710647, 0.440026861559, 0.523258863272],
    },
    index=NAMES,
)
# The same five analyses' vcov, whose diagonals are NHANES_VARIANCES, and by mitools 2.4
# MIcombine(lapply(fit$analyses, coef), lapply(fit$analyses, vcov)): its variance, df and missinfo. Its
# df.complete is another approximation than Barnard and Rubin's.
NHANES_COVARIANCES = [  # of intercept and age, intercept and bmi, age and bmi
    [-330.421867806, -98.6904687332, 6.56808736272],
    [-261.774693022, -80.6447530543, 4.7405565835],
    [-359.924913802, -123.367443656, 8.09747699673],
    [-254.138728149, -87.3244389667, 4.83677565906],
    [-287.386309593, -86.0834409792, 6.10382156359],
]
COMBINED_COVARIANCE = [
    [5265.03482012, -375.65846049, -162.567542871],
    [-375.65846049, 116.316197064, 6.54245264144],
    [-162.567542871, 6.54245264144, 5.39259028318],
]
COMBINED_DOF = [24.1639313241, 35.4672510684, 23.187622222]
COMBINED_FRACTION = [0.450532190956, 0.370359322428, 0.459989976657]


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


def matrices_of(variances, covariances):
    matrices = np.array([np.diag(row) for row in variances])
    for i, (j, k) in enumerate([(0, 1), (0, 2), (1, 2)]):
        matrices[:, j, k] = matrices[:, k, j] = np.array(covariances)[:, i]
    return matrices


def test_covariance_matrices_are_pooled_as_mitools_does():
    matrices = matrices_of(NHANES_VARIANCES, NHANES_COVARIANCES)
    pooled = skhvae.pool(NHANES_ESTIMATES, matrices)
    assert pooled.covariance.index.tolist() == pooled.covariance.columns.tolist() == NAMES
    np.testing.assert_allclose(pooled.covariance, COMBINED_COVARIANCE, rtol=1e-9)
    np.testing.assert_allclose(pooled.dof, COMBINED_DOF, rtol=1e-8)
    np.testing.assert_allclose(pooled.fraction_missing_information, COMBINED_FRACTION, rtol=1e-8)
    named = [pd.DataFrame(matrix, NAMES, NAMES) for matrix in matrices]
    again = skhvae.pool(NHANES_ESTIMATES, named)
    pd.testing.assert_frame_equal(again.covariance, pooled.covariance)


def test_imputations_that_agree_are_one_analysis():
    pooled = skhvae.pool([0.1] * 3, [0.25] * 3)  # whose sum over 3 is not 0.1
    assert (pooled.estimate, pooled.between, pooled.dof) == (0.1, 0, np.inf)
    assert pooled.fraction_missing == pooled.fraction_missing_information == 0
    np.testing.assert_allclose(pooled.interval(0.95), stats.norm(0.1, 0.5).interval(0.95))


def test_imputations_that_agree_in_a_small_table():
    """Barnard and Rubin's eq. 4 alone, which is less than the degrees of freedom given."""
    pooled = skhvae.pool([2.0] * 3, [0.25] * 3, dof_complete=10)
    np.testing.assert_allclose(pooled.dof, 110 / 13)
    # pool.scalar(c(2, 2, 2), rep(.25, 3), n = 11, k = 1), which takes at least 1e-4 as missing
    found = pooled.dof, pooled.fraction_missing_information
    np.testing.assert_allclose(found, [8.46069194978, 0.174509532999], rtol=2e-4)
    nearly = skhvae.pool([2.0, 2.0, 2.0 + 1e-9], [0.25] * 3, dof_complete=10)
    np.testing.assert_allclose(nearly.to_frame(), pooled.to_frame(), rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-150, 1.0])
def test_imputations_that_know_nothing_within(scale):
    pooled = skhvae.pool([scale, 2 * scale], [0.0, 0.0])
    assert pooled.relative_increase == np.inf
    assert pooled.fraction_missing == pooled.fraction_missing_information == 1
    assert pooled.dof == 1
    small = skhvae.pool([scale, 2 * scale], [0.0, 0.0], dof_complete=10)
    assert small.dof == 0
    assert small.interval() == (-np.inf, np.inf)
    assert small.p_values() == 1


def test_an_estimate_without_error():
    pooled = skhvae.pool([[0.0, 0.1]] * 3, np.zeros((3, 2)))
    np.testing.assert_array_equal(pooled.interval(), [[0.0, 0.1]] * 2)
    np.testing.assert_array_equal(pooled.p_values(), [1.0, 0.0])
    np.testing.assert_array_equal(pooled.p_values(null=[0.0, 0.1]), [1.0, 1.0])
    assert not pooled.to_frame().isna().any(axis=None)


@pytest.mark.parametrize("coverage", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("within", 10.0 ** np.arange(-12, 2))
def test_intervals_hold_what_is_as_likely_as_they_say(within, coverage):
    """However few degrees of freedom there are; infinite ends hold everything."""
    pooled = skhvae.pool([1.0, 3.0], [within, within], dof_complete=26)
    low, high = pooled.interval(coverage)
    assert not np.isnan(low)
    if np.isfinite(high):
        found = [pooled.p_values(null=low), pooled.p_values(null=high)]
        np.testing.assert_allclose(found, 1 - coverage, rtol=1e-6)
    else:
        assert pooled.dof < 0.02


def test_a_complete_table_of_any_size():
    small, large = (skhvae.pool([1.0, 2.0], [1.0, 2.0], dof) for dof in (1e12, np.inf))
    assert large == skhvae.pool([1.0, 2.0], [1.0, 2.0])
    np.testing.assert_allclose(small.dof, large.dof)


@pytest.mark.parametrize("dof_complete", [0, -5, -3, np.nan, True, "22"])
def test_bad_degrees_of_freedom(dof_complete):
    with pytest.raises(ValueError, match=f"positive number or None, found {dof_complete!r}"):
        skhvae.pool([1.0, 2.0], [1.0, 1.0], dof_complete)


def test_names_must_agree():
    variances = pd.DataFrame(NHANES_VARIANCES, columns=NAMES)
    with pytest.raises(ValueError, match="estimates and variances must have the same names"):
        skhvae.pool(NHANES_ESTIMATES, variances[NAMES[::-1]])
    named = skhvae.pool(NHANES_ESTIMATES, variances, 22)
    for unnamed in (NHANES_VARIANCES, pd.DataFrame(NHANES_VARIANCES)):
        again = skhvae.pool(NHANES_ESTIMATES, unnamed, 22)
        pd.testing.assert_frame_equal(again.to_frame(), named.to_frame())
    matrices = [
        pd.DataFrame(np.eye(2), ["a", "b"], columns) for columns in (["a", "b"], ["b", "a"])
    ]
    with pytest.raises(ValueError, match="variances of all imputations must have the same names"):
        skhvae.pool(np.ones((2, 2)), matrices)


@pytest.mark.parametrize(
    ("estimates", "variances", "words"),
    [
        ([1.0], [1.0], "At least two"),
        ([1.0, 2.0], [1.0, -1.0], "1 negative"),
        ([1.0, np.nan], [1.0, 1.0], "1 estimates"),
        ([1.0, 2.0], [1.0, 1.0, 1.0], "found \\(3,\\)"),
        ([[[1.0]]], [1.0], "found \\(1, 1, 1\\)"),
        ([[1.0, 2.0], [1.0]], [[1.0], [1.0]], "estimates must be numbers"),
        ([1.0, 2.0], ["?", 1.0], "variances must be numbers"),
        ([1.0, 2.0], [1.0, np.inf], "1 variances"),
        ([[1.0], [2.0]], [[[-1.0]], [[1.0]]], "1 negative"),
        ([], [], "found 0"),
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
    np.testing.assert_allclose(shuffled.to_frame(), pooled.to_frame(), rtol=1e-6, atol=1e-6)
    assert dof is None or (pooled.dof <= dof).all()
    for i in range(estimates.shape[1]):
        alone = skhvae.pool(estimates[:, i], variances[:, i], dof)
        np.testing.assert_allclose(alone.to_frame(), pooled.to_frame().iloc[[i]], atol=1e-12)


@given(tables, st.none() | st.integers(1, 1000))
def test_covariance_matrices_say_more_than_their_diagonals(estimates, dof):
    matrices = 0.1 * np.eye(estimates.shape[1]) + estimates[:, :, None] * estimates[:, None, :]
    pooled = skhvae.pool(estimates, matrices, dof)
    alone = skhvae.pool(estimates, np.diagonal(matrices, axis1=1, axis2=2), dof)
    assert alone.covariance is None
    pd.testing.assert_frame_equal(pooled.to_frame(), alone.to_frame())
    np.testing.assert_allclose(np.diagonal(pooled.covariance), pooled.variance, rtol=1e-9)
    assert (np.linalg.eigvalsh(pooled.covariance) > 0).all()
