"""The solvers behind the strategies, against SciPy and eigenvalues."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from skhvae.moo import _quadratic
from skhvae.moo._aligned_mtl import _CONDITION, _SHIFTS, _WEIGHTS
from skhvae.moo._pseudo_inverse import pseudo_solve
from skhvae.moo._quadratic import in_unit_gradients, nonnegative_quadratic


def gramian(n_features, rank, seed=0):
    rows = torch.from_numpy(np.random.default_rng(seed).normal(size=(n_features, rank)))
    return rows @ rows.T


def assert_optimal(matrix, linear, x):
    """The conditions of optimality, relative to what rounding allows at the size of x."""
    dual = x @ matrix - linear
    slack = 1e-9 * (1 + x.abs().max() + linear.abs().max())
    assert (x >= 0).all()
    assert dual.min() >= -slack
    assert (x * dual).abs().max() <= slack * (1 + x.abs().max())


@pytest.mark.parametrize("n_features", [1, 2, 15, 60])
@pytest.mark.parametrize("rank", [1, 5, 40, 200])
def test_quadratic_programs_are_solved_to_the_end(n_features, rank):
    cosines, _ = in_unit_gradients(gramian(n_features, rank))
    noise = torch.from_numpy(np.random.default_rng(1).normal(size=(3, n_features)))
    for linear in (-cosines, noise, torch.ones(n_features).double()):
        assert_optimal(cosines, linear, nonnegative_quadratic(cosines, linear))


def test_programs_that_keep_exchanging_are_solved_too(monkeypatch):
    """Nearly singular ones: they must occur here, or the test shows nothing."""
    calls, by_active_sets = [], _quadratic._by_active_sets
    monkeypatch.setattr(
        _quadratic, "_by_active_sets", lambda *args: calls.append(1) or by_active_sets(*args)
    )
    for seed in range(5):
        cosines, _ = in_unit_gradients(gramian(50, 20, seed))
        assert_optimal(cosines, -cosines, nonnegative_quadratic(cosines, -cosines))
    assert calls


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 12), st.integers(0, 10**6))
def test_quadratic_program_is_scipys(n, seed):
    matrix = gramian(n, 2 * n, seed) + 0.1 * torch.eye(n)
    linear = torch.from_numpy(np.random.default_rng(seed + 1).normal(size=n))
    factor = torch.linalg.cholesky(matrix)
    target = torch.linalg.solve_triangular(factor, linear.unsqueeze(1), upper=False).squeeze(1)
    expected, _ = optimize.nnls(factor.T.numpy(), target.numpy())
    x = nonnegative_quadratic(matrix, linear)
    torch.testing.assert_close(x, torch.from_numpy(expected), rtol=1e-6, atol=1e-8)


def test_programs_do_not_depend_on_those_beside_them():
    cosines, _ = in_unit_gradients(gramian(15, 40))
    together = nonnegative_quadratic(cosines, -cosines)
    alone = torch.stack([nonnegative_quadratic(cosines, row) for row in -cosines])
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-12)


def test_unit_gradients_are_safely_definite():
    noisy = gramian(10, 3).float()  # eigenvalues of either sign, of the size of rounding
    assert torch.linalg.eigvalsh(noisy)[0] < 0
    cosines, norms = in_unit_gradients(noisy.double())
    assert torch.linalg.eigvalsh(cosines)[0] > 0
    torch.testing.assert_close(norms**2, noisy.diagonal().double())
    torch.testing.assert_close(
        cosines * torch.outer(norms, norms), noisy.double(), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize(("n_features", "rank"), [(1, 1), (3, 1), (15, 40), (20, 6), (100, 400)])
def test_pseudo_solve_is_the_pseudo_inverse(n_features, rank):
    cosines = gramian(n_features, rank)
    norms = cosines.diagonal().sqrt()
    cosines /= torch.outer(norms, norms)
    target = torch.ones(n_features).double()
    expected = torch.linalg.pinv(cosines, hermitian=True, rtol=1e-9) @ target
    torch.testing.assert_close(
        pseudo_solve(cosines, target), expected, rtol=0, atol=1e-6 * expected.norm()
    )


def test_pseudo_solve_does_not_divide_by_rounding():
    signs = torch.tensor([1.0, -1.0, 1.0])
    noise = 1e-7 * torch.tensor([[0, 1.0, -1.0], [1.0, 0, 1.0], [-1.0, 1.0, 0]])
    cosines = (torch.outer(signs, signs) + noise).double()
    target = torch.ones(3).double()
    expected = signs.double() * (signs @ target.float()) / 9
    torch.testing.assert_close(pseudo_solve(cosines, target), expected, rtol=0, atol=0.02)


def test_poles_of_the_inverse_root():
    x = torch.logspace(-np.log10(_CONDITION), 0, 2000, dtype=torch.float64)
    shifts, weights = (torch.tensor(x, dtype=torch.float64) for x in (_SHIFTS, _WEIGHTS))
    approximation = (weights / (x.unsqueeze(1) + shifts)).sum(1)
    assert (approximation * x.sqrt() - 1).abs().max() < 3e-5
