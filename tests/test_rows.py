"""An order of rows that follows from what they hold, and draws of rows."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from skhvae.rows import RowStreams, by_content, drawn, hashes


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def encoded():
    """Few values, so that rows repeat each other; and a value of its own for what is not observed."""
    values = torch.randint(3, (200, 4), generator=seeded()).float()
    observed = torch.rand(200, 4, generator=seeded(1)) < 0.8
    return torch.where(observed, values, 1.0), observed


def in_order(values, observed, weights=None):
    order = by_content(values, observed, weights)
    assert sorted(order) == list(range(len(values)))
    order = torch.from_numpy(order)
    return values[order], observed[order], None if weights is None else weights[order]


def test_the_order_depends_on_the_rows_alone(encoded):
    first = in_order(*encoded)
    for seed in range(3):
        shuffled = torch.randperm(200, generator=seeded(seed))
        found = in_order(*(x[shuffled] for x in encoded))
        assert torch.equal(found[0], first[0])
        assert torch.equal(found[1], first[1])
    assert not torch.equal(first[0], encoded[0])


def test_a_cell_that_is_not_observed_is_no_value():
    values, observed = torch.ones(2, 3), torch.tensor([[True, True, False], [True, True, True]])
    forth = in_order(values, observed)[1]
    back = in_order(values.flip(0), observed.flip(0))[1]
    assert torch.equal(forth, back)


def test_weights_tell_rows_apart_that_hold_the_same(encoded):
    weights = np.random.default_rng(0).permutation(200).astype(float)
    first = in_order(*encoded, weights)
    shuffled = torch.randperm(200, generator=seeded())
    found = in_order(*(x[shuffled] for x in encoded), weights[shuffled])
    for one, other in zip(first, found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_order_is_as_good_as_random():
    """So that the first rows stand for all."""
    values = torch.arange(4000.0).unsqueeze(1)
    order = by_content(values, torch.ones(4000, 1, dtype=torch.bool))
    assert abs(np.corrcoef(order, np.arange(4000))[0, 1]) < 0.05
    assert abs(order[:1000].mean() - 1999.5) < 4 * 4000 / np.sqrt(12 * 1000)


# Draws


def test_without_weights_no_row_is_drawn_twice():
    rows = drawn(None, 50, 20, seeded())
    assert len(rows.unique()) == 20
    assert rows.max() < 50
    assert torch.equal(drawn(None, 50, 50, seeded()).sort().values, torch.arange(50))


def test_equal_weights_draw_each_row_once():
    rows = drawn(torch.ones(50, dtype=torch.float64), 50, 50, seeded())
    assert torch.equal(rows.sort().values, torch.arange(50))
    assert not torch.equal(rows, torch.arange(50))


@pytest.mark.parametrize("n_drawn", [7, 64, 500])
def test_each_row_is_drawn_as_often_as_its_share_says(n_drawn):
    weights = torch.tensor([0.1, 3.0, 1.0, 1.0, 0.4, 2.5], dtype=torch.float64)
    shares = n_drawn * weights / weights.sum()
    counts = torch.stack(
        [drawn(weights, 6, n_drawn, seeded(seed)).bincount(minlength=6) for seed in range(1000)]
    )
    assert (counts.sum(1) == n_drawn).all()
    assert (counts >= shares.floor()).all()
    assert (counts <= shares.ceil()).all()
    # Of a number that is rounded up by chance: a standard deviation of at most one half.
    assert (counts.double().mean(0) - shares).abs().max() < 4 * 0.5 / 1000**0.5


def test_rows_are_drawn_in_random_order():
    weights = torch.tensor([5.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    rows = drawn(weights, 4, 800, seeded())
    neighbours = (rows[1:] == rows[:-1]).double().mean()
    expected = (weights / weights.sum()).square().sum()
    assert neighbours.item() == pytest.approx(expected.item(), abs=0.06)


def test_hashes_tell_rows_apart_by_what_is_observed(encoded):
    values, observed = encoded
    keys = hashes(values, observed)
    contents = torch.where(observed, values, -1.0).numpy()
    _, rows = np.unique(contents, axis=0, return_inverse=True)
    assert len(np.unique(keys)) == rows.max() + 1
    assert len(np.unique(np.column_stack([rows.ravel(), keys]), axis=0)) == rows.max() + 1


def test_a_stream_belongs_to_what_a_row_holds(encoded):
    values, observed = encoded
    numbers = RowStreams(values, observed, seed=3).uniform(2, 5)
    _, first = np.unique(hashes(values, observed), return_index=True)
    alone = RowStreams(values[first], observed[first], seed=3).uniform(2, 5)
    np.testing.assert_array_equal(alone, numbers[first])
    assert len(np.unique(numbers)) == numbers.size  # rows that hold the same are told apart


def test_streams_are_uniform_and_unrelated():
    n = 20_000
    values = torch.arange(float(n)).unsqueeze(1)
    streams = RowStreams(values, torch.ones(n, 1, dtype=torch.bool), seed=0)
    other = RowStreams(values, torch.ones(n, 1, dtype=torch.bool), seed=1)
    numbers = np.column_stack([streams.uniform(0, 3), streams.uniform(1, 3), other.uniform(0, 3)])
    assert 0 < numbers.min() < numbers.max() < 1
    assert all(kstest(column, "uniform").pvalue > 1e-4 for column in numbers.T)
    between = np.corrcoef(numbers.T) - np.eye(9)
    assert np.abs(between).max() < 5 / np.sqrt(n)
    assert abs(np.corrcoef(numbers[1:, 0], numbers[:-1, 0])[0, 1]) < 5 / np.sqrt(n)
