"""What weights of rows mean."""

import numpy as np
import pytest

from skhvae.weights import check_weights, repetitions


@pytest.mark.parametrize(
    "weights", [[1, 2, 0], (1.0, 2.0, 0.0), np.array([1, 2, 0], dtype="uint8")]
)
def test_weights_are_floats(weights):
    checked = check_weights(weights, 3)
    assert checked.dtype == np.float64
    np.testing.assert_array_equal(checked, [1, 2, 0])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 2], r"sample_weight.shape == \(2,\), expected \(3,\)"),
        ([[1], [2], [3]], "Sample weights must be 1D"),
        ([1, -1, 1], "Negative values in data passed to `sample_weight`"),
        ([1, np.nan, 1], "sample_weight contains NaN"),
        ([1, np.inf, 1], "sample_weight contains infinity"),
        ([0, 0, 0], "weight.*zero"),
        (["a", "b", "c"], "could not convert"),
    ],
)
def test_bad_weights(weights, message):
    with pytest.raises(ValueError, match=message):
        check_weights(weights, 3)


def test_whole_numbers_are_written_out():
    rows, weights = repetitions(np.array([0.0, 3.0, 1.0, 0.0, 2.0]))
    assert rows.tolist() == [1, 1, 1, 2, 4, 4]
    assert weights is None


@pytest.mark.parametrize("factor", [0.25, 1.0, 3.0, 1e300])
def test_equal_weights_are_none(factor):
    rows, weights = repetitions(np.full(4, factor))
    assert weights is None
    copies = 3 if factor == 3 else 1
    assert rows.tolist() == np.repeat([0, 1, 2, 3], copies).tolist()


@pytest.mark.parametrize(
    "weights",
    [[0.5, 0.0, 1.5], [70_000.0, 0.0, 210_000.0], [1e308, 0.0, 1.5e308 * 1.1], [1e-300, 0, 3e-300]],
    ids=["fractions", "many", "huge", "tiny"],
)
def test_other_weights_are_kept_in_proportion(weights):
    weights = np.array(weights)
    rows, kept = repetitions(weights)
    assert rows.tolist() == [0, 2]
    assert kept.mean() == pytest.approx(1)
    assert kept[1] / kept[0] == pytest.approx(weights[2] / weights[0])


def test_many_rows_of_a_table_that_has_them_are_written_out():
    """Leaving rows out makes no table larger."""
    weights = np.ones(70_000)
    weights[0] = 0
    rows, left = repetitions(weights)
    assert left is None
    np.testing.assert_array_equal(rows, np.arange(1, 70_000))
    weights[1] = 3
    assert repetitions(weights)[1] is not None
