"""What a cell's being missing says about its value."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skhvae.selection import SelectionModel

numbers = st.floats(-5, 5, width=32)
functions = st.lists(
    st.tuples(numbers, numbers), min_size=2, max_size=7, unique_by=lambda xy: xy[0]
)


@given(st.lists(st.none() | functions, min_size=1, max_size=4), st.lists(numbers, min_size=1))
def test_log_odds_are_piecewise_linear_and_constant_beyond_the_knots(described, values):
    described = [function and sorted(function) for function in described]
    selection = SelectionModel(
        [f and tuple(torch.tensor(part) for part in zip(*f, strict=True)) for f in described]
    )
    assert selection.applies.tolist() == [function is not None for function in described]
    values = torch.tensor(values, dtype=torch.float64).view(-1, 1, 1)
    found = selection.log_odds(values.expand(-1, 2, len(described)), slice(0, len(described)))
    for i, function in enumerate(described):
        expected = np.interp(values[:, 0, 0], *zip(*function, strict=True)) if function else 0.0
        for copy in range(2):
            np.testing.assert_allclose(found[:, copy, i], expected, atol=1e-5)


def test_some_features_alone():
    selection = SelectionModel([None, (torch.tensor([0.0, 1.0]), torch.tensor([0.0, 2.0])), None])
    values = torch.full((3, 2), 0.5)
    assert torch.equal(selection.log_odds(values, slice(1, 3)), torch.tensor([[1.0, 0.0]] * 3))


def test_levels_given_that_the_cell_is_missing():
    """Bayes' rule, from the joint distribution of level and gap."""
    rng = np.random.default_rng(0)
    level = rng.dirichlet(np.ones(4))  # of all cells
    gap = rng.uniform(0.1, 0.9, 4)  # chance of one by level
    observed, missing = level * (1 - gap), level * gap
    log_odds = torch.tensor(np.log(gap / (1 - gap)))
    selection = SelectionModel([None, (torch.arange(4.0), log_odds.float())])
    probs = torch.tensor(observed / observed.sum()).expand(5, 2, 4)
    tilted = selection.tilted(probs, slice(0, 2))
    assert torch.equal(tilted[:, 0], probs[:, 0])
    np.testing.assert_allclose(tilted[0, 1], missing / missing.sum(), rtol=1e-6)


@pytest.mark.parametrize("size", [1e3, -1e3])
def test_certainty_does_not_overflow(size):
    selection = SelectionModel([(torch.tensor([0.0, 1.0]), torch.tensor([0.0, size]))])
    tilted = selection.tilted(torch.tensor([[0.5, 0.5]]), slice(0, 1))
    assert torch.equal(tilted, torch.tensor([[float(size < 0), float(size > 0)]]))
